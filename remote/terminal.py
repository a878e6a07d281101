"""A terminal on a host: a login shell behind it, both directions, and a size that follows ours."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from inventory.errors import Text
from remote.bundle.wire import Wire
from remote.errors import RemoteError


@dataclass(frozen=True, slots=True, kw_only=True)
class Screen:
    """What the terminal on our side is."""

    kind: str
    """As in TERM: `xterm-256color`."""
    columns: int
    rows: int


class Terminal(Wire, Protocol):
    """A wire whose other end takes us for a person: what is written is typed, what is read is the screen."""

    def resize(self, columns: int, rows: int) -> None:
        """Tell the host that our window has changed; never raises."""


class NoTerminal(RemoteError):
    """The host gives no terminal, or is reached by a transport that has none; `reason` is hostile text."""

    def __init__(self, host: str, reason: Text | str) -> None:
        super().__init__(host, Text("no terminal: {reason}", reason=reason))
