"""What a command, or the extract of a file, brought from one host, as reports show it: a part of it, with what it lacks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from remote.answer import Answer, Ended
from remote.command import COMMAND, EXTRACT, ORIGIN

MOST_SHOWN = 16 * 1024
"""Bytes of each stream that a record holds; the answer itself is evidence."""
MOST_FACTS = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Output:
    """Text of a host: masked, decoded with replacement, hostile."""

    ended: Ended
    exit_status: int | None
    stdout: str
    stderr: str
    cut: bool = False
    """There is more: in the evidence, or it was dropped on the way."""
    origin: tuple[tuple[str, str], ...] = ()
    """Of an extract: what the host says of the file it is from."""


def output_of(answers: Mapping[str, Answer]) -> Output | None:
    """Return what was brought, None where these are the answers of a diagnosis or the recording of a terminal."""
    answer = answers.get(COMMAND) or answers.get(EXTRACT)
    if answer is None:
        return None
    out, more_out = _shown(answer.stdout)
    err, more_err = _shown(answer.stderr)
    return Output(
        ended=answer.ended,
        exit_status=answer.exit_status,
        stdout=out,
        stderr=err,
        cut=more_out or more_err or bool(answer.stdout_cut or answer.stderr_cut),
        origin=origin_of(answers),
    )


def origin_of(answers: Mapping[str, Answer]) -> tuple[tuple[str, str], ...]:
    """Return what the host said of a file, line by line `name=value`; hostile text."""
    said = answers[ORIGIN].stdout.decode(errors="replace") if ORIGIN in answers else ""
    pairs = (line.partition("=") for line in said.splitlines()[:MOST_FACTS])
    return tuple((name[:40], value[:500]) for name, equals, value in pairs if equals)


def _shown(data: bytes) -> tuple[str, bool]:
    """Return the head and the tail of what is long, whole lines where there are some, and whether that is not all."""
    if len(data) <= MOST_SHOWN:
        return data.decode(errors="replace"), False
    half = MOST_SHOWN // 2
    head, tail = data[:half], data[-half:]
    head = head[: head.rfind(b"\n") + 1] or head
    tail = tail[tail.find(b"\n") + 1 :]
    return f"{head.decode(errors='replace')}…\n{tail.decode(errors='replace')}", True
