"""One job on many hosts: at most so many at once, in inventory order, each accounted for exactly once.

A host that does not answer yet and has said nothing for a while gives up its place: the next one begins, and the
silent one is waited for beside them, with every deadline it had. How many wait so has a bound of its own; past it
they keep their places.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextvars import copy_context
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Generic, TypeVar

from inventory.errors import Text
from inventory.host import Host
from remote.hearing import HEARING, Hearing
from remote.session import Connect
from runner.host_run import Clock, HostRun, Job, run_host
from runner.outcome import Outcome

T = TypeVar("T")

INTERRUPTED = Text("the run was stopped before this host had answered")
NOT_BEGUN = Text("not begun: the run was stopped")


SILENCE_S = 1.0
"""After so long without a word a host gives up its place; one that answers says something within a few round trips."""
ASIDE_EACH, MOST_ASIDE = 3, 200
"""How many silent hosts may be waited for beside each place, and in all: each holds a descriptor and 0.2 MiB."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How many hosts at once, and how long."""

    concurrency: int
    """Places: of hosts that connect or answer."""
    host_deadline_s: float
    run_deadline_s: float | None = None
    silence_s: float = SILENCE_S
    keeps_places: bool = False
    """No host gives up its place: `concurrency` is how many are begun and have not ended, never more."""

    @property
    def aside(self) -> int:
        """Return how many hosts that gave up their places may be waited for at once."""
        return 0 if self.keeps_places else min(ASIDE_EACH * self.concurrency, MOST_ASIDE)


class FanOut(Generic[T]):
    """Runs `job` on every host; `ended` is awaited exactly once for each, also when the run is stopped."""

    def __init__(
        self,
        hosts: Sequence[Host],
        job: Job[T],
        connect: Connect,
        *,
        limits: Limits,
        clock: Clock,
        started: Callable[[Host, Hearing], None],
        ended: Callable[[HostRun[T]], Awaitable[None]],
        keeps_off: Callable[[Host], HostRun[T] | None] | None = None,
        deadline_at: float | None = None,
    ) -> None:
        """`keeps_off` is asked right before a host begins: what it returns is the end of that host, which is not begun.

        `deadline_at`: when the deadline of the run is over, where it began before this.
        """
        self._keeps_off = keeps_off
        self._waiting = deque(hosts)
        self._job, self._connect, self._limits, self._clock = job, connect, limits, clock
        self._started, self._ended = started, ended
        self._asking: set[asyncio.Task[HostRun[T]]] = set()
        self._workers: set[asyncio.Task[None]] = set()
        self._aside = 0
        self._deadline_at = deadline_at
        self.stopped = False

    def stop(self) -> None:
        """Begin no further host and interrupt those in flight; what has its answers is still recorded."""
        self.stopped = True
        for asking in self._asking:
            asking.cancel()

    async def drive(self) -> None:
        """Return when every host is accounted for; raises only what `ended` raises."""
        if self._deadline_at is None and self._limits.run_deadline_s is not None:
            self._deadline_at = asyncio.get_running_loop().time() + self._limits.run_deadline_s
        for _ in range(min(self._limits.concurrency, len(self._waiting))):
            self._open_place()
        errors: list[BaseException] = []
        try:
            while self._workers and not errors:
                over, _ = await asyncio.wait(self._workers, return_when=asyncio.FIRST_COMPLETED)
                self._workers -= over
                errors += _errors(over)
        finally:
            errors += await _end(self._workers, self._asking)
        for error in errors:
            raise error
        await asyncio.gather(*(self._ended(self._not_started(host)) for host in self._waiting))

    def _open_place(self) -> None:
        self._workers.add(asyncio.create_task(self._work()))

    async def _work(self) -> None:
        """Fill one place with host after host, until one gives it up: that one is seen to its end."""
        in_place = True
        while in_place and self._waiting and not self.stopped and self._left_s() > 0:
            host = self._waiting.popleft()
            if self._keeps_off is not None and (kept_off := self._keeps_off(host)) is not None:
                await self._ended(kept_off)
                continue
            hearing = Hearing()
            self._started(host, hearing)
            started_at, asking = self._begin(host, hearing)
            in_place = await self._keeps_place(asking, hearing)
            await asyncio.wait({asking})
            self._aside -= not in_place
            await self._ended(_ended(host, started_at, asking))

    def _begin(self, host: Host, hearing: Hearing) -> tuple[datetime, asyncio.Task[HostRun[T]]]:
        """Start the job on one host; the transports note what is heard of it in its hearing."""
        started_at, context = self._clock(), copy_context()
        deadline_s = min(self._limits.host_deadline_s, self._left_s())
        context.run(HEARING.set, hearing)
        run = run_host(host, self._job, self._connect, deadline_s=deadline_s, clock=self._clock)
        asking = asyncio.create_task(run, context=context)
        self._asking.add(asking)
        asking.add_done_callback(self._asking.discard)
        if self.stopped:  # by whoever was told that this host begins
            asking.cancel()
        return started_at, asking

    async def _keeps_place(self, asking: asyncio.Task[HostRun[T]], hearing: Hearing) -> bool:
        """Return once the host has ended or answers (True), or has given up its place, which is then open (False)."""
        silence_s = self._limits.silence_s
        while not (asking.done() or hearing.answering):
            await asyncio.wait({asking}, timeout=max(silence_s - hearing.silent_for_s(), 0) or silence_s)
            silent = not asking.done() and hearing.silent_for_s() >= silence_s
            if silent and self._waiting and self._aside < self._limits.aside and not self.stopped:
                self._aside += 1
                self._open_place()
                return False
        return True

    def _not_started(self, host: Host) -> HostRun[T]:
        late = Text(
            "not begun: the run's deadline of {deadline_s} s had passed", deadline_s=f"{self._limits.run_deadline_s or 0:g}"
        )
        return HostRun(host=host, outcome=Outcome.NOT_STARTED, error=NOT_BEGUN if self.stopped else late)

    def _left_s(self) -> float:
        return float("inf") if self._deadline_at is None else self._deadline_at - asyncio.get_running_loop().time()


def _ended(host: Host, started_at: datetime, asking: asyncio.Task[HostRun[T]]) -> HostRun[T]:
    """Return how the job ended on one host; what `stop` cancels is interrupted."""
    if not asking.cancelled():
        return asking.result()
    return HostRun(host=host, started_at=started_at, outcome=Outcome.INTERRUPTED, error=INTERRUPTED)


async def _end(workers: Iterable[asyncio.Task[None]], asking: Iterable[asyncio.Task[Any]]) -> list[BaseException]:
    """End what still runs, wait for it, and return what the workers raised."""
    for task in (running := [*workers, *asking]):
        task.cancel()
    await asyncio.gather(*running, return_exceptions=True)
    return _errors(workers)


def _errors(workers: Iterable[asyncio.Task[None]]) -> list[BaseException]:
    """Return what workers that have ended raised, cancellations left out."""
    return [error for worker in workers if not worker.cancelled() and (error := worker.exception()) is not None]
