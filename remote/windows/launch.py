"""What is started on a Windows host, what it is given, and what becomes of it: the same for every transport."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class Launch:
    """A command line, the environment that it finds, and what it reads; or a script that a runspace runs itself."""

    line: str = ""
    variables: Mapping[str, str] = field(default_factory=dict, hash=False, repr=False)
    stdin: Iterator[bytes] | None = field(default=None, hash=False, repr=False)
    """Pieces of ASCII, sent one after the other; None: nothing is read."""
    script: str = field(default="", repr=False)
    """Text of PowerShell in the place of the line."""


class Listener(Protocol):
    """Takes what a host says."""

    @property
    def done(self) -> bool:
        """Tell whether everything has been said, so that nothing more has to be waited for."""

    @property
    def begun(self) -> bool:
        """Tell whether the host has begun to answer."""

    @property
    def most(self) -> int:
        """Return the bytes that it may say."""

    @property
    def due(self) -> float:
        """Return when it should be over by the host's own account, on the clock."""

    @property
    def overfull(self) -> bool:
        """Tell whether it says more than it may."""

    def feed(self, data: bytes) -> None:
        """Take the next piece of stdout."""

    def feed_stderr(self, data: bytes) -> None:
        """Take the next piece of stderr."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """How what was started ended."""

    begun: bool
    """Whether the host may have run any of it."""
    status: int | None = None
    """What the host says of its exit status, without a sign; None: nothing."""
    why: str = ""
    """Why it was left, empty where it ended by itself; hostile text."""
    left: bool = False
    """Whether it may have had more to say: nobody waited for it any longer, or the connection was gone."""
    number: int = 0
    """What the host calls that; 0: nothing."""
    went: str = ""
    """Why a connection or a shell went away meanwhile, and perhaps with it what was said; empty: none did. Hostile text."""
