"""One command that the service carries out: who asked for what, and how the process that does it speaks to them."""

from __future__ import annotations

import os
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from runner.service.peers import Peer
from runner.service.request import Request


class Want(StrEnum):
    """What the client is to give next."""

    LINE = "line"  # one line, as it is typed
    SECRET = "secret"  # noqa: S105 (a word) - one line that is not shown, from the terminal itself
    RAW = "raw"  # every key, until NOTHING is wanted
    ALL = "all"  # stdin to its end
    NOTHING = "nothing"


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """A command that this process carries out for a client."""

    request: Request
    peer: Peer
    home: Path
    spool: Path
    """Where the client's files lie, each under its whole path; what is to be written for it is written there."""
    wanting: int
    """The descriptor by which its attendant is told what is wanted."""

    def want(self, what: Want) -> None:
        """Let the client give something: what it gives arrives on stdin or the terminal of this process."""
        os.write(self.wanting, f"{what}\n".encode())

    def place(self, path: str | Path) -> Path:
        """Return where a path of the client's lies here; never outside of the spool."""
        whole = os.path.normpath(Path(self.request.folder) / path)  # always absolute: nothing leads above the root
        return self.spool / whole.lstrip("/")

    def as_named(self, text: str) -> str:
        """Return text with the client's paths as the client knows them."""
        return text.replace(str(self.spool), "")
