"""A case system for tests: keeps what it is given in memory and gets into the trouble it is told to."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from reports.cases.port import Capabilities, Case, CaseFile


@dataclass(frozen=True, slots=True, kw_only=True)
class Received:
    """One file that the fake holds."""

    ref: str
    name: str
    data: bytes
    text: str
    internal: bool


def no_trouble(moment: str) -> None:
    """Let everything work."""


ABLE: Final = Capabilities(internal_notes=True)


class FakeCases:
    """Knows the cases it is told of; `trouble` is called at each moment (`find`, `store`, `stored`) and may raise.

    Trouble at `stored` is the cruel one: the file is there, and whoever sent it does not know.
    """

    name: Final = "fake"

    def __init__(self, *refs: str, trouble: Callable[[str], None] = no_trouble, caps: Capabilities = ABLE) -> None:
        self.refs, self.trouble, self.caps = refs, trouble, caps
        self.received: list[Received] = []

    def get(self, ref: str) -> Case | None:
        """Return the case if it is one of those told."""
        return Case(ref=ref, title="A case") if ref in self.refs else None

    def find_attachment(self, ref: str, name: str) -> str | None:
        """Return the SHA-256 of the newest file of this name."""
        self.trouble("find")
        held = [file for file in self.received if (file.ref, file.name) == (ref, name)]
        return hashlib.sha256(held[-1].data).hexdigest() if held else None

    def comment(self, ref: str, text: str, *, internal: bool, files: Sequence[CaseFile] = (), html: str | None = None) -> None:  # noqa: ARG002
        """Keep the files; a second time keeps them twice, as real systems do."""
        self.trouble("store")
        self.received += [Received(ref=ref, name=file.name, data=file.data, text=text, internal=internal) for file in files]
        self.trouble("stored")
