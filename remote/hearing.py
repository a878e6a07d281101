"""What is heard of a host before it answers: whoever waits for it can tell a slow one from a silent one.

A run gives each host a `Hearing` by way of the context its task runs in; the transports note in it what arrives.
"""

from __future__ import annotations

import time
from contextvars import ContextVar


class Hearing:
    """When one host last said anything, and whether it has begun to answer."""

    __slots__ = ("answering", "heard_at", "received")

    def __init__(self) -> None:
        self.heard_at = time.monotonic()
        """At first the moment when we began to wait for it."""
        self.received = 0
        """Bytes that arrived from it, as they came over the line."""
        self.answering = False
        """Its shell runs our script: from now on it works, however long it is quiet."""

    def silent_for_s(self) -> float:
        """Return for how many seconds a host that does not answer yet has said nothing at all; 0 for one that answers."""
        return 0.0 if self.answering else time.monotonic() - self.heard_at

    def heard(self, size: int) -> None:
        """Note that so many bytes arrived."""
        self.heard_at = time.monotonic()
        self.received += size

    def answers(self) -> None:
        """Note that the first mark of its answers arrived."""
        self.answering = True


HEARING: ContextVar[Hearing | None] = ContextVar("HEARING", default=None)
"""That of the host which the current task is about; None where nobody listens."""


def hearing() -> Hearing:
    """Return what the current task's host is heard by; one that nobody listens to where there is none."""
    return HEARING.get() or Hearing()
