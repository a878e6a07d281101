"""What a record says of a repair beside what it says of every run: frozen values, reports see nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

from diagnostics.finding import Diagnosis, Finding
from inventory.errors import Text
from playbooks.results import HostChange, StepPlan, StepResult
from playbooks.verdicts import FindingVerdict

if TYPE_CHECKING:
    from runner.record import Quote
    from runner.request import Agreed
    from runner.store.rows import ApprovalRow, HandRow


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
    causes: tuple[Finding, ...] = ()
    """What explained, before, findings that the repair claims to fix, and is none of these: it may bring them back."""
    before: Diagnosis | None = None
    before_quotes: Mapping[str, tuple[Quote, ...]] = field(default_factory=dict, hash=False)
    """By finding id."""
    samples: int = 0
    """How often the same questions were asked afterwards."""
    undoable: tuple[str, ...] = ()
    """Names of steps that changed the host and could be undone; empty where they were, or nobody knows how one ended."""
    since: str | None = None
    """The last repair that has worked on the host since; None: none has."""
    by_hand: tuple[HandRow, ...] = ()
    """What was done there by hand since it began there, oldest first; masked."""

    @property
    def unsettled(self) -> bool:
        """Tell whether nobody knows what was done there: another run would do it again blindly."""
        return bool(self.left_open) or self.change is HostChange.UNKNOWN


@dataclass(frozen=True, slots=True, kw_only=True)
class MuteNote:
    """How one hook muted monitoring around one wave of a run."""

    hook: str
    wave: int
    state: str
    """`unmuted`, `failed`; `muted` or `muting`: it may be silent still."""
    since: datetime
    until: datetime
    """By then monitoring speaks again by itself."""
    error: Text | None = None


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
    titles: Mapping[str, Mapping[str, str]] = field(hash=False)
    """Names of steps in every language, by the name that they have in results."""
    claims: tuple[str, ...]
    """Checks whose findings it claims to fix, or that prove it."""
    forced: str
    """Why it was done where there was no finding; empty: it was not."""
    undoes: str
    """The run whose changes it undid; empty: it is no such run."""
    retries: str
    """The run whose hosts it tried again; empty: none."""
    break_glass: str
    """Why it began without the second person that it needs; empty: it did not."""
    agreed: Agreed | None
    """Who approved it; None: nobody had to."""
    approval: ApprovalRow | None
    """Of a plan: what it waits for, or waited for."""
    settle_s: float
    concurrency: int
    """How many hosts at once."""
    batch: tuple[str, ...]
    """Sizes of its waves as they were given; empty: one wave."""
    mutes: tuple[MuteNote, ...]
    """What was kept silent around its waves."""
    max_failed: str | None
    """How many hosts might end badly before no further one began, as it was given; None: any number."""
    changes: Mapping[HostChange, int] = field(hash=False)
    """How many hosts are changed how; adds up to those that were targeted."""
