"""The other side of a bundle, for hosts that answer from captures: read a script's head, write what a host would send."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from remote.answer import Answer, Ended
from remote.bundle.frames import FORMAT, Mark, Stream

_UPTIME_S = 1000.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """What a script says of itself in its first lines."""

    nonce: str
    questions: tuple[str, ...]
    """Ids, each at its index."""


class NotABundle(ValueError):
    """A script without the head of a bundle, or one that has not fully arrived."""


def read_manifest(script: bytes) -> Manifest:
    r"""Return what the head of `script` declares.

    >>> read_manifest(b"# longarm-bundle/1\n# nonce ab12\n# question 0 cpu.load\n{\n}\n# end ab12\n")
    Manifest(nonce='ab12', questions=('cpu.load',))

    Raises:
        NotABundle: the head is not that of this format, or the script does not end as one does.
    """
    head, brace, body = script.partition(b"\n{\n")
    first, _, rest = head.decode(errors="replace").partition("\n")
    nonce, *rows = rest.split("\n")
    if first != f"# {FORMAT}" or not nonce.startswith("# nonce ") or not brace:
        raise NotABundle(first[:80])
    for index, row in enumerate(rows):
        if not row.startswith(f"# question {index} "):
            raise NotABundle(row[:80])
    if not body.endswith(f"}}\n# end {nonce.removeprefix('# nonce ')}\n".encode()):
        raise NotABundle("its end is missing")
    questions = tuple(row.removeprefix(f"# question {index} ") for index, row in enumerate(rows))
    return Manifest(nonce=nonce.removeprefix("# nonce "), questions=questions)


def write_frames(manifest: Manifest, answers: Mapping[str, Answer]) -> tuple[bytes, bytes]:
    """Return the stdout and stderr that a well-behaved host sends if `answers` is what its questions brought.

    A question without an answer, or one that was not run, has no frames; the `why` of one that was not
    run is told as sudo's words; one that was lost breaks off before its end.
    """
    writer = _Writer(manifest.nonce)
    writer.both(0, "open", None, FORMAT, "user")
    refusals = [answer.why for answer in answers.values() if answer.ended is Ended.NOT_RUN and answer.why]
    if refusals:
        writer.both(0, "sudo", None)
        writer.stderr += refusals[0].encode()
        writer.both(0, "sudone", None, "1")
    writer.both(1, "open", None, FORMAT, "user")
    now = _UPTIME_S
    for index, question in enumerate(manifest.questions):
        answer = answers.get(question)
        if answer and answer.ended is not Ended.NOT_RUN:
            writer.question(index, answer, now)
            now += answer.duration_ms / 1000
    for part, kind in ((1, "close"), (0, "done")):
        writer.mark("stdout", part, kind, None, writer.next("stdout", part))
        writer.mark("stderr", part, kind, None, writer.next("stderr", part))
    return bytes(writer.stdout), bytes(writer.stderr)


class _Writer:
    """Both streams of a host, growing."""

    def __init__(self, nonce: str) -> None:
        self.nonce = nonce
        self.stdout, self.stderr = bytearray(), bytearray()
        self._marks: dict[tuple[Stream, int], int] = {}

    def next(self, stream: Stream, part: int) -> str:
        return str(self._marks.get((stream, part), 0) + 1)

    def mark(self, stream: Stream, part: int, kind: str, index: int | None, *fields: str) -> None:
        sequence = self._marks.get((stream, part), 0) + (kind != "status")
        self._marks[stream, part] = sequence
        out = self.stdout if stream == "stdout" else self.stderr
        out += Mark(part, sequence, kind, index, fields).encode(self.nonce)

    def both(self, part: int, kind: str, index: int | None, *fields: str) -> None:
        self.mark("stdout", part, kind, index, *fields)
        self.mark("stderr", part, kind, index, *fields)

    def question(self, index: int, answer: Answer, now: float) -> None:
        self.both(1, "begin", index, f"{now:.2f}", "root" if answer.as_root else "user")
        self.stdout += answer.stdout + b"." * abs(answer.stdout_cut)
        self.stderr += answer.stderr + b"." * max(0, answer.stderr_cut)
        if answer.exit_status is not None and answer.stdout_cut >= 0:
            self.mark("stdout", 1, "status", index, str(answer.exit_status))
        if answer.ended is not Ended.LOST:
            self.both(1, "end", index, f"{now + answer.duration_ms / 1000:.2f}", *_how(answer))


def _how(answer: Answer) -> Iterator[str]:
    yield "late" if answer.ended is Ended.TIMED_OUT else "flood" if answer.stderr_cut < 0 else "ok"
    yield from map(str, answer.unkillable)
