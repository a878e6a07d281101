"""A playbook as loaded from YAML: a selection of checks (diagnostic), or steps that change a host (repair, patch)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

from diagnostics.expressions import Expression
from diagnostics.finding import Param as Threshold
from diagnostics.shapes import Shape
from inventory.errors import Place
from playbooks.params import Param
from remote.question import Privilege

DEFAULT_PLAYBOOK: Final = "standard"
"""What `diagnose` runs where nothing else is asked for."""


class Kind(StrEnum):
    """What a playbook is for."""

    DIAGNOSTIC = "diagnostic"
    REPAIR = "repair"
    PATCH = "patch"


class Maintenance(StrEnum):
    """The kind of maintenance that statistics are split by."""

    PREVENTIVE = "preventive"
    CORRECTIVE = "corrective"
    ADAPTIVE = "adaptive"


class Tier(StrEnum):
    """Who may run it."""

    L1 = "L1"
    L2 = "L2"
    L3 = "L3"


class Risk(StrEnum):
    """What it can do to a host."""

    READ = "read"
    REVERSIBLE = "reversible"
    DISRUPTIVE = "disruptive"


class Retry(StrEnum):
    """Whether a step may be done again when nobody knows how it ended, or it failed."""

    READ = "read"  # changes nothing: freely
    IDEMPOTENT = "idempotent"  # twice is as good as once
    GUARDED = "guarded"  # only where its `unless` or `creates` says that it is not done
    NEVER = "never"  # once at most; what is not known goes to a person


class OnFailure(StrEnum):
    """What follows a step that failed."""

    STOP = "stop"
    CONTINUE = "continue"
    ROLL_BACK = "roll_back"


class Parse(StrEnum):
    """How what a step printed becomes a value."""

    TEXT = "text"
    LINES = "lines"
    KEYVALUE = "keyvalue"
    JSON = "json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Register:
    """Under which name the result of a step is kept, and what its output is read as."""

    name: str
    parse: Parse | None = None
    shape: Shape = None
    """Of `value`; None where nothing is parsed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One step: an action with its values, when and how often it is done, what follows where it fails."""

    name: str
    action: str
    values: Mapping[str, Any] = field(hash=False)
    """By the keys that the action's row declares: literals, `Expression`s, `TextTemplate`s, `Script`s."""
    when: Expression | None = None
    loop: Expression | None = None
    at_most: int = 100
    """Items of `loop`; more of them is a failure, never a part of the work."""
    register: Register | None = None
    retry: Retry = Retry.NEVER
    attempts: int = 1
    every_s: float = 5.0
    """Between attempts, and between looks of `until`."""
    until: Expression | None = None
    deadline_s: float = 60.0
    privilege: Privilege = Privilege.USER
    on_failure: OnFailure = OnFailure.STOP
    rollback: tuple[Step, ...] = ()
    titles: Mapping[str, str] = field(default_factory=dict, hash=False)
    """Its name in every language, where the file has it so; `name` is the English one."""
    place: Place

    def expressions(self) -> Iterator[Expression]:
        """Yield everything in it that is evaluated."""
        yield from (one for one in (self.when, self.loop, self.until) if one is not None)
        for value in self.values.values():
            for one in value.values() if isinstance(value, Mapping) else (value,):
                if isinstance(one, Expression):
                    yield one


@dataclass(frozen=True, slots=True, kw_only=True)
class Verify:
    """What proves the repair: these checks are asked again, after `settle_s`, `samples` times."""

    checks: tuple[str, ...]
    settle_s: float = 0.0
    samples: int = 1
    every_s: float = 10.0
    on_failure: OnFailure = OnFailure.STOP
    """What follows where it is not proved: what was done is undone, or that is offered."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Durations:
    """How long it takes: what windows are planned with."""

    typical_s: float | None = None
    at_most_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Playbook:
    """What one file says."""

    id: str
    title: Mapping[str, str] = field(hash=False)
    kind: Kind = Kind.DIAGNOSTIC
    maintenance: Maintenance = Maintenance.PREVENTIVE
    platforms: tuple[str, ...] = ("linux",)
    tier: Tier = Tier.L1
    checks: tuple[str, ...] = ()
    thresholds: Mapping[str, Mapping[str, Threshold]] = field(default_factory=dict, hash=False)
    risk: Risk = Risk.READ
    says: Mapping[str, str] = field(default_factory=dict, hash=False)
    """What it does and what it cannot undo, by language."""
    fixes: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()
    not_while: tuple[str, ...] = ()
    """Checks whose findings come first: where one explains all that this is for, nothing is done."""
    conflicts: tuple[str, ...] = ()
    durations: Durations = Durations()
    params: Mapping[str, Param] = field(default_factory=dict, hash=False)
    steps: tuple[Step, ...] = ()
    verify: Verify | None = None
    digest: str = ""
    """SHA-256 of the file it was loaded from and of all that it includes."""
    place: Place | None = None


def can_be_undone(steps: tuple[Step, ...], prefix: str = "") -> Iterator[str]:
    """Yield the keys of the steps that have a rollback, those of included playbooks too."""
    for index, step in enumerate(steps, 1):
        key = f"{prefix}s{index}"
        if step.rollback:
            yield key
        if isinstance(inner := step.values.get("playbook"), Playbook):
            yield from can_be_undone(inner.steps, f"{key}.")
