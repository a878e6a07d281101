"""The store in SQL: plain SQL for what a run does, SQLAlchemy Core for the rest, over SQLite in this release."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from runner.store import leases, plain
from runner.store.applying import apply
from runner.store.audit_log import AuditLine
from runner.store.blobs import Blobs
from runner.store.changes import Belonging, Change
from runner.store.errors import RESTORE_ELSEWHERE, StoreFailed, StoreReadOnly
from runner.store.link import Link, told
from runner.store.opening import closed_if_it_fails, link_to_read, link_to_write, unpacking
from runner.store.port import CountedRun, Erasable, Place, Prunable, WholeRun
from runner.store.rows import (
    ApprovalRow,
    AttachmentRow,
    AuditRow,
    CaseRow,
    FreezeRow,
    HandRow,
    HoldRow,
    LeaseRow,
    MuteRow,
    OutboxRow,
    OutboxState,
    StateRow,
    Unsettled,
)
from runner.store.writer import Alone, Pending, Writer

if TYPE_CHECKING:  # it needs SQLAlchemy
    from runner.store.queries import Queries


class SqlStore:
    """A `Store` over two connections: one that writes, another that reads snapshots."""

    def __init__(self, home: Path, read: Link, write: Link | None) -> None:
        self.home, self._read = home, read
        self._reading = threading.Lock()
        self._blobs = Blobs(home)
        self._writer = Writer(home, write, self._blobs, apply) if write else None

    def write(self, change: Change, blobs: Iterable[bytes] = ()) -> Future[None]:
        """Keep `blobs`, then apply `change`; done when the future has a result."""
        if self._writer is None:
            raise StoreReadOnly(self.home)
        return self._writer.submit(Pending(change, tuple(blobs)))

    def blob(self, digest: str) -> bytes:
        """Return kept bytes, verified."""
        return self._blobs.read(digest)

    def runs(self, limit: int) -> tuple[CountedRun, ...]:
        """Return the newest runs, newest first."""
        with self._seldom() as queries:
            return queries.runs(limit)

    def run_ids(self, part: str) -> tuple[str, ...]:
        """Return the ids that are, begin with or end with `part`, newest first."""
        with self._snapshot() as link:
            return plain.run_ids(link.plain, part)

    def run(self, run: str) -> WholeRun | None:
        """Return one run by its whole id."""
        with self._snapshot() as link:
            return plain.whole_run(link.plain, run)

    def places(self, runs: Sequence[str]) -> Mapping[str, tuple[Place, ...]]:
        """Return where the hosts of these runs are."""
        with self._snapshot() as link:
            return plain.places_of(link.plain, runs)

    def states(self, hosts: Sequence[str]) -> tuple[StateRow, ...]:
        """Return what the last completed runs said about these hosts."""
        with self._snapshot() as link:
            return plain.states_of(link.plain, hosts)

    def lease(self, host: str) -> LeaseRow | None:
        """Return who has the lease of a host, or had it last."""
        with self._seldom() as queries:
            return queries.lease(host)

    def leases(self) -> tuple[LeaseRow, ...]:
        """Return the leases that are held, by host."""
        with self._seldom() as queries:
            return queries.leases()

    def unsettled(self, host: str) -> tuple[Unsettled, ...]:
        """Return the repairs of which nobody knows what they did to a host, of each playbook the last one."""
        with self._seldom() as queries:
            return queries.unsettled(host)

    def worked_since(self, host: str, run: str, besides: str = "") -> str | None:
        """Return the last repair that began a step on a host after a run did there, but `besides`."""
        with self._seldom() as queries:
            return queries.worked_since(host, run, besides)

    def at_work(self, now: datetime, host: str | None = None) -> tuple[HandRow, ...]:
        """Return what is done by hand now, on one host or on all, oldest first."""
        with self._snapshot() as link:
            return leases.at_work(link.plain, now, host)

    def by_hand_since(self, host: str, run: str) -> tuple[HandRow, ...]:
        """Return what was done by hand on a host since a run first looked at it, oldest first."""
        with self._snapshot() as link:
            return leases.by_hand_since(link.plain, host, run)

    def holds(self, hosts: Sequence[str] | None = None, *, past: bool = False) -> tuple[HoldRow, ...]:
        """Return the holds that nobody has removed, oldest first, of these hosts or of all."""
        with self._snapshot() as link:
            return plain.holds_of(link.plain, hosts, past)

    def freezes(self, *, past: bool = False) -> tuple[FreezeRow, ...]:
        """Return the freezes that nobody has removed, oldest first."""
        with self._snapshot() as link:
            return plain.freezes_of(link.plain, past)

    def left_muted(self) -> tuple[MuteRow, ...]:
        """Return what runs that are not on their way left muted."""
        with self._seldom() as queries:
            return queries.left_muted()

    def approvals(self, runs: Sequence[str]) -> tuple[ApprovalRow, ...]:
        """Return what those of these runs wait for, or waited for, that need a second person."""
        with self._seldom() as queries:
            return queries.approvals(runs)

    def outbox(self, state: OutboxState | None = None) -> tuple[OutboxRow, ...]:
        """Return what waits for delivery or was delivered, oldest first."""
        with self._snapshot() as link:
            return plain.outbox(link.plain, state)

    def outbox_row(self, row: int) -> OutboxRow | None:
        """Return one outbox row."""
        with self._snapshot() as link:
            return plain.outbox_of(link.plain, row)

    def cases(self) -> tuple[CaseRow, ...]:
        """Return the cases of the built-in case system, oldest first."""
        with self._seldom() as queries:
            return queries.cases()

    def attachments(self, case: str) -> tuple[AttachmentRow, ...]:
        """Return the files on one case, in the order they were attached."""
        with self._seldom() as queries:
            return queries.attachments(case)

    def customers(self, case: str) -> tuple[str, ...]:
        """Return whose hosts and files a case has by now, by name."""
        with self._snapshot() as link:
            return plain.customers_of(link.plain, case)

    def audit(self, run: str | None = None) -> tuple[AuditRow, ...]:
        """Return the audit rows, oldest first."""
        with self._seldom() as queries:
            return queries.audit(run)

    def audit_lines(self) -> tuple[AuditLine, ...]:
        """Return the whole audit as it is chained, oldest first."""
        with self._snapshot() as link:
            try:
                return tuple(plain.audit_lines(link.plain))
            except ValueError as error:
                raise StoreFailed(self.home, f"the audit: {error}", RESTORE_ELSEWHERE) from error

    def prunable(self, *, before: datetime | None, keep: int, cases: bool, named: Sequence[str] = ()) -> Prunable:
        """Return the runs whose evidence may go."""
        with self._seldom() as queries:
            return queries.prunable(before=before, keep=keep, cases=cases, named=named)

    def erasable(self, belonging: Belonging) -> Erasable:
        """Return what belongs to a customer or a case."""
        with self._seldom() as queries:
            return queries.erasable(belonging)

    def orphans(self) -> tuple[str, ...]:
        """Return the digests of kept bytes that nothing names."""
        stored = set(self._blobs.stored())
        with self._seldom() as queries:
            return tuple(sorted(stored - queries.named()))

    def blob_bytes(self, digests: Iterable[str]) -> int:
        """Return how many bytes these blobs take on the disk."""
        return sum(map(self._blobs.size, digests))

    def finish(self) -> None:
        """Take off the disk what was pruned or erased."""
        if self._writer is None:
            raise StoreReadOnly(self.home)
        with self._snapshot() as link:
            if not plain.waiting(link.plain):
                return
        from runner.store.leftovers import finish

        self._writer.submit(Alone(lambda link: finish(self.home, link))).result()

    def close(self) -> None:
        """Write what was handed over, then let go of the files."""
        if self._writer is not None:
            self._writer.close()
        self._read.close()

    @contextmanager
    def _seldom(self) -> Iterator[Queries]:
        from runner.store.queries import Queries

        with self._snapshot() as link:
            yield Queries(link.core)

    @contextmanager
    def _snapshot(self) -> Iterator[Link]:
        with self._reading, told(self.home), self._read.transaction():
            yield self._read


def open_store(home: Path, *, write: bool, alone: bool = True) -> SqlStore:
    """Return the store of a home; to write, the caller holds the lock of the home, and says whether nobody else writes."""
    if not write:
        return SqlStore(home, link_to_read(home), None)
    link = link_to_write(home)
    with closed_if_it_fails(link):
        if not alone:  # who holds the lock has made everything
            return SqlStore(home, link_to_read(home), link)
        if unpacking(home).exists():  # of a restoration that was killed: what it had moved into place is whole
            shutil.rmtree(unpacking(home))
        Blobs(home).prepare()
        return SqlStore(home, link_to_read(home), link)
