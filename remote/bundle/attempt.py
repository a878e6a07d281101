"""One question being asked once: what its marks and payloads amount to."""

from __future__ import annotations

from dataclasses import dataclass, field

from remote.answer import Answer, Ended
from remote.bundle.frames import Mark, Stream
from remote.bundle.kept import Kept
from remote.question import Question

STDERR_LIMIT = 64 * 1024
MOST_STATUS = 255
FLOOD = 2**20
"""How many bytes over its cap a question says until its host is asked to end it: what a filter there would let through."""


@dataclass(slots=True)
class AttemptSide:
    """One stream of an attempt."""

    kept: Kept
    next_sequence: int | None = None
    """Which mark must come next; None before the beginning."""
    begun: int = 0
    """Which mark the beginning was."""
    early: int = 0
    """Which mark said that the payload goes on before it began: the beginning was held on its way (exchange.py)."""
    ended: bool = False
    broken: bool = False
    """A mark is missing, repeated or out of order: nothing proves the payload."""

    @property
    def resumed(self) -> bool:
        """Whether a mark has said that the payload goes on: nobody is asked beside this question any more."""
        return self.next_sequence is not None and self.next_sequence > self.begun + 1

    @property
    def whole(self) -> bool:
        """Whether begin and end arrived with every mark between them."""
        return self.ended and not self.broken


@dataclass(slots=True)
class Attempt:
    """The frames of one question from one part."""

    question: Question
    part: int
    sides: dict[Stream, AttemptSide] = field(init=False)
    due: float = float("inf")
    nudge_at: float = float("inf")
    """When the host is to be nudged at the latest; never: it watches by itself."""
    enough: int = FLOOD
    """How many bytes over its cap are enough to be nudged at once."""
    status: int | None = None
    how: str = ""
    as_root: bool = False
    survivors: tuple[int, ...] = ()
    _stamps: dict[str, tuple[float, float | None]] = field(default_factory=dict)
    """For begin and end: our clock, and the host's uptime if it gave one."""

    def __post_init__(self) -> None:
        self.sides = {"stdout": AttemptSide(Kept(self.question.max_bytes)), "stderr": AttemptSide(Kept(STDERR_LIMIT))}

    @property
    def whole(self) -> bool:
        """Whether both streams are complete and an exit status arrived."""
        return self.status is not None and all(side.whole for side in self.sides.values())

    @property
    def over(self) -> int:
        """Return how much more has come on one of its streams than will be kept, in bytes."""
        return max(side.kept.over for side in self.sides.values())

    @property
    def floods(self) -> bool:
        """Whether far more has come than will be kept."""
        return self.over > self.enough

    def take(self, stream: Stream, mark: Mark, now: float) -> None:
        """Note one mark."""
        side = self.sides[stream]
        if mark.kind == "status":
            self._take_status(side, mark, stream)
            return
        if mark.kind == "more" and side.next_sequence is None and not side.early:
            side.early = mark.sequence
            return
        expected = mark.sequence if mark.kind == "begin" else side.next_sequence
        if (mark.kind == "begin") != (side.next_sequence is None) or side.ended or mark.sequence != expected:
            side.broken = True
        side.next_sequence = mark.sequence + (2 if side.early == mark.sequence + 1 else 1)
        if mark.kind == "begin":
            side.begun = mark.sequence
        match mark.kind, mark.fields:
            case "begin", (uptime, identity):
                self.as_root = identity == "root"
                self._stamps.setdefault("begin", (now, _seconds(uptime)))
            case "end", (uptime, how, *survivors):
                side.ended = True
                if stream == "stdout":
                    self._stamps["end"] = (now, _seconds(uptime))
                    self.how = how
                    self.survivors = tuple(int(pid) for pid in survivors if pid.isdecimal())
            case "more", ():
                pass
            case _:
                side.broken = True

    def _take_status(self, side: AttemptSide, mark: Mark, stream: Stream) -> None:
        """A status bears the number of the begin before it and is not counted: a cap may cut it off."""
        match mark.fields:
            case (status,) if (
                status.isdecimal()
                and int(status) <= MOST_STATUS
                and stream == "stdout"
                and self.status is None
                and side.next_sequence is not None
                and side.begun == mark.sequence
            ):
                self.status = int(status)
            case _:
                side.broken = True

    def answer(self, *, given_up: bool, why: str) -> Answer:
        """Return what the attempt came to; only one that is whole, within its caps and in time has exited."""
        out, err = self.sides["stdout"], self.sides["stderr"]
        ended = self._ended(given_up)
        lost_out = out.kept.over if self.status is not None else -1  # the host's filter stopped before the status: it cut
        return Answer(
            ended=ended,
            exit_status=self.status if ended in (Ended.EXITED, Ended.CAPPED) else None,
            stdout=out.kept.value(),
            stderr=err.kept.value(),
            duration_ms=self._duration_ms(),
            stdout_cut=lost_out if out.kept.over else 0,
            stderr_cut=-1 if ended is Ended.CAPPED and self.how == "flood" else err.kept.over,
            as_root=self.as_root,
            unkillable=self.survivors,
            why=self._why(ended, why),
        )

    def _ended(self, given_up: bool) -> Ended:
        if given_up or self.how in ("late", "blind"):
            return Ended.TIMED_OUT
        if self._unread:
            return Ended.LOST
        if self.how == "flood" or any(side.kept.over for side in self.sides.values()):
            return Ended.CAPPED
        return Ended.EXITED if self.whole and self.how == "ok" else Ended.LOST

    @property
    def _unread(self) -> bool:
        """Whether what the host takes for a flood is that nobody read stderr: none has come, as where no filter could start."""
        return self.how == "flood" and self.sides["stderr"].kept.seen == 0

    def _why(self, ended: Ended, why: str) -> str:
        if self.how == "blind":
            return "past its deadline on a host without /proc: what it started may still run"
        if ended is not Ended.LOST:
            return ""
        if self._unread:
            return "nothing on the host read its stderr"
        if self.sides["stdout"].ended and self.status is None:
            return "its exit status did not arrive"
        return why or "its frames are not complete"

    def _duration_ms(self) -> int:
        if not (self._stamps.keys() >= {"begin", "end"}):
            return 0
        (here, up), (here_after, up_after) = self._stamps["begin"], self._stamps["end"]
        seconds = up_after - up if up is not None and up_after is not None else here_after - here
        return max(0, round(seconds * 1000))


def _seconds(uptime: str) -> float | None:
    """Return seconds of uptime to the hundredth, as /proc/uptime gives them; None for `-` and for nonsense.

    >>> _seconds("350735.47"), _seconds("-"), _seconds("nan")
    (350735.47, None, None)
    """
    whole, dot, hundredths = uptime.partition(".")
    return float(uptime) if whole.isdecimal() and len(whole) < 12 and (not dot or hundredths.isdecimal()) else None
