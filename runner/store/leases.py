"""One changing run for each host: who has its lease, and when another run may take it."""

from __future__ import annotations

from sqlalchemy import Connection, insert, select, update

from runner.outcome import RunState
from runner.store.encoding import lease_columns, lease_row
from runner.store.errors import HostLeased
from runner.store.rows import Event, LeaseRow
from runner.store.schema import HOST_RUN, JOURNAL, LEASE, RUN


def take(connection: Connection, wanted: LeaseRow) -> None:
    """Give a run the lease of a host, with a token that no earlier one had; raises HostLeased where another run has it."""
    known = connection.execute(select(LEASE).where(LEASE.c.host == wanted.host)).mappings().one_or_none()
    values = {**lease_columns(wanted), "held": True}
    if known is None:
        connection.execute(insert(LEASE), values)
        return
    holder = lease_row(known)
    if holder.held and holder.run != wanted.run and not _over(connection, holder):
        raise HostLeased(holder)
    values["token"] = max(wanted.token, holder.token + 1)
    connection.execute(update(LEASE).where(LEASE.c.host == wanted.host).values(values))


def _over(connection: Connection, holder: LeaseRow) -> bool:
    """Tell whether the run that has a lease can do nothing more to the host: it is not on its way, and left nothing open."""
    state = connection.execute(select(RUN.c.state).where(RUN.c.id == holder.run)).scalar_one_or_none()
    if state == RunState.RUNNING.value:
        return False
    return not _left_open(connection, holder.run, holder.host)


def _left_open(connection: Connection, run: str, host: str) -> bool:
    """Tell whether the journal of a host holds an intent whose end nobody has seen."""
    lines = (
        select(JOURNAL.c.event, JOURNAL.c.step)
        .join(HOST_RUN, (HOST_RUN.c.run == JOURNAL.c.run) & (HOST_RUN.c.position == JOURNAL.c.position))
        .where(JOURNAL.c.run == run, HOST_RUN.c.host == host)
    )
    steps: dict[str, set[str]] = {event.value: set() for event in Event}
    for event, step in connection.execute(lines):
        steps[event].add(step)
    return bool(steps[Event.INTENT] - steps[Event.END])
