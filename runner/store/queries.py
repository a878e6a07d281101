"""What is read of the store seldom: lists of runs, cases, deliveries, the audit; through SQLAlchemy."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from sqlalchemy import Connection, Select, func, select

from runner.outcome import Outcome
from runner.store import stops
from runner.store.changes import Belonging
from runner.store.encoding import approval_row, attachment_row, audit_row, case_row, lease_row, run_row
from runner.store.port import CountedRun, Erasable, Prunable
from runner.store.removing import erasable, prunable
from runner.store.rows import ApprovalRow, AttachmentRow, AuditRow, CaseRow, LeaseRow, MuteRow, Unsettled
from runner.store.schema import APPROVAL, AUDIT, CASE_ATTACHMENT, HOST_RUN, LEASE, RUN, SUPPORT_CASE
from runner.store.verifying import NAMED
from runner.store.worked import unsettled, worked_since

_AT_ONCE: Final = 500
"""Runs in one `IN (…)`: SQLite of old takes 999 parameters."""


class Queries:
    """The questions, within the snapshot that is open."""

    def __init__(self, core: Connection) -> None:
        self._core = core

    def runs(self, limit: int) -> tuple[CountedRun, ...]:
        """Return the newest runs, newest first."""
        newest = select(RUN).order_by(RUN.c.started_at.desc(), RUN.c.id.desc()).limit(limit)
        runs = [run_row(row) for row in self._core.execute(newest).mappings()]
        counted = [CountedRun(run=run, counts=_counts(self._core, run.run)) for run in runs]
        return tuple(counted)

    def lease(self, host: str) -> LeaseRow | None:
        """Return who has the lease of a host, or had it last."""
        return next(iter(self._leases(select(LEASE).where(LEASE.c.host == host))), None)

    def leases(self) -> tuple[LeaseRow, ...]:
        """Return the leases that are held, by host."""
        return self._leases(select(LEASE).where(LEASE.c.held.is_(True)).order_by(LEASE.c.host))

    def unsettled(self, host: str) -> tuple[Unsettled, ...]:
        """Return the repairs of which nobody knows what they did to a host, of each playbook the last one."""
        return unsettled(self._core, host)

    def worked_since(self, host: str, run: str, besides: str) -> str | None:
        """Return the last repair that began a step on a host after a run did there, but `besides`."""
        return worked_since(self._core, host, run, besides)

    def left_muted(self) -> tuple[MuteRow, ...]:
        """Return what runs that are not on their way left muted."""
        return stops.left_muted(self._core)

    def cases(self) -> tuple[CaseRow, ...]:
        """Return the cases of the built-in case system, oldest first."""
        attached = func.count(CASE_ATTACHMENT.c.id).label("attachments")
        query = select(SUPPORT_CASE, attached).outerjoin(CASE_ATTACHMENT).group_by(*SUPPORT_CASE.c)
        rows = self._core.execute(query.order_by(SUPPORT_CASE.c.opened_at, SUPPORT_CASE.c.ref)).mappings()
        return tuple(case_row(row) for row in rows)

    def attachments(self, case: str) -> tuple[AttachmentRow, ...]:
        """Return the files on one case, in the order they were attached."""
        query = select(CASE_ATTACHMENT).where(CASE_ATTACHMENT.c.case_ref == case).order_by(CASE_ATTACHMENT.c.id)
        return tuple(attachment_row(row) for row in self._core.execute(query).mappings())

    def approvals(self, runs: Sequence[str]) -> tuple[ApprovalRow, ...]:
        """Return what these runs wait for, or waited for."""
        parts = (runs[start : start + _AT_ONCE] for start in range(0, len(runs), _AT_ONCE))
        rows = (self._core.execute(select(APPROVAL).where(APPROVAL.c.run.in_(part))).mappings() for part in parts)
        return tuple(approval_row(row) for some in rows for row in some)

    def audit(self, run: str | None = None) -> tuple[AuditRow, ...]:
        """Return the audit rows, oldest first."""
        query = select(AUDIT).order_by(AUDIT.c.id)
        rows = self._core.execute(query if run is None else query.where(AUDIT.c.run == run)).mappings()
        return tuple(audit_row(row) for row in rows)

    def prunable(self, *, before: datetime | None, keep: int, cases: bool, named: Sequence[str] = ()) -> Prunable:
        """Return the runs whose evidence may go."""
        return prunable(self._core, before, keep, cases, named)

    def erasable(self, belonging: Belonging) -> Erasable:
        """Return what belongs to a customer or a case."""
        return erasable(self._core, belonging)

    def named(self) -> frozenset[str]:
        """Return the digests that some row names."""
        return frozenset(self._core.exec_driver_sql(NAMED).scalars())

    def _leases(self, query: Select[tuple[object, ...]]) -> tuple[LeaseRow, ...]:
        return tuple(lease_row(row) for row in self._core.execute(query).mappings())


def _counts(connection: Connection, run: str) -> dict[Outcome | None, int]:
    query = select(HOST_RUN.c.outcome, func.count()).where(HOST_RUN.c.run == run).group_by(HOST_RUN.c.outcome)
    return {Outcome(outcome) if outcome else None: count for outcome, count in connection.execute(query)}
