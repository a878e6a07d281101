"""How many events a second the journal of repairs takes durably: intents of many hosts at once, each waited for.

python -m bench.journal [--hosts 200] [--steps 20] [--home FOLDER]

In memory and on a disk, and beside it how many times a second that disk makes 4 KiB last: what the figure is worth elsewhere.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
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


def lasting_per_s(folder: Path) -> float:
    """Return how many times a second 4 KiB at the end of a file are made to last, one after another."""
    block, times = bytes(4096), list[float]()
    with (folder / "probe").open("wb", buffering=0) as file:
        for _ in range(200):
            began = time.perf_counter()
            file.write(block)
            os.fdatasync(file.fileno())
            times.append(time.perf_counter() - began)
    return 1 / statistics.median(times)


def measured(where: str, folder: Path, hosts: int, steps: int) -> dict[str, object]:
    """Return the figures of a journal in a folder."""
    lasting = lasting_per_s(folder)
    home = folder / "home"
    make_home(home)
    store = open_store(home, write=True)
    begun(store, hosts)
    took_s, cpu_s = asyncio.run(written(store, hosts, steps))
    whole = store.run(RUN)
    store.close()
    events = 2 * hosts * steps
    assert whole is not None and len(whole.journal) == events
    return {
        "where": where,
        "hosts": hosts,
        "events": events,
        "seconds": round(took_s, 2),
        "cpu_seconds": round(cpu_s, 2),
        "events_per_s": round(events / took_s),
        "fdatasync_per_s": round(lasting),
        "events_per_fdatasync": round(events / took_s / lasting, 2),
    }


def main() -> int:
    """Print the figures as JSON, one line for each place."""
    asked = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    asked.add_argument("--hosts", type=int, default=200)
    asked.add_argument("--steps", type=int, default=20)
    asked.add_argument("--home", type=Path, help="a folder on the disk (default: that for temporary files)")
    given = asked.parse_args()
    for where, parent in (("memory", Path("/dev/shm")), ("disk", given.home)):
        with tempfile.TemporaryDirectory(dir=parent) as folder:
            sys.stdout.write(json.dumps(measured(where, Path(folder), given.hosts, given.steps)) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
