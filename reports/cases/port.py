"""
The seam to case systems: what the delivery job needs of any of them.

LongarmError
`- CaseError              .system: an attempt failed; the next one asks first what arrived
   |- CaseUnreachable     no answer, or none in time: the file may or may not have arrived
   |- CaseRefused         the system answered and said no: rights, size, type, state of the case
   `- CaseDiffers         the case holds another file of that name: nothing is sent over it
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from inventory.errors import LongarmError, Text


class CaseError(LongarmError):
    """A case system did not take a report; `system` names it."""

    def __init__(self, system: str, text: Text) -> None:
        self.system = system
        super().__init__(text)


class CaseUnreachable(CaseError):
    """No answer, or none in time: whether the file arrived is asked before anything is sent again."""

    def __init__(self, system: str, reason: str) -> None:
        super().__init__(system, Text("{system} did not answer: {reason}", system=system, reason=reason))


class CaseRefused(CaseError):
    """The system answered and said no."""

    def __init__(self, system: str, reason: str) -> None:
        super().__init__(system, Text("{system} refused: {reason}", system=system, reason=reason))


class CaseDiffers(CaseError):
    """The case holds another file of this name; a person has to look."""

    def __init__(self, system: str, name: str, found: str) -> None:
        self.name, self.found = name, found
        super().__init__(
            system, Text("{system} holds another file named {name} (SHA-256 {found})", system=system, name=name, found=found)
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Capabilities:
    """What a case system can do; the delivery job never tries what it cannot."""

    internal_notes: bool
    """Comments and files that customers do not see; without them no internal report is sent."""
    max_bytes: int | None = None
    """The largest file it takes; None: as large as it gets."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A case as its system knows it; every text is as hostile as host output (threat T31)."""

    ref: str
    title: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseFile:
    """A file to put on a case."""

    name: str
    """ASCII: some systems lose or refuse other names."""
    media_type: str
    data: bytes
    digest: str
    """SHA-256 of `data`, in hex."""
    customer: str | None = None
    """Whose data it holds, where that is one customer's."""


class CaseSystem(Protocol):
    """One case system; every method raises CaseError and nothing else of its vendor's."""

    @property
    def name(self) -> str:
        """Return what the system is called in messages."""

    @property
    def caps(self) -> Capabilities:
        """Return what it can do."""

    def get(self, ref: str) -> Case | None:
        """Return the case that `ref` means here, or None if it is not a reference of this system."""

    def find_attachment(self, ref: str, name: str) -> str | None:
        """Return the SHA-256 of the bytes that the case holds under `name`, or None if it holds none."""

    def comment(self, ref: str, text: str, *, internal: bool, files: Sequence[CaseFile] = (), html: str | None = None) -> None:
        """Put a comment with its files on a case, all or nothing as far as the system allows."""
