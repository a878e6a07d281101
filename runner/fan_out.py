"""One job on many hosts: at most so many at once, in inventory order, each accounted for exactly once."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from inventory.errors import Text
from inventory.host import Host
from remote.session import Connect
from runner.host_run import Clock, HostRun, Job, run_host
from runner.outcome import Outcome

T = TypeVar("T")

INTERRUPTED = Text("the run was stopped before this host had answered")
NOT_BEGUN = Text("not begun: the run was stopped")


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How many hosts at once, and how long."""

    concurrency: int
    host_deadline_s: float
    run_deadline_s: float | None = None


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
        started: Callable[[Host], None],
        ended: Callable[[HostRun[T]], Awaitable[None]],
    ) -> None:
        self._waiting = deque(hosts)
        self._job, self._connect, self._limits, self._clock = job, connect, limits, clock
        self._started, self._ended = started, ended
        self._asking: set[asyncio.Task[HostRun[T]]] = set()
        self._deadline_at: float | None = None
        self.stopped = False

    def stop(self) -> None:
        """Begin no further host and interrupt those in flight; what has its answers is still recorded."""
        self.stopped = True
        for asking in self._asking:
            asking.cancel()

    async def drive(self) -> None:
        """Return when every host is accounted for; raises only what `ended` raises."""
        if self._limits.run_deadline_s is not None:
            self._deadline_at = asyncio.get_running_loop().time() + self._limits.run_deadline_s
        workers = [asyncio.create_task(self._work()) for _ in range(min(self._limits.concurrency, len(self._waiting)))]
        if not workers:
            return
        try:
            await asyncio.wait(workers, return_when=asyncio.FIRST_EXCEPTION)
        finally:
            results = await _end(workers, self._asking)
        for error in results:
            raise error
        await asyncio.gather(*(self._ended(self._not_started(host)) for host in self._waiting))

    async def _work(self) -> None:
        while self._waiting and not self.stopped and self._left_s() > 0:
            host = self._waiting.popleft()
            self._started(host)
            await self._ended(await self._run(host))

    async def _run(self, host: Host) -> HostRun[T]:
        """Return how the job ended on one host; what `stop` cancels is interrupted."""
        started_at = self._clock()
        deadline_s = min(self._limits.host_deadline_s, self._left_s())
        asking = asyncio.create_task(run_host(host, self._job, self._connect, deadline_s=deadline_s, clock=self._clock))
        self._asking.add(asking)
        asking.add_done_callback(self._asking.discard)
        if self.stopped:  # by whoever was told that this host begins
            asking.cancel()
        await asyncio.wait({asking})
        if not asking.cancelled():
            return asking.result()
        return HostRun(host=host, started_at=started_at, outcome=Outcome.INTERRUPTED, error=INTERRUPTED)

    def _not_started(self, host: Host) -> HostRun[T]:
        late = Text(
            "not begun: the run's deadline of {deadline_s} s had passed", deadline_s=f"{self._limits.run_deadline_s or 0:g}"
        )
        return HostRun(host=host, outcome=Outcome.NOT_STARTED, error=NOT_BEGUN if self.stopped else late)

    def _left_s(self) -> float:
        return float("inf") if self._deadline_at is None else self._deadline_at - asyncio.get_running_loop().time()


async def _end(workers: Sequence[asyncio.Task[None]], asking: Iterable[asyncio.Task[Any]]) -> list[BaseException]:
    """End what still runs, wait for it, and return what the workers raised, cancellations left out."""
    for task in (running := [*workers, *asking]):
        task.cancel()
    await asyncio.gather(*running, return_exceptions=True)
    errors = [worker.exception() for worker in workers if not worker.cancelled()]
    return [error for error in errors if error is not None]
