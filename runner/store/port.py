"""The seam between the runner and its store; one contract suite runs over every implementation."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from runner.outcome import Outcome
from runner.store.changes import Belonging, Change
from runner.store.rows import (
    AttachmentRow,
    AuditRow,
    CaseRow,
    HostRow,
    JournalRow,
    LeaseRow,
    OutboxRow,
    OutboxState,
    RunRow,
    SampleRow,
    StateRow,
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
        }
        return ", ".join(f"{name} {size}" for name, size in sizes.items())

    @property
    def nothing(self) -> bool:
        """Tell whether there is nothing to erase."""
        return not (self.runs or self.shared or self.reports or self.attachments or self.cases or self.states)


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


class Store(Protocol):
    """Keeps runs, evidence, the outbox and the built-in cases.

    A change is on disk when its future has a result; a change that failed has no effect. Each
    reading sees one consistent snapshot and is never blocked by a writer.
    """

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

    def states(self, hosts: Sequence[str]) -> tuple[StateRow, ...]:
        """Return what the last completed runs said about these hosts."""

    def lease(self, host: str) -> LeaseRow | None:
        """Return who has the lease of a host, or had it last."""

    def leases(self) -> tuple[LeaseRow, ...]:
        """Return the leases that are held, by host."""

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

    def prunable(self, *, before: datetime | None, keep: int, cases: bool) -> Prunable:
        """Return the runs whose evidence may go: begun `before`, not among the newest `keep`, with `cases` also theirs."""

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
