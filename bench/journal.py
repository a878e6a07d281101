"""How many events a second the journal of repairs takes durably: intents of many hosts at once, each waited for.

python -m bench.journal [--hosts 200] [--steps 20] [--home FOLDER]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

from playbooks.ports import Intent
from playbooks.results import Effect, StepResult, StepState
from runner.diagnosing import target_row
from runner.journal import StoreJournal
from runner.outcome import RunState
from runner.store.changes import BeginRun
from runner.store.opening import make_home
from runner.store.rows import AuditRow, RunRow
from runner.store.sql import SqlStore, open_store
from tests.runner.fleet import fleet

RUN = "20261129-120000-abcdef"


def begun(store: SqlStore, hosts: int) -> None:
    """Begin a run of so many hosts."""
    now, selection = datetime.now(UTC), fleet(*(f"host-{number:05}" for number in range(hosts)))
    row = RunRow(
        run=RUN,
        playbook="bench",
        title={"en": "Bench"},
        maintenance="corrective",
        expression="all",
        actor="bench",
        case=None,
        customers=(),
        state=RunState.RUNNING,
        checks=(),
        request={},
        versions={},
        content_digest="0" * 64,
        started_at=now,
    )
    rows = tuple(target_row(RUN, position, host) for position, host in enumerate(selection.hosts))
    store.write(BeginRun(run=row, hosts=rows, audit=AuditRow(at=now, actor="bench", action="run.started"))).result()


async def written(store: SqlStore, hosts: int, steps: int) -> tuple[float, float]:
    """Return the seconds, on the wall and of our processor time, that all hosts take to write an intent and an end for each
    step, every intent waited for."""

    async def host(position: int) -> None:
        journal = StoreJournal(store, RUN, position, lambda: datetime.now(UTC))
        for step in range(steps):
            key = f"s{step + 1}"
            await journal.intend(Intent(key=key, ident=f"{RUN}-{position}.{key}.1", attempt=1))
            said = StepResult(
                key=key, name="A step", action="run", state=StepState.CHANGED, effect=Effect.CHANGED, stdout=b"done\n"
            )
            await journal.end(said)
        await journal.settled()

    began, used = time.perf_counter(), time.process_time()
    await asyncio.gather(*(host(position) for position in range(hosts)))
    return time.perf_counter() - began, time.process_time() - used


def main() -> int:
    """Print the figures as JSON."""
    asked = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    asked.add_argument("--hosts", type=int, default=200)
    asked.add_argument("--steps", type=int, default=20)
    asked.add_argument("--home", type=Path)
    given = asked.parse_args()
    with tempfile.TemporaryDirectory(dir=given.home) as folder:
        home = Path(folder) / "home"
        make_home(home)
        store = open_store(home, write=True)
        begun(store, given.hosts)
        took_s, cpu_s = asyncio.run(written(store, given.hosts, given.steps))
        whole = store.run(RUN)
        store.close()
    assert whole is not None
    events = 2 * given.hosts * given.steps
    assert len(whole.journal) == events
    figures = {
        "hosts": given.hosts,
        "events": events,
        "seconds": round(took_s, 2),
        "cpu_seconds": round(cpu_s, 2),
        "events_per_s": round(events / took_s),
    }
    sys.stdout.write(json.dumps(figures) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
