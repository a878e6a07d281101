"""A longarm that repairs the hosts of a bench and dies at one of its crash points; forked by test_crash_points.py.

It is the command line with two of its parts put in: the library, and what connects to hosts.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NoReturn

import console.carrying_out
import console.repairing
from console.main import leave, run
from inventory.host import Host
from remote.detached import DetachedCommand, Standing
from remote.local import LocalSession
from remote.session import Session
from tests.crash_points import Points
from tests.runner.repairs import Bench


class CutSession(LocalSession):
    """A session that is cut in the midst of its second step, as a line is: without a word."""

    def __init__(self, host: Host, shell: tuple[str, ...], after_s: float) -> None:
        super().__init__(host, shell=shell)
        self._after_s, self._cut, self._starts = after_s, False, 0

    @property
    def dropped(self) -> bool:
        return self._cut

    @property
    def renewable(self) -> bool:
        return True

    async def start(self, detached: DetachedCommand, *, wait_s: int, deadline_s: float) -> Standing:
        self._starts += 1
        if self._starts == 1:
            return await super().start(detached, wait_s=wait_s, deadline_s=deadline_s)
        cutting = asyncio.get_running_loop().call_later(self._after_s, self.cut)
        try:
            return await super().start(detached, wait_s=wait_s, deadline_s=deadline_s)
        finally:
            cutting.cancel()

    def cut(self) -> None:
        self._cut = True
        for wire in self._wires:
            wire.close()


class CutBench(Bench):
    """A bench whose lines are cut, by a seed, each in the midst of its second step; it counts those that were."""

    cuts = 0
    chance = random.Random()

    @asynccontextmanager
    async def connect(self, host: Host) -> AsyncIterator[Session]:
        session = CutSession(host, tuple(self.shell(host.name)), self.chance.uniform(0.0, 0.15))
        try:
            yield session
        finally:
            await session.leave()
            CutBench.cuts += session.dropped


def main() -> NoReturn:
    """Carry out one command line; tell which points were met, or at which of `kill_at` it dies once it has met `after`."""
    order: dict[str, Any] = json.loads(os.environ.pop("CRASHING"))
    bench = (CutBench if "cuts" in order else Bench)(Path(order["bench"]))
    CutBench.chance = random.Random(order.get("cuts"))
    for module in (console.repairing, console.carrying_out):
        setattr(module, "load_library", lambda: bench.library)  # noqa: B010 - it is another's name there
        setattr(module, "connector", lambda *_: bench.connect)  # noqa: B010
    told = os.open(order["told"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    tell: Callable[[int, bytes], int] = os.write  # as it is before it has points
    kill_at, after = frozenset(order.get("kill_at", ())), order.get("after", 0)

    def fatal(number: int, name: str) -> bool:
        dies = number > after and name in kill_at
        if dies:
            tell(told, json.dumps({"killed_at": name}).encode())
        return dies

    points = Points(Path(os.environ["LONGARM_HOME"]), fatal)
    code = run(sys.argv[1:])
    tell(told, json.dumps({"names": points.names, "past": points.past, "cuts": CutBench.cuts}).encode())
    leave(code)
