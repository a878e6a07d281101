"""The clock of one host stands still while it waits for its turn behind others: that is not the host's time.

A run gives each host a `Patience` by way of the context its task runs in, as with `Hearing`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar


class Patience:
    """The deadline of one host, and for how long it stood still; nothing to stop as long as there is none."""

    def __init__(self, limit: asyncio.Timeout | None = None) -> None:
        self.limit = limit
        self.waited_s = 0.0
        self._waiting = False

    @contextmanager
    def standing_still(self) -> Iterator[None]:
        """Stop the clock inside; what is stopped already stays so until the outer one is left."""
        if self._waiting or self.limit is None or (when := self.limit.when()) is None:
            yield
            return
        now = asyncio.get_running_loop().time
        begun, self._waiting = now(), True
        self.limit.reschedule(None)
        try:
            yield
        finally:
            self._waiting = False
            waited_s = now() - begun
            self.waited_s += waited_s
            self.limit.reschedule(when + waited_s)


PATIENCE: ContextVar[Patience | None] = ContextVar("PATIENCE", default=None)
"""That of the host which the current task is about; None where nobody waits for it with a clock."""


def patience() -> Patience:
    """Return the patience with the current task's host; one that stops nothing where there is none."""
    return PATIENCE.get() or Patience()
