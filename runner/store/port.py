"""The seam between the runner and its store; one contract suite runs over every implementation."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Protocol

from runner.outcome import Outcome
from runner.store.changes import Change
from runner.store.rows import AttachmentRow, AuditRow, CaseRow, HostRow, OutboxRow, OutboxState, RunRow, StateRow


@dataclass(frozen=True, slots=True, kw_only=True)
class WholeRun:
    """One run with everything that belongs to it, read in one snapshot."""

    run: RunRow
    hosts: tuple[HostRow, ...]
    outbox: tuple[OutboxRow, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class CountedRun:
    """One run and how many of its hosts ended how; None counts those that have not ended."""

    run: RunRow
    counts: dict[Outcome | None, int]


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

    def outbox(self, state: OutboxState | None = None) -> tuple[OutboxRow, ...]:
        """Return what waits for delivery or was delivered, oldest first."""

    def outbox_row(self, row: int) -> OutboxRow | None:
        """Return one outbox row."""

    def cases(self) -> tuple[CaseRow, ...]:
        """Return the cases of the built-in case system, oldest first."""

    def attachments(self, case: str) -> tuple[AttachmentRow, ...]:
        """Return the files on one case, in the order they were attached."""

    def audit(self, run: str | None = None) -> tuple[AuditRow, ...]:
        """Return the audit rows, oldest first."""

    def close(self) -> None:
        """Write what was handed over, then let go of the files."""
