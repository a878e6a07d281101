"""Who has a host: one run that changes it, or one person who works there by hand; and when another may have it.

What somebody does by hand is a line of the journal, an intent that is on disk before anything is sent. It has the host until
its end was seen. Where nobody saw that, a command has it as long as its host lets it run.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final

from runner.outcome import Outcome, RunKind, RunState
from runner.store.changes import BeginByHand, Journalled, TakeLease
from runner.store.encoding import Columns, found, kept, lease_columns, lease_row
from runner.store.errors import ChangeRefused, HostInHand, HostLeased
from runner.store.plain import audit, insert, journalled, places_of, read, update
from runner.store.port import Place
from runner.store.rows import HAND, AuditRow, Event, HandRow, JournalRow, LeaseRow

_LONGEST: Final = timedelta(days=2)
"""No run of which a command may still be at it on a host began longer ago."""
_END: Final = f"""
SELECT line.data FROM journal AS line
WHERE line.run = journal.run AND line.position = journal.position AND line.step = '{HAND}' AND line.event = '{Event.END}'
"""  # noqa: S608 - our words
_WHAT: Final = f"""
SELECT run.id AS run, run.actor, host_run.host, host_run.customer, host_run.outcome, host_run.ended_at,
    journal.id, journal.at, journal.data, ({_END}) AS seen
"""
_BEGUN: Final = f"""
CROSS JOIN journal ON journal.run = host_run.run AND journal.position = host_run.position
WHERE journal.step = '{HAND}' AND journal.event = '{Event.INTENT}'
"""
_ON_ALL: Final = f"{_WHAT} FROM run CROSS JOIN host_run ON host_run.run = run.id {_BEGUN}"
_ON_ONE: Final = f"{_WHAT} FROM host_run CROSS JOIN run ON run.id = host_run.run {_BEGUN} AND host_run.host = ?"
"""Joined in the order in which they are written: by itself SQLite reads all of the journal, and looks up the rest."""
_AT_IT: Final = f"""
AND NOT EXISTS ({_END})
AND (run.state = ? AND host_run.outcome IS NULL OR host_run.outcome IS NOT NULL AND run.started_at > ?)
ORDER BY journal.at, journal.id
"""


def take(plain: sqlite3.Connection, change: TakeLease) -> None:
    """Give a run the lease of a host, with a token that no earlier one had; raises HostLeased, HostInHand."""
    wanted = change.lease
    known = _lease(plain, wanted.host)
    if known is not None and (refused := _leased(plain, known, wanted.run, wanted.since)):
        raise refused
    hands = change.kept_off_by(at_work(plain, wanted.since, wanted.host))
    _go_beside(plain, _in_hand(plain, hands, wanted.run, wanted.since), change.beside)
    if known is None:
        insert(plain, "lease", [lease_columns(wanted)])
        return
    values = lease_columns(replace(wanted, token=max(wanted.token, known.token + 1)))
    update(plain, "lease", values, host=wanted.host)


def begin_by_hand(plain: sqlite3.Connection, change: BeginByHand) -> None:
    """Keep that somebody begins by hand on a host; raises HostLeased, HostInHand."""
    hand = change.hand
    known = _lease(plain, hand.host)
    leased = None if known is None else _leased(plain, known, hand.run, hand.since)
    hands = change.kept_off_by(at_work(plain, hand.since, hand.host))
    there = [*([leased] if leased else []), *_in_hand(plain, hands, hand.run, hand.since)]
    _go_beside(plain, there, change.beside)
    data = {
        "kind": hand.kind.value,
        "what": hand.what,
        "until": hand.until.isoformat(),
        "beside": change.beside.detail if there and change.beside else "",
    }
    line = JournalRow(run=hand.run, position=change.position, event=Event.INTENT, key=HAND, at=hand.since, data=data)
    journalled(plain, Journalled(line=line))


def at_work(plain: sqlite3.Connection, now: datetime, host: str | None = None) -> tuple[HandRow, ...]:
    """Return what is done by hand now, on one host or on all, oldest first: what is on its way, and what may be at it still."""
    begun, named = (_ON_ALL, ()) if host is None else (_ON_ONE, (host,))
    long_ago = kept({"at": now - _LONGEST})["at"]
    values = (*named, RunState.RUNNING.value, long_ago)
    rows = map(_hand, read(plain, "journal", begun + _AT_IT, *values))
    return tuple(row for row in rows if row.outcome is None or now < row.until)


_BEGAN: Final = """
SELECT coalesce(min(sample.at), run.started_at) FROM run
LEFT JOIN host_run ON host_run.run = run.id AND host_run.host = ?
LEFT JOIN sample ON sample.run = run.id AND sample.position = host_run.position WHERE run.id = ?
"""
_FIRST: Final = """
SELECT min(journal.id) FROM host_run
JOIN journal ON journal.run = host_run.run AND journal.position = host_run.position
WHERE host_run.host = ? AND host_run.run = ?
"""
_SINCE: Final = f"""
{_ON_ONE} AND run.id != ? AND (journal.at > ? OR host_run.ended_at > ? OR journal.id > ? OR NOT EXISTS ({_END}))
ORDER BY journal.at, journal.id
"""


def by_hand_since(plain: sqlite3.Connection, host: str, run: str) -> tuple[HandRow, ...]:
    """Return what was done by hand on a host since a run first looked at it, oldest first; or beside it.

    What was seen not to begin there did nothing. What was written behind the run's first line came after it, whatever the
    clock said.
    """
    (began,), (first,) = (plain.execute(query, (host, run)).fetchone() for query in (_BEGAN, _FIRST))
    begun = [row for row in read(plain, "journal", _SINCE, host, run, began, began, first) if _begun(row)]
    moment = found("journal", {"at": began})["at"]
    behind = [first is not None and row["id"] > first for row in begun]
    hands = zip(map(_hand, begun), behind, strict=True)
    return tuple(hand for hand, later in hands if later or hand.outcome is None or max(hand.since, hand.until) > moment)


def as_told(hands: Sequence[HandRow], run: str, places: Mapping[str, Collection[Place]]) -> tuple[HandRow, ...]:
    """Return what was done by hand as a run tells it: in full where whoever may look at that run may look at theirs too.

    `places` are those of all these runs. What is told stays with the run, and is read by others than who began it.
    """
    there = set(places.get(run, ()))
    return tuple(hand if set(places.get(hand.run, ())) <= there else hand.veiled for hand in hands)


# Inside


def _lease(plain: sqlite3.Connection, host: str) -> LeaseRow | None:
    return next(map(lease_row, read(plain, "lease", "SELECT * FROM lease WHERE host = ?", host)), None)


def _leased(plain: sqlite3.Connection, holder: LeaseRow, run: str, now: datetime) -> HostLeased | None:
    """Return what keeps a run off a host whose lease another one has, None where nothing does."""
    taken = holder.held and holder.run != run and not _over(plain, holder)
    return HostLeased(holder, now) if taken else None


def _over(plain: sqlite3.Connection, holder: LeaseRow) -> bool:
    """Tell whether the run that has a lease can do nothing more to the host: it is not on its way, and left nothing open."""
    state = plain.execute("SELECT state FROM run WHERE id = ?", (holder.run,)).fetchone()
    if state is not None and state[0] == RunState.RUNNING.value:
        return False
    return not _left_open(plain, holder.run, holder.host)


_LINES: Final = """
SELECT journal.event, journal.step FROM journal
JOIN host_run ON host_run.run = journal.run AND host_run.position = journal.position
WHERE journal.run = ? AND host_run.host = ? ORDER BY journal.id
"""


def _left_open(plain: sqlite3.Connection, run: str, host: str) -> bool:
    """Tell whether the journal of a host holds an intent behind which nobody has seen an end."""
    last = {step: event for event, step in plain.execute(_LINES, (run, host)) if event in (Event.INTENT, Event.END)}
    return Event.INTENT in last.values()


def _begun(row: Columns) -> bool:
    """Tell whether anything was begun by hand on a host, for all that was seen of it."""
    return row["seen"] is None or bool(json.loads(row["seen"]).get("begun", True))


def _hand(row: Columns) -> HandRow:
    until, ended_at = datetime.fromisoformat(row["data"]["until"]), row["ended_at"]
    return HandRow(
        run=row["run"],
        host=row["host"],
        customer=row["customer"],
        actor=row["actor"],
        kind=RunKind(row["data"]["kind"]),
        what=row["data"]["what"],
        since=row["at"],
        until=until if ended_at is None else ended_at if row["seen"] else max(until, ended_at),
        outcome=Outcome(row["outcome"]) if row["outcome"] else None,
        beside=row["data"]["beside"],
    )


def _in_hand(plain: sqlite3.Connection, hands: Sequence[HandRow], run: str, now: datetime) -> list[ChangeRefused]:
    """Return what keeps a run off a host where people work by hand."""
    if not hands:
        return []
    told = as_told(hands, run, places_of(plain, [run, *(hand.run for hand in hands)]))
    return [HostInHand(hand, now) for hand in told]


def _go_beside(plain: sqlite3.Connection, there: Sequence[ChangeRefused], beside: AuditRow | None) -> None:
    """Keep in the audit that somebody goes beside all that has a host, and why; raise the first of it where there is no why."""
    if not there:
        return
    if beside is None:
        raise there[0]
    told = "; ".join(str(one.text) for one in there)
    audit(plain, replace(beside, detail=f"{told}; beside it: {beside.detail}"))
