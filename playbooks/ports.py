"""What the interpreter reaches: the host, the journal, the operator, the clock. Whoever runs playbooks provides these."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, Protocol

from inventory.errors import Text
from inventory.host import Host
from inventory.secret import Secret
from playbooks.params import Param
from playbooks.results import StepResult
from remote.answer import Answer
from remote.command import Command
from remote.question import Privilege, Question


class Became(StrEnum):
    """What became of a command that was sent to a host."""

    DONE = "done"  # it ended by itself; `exit_status` says how
    LATE = "late"  # it was past its deadline and ended with all that it had started
    NOT_BEGUN = "not_begun"  # certain: nothing of it ran, and nothing will
    INTERRUPTED = "interrupted"
    UNKNOWN = "unknown"
    FENCED = "fenced"


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What became of one detached command."""

    became: Became
    exit_status: int | None = None
    """Of DONE alone."""
    stdout: bytes = b""
    stderr: bytes = b""
    duration_ms: int = 0
    why: Text | None = None
    denied: bool = False
    """NOT_BEGUN: root could not be had."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AnsibleLogin:
    """How Ansible reaches the host: variables of its inventory, and the secrets that go with them."""

    variables: Mapping[str, Any] = field(hash=False)
    password: Secret | None = None
    become_password: Secret | None = None
    private_key: Secret | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Intent:
    """A command that is about to be sent: in the journal before it is."""

    key: str
    ident: str
    attempt: int
    diff: tuple[str, ...] = ()
    """What it is to change."""
    sent_s_ago: float | None = None
    """Of an intent that is read back: how long ago it was kept; None: nobody knows."""


class Hands(Protocol):
    """One host, as far as a playbook may touch it."""

    @property
    def host(self) -> Host:
        """Return which host it is."""

    async def ask(self, questions: Sequence[Question], *, deadline_s: float) -> Mapping[str, Answer]:
        """Return exactly one answer for each question, as `remote.Session` does: nothing is changed by asking."""

    async def change(self, ident: str, command: Command, *, deadline_s: float) -> Change:
        """Return what became of a command that was sent detached under this id, at most once whatever happens."""

    async def recall(self, intent: Intent, *, privilege: Privilege, deadline_s: float) -> Change:
        """Return what became of a command that an earlier process sent, or meant to send.

        Where it never arrived it never will: NOT_BEGUN.
        """

    async def again(self, *, deadline_s: float) -> bool:
        """Connect anew, where the host may have gone down in between; tell whether it answers."""

    async def fabric(self, function: Callable[[Any], Any], *, deadline_s: float) -> Any:
        """Return what `function` returns, given a `fabric.Connection` in a thread; raise what it raises."""

    async def ansible_login(self) -> AnsibleLogin:
        """Return how Ansible reaches the host."""


class Journal(Protocol):
    """Where it is written down what is done; what it has taken survives this process."""

    async def intend(self, intent: Intent) -> None:
        """Keep an intent; it is on disk when this returns."""

    async def end(self, result: StepResult) -> None:
        """Keep how a step ended."""

    def ended(self, key: str) -> StepResult | None:
        """Return how a step ended in an earlier process of this run, None where it did not."""

    def intended(self, key: str) -> Intent | None:
        """Return the last intent of a step from an earlier process, None where there was none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A question to the operator."""

    key: str
    host: str
    question: Mapping[str, str] = field(hash=False)
    """By language."""
    answer: Param
    wrong: Text | None = None
    """What was wrong with the answer before."""


class Operator(Protocol):
    """The person at the desk."""

    async def answer(self, asked: Asked, *, deadline_s: float) -> str | None:
        """Return what was answered, as it was typed; None: nobody did in time."""


class Clock(Protocol):
    """Time, which tests make pass by themselves."""

    def now_s(self) -> float:
        """Return the seconds of a clock that never goes back."""

    async def sleep(self, seconds: float) -> None:
        """Wait."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ports:
    """All of them, for one playbook on one host."""

    run: str
    """What ids of commands begin with: 8 to 40 of `a-z0-9-`, of this run and host alone."""
    hands: Hands
    journal: Journal
    operator: Operator
    clock: Clock
    folder: Path | None = None
    """Where the playbook lies, for what Ansible reads itself."""
