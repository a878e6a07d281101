"""What the interpreter reaches: the host, the journal, the operator, the clock. Whoever runs playbooks provides these."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Protocol

from inventory.errors import Text
from inventory.host import Host
from playbooks.params import Param
from playbooks.results import Effect, StepResult
from remote.ansible_bridge import AnsibleWay
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
    unfit: bool = False
    """NOT_BEGUN: nothing is there by which a change could be done safely: no place for its record, nothing that detaches it."""
    never_arrived: bool = False
    """NOT_BEGUN: its connection was lost before it began; sent under another id it may arrive."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CallResult:
    """What a function of a playbook came to."""

    value: Any = None
    stdout: bytes = b""
    """What it printed."""
    stderr: bytes = b""
    raised: Text | None = None
    """None: it returned."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recap:
    """What a run of Ansible came to on one host."""

    status: str
    """`successful`, `failed`, `timeout`, `canceled`: ansible-runner's own word."""
    stats: Mapping[str, int] = field(default_factory=dict, hash=False)
    """By the names that `results` has for them; empty where no task was begun."""
    said: bytes = b""
    tasks: Sequence[str] = ()
    """What changed or failed, a line each: `changed: install curl`."""
    begun: bool = False
    """Whether it was seen to begin a task on the host; of one without `stats` nobody knows what that did."""
    lost: bool = False
    """Whether the connection went away under a command, of which nobody knows how it ended."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Intent:
    """A command that is about to be sent: in the journal before it is."""

    key: str
    ident: str
    attempt: int
    diff: tuple[str, ...] = ()
    """What it is to change."""
    items: Mapping[str, Any] = field(default_factory=dict, hash=False)
    """What is kept of the lists of loops with it, as `StepResult` has that."""
    touched: bool = False
    """Whether an attempt before it, of the same step, may have changed something."""
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

    @property
    def unreached(self) -> Text | None:
        """Return why there is no connection: what the last attempt at one said; None: there is one, or none was attempted."""

    async def fabric(self, key: str, function: Callable[[Any], CallResult], *, deadline_s: float) -> CallResult:
        """Return what a step's `function` came to, given a `fabric.Connection` in a thread.

        Raises RemoteError: DeadlineExceeded where it has not ended in time.
        """

    async def ansible(self, key: str, run: Callable[[AnsibleWay], Recap], *, deadline_s: float) -> Recap:
        """Return what a step's run of Ansible came to, given a way to the host in a thread; raises as `fabric` does."""


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

    def intended_after(self, key: str) -> bool:
        """Tell whether an earlier process of this run intended anything that comes after a step."""

    def begun(self, key: str) -> bool:
        """Tell whether an earlier process of this run began a step, or anything in it, as `was_begun` does."""

    def listed(self, key: str) -> Sequence[Any] | None:
        """Return the list of a loop as an earlier process of this run settled it, as `listed_items` does."""


def was_begun(key: str, intended: Collection[str], ends: Mapping[str, StepResult]) -> bool:
    """Tell whether a step was begun, or anything in it: an item of its loop, a step of what it includes, what undoes it.

    `intended` are the keys of intents. What ended without an intent and an effect had nothing to do, or was not begun.
    """
    ended = ends.get(key)
    if key in intended or (ended is not None and ended.effect is not Effect.NONE):
        return True
    return any(one.startswith(f"{key}.") for one in (*intended, *ends))


def comes_after(key: str, other: str) -> bool:
    """Tell whether the step of a key comes after another one; what undoes something comes after all.

    >>> comes_after("s10", "s9.i2"), comes_after("s1.r1", "s9"), comes_after("s2.s1", "s2.s3")
    (True, True, False)
    """
    return ".r" in key or _numbers(key) > _numbers(other)


def _numbers(key: str) -> list[int]:
    return [int(part[1:]) for part in key.split(".")]


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

    @property
    def present(self) -> bool:
        """Tell whether somebody sits there: what asks is not begun where nobody does."""

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
