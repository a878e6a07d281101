r"""What comes back of a Windows bundle: lines of ASCII among whatever else the host says, each of which proves itself.

    \n LA1 NONCE SEQUENCE open FORMAT VERSION user|admin \n
    \n LA1 NONCE SEQUENCE answer INDEX ENDED STATUS MS CUT CUT LENGTH LENGTH SIZE SHA256 BASE64 \n
    \n LA1 NONCE SEQUENCE broken INDEX ERROR \n
    \n LA1 NONCE SEQUENCE done SEQUENCE \n

NONCE     128 random bits in hex, made for this one exchange
SEQUENCE  counts the lines from 1: one that went missing shows
ENDED     exited | timed_out | capped; STATUS is `-` where there is none
CUT       bytes left out of stdout, of stderr
LENGTH    bytes of stdout, of stderr, which stand behind each other in what BASE64 packs (gzip, SIZE bytes, their SHA-256)
"""

from __future__ import annotations

import base64
import binascii
import gzip
import hashlib
import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from remote.answer import Answer, Ended
from remote.question import Question

LONGEST_LINE = 4 * 1024 * 1024
_OPEN = re.compile(r"open longarm-windows/1 (?P<version>[0-9A-Za-z.+-]{1,64}) (?P<who>user|admin)")
_ANSWER = re.compile(
    r"answer (?P<index>\d{1,5}) (?P<ended>exited|timed_out|capped) (?P<status>-|\d{1,10}) (?P<ms>\d{1,9}) "
    r"(?P<cut>\d{1,12}) (?P<error_cut>\d{1,12}) (?P<said>\d{1,9}) (?P<wrong>\d{1,9}) (?P<size>\d{1,9}) "
    r"(?P<digest>[0-9a-f]{64}) (?P<packed>[A-Za-z0-9+/]*={0,2})"
)
_BROKEN = re.compile(r"broken (?P<index>\d{1,5}) (?P<why>[!-~]{1,200})")
_DONE = re.compile(r"done (?P<count>\d{1,9})")


@dataclass(slots=True)
class LineReader:
    """Reads stdout as it comes; what is not a line of this exchange is noise, and at most one line is held."""

    questions: Sequence[Question]
    nonce: str
    admin: bool | None = None
    """Whether the token has the rights of an administrator; None until the host has said so."""
    version: str = ""
    """Of PowerShell."""
    done: bool = False
    _answers: dict[int, Answer] = field(default_factory=dict)
    _sequence: int = 0
    _torn: bool = False
    _held: bytearray = field(default_factory=bytearray)

    def feed(self, data: bytes) -> None:
        """Take the next piece of stdout."""
        self._held += data
        while (end := self._held.find(b"\n")) >= 0:
            line = bytes(self._held[:end]).strip(b"\r")
            del self._held[: end + 1]
            self._line(line)
        if len(self._held) > LONGEST_LINE:
            self._held.clear()  # no line of ours is as long

    def finish(self, why: str) -> Mapping[str, Answer]:
        """Return exactly one answer for each question; what did not come whole is lost, and `why` says how that came."""
        lost = Ended.LOST if self._sequence else Ended.NOT_RUN
        missing = Answer(ended=lost, exit_status=None, stdout=b"", stderr=b"", duration_ms=0, why=why)
        return {question.id: self._answers.get(index, missing) for index, question in enumerate(self.questions)}

    def _line(self, line: bytes) -> None:
        words = line.split(b" ", 3)
        if len(words) < 4 or words[0] != b"LA1" or words[1] != self.nonce.encode() or self._torn or self.done:
            return
        if words[2] != str(self._sequence + 1).encode():
            self._torn = True  # a line is missing: what follows may be anything
            return
        self._sequence += 1
        text = words[3].decode("ascii", "replace")
        if match := _ANSWER.fullmatch(text):
            self._keep(match)
        elif match := _OPEN.fullmatch(text):
            self.version, self.admin = match["version"], match["who"] == "admin"
        elif match := _BROKEN.fullmatch(text):
            self._put(int(match["index"]), _lost(f"the host could not ask it: {match['why']}"))
        elif match := _DONE.fullmatch(text):
            self.done = int(match["count"]) == self._sequence
        else:
            self._torn = True

    def _keep(self, match: re.Match[str]) -> None:
        index, said, wrong = int(match["index"]), int(match["said"]), int(match["wrong"])
        if index >= len(self.questions):
            return
        most = self.questions[index].max_bytes
        if said > most or wrong > most:
            self._put(index, _lost("it said more than it was asked for"))
            return
        streams = _unpacked(match, said + wrong)
        if streams is None:
            self._put(index, _lost("its digest does not hold"))
            return
        status = None if match["status"] == "-" else int(match["status"])
        answer = Answer(
            ended=Ended(match["ended"]),
            exit_status=status,
            stdout=streams[:said],
            stderr=streams[said:],
            duration_ms=int(match["ms"]),
            stdout_cut=int(match["cut"]),
            stderr_cut=int(match["error_cut"]),
            as_root=bool(self.admin),
        )
        self._put(index, answer)

    def _put(self, index: int, answer: Answer) -> None:
        self._answers.setdefault(index, answer)


def _lost(why: str) -> Answer:
    return Answer(ended=Ended.LOST, exit_status=None, stdout=b"", stderr=b"", duration_ms=0, why=why)


def _unpacked(match: re.Match[str], length: int) -> bytes | None:
    """Return both streams of an answer, None if they are not what the host says they are."""
    try:
        packed = base64.b64decode(match["packed"], validate=True)
        if len(packed) != int(match["size"]) or hashlib.sha256(packed).hexdigest() != match["digest"]:
            return None
        with gzip.GzipFile(fileobj=io.BytesIO(packed)) as file:
            streams = file.read(length + 1)  # never more than was announced: it may unpack to a thousand times its size
    except (OSError, EOFError, binascii.Error):
        return None
    return streams if len(streams) == length else None


def write_lines(questions: Sequence[str], nonce: str, answers: Mapping[str, Answer], *, version: str, admin: bool) -> bytes:
    """Return what a well-behaved host sends if `answers` is what its questions brought, by id; others have no line."""
    texts = [f"open longarm-windows/1 {version} {'admin' if admin else 'user'}"]
    for index, question in enumerate(questions):
        answer = answers.get(question)
        if answer is None or answer.ended in {Ended.NOT_RUN, Ended.LOST}:
            continue
        packed = gzip.compress(answer.stdout + answer.stderr, mtime=0)
        status = "-" if answer.exit_status is None else answer.exit_status
        texts.append(
            f"answer {index} {answer.ended} {status} {answer.duration_ms} {answer.stdout_cut} {answer.stderr_cut} "
            f"{len(answer.stdout)} {len(answer.stderr)} {len(packed)} {hashlib.sha256(packed).hexdigest()} "
            f"{base64.b64encode(packed).decode()}"
        )
    texts.append(f"done {len(texts) + 1}")
    return b"".join(f"\nLA1 {nonce} {number} {text}\n".encode() for number, text in enumerate(texts, 1))
