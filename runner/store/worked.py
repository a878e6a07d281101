"""What was done to a host by repairs of the past: whose end nobody knows, and which came after a run."""

from __future__ import annotations

from typing import Final

from sqlalchemy import Connection, and_, func, select

from playbooks.results import HostChange
from runner.outcome import Outcome, RunKind
from runner.store.rows import HAND, Event, Unsettled
from runner.store.schema import HOST_RUN, JOURNAL, RUN

_LOOKED: Final = (Outcome.OK.value, Outcome.FINDINGS.value, Outcome.FAILED.value)
"""How a host ends that a repair has come to, where it changed nothing."""


def unsettled(connection: Connection, host: str) -> tuple[Unsettled, ...]:
    """Return the repairs of which nobody knows what they did to a host, of each playbook the last one.

    What is done there again to a known end settles it: what was refused, or never got there, does not.
    """
    done = (
        select(RUN.c.id, RUN.c.playbook, RUN.c.request, HOST_RUN.c.change, HOST_RUN.c.outcome)
        .join(HOST_RUN, HOST_RUN.c.run == RUN.c.id)
        .where(HOST_RUN.c.host == host, HOST_RUN.c.change.is_not(None))
        .order_by(RUN.c.started_at, RUN.c.id)
    )
    found: dict[str, Unsettled] = {}
    for run, playbook, request, change, outcome in connection.execute(done):
        if request.get("kind") != RunKind.REPAIR.value:
            continue
        if change == HostChange.UNKNOWN.value:
            names = {name: tuple(request.get(name, ())) for name in ("conflicts", "includes")}
            found[playbook] = Unsettled(run=run, playbook=playbook, **names)
        elif change != HostChange.UNCHANGED.value or outcome in _LOOKED:
            found.pop(playbook, None)
    return tuple(found.values())


def worked_since(connection: Connection, host: str, run: str, besides: str) -> str | None:
    """Return the last repair that began a step on a host after a run did there, but `besides`; None: none has.

    What came after is told by the order in which lines were written: a clock may be stepped back.
    """
    steps = (
        select(JOURNAL.c.run, func.max(JOURNAL.c.id).label("line"), func.max(JOURNAL.c.at).label("at"))
        .join(HOST_RUN, and_(HOST_RUN.c.run == JOURNAL.c.run, HOST_RUN.c.position == JOURNAL.c.position))
        .where(HOST_RUN.c.host == host, JOURNAL.c.event == Event.INTENT.value, JOURNAL.c.step != HAND)
        .group_by(JOURNAL.c.run)
        .order_by(func.max(JOURNAL.c.id).desc())
    )
    latest = connection.execute(steps).all()
    others = [row for row in latest if row.run not in (run, besides)]
    if (own := next((row.line for row in latest if row.run == run), None)) is not None:
        return next((row.run for row in others if row.line > own), None)
    began = connection.execute(select(RUN.c.started_at).where(RUN.c.id == run)).scalar()  # a plan, and what had nothing to do
    return next((row.run for row in others if began is None or row.at > began), None)
