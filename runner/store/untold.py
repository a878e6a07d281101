"""What a store holds and its audit does not tell of: lines that were taken out of it, also where the chain was made anew.

A chain shows that nothing in it was changed, not that all of it is there: who may write to it can cut off its end, and say that
it ends there. What was done has left more than its line, and each of these is looked for here.
"""

from __future__ import annotations

import json
import sqlite3
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from inventory.errors import Text, utc
from runner.store.blobs import digest_of
from runner.store.erasures import ERASED, RESTORED, belongings, erasures_in
from runner.store.errors import StoreError

_OF_RUNS: Final = (
    ("run.started", ("run.started",), "SELECT id FROM run"),
    ("run.ended", ("run.ended",), "SELECT id FROM run WHERE state = 'ended'"),
    ("run.interrupted", ("run.interrupted", "run.recovered"), "SELECT id FROM run WHERE state = 'interrupted'"),
    ("approval.asked", ("approval.asked",), "SELECT run FROM approval"),
    ("approval.approved", ("approval.approved",), "SELECT run FROM approval WHERE state IN ('approved', 'begun')"),
    ("approval.declined", ("approval.declined",), "SELECT run FROM approval WHERE state = 'declined'"),
    ("approval.void", ("approval.void",), "SELECT run FROM approval WHERE state = 'void'"),
    ("monitoring.muted", ("monitoring.muted",), "SELECT run FROM mute WHERE state = 'muted'"),
    ("monitoring.unmuted", ("monitoring.unmuted",), "SELECT run FROM mute WHERE state = 'unmuted'"),
    ("monitoring.failed", ("monitoring.failed",), "SELECT run FROM mute WHERE state = 'failed'"),
)
"""Which line each run of a query has: how it is called, and by which actions it may stand in the audit."""
_AT_THAT_TIME: Final = (
    ("store.pruned", "SELECT pruned_at FROM host_run UNION SELECT pruned_at FROM sample"),
    ("report.sent", "SELECT sent_at FROM outbox WHERE state = 'sent'"),
    ("hold.removed", "SELECT removed_at FROM hold"),
    ("freeze.removed", "SELECT removed_at FROM freeze"),
)
"""What was done at the very time that its line has, or never."""
_BY_WHOM: Final = (
    ("hold.added", "SELECT actor, since FROM hold GROUP BY actor, since"),
    ("freeze.added", "SELECT actor, since FROM freeze"),
)
"""What was done by somebody as often as their lines tell, or less often: rows are erased, lines are not."""


def untold(connection: sqlite3.Connection) -> Iterator[Text]:
    """Yield what the tables of a store hold, and no line of its audit tells of."""
    for name, actions, query in _OF_RUNS:
        for run in sorted(_column(connection, query) - _runs_of(connection, actions)):
            yield Text("run {run}: the audit has no line “{action}” of it", run=run, action=name)
    for run in sorted(_broken_glass(connection) - _runs_of(connection, ("approval.glass_broken",))):
        yield Text("run {run}: the audit has no line “{action}” of it", run=run, action="approval.glass_broken")
    for name, query in _AT_THAT_TIME:
        told = _column(connection, "SELECT at FROM audit WHERE action = ?", name)
        for at in sorted(_column(connection, query) - {None} - told):
            yield Text("what was done at {at}: the audit has no line “{action}” of it", at=f"{at} UTC", action=name)
    for name, query in _BY_WHOM:
        told_of = Counter(actor for (actor,) in connection.execute("SELECT actor FROM audit WHERE action = ?", (name,)))
        done = Counter(actor for actor, _ in connection.execute(query))
        for actor in sorted(done - told_of):
            yield Text("the audit has fewer lines “{action}” of {actor} than there were", action=name, actor=actor)
    yield from _attachments(connection)
    if _column(connection, "SELECT id FROM run WHERE erased_hosts > 0") and not _erased(connection):
        yield Text("the audit has no line “{action}”, and hosts were taken out of runs", action=ERASED)


def untold_erasures(home: Path, connection: sqlite3.Connection) -> Iterator[Text]:
    """Yield the erasures that a home has kept beside its store, and no line of the audit tells of.

    One whose data is there still was cut off before it was done.
    """
    there = {digest_of(one.named.encode()) for one in belongings(connection)}
    told = _erased(connection) | there
    try:
        erasures = erasures_in(home)
    except StoreError as error:
        yield error.text
        return
    for erasure in erasures:
        if erasure.digest not in told:
            yield Text("what was done at {at}: the audit has no line “{action}” of it", at=utc(erasure.at), action=ERASED)


def _attachments(connection: sqlite3.Connection) -> Iterator[Text]:
    lines = connection.execute("SELECT case_ref, digests FROM audit WHERE action = 'case.attached'")
    told = {(case, digest) for case, digests in lines for digest in json.loads(digests)}
    held = connection.execute("SELECT case_ref, filename, digest FROM case_attachment ORDER BY id")
    for case, filename, digest in held:
        if (case, digest) not in told:
            yield Text("{file} on case {case}: the audit has no line of it", file=filename, case=case)


def _broken_glass(connection: sqlite3.Connection) -> set[Any]:
    """Return the runs that began without the second person that they needed."""
    asked = connection.execute("SELECT id, request FROM run WHERE request LIKE '%break_glass%'")
    return {run for run, request in asked if json.loads(request).get("break_glass")}


def _erased(connection: sqlite3.Connection) -> set[str]:
    """Return the digests of whose data was erased, or known to be, by the lines of the audit."""
    lines = connection.execute("SELECT digests FROM audit WHERE action IN (?, ?)", (ERASED, RESTORED))
    return {digest for (digests,) in lines for digest in json.loads(digests)}


def _runs_of(connection: sqlite3.Connection, actions: tuple[str, ...]) -> set[Any]:
    return {run for action in actions for run in _column(connection, "SELECT run FROM audit WHERE action = ?", action)}


def _column(connection: sqlite3.Connection, query: str, *values: str) -> set[Any]:
    return {value for (value,) in connection.execute(query, values)}
