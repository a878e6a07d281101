"""What a record says of a repair beside what it says of every run: frozen values, reports see nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from diagnostics.finding import Diagnosis
from playbooks.results import HostChange, StepPlan, StepResult
from playbooks.verdicts import FindingVerdict

if TYPE_CHECKING:
    from runner.record import Quote


@dataclass(frozen=True, slots=True, kw_only=True)
class HostRepair:
    """What was done to one host, and what that came to."""

    change: HostChange
    flags: tuple[str, ...] = ()
    plans: tuple[StepPlan, ...] = ()
    """Of a run that only planned."""
    steps: tuple[StepResult, ...] = ()
    """In the order in which they ended, masked; hostile text."""
    undone: tuple[StepResult, ...] = ()
    """Steps of the rollback."""
    left_open: tuple[str, ...] = ()
    """Names of steps that were begun and whose ends nobody has seen."""
    verdicts: tuple[FindingVerdict, ...] = ()
    """Of the findings that the repair claims to fix; empty where nothing was asked afterwards."""
    consequences: tuple[FindingVerdict, ...] = ()
    """Of findings that those may have caused."""
    before: Diagnosis | None = None
    before_quotes: Mapping[str, tuple[Quote, ...]] = field(default_factory=dict, hash=False)
    """By finding id."""
    samples: int = 0
    """How often the same questions were asked afterwards."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRepair:
    """What a repair was begun with, and what became of its hosts."""

    planned: bool
    """True: nothing was to be changed, and nothing was."""
    params: Mapping[str, Any] = field(hash=False)
    """As they were given and settled, but the secret ones: sizes in bytes, durations in seconds."""
    secrets: Mapping[str, str] = field(hash=False)
    """Where the secret ones were kept."""
    file: str
    """Where the playbook was read from; empty: it is a shipped one."""
    risk: str
    tier: str
    says: Mapping[str, str] = field(hash=False)
    """What the playbook does and what it cannot undo, by language."""
    claims: tuple[str, ...]
    """Checks whose findings it claims to fix, or that prove it."""
    forced: str
    """Why it was done where there was no finding; empty: it was not."""
    retries: str
    """The run whose hosts it tried again; empty: none."""
    settle_s: float
    changes: Mapping[HostChange, int] = field(hash=False)
    """How many hosts are changed how; adds up to those that were targeted."""
