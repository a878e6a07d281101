"""Deliveries that are killed: `delivering.py FOLDER` makes a home for each step at which a delivery can be cut.

In each, one process is killed at that step by SIGKILL and a second one delivers again; prints how many steps there are.
"""

import os
import shutil
import signal
import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from diagnostics.content import Content
from diagnostics.formats import encode_content
from inventory.errors import Text
from inventory.secret import MASKER
from reports.cases.builtin import BuiltinCases
from reports.cases.delivery import deliver
from reports.render import Audience, Format, render
from runner.desk import Desk
from runner.outcome import Outcome, RunState
from runner.store.blobs import digest_of
from runner.store.changes import BeginRun, EndRun
from runner.store.rows import AuditRow, HostRow, OutboxRow, OutboxState, RunRow

NOW = datetime(2026, 11, 22, 10, 47, 55, tzinfo=UTC)
RUN = "20261122-104755-7f3a9c"
CONTENT = encode_content(Content())


class Cutting:
    """Passes every call on, and kills the process before or after the one whose turn it is."""

    def __init__(self, inner: object, counter: list[int]) -> None:
        self._inner, self._counter = inner, counter

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._inner, name)
        return self._counted(method) if callable(method) else method

    def _counted(self, method: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            self._step()
            result = method(*arguments, **options)
            self._step()
            return result

        return call

    def _step(self) -> None:
        self._counter[0] -= 1
        if self._counter[0] == 0:
            os.kill(os.getpid(), signal.SIGKILL)


def main(folder: Path) -> int:
    """Kill a delivery at each of its steps, let the next one finish, and return how many steps there are."""
    ended_well(folder / "owing", 0, owe_a_report)
    with Desk.open(folder / "owing", write=False) as desk:  # what is imported and compiled here, the children inherit
        render(desk.record(RUN), audience=Audience.INTERNAL, language="en", format=Format.HTML)
    step = 0
    while True:
        home = folder / f"cut-{step + 1}"
        shutil.copytree(folder / "owing", home)
        if ended_well(home, step + 1, send):
            return step
        assert ended_well(home, 0, send)
        step += 1


def ended_well(home: Path, cut_at: int, job: Callable[[Desk, int], None]) -> bool:
    """Do a job in a process of its own on an open desk; tell whether it lived to the end."""
    child = os.fork()
    if not child:
        with Desk.open(home, write=True, actor="l.weber") as desk:
            job(desk, cut_at)
        os._exit(0)
    status = os.waitpid(child, 0)[1]
    assert status in (0, signal.SIGKILL), status
    return status == 0


def send(desk: Desk, cut_at: int) -> None:
    """Deliver, and be killed at a step; 0 lets it live."""
    cutting: Any = Cutting(desk, [cut_at])
    deliver(cutting, [BuiltinCases(cutting)], MASKER)


def owe_a_report(desk: Desk, _: int) -> None:
    """Write a run of one unreachable host that has ended, and what it owes its case."""
    host = HostRow(
        run=RUN,
        position=0,
        host="db-01",
        address="192.0.2.1",
        site="berlin",
        customer="acme",
        platform="linux",
        transport="ssh",
        outcome=Outcome.UNREACHABLE,
        error=Text("no connection: {reason}", reason="no route"),
        error_kind="ConnectFailed",
        started_at=NOW,
        ended_at=NOW,
    )
    run = RunRow(
        run=RUN,
        playbook="standard",
        title={"en": "Standard", "ru": "Обычная"},
        maintenance="preventive",
        expression="db-01",
        actor="l.weber",
        case="DEMO-1",
        customers=("acme",),
        state=RunState.RUNNING,
        checks=("fs-space",),
        request={},
        versions={"longarm": "0.1.0"},
        content_digest=digest_of(CONTENT),
        started_at=NOW,
    )
    audit = AuditRow(at=NOW, actor="l.weber", action="run.started", run=RUN)
    owed = OutboxRow(
        id=0,
        run=RUN,
        case="DEMO-1",
        kind="diagnose",
        audience="internal",
        language="en",
        state=OutboxState.PENDING,
        actor="l.weber",
        customers=("acme",),
        created_at=NOW,
    )
    store = desk._store
    store.write(BeginRun(run=run, hosts=(host,), audit=audit), [CONTENT]).result()
    end = EndRun(run=RUN, state=RunState.ENDED, ended_at=NOW, audit=replace(audit, action="run.ended"), outbox=(owed,))
    store.write(end).result()


if __name__ == "__main__":
    print(main(Path(sys.argv[1])))
