"""What a run can do on each host besides diagnosing: one thing, whose end is all that is judged."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Final, Protocol

from diagnostics.probe import Probe
from diagnostics.secret_patterns import LOOKS_SECRET
from inventory.errors import Text
from playbooks.model import Risk
from remote.answer import Answer, Ended
from remote.command import COMMAND, EXTRACT, Command
from remote.files.extracts import Extract, trouble
from remote.question import Privilege
from remote.session import Session
from runner.outcome import Outcome, RunKind

Verdict = tuple[Outcome, Text | None]

TERMINAL: Final = "terminal"
"""Under this name the recording of a terminal is kept."""
STOPPED: Final = "the run was stopped"
"""Why a terminal ended that nobody left."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Attached:
    """A file for the case of a run."""

    suffix: str
    data: bytes


class Task(Protocol):
    """One thing, done on each host of a run."""

    @property
    def kind(self) -> RunKind:
        """Return what kind of run it makes."""

    @property
    def risk(self) -> Risk:
        """Return what it can do to a host."""

    @property
    def subject(self) -> str:
        """Return what it is about: a script, a path; secrets are masked by whoever keeps it."""

    @property
    def title(self) -> Mapping[str, str]:
        """Return what a run of it is called, by language."""

    @property
    def probes(self) -> tuple[Probe, ...]:
        """Return what tells how its answers are redacted."""

    @property
    def lasts_s(self) -> float:
        """Return for how long it may go on on a host that is not heard of any more."""

    async def ask(self, session: Session, left_s: float) -> Mapping[str, Answer]:
        """Do it and return what came back, never raising for what the host does."""

    def verdict(self, answers: Mapping[str, Answer]) -> Verdict:
        """Return how the host ended, and why if it is not well."""

    def attached(self, answers: Mapping[str, Answer]) -> Attached | None:
        """Return the file that goes onto the case, from answers as they are kept; None: the report goes there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandTask:
    """Run a command, at most once on each host."""

    command: Command
    kind: RunKind = RunKind.COMMAND

    @property
    def risk(self) -> Risk:
        """Return that it may do what its user may: as root anything."""
        return Risk.REVERSIBLE if self.command.privilege is Privilege.USER else Risk.DISRUPTIVE

    @property
    def subject(self) -> str:
        """Return the script."""
        return self.command.script

    @property
    def title(self) -> Mapping[str, str]:
        """Return what such a run is called."""
        return {"en": "Command", "ru": "Команда"}

    @property
    def probes(self) -> tuple[Probe, ...]:
        """Return the command as a probe without rules of its own."""
        return (Probe(question=self.command.question(), parse=None),)

    @property
    def lasts_s(self) -> float:
        """Return its deadline, which the host keeps by itself."""
        return self.command.deadline_s

    async def ask(self, session: Session, left_s: float) -> Mapping[str, Answer]:
        """Run it."""
        return {COMMAND: (await session.run(self.command, deadline_s=left_s)).answer()}

    def verdict(self, answers: Mapping[str, Answer]) -> Verdict:
        """Return ok for exit status 0 and nothing else."""
        return how_it_ended(answers[COMMAND], self.command.max_bytes)

    def attached(self, answers: Mapping[str, Answer]) -> Attached | None:  # noqa: ARG002 (the protocol's)
        """Return nothing: the report says it all."""
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class ExtractTask:
    """Get a part of a file."""

    extract: Extract
    kind: RunKind = RunKind.FILE
    risk: Risk = Risk.READ
    lasts_s: float = 0.0

    @property
    def subject(self) -> str:
        """Return the path."""
        return self.extract.path

    @property
    def title(self) -> Mapping[str, str]:
        """Return what such a run is called."""
        return {"en": "File from a host", "ru": "Файл с хоста"}

    @property
    def probes(self) -> tuple[Probe, ...]:
        """Return its questions as probes; what looks like a secret in a file is taken out."""
        return tuple(Probe(question=one, parse=None, redact=LOOKS_SECRET) for one in self.extract.questions())

    async def ask(self, session: Session, left_s: float) -> Mapping[str, Answer]:
        """Ask for the lines and where they are from, in one round trip."""
        return self.extract.kept(await session.ask(self.extract.questions(), deadline_s=left_s))

    def verdict(self, answers: Mapping[str, Answer]) -> Verdict:
        """Return ok where exactly what was asked for arrived."""
        answer = answers[EXTRACT]
        why = trouble(answer)
        if why is None:
            return Outcome.OK, None
        if answer.ended is Ended.TIMED_OUT:
            return Outcome.TIMED_OUT, why
        return Outcome.INCOMPLETE if answer.stdout else Outcome.FAILED, why

    def attached(self, answers: Mapping[str, Answer]) -> Attached | None:
        """Return what arrived, with a mark where it is not all; None if nothing could be read."""
        answer = answers[EXTRACT]
        if not answer.stdout and trouble(answer) is not None:
            return None
        mark = b"[longarm: what came before this is left out]\n" if answer.stdout_cut else b""
        return Attached(suffix=".bin" if b"\0" in answer.stdout else ".txt", data=mark + answer.stdout)


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """How a terminal ended."""

    lost: str = ""
    """Why the connection went away, in the host's or our own words, or STOPPED; empty: somebody left, or the shell ended."""
    late: bool = False
    """The deadline ended it."""
    cast: bytes = field(default=b"", repr=False)
    """The recording, if one was wanted."""
    took_ms: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class TerminalTask:
    """Hold a terminal; `hold` joins it to that of the person who asked."""

    hold: Callable[[Session, float], Awaitable[Held]] = field(repr=False)
    kind: RunKind = RunKind.TERMINAL
    risk: Risk = Risk.DISRUPTIVE
    subject: str = ""
    lasts_s: float = 0.0
    """Its shell ends with its connection."""

    @property
    def title(self) -> Mapping[str, str]:
        """Return what such a run is called."""
        return {"en": "Terminal on a host", "ru": "Терминал на хосте"}

    @property
    def probes(self) -> tuple[Probe, ...]:
        """Return nothing: a recording is masked while it is made."""
        return ()

    async def ask(self, session: Session, left_s: float) -> Mapping[str, Answer]:
        """Hold it until it ends."""
        held = await self.hold(session, left_s)
        ended = Ended.LOST if held.lost else Ended.TIMED_OUT if held.late else Ended.EXITED
        status = 0 if ended is Ended.EXITED else None
        return {TERMINAL: Answer(ended=ended, exit_status=status, stdout=held.cast, duration_ms=held.took_ms, why=held.lost)}

    def verdict(self, answers: Mapping[str, Answer]) -> Verdict:
        """Return ok where nothing but a person or the shell ended it."""
        answer = answers[TERMINAL]
        match answer.ended:
            case Ended.EXITED:
                return Outcome.OK, None
            case Ended.TIMED_OUT:
                return Outcome.TIMED_OUT, Text("the terminal was closed at its deadline")
            case Ended.LOST if answer.why == STOPPED:
                return Outcome.INTERRUPTED, Text("the run was stopped: what the screen had shown is kept")
            case _:
                return Outcome.FAILED, Text("the connection was lost: {reason}", reason=answer.why)

    def attached(self, answers: Mapping[str, Answer]) -> Attached | None:
        """Return the recording."""
        cast = answers[TERMINAL].stdout
        return Attached(suffix=".cast", data=cast) if cast else None


def how_it_ended(answer: Answer, max_bytes: int) -> Verdict:
    """Return what the end of a command means for its host; where nobody knows what it did, that is said."""
    match answer.ended:
        case Ended.EXITED if answer.exit_status == 0:
            return Outcome.OK, None
        case Ended.EXITED:
            return Outcome.FAILED, Text("it ended with status {status}", status=answer.exit_status)
        case Ended.TIMED_OUT:
            return Outcome.TIMED_OUT, Text("it was ended at its deadline: what it did until then is done")
        case Ended.CAPPED:
            return Outcome.UNKNOWN, Text("it printed more than {size} bytes and was ended", size=max_bytes)
        case Ended.NOT_RUN if answer.denied:
            return Outcome.REFUSED, Text("root could not be had: {why}", why=answer.denied)
        case Ended.NOT_RUN:
            return Outcome.FAILED, Text("it was not begun: {why}", why=answer.why)
        case _:
            return Outcome.UNKNOWN, Text("nobody knows how it ended: {why}", why=answer.why)
