"""Look whether a store is whole: the database, every row's bytes, and what no row names."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Collection, Iterator
from contextlib import closing
from pathlib import Path

from inventory.errors import Text
from runner.store.audit_log import problems as broken_lines
from runner.store.blobs import Blobs, digest_of
from runner.store.errors import StoreDamaged
from runner.store.lock import blobs_kept
from runner.store.opening import SCHEMAS, database, known_schema, schema_of
from runner.store.plain import audit_head, audit_lines
from runner.store.untold import untold, untold_erasures
from runner.store.verified import Verification

Progress = Callable[[int, int], None]
"""Called with how many of how many are done."""

NAMED = """
SELECT content_digest FROM run
UNION SELECT evidence_digest FROM host_run WHERE evidence_digest IS NOT NULL AND pruned_at IS NULL
UNION SELECT evidence_digest FROM sample WHERE pruned_at IS NULL
UNION SELECT digest FROM outbox WHERE digest <> ''
UNION SELECT digest FROM case_attachment
"""
"""Every blob that a row names, once (`NAMING` of runner.store.removing says the same to SQLAlchemy)."""


def silent(done: int, total: int) -> None:
    """Show no progress."""


def verify(home: Path, progress: Progress = silent) -> Verification:
    """Return whether everything in a store is whole, read in one snapshot; a home that never had a store is.

    Raises StoreTooNew for a schema that this version does not know, StoreLost where the database is gone.
    """
    found = known_schema(home)
    if found is None:
        return Verification(schema=None)
    if found != SCHEMAS[-1]:
        return Verification(schema=found, problems=(Text("schema {found} waits to be brought up to date", found=found),))
    with (
        blobs_kept(home),
        closing(sqlite3.connect(f"{database(home).as_uri()}?mode=ro", uri=True, isolation_level=None)) as connection,
    ):
        connection.execute("BEGIN")
        try:
            return _verification(home, connection, found, progress)
        except sqlite3.DatabaseError as error:
            return Verification(schema=found, problems=(_broken(str(error)),))


def verify_unpacked(home: Path, blobs: Collection[str]) -> Verification:
    """Return whether the database of a backup is whole, and whether each blob it names is among those the backup holds."""
    with closing(sqlite3.connect(f"{database(home).as_uri()}?mode=ro", uri=True, isolation_level=None)) as connection:
        connection.execute("BEGIN")
        named, held = {digest for (digest,) in connection.execute(NAMED)}, {*blobs}
        wrong = [StoreDamaged(home, digest, "it is not in the backup").text for digest in sorted(named - held)]
        if strange := len(held - named):
            wrong.append(Text("{count} of its blobs belong to nothing", count=strange))
        return Verification(
            schema=schema_of(home),
            **_counted(connection),
            blobs=len(named),
            orphans=strange,
            problems=(*_of_database(connection), *_of_diagnoses(connection), *audit_problems(connection), *wrong),
        )


def suspicious(home: Path) -> Iterator[Text]:
    """Yield what is wrong with a database that nobody has opened to write yet: a trigger in it would act on that."""
    with closing(sqlite3.connect(f"{database(home).as_uri()}?mode=ro", uri=True)) as connection:
        try:
            yield from _of_database(connection)
        except sqlite3.DatabaseError as error:
            yield _broken(str(error))


def strange(home: Path) -> Iterator[Text]:
    """Yield what a database of the newest schema lacks or holds beside it."""
    with closing(sqlite3.connect(f"{database(home).as_uri()}?mode=ro", uri=True)) as connection:
        yield from _of_schema(connection)


def _verification(home: Path, connection: sqlite3.Connection, schema: str, progress: Progress) -> Verification:
    if wrong := tuple(_of_schema(connection)):
        return Verification(schema=schema, problems=wrong)
    named = {digest for (digest,) in connection.execute(NAMED)}
    stored = set(Blobs(home).stored())
    of_audit = tuple(audit_problems(connection)) or tuple(untold_erasures(home, connection))
    ours = (*_of_database(connection), *_of_diagnoses(connection), *of_audit)
    problems = [*ours, *_of_blobs(home, sorted(named), progress)]
    return Verification(
        schema=schema,
        **_counted(connection),
        blobs=len(named),
        orphans=len(stored - named),
        problems=tuple(problems),
    )


def _of_database(connection: sqlite3.Connection) -> Iterator[Text]:
    for (said,) in connection.execute("PRAGMA integrity_check"):
        if said != "ok":
            yield _broken(said)
    for table, row, parent, _ in connection.execute("PRAGMA foreign_key_check"):
        yield Text("row {row} of {table} names a row of {parent} that is not there", row=row, table=table, parent=parent)
    for kind, name in connection.execute("SELECT type, name FROM sqlite_master WHERE type IN ('trigger', 'view')"):
        yield Text("the database holds a {kind} that is not ours: {name}", kind=kind, name=name)


def _of_schema(connection: sqlite3.Connection) -> Iterator[Text]:
    from runner.store.schema import TABLES  # SQLAlchemy takes 0.2 s

    tables = {(name, column.name) for name, table in TABLES.tables.items() for column in table.columns}
    found = connection.execute(
        "SELECT m.name, c.name FROM sqlite_master m, pragma_table_info(m.name) c"
        " WHERE m.type = 'table' AND m.name NOT LIKE 'sqlite\\_%' ESCAPE '\\'"
    )
    for table, column in sorted({*found} ^ (tables | {("alembic_version", "version_num")})):
        yield Text("the table {table} is not ours, or lacks the column {column}", table=table, column=column)


def _of_diagnoses(connection: sqlite3.Connection) -> Iterator[Text]:
    rows = connection.execute(
        "SELECT run, host, diagnosis, diagnosis_digest FROM host_run WHERE diagnosis_digest IS NOT NULL"
        " UNION ALL SELECT s.run, h.host, s.diagnosis, s.diagnosis_digest"
        " FROM sample s JOIN host_run h ON h.run = s.run AND h.position = s.position"
    )
    for run, host, diagnosis, digest in rows:
        if diagnosis is None or digest_of(diagnosis) != digest:
            yield Text("the diagnosis of {host} in run {run} is damaged", host=host, run=run)


def audit_problems(connection: sqlite3.Connection) -> Iterator[Text]:
    """Yield what is wrong with the audit log of a database: what was changed, left out, put elsewhere or cut off.

    Where its chain is whole, also what the store holds and the log does not tell of: else that follows from the rest.
    """
    broken = False
    for problem in _of_chain(connection):
        broken = True
        yield problem
    if not broken:
        yield from untold(connection)


def _of_chain(connection: sqlite3.Connection) -> Iterator[Text]:
    if (heads := connection.execute("SELECT count(*) FROM audit_head").fetchone()[0]) > 1:
        yield Text("the audit has {count} last lines", count=heads)
    try:
        yield from broken_lines(audit_lines(connection), audit_head(connection))
    except (ValueError, KeyError, TypeError, AttributeError):  # what no line of ours looks like
        yield Text("the audit holds what was never written so")


def _of_blobs(home: Path, named: list[str], progress: Progress) -> Iterator[Text]:
    blobs = Blobs(home)
    for number, digest in enumerate(named, start=1):
        try:
            blobs.check(digest)
        except StoreDamaged as damaged:
            yield damaged.text
        progress(number, len(named))


def _counted(connection: sqlite3.Connection) -> dict[str, int]:
    rows = {"runs": "run", "hosts": "host_run", "pruned": "host_run WHERE pruned_at IS NOT NULL"}
    return {name: _count(connection, of) for name, of in rows.items()}


def _count(connection: sqlite3.Connection, rows: str) -> int:
    return int(connection.execute(f"SELECT count(*) FROM {rows}").fetchone()[0])  # noqa: S608 - our own words


def _broken(reason: str) -> Text:
    return Text("the database is damaged: {reason}", reason=reason)
