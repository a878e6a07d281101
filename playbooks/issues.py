"""What lint finds: how grave it is, where, what to write instead, and sometimes the edit that mends it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from inventory.errors import Place, Problem, Text


class Grade(StrEnum):
    """How grave an issue is."""

    ERROR = "error"  # the playbook is not to be run like this
    WARNING = "warning"
    NOTE = "note"


@dataclass(frozen=True, slots=True, kw_only=True)
class Edit:
    """A replacement of some characters of one line."""

    place: Place
    length: int
    text: str
    old: str = ""
    """What must stand there; empty: whatever does."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Issue:
    """One thing that lint found."""

    code: str
    """Stable for programs: `load`, `danger.rm`, `SC2086`."""
    grade: Grade
    place: Place
    text: Text
    hint: Text | None = None
    edits: tuple[Edit, ...] = ()

    def __str__(self) -> str:
        hint = f" ({self.hint})" if self.hint else ""
        return f"{self.place}: {self.grade}: {self.text}{hint} [{self.code}]"


def from_problem(problem: Problem) -> Issue:
    """Return a mistake of the loader as an issue; one whose hint is a single word brings the edit."""
    edits: tuple[Edit, ...] = ()
    if problem.hint is not None and problem.hint.template == "did you mean {names}?":
        meant = str(problem.hint.params["names"])
        word = next((str(problem.text.params[name]) for name in ("value", "name", "key") if name in problem.text.params), "")
        if word and meant and not any(sign in meant for sign in ", "):
            edits = (Edit(place=problem.place, length=len(word), text=meant, old=word),)
    return Issue(code="load", grade=Grade.ERROR, place=problem.place, text=problem.text, hint=problem.hint, edits=edits)
