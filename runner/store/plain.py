"""What a run does to the tables, in plain SQL: SQLAlchemy takes 0.1 s to load, and no host is to wait for it.

Values are kept as the types of `runner.store.schema` keep them (`encoding.kept`), which the rest of the store goes by.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

from runner.outcome import Outcome, RunState
from runner.store.changes import (
    PROCESS_GONE,
    BeginRun,
    EndHost,
    EndRun,
    HostStates,
    Journalled,
    Note,
    Recover,
    ResumeRun,
    Sampled,
)
from runner.store.encoding import (
    Columns,
    audit_columns,
    found,
    host_columns,
    host_row,
    journal_columns,
    journal_row,
    kept,
    outbox_columns,
    outbox_row,
    run_columns,
    run_row,
    sample_columns,
    sample_row,
    state_columns,
    state_row,
)
from runner.store.port import WholeRun
from runner.store.rows import AuditRow, HostRow, OutboxRow, OutboxState, StateRow
from runner.store.sentences import text_to_json

_AT_ONCE = 500
"""Host names in one `IN (…)`: SQLite of old takes 999 parameters."""


def begin_run(plain: sqlite3.Connection, change: BeginRun) -> None:
    """Keep a run with its hosts, none of which has been asked."""
    _insert(plain, "run", [run_columns(change.run)])
    _insert(plain, "host_run", [host_columns(host) for host in change.hosts])
    audit(plain, change.audit)


def resume_run(plain: sqlite3.Connection, change: ResumeRun) -> None:
    """Let a run go on, with what is known of its hosts by now."""
    run = change.run
    values = {"state": RunState.RUNNING.value, "versions": dict(run.versions), "content_digest": run.content_digest}
    _update(plain, "run", values | {"ended_at": None}, id=run.run)
    for host in change.hosts:
        _host(plain, host)
    audit(plain, change.audit)


def end_host(plain: sqlite3.Connection, change: EndHost) -> None:
    """Keep how a host ended, and give its lease back unless more is to be done to it."""
    _host(plain, change.host)
    if not change.keeps_lease:
        _update(plain, "lease", {"held": False}, host=change.host.host, run=change.host.run)


def journalled(plain: sqlite3.Connection, change: Journalled) -> None:
    """Keep a line of a journal."""
    _insert(plain, "journal", [journal_columns(change.line)])


def sampled(plain: sqlite3.Connection, change: Sampled) -> None:
    """Keep what the questions of a repair showed, unless that is kept already."""
    _insert(plain, "sample", [sample_columns(change.sample)], "ON CONFLICT (run, position, number) DO NOTHING")


def end_run(plain: sqlite3.Connection, change: EndRun) -> None:
    """Keep how a run ended, what its case is to get, and what is known of its hosts from now on."""
    _update(plain, "run", {"state": change.state.value, "ended_at": change.ended_at}, id=change.run)
    owed = "ON CONFLICT (run, case_ref, kind, audience, language) DO NOTHING"
    _insert(plain, "outbox", [outbox_columns(row) for row in change.outbox], owed)
    for states in change.states:
        _states(plain, change.run, states)
    if change.state is RunState.ENDED:
        _update(plain, "lease", {"held": False}, run=change.run)
    audit(plain, change.audit)


def recover(plain: sqlite3.Connection, change: Recover) -> None:
    """Call interrupted what a process that is gone has left running."""
    for row in _rows(plain, "run", "SELECT id, case_ref, customers FROM run WHERE state = ?", RunState.RUNNING.value):
        gone = {"outcome": Outcome.INTERRUPTED.value, "error": text_to_json(PROCESS_GONE)}
        _update(plain, "host_run", gone, run=row["id"], outcome=None)
        _update(plain, "run", {"state": RunState.INTERRUPTED.value}, id=row["id"])
        customers = tuple(row["customers"])
        run, case = row["id"], row["case_ref"]
        audit(
            plain, AuditRow(at=change.at, actor=change.actor, action="run.recovered", run=run, case=case, customers=customers)
        )


def note(plain: sqlite3.Connection, change: Note) -> None:
    """Keep who did something that changes no row."""
    audit(plain, change.audit)


def audit(plain: sqlite3.Connection, row: AuditRow) -> None:
    """Keep who did what."""
    _insert(plain, "audit", [audit_columns(row)])


def waiting(plain: sqlite3.Connection) -> bool:
    """Tell whether something doomed is still on the disk."""
    return plain.execute("SELECT 1 FROM doomed LIMIT 1").fetchone() is not None


def run_ids(plain: sqlite3.Connection, part: str) -> tuple[str, ...]:
    """Return the ids that are, begin with or end with `part`, newest first."""
    literal = part.replace("/", "//").replace("%", "/%").replace("_", "/_")
    like = "SELECT id FROM run WHERE id LIKE ? || '%' ESCAPE '/' OR id LIKE '%' || ? ESCAPE '/' ORDER BY id DESC"
    return tuple(name for (name,) in plain.execute(like, (literal, literal)))


def whole_run(plain: sqlite3.Connection, run: str) -> WholeRun | None:
    """Return one run by its whole id."""
    of_run = _rows(plain, "run", "SELECT * FROM run WHERE id = ?", run)
    if not of_run:
        return None
    hosts = _rows(plain, "host_run", "SELECT * FROM host_run WHERE run = ? ORDER BY position", run)
    outbox = _rows(plain, "outbox", "SELECT * FROM outbox WHERE run = ? ORDER BY id", run)
    journal = _rows(plain, "journal", "SELECT * FROM journal WHERE run = ? ORDER BY id", run)
    samples = _rows(plain, "sample", "SELECT * FROM sample WHERE run = ? ORDER BY position, number", run)
    return WholeRun(
        run=run_row(of_run[0]),
        hosts=tuple(map(host_row, hosts)),
        outbox=tuple(map(outbox_row, outbox)),
        journal=tuple(map(journal_row, journal)),
        samples=tuple(map(sample_row, samples)),
    )


def states_of(plain: sqlite3.Connection, hosts: Sequence[str]) -> tuple[StateRow, ...]:
    """Return what the last completed runs said about these hosts."""
    query = "SELECT * FROM check_state WHERE host IN ({}) ORDER BY host, check_id, subject"
    parts = (hosts[start : start + _AT_ONCE] for start in range(0, len(hosts), _AT_ONCE))
    return tuple(state_row(row) for part in parts for row in _rows(plain, "check_state", query.format(_marks(part)), *part))


def outbox(plain: sqlite3.Connection, state: OutboxState | None) -> tuple[OutboxRow, ...]:
    """Return what waits for delivery or was delivered, oldest first."""
    query = "SELECT * FROM outbox WHERE ?1 IS NULL OR state = ?1 ORDER BY id"
    return tuple(map(outbox_row, _rows(plain, "outbox", query, None if state is None else state.value)))


def outbox_of(plain: sqlite3.Connection, row: int) -> OutboxRow | None:
    """Return one outbox row by its number."""
    return next(map(outbox_row, _rows(plain, "outbox", "SELECT * FROM outbox WHERE id = ?", row)), None)


_CUSTOMERS = """
SELECT host_run.customer FROM host_run JOIN run ON run.id = host_run.run WHERE run.case_ref = :case
UNION SELECT customer FROM case_attachment WHERE case_ref = :case
UNION SELECT customer FROM support_case WHERE ref = :case
"""


def customers_of(plain: sqlite3.Connection, case: str) -> tuple[str, ...]:
    """Return whose hosts and files a case has by now, by name."""
    return tuple(sorted(name for (name,) in plain.execute(_CUSTOMERS, {"case": case}) if name))


# Inside


def _host(plain: sqlite3.Connection, host: HostRow) -> None:
    values = host_columns(host)
    _update(plain, "host_run", values, run=values.pop("run"), position=values.pop("position"))


_SEEN_LATER = """
SELECT EXISTS (
    SELECT 1 FROM host_run JOIN run ON run.id = host_run.run
    WHERE host_run.host = :host AND host_run.ended_at > :ended_at AND host_run.run != :run
    AND host_run.diagnosis_digest IS NOT NULL AND run.state = :ended
)
"""


def _states(plain: sqlite3.Connection, run: str, states: HostStates) -> None:
    """Replace what was known by what was seen, unless a newer run has looked at the host."""
    later = {"host": states.host, "ended_at": states.ended_at, "run": run, "ended": RunState.ENDED.value}
    if plain.execute(_SEEN_LATER, kept(later)).fetchone()[0]:
        return
    checks = tuple(states.checks)
    plain.execute(f"DELETE FROM check_state WHERE host = ? AND check_id IN ({_marks(checks)})", (states.host, *checks))  # noqa: S608 - question marks
    forget = "DELETE FROM check_state WHERE host = ? AND check_id = ? AND subject = ?"
    plain.executemany(forget, [(row.host, row.check, row.subject) for row in states.states])
    _insert(plain, "check_state", [state_columns(state) for state in states.states])


def _insert(plain: sqlite3.Connection, table: str, rows: Sequence[Columns], more: str = "") -> None:
    if rows:
        names = tuple(rows[0])
        values = ", ".join(f":{name}" for name in names)
        plain.executemany(f"INSERT INTO {table} ({', '.join(names)}) VALUES ({values}) {more}", map(kept, rows))  # noqa: S608 - our names


def _update(plain: sqlite3.Connection, table: str, values: Columns, **key: str | int | None) -> None:
    """Update the rows that have this key; None is what nobody has set."""
    assigned = ", ".join(f"{name} = :{name}" for name in values)
    where = " AND ".join(f"{name} IS :key_{name}" for name in key)
    named = {f"key_{name}": value for name, value in key.items()}
    plain.execute(f"UPDATE {table} SET {assigned} WHERE {where}", kept(values | named))  # noqa: S608 - our names


def _rows(plain: sqlite3.Connection, table: str, query: str, *values: str | int | None) -> list[Columns]:
    cursor = plain.execute(query, values)
    names = [column[0] for column in cursor.description]
    return [found(table, dict(zip(names, row, strict=True))) for row in cursor]


def _marks(values: Sequence[str]) -> str:
    return ", ".join("?" * len(values))
