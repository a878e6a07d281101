"""What a run does to the tables, in plain SQL: SQLAlchemy takes 0.1 s to load, and no host is to wait for it.

Values are kept as the types of `runner.store.schema` keep them (`encoding.kept`), which the rest of the store goes by.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from inventory.errors import Text
from runner.outcome import Outcome, RunState
from runner.store.audit_log import AuditLine, Head, chained
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
    approval_row,
    audit_line,
    found,
    freeze_row,
    hold_row,
    host_columns,
    host_row,
    journal_columns,
    journal_row,
    kept,
    line_columns,
    mute_row,
    outbox_columns,
    outbox_row,
    run_columns,
    run_row,
    sample_columns,
    sample_row,
    script_columns,
    script_of,
    state_columns,
    state_row,
)
from runner.store.errors import NotApproved
from runner.store.lock import on_its_way
from runner.store.port import Place, WholeRun
from runner.store.rows import (
    HAND,
    ApprovalState,
    AuditRow,
    Event,
    FreezeRow,
    HoldRow,
    HostRow,
    OutboxRow,
    OutboxState,
    StateRow,
)
from runner.store.sentences import text_to_json

_AT_ONCE = 500
"""Host names in one `IN (…)`: SQLite of old takes 999 parameters."""


def begin_run(plain: sqlite3.Connection, change: BeginRun) -> None:
    """Keep a run with its hosts, none of which has been asked."""
    insert(plain, "run", [run_columns(change.run)])
    insert(plain, "host_run", [host_columns(host) for host in change.hosts])
    if change.approved:
        use = "UPDATE approval SET state = ?, begun_as = ? WHERE run = ? AND state = ?"
        values = (ApprovalState.BEGUN.value, change.run.run, change.approved, ApprovalState.APPROVED.value)
        if not plain.execute(use, values).rowcount:
            raise NotApproved(
                Text("run {run} was not approved, or was begun already", run=change.approved),
                Text("longarm run show {run}", run=change.approved),
            )
    audit(plain, change.audit)


def resume_run(plain: sqlite3.Connection, change: ResumeRun) -> None:
    """Let a run go on, with what is known of its hosts by now."""
    run = change.run
    values = {"state": RunState.RUNNING.value, "content_digest": run.content_digest, "ended_at": None}
    update(plain, "run", values | {"versions": dict(run.versions), "request": dict(run.request)}, id=run.run)
    for host in change.hosts:
        _host(plain, host)
    audit(plain, change.audit)


def end_host(plain: sqlite3.Connection, change: EndHost) -> None:
    """Keep how a host ended, and give its lease back unless more is to be done to it."""
    _host(plain, change.host)
    if not change.keeps_lease:
        update(plain, "lease", {"held": False}, host=change.host.host, run=change.host.run)


def journalled(plain: sqlite3.Connection, change: Journalled) -> None:
    """Keep a line of a journal, and its script unless that is kept already."""
    if change.line.script:
        insert(plain, "plan_script", [script_columns(change.line)], "ON CONFLICT (run, digest) DO NOTHING")
    insert(plain, "journal", [journal_columns(change.line)])


_NAMED: Final = """
SELECT EXISTS (SELECT 1 FROM sample WHERE evidence_digest = :digest AND pruned_at IS NULL)
    OR EXISTS (SELECT 1 FROM host_run WHERE evidence_digest = :digest AND pruned_at IS NULL)
"""
_DOOM: Final = "INSERT INTO doomed (what, name) VALUES ('blob', :digest) ON CONFLICT DO NOTHING"
_SPARE: Final = "DELETE FROM doomed WHERE what = 'blob' AND name = ?"


def sampled(plain: sqlite3.Connection, change: Sampled) -> None:
    """Keep what the questions of a repair showed, in place of this sample and later ones; what no row names then is doomed."""
    wanted = change.sample
    later = (wanted.run, wanted.position, wanted.number)
    where = "FROM sample WHERE run = ? AND position = ? AND number >= ?"
    replaced = [digest for (digest,) in plain.execute(f"SELECT evidence_digest {where} AND pruned_at IS NULL", later)]
    plain.execute(f"DELETE {where}", later)
    insert(plain, "sample", [sample_columns(wanted)])
    plain.execute(_SPARE, (wanted.evidence_digest,))
    for digest in replaced:
        if not plain.execute(_NAMED, {"digest": digest}).fetchone()[0]:
            plain.execute(_DOOM, {"digest": digest})


def end_run(plain: sqlite3.Connection, change: EndRun) -> None:
    """Keep how a run ended, what its case is to get, and what is known of its hosts from now on."""
    update(plain, "run", {"state": change.state.value, "ended_at": change.ended_at}, id=change.run)
    owed = "ON CONFLICT (run, case_ref, kind, audience, language) DO NOTHING"
    insert(plain, "outbox", [outbox_columns(row) for row in change.outbox], owed)
    for states in change.states:
        _states(plain, change.run, states)
    if change.state is RunState.ENDED:
        update(plain, "lease", {"held": False}, run=change.run)
    audit(plain, change.audit)


_HANDS_OFF: Final = """
UPDATE host_run SET ended_at = ? WHERE run = ? AND outcome IS NULL AND EXISTS (
    SELECT 1 FROM journal WHERE journal.run = host_run.run AND journal.position = host_run.position AND step = ? AND event = ?)
"""
"""What somebody did by hand is over by now, though nobody knows since when."""


def recover(plain: sqlite3.Connection, change: Recover) -> None:
    """Call interrupted what a process that is gone has left running."""
    for row in read(plain, "run", "SELECT id, case_ref, customers FROM run WHERE state = ?", RunState.RUNNING.value):
        if change.home is not None and on_its_way(change.home, row["id"]):
            continue
        plain.execute(_HANDS_OFF, (kept({"at": change.at})["at"], row["id"], HAND, Event.INTENT.value))
        gone = {"outcome": Outcome.INTERRUPTED.value, "error": text_to_json(PROCESS_GONE)}
        update(plain, "host_run", gone, run=row["id"], outcome=None)
        update(plain, "run", {"state": RunState.INTERRUPTED.value}, id=row["id"])
        customers = tuple(row["customers"])
        run, case = row["id"], row["case_ref"]
        audit(
            plain, AuditRow(at=change.at, actor=change.actor, action="run.recovered", run=run, case=case, customers=customers)
        )


def note(plain: sqlite3.Connection, change: Note) -> None:
    """Keep who did something that changes no row."""
    audit(plain, change.audit)


def audit(plain: sqlite3.Connection, row: AuditRow, erased: Mapping[int, str] | None = None) -> None:
    """Keep who did what, chained to the line before; `erased`: what lines that were touched hold from now on."""
    line = chained(audit_head(plain), row, erased)
    insert(plain, "audit", [line_columns(line)])
    plain.execute("DELETE FROM audit_head")
    insert(plain, "audit_head", [{"number": line.number, "digest": line.digest}])


def audit_head(plain: sqlite3.Connection) -> Head:
    """Return which line of the audit is the last."""
    row = plain.execute("SELECT number, digest FROM audit_head").fetchone()
    return Head() if row is None else Head(number=row[0], digest=row[1])


def audit_lines(plain: sqlite3.Connection) -> Iterator[AuditLine]:
    """Yield the audit as it is chained, oldest first; raises ValueError for a line that is not as any was written."""
    cursor = plain.execute("SELECT * FROM audit ORDER BY id")
    names = [column[0] for column in cursor.description]
    for row in cursor:
        columns = dict(zip(names, row, strict=True))
        line = audit_line(found("audit", dict(columns)))
        if kept(line_columns(line)) != columns:
            raise ValueError(line.number)
        yield line


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
    of_run = read(plain, "run", "SELECT * FROM run WHERE id = ?", run)
    if not of_run:
        return None
    hosts = read(plain, "host_run", "SELECT * FROM host_run WHERE run = ? ORDER BY position", run)
    outbox = read(plain, "outbox", "SELECT * FROM outbox WHERE run = ? ORDER BY id", run)
    journal = read(plain, "journal", "SELECT * FROM journal WHERE run = ? ORDER BY id", run)
    planned = read(plain, "plan_script", "SELECT digest, script FROM plan_script WHERE run = ?", run)
    scripts = {row["digest"]: script_of(row) for row in planned}
    samples = read(plain, "sample", "SELECT * FROM sample WHERE run = ? ORDER BY position, number", run)
    approval = read(plain, "approval", "SELECT * FROM approval WHERE run = ?", run)
    mutes = read(plain, "mute", "SELECT * FROM mute WHERE run = ? ORDER BY wave, hook", run)
    return WholeRun(
        run=run_row(of_run[0]),
        hosts=tuple(map(host_row, hosts)),
        outbox=tuple(map(outbox_row, outbox)),
        journal=tuple(journal_row(row, scripts) for row in journal),
        samples=tuple(map(sample_row, samples)),
        approval=approval_row(approval[0]) if approval else None,
        mutes=tuple(map(mute_row, mutes)),
    )


def places_of(plain: sqlite3.Connection, runs: Sequence[str]) -> dict[str, tuple[Place, ...]]:
    """Return where the hosts of these runs are: at which customers', on which sites."""
    query = "SELECT DISTINCT run, customer, site FROM host_run WHERE run IN ({}) ORDER BY run, customer, site"
    found: dict[str, tuple[Place, ...]] = {}
    for part in (runs[start : start + _AT_ONCE] for start in range(0, len(runs), _AT_ONCE)):
        for run, customer, site in plain.execute(query.format(_marks(part)), tuple(part)):
            found[run] = (*found.get(run, ()), (customer, site))
    return found


def states_of(plain: sqlite3.Connection, hosts: Sequence[str]) -> tuple[StateRow, ...]:
    """Return what the last completed runs said about these hosts."""
    query = "SELECT * FROM check_state WHERE host IN ({}) ORDER BY host, check_id, subject"
    parts = (hosts[start : start + _AT_ONCE] for start in range(0, len(hosts), _AT_ONCE))
    return tuple(state_row(row) for part in parts for row in read(plain, "check_state", query.format(_marks(part)), *part))


def holds_of(plain: sqlite3.Connection, hosts: Sequence[str] | None, past: bool) -> tuple[HoldRow, ...]:
    """Return the holds that nobody has removed, oldest first, of these hosts or of all; with `past` the removed ones too."""
    if hosts is None:
        query = "SELECT * FROM hold WHERE ? OR removed_at IS NULL ORDER BY id"
        return tuple(map(hold_row, read(plain, "hold", query, int(past))))
    query = "SELECT * FROM hold WHERE (? OR removed_at IS NULL) AND host IN ({})"
    parts = (hosts[start : start + _AT_ONCE] for start in range(0, len(hosts), _AT_ONCE))
    held = (hold_row(row) for part in parts for row in read(plain, "hold", query.format(_marks(part)), int(past), *part))
    return tuple(sorted(held, key=lambda row: row.id))


def freezes_of(plain: sqlite3.Connection, past: bool) -> tuple[FreezeRow, ...]:
    """Return the freezes that nobody has removed, oldest first; with `past` the removed ones too."""
    query = "SELECT * FROM freeze WHERE ? OR removed_at IS NULL ORDER BY id"
    return tuple(map(freeze_row, read(plain, "freeze", query, int(past))))


def outbox(plain: sqlite3.Connection, state: OutboxState | None) -> tuple[OutboxRow, ...]:
    """Return what waits for delivery or was delivered, oldest first."""
    query = "SELECT * FROM outbox WHERE ?1 IS NULL OR state = ?1 ORDER BY id"
    return tuple(map(outbox_row, read(plain, "outbox", query, None if state is None else state.value)))


def outbox_of(plain: sqlite3.Connection, row: int) -> OutboxRow | None:
    """Return one outbox row by its number."""
    return next(map(outbox_row, read(plain, "outbox", "SELECT * FROM outbox WHERE id = ?", row)), None)


_CUSTOMERS = """
SELECT host_run.customer FROM host_run JOIN run ON run.id = host_run.run WHERE run.case_ref = :case
UNION SELECT customer FROM case_attachment WHERE case_ref = :case
UNION SELECT customer FROM support_case WHERE ref = :case
"""


def customers_of(plain: sqlite3.Connection, case: str) -> tuple[str, ...]:
    """Return whose hosts and files a case has by now, by name."""
    return tuple(sorted(name for (name,) in plain.execute(_CUSTOMERS, {"case": case}) if name))


def insert(plain: sqlite3.Connection, table: str, rows: Sequence[Columns], more: str = "") -> None:
    """Add rows to a table."""
    if rows:
        names = tuple(rows[0])
        values = ", ".join(f":{name}" for name in names)
        plain.executemany(f"INSERT INTO {table} ({', '.join(names)}) VALUES ({values}) {more}", map(kept, rows))  # noqa: S608 - our names


def update(plain: sqlite3.Connection, table: str, values: Columns, **key: str | int | None) -> None:
    """Update the rows that have this key; None is what nobody has set."""
    assigned = ", ".join(f"{name} = :{name}" for name in values)
    where = " AND ".join(f"{name} IS :key_{name}" for name in key)
    named = {f"key_{name}": value for name, value in key.items()}
    plain.execute(f"UPDATE {table} SET {assigned} WHERE {where}", kept(values | named))  # noqa: S608 - our names


def read(plain: sqlite3.Connection, table: str, query: str, *values: str | int | None) -> list[Columns]:
    """Return the rows that a query finds, as those of a table are kept."""
    cursor = plain.execute(query, values)
    names = [column[0] for column in cursor.description]
    return [found(table, dict(zip(names, row, strict=True))) for row in cursor]


# Inside


def _host(plain: sqlite3.Connection, host: HostRow) -> None:
    values = host_columns(host)
    update(plain, "host_run", values, run=values.pop("run"), position=values.pop("position"))


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
    insert(plain, "check_state", [state_columns(state) for state in states.states])


def _marks(values: Sequence[str]) -> str:
    return ", ".join("?" * len(values))
