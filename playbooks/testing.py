"""Fakes of the ports: a host that answers from a script and refuses what was not scripted, a clock that does not wait."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, TypeVar

from inventory.errors import Text
from inventory.host import Host
from playbooks.items import listed_items
from playbooks.ports import Asked, Became, CallResult, Change, Intent, Recap, comes_after, was_begun
from playbooks.results import StepResult
from remote.ansible_bridge import AnsibleWay
from remote.answer import Answer, Ended
from remote.command import Command
from remote.errors import DeadlineExceeded
from remote.question import Privilege, Question

C = TypeVar("C", CallResult, Recap)
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
    """A journal in memory. As in the store's, what an earlier process wrote can be read: `goes_on` begins another one."""

    intents: list[Intent] = field(default_factory=list)
    ends: dict[str, StepResult] = field(default_factory=dict)
    _intents: list[Intent] = field(init=False)
    _ends: dict[str, StepResult] = field(init=False)

    def __post_init__(self) -> None:
        self.goes_on()

    def goes_on(self) -> None:
        """Let all that was written until now be of an earlier process."""
        self._intents, self._ends = [*self.intents], dict(self.ends)

    async def intend(self, intent: Intent) -> None:
        """Keep an intent."""
        self.intents.append(intent)

    async def end(self, result: StepResult) -> None:
        """Keep the end of a step."""
        self.ends[result.key] = result

    def ended(self, key: str) -> StepResult | None:
        """Return how a step ended in an earlier process."""
        return self._ends.get(key)

    def intended(self, key: str) -> Intent | None:
        """Return the last intent of a step from an earlier process whose end is not kept."""
        if key in self._ends:
            return None
        return next((one for one in reversed(self._intents) if one.key == key), None)

    def intended_after(self, key: str) -> bool:
        """Tell whether an earlier process intended anything that comes after a step."""
        return any(comes_after(one.key, key) for one in self._intents)

    def begun(self, key: str) -> bool:
        """Tell whether an earlier process began a step, or anything in it."""
        return was_begun(key, {one.key for one in self._intents}, self._ends)

    def listed(self, key: str) -> Sequence[Any] | None:
        """Return the list of a loop as an earlier process settled it."""
        return listed_items(key, [*(one.key for one in self._intents), *self._ends], _items_of(self._intents, self._ends))

    @property
    def items(self) -> Mapping[str, Any]:
        """Return all that is kept of the lists of loops."""
        return _items_of(self.intents, self.ends)


def _items_of(intents: Sequence[Intent], ends: Mapping[str, StepResult]) -> Mapping[str, Any]:
    rows: list[Intent | StepResult] = [*intents, *ends.values()]
    return {key: item for one in rows for key, item in one.items.items()}


@dataclass(slots=True)
class FakeOperator:
    """Somebody who answers from a script, by the keys of steps; None: nobody is there."""

    answers: Mapping[str, Sequence[str]] = field(default_factory=dict)
    asked: list[Asked] = field(default_factory=list)
    present: bool = True

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
    call: CallResult | Recap | None = None
    """What a function, or a run of Ansible, comes to; None: it must not be called."""


@dataclass(slots=True, kw_only=True)
class FakeHands:
    """A host that answers from a script by the keys of steps, and refuses everything else."""

    script: Mapping[str, StepScript] = field(default_factory=dict)
    answers: Mapping[str, Sequence[Answer]] = field(default_factory=dict)
    """To the questions of probes, by id; each once and in this order, the last one goes on."""
    recalls: Mapping[str, Change] = field(default_factory=dict)
    """What became of earlier commands, by id; others never arrived."""
    returns: bool = True
    """Whether the host answers after a reboot."""
    unreached: Text | None = None
    """Why it does not."""
    host: Host = FAKE_HOST
    looked: dict[str, int] = field(default_factory=dict)
    sent: list[tuple[str, Command]] = field(default_factory=list)
    """What was sent to change something: its id, the command."""
    touched: list[str] = field(default_factory=list)
    """The keys of all that may change something, in order: what was sent, and what was called on this machine."""
    asked: list[Question] = field(default_factory=list)

    async def ask(self, questions: Sequence[Question], *, deadline_s: float) -> Mapping[str, Answer]:  # noqa: ARG002 (the port's)
        """Return the scripted answers."""
        self.asked += questions
        return {question.id: self.answered(question) for question in questions}

    def answered(self, question: Question) -> Answer:
        """Return the scripted answer to one question."""
        key = question.id.removeprefix("step.")
        looks = self.answers.get(question.id, ()) or (self.script[key].looks if key in self.script else ())
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
        self.touched.append(key)
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

    async def fabric(self, key: str, function: Callable[[Any], CallResult], *, deadline_s: float) -> CallResult:  # noqa: ARG002 (the port's)
        """Return what the script says that the function came to: it is not called."""
        return self.called(key, "function", CallResult, deadline_s)

    async def ansible(self, key: str, run: Callable[[AnsibleWay], Recap], *, deadline_s: float) -> Recap:  # noqa: ARG002 (the port's)
        """Return what the script says that Ansible came to: it is not run."""
        return self.called(key, "Ansible", Recap, deadline_s)

    def called(self, key: str, what: str, kind: type[C], deadline_s: float) -> C:
        """Return the scripted end of a call; one that is scripted as timed out has not ended."""
        self.touched.append(key)
        call = self.call_of(key, kind)
        if not isinstance(call, kind):
            raise Unscripted(key, what, "")
        if call == TIMED_OUT[kind]:
            raise DeadlineExceeded(self.host.name, deadline_s)
        return call

    def call_of(self, key: str, kind: type[C]) -> CallResult | Recap | None:  # noqa: ARG002 (for those that give in its place)
        """Return the scripted end of a call; None: there is none."""
        return self.script[key].call if key in self.script else None


NEVER_ARRIVED: Final = Change(
    became=Became.NOT_BEGUN, never_arrived=True, why=Text("it never reached the host, and now never will")
)


def done(stdout: bytes = b"", *, exit_status: int = 0, stderr: bytes = b"") -> Change:
    """Return a command that ended by itself."""
    return Change(became=Became.DONE, exit_status=exit_status, stdout=stdout, stderr=stderr)


def lost() -> Change:
    """Return a command that nobody knows the end of."""
    return Change(became=Became.UNKNOWN, why=Text("the connection was lost"))


def said(stdout: bytes = b"", *, exit_status: int = 0, stderr: bytes = b"") -> Answer:
    """Return an answer to a look."""
    return Answer(ended=Ended.EXITED, exit_status=exit_status, stdout=stdout, stderr=stderr)


TIMED_OUT: Final[Mapping[type, CallResult | Recap]] = {
    CallResult: CallResult(raised=Text("it did not end in time")),
    Recap: Recap(status="timeout"),
}
"""What stands in a script for a call that does not end in time."""
RAISED: Final[Mapping[type, CallResult | Recap]] = {
    CallResult: CallResult(raised=Text("it did not work")),
    Recap: Recap(status="failed", stats={"ok": 0, "changed_tasks": 0, "failures": 1, "skipped": 0, "unreachable": 0}),
}
AS_MEANT: Final[Mapping[type, CallResult | Recap]] = {
    CallResult: CallResult(),
    Recap: Recap(status="successful", stats={"ok": 1, "changed_tasks": 0, "failures": 0, "skipped": 0, "unreachable": 0}),
}
CALL_FAULTS: Final[Mapping[str, Mapping[type, CallResult | Recap]]] = {"timed_out": TIMED_OUT, "status": RAISED}
"""What can become of a function, or of a run of Ansible, instead of what was scripted."""
FAULTS: Final[Mapping[str, Change]] = {
    "lost": lost(),
    "timed_out": Change(
        became=Became.LATE, why=Text("it was past its deadline, and ended with all that could be found of what it had started")
    ),
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
        if len(self.touched) + 1 == self.at:
            self.sent.append((ident, command))
            self.touched.append(ident.split(".", 1)[1].rpartition(".")[0])
            return replace(FAULTS[self.fault])
        try:
            return await FakeHands.change(self, ident, command, deadline_s=deadline_s)
        except Unscripted:
            return done()

    def call_of(self, key: str, kind: type[C]) -> CallResult | Recap | None:
        """Return the scripted end of a call, or the fault; what follows it need not be scripted."""
        number = len(self.touched)
        if number == self.at:
            return CALL_FAULTS[self.fault][kind]
        return FakeHands.call_of(self, key, kind) or (AS_MEANT[kind] if number > self.at else None)

    def answered(self, question: Question) -> Answer:
        """Return the scripted answer; what follows a fault need not be scripted."""
        try:
            return FakeHands.answered(self, question)
        except Unscripted:
            return Answer(ended=Ended.LOST, exit_status=None, why="not scripted")
