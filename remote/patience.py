"""The clock of one host stands still while it waits for its turn behind others: that is not the host's time.

A run gives each host a `Patience` by way of the context its task runs in, as with `Hearing`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar


class Patience:
    """The deadline of one host, and for how long it stood still; nothing to stop as long as there is none."""

    def __init__(self, limit: asyncio.Timeout | None = None) -> None:
        self.limit = limit
        self.waited_s = 0.0
        self._reasons = 0
        """For how many of them it stands still now."""
        self._stopped: tuple[float, float] | None = None
        """When that began, and when the deadline was by then."""
        self._behind: list[Patience] = []

    @contextmanager
    def standing_still(self) -> Iterator[None]:
        """Stop the clock inside, and those of whoever follows it."""
        self._stop()
        try:
            yield
        finally:
            self._go_on()

    @contextmanager
    def following(self, other: Patience) -> Iterator[None]:
        """Stand still inside whenever `other` does: we wait for what it waits for."""
        other._behind.append(self)
        if other._reasons:
            self._stop()
        try:
            yield
        finally:
            other._behind.remove(self)
            if other._reasons:
                self._go_on()

    def _stop(self) -> None:
        self._reasons += 1
        if self._reasons > 1:
            return
        if self.limit is not None and (when := self.limit.when()) is not None:
            self._stopped = asyncio.get_running_loop().time(), when
            self._move(None)
        for one in self._behind:
            one._stop()  # noqa: SLF001 (of the same class)

    def _go_on(self) -> None:
        self._reasons -= 1
        if self._reasons:
            return
        if self.limit is not None and self._stopped is not None:
            (begun, when), self._stopped = self._stopped, None
            waited_s = asyncio.get_running_loop().time() - begun
            self.waited_s += waited_s
            self._move(when + waited_s)
        for one in self._behind:
            one._go_on()  # noqa: SLF001 (of the same class)

    def _move(self, when: float | None) -> None:
        """Set the deadline; one that has just passed stays so: its host is told of it when it runs next."""
        assert self.limit is not None
        with suppress(RuntimeError):
            self.limit.reschedule(when)


PATIENCE: ContextVar[Patience | None] = ContextVar("PATIENCE", default=None)
"""That of the host which the current task is about; None where nobody waits for it with a clock."""


def patience() -> Patience:
    """Return the patience with the current task's host; one that stops nothing where there is none."""
    return PATIENCE.get() or Patience()
