"""The seam between the runner and its store; one contract suite runs over every implementation."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Protocol, TypeAlias

from runner.outcome import Outcome
from runner.store.audit_log import AuditLine
from runner.store.changes import Belonging, Change
from runner.store.rows import (
    ApprovalRow,
    AttachmentRow,
    AuditRow,
    CaseRow,
    FreezeRow,
    HandRow,
    HoldRow,
    HostRow,
    JournalRow,
    LeaseRow,
    MuteRow,
    OutboxRow,
    OutboxState,
    RunRow,
    SampleRow,
    StateRow,
    Unsettled,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class WholeRun:
    """One run with everything that belongs to it, read in one snapshot."""

    run: RunRow
    hosts: tuple[HostRow, ...]
    outbox: tuple[OutboxRow, ...]
    journal: tuple[JournalRow, ...] = ()
    """Of all hosts, in the order in which it was written."""
    samples: tuple[SampleRow, ...] = ()
    approval: ApprovalRow | None = None
    """Of a plan that needs a second person."""
    mutes: tuple[MuteRow, ...] = ()
    """What was muted around its waves."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CountedRun:
    """One run and how many of its hosts ended how; None counts those that have not ended."""

    run: RunRow
    counts: dict[Outcome | None, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Prunable:
    """Runs whose evidence may go, and what stays since it belongs to cases."""

    runs: tuple[str, ...] = ()
    hosts: int = 0
    evidence: tuple[str, ...] = ()
    """Digests of the blobs that go."""
    kept_for_cases: int = 0
    """Runs that are old enough and stay: they were made for a case."""
    kept_to_go_on: int = 0
    """Runs that are old enough and stay: they were cut off, and can go on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Erasable:
    """What belongs to a customer or a case: whole runs, hosts of runs that others share, reports, attachments, cases."""

    runs: tuple[str, ...] = ()
    shared: tuple[tuple[str, int], ...] = ()
    """Runs that others have hosts in too, with the number of those that go."""
    hosts: int = 0
    reports: tuple[int, ...] = ()
    """Outbox rows."""
    attachments: tuple[int, ...] = ()
    cases: tuple[str, ...] = ()
    states: int = 0
    """What is known of their hosts besides, for the next run."""
    stops: int = 0
    """Holds of their hosts and freezes of theirs, those of the past included."""
    standing: int = 0
    """Of the stops, those that nobody has removed."""

    @property
    def counts(self) -> str:
        """Return how much it is, without a name of anything: for the audit."""
        sizes = {
            "runs": len(self.runs),
            "shared runs": len(self.shared),
            "hosts": self.hosts,
            "reports": len(self.reports),
            "attachments": len(self.attachments),
            "cases": len(self.cases),
            "holds and freezes": self.stops,
        }
        return ", ".join(f"{name} {size}" for name, size in sizes.items())

    @property
    def nothing(self) -> bool:
        """Tell whether there is nothing to erase."""
        return not (self.runs or self.shared or self.reports or self.attachments or self.cases or self.states or self.stops)


@dataclass(frozen=True, slots=True, kw_only=True)
class PrunePlan:
    """What pruning would remove, and how much room that makes."""

    found: Prunable
    orphans: tuple[str, ...] = ()
    """Digests of blobs that no row names."""
    bytes: int = 0

    @property
    def nothing(self) -> bool:
        """Tell whether there is nothing to remove."""
        return not (self.found.runs or self.orphans)


Place: TypeAlias = tuple[str | None, str | None]
"""A customer and a site."""


class Store(Protocol):
    """Keeps runs, evidence, the outbox and the built-in cases.

    A change is on disk when its future has a result; a change that failed has no effect. Each
    reading sees one consistent snapshot and is never blocked by a writer.
    """

    @property
    def home(self) -> Path:
        """Return the folder that it is in, where locks tell which runs are on their way."""

    def write(self, change: Change, blobs: Iterable[bytes] = ()) -> Future[None]:
        """Keep `blobs`, then apply `change` in one transaction; raises StoreFailed through the future."""

    def blob(self, digest: str) -> bytes:
        """Return the kept bytes with this SHA-256, verified, or raise StoreDamaged."""

    def runs(self, limit: int) -> tuple[CountedRun, ...]:
        """Return the newest runs, newest first."""

    def run_ids(self, part: str) -> tuple[str, ...]:
        """Return the ids that are, begin with or end with `part`, newest first."""

    def run(self, run: str) -> WholeRun | None:
        """Return one run by its whole id."""

    def places(self, runs: Sequence[str]) -> Mapping[str, tuple[Place, ...]]:
        """Return where the hosts of these runs are: at which customers', on which sites; a run without hosts is left out."""

    def states(self, hosts: Sequence[str]) -> tuple[StateRow, ...]:
        """Return what the last completed runs said about these hosts."""

    def lease(self, host: str) -> LeaseRow | None:
        """Return who has the lease of a host, or had it last."""

    def leases(self) -> tuple[LeaseRow, ...]:
        """Return the leases that are held, by host."""

    def unsettled(self, host: str) -> tuple[Unsettled, ...]:
        """Return the repairs of which nobody knows what they did to a host, of each playbook the last one."""

    def worked_since(self, host: str, run: str, besides: str = "") -> str | None:
        """Return the last repair that began a step on a host after a run did there, but `besides`; None: none has."""

    def at_work(self, now: datetime, host: str | None = None) -> tuple[HandRow, ...]:
        """Return what is done by hand now, on one host or on all, oldest first, and what may be at it still."""

    def by_hand_since(self, host: str, run: str) -> tuple[HandRow, ...]:
        """Return what was done by hand on a host since a run first looked at it, or beside it, oldest first."""

    def holds(self, hosts: Sequence[str] | None = None, *, past: bool = False) -> tuple[HoldRow, ...]:
        """Return the holds that nobody has removed, oldest first, of these hosts or of all; with `past` the removed ones too.

        Whether one still counts depends on the time (`HoldRow.counts`).
        """

    def freezes(self, *, past: bool = False) -> tuple[FreezeRow, ...]:
        """Return the freezes that nobody has removed, oldest first; with `past` the removed ones too."""

    def left_muted(self) -> tuple[MuteRow, ...]:
        """Return what was muted, or may have been, by runs that are not on their way, and was not unmuted."""

    def approvals(self, runs: Sequence[str]) -> tuple[ApprovalRow, ...]:
        """Return what those of these runs wait for, or waited for, that need a second person."""

    def outbox(self, state: OutboxState | None = None) -> tuple[OutboxRow, ...]:
        """Return what waits for delivery or was delivered, oldest first."""

    def outbox_row(self, row: int) -> OutboxRow | None:
        """Return one outbox row."""

    def cases(self) -> tuple[CaseRow, ...]:
        """Return the cases of the built-in case system, oldest first."""

    def attachments(self, case: str) -> tuple[AttachmentRow, ...]:
        """Return the files on one case, in the order they were attached."""

    def customers(self, case: str) -> tuple[str, ...]:
        """Return whose hosts and files a case has by now, by name: of its runs, its attachments, the case itself."""

    def audit(self, run: str | None = None) -> tuple[AuditRow, ...]:
        """Return the audit rows, oldest first."""

    def audit_lines(self) -> tuple[AuditLine, ...]:
        """Return the whole audit as it is chained, oldest first; raises StoreFailed where it cannot be read."""

    def prunable(self, *, before: datetime | None, keep: int, cases: bool, named: Sequence[str] = ()) -> Prunable:
        """Return the runs whose evidence may go: begun `before`, not among the newest `keep`, with `cases` also theirs.

        `named`: these runs alone, whatever they are, but for one that is on its way.
        """

    def erasable(self, belonging: Belonging) -> Erasable:
        """Return what belongs to a customer or a case."""

    def orphans(self) -> tuple[str, ...]:
        """Return the digests of kept bytes that nothing names: what a killed process had written last."""

    def blob_bytes(self, digests: Iterable[str]) -> int:
        """Return how many bytes these blobs take on the disk."""

    def finish(self) -> None:
        """Take off the disk what was pruned or erased; raises StoreInUse, and the next opening does it then."""

    def close(self) -> None:
        """Write what was handed over, then let go of the files."""
