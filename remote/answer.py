"""Answers: what a question brought back, kept as bytes until a parser decides what they mean."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class Ended(StrEnum):
    """How a question ended; only EXITED can be parsed."""

    EXITED = "exited"
    TIMED_OUT = "timed_out"  # its own deadline; others are not affected
    CAPPED = "capped"  # more bytes than allowed; head and tail of what was allowed are kept
    LOST = "lost"  # the connection went away before its frame was complete
    NOT_RUN = "not_run"  # never started: `why` says what stood in the way


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What one question brought back from one host."""

    ended: Ended
    exit_status: int | None
    """None: the host gave none, which is never success."""
    stdout: bytes = b""
    stderr: bytes = b""
    duration_ms: int = 0
    stdout_cut: int = 0
    """Bytes of stdout that are known to have been dropped (0: none; -1: dropped, count unknown)."""
    stderr_cut: int = 0
    as_root: bool = False
    unkillable: tuple[int, ...] = ()
    """Pids that outlived SIGKILL when the deadline passed."""
    why: str = ""
    """For LOST and NOT_RUN: the reason, in the host's or our own words; hostile text."""
    denied: str = ""
    """Why it was not asked as root though it should have been, in sudo's words; hostile text."""


def answered(stdout: bytes, *, stderr: bytes = b"", exit_status: int = 0) -> Answer:
    """Return a complete answer, as doctests and parser tests need it."""
    return Answer(ended=Ended.EXITED, exit_status=exit_status, stdout=stdout, stderr=stderr)


NO_TIME: Final = "no time was left"


def no_end(deadline_s: float) -> str:
    """Return why something was given up that was not over in so much time.

    >>> no_end(1.5), no_end(0.012)
    ('no end after 1.5 s', 'no time was left')
    """
    return f"no end after {round(deadline_s, 1):g} s" if deadline_s >= _TOLD_S else NO_TIME


def not_started(deadline_s: float) -> str:
    """Return why something was given up that the host did not begin in so much time.

    >>> not_started(0.0)
    'no time was left'
    """
    return f"the host did not start a command within {round(deadline_s, 1):g} s" if deadline_s >= _TOLD_S else NO_TIME


_TOLD_S: Final = 0.05
"""Less than this was no time at all: “within 0 s” says nothing."""
