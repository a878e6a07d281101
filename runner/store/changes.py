"""Every way in which the store changes, as values: one transaction each, and nothing else ever writes."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TypeAlias

from inventory.errors import Text
from runner.outcome import RunState
from runner.store.rows import AttachmentRow, AuditRow, HostRow, JournalRow, LeaseRow, OutboxRow, RunRow, SampleRow, StateRow

PROCESS_GONE = Text("the process that ran it ended before this host did")


@dataclass(frozen=True, slots=True, kw_only=True)
class BeginRun:
    """A new run and every host it targets."""

    run: RunRow
    hosts: tuple[HostRow, ...]
    audit: AuditRow


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
class TakeLease:
    """A run takes the lease of a host, or takes it anew: raises HostLeased where another run has it.

    That of an interrupted run is taken over only where nothing it intended is left open. The token that is on disk then is
    the greater one of the lease's and one more than the last.
    """

    lease: LeaseRow


@dataclass(frozen=True, slots=True, kw_only=True)
class Journalled:
    """A line of a journal."""

    line: JournalRow


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampled:
    """What the questions of a repair showed, before or after; one that is there already stays."""

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
    """Runs whose process is gone become interrupted, and their unfinished hosts too."""

    at: datetime
    actor: str


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
class Note:
    """Something that leaves no trace but its audit row."""

    audit: AuditRow


Change: TypeAlias = (
    BeginRun
    | ResumeRun
    | EndHost
    | EndRun
    | TakeLease
    | Journalled
    | Sampled
    | Recover
    | Rendered
    | Sent
    | SendFailed
    | Attach
    | Prune
    | Erase
    | Note
)
