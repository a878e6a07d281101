"""What each change does to the tables: one function each, found by the class of the change."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sqlalchemy import Connection, Insert, Table, bindparam, delete, exists, insert, select, update
from sqlalchemy.dialects import sqlite

from runner.outcome import Outcome, RunState
from runner.store.changes import (
    PROCESS_GONE,
    Attach,
    BeginRun,
    Change,
    EndHost,
    EndRun,
    Erase,
    HostStates,
    Journalled,
    Note,
    Prune,
    Recover,
    Rendered,
    ResumeRun,
    Sampled,
    SendFailed,
    Sent,
    TakeLease,
)
from runner.store.encoding import (
    attachment_columns,
    audit_columns,
    host_columns,
    journal_columns,
    outbox_columns,
    run_columns,
    sample_columns,
    state_columns,
)
from runner.store.leases import release, release_all, take
from runner.store.removing import erase, prune
from runner.store.rows import AuditRow, HostRow, OutboxState
from runner.store.schema import AUDIT, CASE_ATTACHMENT, CHECK_STATE, HOST_RUN, JOURNAL, OUTBOX, RUN, SAMPLE, SUPPORT_CASE
from runner.store.sentences import text_to_json


def apply(connection: Connection, change: Change) -> None:
    """Do what a change says, within the transaction that is open."""
    _APPLY[type(change)](connection, change)


def _begin_run(connection: Connection, change: BeginRun) -> None:
    connection.execute(insert(RUN), run_columns(change.run))
    connection.execute(insert(HOST_RUN), [host_columns(host) for host in change.hosts])
    _audit(connection, change.audit)


def _resume_run(connection: Connection, change: ResumeRun) -> None:
    run = change.run
    values = {"state": RunState.RUNNING.value, "versions": dict(run.versions), "content_digest": run.content_digest}
    connection.execute(update(RUN).where(RUN.c.id == run.run).values(**values, ended_at=None))
    for host in change.hosts:
        _host(connection, host)
    _audit(connection, change.audit)


def _end_host(connection: Connection, change: EndHost) -> None:
    _host(connection, change.host)
    if not change.keeps_lease:
        release(connection, change.host.run, change.host.host)


_JOURNALLED = insert(JOURNAL)


def _journalled(connection: Connection, change: Journalled) -> None:
    connection.execute(_JOURNALLED, journal_columns(change.line))


def _sampled(connection: Connection, change: Sampled) -> None:
    connection.execute(_insert_new(connection, SAMPLE, "run", "position", "number"), sample_columns(change.sample))


def _take_lease(connection: Connection, change: TakeLease) -> None:
    take(connection, change.lease)


_HOST = (
    update(HOST_RUN)
    .where(HOST_RUN.c.run == bindparam("of_run"), HOST_RUN.c.position == bindparam("at_position"))
    .values({column: bindparam(column.name) for column in HOST_RUN.c if column.name not in ("run", "position")})
)


def _host(connection: Connection, host: HostRow) -> None:
    values = host_columns(host)
    connection.execute(_HOST, {"of_run": values.pop("run"), "at_position": values.pop("position"), **values})


def _end_run(connection: Connection, change: EndRun) -> None:
    values = {"state": change.state.value, "ended_at": change.ended_at}
    connection.execute(update(RUN).where(RUN.c.id == change.run).values(**values))
    if change.outbox:
        rows = [outbox_columns(row) for row in change.outbox]
        connection.execute(_insert_new(connection, OUTBOX, "run", "case_ref", "kind", "audience", "language"), rows)
    for states in change.states:
        _states(connection, change.run, states)
    if change.state is RunState.ENDED:
        release_all(connection, change.run)
    _audit(connection, change.audit)


_SEEN_LATER = exists(
    select(HOST_RUN.c.run)
    .join(RUN, RUN.c.id == HOST_RUN.c.run)
    .where(
        HOST_RUN.c.host == bindparam("host"),
        HOST_RUN.c.ended_at > bindparam("ended_at"),
        HOST_RUN.c.run != bindparam("run"),
        HOST_RUN.c.diagnosis_digest.is_not(None),
        RUN.c.state == RunState.ENDED.value,
    )
).select()

_FORGET = delete(CHECK_STATE).where(
    CHECK_STATE.c.host == bindparam("of"),
    CHECK_STATE.c.check_id == bindparam("by"),
    CHECK_STATE.c.subject == bindparam("about"),
)


def _states(connection: Connection, run: str, states: HostStates) -> None:
    """Replace what was known by what was seen, unless a newer run has looked at the host."""
    later = {"host": states.host, "ended_at": states.ended_at, "run": run}
    if connection.execute(_SEEN_LATER, later).scalar_one():
        return
    known = (CHECK_STATE.c.host == states.host, CHECK_STATE.c.check_id.in_(states.checks))
    connection.execute(delete(CHECK_STATE).where(*known))
    if states.states:
        connection.execute(_FORGET, [{"of": row.host, "by": row.check, "about": row.subject} for row in states.states])
        connection.execute(insert(CHECK_STATE), [state_columns(state) for state in states.states])


def _recover(connection: Connection, change: Recover) -> None:
    found = connection.execute(select(RUN.c.id, RUN.c.case_ref, RUN.c.customers).where(RUN.c.state == RunState.RUNNING.value))
    for run, case, customers in found.all():
        unfinished = (HOST_RUN.c.run == run, HOST_RUN.c.outcome.is_(None))
        gone: dict[str, Any] = {"outcome": Outcome.INTERRUPTED.value, "error": text_to_json(PROCESS_GONE)}
        connection.execute(update(HOST_RUN).where(*unfinished).values(**gone))
        connection.execute(update(RUN).where(RUN.c.id == run).values(state=RunState.INTERRUPTED.value))
        audit = AuditRow(
            at=change.at, actor=change.actor, action="run.recovered", run=run, case=case, customers=tuple(customers)
        )
        _audit(connection, audit)


def _rendered(connection: Connection, change: Rendered) -> None:
    first = (OUTBOX.c.id == change.id, OUTBOX.c.digest == "")
    values = {"state": OutboxState.RENDERED.value, "filename": change.filename, "digest": change.digest}
    connection.execute(update(OUTBOX).where(*first).values(**values))


def _sent(connection: Connection, change: Sent) -> None:
    unsent = (OUTBOX.c.id == change.id, OUTBOX.c.state != OutboxState.SENT.value)
    values = {"state": OutboxState.SENT.value, "error": "", "sent_at": change.audit.at, "attempts": OUTBOX.c.attempts + 1}
    if connection.execute(update(OUTBOX).where(*unsent).values(values)).rowcount:
        _audit(connection, change.audit)


def _send_failed(connection: Connection, change: SendFailed) -> None:
    unsent = (OUTBOX.c.id == change.id, OUTBOX.c.state != OutboxState.SENT.value)
    values = {"state": OutboxState.FAILED.value, "error": change.error, "attempts": OUTBOX.c.attempts + 1}
    connection.execute(update(OUTBOX).where(*unsent).values(values))


def _attach(connection: Connection, change: Attach) -> None:
    row = change.attachment
    case = {
        "ref": row.case,
        "title": "",
        "customer": row.customer,
        "actor": row.actor,
        "opened_at": row.attached_at,
    }
    connection.execute(_insert_new(connection, SUPPORT_CASE, "ref"), case)
    new = connection.execute(
        _insert_new(connection, CASE_ATTACHMENT, "case_ref", "filename", "digest"), attachment_columns(row)
    )
    if new.rowcount:
        _audit(connection, change.audit)


def _prune(connection: Connection, change: Prune) -> None:
    prune(connection, change)
    _audit(connection, change.audit)


def _erase(connection: Connection, change: Erase) -> None:
    erase(connection, change.belonging)
    _audit(connection, change.audit)


def _note(connection: Connection, change: Note) -> None:
    _audit(connection, change.audit)


def _audit(connection: Connection, row: AuditRow) -> None:
    connection.execute(insert(AUDIT), audit_columns(row))


def _insert_new(connection: Connection, table: Table, *key: str) -> Insert:
    """Return an insert that leaves a row with this key alone if there is one."""
    if connection.dialect.name == "postgresql":
        from sqlalchemy.dialects import postgresql  # 0.06 s that no command on SQLite has to wait for

        return postgresql.insert(table).on_conflict_do_nothing(index_elements=key)
    return sqlite.insert(table).on_conflict_do_nothing(index_elements=key)


_APPLY: dict[type[Change], Callable[[Connection, Any], None]] = {
    BeginRun: _begin_run,
    ResumeRun: _resume_run,
    EndHost: _end_host,
    EndRun: _end_run,
    TakeLease: _take_lease,
    Journalled: _journalled,
    Sampled: _sampled,
    Recover: _recover,
    Rendered: _rendered,
    Sent: _sent,
    SendFailed: _send_failed,
    Attach: _attach,
    Prune: _prune,
    Erase: _erase,
    Note: _note,
}
