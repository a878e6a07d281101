"""How questions ended, packed: a run of ten thousand hosts keeps a quarter of a million of them until its report is written."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from struct import Struct
from typing import Final, overload

from remote.answer import Answer, Ended

_ENDS: Final = tuple(Ended)
_ROOT: Final = len(_ENDS)
_PLAIN: Final = Struct("<BBIII")
"""Ended (and whether it was as root), exit status, milliseconds, bytes of stdout and of stderr."""
_LARGEST: Final = 2**32 - 1
_LARGEST_STATUS: Final = 255


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerNote:
    """How one question ended on one host, without its text."""

    question: str
    ended: Ended
    exit_status: int | None
    duration_ms: int
    stdout_bytes: int
    stderr_bytes: int
    as_root: bool = False
    why: str = ""
    unkillable: tuple[int, ...] = ()


class Notes(Sequence[AnswerNote]):
    """The notes of one host, in the order of its questions: 14 bytes for each that exited, and nothing is to be said of."""

    __slots__ = ("_odd", "_packed", "_questions")

    def __init__(self, notes: Sequence[AnswerNote] = ()) -> None:
        self._questions = _same(tuple(note.question for note in notes))
        self._odd = {at: note for at, note in enumerate(notes) if not _is_plain(note)}
        self._packed = b"".join(_pack(note) for at, note in enumerate(notes) if at not in self._odd)

    @classmethod
    def of(cls, answers: Mapping[str, Answer]) -> Notes:
        """Return the notes of answers, by the names of their questions."""
        return cls([_note(question, answers[question]) for question in sorted(answers)])

    def __len__(self) -> int:
        return len(self._questions)

    def __iter__(self) -> Iterator[AnswerNote]:
        plain = _PLAIN.iter_unpack(self._packed)
        for at, question in enumerate(self._questions):
            yield self._odd[at] if at in self._odd else _unpack(question, *next(plain))

    @overload
    def __getitem__(self, at: int) -> AnswerNote: ...
    @overload
    def __getitem__(self, at: slice) -> tuple[AnswerNote, ...]: ...
    def __getitem__(self, at: int | slice) -> AnswerNote | tuple[AnswerNote, ...]:
        return tuple(self)[at]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Notes) and tuple(self) == tuple(other)

    def __hash__(self) -> int:
        return hash((self._questions, self._packed))

    def __repr__(self) -> str:
        return f"Notes({list(self)!r})"


@lru_cache(maxsize=64)
def _same(questions: tuple[str, ...]) -> tuple[str, ...]:
    """Return one tuple for all hosts that were asked the same."""
    return questions


def _note(question: str, answer: Answer) -> AnswerNote:
    return AnswerNote(
        question=question,
        ended=answer.ended,
        exit_status=answer.exit_status,
        duration_ms=answer.duration_ms,
        stdout_bytes=len(answer.stdout),
        stderr_bytes=len(answer.stderr),
        as_root=answer.as_root,
        why=answer.why,
        unkillable=answer.unkillable,
    )


def _is_plain(note: AnswerNote) -> bool:
    if note.why or note.unkillable or note.exit_status is None:
        return False
    return 0 <= note.exit_status <= _LARGEST_STATUS and max(note.duration_ms, note.stdout_bytes, note.stderr_bytes) <= _LARGEST


def _pack(note: AnswerNote) -> bytes:
    ended = _ENDS.index(note.ended) + _ROOT * note.as_root
    assert note.exit_status is not None  # _is_plain says so
    return _PLAIN.pack(ended, note.exit_status, note.duration_ms, note.stdout_bytes, note.stderr_bytes)


def _unpack(question: str, ended: int, exit_status: int, duration_ms: int, stdout_bytes: int, stderr_bytes: int) -> AnswerNote:
    return AnswerNote(
        question=question,
        ended=_ENDS[ended % _ROOT],
        exit_status=exit_status,
        duration_ms=duration_ms,
        stdout_bytes=stdout_bytes,
        stderr_bytes=stderr_bytes,
        as_root=ended >= _ROOT,
    )
