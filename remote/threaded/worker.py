"""Threads that wait in our place: one that does what it is told, in order, and others for a single task each."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from queue import SimpleQueue
from typing import Any, TypeVar

T = TypeVar("T")
Job = Callable[[], object]


class Worker:
    """A thread that does one job after the other; a job that hangs ends when what it waits for is closed."""

    def __init__(self, name: str) -> None:
        self._jobs: SimpleQueue[Job | None] = SimpleQueue()
        self._leaving = False
        self.thread = start(name, self._work)

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            job()

    def put(self, job: Job) -> None:
        """Have a job done, whose end nobody waits for; it must not raise."""
        self._jobs.put(job)

    async def call(self, function: Callable[..., T], *arguments: Any) -> T:
        """Return what a function returns, called in the thread; whoever is cancelled leaves it to itself.

        Raises EOFError where the thread has been told to leave: nobody would ever call it.
        """
        if self._leaving:
            raise EOFError("the connection was closed")
        outcome = _Outcome(function, arguments)
        self._jobs.put(outcome)
        return await outcome.future  # type: ignore[no-any-return]

    def leave(self) -> None:
        """End the thread after the jobs that are left."""
        self._leaving = True
        self._jobs.put(None)


class _Outcome:
    """A call on its way from the event loop to a thread and back."""

    def __init__(self, function: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
        self._function, self._arguments = function, arguments
        self._loop = asyncio.get_running_loop()
        self.future: asyncio.Future[Any] = self._loop.create_future()

    def __call__(self) -> None:
        try:
            result = self._function(*self._arguments)
        except BaseException as error:  # noqa: BLE001 (it is raised again where it is waited for)
            self._tell(self.future.set_exception, error)
        else:
            self._tell(self.future.set_result, result)

    def _tell(self, set_: Callable[[Any], None], value: object) -> None:
        def told() -> None:
            if not self.future.done():
                set_(value)

        to_loop(self._loop, told)


class Home:
    """The event loop as threads ask it for something; nobody waits any more once we leave."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._waited_for: set[Future[Any]] = set()

    def result_of(self, work: Coroutine[Any, Any, T]) -> T:
        """Return what the event loop makes of some work; called in a thread."""
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        self._waited_for.add(future)
        try:
            return future.result()
        finally:
            self._waited_for.discard(future)

    def leave(self) -> None:
        """Give up what is waited for."""
        for future in tuple(self._waited_for):
            future.cancel()


def to_loop(loop: asyncio.AbstractEventLoop, function: Callable[..., object], *arguments: object) -> None:
    """Have a function called in the event loop; nothing happens where that has ended."""
    try:
        loop.call_soon_threadsafe(function, *arguments)
    except RuntimeError:
        return


def start(name: str, function: Job) -> threading.Thread:
    """Return a thread that has started; it does not hold up the end of the program."""
    thread = threading.Thread(target=function, name=f"longarm {name}", daemon=True)
    thread.start()
    return thread


async def in_a_thread(name: str, function: Callable[..., T], *arguments: Any) -> T:
    """Return what a function returns, called in a thread of its own."""
    outcome = _Outcome(function, arguments)
    start(name, outcome)
    return await outcome.future  # type: ignore[no-any-return]
