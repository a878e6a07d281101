"""The store in SQL: SQLAlchemy Core, over SQLite in this release."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from sqlalchemy import Connection, Engine, Select, func, or_, select, union
from sqlalchemy.exc import DBAPIError

from runner.outcome import Outcome
from runner.store.applying import apply
from runner.store.blobs import Blobs
from runner.store.changes import Belonging, Change
from runner.store.encoding import (
    attachment_row,
    audit_row,
    case_row,
    host_row,
    journal_row,
    lease_row,
    outbox_row,
    run_row,
    sample_row,
    state_row,
)
from runner.store.errors import StoreFailed, StoreReadOnly
from runner.store.leftovers import finish, waiting
from runner.store.opening import engine_to_read, engine_to_write, unpacking
from runner.store.port import CountedRun, Erasable, Prunable, WholeRun
from runner.store.removing import erasable, prunable
from runner.store.rows import AttachmentRow, AuditRow, CaseRow, LeaseRow, OutboxRow, OutboxState, StateRow
from runner.store.schema import AUDIT, CASE_ATTACHMENT, CHECK_STATE, HOST_RUN, JOURNAL, LEASE, OUTBOX, RUN, SAMPLE, SUPPORT_CASE
from runner.store.verifying import NAMED
from runner.store.writer import Alone, Pending, Writer

_AT_ONCE = 500
"""Host names in one `IN (…)`: SQLite of old takes 999 parameters."""


class SqlStore:
    """A `Store` over two engines: one connection that writes, others that read snapshots."""

    def __init__(self, home: Path, read: Engine, write: Engine | None) -> None:
        self._home, self._read, self._write = home, read, write
        self._blobs = Blobs(home)
        self._writer = Writer(home, write, self._blobs, apply) if write else None

    def write(self, change: Change, blobs: Iterable[bytes] = ()) -> Future[None]:
        """Keep `blobs`, then apply `change`; done when the future has a result."""
        if self._writer is None:
            raise StoreReadOnly(self._home)
        return self._writer.submit(Pending(change, tuple(blobs)))

    def blob(self, digest: str) -> bytes:
        """Return kept bytes, verified."""
        return self._blobs.read(digest)

    def runs(self, limit: int) -> tuple[CountedRun, ...]:
        """Return the newest runs, newest first."""
        newest = select(RUN).order_by(RUN.c.started_at.desc(), RUN.c.id.desc()).limit(limit)
        with self._snapshot() as connection:
            runs = [run_row(row) for row in connection.execute(newest).mappings()]
            counted = [CountedRun(run=run, counts=_counts(connection, run.run)) for run in runs]
        return tuple(counted)

    def run_ids(self, part: str) -> tuple[str, ...]:
        """Return the ids that are, begin with or end with `part`, newest first."""
        fits = or_(RUN.c.id.startswith(part, autoescape=True), RUN.c.id.endswith(part, autoescape=True))
        with self._snapshot() as connection:
            return tuple(connection.execute(select(RUN.c.id).where(fits).order_by(RUN.c.id.desc())).scalars())

    def run(self, run: str) -> WholeRun | None:
        """Return one run by its whole id."""
        with self._snapshot() as connection:
            if (row := connection.execute(select(RUN).where(RUN.c.id == run)).mappings().one_or_none()) is None:
                return None
            hosts = connection.execute(select(HOST_RUN).where(HOST_RUN.c.run == run).order_by(HOST_RUN.c.position))
            outbox = connection.execute(select(OUTBOX).where(OUTBOX.c.run == run).order_by(OUTBOX.c.id))
            journal = connection.execute(select(JOURNAL).where(JOURNAL.c.run == run).order_by(JOURNAL.c.id))
            in_order = (SAMPLE.c.position, SAMPLE.c.number)
            samples = connection.execute(select(SAMPLE).where(SAMPLE.c.run == run).order_by(*in_order))
            return WholeRun(
                run=run_row(row),
                hosts=tuple(host_row(host) for host in hosts.mappings()),
                outbox=tuple(outbox_row(entry) for entry in outbox.mappings()),
                journal=tuple(journal_row(line) for line in journal.mappings()),
                samples=tuple(sample_row(sample) for sample in samples.mappings()),
            )

    def states(self, hosts: Sequence[str]) -> tuple[StateRow, ...]:
        """Return what the last completed runs said about these hosts."""
        columns = (CHECK_STATE.c.host, CHECK_STATE.c.check_id, CHECK_STATE.c.subject)
        with self._snapshot() as connection:
            return tuple(
                state_row(row)
                for start in range(0, len(hosts), _AT_ONCE)
                for row in connection.execute(
                    select(CHECK_STATE).where(CHECK_STATE.c.host.in_(hosts[start : start + _AT_ONCE])).order_by(*columns)
                ).mappings()
            )

    def lease(self, host: str) -> LeaseRow | None:
        """Return who has the lease of a host, or had it last."""
        return next(iter(self._leases(select(LEASE).where(LEASE.c.host == host))), None)

    def leases(self) -> tuple[LeaseRow, ...]:
        """Return the leases that are held, by host."""
        return self._leases(select(LEASE).where(LEASE.c.held.is_(True)).order_by(LEASE.c.host))

    def outbox(self, state: OutboxState | None = None) -> tuple[OutboxRow, ...]:
        """Return what waits for delivery or was delivered, oldest first."""
        query = select(OUTBOX).order_by(OUTBOX.c.id)
        return self._outbox(query if state is None else query.where(OUTBOX.c.state == state.value))

    def outbox_row(self, row: int) -> OutboxRow | None:
        """Return one outbox row."""
        return next(iter(self._outbox(select(OUTBOX).where(OUTBOX.c.id == row))), None)

    def cases(self) -> tuple[CaseRow, ...]:
        """Return the cases of the built-in case system, oldest first."""
        attached = func.count(CASE_ATTACHMENT.c.id).label("attachments")
        query = select(SUPPORT_CASE, attached).outerjoin(CASE_ATTACHMENT).group_by(*SUPPORT_CASE.c)
        with self._snapshot() as connection:
            rows = connection.execute(query.order_by(SUPPORT_CASE.c.opened_at, SUPPORT_CASE.c.ref)).mappings()
            return tuple(case_row(row) for row in rows)

    def attachments(self, case: str) -> tuple[AttachmentRow, ...]:
        """Return the files on one case, in the order they were attached."""
        query = select(CASE_ATTACHMENT).where(CASE_ATTACHMENT.c.case_ref == case).order_by(CASE_ATTACHMENT.c.id)
        with self._snapshot() as connection:
            return tuple(attachment_row(row) for row in connection.execute(query).mappings())

    def customers(self, case: str) -> tuple[str, ...]:
        """Return whose hosts and files a case has by now, by name."""
        of_runs = select(HOST_RUN.c.customer).join(RUN, RUN.c.id == HOST_RUN.c.run).where(RUN.c.case_ref == case)
        of_files = select(CASE_ATTACHMENT.c.customer).where(CASE_ATTACHMENT.c.case_ref == case)
        of_itself = select(SUPPORT_CASE.c.customer).where(SUPPORT_CASE.c.ref == case)
        with self._snapshot() as connection:
            return tuple(sorted(filter(None, connection.execute(union(of_runs, of_files, of_itself)).scalars())))

    def audit(self, run: str | None = None) -> tuple[AuditRow, ...]:
        """Return the audit rows, oldest first."""
        query = select(AUDIT).order_by(AUDIT.c.id)
        with self._snapshot() as connection:
            rows = connection.execute(query if run is None else query.where(AUDIT.c.run == run)).mappings()
            return tuple(audit_row(row) for row in rows)

    def prunable(self, *, before: datetime | None, keep: int, cases: bool) -> Prunable:
        """Return the runs whose evidence may go."""
        with self._snapshot() as connection:
            return prunable(connection, before, keep, cases)

    def erasable(self, belonging: Belonging) -> Erasable:
        """Return what belongs to a customer or a case."""
        with self._snapshot() as connection:
            return erasable(connection, belonging)

    def orphans(self) -> tuple[str, ...]:
        """Return the digests of kept bytes that nothing names."""
        stored = set(self._blobs.stored())
        with self._snapshot() as connection:
            return tuple(sorted(stored.difference(connection.exec_driver_sql(NAMED).scalars())))

    def blob_bytes(self, digests: Iterable[str]) -> int:
        """Return how many bytes these blobs take on the disk."""
        return sum(map(self._blobs.size, digests))

    def finish(self) -> None:
        """Take off the disk what was pruned or erased."""
        if self._writer is None:
            raise StoreReadOnly(self._home)
        with self._snapshot() as connection:
            if not waiting(connection):
                return
        self._writer.submit(Alone(lambda connection: finish(self._home, connection))).result()

    def close(self) -> None:
        """Write what was handed over, then let go of the files."""
        if self._writer is not None:
            self._writer.close()
        self._read.dispose()
        if self._write is not None:
            self._write.dispose()

    def _outbox(self, query: Select[tuple[object, ...]]) -> tuple[OutboxRow, ...]:
        with self._snapshot() as connection:
            return tuple(outbox_row(row) for row in connection.execute(query).mappings())

    def _leases(self, query: Select[tuple[object, ...]]) -> tuple[LeaseRow, ...]:
        with self._snapshot() as connection:
            return tuple(lease_row(row) for row in connection.execute(query).mappings())

    @contextmanager
    def _snapshot(self) -> Iterator[Connection]:
        try:
            with self._read.begin() as connection:
                yield connection
        except DBAPIError as error:
            raise StoreFailed(self._home, str(error.orig)) from error


def open_store(home: Path, *, write: bool) -> SqlStore:
    """Return the store of a home; to write, the caller holds the lock of the home."""
    if not write:
        return SqlStore(home, engine_to_read(home), None)
    engine = engine_to_write(home)
    if unpacking(home).exists():  # of a restoration that was killed: what it had moved into place is whole
        shutil.rmtree(unpacking(home))
    Blobs(home).prepare()
    return SqlStore(home, engine_to_read(home), engine)


def _counts(connection: Connection, run: str) -> dict[Outcome | None, int]:
    query = select(HOST_RUN.c.outcome, func.count()).where(HOST_RUN.c.run == run).group_by(HOST_RUN.c.outcome)
    return {Outcome(outcome) if outcome else None: count for outcome, count in connection.execute(query)}
