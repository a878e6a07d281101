"""Our side of a bundle: the script that goes out, and the answers told from the bytes that come back."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from remote.answer import Answer, Ended
from remote.bundle.attempt import FLOOD, STDERR_LIMIT, Attempt
from remote.bundle.denials import SLOW
from remote.bundle.elevation import HUSH_S, Elevation, Verdict, Want
from remote.bundle.frames import FORMAT, FrameReader, Mark, Stream
from remote.bundle.script import is_calm, write_script
from remote.question import Privilege, Question

GRACE_S = 5.0
"""How long after a question's deadline its end may take to arrive before we give up on the host's own watchdog."""
ROOT_GRACE_S = 20.0
"""How long sudo may take until the first root question begins."""
FIRST_PART, ROOT_PART, DENIED_PART, LAST_PART = 1, 2, 3, 699
"""Of questions; those that prefer root are asked in the third one where that was denied."""
NUDGE, NUDGE_S, SLEEPER_S = b"#!\n", 1.5, 3.0
"""What a question is ended by that the host asks without filters and a clock of its own; after how long, and one that sleeps.
To whatever else may read it, a comment."""
AGAIN_S = 5.0
"""How long after a nudge the next one follows, if it was missed: one that comes before the shell waits for its question
is. Where the question floods, after four times as much."""
BREATH_BYTES, BREATH_S = 2**18, 0.01
"""How much of a flood is read before the host is left in peace for a moment. Read as fast as a pipe gives (1 GB/s) it takes
all its processors, and the shell that is to end it comes too late: all caps together went by (measured at a load of 12)."""
SETTLE_S = 2.0
"""How long the final frames may take once every question has ended."""
NOISE_LIMIT = 4096
"""How much is kept of what is said outside frames: greetings, sudo's words, a shell that is none."""
MOST_ATTEMPTS = 400
"""How often a host may ask questions again, in other parts, before it is taken for none of ours."""
GREETING_LIMIT = 2**18
"""How much may be said on one stream before its first mark: a host that talks and does not answer is left early."""
TALK_LIMIT, TALK_EACH = 2 * 2**20, 2**18
"""How much may be said outside frames on one stream in all, and more for each question: what a leftover of the last
question may flood through the filter of stderr (runner.sh)."""
MARK_SIZE = 64
"""What each mark counts of that: a host may send nothing but marks, of which each costs as much to read as KiB of an answer."""


@dataclass(slots=True)
class _Side:
    """What is known of one of the two streams."""

    reader: FrameReader
    current: Attempt | None = None
    noise: bytearray = field(default_factory=bytearray)
    said: int = 0
    """Bytes outside of frames, kept or not, and marks."""
    marks: dict[int, int] = field(default_factory=dict)
    """How many marks of each part were seen."""
    open_parts: set[int] = field(default_factory=set)
    writers: dict[int, Attempt | None] = field(default_factory=dict)
    """Parts that have begun, each beside or after the one before it: only the last may write. And whose payload each cut in
    two: a filter that we read from late may be held with an earlier question's rest and the beginning of the slow one."""
    torn: bool = False
    """Another one may have written too: from here on nobody knows whose the payloads are."""
    done: bool = False
    asking: bool = False
    """Between `sudoask` and `sudone`: what comes now is sudo's."""

    def look_for_tears(self, stream: Stream, mark: Mark) -> None:
        """Note who may write after `mark`; it tears the stream if another part has not said that it is over.

        Such a one was killed, and what it had started may write on (measured: an answer with 4 KiB of its neighbour's).
        """
        match mark.kind:
            case "open":
                held = self.current
                for replaced in mark.fields[2:]:
                    if replaced.isdecimal() and int(replaced) in self.writers:
                        held = self.writers.pop(int(replaced))
                # held up on its way until the slow question went on: whoever waits for it was told that it had ended
                self.torn |= not mark.fields[2:] and held is not None and held.sides[stream].resumed
                self.writers.setdefault(mark.part, held)
            case "sudo":
                self.writers = {mark.part: None}  # main waits for all filters of what it asked itself
            case _:
                self.torn |= mark.part in self.writers and mark.part != next(reversed(self.writers))
        if self.torn and self.current:
            self.current.sides[stream].broken = True
        match mark.kind:
            case "open":
                self.current = None
            case "close" | "done":
                self.current = self.writers.pop(mark.part, None)
            case _ if mark.index is None:
                self.current = None


class BundleExchange:
    """One bundle to one host: `script` out, streams in, exactly one answer per question at the end.

    Holds no connection and waits for nothing; `clock` is monotonic seconds.
    """

    def __init__(
        self,
        questions: Sequence[Question],
        *,
        nonce: str | None = None,
        clock: Callable[[], float] = time.monotonic,
        elevation: Elevation | None = None,
    ) -> None:
        assert len({question.id for question in questions}) == len(questions), "question ids in one bundle are unique"
        self.nonce: Final = nonce or secrets.token_hex(16)
        self.questions: Final = tuple(questions)
        self.elevation: Final = elevation or Elevation()
        """How another user is become, for the questions that want one."""
        self._clock = clock
        self._sides: dict[Stream, _Side] = {"stdout": _Side(FrameReader(self.nonce)), "stderr": _Side(FrameReader(self.nonce))}
        self._attempts: dict[tuple[int, int], Attempt] = {}
        self._running: dict[int, Attempt] = {}
        """By part, begun and not ended on stdout; the last one is asked now, the others are held until it is over."""
        self._given_up: Attempt | None = None
        self._root_due: float | None = None
        self._hushed: float | None = None
        """From when on what another user's tool said last counts as all that it says."""
        self._unended = {(index, stream) for index in range(len(self.questions)) for stream in ("stdout", "stderr")}
        self._settled: float | None = None
        self._slow = ""
        """What was waited for in vain, to become another user."""
        self._denied: tuple[str, str] | None = None
        """What the tool said beside the bundle, and its status, once it has ended without another user's shell."""
        self._received = self._breathed = 0
        self._talk_limit = TALK_LIMIT + TALK_EACH * len(self.questions)
        self.receive_limit: Final = 16 * 2**20 + 2 * sum(question.max_bytes + STDERR_LIMIT for question in self.questions)

    @property
    def script(self) -> bytes:
        """Return what goes to stdin of one `/bin/sh`; stdin then stays open, its end tells the host to kill everything.

        Made anew each time: with hundreds of hosts in flight nobody keeps tens of KiB for each of them.
        """
        return write_script(self.questions, self.nonce, self.elevation)

    def feed_stdout(self, data: bytes) -> None:
        """Take what arrived on stdout."""
        self._feed("stdout", data)

    def feed_stderr(self, data: bytes) -> None:
        """Take what arrived on stderr."""
        self._feed("stderr", data)

    @property
    def complete(self) -> bool:
        """Whether everything is accounted for: both final frames arrived and no part is open, or nothing else can come.

        The second is a host whose runner cannot finish, held up by what a question left there, after
        each question has ended on both streams.
        """
        if all(side.done and not side.open_parts for side in self._sides.values()):
            return True
        return self._settled is not None and self._clock() >= self._settled

    @property
    def begun(self) -> bool:
        """Whether the host's shell runs the script: a mark of it has arrived."""
        return any(side.marks for side in self._sides.values())

    @property
    def overfull(self) -> bool:
        """Whether the host sent more than all caps together, twice over, or talks on outside of frames: leave it."""
        return self._received > self.receive_limit or any(
            side.said > (self._talk_limit if side.marks else GREETING_LIMIT) for side in self._sides.values()
        )

    @property
    def due(self) -> float:
        """Return when `overdue`, `nudge`, `wants` and `complete` are worth asking again, on the clock."""
        moments = [moment for moment in (self._root_due, self._hushed, self._settled) if moment is not None]
        if running := self._asked_now:
            moments += [running.due, running.nudge_at]
        return min(moments, default=float("inf"))

    def nudge(self, now: float) -> bytes:
        """Return what to tell the host now: what it asks without filters takes long or floods (decision 29); or nothing."""
        running = self._asked_now
        if running is None or running.nudge_at == float("inf") or not (now >= running.nudge_at or running.floods):
            return b""
        running.nudge_at, running.enough = now + AGAIN_S, 4 * running.enough
        return NUDGE

    def breath_s(self) -> float:
        """Return for how many seconds to leave the streams alone now, so that the host can end what floods."""
        running = self._asked_now
        if running is None or self._received - self._breathed < BREATH_BYTES or running.over < FLOOD // 2:
            return 0.0
        self._breathed = self._received
        return BREATH_S

    def overdue(self, now: float) -> str | None:
        """Return what should have ended by `now` and did not (a question's id, or `sudo`, `doas`, `su`), else None."""
        if (running := self._asked_now) and now >= running.due:
            self._given_up = running
            return running.question.id
        if self._root_due is not None and now >= self._root_due:
            self._slow = SLOW.format(name=self.elevation.become.method.value, number=f"{ROOT_GRACE_S:g}")
            return self.elevation.become.method.value
        return None

    @property
    def _asked_now(self) -> Attempt | None:
        return next(reversed(self._running.values()), None)

    def wants(self, now: float) -> Want | None:
        """Return what sudo or su waits for; only what it says between its own marks on both streams counts."""
        out, err = self._sides["stdout"], self._sides["stderr"]
        hushed = self._hushed is None or now >= self._hushed
        if hushed:
            self._hushed = None
        if not (out.asking and err.asking) or ROOT_PART in out.marks or ROOT_PART in err.marks:
            return None
        wants = self.elevation.wants(bytes(out.noise) + out.reader.held, bytes(err.noise) + err.reader.held)
        return wants if hushed or wants is not Want.ELSE else None

    def answered_sudo(self) -> None:
        """Note that sudo was given what it waited for: its time begins anew."""
        self._root_due = self._clock() + ROOT_GRACE_S

    @property
    def denied(self) -> bool:
        """Whether the tool has ended without another user's shell; its words may still be on their way, in a terminal."""
        return self._denied is not None

    @property
    def _denial(self) -> str | None:
        """Return why another user could not be become, in words, once that has ended."""
        return None if self._denied is None else self.elevation.denial(*self._denied)

    @property
    def password_verdict(self) -> Verdict | None:
        """Return what became of a password that was sent; None while that is open."""
        return self.elevation.verdict(self._denial)

    def finish(self, why: str, *, cut: bool = False) -> dict[str, Answer]:
        """Return exactly one answer for each question; `why` says what cut the exchange short, if anything did.

        `cut`: more may have been on its way. Then nobody knows of what is asked once whether it began.
        """
        return {question.id: self._answer(index, question, why, cut) for index, question in enumerate(self.questions)}

    def _feed(self, stream: Stream, data: bytes) -> None:
        self._received += len(data)
        for piece in self._sides[stream].reader.feed(data):
            if isinstance(piece, Mark):
                self._sides[stream].said += MARK_SIZE
                self._mark(stream, piece)
            else:
                self._payload(stream, piece)
        if self._sides[stream].asking:
            self._hushed = self._clock() + HUSH_S

    def _payload(self, stream: Stream, data: bytes) -> None:
        side = self._sides[stream]
        if side.current:
            side.current.sides[stream].kept.add(data)
        else:
            side.said += len(data)
            side.noise += data[: NOISE_LIMIT - len(side.noise)]

    def _mark(self, stream: Stream, mark: Mark) -> None:
        if mark.part > LAST_PART:  # no runner of ours numbers so
            return
        side = self._sides[stream]
        if mark.kind != "status":
            side.marks[mark.part] = side.marks.get(mark.part, 0) + 1
        side.look_for_tears(stream, mark)
        if mark.index is not None:
            self._question_mark(stream, mark, mark.index)
            return
        if mark.kind in ("sudo", "sudoask", "sudone"):
            self._sudo_mark(stream, mark)
        elif mark.kind == "open" and mark.fields[:1] == (FORMAT,):
            side.open_parts.add(mark.part)
            for replaced in mark.fields[2:]:
                if replaced.isdecimal():
                    side.open_parts.discard(int(replaced))
                    if stream == "stdout":
                        self._over(int(replaced))
        elif mark.kind in ("close", "done") and mark.fields == (str(side.marks[mark.part]),):
            side.open_parts.discard(mark.part)  # with another count, marks were lost: the part stays open
            side.done |= mark.kind == "done"

    def _sudo_mark(self, stream: Stream, mark: Mark) -> None:
        side = self._sides[stream]
        side.asking = mark.kind == "sudoask" and ROOT_PART not in side.marks
        if mark.kind != "sudone":
            side.noise.clear()
        elif stream == "stderr" and ROOT_PART not in side.marks:
            self._denied = _words(side.noise), " ".join(mark.fields)
        if stream == "stdout":  # the stream that the first root question begins on
            self._root_due = None if mark.kind == "sudone" else self._clock() + ROOT_GRACE_S

    def _question_mark(self, stream: Stream, mark: Mark, index: int) -> None:
        side = self._sides[stream]
        if index >= len(self.questions):
            return
        attempt = self._attempts.get((index, mark.part))
        if attempt is None:
            if len(self._attempts) >= MOST_ATTEMPTS + len(self.questions):
                return
            attempt = self._attempts[index, mark.part] = Attempt(self.questions[index], mark.part)
        now = self._clock()
        attempt.take(stream, mark, now)
        attempt.sides[stream].broken |= side.torn
        if mark.kind == "end":
            side.current = None
            self._unended.discard((index, stream))
            self._settled = None if self._unended else now + SETTLE_S
            if stream == "stdout" and self._running.get(mark.part) is attempt:
                self._over(mark.part)
        elif mark.kind != "more" or attempt.sides[stream].begun:
            side.current = attempt
            if mark.kind == "begin" and stream == "stdout" and attempt.due == float("inf"):  # told again, it buys no time
                attempt.due = now + attempt.question.deadline_s + GRACE_S
                if mark.part in (FIRST_PART, DENIED_PART) and is_calm(attempt.question):
                    patience_s = SLEEPER_S if attempt.question.sleeps else NUDGE_S
                    attempt.nudge_at = now + min(patience_s, attempt.question.deadline_s)
                self._running.pop(mark.part, None)
                self._running[mark.part] = attempt
                self._root_due = None

    def _over(self, part: int) -> None:
        """What was held meanwhile goes on, and has its grace though its deadline may have passed."""
        if self._running.pop(part, None) and (held := self._asked_now):
            held.due = max(held.due, self._clock() + GRACE_S)

    def _answer(self, index: int, question: Question, why: str, cut: bool) -> Answer:
        attempts = [attempt for (at, _), attempt in self._attempts.items() if at == index]
        if not attempts:
            denied = self._not_root if question.privilege is Privilege.ROOT and question.shell == "sh" else ""
            unknown = cut and not question.repeatable and not denied and question.shell == "sh"
            ended = Ended.LOST if unknown else Ended.NOT_RUN
            return Answer(ended=ended, exit_status=None, why=self._why_not_run(question, why), denied=denied)
        last = max(attempts, key=lambda attempt: (attempt.whole, attempt.part))
        answer = last.answer(given_up=last is self._given_up, why=why)
        if question.privilege is Privilege.USER or answer.as_root:
            return answer
        return replace(answer, denied=self._not_root)

    @property
    def _not_root(self) -> str:
        return self._denial or self.elevation.not_root

    def _why_not_run(self, question: Question, why: str) -> str:
        if question.shell != "sh":
            return f"not a shell of this transport: {question.shell}"
        if question.privilege is Privilege.ROOT and self._not_root:
            return self._not_root
        if self._slow and question.privilege is not Privilege.USER:
            return self._slow
        noise = " ".join(filter(None, (_words(side.noise) for side in self._sides.values() if not side.marks)))
        return f"{why}: {noise}" if why and noise else why or noise or "the host's runner ended before this question"


def _words(noise: bytearray) -> str:
    return bytes(noise).decode(errors="replace").strip()
