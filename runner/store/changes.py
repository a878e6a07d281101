"""Every way in which the store changes, as values: one transaction each, and nothing else ever writes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TypeAlias

from inventory.errors import Text
from runner.outcome import RunState
from runner.store.rows import (
    ApprovalRow,
    ApprovalState,
    AttachmentRow,
    AuditRow,
    FreezeRow,
    HandRow,
    HoldRow,
    HostRow,
    JournalRow,
    LeaseRow,
    MuteRow,
    OutboxRow,
    RunRow,
    SampleRow,
    StateRow,
)

PROCESS_GONE = Text("the process that ran it ended before this host did")


@dataclass(frozen=True, slots=True, kw_only=True)
class BeginRun:
    """A new run and every host it targets; `approved` names the plan whose approval it makes use of.

    Raises NotApproved where that is not approved, or was made use of already.
    """

    run: RunRow
    hosts: tuple[HostRow, ...]
    audit: AuditRow
    approved: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ResumeRun:
    """An interrupted run goes on: `hosts` are its unfinished ones, as they are asked now."""

    run: RunRow
    hosts: tuple[HostRow, ...]
    audit: AuditRow


@dataclass(frozen=True, slots=True, kw_only=True)
class EndHost:
    """How one host ended; its lease, if the run has one, is given back unless the run is to go on with it."""

    host: HostRow
    keeps_lease: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """That somebody wants to have a host."""

    host: str
    actor: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class TakeLease:
    """A run takes the lease of a host, or takes it anew: raises HostLeased where another run has it.

    That of an interrupted run is taken over only where nothing it intended is left open. The token that is on disk then is
    the greater one of the lease's and one more than the last. Raises HostInHand too, where somebody works there by hand,
    unless there is a reason to go `beside` that, which the audit then keeps; so it is where a run goes on that has its lease.
    """

    lease: LeaseRow
    beside: AuditRow | None = None
    """What the audit keeps of going beside somebody, its detail is the reason; None: it does not."""

    @property
    def wanted(self) -> Wanted:
        """Return who wants which host, and when."""
        return Wanted(host=self.lease.host, actor=self.lease.actor, at=self.lease.since)

    def kept_off_by(self, hands: Iterable[HandRow]) -> tuple[HandRow, ...]:
        """Return which of what is done by hand on the host keeps the run off it: all of it, that of its own actor too."""
        return tuple(hands)


@dataclass(frozen=True, slots=True, kw_only=True)
class BeginByHand:
    """Somebody begins by hand on a host, as `hand` says: raises HostLeased where a run may change it.

    And HostInHand where somebody else works there by hand. With a reason to go `beside` that it is kept in the audit.
    """

    hand: HandRow
    position: int
    beside: AuditRow | None = None
    """What the audit keeps of going beside what has the host, its detail is the reason; None: it does not."""

    @property
    def wanted(self) -> Wanted:
        """Return who wants which host, and when."""
        return Wanted(host=self.hand.host, actor=self.hand.actor, at=self.hand.since)

    def kept_off_by(self, hands: Iterable[HandRow]) -> tuple[HandRow, ...]:
        """Return which of what is done by hand on the host keeps this off it: nobody is in their own way."""
        return tuple(one for one in hands if one.actor != self.hand.actor)


@dataclass(frozen=True, slots=True, kw_only=True)
class Journalled:
    """A line of a journal."""

    line: JournalRow


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampled:
    """What the questions of a repair showed, before or after; one asked anew replaces it and all later ones."""

    sample: SampleRow


@dataclass(frozen=True, slots=True, kw_only=True)
class HostStates:
    """The subjects that a completed run found on one host."""

    host: str
    ended_at: datetime
    checks: tuple[str, ...]
    """Checks that saw everything: what `states` does not name of them is over; other checks keep what they had."""
    states: tuple[StateRow, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class EndRun:
    """The end of a run, with the reports it owes and the state it leaves for the next one."""

    run: str
    state: RunState
    ended_at: datetime | None
    audit: AuditRow
    outbox: tuple[OutboxRow, ...] = ()
    """Rows to add (their `id` is ignored); those already there are left alone."""
    states: tuple[HostStates, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Recover:
    """Runs whose process is gone become interrupted, and their unfinished hosts too: `at` is the latest they may have ended."""

    at: datetime
    actor: str
    home: Path | None = None
    """Where the locks tell which runs are on their way in other processes; None: there are none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rendered:
    """The report of an outbox row exists; the first rendering stands."""

    id: int
    filename: str
    digest: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """The case has the report of an outbox row."""

    id: int
    audit: AuditRow


@dataclass(frozen=True, slots=True, kw_only=True)
class SendFailed:
    """An attempt to deliver an outbox row failed; a row that was sent stays sent."""

    id: int
    error: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Attach:
    """A file for a case of the built-in case system, which is opened if it is new; a second time changes nothing."""

    attachment: AttachmentRow
    audit: AuditRow


@dataclass(frozen=True, slots=True, kw_only=True)
class Prune:
    """The evidence of these runs goes; their outcomes and findings stay, and say so."""

    runs: tuple[str, ...]
    orphans: tuple[str, ...]
    """Digests of blobs that no row names: they go too."""
    audit: AuditRow


@dataclass(frozen=True, slots=True, kw_only=True)
class Belonging:
    """Whose data: that of a customer, or that of a case; exactly one of the two."""

    customer: str | None = None
    case: str | None = None

    def __post_init__(self) -> None:
        if (self.customer is None) == (self.case is None):
            raise ValueError("a customer or a case")

    @property
    def named(self) -> str:
        """Return what the digest of an erasure is made of: `customer:NAME` or `case:REF`."""
        return f"customer:{self.customer}" if self.case is None else f"case:{self.case}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Erase:
    """Everything that belongs to a customer or a case goes, rows and bytes; `audit` says how much, not what."""

    belonging: Belonging
    audit: AuditRow


@dataclass(frozen=True, slots=True, kw_only=True)
class Hold:
    """Hosts that nobody may change from now on."""

    holds: tuple[HoldRow, ...]
    """Rows to add; their `id` is ignored."""
    audit: AuditRow


@dataclass(frozen=True, slots=True, kw_only=True)
class AskApproval:
    """A repair waits for a second person from now on."""

    approval: ApprovalRow
    audit: AuditRow


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoveHolds:
    """Holds that are no more; their rows stay, and say since when and by whom."""

    ids: tuple[int, ...]
    audit: AuditRow


@dataclass(frozen=True, slots=True, kw_only=True)
class DecideApproval:
    """What became of a request for approval: `approval` as it is from now on.

    Raises NotApproved unless it was in the state `was`.
    """

    approval: ApprovalRow
    was: ApprovalState
    audit: AuditRow


@dataclass(frozen=True, slots=True, kw_only=True)
class Freeze:
    """Nothing that changes starts in a scope from now on."""

    freeze: FreezeRow
    """The row to add; its `id` is ignored."""
    audit: AuditRow


@dataclass(frozen=True, slots=True, kw_only=True)
class Unfreeze:
    """Freezes that are no more; their rows stay, and say since when and by whom."""

    ids: tuple[int, ...]
    audit: AuditRow


@dataclass(frozen=True, slots=True, kw_only=True)
class Muting:
    """How far a hook is that mutes monitoring around one wave of a run: written before it is asked, and after."""

    mute: MuteRow
    audit: AuditRow | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    """Something that leaves no trace but its audit row."""

    audit: AuditRow


Change: TypeAlias = (
    BeginRun
    | ResumeRun
    | EndHost
    | EndRun
    | TakeLease
    | BeginByHand
    | Journalled
    | Sampled
    | Recover
    | Rendered
    | Sent
    | SendFailed
    | Attach
    | Prune
    | Erase
    | Hold
    | RemoveHolds
    | Freeze
    | Unfreeze
    | Muting
    | AskApproval
    | DecideApproval
    | Note
)
