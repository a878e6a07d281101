"""How steps end, what a plan says of them, and what both come to for one host."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from inventory.errors import Text


class StepState(StrEnum):
    """How a step ended."""

    OK = "ok"  # all was as wanted; nothing was changed
    CHANGED = "changed"
    SKIPPED = "skipped"  # its `when` does not hold, or its loop has no items
    FAILED = "failed"
    TIMED_OUT = "timed_out"
    REFUSED = "refused"  # root was denied, no place was there for its record, nobody answered: nothing was done
    UNDECIDED = "undecided"  # what it needs to know could not be seen: nothing was done
    INTERRUPTED = "interrupted"  # it began and was cut short from outside
    UNKNOWN = "unknown"  # nobody knows whether or how it ended: for a person
    FENCED = "fenced"  # a newer lease has been seen on the host: nothing was done


class Effect(StrEnum):
    """What a step did to the host."""

    NONE = "none"
    CHANGED = "changed"
    MAYBE = "maybe"  # it began and did not end well, or nobody knows


GOOD = frozenset((StepState.OK, StepState.CHANGED, StepState.SKIPPED))
LEFT_OPEN = frozenset((StepState.INTERRUPTED, StepState.UNKNOWN, StepState.FENCED))
"""After these nothing more is done on the host, not even undone: a person looks first."""


class HostChange(StrEnum):
    """What a run did to a host."""

    UNCHANGED = "unchanged"
    CHANGED = "changed"
    PARTLY = "partly"
    UNKNOWN = "unknown"
    ROLLED_BACK = "rolled_back"


@dataclass(frozen=True, slots=True, kw_only=True)
class StepResult:
    """How one step ended: an item of a loop and a step of an included playbook are steps of their own."""

    key: str
    """Where it stands: `s3`, its second item `s3.i2`, a step that undoes it `s3.r1`, of an included playbook `s4.s1`."""
    name: str
    action: str
    state: StepState
    effect: Effect = Effect.NONE
    exit_status: int | None = None
    stdout: bytes = b""
    stderr: bytes = b""
    diff: tuple[str, ...] = ()
    """What it changed, as lines that begin with `+`, `-` or a space; hostile text."""
    data: Mapping[str, Any] = field(default_factory=dict, hash=False)
    """What the action gives beside, and `value` where the output was parsed."""
    items: Mapping[str, Any] = field(default_factory=dict, hash=False)
    """What is kept with it of the lists of loops, with the first line of each, which may be an intent: how long one is (`s2`),
    and its items by their keys (`s2.i1`); those that cannot be kept are not here."""
    attempts: int = 1
    sent: int = 0
    """How often a command of it went out; more often than attempts: its connection was lost before it began."""
    duration_ms: int = 0
    why: Text | None = None
    """For every state but OK, CHANGED."""

    def seen(self) -> dict[str, Any]:
        """Return what expressions and templates see of it."""
        streams = {"stdout": self.stdout, "stderr": self.stderr}
        return {
            "state": self.state.value,
            "changed": self.effect is Effect.CHANGED,
            **({} if self.exit_status is None else {"exit_status": self.exit_status}),
            **{name: data.decode("utf-8", "backslashreplace") for name, data in streams.items() if len(data) <= MOST_SEEN},
            **self.data,
        }


MOST_SEEN = 64 * 1024
"""Bytes of an output that expressions see; a longer one is not there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Forecast:
    """What a step would do."""

    changes: bool | None
    """None: it cannot be predicted; `why` says why not."""
    diff: tuple[str, ...] = ()
    why: Text | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StepPlan:
    """The plan of one step."""

    key: str
    name: str
    action: str
    forecast: Forecast
    skipped: bool = False
    script: str = ""
    """What `run` or `powershell` would run; empty: the step has no script."""
    variables: Mapping[str, str] = field(default_factory=dict, hash=False)
    """Those that the script mentions, as it gets them; secrets masked."""
    undoes: str = ""
    """The name of the step that it would undo; empty: it is a step of the playbook itself."""
    stays: bool = False
    """What that step did cannot be undone; `why` says why not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Played:
    """What a playbook came to on one host."""

    steps: tuple[StepResult, ...]
    change: HostChange
    undone: tuple[StepResult, ...] = ()
    """The steps of the rollback, in the order in which they were done."""

    @property
    def needs_reboot(self) -> bool:
        """Tell whether the host says that what was installed wants a reboot, and none has followed."""
        needed = False
        for step in self.steps:
            needed = bool(step.data.get("needs_reboot", needed)) and not (
                step.action == "reboot" and step.state is StepState.CHANGED
            )
        return needed

    @property
    def failed(self) -> StepResult | None:
        """Return the first step that did not end well; None: all did."""
        return next((step for step in self.steps if step.state not in GOOD), None)

    @property
    def left_open(self) -> bool:
        """Tell whether a step began, or may have, whose end nobody knows: a person looks before anything more is done."""
        return any(step.state in LEFT_OPEN for step in (*self.steps, *self.undone))


def change_of(steps: Sequence[StepResult], undone: Sequence[StepResult], *, complete: bool, stays: bool) -> HostChange:
    """Return what steps did to the host; `complete`: all of them ended well, `stays`: something is not undone, or cannot be."""
    if any(one.state in LEFT_OPEN and one.effect is not Effect.NONE for one in (*steps, *undone)):
        return HostChange.UNKNOWN
    effects = {one.effect for one in steps}
    if effects <= {Effect.NONE}:
        return HostChange.UNCHANGED
    if undone and not stays and all(one.state in GOOD for one in undone):
        return HostChange.ROLLED_BACK
    return HostChange.CHANGED if complete and effects <= {Effect.NONE, Effect.CHANGED} else HostChange.PARTLY
