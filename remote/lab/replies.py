"""The host's side of a bundle, from captured answers: which questions a script asks, and the frames of their answers.

Nothing of the script is run. A question without a captured answer gets no frames at all, and is
told apart by the asking side as one that was not run.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import asyncssh

from remote.answer import Answer, Ended
from remote.bundle.frames import FORMAT, Mark, Stream
from remote.bundle.wire import COMMAND

_HEAD = re.compile(rb"# (\S+)\n# nonce ([0-9a-f]{16,64})\n((?:# question [0-9]+ [a-z0-9_.-]+\n)*)\{\n")
_QUESTION = re.compile(rb"# question ([0-9]+) (\S+)\n")
_LONGEST_HEAD = 64 * 1024
_USER_PART, _ROOT_PART = 1, 2
_STREAMS: tuple[Stream, ...] = ("stdout", "stderr")
NOT_OURS = 127


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What the head of a script says: the nonce for the frames and the questions by their numbers."""

    nonce: str
    questions: Mapping[int, str]


def read_head(script: bytes) -> Asked | None:
    """Return what a script asks once its head has arrived whole, else None."""
    if (head := _HEAD.match(script)) is None or head[1].decode() != FORMAT:
        return None
    questions = {int(number): name.decode() for number, name in _QUESTION.findall(head[3])}
    return Asked(nonce=head[2].decode(), questions=questions)


@dataclass(slots=True)
class _Writer:
    """Writes marks of one nonce and counts them by part and stream."""

    nonce: str
    out: dict[Stream, bytearray] = field(default_factory=lambda: {"stdout": bytearray(), "stderr": bytearray()})
    counts: dict[tuple[int, Stream], int] = field(default_factory=dict)

    def mark(self, part: int, stream: Stream, kind: str, index: int | None = None, *fields: str) -> None:
        """Write a mark; a status bears the number of the mark before it and is not counted."""
        number = self.counts.get((part, stream), 0) + (kind != "status")
        self.counts[part, stream] = number
        self.out[stream] += Mark(part, number, kind, index, fields).encode(self.nonce)

    def both(self, part: int, kind: str, index: int | None = None, *fields: str) -> None:
        """Write the same mark on both streams."""
        for stream in _STREAMS:
            self.mark(part, stream, kind, index, *fields)

    def end_of(self, part: int, kind: str) -> None:
        """Write the mark that ends a part and carries the count of its marks, itself included."""
        for stream in _STREAMS:
            self.mark(part, stream, kind, None, str(self.counts.get((part, stream), 0) + 1))


def frames(asked: Asked, answers: Mapping[str, Answer]) -> tuple[bytes, bytes]:
    """Return what a host writes to stdout and stderr when it gives these answers to a script."""
    known = [(index, answers[question]) for index, question in asked.questions.items() if question in answers]
    writer = _Writer(asked.nonce)
    writer.both(0, "open", None, FORMAT, "user")
    _write_part(writer, _USER_PART, "user", [pair for pair in known if not pair[1].as_root])
    as_root = [pair for pair in known if pair[1].as_root]
    refusal = next((answer.why for _, answer in known if answer.ended is Ended.NOT_RUN), None)
    if as_root or refusal is not None:
        writer.both(0, "sudo")
        if as_root:
            _write_part(writer, _ROOT_PART, "root", as_root)
        else:
            writer.out["stderr"] += (refusal or "").encode()
        writer.both(0, "sudone", None, "77" if as_root else "1")
    writer.end_of(0, "done")
    return bytes(writer.out["stdout"]), bytes(writer.out["stderr"])


def _write_part(writer: _Writer, part: int, identity: str, answers: Iterable[tuple[int, Answer]]) -> None:
    writer.both(part, "open", None, FORMAT, identity)
    for index, answer in answers:
        if answer.ended is not Ended.NOT_RUN:
            _write_answer(writer, part, identity, index, answer)
    writer.end_of(part, "close")


def _write_answer(writer: _Writer, part: int, identity: str, index: int, answer: Answer) -> None:
    begun, ended = _uptimes(answer)
    writer.both(part, "begin", index, begun, identity)
    writer.out["stdout"] += answer.stdout
    writer.out["stderr"] += answer.stderr
    if answer.ended is Ended.LOST:
        return
    if answer.exit_status is not None:
        writer.mark(part, "stdout", "status", index, str(answer.exit_status))
    how = {Ended.TIMED_OUT: "late", Ended.CAPPED: "flood"}.get(answer.ended, "ok")
    writer.both(part, "end", index, ended, how)


def _uptimes(answer: Answer) -> tuple[str, str]:
    return "100.00", f"{100 + answer.duration_ms / 1000:.2f}"


async def reply_to(process: asyncssh.SSHServerProcess[bytes], answers: Mapping[str, Answer]) -> int:
    """Answer a bundle on the streams of `process` and return its exit status; anything else is refused."""
    asked = await _asked(process) if process.command == COMMAND else None
    if asked is None:
        process.stderr.write(b"This is a practice host: it answers the questions of longarm and nothing else.\n")
        return NOT_OURS
    for stream, data in zip((process.stdout, process.stderr), frames(asked, answers), strict=True):
        stream.write(data)
        await stream.drain()
    await _rest(process)
    return 0


async def _asked(process: asyncssh.SSHServerProcess[bytes]) -> Asked | None:
    """Return what the script on stdin asks, None if what comes there is no bundle."""
    head = b""
    while len(head) < _LONGEST_HEAD and (piece := await process.stdin.read(_LONGEST_HEAD)):
        head += piece
        if asked := read_head(head):
            return asked
    return None


async def _rest(process: asyncssh.SSHServerProcess[bytes]) -> None:
    """Take the rest of the script until the caller has what it wants and leaves."""
    while await process.stdin.read(_LONGEST_HEAD):
        pass
