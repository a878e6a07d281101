"""A detached command, and how it stands on its host."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from inventory.errors import Text
from remote.answer import Ended
from remote.command import Command, CommandResult

MOST_TOKEN: Final = 10**18 - 1
"""What every shell can compare."""
_ID = re.compile(r"[a-z0-9][a-z0-9._-]{7,63}")


class State(StrEnum):
    """How a detached command stands; all but RUNNING and UNANSWERED are final."""

    RUNNING = "running"
    UNANSWERED = "unanswered"  # what the host would say did not arrive: `collect` asks it again
    DONE = "done"  # it ended by itself; `exit_status` says how
    FAILED = "failed"  # it did not run, or was ended before it was through: `reason`
    INTERRUPTED = "interrupted"  # it began and was cut short by something outside: `reason`
    UNKNOWN = "unknown"  # nobody can know any more: for a person to look at, never to be repeated blindly
    FENCED = "fenced"  # a newer lease has been seen on the host; nothing ran


class Reason(StrEnum):
    """Why a command failed, was interrupted or is unknown; stable for programs."""

    LATE = "late"
    BUSY = "busy"
    NO_PLACE = "no_place"
    NO_TOOL = "no_tool"
    DENIED = "denied"
    NOT_STARTED = "not_started"
    NOT_BEGUN = "not_begun"
    REBOOTED = "rebooted"
    KILLED = "killed"
    GONE = "gone"
    NOT_KNOWN = "not_known"
    UNREADABLE = "unreadable"
    GARBLED = "garbled"


WORDS: Final[Mapping[Reason, Text]] = {
    Reason.LATE: Text("it was past its deadline, and ended with all that could be found of what it had started"),
    Reason.BUSY: Text("another command still runs there; nothing was begun"),
    Reason.NO_PLACE: Text("the host has no place where its record could be kept; nothing was begun"),
    Reason.NO_TOOL: Text("the host has nothing that detaches a command from its connection; nothing was begun"),
    Reason.DENIED: Text("the other user could not be become; nothing was begun"),
    Reason.NOT_STARTED: Text("it never reached the host, and now never will"),
    Reason.NOT_BEGUN: Text("it was claimed on the host and cut off before it began"),
    Reason.REBOOTED: Text("the host was rebooted while it ran"),
    Reason.KILLED: Text("its supervisor on the host was killed, and nothing of it runs any more"),
    Reason.GONE: Text("its record on the host was removed by somebody"),
    Reason.NOT_KNOWN: Text("the host does not know it, and may have forgotten it since it was sent"),
    Reason.UNREADABLE: Text("what the host keeps of commands can be read or written by nobody, or by too many"),
    Reason.GARBLED: Text("what the host says of it cannot be understood"),
}
_NOTHING_RAN = frozenset({Reason.BUSY, Reason.NO_PLACE, Reason.NO_TOOL, Reason.DENIED, Reason.NOT_STARTED, Reason.NOT_BEGUN})


@dataclass(frozen=True, slots=True, kw_only=True)
class Offset:
    """How far the output of a command has been collected, in bytes."""

    stdout: int = 0
    stderr: int = 0


START: Final = Offset()


@dataclass(frozen=True, slots=True, kw_only=True)
class DetachedCommand:
    """A command under an id of ours: whoever knows the id can ask for it later, over any connection as the same user.

    The id is chosen, and on disk with whoever chose it, before the command is sent. It is used for one command, ever.
    """

    id: str
    """8 to 64 of `a-z0-9._-`, the first one a letter or a digit."""
    token: int
    """Of the lease that its run holds on the host; a host that has seen a higher one refuses it (`fenced`)."""
    command: Command
    """Its deadline is kept by the supervisor; of stdout and stderr the head and the last 64 KiB are kept."""
    forget: tuple[str, ...] = ()
    """Ids of commands of the same user whose ends are on disk with us: what the host still keeps of them goes on the way."""

    def __post_init__(self) -> None:
        for one in (self.id, *self.forget):
            check_id(one)
        if not 0 <= self.token <= MOST_TOKEN:
            raise ValueError(f"not a fence token: {self.token}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """How a detached command stands, in the host's words; what it said is hostile data and decides nothing.

    It worked only if `succeeded`: a state that is not DONE is never success.
    """

    id: str
    state: State
    exit_status: int | None = None
    """Of DONE alone."""
    reason: Reason | None = None
    why: str = ""
    """More on it, in the host's words; hostile text."""
    stdout: bytes = b""
    """From where it was asked for; with `whole`, all that is kept."""
    stderr: bytes = b""
    offset: Offset = START
    """Where the next `collect` goes on."""
    whole: bool = False
    """Whether it is final and all that is kept of its output has been collected."""
    digest: str = ""
    """SHA-256 of all that is kept of stdout, by the host, told with the last piece of more than one; empty: not told."""
    stdout_cut: int = 0
    """Bytes that were dropped between head and tail (0: none; -1: dropped, count unknown); told once it is whole."""
    stderr_cut: int = 0
    duration_ms: int = 0
    as_root: bool = False
    boot_id: str = ""
    """The boot of the host that answered; empty where it has none."""
    place: str = ""
    """The folder on the host where its record is, or was."""
    unkillable: tuple[int, ...] = ()
    """Pids that outlived SIGKILL when its deadline passed."""
    left: tuple[int, ...] = ()
    """Pids of what it had started and that ran on when it was done, as a service does."""

    @property
    def final(self) -> bool:
        """Tell whether it stands like this for good."""
        return self.state not in (State.RUNNING, State.UNANSWERED)

    @property
    def succeeded(self) -> bool:
        """Tell whether it ended by itself with exit status 0."""
        return self.state is State.DONE and self.exit_status == 0

    @property
    def ran(self) -> bool | None:
        """Tell whether any of it ran; None: nobody knows. False is certain, now and later, but for BUSY and NO_PLACE: these
        leave the id unused, so the same command may be started again."""
        match self.state:
            case State.DONE | State.RUNNING | State.INTERRUPTED:
                return True
            case State.FENCED:
                return False
            case State.FAILED:
                return self.reason not in _NOTHING_RAN
            case _:
                return None

    @property
    def words(self) -> Text | None:
        """Return the reason in words; None where there is none."""
        if self.reason is None:
            return None
        return Text("{reason}: {detail}", reason=WORDS[self.reason], detail=self.why) if self.why else WORDS[self.reason]

    def result(self) -> CommandResult:
        """Return it as the result of a command, which has fewer words for it."""
        return CommandResult(
            ended=self._ended,
            exit_status=self.exit_status,
            stdout=self.stdout,
            stderr=self.stderr,
            duration_ms=self.duration_ms,
            stdout_cut=self.stdout_cut,
            stderr_cut=self.stderr_cut,
            as_root=self.as_root,
            unkillable=self.unkillable,
            why="" if self.words is None else str(self.words),
            denied=self.why if self.reason is Reason.DENIED else "",
        )

    @property
    def _ended(self) -> Ended:
        match self.state:
            case State.DONE:
                return Ended.CAPPED if self.stdout_cut or self.stderr_cut else Ended.EXITED
            case State.FAILED if self.reason is Reason.LATE:
                return Ended.TIMED_OUT
            case State.FAILED | State.FENCED:
                return Ended.NOT_RUN
            case _:
                return Ended.LOST


def check_id(name: str) -> None:
    """Raise ValueError for what is no id of a detached command."""
    if not _ID.fullmatch(name):
        raise ValueError(f"not an id of a detached command: {name[:80]!r}")
