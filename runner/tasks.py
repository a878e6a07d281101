"""What a run can do on each host besides diagnosing: one thing, whose end is all that is judged."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from diagnostics.probe import Probe
from inventory.errors import Text
from remote.answer import Answer, Ended
from remote.command import COMMAND, Command
from remote.session import Session
from runner.outcome import Outcome, RunKind

Verdict = tuple[Outcome, Text | None]


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
    def subject(self) -> str:
        """Return what it is about: a script, a path; secrets are masked by whoever keeps it."""

    @property
    def title(self) -> Mapping[str, str]:
        """Return what a run of it is called, by language."""

    @property
    def probes(self) -> tuple[Probe, ...]:
        """Return what tells how its answers are redacted."""

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

    async def ask(self, session: Session, left_s: float) -> Mapping[str, Answer]:
        """Run it."""
        return {COMMAND: (await session.run(self.command, deadline_s=left_s)).answer()}

    def verdict(self, answers: Mapping[str, Answer]) -> Verdict:
        """Return ok for exit status 0 and nothing else."""
        return how_it_ended(answers[COMMAND], self.command.max_bytes)

    def attached(self, answers: Mapping[str, Answer]) -> Attached | None:  # noqa: ARG002 (the protocol's)
        """Return nothing: the report says it all."""
        return None


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
