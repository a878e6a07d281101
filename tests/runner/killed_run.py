"""A fork server of runs that are killed with SIGKILL; started by test_killed_run.py, speaks JSON lines on its pipes.

It imports everything once and forks a child for each order, so that fifty kills cost seconds. A child
does one of the `JOBS` (by default: diagnoses a small fleet) and says each event after it was acknowledged;
it dies after `kill_after_s`, or at the `kill_at`-th of its crash points.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import alembic.command  # noqa: F401 - imported before the fork, as is all below

import runner.store.backup
import runner.store.leftovers
import runner.store.queries
import runner.store.seldom
import runner.store.sql  # noqa: F401
from diagnostics.library import Library
from inventory.host import Host
from inventory.secret import Masker
from playbooks.testing import FakeOperator
from remote.errors import ConnectFailed
from remote.session import Session
from reports.cases.builtin import BuiltinCases
from reports.cases.delivery import deliver
from runner.desk import Desk
from runner.observer import Silent
from runner.outcome import RunState
from runner.record import HostRecord, RunRecord
from runner.request import RestRequest
from runner.store.changes import Belonging
from tests.crash_points import Points
from tests.runner.fleet import DENIED, FULL, LOST, OK, Act, ActingConnect, asking, fleet, inventory_of, small_library
from tests.runner.repairs import Bench

CONCURRENCY = 5
ACTS = {
    f"host-{number:02}": (
        Act(refuses=ConnectFailed("x", "no route")),
        Act({**FULL, "clock": LOST}),
        Act({**OK, "clock": DENIED}),
        Act(FULL),
        Act(),
    )[number % 5]
    for number in range(20)
}

FIVE = tuple(ACTS)[:5]


class Slow(ActingConnect):
    """A fleet whose hosts take some milliseconds each, by a seed."""

    def __init__(self, seed: int) -> None:
        super().__init__(ACTS)
        self._random = random.Random(seed)

    @asynccontextmanager
    async def __call__(self, host: Host) -> AsyncIterator[Session]:
        """Open a session after a while."""
        await asyncio.sleep(self._random.uniform(0, 0.02))
        async with super().__call__(host) as session:
            yield session


class Telling(Silent):
    """Says what was acknowledged, at once and whole."""

    def host_ended(self, record: HostRecord) -> None:
        """Say that a host is on disk."""
        say(acknowledged=record.host)

    def run_ended(self, record: RunRecord) -> None:
        """Say that the end of the run is on disk."""
        say(ended=record.run)


def say(**words: Any) -> None:
    """Write one JSON line, in one system call."""
    os.write(1, json.dumps(words).encode() + b"\n")


def diagnose(library: Library, order: dict[str, Any]) -> None:
    """Diagnose the fleet in the home of the order."""
    with Desk.open(Path(order["home"]), write=True, actor="anna") as desk:
        request = asking(library, fleet(*ACTS), concurrency=CONCURRENCY)
        asyncio.run(desk.diagnose(request, connect=Slow(order["seed"]), observer=Telling()))


def diagnose_and_deliver(library: Library, order: dict[str, Any]) -> None:
    """Diagnose five hosts and deliver the report to the case, as `longarm diagnose --case` does."""
    with Desk.open(Path(order["home"]), write=True, actor="anna") as desk:
        request = asking(library, fleet(*FIVE), concurrency=1)  # so that each run takes the same steps
        asyncio.run(desk.diagnose(request, connect=Slow(order["seed"]), observer=Telling()))
        deliver_all(desk)


def back_up(_: Library, order: dict[str, Any]) -> None:
    """Take a backup of the home."""
    with Desk.open(Path(order["home"]), write=False) as desk:
        desk.backup(Path(order["backup"]))


def restore(_: Library, order: dict[str, Any]) -> None:
    """Make the home of a backup."""
    Desk.restore(Path(order["home"]), Path(order["backup"]))


def prune(_: Library, order: dict[str, Any]) -> None:
    """Prune all evidence."""
    with Desk.open(Path(order["home"]), write=True) as desk:
        desk.prune(desk.prunable(older_than=None, keep=0, cases=True))


def erase(_: Library, order: dict[str, Any]) -> None:
    """Erase what belongs to the case."""
    with Desk.open(Path(order["home"]), write=True) as desk:
        desk.erase(Belonging(case="DEMO-1"))


def repair(_: Library, order: dict[str, Any]) -> None:
    """Repair the hosts of a bench; where that was begun, go on with it."""
    bench, hosts = Bench(Path(order["bench"])), order["hosts"]
    playbook = bench.playbook(order["playbook"])
    with Desk.open(Path(order["home"]), write=True, actor="anna") as desk:
        if not desk.runs():
            request = bench.asking(*hosts, playbook=playbook, concurrency=len(hosts))
            asyncio.run(desk.repair(request, connect=bench.connect, observer=Telling()))
        elif desk.runs()[0].state is not RunState.ENDED:
            resuming = desk.resume_repair(
                desk.runs()[0].run,
                RestRequest(
                    inventory=inventory_of(bench.selection(*hosts)),
                    library=bench.library,
                    playbook=playbook,
                    secrets={},
                    operator=FakeOperator(),
                ),
                connect=bench.connect,
                observer=Telling(),
            )
            asyncio.run(resuming)


JOBS: Mapping[str, Callable[[Library, dict[str, Any]], None]] = {
    "diagnose": diagnose,
    "deliver": diagnose_and_deliver,
    "backup": back_up,
    "restore": restore,
    "prune": prune,
    "erase": erase,
    "repair": repair,
}


def deliver_all(desk: Desk) -> None:
    """Render and send whatever the outbox holds."""
    for delivery in deliver(desk, (BuiltinCases(desk),), Masker()):  # not what other tests have taught the one of the process
        assert delivery.state == "sent", delivery


def carry_out(library: Library, order: dict[str, Any]) -> None:
    """Do the job of an order and say how many steps that took."""
    points = Points(Path(order["home"]).parent, lambda number, _: number == order.get("kill_at"))
    JOBS[order.get("job", "diagnose")](library, order)
    say(steps=points.met, past=points.past)


def serve(library: Library) -> None:
    """Carry out one order after another, each in a child of its own."""
    for line in sys.stdin:
        order = json.loads(line)
        begun = time.monotonic()
        if (child := os.fork()) == 0:
            carry_out(library, order)
            os._exit(0)
        if "kill_after_s" in order:
            time.sleep(order["kill_after_s"])
            os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        say(status=os.waitstatus_to_exitcode(status), took_s=time.monotonic() - begun)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        serve(small_library(Path(folder)))
