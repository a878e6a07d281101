"""What an action is given when its step is planned or done, and what it gives back."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Protocol, runtime_checkable

from diagnostics.probe import Probe
from inventory.errors import Text
from inventory.host import Platform
from playbooks.model import Step
from playbooks.ports import Became, Change, Ports
from playbooks.results import Effect, Forecast, StepState
from playbooks.values import NoValue, beside_powershell, for_sh, mentioned, powershell_prologue
from remote.answer import Answer, Ended
from remote.command import Command
from remote.question import Question

LOOKING_S = 60
"""How long a look of ours may take, however long the step may."""
MOST_OUTPUT = 1024 * 1024
MOST_SAID = 300
"""Characters of a complaint in a sentence."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """How an action ended."""

    state: StepState
    effect: Effect = Effect.NONE
    exit_status: int | None = None
    stdout: bytes = b""
    stderr: bytes = b""
    diff: tuple[str, ...] = ()
    data: Mapping[str, Any] = field(default_factory=dict)
    duration_ms: int = 0
    why: Text | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)
    """Fresh ones, by the names that expressions have for probes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Doing:
    """One step with its values settled, and all that it may reach."""

    key: str
    step: Step
    values: Mapping[str, Any]
    """By the keys of the action: literals as they are, expressions evaluated, templates rendered, scripts as text."""
    variables: Mapping[str, Any]
    """What scripts may have: parameters, `vars`, `item`."""
    ports: Ports
    end_s: float
    """When its deadline is over, on the clock of the ports."""
    send: Callable[[Command, tuple[str, ...]], Awaitable[Change]]
    """Intends, sends and collects a command that changes something; the diff says what."""
    probes: Mapping[str, Probe] = field(default_factory=dict)
    changed: Callable[[Done], bool] | None = None
    """What the step says itself of whether something was changed; raises Undecided."""

    @property
    def platform(self) -> Platform:
        """Return what runs on the host."""
        return self.ports.hands.host.platform

    def left_s(self) -> float:
        """Return the seconds until its deadline, at least one."""
        return max(1.0, self.end_s - self.ports.clock.now_s())

    def command(self, script: str, also: Mapping[str, Any] | None = None, stdin: bytes | None = None) -> Command:
        """Return a command for the host's shell.

        A script of the playbook gets what it mentions of its variables. One of ours, which says its own with `also`, gets
        these alone, and what the step's `validate` mentions, which runs within it.
        """
        theirs = script if also is None else str(self.values.get("validate") or "")
        windows = self.platform is Platform.WINDOWS
        variables = {**mentioned(theirs, self.variables, any_case=windows), **(also or {})}
        deadline_s, privilege = math.ceil(self.left_s()), self.step.privilege
        if windows:
            secrets = beside_powershell(variables)
            plain = {name: value for name, value in variables.items() if name not in secrets}
            return Command(
                script=powershell_prologue(plain) + script,
                variables=secrets,
                stdin=stdin,
                deadline_s=deadline_s,
                max_bytes=MOST_OUTPUT,
                privilege=privilege,
            )
        return Command(
            script=script,
            variables={name: for_sh(value) for name, value in variables.items()},
            stdin=stdin,
            deadline_s=deadline_s,
            max_bytes=MOST_OUTPUT,
            privilege=privilege,
        )

    async def look(self, script: str, also: Mapping[str, Any] | None = None, stdin: bytes | None = None) -> Answer:
        """Return what a read-only script brought back."""
        question = self.question(script, also, stdin)
        answers = await self.ports.hands.ask([question], deadline_s=question.deadline_s + 10.0)
        return answers[question.id]

    def question(self, script: str, also: Mapping[str, Any] | None = None, stdin: bytes | None = None) -> Question:
        """Return a read-only script as a question; raises NoValue for one that would take a secret to Windows."""
        command = self.command(script, also, stdin)
        asked, shell = command.question(), "sh"
        if self.platform is Platform.WINDOWS:
            if command.variables:  # questions travel as one script
                raise NoValue(Text("no secret is given to a script that only looks at a Windows host: Windows may log it"))
            asked, shell = replace(asked, script=command.script), "powershell"
        return Question(
            id=f"step.{self.key}",
            script=asked.script,
            shell=shell,
            deadline_s=asked.deadline_s if also is None else min(asked.deadline_s, LOOKING_S),
            max_bytes=asked.max_bytes,
            privilege=self.step.privilege,
            variables=asked.variables,
        )


class Doer(Protocol):
    """What an action does."""

    async def plan(self, doing: Doing) -> Forecast:
        """Return what it would do; nothing is changed."""

    async def perform(self, doing: Doing) -> Done:
        """Do it and return how it ended, never raising for what the host does."""


@runtime_checkable
class Sender(Doer, Protocol):
    """What sends a command that changes something: it can go on where an earlier process sent it."""

    async def ended(self, doing: Doing, change: Change, diff: tuple[str, ...]) -> Done:
        """Return how the step ended whose command became so; `diff` is what was intended."""


def not_answered(answer: Answer) -> Done | None:
    """Return how a step ends whose look brought nothing; None where it was answered."""
    said = answer.stderr[:300].decode("utf-8", "backslashreplace").strip()
    match answer.ended:
        case Ended.EXITED if answer.exit_status is not None:
            return None
        case Ended.NOT_RUN if answer.denied:
            return Done(state=StepState.REFUSED, why=Text("root could not be had: {why}", why=answer.denied))
        case Ended.TIMED_OUT:
            return Done(state=StepState.TIMED_OUT, why=Text("the host did not say in time how it is"), stderr=answer.stderr)
        case Ended.CAPPED:
            return Done(state=StepState.UNDECIDED, why=Text("the host said too much to be understood"))
    return Done(state=StepState.UNDECIDED, why=Text("the host did not say how it is: {why}", why=answer.why or said))


def ended_badly(status: int | None, said: str) -> Text:
    """Return why a command that ended with this status did not end well, with what it said of it."""
    if said:
        return Text("it ended with status {status}: {said}", status=status, said=said)
    return Text("it ended with status {status}", status=status)


def last_said(stderr: bytes) -> str:
    """Return the last line of what a command complained of, as much of it as fits a sentence; empty: it did not."""
    lines = stderr[-4000:].decode("utf-8", "backslashreplace").strip().splitlines()
    return lines[-1].strip()[-MOST_SAID:] if lines else ""


def became(change: Change, ok_statuses: frozenset[int] = frozenset({0})) -> Done:
    """Return what became of a command as the end of its step; where it ended well it is said to have changed something."""
    common: dict[str, Any] = {
        "exit_status": change.exit_status,
        "stdout": change.stdout,
        "stderr": change.stderr,
        "duration_ms": change.duration_ms,
        "why": change.why,
    }
    match change.became:
        case Became.DONE if change.exit_status in ok_statuses:
            return Done(state=StepState.CHANGED, effect=Effect.CHANGED, **{**common, "why": None})
        case Became.DONE:
            why = ended_badly(change.exit_status, last_said(change.stderr))
            return Done(state=StepState.FAILED, effect=Effect.MAYBE, **{**common, "why": why})
        case Became.LATE:
            return Done(state=StepState.TIMED_OUT, effect=Effect.MAYBE, **common)
        case Became.NOT_BEGUN:
            state = StepState.REFUSED if change.denied or change.unfit else StepState.FAILED
            return Done(state=state, **common)
        case Became.INTERRUPTED:
            return Done(state=StepState.INTERRUPTED, effect=Effect.MAYBE, **common)
        case Became.FENCED:
            return Done(state=StepState.FENCED, **common)
    return Done(state=StepState.UNKNOWN, effect=Effect.MAYBE, **common)
