"""Hosts on which something of ours breaks in the middle of a step, or right before it is sent."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from inventory.host import Host
from inventory.inventory import Inventory
from playbooks.testing import FakeOperator
from remote.detached import DetachedCommand, Offset, Reason, Standing, State
from remote.errors import ConnectFailed
from remote.local import LocalSession
from remote.session import Session
from runner.desk import Desk
from runner.observer import Silent
from runner.record import RunRecord
from runner.request import RepairRequest, RestRequest
from tests.runner.fleet import inventory_of
from tests.runner.repairs import MEND, Bench

WAITS = 'n=0; until [ -e "$HOME/go" ] || [ "$n" -ge 600 ]; do sleep 0.1; n=$((n + 1)); done; echo "one" >>"$HOME/effects"'
WAITING = MEND.replace('echo "one" >>"$HOME/effects"', WAITS)


class Breaking(LocalSession):
    """A session with which something breaks once a step has begun on the host: a deadline that is over, a fault of ours."""

    breaks: Exception | None = None
    before: Exception | None = None
    """What breaks right before a command is sent: it was intended, and never arrives."""

    denies = ""
    """Why another user cannot be become, where one cannot: then nobody can ask for what that one began."""

    async def collect(self, name: str, offset: Offset, **values: Any) -> Standing:
        if self.denies:
            return Standing(id=name, state=State.FAILED, reason=Reason.DENIED, why=self.denies, whole=True)
        return await super().collect(name, offset, **values)

    async def start(self, detached: DetachedCommand, *, wait_s: int, deadline_s: float) -> Standing:
        if self.before is not None:
            raise self.before
        standing = await super().start(detached, wait_s=1 if self.breaks else wait_s, deadline_s=deadline_s)
        if self.breaks is not None:
            raise self.breaks
        return standing


class BreakingBench(Bench):
    """Hosts; `breaks` says by name what breaks there in the middle of their steps, `before` what does before these."""

    breaks: dict[str, Exception]
    before: dict[str, Exception]
    denies: str

    def __post_init__(self) -> None:
        super().__post_init__()
        self.breaks, self.before, self.denies = {}, {}, ""

    @asynccontextmanager
    async def connect(self, host: Host) -> AsyncIterator[Session]:
        """Open a session to a host."""
        if host.name in self.down:
            raise ConnectFailed(host.name, "no route")
        session = Breaking(host, shell=self.shell(host.name))
        session.breaks, session.before = self.breaks.get(host.name), self.before.get(host.name)
        session.denies = self.denies
        try:
            yield session
        finally:
            await session.leave()


def repaired(desk: Desk, bench: Bench, request: RepairRequest) -> RunRecord:
    return asyncio.run(desk.repair(request, connect=bench.connect, observer=Silent()))


def resumed(desk: Desk, bench: Bench, run: str, text: str, *hosts: str, inventory: Inventory | None = None) -> RunRecord:
    rest = RestRequest(
        inventory=inventory or inventory_of(bench.selection(*hosts)),
        library=bench.library,
        playbook=bench.playbook(text),
        secrets={},
        operator=FakeOperator(),
    )
    return asyncio.run(desk.resume_repair(run, rest, connect=bench.connect, observer=Silent()))
