"""What is particular to the store in a home: files, modes, schema, durability, a full disk."""

from __future__ import annotations

import os
import re
import shutil
import sqlite3
import subprocess
import sys
import threading
import zlib
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import JSON
from sqlalchemy.dialects import sqlite

from runner.desk import Desk
from runner.store import encoding, leases, opening, plain
from runner.store.blobs import Blobs, digest_of
from runner.store.changes import Belonging, EndHost, Erase, Journalled, SendFailed
from runner.store.errors import StoreDamaged, StoreFailed, StoreTooNew, StoreTooOld, UnsafeHome
from runner.store.link import Link
from runner.store.rows import Event
from runner.store.schema import TABLES, Moment
from runner.store.sql import open_store
from runner.store.writer import Alone, Pending, Writer

if TYPE_CHECKING:
    from tests.runner.conftest import Rows

Mode = Callable[[Path], int]


def schema_of_tables(path: Path) -> dict[str, list[object]]:
    """Return columns, foreign keys and indexes by table; in no order, since a migration adds columns at the end."""
    schema: dict[str, list[object]] = {}
    with closing(sqlite3.connect(path)) as connection:
        for (table,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
            columns = sorted(tuple(row[1:]) for row in connection.execute(f"PRAGMA table_xinfo({table})"))
            keys = sorted(tuple(row[2:]) for row in connection.execute(f"PRAGMA foreign_key_list({table})"))
            indexes = [tuple(row[1:]) for row in connection.execute(f"PRAGMA index_list({table})")]
            named = [(*index, *connection.execute(f"PRAGMA index_info({index[0]})")) for index in sorted(indexes)]
            schema[table] = [columns, keys, [(*index[:4], *(column[2] for column in index[4:])) for index in named]]
    return schema


def test_migrations_make_the_schema_of_the_tables(made: Path, tmp_path: Path) -> None:
    migrated = tmp_path / "migrated"
    opening.make_home(migrated)
    with closing(opening.connect(f"{opening.database(migrated).as_uri()}?mode=rwc", "BEGIN IMMEDIATE", ())) as link:
        opening.migrate(link)
    assert schema_of_tables(opening.database(migrated)) == schema_of_tables(opening.database(made))
    assert opening.schema_of(migrated) == opening.SCHEMAS[-1]


def test_plain_values_are_kept_as_the_types_of_the_schema_keep_them() -> None:
    columns = {name: TABLES.tables[name].columns for name in encoding.JSON_COLUMNS}
    assert {
        name: {column.name for column in of_one if isinstance(column.type, JSON)} for name, of_one in columns.items()
    } == encoding.JSON_COLUMNS
    assert {
        column.name for of_one in columns.values() for column in of_one if isinstance(column.type, Moment)
    } == encoding.MOMENT_COLUMNS
    moment, dialect = datetime(2026, 11, 22, 13, 47, 55, 120, tzinfo=timezone(timedelta(hours=3))), sqlite.dialect()
    for name, value in {"title": {"ru": "Обычная"}, "checks": ["a", "“b”"], "started_at": moment, "ended_at": None}.items():
        kept = encoding.kept({name: value})
        write = columns["run"][name].type.dialect_impl(dialect).bind_processor(dialect)
        assert write is not None and kept[name] == write(value)
        assert encoding.found("run", kept)[name] == value


def test_every_migration_is_known(repository: Path) -> None:
    files = (repository / "runner" / "store" / "migrations" / "versions").glob("*.py")
    revisions = [re.findall(r'^revision = "(\w+)"$', path.read_text(), re.MULTILINE) for path in sorted(files)]
    assert [revision for (revision,) in revisions] == list(opening.SCHEMAS)


def scripts_in(home: Path) -> list[str]:
    with closing(sqlite3.connect(opening.database(home))) as connection:
        return sorted(zlib.decompress(script).decode() for (script,) in connection.execute("SELECT script FROM plan_script"))


def test_a_script_is_kept_once_for_all_hosts_of_a_run(home: Path, rows: Rows) -> None:
    opening.make_home(home)
    with closing(open_store(home, write=True)) as store:
        store.write(rows.begin(hosts=50))
        for position in range(50):
            store.write(Journalled(line=rows.line(position, Event.PLAN, key="s1", script="same" if position else "another")))
    assert scripts_in(home) == ["another", "same"]


def test_a_script_goes_with_the_last_host_that_it_was_planned_for(home: Path, rows: Rows) -> None:
    opening.make_home(home)
    begin = rows.begin(hosts=2)
    hosts = tuple(replace(host, customer=customer) for host, customer in zip(begin.hosts, ("acme", "initech"), strict=True))
    with closing(open_store(home, write=True)) as store:
        store.write(replace(begin, hosts=hosts))
        for position, key, script in ((0, "s1", "of acme"), (0, "s2", "of both"), (1, "s2", "of both")):
            store.write(Journalled(line=rows.line(position, Event.PLAN, key=key, script=script)))
        store.write(rows.end())
        for customer, left in (("acme", ["of both"]), ("initech", [])):
            audit = rows.audit("store.erased", run=None)
            store.write(Erase(belonging=Belonging(customer=customer), audit=audit)).result()
            assert scripts_in(home) == left


def test_an_interrupted_creation_is_done_again(home: Path) -> None:
    opening.make_home(home)
    opening.database(home).touch(0o600)
    assert opening.schema_of(home) is None
    open_store(home, write=True).close()
    assert opening.schema_of(home) == opening.SCHEMAS[-1]


def set_schema(home: Path, schema: str) -> bytes:
    with closing(sqlite3.connect(opening.database(home))) as connection:
        connection.execute("UPDATE alembic_version SET version_num = ?", (schema,))
        connection.commit()
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return opening.database(home).read_bytes()


@pytest.mark.parametrize("write", [True, False])
def test_a_newer_schema_is_refused_in_clear_words_and_not_touched(made: Path, write: bool) -> None:
    before = set_schema(made, "9999")
    with pytest.raises(StoreTooNew, match=r"written by a newer longarm \(schema 9999; this one knows up to \d+\)"):
        open_store(made, write=write)
    assert opening.database(made).read_bytes() == before


def test_a_reader_does_not_migrate(made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opening, "SCHEMAS", (*opening.SCHEMAS, "9999"))
    with pytest.raises(StoreTooOld, match="needed is 9999"):
        open_store(made, write=False)


def test_what_is_not_a_database_is_refused(home: Path) -> None:
    opening.make_home(home)
    opening.database(home).write_bytes(b"no database, but long enough to look at" * 100)
    for write in (True, False):
        with pytest.raises(StoreFailed, match="not a database"):
            open_store(home, write=write)


def test_a_database_that_cannot_be_set_up_is_said_and_frees_the_home(made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """WAL, which some tools switch off, cannot be switched on again while somebody reads."""
    monkeypatch.setattr(opening, "_BUSY_TIMEOUT_MS", 10)
    with closing(sqlite3.connect(opening.database(made), isolation_level=None)) as reader:
        reader.execute("PRAGMA journal_mode=delete")
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM run").fetchone()
        with pytest.raises(StoreFailed, match="locked"), Desk.open(made, write=True):
            pass
    with Desk.open(made, write=True) as desk:
        assert desk.runs() == ()


def test_a_home_without_a_store_reads_as_empty_and_stays_so(home: Path) -> None:
    with closing(open_store(home, write=False)) as store:
        assert store.runs(5) == ()
    assert not home.exists()


@pytest.mark.parametrize("umask", [0o000, 0o077])
def test_modes_are_private_at_creation_whatever_the_umask(home: Path, rows: Rows, mode: Mode, umask: int) -> None:
    before = os.umask(umask)
    try:
        opening.make_home(home)
        with closing(open_store(home, write=True)) as store:
            store.write(rows.begin(), [b"content"]).result()
            paths = [home, *home.rglob("*")]
            assert {mode(path) for path in paths if path.is_dir()} == {0o700}
            assert {mode(path) for path in paths if path.is_file()} == {0o600}
            assert {"longarm.db", "longarm.db-wal", "longarm.db-shm"} <= {path.name for path in paths}
    finally:
        os.umask(before)


def test_a_home_that_everybody_may_write_is_refused(home: Path) -> None:
    home.mkdir()
    home.chmod(0o777)
    with pytest.raises(UnsafeHome):
        opening.make_home(home)


def test_settings_that_make_a_commit_last(made: Path) -> None:
    with closing(opening.link_to_write(made)) as link:
        pragmas = {
            name: link.plain.execute(f"PRAGMA {name}").fetchone()[0]
            for name in ("journal_mode", "synchronous", "foreign_keys", "busy_timeout", "mmap_size")
        }
    assert pragmas == {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1, "busy_timeout": 5000, "mmap_size": 0}
    with closing(opening.link_to_read(made)) as link:
        assert link.plain.execute("PRAGMA wal_autocheckpoint").fetchone() == (0,)
        assert link.plain.execute("PRAGMA query_only").fetchone() == (1,)


def test_a_reader_reads_while_a_transaction_writes(made: Path, rows: Rows) -> None:
    with closing(open_store(made, write=True)) as store:
        store.write(rows.begin()).result()
    with closing(sqlite3.connect(opening.database(made), isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        other.execute("DELETE FROM host_run")
        with closing(open_store(made, write=False)) as reader:
            assert reader.runs(1)[0].counts == {None: 2}
        other.execute("ROLLBACK")


def test_a_torn_or_altered_blob_is_noticed(made: Path) -> None:
    blobs, digest = Blobs(made), digest_of(b"evidence")
    blobs.write([b"evidence"])
    path = made / "blobs" / digest[:2] / digest[2:]
    whole = path.read_bytes()
    for position in range(len(whole)):
        path.write_bytes(whole[:position])
        with pytest.raises(StoreDamaged):
            blobs.read(digest)
    blobs.write([b"evidencf"])
    path.write_bytes((made / "blobs" / digest_of(b"evidencf")[:2] / digest_of(b"evidencf")[2:]).read_bytes())
    with pytest.raises(StoreDamaged, match="another digest"):
        blobs.read(digest)


def test_the_same_bytes_are_one_file_and_left_overs_go(made: Path) -> None:
    blobs = Blobs(made)
    (made / "blobs" / "new" / "left-over").write_bytes(b"half")
    blobs.prepare()
    blobs.write([b"a" * 10_000, b"a" * 10_000])
    blobs.write([b"a" * 10_000])
    (only,) = [path for path in (made / "blobs").rglob("*") if path.is_file()]
    assert only.stat().st_size < 200


_TRACED = """
import os, sys
from pathlib import Path
from runner.store.opening import make_home
from runner.store.sql import open_store
sys.path.insert(0, "tests/runner")
from conftest import Rows
from runner.store.changes import EndHost
home, rows = Path(sys.argv[1]), Rows()
make_home(home)
store = open_store(home, write=True)
store.write(rows.begin()).result()
for position in range(2):
    os.write(1, b"HANDED OVER")
    store.write(EndHost(host=rows.ended(position)), [b"evidence %d" % position]).result()
    os.write(1, b"ACKNOWLEDGED")
store.close()
"""


def test_nothing_is_acknowledged_before_it_is_on_disk(home: Path, repository: Path, tmp_path: Path) -> None:
    if (strace := shutil.which("strace")) is None:
        pytest.skip("not installed: strace")
    calls = "trace=openat,write,pwrite64,fsync,fdatasync,rename,renameat,renameat2,chmod,fchmod,fchmodat"
    trace = tmp_path / "trace"
    command = [strace, "-f", "-y", "-e", calls, "-o", str(trace), sys.executable, "-c", _TRACED, str(home)]
    subprocess.run(command, check=True, cwd=repository, env={**os.environ, "PYTHONPATH": "."}, stdout=subprocess.DEVNULL)
    text = trace.read_text()
    assert "chmod" not in text
    spans = re.findall(r'write\(1<[^\n]*"HANDED OVER"(.*?)write\(1<[^\n]*"ACKNOWLEDGED"', text, re.DOTALL)
    assert len(spans) == 2
    aside = r"blobs/new/[0-9a-f]{62}"
    for span in spans:
        steps = (
            rf'openat\([^\n]*"[^\n"]*{aside}", O_WRONLY\|O_CREAT[^\n]*, 0600\)',
            rf"write\(\d+<[^\n>]*{aside}>",
            rf"fsync\(\d+<[^\n>]*{aside}>\)",
            rf'rename[^\n]*"[^\n"]*{aside}"[^\n]*"[^\n"]*blobs/[0-9a-f]{{2}}/[0-9a-f]{{62}}"',
            r"fsync\(\d+<[^\n>]*blobs/[0-9a-f]{2}>\)",
            r"pwrite64\(\d+<[^\n>]*longarm\.db-wal>",
            r"fdatasync\(\d+<[^\n>]*longarm\.db-wal>\)|fsync\(\d+<[^\n>]*longarm\.db-wal>\)",
        )
        position = 0
        for step in steps:
            found = re.compile(step).search(span, position)
            assert found, f"{step} is missing, or too early, in:\n{span}"
            position = found.end()


def test_changes_that_meet_share_one_transaction_and_a_lone_one_waits_for_nobody(made: Path) -> None:
    busy, free = threading.Event(), threading.Event()
    link = opening.connect(f"{(made / 'other.db').as_uri()}?mode=rwc", "BEGIN IMMEDIATE", ())
    commits: list[str] = []
    link.plain.set_trace_callback(lambda said: commits.append(said) if said == "COMMIT" else None)
    applied: list[object] = []
    writer = Writer(made, link, Blobs(made), lambda _, change: applied.append(change))
    change = SendFailed(id=1, error="")

    def hold(_: Link) -> None:
        busy.set()
        assert free.wait(60)

    held = writer.submit(Alone(hold))
    assert busy.wait(60)
    waiting = [writer.submit(Pending(change, ())) for _ in range(50)]
    assert not applied
    free.set()
    for future in (held, *waiting):
        future.result(60)
    assert (len(applied), len(commits)) == (50, 1)
    writer.submit(Pending(change, ())).result(60)
    writer.close()
    assert len(commits) == 2


_FILLING = """
import os, sys
from pathlib import Path
from runner.store.errors import StoreFailed
from runner.store.opening import make_home
from runner.store.sql import open_store
sys.path.insert(0, "tests/runner")
from conftest import Rows
from runner.store.changes import EndHost
home, rows = Path(sys.argv[1]) / "home", Rows()
make_home(home)
store = open_store(home, write=True)
store.write(rows.begin(hosts=2000)).result()
acknowledged, failed = [], ""
for position in range(2000):
    try:
        evidence = os.urandom(int(sys.argv[2]))
        store.write(EndHost(host=rows.ended(position)), [evidence]).result()
        acknowledged.append(position)
    except StoreFailed as error:
        failed = str(error)
        break
store.close()
store = open_store(home, write=False)
kept = [host.position for host in store.run(rows.begin().run.run).hosts if host.outcome]
assert kept == acknowledged, (kept[-3:], acknowledged[-3:])
store.close()
import sqlite3
assert sqlite3.connect(home / "longarm.db").execute("PRAGMA integrity_check").fetchall() == [("ok",)]
print(len(kept), failed)
"""


@pytest.mark.hosts
@pytest.mark.parametrize("evidence_bytes", [1, 5000])
def test_a_full_disk_is_said_and_takes_nothing_that_was_acknowledged(
    repository: Path, tmp_path: Path, evidence_bytes: int
) -> None:
    script = f'mount -t tmpfs -o size=4m none {tmp_path} && exec {sys.executable} -c "$1" {tmp_path} {evidence_bytes}'
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-c", script, "sh", _FILLING],
        cwd=repository,
        env={**os.environ, "PYTHONPATH": "."},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    kept, _, failed = done.stdout.partition(" ")
    assert int(kept) > 10
    assert re.search(r"the store in .* failed: .*(disk is full|No space left)", failed)


def test_a_change_is_not_lost_when_the_database_stays_locked(made: Path, rows: Rows, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opening, "_BUSY_TIMEOUT_MS", 10)
    with closing(open_store(made, write=True)) as store:
        with closing(sqlite3.connect(opening.database(made), isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            with pytest.raises(StoreFailed, match="locked"):
                store.write(rows.begin()).result()
        store.write(rows.begin()).result()
        store.write(EndHost(host=rows.ended(0))).result()


def test_plain_sql_and_sqlalchemy_share_a_transaction(made: Path, rows: Rows) -> None:
    """An engine rolls back what is open on the first connection that it sees."""
    with closing(opening.link_to_write(made)) as link, closing(opening.link_to_read(made)) as reader:
        with pytest.raises(ZeroDivisionError), link.transaction():
            plain.begin_run(link.plain, rows.begin())
            assert link.core.exec_driver_sql("SELECT count(*) FROM run").scalar_one() == 1
            raise ZeroDivisionError
        for _ in range(2):
            assert plain.run_ids(reader.plain, "") == ()
            assert not link.plain.in_transaction
        with link.transaction():
            plain.begin_run(link.plain, rows.begin())
            link.core.exec_driver_sql("DELETE FROM audit")
            assert link.plain.in_transaction and plain.run_ids(reader.plain, "") == ()
        assert len(plain.run_ids(reader.plain, "")) == 1
        assert reader.plain.execute("SELECT count(*) FROM audit").fetchone() == (0,)


def test_who_is_at_work_is_found_without_reading_all_journals(made: Path, rows: Rows) -> None:
    """It is asked for each host that a run changes, in the one transaction that all wait for."""
    with closing(open_store(made, write=True)) as store:
        store.write(rows.begin()).result()
    queries: list[str] = []
    with closing(sqlite3.connect(opening.database(made))) as reader:
        reader.set_trace_callback(queries.append)
        leases.at_work(reader, rows.now)
        leases.at_work(reader, rows.now, "db-0")
        leases.by_hand_since(reader, "db-0", rows.begin().run.run)
        reader.set_trace_callback(None)
        plans = ["; ".join(row[-1] for row in reader.execute(f"EXPLAIN QUERY PLAN {query}")) for query in queries]
    assert len(plans) == 5
    assert [plan for plan in plans if "SCAN journal" in plan or "SCAN line" in plan or "SCAN host_run" in plan] == []
