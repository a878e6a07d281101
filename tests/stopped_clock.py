"""Event loops whose time a test makes pass: a deadline is over when all that should come before it has come."""

from __future__ import annotations

import asyncio


class StoppedClock:
    """The time of a loop, in whole seconds, from now on: what waits with a deadline waits until the clock has leapt over it."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.now_s = float(int(loop.time()) + 1)
        loop.time = lambda: self.now_s  # type: ignore[method-assign]  # a loop has no other clock than this one

    def leap(self, seconds: int) -> None:
        """Let so many seconds pass at once."""
        self.now_s += seconds


class HastyClock:
    """The time of a loop, which goes on as ever and leaps when a test says so."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._ahead_s, self._real = 0.0, loop.time
        loop.time = lambda: self._real() + self._ahead_s  # type: ignore[method-assign]  # a loop has no other clock

    def leap(self, seconds: float) -> None:
        """Let so many seconds pass at once."""
        self._ahead_s += seconds
