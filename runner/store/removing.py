"""What pruning and erasing do to the rows; the bytes follow when that is on disk (`runner.store.leftovers`)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import datetime
from enum import StrEnum
from typing import TypeVar

from sqlalchemy import (
    Column,
    ColumnElement,
    Connection,
    Table,
    and_,
    delete,
    exists,
    false,
    func,
    insert,
    or_,
    select,
    true,
    update,
)

from runner.outcome import RunKind, RunState
from runner.store.audit_log import content_digest, new_salt
from runner.store.changes import Belonging, Prune
from runner.store.encoding import audit_columns, audit_row
from runner.store.port import Erasable, Prunable
from runner.store.schema import (
    APPROVAL,
    AUDIT,
    CASE_ATTACHMENT,
    CHECK_STATE,
    DOOMED,
    FREEZE,
    HOLD,
    HOST_RUN,
    JOURNAL,
    LEASE,
    OUTBOX,
    PLAN_SCRIPT,
    RUN,
    SAMPLE,
    SUPPORT_CASE,
)
from runner.store.stops import erase_stops, of_customer

T = TypeVar("T")

_AT_ONCE = 500
"""Values in one `IN (…)`: SQLite of old takes 999 parameters."""

CLOSED = "…"
"""Stands for the target expression of a run that an erasure took hosts out of: it may have named them."""


class Doom(StrEnum):
    """What is still to be taken off the disk."""

    BLOB = "blob"  # removed
    SHRED = "shred"  # a blob that is overwritten first
    REPORT = "report"  # the files of a run in the home's folder of reports, overwritten too
    DATABASE = "database"  # free pages and the log, overwritten


def prunable(connection: Connection, before: datetime | None, keep: int, cases: bool, named: Sequence[str]) -> Prunable:
    """Return the runs, oldest first, that began before a time and are not among the newest `keep`; `named`: these alone.

    A run that is on its way is none of them, and one that can go on only where it is named: it needs what it has seen.
    """
    has = exists().where(HOST_RUN.c.run == RUN.c.id, _unpruned()).label("has")
    query = select(RUN.c.id, RUN.c.case_ref, RUN.c.state, RUN.c.started_at, has)
    newest_first = connection.execute(query.order_by(RUN.c.started_at.desc(), RUN.c.id.desc())).all()
    of_age = [run for run in newest_first[keep:] if before is None or run.started_at < before]
    wanted = [run for run in newest_first if run.id in named] if named else of_age
    old = [run for run in reversed(wanted) if run.has and run.state != RunState.RUNNING.value]
    going_on = set() if named else _can_go_on(connection, [run.id for run in old if run.state != RunState.ENDED.value])
    over = [run for run in old if run.id not in going_on]
    runs = tuple(run.id for run in over if named or cases or run.case_ref is None)
    digests = tuple(dict.fromkeys(_with_evidence(connection, runs)))
    hosts = sum(_count(connection, HOST_RUN, and_(HOST_RUN.c.run.in_(some), _unpruned())) for some in _parts(runs))
    return Prunable(
        runs=runs,
        hosts=hosts,
        evidence=digests,
        kept_for_cases=len(over) - len(runs),
        kept_to_go_on=len(going_on),
    )


def _can_go_on(connection: Connection, runs: Sequence[str]) -> set[str]:
    """Return which of these runs, which have not ended, can be gone on with: what somebody did by hand cannot."""
    found = set()
    for some in _parts(runs):
        for run, request in connection.execute(select(RUN.c.id, RUN.c.request).where(RUN.c.id.in_(some))):
            if RunKind(request.get("kind", RunKind.DIAGNOSE)).resumable:
                found.add(run)
    return found


def prune(connection: Connection, change: Prune) -> None:
    """Mark the evidence of the runs as gone and doom its blobs."""
    digests = tuple(_with_evidence(connection, change.runs))
    for some in _parts(change.runs):
        unpruned = (HOST_RUN.c.run.in_(some), _unpruned())
        connection.execute(update(HOST_RUN).where(*unpruned).values(pruned_at=change.audit.at))
        samples = (SAMPLE.c.run.in_(some), SAMPLE.c.pruned_at.is_(None))
        connection.execute(update(SAMPLE).where(*samples).values(pruned_at=change.audit.at))
        connection.execute(update(JOURNAL).where(JOURNAL.c.run.in_(some)).values(stdout=b"", stderr=b""))
    _doom(connection, Doom.BLOB, _unnamed(connection, [*digests, *change.orphans]))


def erasable(connection: Connection, belonging: Belonging) -> Erasable:
    """Return what belongs to a customer or a case; a report that names a host of theirs goes as a whole."""
    of_case, theirs = _is(RUN.c.case_ref, belonging.case), _is(HOST_RUN.c.customer, belonging.customer)
    others = select(HOST_RUN.c.run).where(or_(HOST_RUN.c.customer != belonging.customer, HOST_RUN.c.customer.is_(None)))
    if belonging.case is None:
        of_case = and_(RUN.c.id.in_(select(HOST_RUN.c.run).where(theirs)), RUN.c.id.not_in(others))
    runs = tuple(connection.execute(select(RUN.c.id).where(of_case).order_by(RUN.c.id)).scalars())
    counted = select(HOST_RUN.c.run, func.count()).where(theirs, HOST_RUN.c.run.in_(others)).group_by(HOST_RUN.c.run)
    shared = {str(run): int(count) for run, count in connection.execute(counted)}
    whole = [_count(connection, HOST_RUN, HOST_RUN.c.run.in_(some)) for some in _parts(runs)]
    owed = _owed(connection, belonging, runs, tuple(shared))
    cases = or_(_is(SUPPORT_CASE.c.ref, belonging.case), _is(SUPPORT_CASE.c.customer, belonging.customer))
    refs = tuple(connection.execute(select(SUPPORT_CASE.c.ref).where(cases)).scalars())
    stops = [(table, of_customer(table, belonging.customer)) for table in (HOLD, FREEZE)]
    return Erasable(
        runs=runs,
        shared=tuple(shared.items()),
        hosts=sum(whole) + sum(shared.values()),
        reports=tuple(owed),
        attachments=_attached(connection, belonging, refs, tuple(owed.values())),
        cases=refs,
        states=_count(connection, CHECK_STATE, _is(CHECK_STATE.c.customer, belonging.customer)),
        stops=sum(_count(connection, table, where) for table, where in stops),
        standing=sum(_count(connection, table, where & table.c.removed_at.is_(None)) for table, where in stops),
    )


def erase(connection: Connection, belonging: Belonging) -> dict[int, str]:
    """Delete what belongs to a customer or a case, take its names out of the audit, and doom the bytes.

    Return what the lines of the audit that were touched hold from now on: the line of the erasure says it.
    """
    found = erasable(connection, belonging)
    gone = [*_digests(connection, found, belonging)]
    for some in _parts(found.runs):
        connection.execute(delete(CHECK_STATE).where(CHECK_STATE.c.run.in_(some)))
        connection.execute(delete(LEASE).where(LEASE.c.run.in_(some)))
    connection.execute(delete(CHECK_STATE).where(_is(CHECK_STATE.c.customer, belonging.customer)))
    connection.execute(delete(LEASE).where(_is(LEASE.c.customer, belonging.customer)))
    erase_stops(connection, belonging)
    for table, column, ids in (
        (OUTBOX, OUTBOX.c.id, found.reports),
        (CASE_ATTACHMENT, CASE_ATTACHMENT.c.id, found.attachments),
        (SUPPORT_CASE, SUPPORT_CASE.c.ref, found.cases),
        (HOST_RUN, HOST_RUN.c.run, found.runs),
        (RUN, RUN.c.id, found.runs),
    ):
        for part in _parts(ids):
            connection.execute(delete(table).where(column.in_(part)))
    for run, count in found.shared:
        _take_out(connection, run, count, belonging)
    touched = _clean_audit(connection, found, belonging)
    _doom(connection, Doom.SHRED, _unnamed(connection, gone))
    _doom(connection, Doom.REPORT, [*found.runs, *(run for run, _ in found.shared)])
    _doom(connection, Doom.DATABASE, [""])
    return touched


def _owed(connection: Connection, belonging: Belonging, runs: Sequence[str], shared: Sequence[str]) -> dict[int, str]:
    """Return the outbox rows that go, by number, with the digests of what was rendered for them."""
    owed: dict[int, str] = {}
    wheres = [_is(OUTBOX.c.case_ref, belonging.case)]
    wheres += [OUTBOX.c.run.in_(some) for some in _parts(runs)]
    wheres += [and_(OUTBOX.c.run.in_(some), OUTBOX.c.digest != "") for some in _parts(shared)]
    for where in wheres:
        owed |= {row.id: row.digest for row in connection.execute(select(OUTBOX.c.id, OUTBOX.c.digest).where(where))}
    return owed


def _attached(connection: Connection, belonging: Belonging, cases: Sequence[str], digests: Sequence[str]) -> tuple[int, ...]:
    wheres = [_is(CASE_ATTACHMENT.c.customer, belonging.customer)]
    wheres += [CASE_ATTACHMENT.c.case_ref.in_(some) for some in _parts(cases)]
    wheres += [CASE_ATTACHMENT.c.digest.in_(some) for some in _parts(digests)]
    found = (connection.execute(select(CASE_ATTACHMENT.c.id).where(where)).scalars() for where in wheres)
    return tuple(sorted({number for numbers in found for number in numbers}))


def _digests(connection: Connection, found: Erasable, belonging: Belonging) -> Iterator[str]:
    """Yield the digests of every blob that a row which goes names; some rows that stay may name it too."""
    for column, ids, wanted in (
        (HOST_RUN.c.run, found.runs, HOST_RUN.c.evidence_digest),
        (SAMPLE.c.run, found.runs, SAMPLE.c.evidence_digest),
        (RUN.c.id, found.runs, RUN.c.content_digest),
        (OUTBOX.c.id, found.reports, OUTBOX.c.digest),
        (CASE_ATTACHMENT.c.id, found.attachments, CASE_ATTACHMENT.c.digest),
    ):
        for some in _parts(ids):
            yield from filter(None, connection.execute(select(wanted).where(column.in_(some))).scalars())
    theirs = _is(HOST_RUN.c.customer, belonging.customer)
    yield from filter(None, connection.execute(select(HOST_RUN.c.evidence_digest).where(theirs)).scalars())
    of_samples = (HOST_RUN.c.run == SAMPLE.c.run) & (HOST_RUN.c.position == SAMPLE.c.position)
    yield from connection.execute(select(SAMPLE.c.evidence_digest).join(HOST_RUN, of_samples).where(theirs)).scalars()


def _take_out(connection: Connection, run: str, count: int, belonging: Belonging) -> None:
    """Take a customer's hosts out of a run that others share; it tells how many are gone."""
    connection.execute(delete(HOST_RUN).where(HOST_RUN.c.run == run, HOST_RUN.c.customer == belonging.customer))
    still = select(JOURNAL.c.script_digest).where(JOURNAL.c.run == run, JOURNAL.c.script_digest.is_not(None))
    connection.execute(delete(PLAN_SCRIPT).where(PLAN_SCRIPT.c.run == run, PLAN_SCRIPT.c.digest.not_in(still)))
    known = connection.execute(select(RUN.c.customers).where(RUN.c.id == run)).scalar_one()
    left = {"customers": [name for name in known if name != belonging.customer], "expression": CLOSED}
    connection.execute(update(APPROVAL).where(APPROVAL.c.run == run).values(reason="", void=None))
    connection.execute(update(RUN).where(RUN.c.id == run).values(**left, erased_hosts=RUN.c.erased_hosts + count))


def _clean_audit(connection: Connection, found: Erasable, belonging: Belonging) -> dict[int, str]:
    """Leave who did what, when, and to which run; take out whose it was, and return what those lines hold now."""
    touched = {}
    gone, shared, cases = {*found.runs}, {run for run, _ in found.shared}, {*found.cases, belonging.case} - {None}
    for columns in connection.execute(select(AUDIT)).mappings().all():
        number, row = columns["id"], audit_row(columns)
        whole = row.run in gone or row.case in cases
        if whole or row.run in shared or belonging.customer in row.customers:
            left = () if whole else tuple(name for name in row.customers if name != belonging.customer)
            cleaned = replace(row, case=None if whole else row.case, customers=left, digests=(), detail="")
            salt = new_salt()
            connection.execute(update(AUDIT).where(AUDIT.c.id == number).values({**audit_columns(cleaned), "salt": salt}))
            touched[number] = content_digest(cleaned, salt)
    return touched


def _with_evidence(connection: Connection, runs: Sequence[str]) -> Iterator[str]:
    for some in _parts(runs):
        unpruned = (HOST_RUN.c.run.in_(some), HOST_RUN.c.evidence_digest.is_not(None), HOST_RUN.c.pruned_at.is_(None))
        yield from connection.execute(select(HOST_RUN.c.evidence_digest).where(*unpruned)).scalars()
        sampled = select(SAMPLE.c.evidence_digest).where(SAMPLE.c.run.in_(some), SAMPLE.c.pruned_at.is_(None))
        yield from connection.execute(sampled).scalars()


def _unpruned() -> ColumnElement[bool]:
    """Return that a host has evidence which is not pruned, of its end or of a sample."""
    of_host = (SAMPLE.c.run == HOST_RUN.c.run, SAMPLE.c.position == HOST_RUN.c.position)
    sampled = exists().where(*of_host).correlate(HOST_RUN)
    return and_(or_(HOST_RUN.c.evidence_digest.is_not(None), sampled), HOST_RUN.c.pruned_at.is_(None))


def _unnamed(connection: Connection, digests: Sequence[str]) -> list[str]:
    """Return those of the digests that no row names any more."""
    named = {
        digest
        for some in _parts(digests)
        for column, where in NAMING
        for digest in connection.execute(select(column).where(column.in_(some), where)).scalars()
    }
    return sorted({*digests} - named)


NAMING: tuple[tuple[Column[str], ColumnElement[bool]], ...] = (
    (RUN.c.content_digest, true()),
    (HOST_RUN.c.evidence_digest, HOST_RUN.c.pruned_at.is_(None)),
    (SAMPLE.c.evidence_digest, SAMPLE.c.pruned_at.is_(None)),
    (OUTBOX.c.digest, true()),
    (CASE_ATTACHMENT.c.digest, true()),
)
"""The columns that name blobs, and of which rows."""


def _doom(connection: Connection, what: Doom, names: Iterable[str]) -> None:
    for name in dict.fromkeys(names):
        known = (DOOMED.c.what == what.value, DOOMED.c.name == name)
        if not connection.execute(select(DOOMED.c.name).where(*known)).first():
            connection.execute(insert(DOOMED), {"what": what.value, "name": name})


def _is(column: Column[str], value: str | None) -> ColumnElement[bool]:
    """Return that a column has a value; nothing has None, which SQL would take for every row without one."""
    return false() if value is None else column == value


def _count(connection: Connection, table: Table, where: ColumnElement[bool]) -> int:
    return connection.execute(select(func.count()).select_from(table).where(where)).scalar_one()


def _parts(values: Sequence[T]) -> Iterator[Sequence[T]]:
    return (values[start : start + _AT_ONCE] for start in range(0, len(values), _AT_ONCE))
