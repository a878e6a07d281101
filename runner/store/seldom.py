"""What changing runs, deliveries, cases, prunes and erasures do to the tables: one function for each change."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sqlalchemy import Connection, Insert, Table, insert, update
from sqlalchemy.dialects import sqlite

from inventory.errors import Text
from runner.store import stops
from runner.store.changes import (
    AskApproval,
    Attach,
    Change,
    DecideApproval,
    Erase,
    Freeze,
    Hold,
    Muting,
    Prune,
    RemoveHolds,
    Rendered,
    SendFailed,
    Sent,
    Unfreeze,
)
from runner.store.encoding import approval_columns, attachment_columns
from runner.store.errors import NotApproved
from runner.store.link import Link
from runner.store.plain import audit
from runner.store.removing import erase, prune
from runner.store.rows import OutboxState
from runner.store.schema import APPROVAL, CASE_ATTACHMENT, OUTBOX, SUPPORT_CASE


def apply_seldom(link: Link, change: Change) -> None:
    """Do what a change says, within the transaction that is open."""
    _APPLY[type(change)](link, change)


def _rendered(link: Link, change: Rendered) -> None:
    first = (OUTBOX.c.id == change.id, OUTBOX.c.digest == "")
    values = {"state": OutboxState.RENDERED.value, "filename": change.filename, "digest": change.digest}
    link.core.execute(update(OUTBOX).where(*first).values(**values))


def _sent(link: Link, change: Sent) -> None:
    unsent = (OUTBOX.c.id == change.id, OUTBOX.c.state != OutboxState.SENT.value)
    values = {"state": OutboxState.SENT.value, "error": "", "sent_at": change.audit.at, "attempts": OUTBOX.c.attempts + 1}
    if link.core.execute(update(OUTBOX).where(*unsent).values(values)).rowcount:
        audit(link.plain, change.audit)


def _send_failed(link: Link, change: SendFailed) -> None:
    unsent = (OUTBOX.c.id == change.id, OUTBOX.c.state != OutboxState.SENT.value)
    values = {"state": OutboxState.FAILED.value, "error": change.error, "attempts": OUTBOX.c.attempts + 1}
    link.core.execute(update(OUTBOX).where(*unsent).values(values))


def _attach(link: Link, change: Attach) -> None:
    row = change.attachment
    case = {
        "ref": row.case,
        "title": "",
        "customer": row.customer,
        "actor": row.actor,
        "opened_at": row.attached_at,
    }
    link.core.execute(_insert_new(link.core, SUPPORT_CASE, "ref"), case)
    new = link.core.execute(_insert_new(link.core, CASE_ATTACHMENT, "case_ref", "filename", "digest"), attachment_columns(row))
    if new.rowcount:
        audit(link.plain, change.audit)


def _ask_approval(link: Link, change: AskApproval) -> None:
    link.core.execute(insert(APPROVAL), approval_columns(change.approval))
    audit(link.plain, change.audit)


def _decide_approval(link: Link, change: DecideApproval) -> None:
    row = change.approval
    as_it_was = (APPROVAL.c.run == row.run, APPROVAL.c.state == change.was.value)
    if not link.core.execute(update(APPROVAL).where(*as_it_was).values(approval_columns(row))).rowcount:
        raise NotApproved(
            Text("somebody was first: run {run} is not {state} any more", run=row.run, state=change.was.value),
            Text("longarm run show {run}", run=row.run),
        )
    audit(link.plain, change.audit)


def _prune(link: Link, change: Prune) -> None:
    prune(link.core, change)
    audit(link.plain, change.audit)


def _erase(link: Link, change: Erase) -> None:
    audit(link.plain, change.audit, erase(link.core, change.belonging))


def _insert_new(connection: Connection, table: Table, *key: str) -> Insert:
    """Return an insert that leaves a row with this key alone if there is one."""
    if connection.dialect.name == "postgresql":
        from sqlalchemy.dialects import postgresql  # 0.06 s that no command on SQLite has to wait for

        return postgresql.insert(table).on_conflict_do_nothing(index_elements=key)
    return sqlite.insert(table).on_conflict_do_nothing(index_elements=key)


_APPLY: dict[type[Change], Callable[[Link, Any], None]] = {
    Rendered: _rendered,
    Sent: _sent,
    SendFailed: _send_failed,
    Attach: _attach,
    Prune: _prune,
    Erase: _erase,
    Hold: stops.hold,
    RemoveHolds: stops.remove_holds,
    Freeze: stops.freeze,
    Unfreeze: stops.unfreeze,
    Muting: stops.mute,
    AskApproval: _ask_approval,
    DecideApproval: _decide_approval,
}
