"""Fakes of the ports: a host that answers from a script and refuses what was not scripted, a clock that does not wait."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from inventory.errors import Text
from inventory.host import Host
from playbooks.ports import AnsibleLogin, Asked, Became, Change, Intent
from playbooks.results import StepResult
from remote.answer import Answer, Ended
from remote.command import Command
from remote.question import Privilege, Question

FAKE_HOST: Final = Host(name="db01", address="192.0.2.1")


class Unscripted(BaseException):
    """A fake was asked what its script does not know; a BaseException, so that no broad except can eat it."""

    def __init__(self, key: str, what: str, script: str) -> None:
        self.key, self.what, self.script = key, what, script
        super().__init__(f"{key}: {what} is not scripted: {script[:200]}")


@dataclass(slots=True)
class FakeClock:
    """A clock that passes by being slept on."""

    seconds: float = 0.0

    def now_s(self) -> float:
        """Return the seconds slept so far."""
        return self.seconds

    async def sleep(self, seconds: float) -> None:
        """Let time pass."""
        self.seconds += seconds
        await asyncio.sleep(0)


@dataclass(slots=True)
class FakeJournal:
    """A journal in memory; a second run over the same one is a run that goes on."""

    intents: list[Intent] = field(default_factory=list)
    ends: dict[str, StepResult] = field(default_factory=dict)

    async def intend(self, intent: Intent) -> None:
        """Keep an intent."""
        self.intents.append(intent)

    async def end(self, result: StepResult) -> None:
        """Keep the end of a step."""
        self.ends[result.key] = result

    def ended(self, key: str) -> StepResult | None:
        """Return how a step ended."""
        return self.ends.get(key)

    def intended(self, key: str) -> Intent | None:
        """Return the last intent of a step whose end is not kept."""
        if key in self.ends:
            return None
        return next((one for one in reversed(self.intents) if one.key == key), None)


@dataclass(slots=True)
class FakeOperator:
    """Somebody who answers from a script, by the keys of steps; None: nobody is there."""

    answers: Mapping[str, Sequence[str]] = field(default_factory=dict)
    asked: list[Asked] = field(default_factory=list)

    async def answer(self, asked: Asked, *, deadline_s: float) -> str | None:  # noqa: ARG002 (the port's: no time passes here)
        """Return the next scripted answer to a step's question."""
        before = sum(one.key == asked.key for one in self.asked)
        self.asked.append(asked)
        answers = self.answers.get(asked.key, ())
        return answers[before] if before < len(answers) else None


@dataclass(slots=True, kw_only=True)
class StepScript:
    """What a scripted host says to one step, each answer once and in this order; the last one goes on for looks."""

    looks: Sequence[Answer] = ()
    changes: Sequence[Change] = ()


@dataclass(slots=True, kw_only=True)
class FakeHands:
    """A host that answers from a script by the keys of steps, and refuses everything else."""

    script: Mapping[str, StepScript] = field(default_factory=dict)
    answers: Mapping[str, Answer] = field(default_factory=dict)
    """To the questions of probes, by id."""
    recalls: Mapping[str, Change] = field(default_factory=dict)
    """What became of earlier commands, by id; others never arrived."""
    login: AnsibleLogin | None = None
    returns: bool = True
    """Whether the host answers after a reboot."""
    host: Host = FAKE_HOST
    looked: dict[str, int] = field(default_factory=dict)
    sent: list[tuple[str, Command]] = field(default_factory=list)
    """What was sent to change something: its id, the command."""
    asked: list[Question] = field(default_factory=list)

    async def ask(self, questions: Sequence[Question], *, deadline_s: float) -> Mapping[str, Answer]:  # noqa: ARG002 (the port's)
        """Return the scripted answers."""
        self.asked += questions
        return {question.id: self.answered(question) for question in questions}

    def answered(self, question: Question) -> Answer:
        """Return the scripted answer to one question."""
        if question.id in self.answers:
            return self.answers[question.id]
        key = question.id.removeprefix("step.")
        looks = self.script[key].looks if key in self.script else ()
        if not looks:
            raise Unscripted(key, "look", question.script)
        number = self.looked.get(key, 0)
        self.looked[key] = number + 1
        return looks[min(number, len(looks) - 1)]

    async def change(self, ident: str, command: Command, *, deadline_s: float) -> Change:  # noqa: ARG002 (the port's)
        """Return what the script says became of it."""
        key = ident.split(".", 1)[1].rpartition(".")[0]
        earlier = sum(one.split(".", 1)[1].rpartition(".")[0] == key for one, _ in self.sent)
        self.sent.append((ident, command))
        changes = self.script[key].changes if key in self.script else ()
        if earlier >= len(changes):
            raise Unscripted(key, "change", command.script)
        return changes[earlier]

    async def recall(self, intent: Intent, *, privilege: Privilege, deadline_s: float) -> Change:  # noqa: ARG002 (the port's)
        """Return what became of an earlier command."""
        return self.recalls.get(intent.ident, NEVER_ARRIVED)

    async def again(self, *, deadline_s: float) -> bool:  # noqa: ARG002 (the port's)
        """Tell whether the host answers again."""
        return self.returns

    async def fabric(self, function: Callable[[Any], Any], *, deadline_s: float) -> Any:  # noqa: ARG002 (the port's)
        """Call the function with no connection: it must not use it."""
        return function(None)

    async def ansible_login(self) -> AnsibleLogin:
        """Return the scripted login."""
        if self.login is None:
            raise Unscripted("ansible", "login", "")
        return self.login


NEVER_ARRIVED: Final = Change(became=Became.NOT_BEGUN, why=Text("it never reached the host, and now never will"))


def done(stdout: bytes = b"", *, exit_status: int = 0, stderr: bytes = b"") -> Change:
    """Return a command that ended by itself."""
    return Change(became=Became.DONE, exit_status=exit_status, stdout=stdout, stderr=stderr)


def lost() -> Change:
    """Return a command that nobody knows the end of."""
    return Change(became=Became.UNKNOWN, why=Text("the connection was lost"))


def said(stdout: bytes = b"", *, exit_status: int = 0, stderr: bytes = b"") -> Answer:
    """Return an answer to a look."""
    return Answer(ended=Ended.EXITED, exit_status=exit_status, stdout=stdout, stderr=stderr)


FAULTS: Final[Mapping[str, Change]] = {
    "lost": lost(),
    "timed_out": Change(became=Became.LATE, why=Text("it was past its deadline, and ended with all that it had started")),
    "status": done(exit_status=1, stderr=b"it did not work\n"),
    "reboot": Change(became=Became.INTERRUPTED, why=Text("the host was rebooted while it ran")),
    "fenced": Change(became=Became.FENCED, why=Text("a newer lease has been seen on the host; nothing ran")),
    "denied": Change(became=Became.NOT_BEGUN, denied=True, why=Text("the other user could not be become; nothing was begun")),
}
"""What can become of a command instead of what was scripted."""


@dataclass(slots=True, kw_only=True)
class FaultyHands(FakeHands):
    """A scripted host where one command becomes something else."""

    at: int
    """Which command that changes something, from 1."""
    fault: str

    async def change(self, ident: str, command: Command, *, deadline_s: float) -> Change:
        """Return what the script says, or the fault; what follows it need not be scripted."""
        if len(self.sent) + 1 == self.at:
            self.sent.append((ident, command))
            return replace(FAULTS[self.fault])
        try:
            return await FakeHands.change(self, ident, command, deadline_s=deadline_s)
        except Unscripted:
            return done()

    def answered(self, question: Question) -> Answer:
        """Return the scripted answer; what follows a fault need not be scripted."""
        try:
            return FakeHands.answered(self, question)
        except Unscripted:
            return Answer(ended=Ended.LOST, exit_status=None, why="not scripted")
