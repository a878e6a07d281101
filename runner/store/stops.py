"""What keeps changes off hosts, and what was muted around them: holds, freezes, mutes; added and closed, never deleted."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Select, Table, delete, false, insert, select, update
from sqlalchemy.sql.elements import ColumnElement

from runner.outcome import RunState
from runner.store.changes import Belonging, Freeze, Hold, Muting, RemoveHolds, Unfreeze
from runner.store.encoding import freeze_columns, hold_columns, mute_columns, mute_row
from runner.store.link import Link
from runner.store.plain import audit
from runner.store.rows import MuteRow, MuteState, Scope
from runner.store.schema import FREEZE, HOLD, MUTE, RUN

_AT_ONCE = 500
"""Values in one `IN (…)`: SQLite of old takes 999 parameters."""


def hold(link: Link, change: Hold) -> None:
    """Keep holds."""
    link.core.execute(insert(HOLD), [hold_columns(row) for row in change.holds])
    audit(link.plain, change.audit)


def remove_holds(link: Link, change: RemoveHolds) -> None:
    """Note that holds were removed; one that was before stays as it was."""
    _close(link.core, HOLD, change.ids, change.audit.at, change.audit.actor)
    audit(link.plain, change.audit)


def freeze(link: Link, change: Freeze) -> None:
    """Keep a freeze."""
    link.core.execute(insert(FREEZE), freeze_columns(change.freeze))
    audit(link.plain, change.audit)


def unfreeze(link: Link, change: Unfreeze) -> None:
    """Note that freezes were removed; one that was before stays as it was."""
    _close(link.core, FREEZE, change.ids, change.audit.at, change.audit.actor)
    audit(link.plain, change.audit)


def mute(link: Link, change: Muting) -> None:
    """Keep how far a hook is with one wave of a run."""
    row = mute_columns(change.mute)
    key = (MUTE.c.run == row["run"], MUTE.c.wave == row["wave"], MUTE.c.hook == row["hook"])
    if not link.core.execute(update(MUTE).where(*key).values(row)).rowcount:
        link.core.execute(insert(MUTE), row)
    if change.audit is not None:
        audit(link.plain, change.audit)


def left_muted(connection: Connection) -> tuple[MuteRow, ...]:
    """Return what was muted, or may have been, by runs that are not on their way, and was not unmuted."""
    left = MUTE.c.state.in_((MuteState.MUTING.value, MuteState.MUTED.value))
    query = select(MUTE).join(RUN, RUN.c.id == MUTE.c.run).where(left, RUN.c.state != RunState.RUNNING.value)
    return tuple(map(mute_row, _rows(connection, query.order_by(MUTE.c.since, MUTE.c.wave, MUTE.c.hook))))


def of_customer(table: Table, customer: str | None) -> ColumnElement[bool]:
    """Return which holds, or which freezes, belong to a customer; nothing belongs to None."""
    if customer is None:
        return false()
    if table is HOLD:
        return HOLD.c.customer == customer
    return (FREEZE.c.scope == Scope.CUSTOMER.value) & (FREEZE.c.name == customer)


def erase_stops(connection: Connection, belonging: Belonging) -> None:
    """Delete the holds of a customer's hosts, and the freezes of theirs."""
    for table in (HOLD, FREEZE):
        connection.execute(delete(table).where(of_customer(table, belonging.customer)))


def _close(connection: Connection, table: Table, ids: Sequence[int], at: Any, by: str) -> None:
    for start in range(0, len(ids), _AT_ONCE):
        which = (table.c.id.in_(ids[start : start + _AT_ONCE]), table.c.removed_at.is_(None))
        connection.execute(update(table).where(*which).values(removed_at=at, removed_by=by))


def _rows(connection: Connection, query: Select[Any]) -> Any:
    return connection.execute(query).mappings()
