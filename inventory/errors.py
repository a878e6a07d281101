"""
LongarmError                 the root of every error that longarm raises on purpose
|- InvalidFile               .problems, each with file:line:column and a hint
|- SourceUnavailable         .place: a source of hosts that could not be asked
|- NothingMatched            .expression .part .nearest: an empty selection is an error (design rule 1)
`- UsageError                a value on the command line or in a call that cannot be meant

Messages are templates with parameters (`Text`), so that the console and the reports can say
them in the reader's language; `str(error)` is the English form. Host output never becomes a
template: it travels as a parameter.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime


@dataclass(frozen=True, slots=True, init=False)
class Text:
    """A sentence for a person: an English template (the message id) and its parameters.

    >>> str(Text("{count} hosts in {site}", count=3, site="berlin"))
    '3 hosts in berlin'
    """

    template: str
    params: Mapping[str, object] = field(hash=False)

    def __init__(self, template: str, **params: object) -> None:
        object.__setattr__(self, "template", template)
        object.__setattr__(self, "params", MappingProxyType(dict(params)))

    def __str__(self) -> str:
        return self.template.format_map(self.params) if self.params else self.template


def utc(moment: datetime) -> str:
    """Return a moment as people read it, in messages, tables and reports of every language; programs get ISO 8601.

    >>> from datetime import UTC, datetime
    >>> utc(datetime(2026, 11, 22, 10, 47, 55, tzinfo=UTC))
    '2026-11-22 10:47:55 UTC'
    """
    return f"{moment:%Y-%m-%d %H:%M:%S %Z}"


class LongarmError(Exception):
    """Something that longarm refuses or could not do; `text` says what, `hint` what to do next."""

    def __init__(self, text: Text | str, hint: Text | None = None) -> None:
        self.text = text if isinstance(text, Text) else Text("{message}", message=text)
        self.hint = hint
        super().__init__(str(self.text))


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """Where something stands in a file: line and column count from 1, column in characters.

    Line 0: the whole of it, which has no lines (`https://netbox.example.net/dcim/devices/7/`).
    """

    file: str
    line: int
    column: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}" if self.line else self.file


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One mistake in a file: where, what, and what to write instead."""

    place: Place
    text: Text
    hint: Text | None = None

    def __str__(self) -> str:
        return f"{self.place}: {self.text}" + (f" ({self.hint})" if self.hint else "")


MOST_TOLD = 1_000
"""So many mistakes are told at once: nobody reads more, and a file of others may hold a million."""


class InvalidFile(LongarmError):
    """A file that cannot be used; `problems` holds every mistake found, in file order."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(sorted(problems, key=lambda problem: problem.place))
        super().__init__(Text("{details}", details="\n".join(map(str, self.problems[:MOST_TOLD]))))


class NothingMatched(LongarmError):
    """A part of a target expression that matches no host; `nearest` are the closest names known."""

    def __init__(self, expression: str, part: str, nearest: Iterable[str] = ()) -> None:
        self.expression, self.part, self.nearest = expression, part, tuple(nearest)
        near = Text("did you mean {names}?", names=", ".join(self.nearest))
        hint = near if self.nearest else Text("longarm inventory list")
        super().__init__(Text("nothing matches “{part}” in “{expression}”", part=part, expression=expression), hint)


class UsageError(LongarmError):
    """A value that cannot be meant: the command line answers with exit code 2."""


class SourceUnavailable(LongarmError):
    """A source that could not be asked, or gave no whole answer; `place` is where it is declared."""

    def __init__(self, place: Place, text: Text, hint: Text | None = None) -> None:
        self.place = place
        super().__init__(text, hint)
