"""A probe: a question (or two samples of one source), how its answer is redacted, and a pure parser of what was kept.

Probes that read the same source share one question: the host is asked once, and what one parser does not understand costs
the others nothing.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from inventory.errors import LongarmError, Text
from remote.answer import Answer
from remote.question import Question

Facts: TypeAlias = Mapping[str, Any]
"""Plain dicts, lists, str, bool, int64, float: what the probe's `shape` declares, and nothing else."""


class ParseError(LongarmError):
    """The text was not understood: the facts are unknown, never a default."""

    def __init__(self, question: str, sample: bytes) -> None:
        self.question, self.sample = question, sample[:200]
        super().__init__(Text("{question}: not understood: {sample}", question=question, sample=repr(self.sample)))


class SourceFailed(LongarmError):
    """A source that the probe asked reported failure (not absence): the facts are unknown."""

    def __init__(self, question: str, source: str, detail: str) -> None:
        self.question, self.source, self.detail = question, source, detail
        super().__init__(Text("{question}: {source} failed: {detail}", question=question, source=source, detail=detail))


class NothingThere(LongarmError):
    """The tool or file that the probe asks is not on this host: what needs it is not applicable."""

    def __init__(self, question: str, what: str) -> None:
        self.question, self.what = question, what
        super().__init__(Text("{question}: {what} is not on this host", question=question, what=what))


@dataclass(frozen=True, slots=True, kw_only=True)
class Redaction:
    """What must not be kept: each match of `pattern` (or its group named `secret`) becomes `***`."""

    pattern: re.Pattern[bytes]
    near: tuple[bytes, ...] = ()
    """In lower case: only lines in which one of these stands, written however, are looked at, each with those below it that are
    indented, empty or items of a list. Empty: all lines."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """What is asked and the pure function that turns what was kept of it into facts."""

    question: Question
    parse: Callable[..., Facts] | None
    """Takes the kept answer; with `first`, the answer to that and then the one to `question`.

    None: the answer is kept as evidence and no facts are drawn from it.
    """
    shape: Mapping[str, Any] = field(default_factory=dict, hash=False)
    """Names to types and units, nested: {"mounts": [{"mount": "str", "used_percent": "float percent", "at": "at"}]}."""
    first: Question | None = None
    """What makes the probe a pair of samples: asked before everything else, as `question` then is asked after it.

    What grew between the two is a rate, at no time beyond that of the questions in between.
    """
    name: str = ""
    """The id of a probe that shares its question; else the question's id is its own."""
    asks: Text | None = None
    """What a shared question asks as a whole; else `summary` says it."""
    formerly: Callable[[Answer], Facts] | None = None
    """Reads the answer that older evidence keeps under the probe's own id, from before it shared its question."""
    redact: tuple[Redaction, ...] = ()
    platforms: tuple[str, ...] = ("linux",)
    summary: str = ""

    def __post_init__(self) -> None:
        if self.first and (self.first.id, self.first.max_bytes) != (f"{self.id}.first", self.question.max_bytes):
            raise ValueError(f"{self.id}: its first sample is {self.id}.first, and capped alike")
        if bool(self.name) is (self.asks is None):
            raise ValueError(f"{self.id}: what shares a question says what that asks")

    @property
    def id(self) -> str:
        """Return its name, mostly the question's id, such as `fs.stat`; in expressions `facts.fs_stat`."""
        return self.name or self.question.id

    @property
    def questions(self) -> tuple[Question, ...]:
        """Return what it asks, in the order in which `parse` takes the answers."""
        return (self.question,) if self.first is None else (self.first, self.question)
