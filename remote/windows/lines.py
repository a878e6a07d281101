r"""What comes back of our scripts on Windows: lines of ASCII among whatever else the host says, each of which proves itself.

    \n LA1 NONCE SEQUENCE BYTES open FORMAT VERSION user|admin \n
    \n LA1 NONCE SEQUENCE BYTES answer INDEX ENDED STATUS MS CUT CUT LENGTH LENGTH SIZE SHA256 BASE64 \n
    \n LA1 NONCE SEQUENCE BYTES broken INDEX ERROR \n
    \n LA1 NONCE SEQUENCE BYTES denied|skipped INDEX \n
    \n LA1 NONCE SEQUENCE BYTES done SEQUENCE \n

NONCE     128 random bits in hex, made for this one exchange
SEQUENCE  counts the lines from 1: one that went missing shows
BYTES     of all that follows it in its line: a hole in it shows, or the rest of another one behind its beginning
ENDED     exited | timed_out | capped; STATUS is `-` where there is none
CUT       bytes left out of stdout, of stderr
LENGTH    bytes of stdout, of stderr, which stand behind each other in what BASE64 packs (gzip, SIZE bytes)
SHA256    of the words from `answer` to SIZE and of what is packed
skipped   the deadline of the whole passed before its turn; `denied`: it needs an administrator, and the user is none

Commands and files have lines of their own behind the first one (command_lines.py, file_lines.py).
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import io
import re
import zlib
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from remote.answer import Answer, Ended
from remote.question import Privilege, Question
from remote.windows.clixml import words_of

NO_ADMIN: Final = "the user has no administrator's rights here"
LATE: Final = "the deadline of the whole passed before its turn"
_NOISE: Final = 64 * 1024
_LONGEST_LINE: Final = 256 * 1024
_ROOM: Final = 1024 * 1024
"""Bytes beside the answers that a host may send."""
_OPEN = re.compile(r"open longarm-windows/1 (?P<version>[0-9A-Za-z.+-]{1,64}) (?P<who>user|admin)")
_ANSWER = re.compile(
    r"answer (?P<index>\d{1,5}) (?P<ended>exited|timed_out|capped) (?P<status>-|-?\d{1,10}) (?P<ms>\d{1,9}) "
    r"(?P<cut>\d{1,12}) (?P<error_cut>\d{1,12}) (?P<said>\d{1,9}) (?P<wrong>\d{1,9}) (?P<size>\d{1,9}) "
    r"(?P<digest>[0-9a-f]{64}) (?P<packed>[A-Za-z0-9+/]*={0,2})"
)
_NOT_ASKED = re.compile(r"(?P<how>denied|skipped) (?P<index>\d{1,5})")
_BROKEN = re.compile(r"broken (?P<index>\d{1,5}) (?P<why>[!-~]{1,200})")
_DONE = re.compile(r"done (?P<count>\d{1,9})")


class Lines(ABC):
    """Takes stdout as it comes; what is not a line of this exchange is noise, and at most one line is held."""

    def __init__(self, nonce: str, *, most: int, longest: int = _LONGEST_LINE) -> None:
        self.admin: bool | None = None
        """Whether the token has the rights of an administrator; None until the host has said so."""
        self.version = ""
        """Of PowerShell."""
        self.done = False
        self.torn = False
        """A line is missing, or is none of ours: what follows is not believed."""
        self.noise = bytearray()
        """The first of what else it said, on both streams; hostile text."""
        self.nonce = nonce
        self.most, self._longest = most + _ROOM, longest
        self._sequence = self._taken = 0
        self._held = bytearray()

    @property
    def begun(self) -> bool:
        """Tell whether the host runs the script: a line of it has come."""
        return self._sequence > 0

    @property
    def due(self) -> float:
        """Return when it should be over by the host's own account, on the clock."""
        return float("inf")

    @property
    def overfull(self) -> bool:
        """Tell whether the host says more than it may."""
        return self._taken > self.most

    def feed(self, data: bytes) -> None:
        """Take the next piece of stdout."""
        self._taken += len(data)
        self._held += data
        *lines, rest = self._held.split(b"\n")
        for line in lines:
            self._line(bytes(line).strip(b"\r"))
        self._held = rest if len(rest) <= self._longest else bytearray()  # no line of ours is as long

    def feed_stderr(self, data: bytes) -> None:
        """Take the next piece of stderr, which is of interest where nothing else comes."""
        self._taken += len(data)
        self._add_noise(data)

    def words(self, why: str) -> str:
        """Return why something is missing, with what the host said of it."""
        said = words_of(bytes(self.noise))
        return f"{why}: {said}" if why and said else why or said or "the host's script ended early"

    def _add_noise(self, data: bytes) -> None:
        self.noise += data[: max(0, _NOISE - len(self.noise))]

    def _line(self, line: bytes) -> None:
        words = line.split(b" ", 4)
        if len(words) < 5 or words[0] != b"LA1" or words[1] != self.nonce.encode():
            self._add_noise(line + b"\n" if line else b"")
            return
        if self.torn or self.done:
            return
        if words[2:4] != [str(self._sequence + 1).encode(), str(len(words[4])).encode()]:
            self.torn = True
            return
        self._sequence += 1
        text = words[4].decode("ascii", "replace")
        if match := _OPEN.fullmatch(text):
            self.version, self.admin = match["version"], match["who"] == "admin"
        else:
            self.torn = not self.take(text)

    @abstractmethod
    def take(self, text: str) -> bool:
        """Take a line of this exchange; False: it is none."""


class LineReader(Lines):
    """Reads what comes back of a bundle."""

    def __init__(self, questions: Sequence[Question], nonce: str) -> None:
        most = [2 * question.max_bytes + 4096 for question in questions]
        super().__init__(nonce, most=2 * sum(most), longest=max(_LONGEST_LINE, *(2 * one for one in most), 0))
        self.questions = questions
        self._answers: dict[int, Answer] = {}

    def finish(self, why: str, *, begun: bool = False) -> Mapping[str, Answer]:
        """Return exactly one answer for each question; what did not come whole is lost, and `why` says how that came.

        `begun`: the host may run it, though no line of it has come.
        """
        missing = Answer(ended=Ended.LOST if self.begun or begun else Ended.NOT_RUN, exit_status=None, why=self.words(why))
        return {question.id: self._answers.get(index) or _other(question) or missing for index, question in self._asked}

    @property
    def unheard(self) -> tuple[Question, ...]:
        """Return the questions that the host has said nothing of."""
        return tuple(one for index, one in self._asked if index not in self._answers and _other(one) is None)

    @property
    def _asked(self) -> Iterable[tuple[int, Question]]:
        return enumerate(self.questions)

    def take(self, text: str) -> bool:
        """Take a line."""
        if match := _ANSWER.fullmatch(text):
            self._keep(match)
        elif match := _BROKEN.fullmatch(text):
            self._put(int(match["index"]), _lost(f"the host could not ask it: {match['why']}"))
        elif match := _NOT_ASKED.fullmatch(text):
            self._put(int(match["index"]), _denied() if match["how"] == "denied" else _not_run(LATE))
        elif match := _DONE.fullmatch(text):
            self.done = int(match["count"]) == self._sequence
        else:
            return False
        return True

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
        answer = Answer(
            ended=Ended(match["ended"]),
            exit_status=None if match["status"] == "-" else int(match["status"]),
            stdout=streams[:said],
            stderr=streams[said:],
            duration_ms=int(match["ms"]),
            stdout_cut=int(match["cut"]),
            stderr_cut=int(match["error_cut"]),
            as_root=bool(self.admin),
            denied=NO_ADMIN if self.admin is False and self.questions[index].privilege is not Privilege.USER else "",
        )
        self._put(index, answer)

    def _put(self, index: int, answer: Answer) -> None:
        self._answers.setdefault(index, answer)


def _other(question: Question) -> Answer | None:
    return None if question.shell == "powershell" else _not_run(f"not a shell of this transport: {question.shell}")


def _lost(why: str) -> Answer:
    return Answer(ended=Ended.LOST, exit_status=None, why=why)


def _not_run(why: str) -> Answer:
    return Answer(ended=Ended.NOT_RUN, exit_status=None, why=why)


def _denied() -> Answer:
    return Answer(ended=Ended.NOT_RUN, exit_status=None, why=NO_ADMIN, denied=NO_ADMIN)


def _unpacked(match: re.Match[str], length: int) -> bytes | None:
    """Return both streams of an answer, None if they are not what the host says they are."""
    try:
        packed = base64.b64decode(match["packed"], validate=True)
        if len(packed) != int(match["size"]) or _digest(match[0].rsplit(" ", 2)[0], packed) != match["digest"]:
            return None
        with gzip.GzipFile(fileobj=io.BytesIO(packed)) as file:
            streams = file.read(length + 1)  # never more than was announced: it may unpack to a thousand times its size
    except (OSError, EOFError, ValueError, zlib.error):
        return None
    return streams if len(streams) == length else None


def _digest(head: str, packed: bytes) -> str:
    return hashlib.sha256(head.encode("ascii") + packed).hexdigest()


@dataclass(slots=True)
class LineWriter:
    """Writes lines as a well-behaved host does."""

    nonce: str
    version: str = "5.1.20348.2849"
    admin: bool = True
    texts: list[str] = field(default_factory=list)
    _taken: int = 0

    def __post_init__(self) -> None:
        self.texts.append(f"open longarm-windows/1 {self.version} {'admin' if self.admin else 'user'}")

    def add(self, text: str) -> None:
        """Add a line."""
        self.texts.append(text)

    def written(self) -> bytes:
        """Return all lines so far."""
        return self._lines(0)

    def take(self) -> bytes:
        """Return the lines that were not taken yet."""
        taken, self._taken = self._taken, len(self.texts)
        return self._lines(taken)

    def _lines(self, begin: int) -> bytes:
        numbered = enumerate(self.texts[begin:], begin + 1)
        return b"".join(f"\nLA1 {self.nonce} {number} {len(text)} {text}\n".encode() for number, text in numbered)


def write_lines(questions: Sequence[str], nonce: str, answers: Mapping[str, Answer], *, version: str, admin: bool) -> bytes:
    """Return what a well-behaved host sends if `answers` is what its questions brought, by id; others have no line."""
    writer = LineWriter(nonce, version, admin)
    for index, question in enumerate(questions):
        answer = answers.get(question)
        if answer is not None and answer.denied and answer.ended is Ended.NOT_RUN:
            writer.add(f"denied {index}")
        if answer is None or answer.ended in {Ended.NOT_RUN, Ended.LOST}:
            continue
        packed = gzip.compress(answer.stdout + answer.stderr, mtime=0)
        status = "-" if answer.exit_status is None else answer.exit_status
        head = (
            f"answer {index} {answer.ended} {status} {answer.duration_ms} {answer.stdout_cut} {answer.stderr_cut} "
            f"{len(answer.stdout)} {len(answer.stderr)} {len(packed)}"
        )
        writer.add(f"{head} {_digest(head, packed)} {base64.b64encode(packed).decode()}")
    writer.add(f"done {len(writer.texts) + 1}")
    return writer.written()
