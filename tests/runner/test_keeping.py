"""Backup, restore, verify, prune, erase: what is kept stays whole, what goes is gone, and both are said."""

from __future__ import annotations

import asyncio
import fcntl
import gzip
import io
import json
import os
import sqlite3
import tarfile
from collections.abc import Callable
from contextlib import closing, nullcontext
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from diagnostics.library import Library
from inventory.errors import UsageError
from inventory.host import Selection
from remote.answer import answered
from runner.desk import Desk, EvidencePruned
from runner.observer import Silent
from runner.record import RunRecord
from runner.store import opening
from runner.store.archive import list_digest
from runner.store.blobs import Blobs, digest_of
from runner.store.changes import Belonging
from runner.store.erasures import erasures_in
from runner.store.errors import (
    BackupRefused,
    ErasuresUndone,
    NothingBelongs,
    StoreError,
    StoreFailed,
    StoreInUse,
    StoreNotEmpty,
    StoreTooNew,
)
from runner.store.lock import blobs_kept, blobs_unread
from runner.store.rows import Scope
from tests.runner.fleet import FULL, Act, ActingConnect, asking, fleet

Mode = Callable[[Path], int]


def diagnosed(
    desk: Desk, library: Library, *names: str, case: str | None = "CASE-1", selection: Selection | None = None
) -> RunRecord:
    """Diagnose hosts, whose answers hold `canary-NAME`, and deliver the report, which quotes them, to the case."""
    acts = {name: Act({**FULL, "motd": answered(f"canary-{name}\n".encode())}) for name in names}
    more = {"extra_probes": (library.probes["motd"],), "across_customers": True}
    request = asking(library, selection or fleet(*names), case=case, **more)
    record = asyncio.run(desk.diagnose(request, connect=ActingConnect(acts), observer=Silent()))
    for row in desk.outbox("pending"):
        report = f"report of {', '.join(names)}: canary".encode()
        row = desk.outbox_rendered(row.id, f"{record.run}.html", report)
        desk.case_attach(row.case, row.filename, report, "text/html", True, "", customer=None)
        desk.outbox_sent(row.id)
    return record


def shared(**customers: str) -> Selection:
    """Return a selection of hosts by name, each of its customer."""
    hosts = tuple(replace(host, customer=customers[host.name]) for host in fleet(*customers).hosts)
    return Selection(expression="customer=acme or customer=zeta", hosts=hosts)


def everything(home: Path) -> bytes:
    """Return every byte that the home's files hold, packed ones also unpacked."""
    found = []
    for path in sorted(path for path in home.rglob("*") if path.is_file()):
        data = path.read_bytes()
        found.append(str(path).encode() + data)
        if data[:2] == b"\x1f\x8b":
            found.append(gzip.decompress(data))
    return b"\n".join(found)


# Backup and restore


def test_a_backup_restores_to_the_same_records(home: Path, tmp_path: Path, library: Library, mode: Mode) -> None:
    with Desk.open(home, write=True) as desk:
        record = diagnosed(desk, library, "a", "b")
        made = desk.backup(tmp_path / "backup")  # while the home is open to write
        diagnosed(desk, library, "c")
    assert mode(tmp_path / "backup") == 0o600
    assert made.sha256 == digest_of((tmp_path / "backup").read_bytes())
    assert not (tmp_path / "backup.part").exists()
    restored, undone = Desk.restore(tmp_path / "other", tmp_path / "backup", actor="boris")
    assert undone == ()
    assert (restored.blobs, restored.sha256) == (made.blobs, made.sha256)
    with Desk.open(tmp_path / "other", write=True) as desk:
        assert [run.run for run in desk.runs()] == [record.run]
        assert desk.record(record.run).hosts == record.hosts
        assert all(replayed.same for replayed in desk.replay(record.run, library=library))
        assert [(row.actor, row.action, row.digests) for row in desk.audit()][-1] == ("boris", "store.restored", (made.sha256,))
        assert [file.filename for file in desk.case_attachments("CASE-1")] == [f"{record.run}.html"]
        assert not desk.verify().problems
    assert {mode(path) for path in (tmp_path / "other").rglob("*") if path.is_file()} == {0o600}
    assert not (tmp_path / "other" / "restoring").exists()


def test_a_backup_never_replaces_a_file_and_needs_a_store(home: Path, tmp_path: Path) -> None:
    (tmp_path / "there").write_text("precious")
    with Desk.open(home, write=False) as desk, pytest.raises(UsageError, match="there is no store"):
        desk.backup(tmp_path / "backup")
    with Desk.open(home, write=True) as desk:
        with pytest.raises(UsageError, match="is there already"):
            desk.backup(tmp_path / "there")
        with pytest.raises(UsageError, match=f"there is no folder {tmp_path}/nowhere$"):
            desk.backup(tmp_path / "nowhere" / "kept.tar")
    assert (tmp_path / "there").read_text() == "precious"


def test_two_backups_to_one_file_do_not_meet(home: Path, tmp_path: Path) -> None:
    with Desk.open(home, write=True) as desk:
        (tmp_path / "backup.part").mkdir(mode=0o700)
        (tmp_path / "backup.part" / "archive").write_text("of a process that was killed")
        with blobs_unread(home), pytest.raises(StoreInUse):
            desk.backup(tmp_path / "backup")
        assert desk.backup(tmp_path / "backup").blobs == 0


def test_a_backup_is_restored_only_where_there_is_no_store(home: Path, tmp_path: Path, library: Library) -> None:
    with Desk.open(home, write=True) as desk:
        diagnosed(desk, library, "a")
        desk.backup(tmp_path / "backup")
    with pytest.raises(StoreNotEmpty):
        Desk.restore(home, tmp_path / "backup")
    (tmp_path / "other").mkdir(mode=0o700)
    (tmp_path / "other" / "inventory.yaml").write_text("hosts: {}\n")
    Desk.restore(tmp_path / "other", tmp_path / "backup")
    assert (tmp_path / "other" / "inventory.yaml").exists()


def test_a_damaged_backup_is_refused_wherever_it_is_damaged(home: Path, tmp_path: Path, library: Library) -> None:
    with Desk.open(home, write=True) as desk:
        diagnosed(desk, library, "a")
        desk.backup(tmp_path / "backup")
    whole = (tmp_path / "backup").read_bytes()
    damaged, other = tmp_path / "damaged", tmp_path / "other"
    with tarfile.open(tmp_path / "backup") as tar:
        spots = [(member.offset, member.offset_data, member.size) for member in tar.getmembers()]
    ends = {*(offset for offset, _, _ in spots), *(start + size // 2 for _, start, size in spots), len(whole) // 2, 0, 1}
    flips = {*(offset for offset, _, _ in spots), *(start + size // 2 for _, start, size in spots)}
    for data in [
        *(whole[:end] for end in sorted(ends)),
        *(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :] for at in sorted(flips)),
        whole + b"more",
    ]:
        damaged.write_bytes(data)
        with pytest.raises(BackupRefused) as refused:
            Desk.restore(other, damaged)
        assert opening.schema_of(other) is None
        assert not (other / "restoring").exists()
        assert Desk.verify_backup(other, damaged).found.problems == (refused.value.reason,)
    Desk.restore(other, tmp_path / "backup")


def rebuilt(backup: Path, to: Path, change: Callable[[list[tuple[tarfile.TarInfo, bytes]]], None]) -> Path:
    """Write a backup again with its members changed."""
    with tarfile.open(backup) as tar:
        parts = [(member, tar.extractfile(member).read()) for member in tar.getmembers()]  # type: ignore[union-attr]
    change(parts)
    with tarfile.open(to, "w", format=tarfile.GNU_FORMAT) as tar:
        for member, data in parts:
            tar.addfile(member, io.BytesIO(data))
    return to


def member(name: str, data: bytes = b"", **values: Any) -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    info.size = len(data)
    for key, value in values.items():
        setattr(info, key, value)
    return info, data


def with_words(part: tuple[tarfile.TarInfo, bytes], **words: object) -> tuple[tarfile.TarInfo, bytes]:
    return member(part[0].name, json.dumps(json.loads(part[1]) | words).encode())


BOMB = gzip.compress(bytes(1 << 20))
HOSTILE: dict[str, Callable[[list[tuple[tarfile.TarInfo, bytes]]], None]] = {
    "dots": lambda parts: parts.append(member("../../x", b"x")),
    "absolute": lambda parts: parts.append(member("/etc/x", b"x")),
    "symlink": lambda parts: parts.append(member("blobs/" + "f" * 64, type=tarfile.SYMTYPE, linkname="/etc")),
    "hardlink": lambda parts: parts.append(member("blobs/" + "f" * 64, type=tarfile.LNKTYPE, linkname="longarm.db")),
    "device": lambda parts: parts.append(member("blobs/" + "f" * 64, type=tarfile.CHRTYPE)),
    "fifo": lambda parts: parts.append(member("blobs/" + "f" * 64, type=tarfile.FIFOTYPE)),
    "folder": lambda parts: parts.insert(0, member("blobs", type=tarfile.DIRTYPE)),
    "long name": lambda parts: parts.append(member("blobs/" + "f" * 4096, b"x")),
    "twice": lambda parts: parts.append(parts[-1]),
    "out of order": lambda parts: parts.insert(3, parts.pop()),
    "one left out": lambda parts: parts.__delitem__(-1),
    "no manifest": lambda parts: parts.__delitem__(0),
    "no database": lambda parts: parts.__delitem__(1),
    "bomb": lambda parts: parts.append(member("blobs/" + "f" * 64, BOMB)),
    "other bytes": lambda parts: parts.__setitem__(-1, member(parts[-1][0].name, gzip.compress(b"other"))),
    "manifest of a list": lambda parts: parts.__setitem__(0, member("manifest.json", b"[]")),
    "manifest of no zone": lambda parts: parts.__setitem__(0, with_words(parts[0], taken_at="2026-01-01T00:00:00")),
    "manifest that is deep": lambda parts: parts.__setitem__(0, member("manifest.json", b"[" * 60_000)),
    "manifest that is big": lambda parts: parts.__setitem__(0, member("manifest.json", b" " * 70_000)),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_a_hostile_backup_is_refused_and_writes_nothing_elsewhere(
    case: str, home: Path, tmp_path: Path, library: Library
) -> None:
    with Desk.open(home, write=True) as desk:
        diagnosed(desk, library, "a", "b")
        desk.backup(tmp_path / "backup")
    hostile = rebuilt(tmp_path / "backup", tmp_path / "hostile", HOSTILE[case])
    before = sorted(path for path in tmp_path.rglob("*") if "other" not in path.parts)
    with pytest.raises(BackupRefused) as refused:
        Desk.restore(tmp_path / "other", hostile)
    assert Desk.verify_backup(home, hostile).found.problems == (refused.value.reason,)
    assert sorted(path for path in tmp_path.rglob("*") if "other" not in path.parts) == before
    assert opening.schema_of(tmp_path / "other") is None


def with_database(parts: list[tuple[tarfile.TarInfo, bytes]], sql: str, folder: Path) -> None:
    """Change the database of a backup, and its manifest to fit."""
    path = folder / "changed.db"
    path.write_bytes(parts[1][1])
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(sql)
    data = path.read_bytes()
    words = json.loads(parts[0][1]) | {"database_bytes": len(data), "database_sha256": digest_of(data)}
    parts[0], parts[1] = member("manifest.json", json.dumps(words).encode()), member("longarm.db", data)


@pytest.mark.parametrize(
    ("sql", "error"),
    [
        ("CREATE TRIGGER t AFTER INSERT ON audit BEGIN DELETE FROM run; END", BackupRefused),
        ("CREATE VIEW v AS SELECT 1", BackupRefused),
        ("DELETE FROM case_attachment; DELETE FROM outbox", BackupRefused),
        ("UPDATE host_run SET diagnosis = x'00'", BackupRefused),
        ("UPDATE host_run SET run = 'nobody'", BackupRefused),
        ("UPDATE alembic_version SET version_num = '9999'", StoreTooNew),
        ("DELETE FROM alembic_version", BackupRefused),
        ("DROP TABLE alembic_version", BackupRefused),
        ("DROP TABLE outbox", BackupRefused),
        ("DROP TABLE audit", BackupRefused),
        ("ALTER TABLE run RENAME COLUMN case_ref TO x", BackupRefused),
        ("CREATE TABLE strange (x)", BackupRefused),
    ],
)
def test_a_database_that_is_not_ours_is_refused(
    sql: str, error: type[Exception], home: Path, tmp_path: Path, library: Library
) -> None:
    with Desk.open(home, write=True) as desk:
        diagnosed(desk, library, "a")
        desk.backup(tmp_path / "backup")
    hostile = rebuilt(tmp_path / "backup", tmp_path / "hostile", lambda parts: with_database(parts, sql, tmp_path))
    with pytest.raises(error):
        Desk.restore(tmp_path / "other", hostile)
    assert opening.schema_of(tmp_path / "other") is None
    if error is StoreTooNew:
        with pytest.raises(StoreTooNew):
            Desk.verify_backup(home, hostile)
    else:
        assert Desk.verify_backup(home, hostile).found.problems


def test_a_backup_is_verified_without_being_restored(home: Path, tmp_path: Path, library: Library) -> None:
    with Desk.open(home, write=True) as desk:
        diagnosed(desk, library, "a", "b")
        whole = desk.verify()
        made = desk.backup(tmp_path / "backup")
    before = everything(tmp_path)
    looked = Desk.verify_backup(tmp_path / "other", tmp_path / "backup")
    assert (looked.found, looked.backup, looked.undone) == (whole, made, ())
    assert everything(tmp_path) == before, "nothing was written"


def test_a_backup_that_lacks_a_blob_its_rows_name_is_not_whole(home: Path, tmp_path: Path, library: Library) -> None:
    with Desk.open(home, write=True) as desk:
        diagnosed(desk, library, "a")
        desk.backup(tmp_path / "backup")
    missing = ""

    def leave_out(parts: list[tuple[tarfile.TarInfo, bytes]]) -> None:
        nonlocal missing
        missing = parts.pop()[0].name.removeprefix("blobs/")
        names = [info.name.removeprefix("blobs/") for info, _ in parts[2:]]
        words = json.loads(parts[0][1]) | {"blobs": len(names), "blobs_sha256": list_digest(names)}
        parts[0] = member("manifest.json", json.dumps(words).encode())

    lacking = rebuilt(tmp_path / "backup", tmp_path / "lacking", leave_out)
    (problem,) = Desk.verify_backup(home, lacking).found.problems
    assert missing in str(problem) and "not in the backup" in str(problem)
    with pytest.raises(BackupRefused):
        Desk.restore(tmp_path / "other", lacking)


# Erasures that a backup would undo


@dataclass
class SteppedClock:
    """A clock that stands until it is set."""

    now: datetime = datetime(2026, 11, 29, 12, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def erased_since(home: Path, tmp_path: Path, library: Library) -> Path:
    """Return a backup that is older than the erasure of a customer, a case and somebody who came later; `home` knows it."""
    selection = shared(**{"acme-1": "acme", "zeta-1": "zeta"})
    with Desk.open(home, write=True, actor="anna") as desk:
        diagnosed(desk, library, "acme-1", "zeta-1", case="CASE-1", selection=selection)
        diagnosed(desk, library, "zeta-1", case="CASE-2", selection=shared(**{"zeta-1": "zeta"}))
        desk.backup(tmp_path / "backup")
        diagnosed(desk, library, "new-1", case=None, selection=shared(**{"new-1": "new"}))
        for belonging in (Belonging(customer="acme"), Belonging(case="CASE-2"), Belonging(customer="new")):
            desk.erase(belonging)
        desk.backup(tmp_path / "afterwards")
    return tmp_path / "backup"


def test_what_was_erased_is_not_brought_back_by_an_older_backup(home: Path, erased_since: Path, tmp_path: Path) -> None:
    opening.database(home).unlink()  # the disk that held the store is gone, and so is what the store knew
    told = [("customer:acme", None), ("case:CASE-2", None)]
    assert [(one.belonging.named, None) for one in Desk.verify_backup(home, erased_since).undone] == told
    with pytest.raises(ErasuresUndone, match=r"customer:acme \(.*case:CASE-2 \(") as refused:
        Desk.restore(home, erased_since)
    assert (opening.schema_of(home), (home / "restoring").exists()) == (None, False)
    assert "customer:new" not in str(refused.value), "the backup does not hold it"
    backup, undone = Desk.restore(home, erased_since, undo_erasures=True)
    assert undone == refused.value.undone
    with Desk.open(home, write=True) as desk:
        assert desk.audit()[-1].detail == f"taken at {backup.taken_at.isoformat()}, blobs {backup.blobs}, erasures undone 2"
        desk.erase(Belonging(customer="acme"))


def test_a_backup_from_after_an_erasure_undoes_none(home: Path, erased_since: Path, tmp_path: Path) -> None:
    afterwards = erased_since.with_name("afterwards")
    assert Desk.verify_backup(home, afterwards).undone == ()
    assert Desk.restore(tmp_path / "other", afterwards, erasures_of=[home])[1] == ()


@pytest.mark.parametrize("stepped_back", ["the erasure", "the backup"])
def test_a_clock_that_was_stepped_back_hides_no_erasure_and_invents_none(
    home: Path, tmp_path: Path, library: Library, stepped_back: str
) -> None:
    now, clock = datetime(2026, 11, 29, 12, tzinfo=UTC), SteppedClock()
    with Desk.open(home, write=True, actor="anna", clock=clock) as desk:
        diagnosed(desk, library, "acme-1", case=None, selection=shared(**{"acme-1": "acme"}))
        if stepped_back == "the erasure":
            desk.backup(tmp_path / "backup")
            clock.now = now - timedelta(days=1)
            desk.erase(Belonging(customer="acme"))
        else:
            desk.erase(Belonging(customer="acme"))
            clock.now = now - timedelta(days=1)
            diagnosed(desk, library, "acme-1", case=None, selection=shared(**{"acme-1": "acme"}))
            desk.backup(tmp_path / "backup")
    undone = [one.belonging.named for one in Desk.verify_backup(home, tmp_path / "backup").undone]
    assert undone == (["customer:acme"] if stepped_back == "the erasure" else [])


def test_what_a_killed_look_at_a_backup_left_is_removed_by_the_next_and_by_an_erasure(
    home: Path, erased_since: Path, library: Library
) -> None:
    left, busy = home / "verifying-left", home / "verifying-busy"
    for folder in (left, busy):
        folder.mkdir(mode=0o700)
        (folder / "store.sqlite3").write_text("customer:acme")
    descriptor = os.open(busy, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        Desk.verify_backup(home, erased_since)
        assert (left.exists(), busy.exists()) == (False, True)
    finally:
        os.close(descriptor)
    with Desk.open(home, write=True) as desk:
        desk.erase(Belonging(customer="zeta"))
    assert list(home.glob("verifying-*")) == []


def test_a_store_that_was_restored_knows_the_erasures_of_before(home: Path, erased_since: Path, tmp_path: Path) -> None:
    opening.database(home).unlink()
    Desk.restore(home, erased_since, undo_erasures=True)
    with Desk.open(home, write=True) as desk:
        desk.backup(tmp_path / "next")
    assert Desk.verify_backup(home, tmp_path / "next").undone == ()


def test_the_erasures_of_another_home_hold_too_and_are_remembered(home: Path, erased_since: Path, tmp_path: Path) -> None:
    with pytest.raises(ErasuresUndone):
        Desk.restore(tmp_path / "other", erased_since, erasures_of=[home])
    Desk.restore(tmp_path / "other", erased_since, erasures_of=[home], undo_erasures=True)
    assert erasures_in(tmp_path / "other") == erasures_in(home)
    assert len(erasures_in(home)) == 3
    Desk.restore(tmp_path / "third", erased_since)  # nobody told this home


def test_a_folder_that_is_no_home_has_no_erasures_to_hold(home: Path, erased_since: Path, tmp_path: Path) -> None:
    nothing, empty = tmp_path / "nothing", tmp_path / "empty"
    nothing.mkdir()
    with Desk.open(empty, write=True):
        pass
    for look in (Desk.restore, Desk.verify_backup):
        with pytest.raises(UsageError, match="is no home"):
            look(tmp_path / "other", erased_since, erasures_of=[home, nothing])
    assert opening.schema_of(tmp_path / "other") is None
    Desk.restore(tmp_path / "other", erased_since, erasures_of=[empty])  # a home in which nothing was erased


def test_erasures_from_before_the_file_are_taken_from_the_audit(home: Path, library: Library) -> None:
    with Desk.open(home, write=True) as desk:
        for name in ("acme", "zeta"):
            diagnosed(desk, library, f"{name}-1", selection=shared(**{f"{name}-1": name}))
        desk.erase(Belonging(customer="acme"))
        (home / "erasures.jsonl").unlink()
        desk.erase(Belonging(customer="zeta"))
    known = [digest_of(f"customer:{name}".encode()) for name in ("acme", "zeta")]
    assert [erasure.digest for erasure in erasures_in(home)] == known


_AT = b'{"at": "2026-11-29T12:00:00+00:00", "digest": '


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"{}",
        b"[]",
        b'{"at": "soon", "digest": ""}',
        b"\x00",
        b"\xff\xfe",
        _AT + b"5}",
        _AT + b'"customer:acme"}',
        _AT + b'"' + b"F" * 64 + b'"}',
    ],
)
def test_a_record_that_cannot_be_read_holds_a_restoration_up(line: bytes, home: Path, tmp_path: Path, library: Library) -> None:
    with Desk.open(home, write=True) as desk:
        diagnosed(desk, library, "a")
        desk.backup(tmp_path / "backup")
    other = tmp_path / "other"
    other.mkdir(mode=0o700)
    (other / "erasures.jsonl").write_bytes(line + b"\n")
    with pytest.raises(StoreError, match=r"erasures\.jsonl:1 is not the record"):
        Desk.restore(other, tmp_path / "backup")
    assert opening.schema_of(other) is None


# Verify


def test_verify_names_everything_that_is_wrong(home: Path, library: Library) -> None:
    with Desk.open(home, write=True) as desk:
        record = diagnosed(desk, library, "a", "b", "c")
        assert desk.verify().problems == ()
    missing, altered = (str(host.evidence_digest) for host in record.hosts[:2])
    (home / "blobs" / missing[:2] / missing[2:]).unlink()
    (home / "blobs" / altered[:2] / altered[2:]).write_bytes(gzip.compress(b"altered"))
    Blobs(home).write([b"nobody's"])
    with closing(sqlite3.connect(opening.database(home))) as connection:
        connection.execute("UPDATE host_run SET diagnosis = x'00' WHERE host = 'c'")
        connection.execute(
            "INSERT INTO outbox SELECT 99, 'gone', case_ref, kind, audience, language, state, filename, digest,"
            " attempts, error, actor, customers, created_at, sent_at FROM outbox"
        )
        connection.commit()
    with Desk.open(home, write=False) as desk:
        found = desk.verify()
    told = "\n".join(map(str, found.problems))
    assert len(found.problems) == 4
    for part in (missing, altered, "the diagnosis of c", "row 99 of outbox"):
        assert part in told
    assert (found.runs, found.hosts, found.orphans, found.pruned) == (1, 3, 1, 0)


def test_a_database_with_a_broken_page_is_said(home: Path, library: Library) -> None:
    with Desk.open(home, write=True) as desk:
        diagnosed(desk, library, "a")
    with closing(sqlite3.connect(opening.database(home))) as connection:
        ((page,),) = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = 'check_state'")
    data = bytearray(opening.database(home).read_bytes())
    data[(page - 1) * 4096 : (page - 1) * 4096 + 64] = b"\xff" * 64
    opening.database(home).write_bytes(data)
    with Desk.open(home, write=False) as desk:
        assert "the database is damaged" in str(desk.verify().problems[0])


# Prune


def test_pruned_evidence_is_gone_and_the_run_says_so(home: Path, library: Library) -> None:
    with Desk.open(home, write=True, actor="anna") as desk:
        old = diagnosed(desk, library, "a", "b", case=None)
        new = diagnosed(desk, library, "c", case=None)
        Blobs(home).write([b"nobody's"])
        plan = desk.prunable(older_than=None, keep=1)
        assert (plan.found.runs, plan.found.hosts, len(plan.orphans)) == ((old.run,), 2, 1)
        assert plan.bytes == sum(map(Blobs(home).size, [*plan.found.evidence, *plan.orphans])) > 0
        desk.prune(plan)
        assert b"canary-a" not in everything(home)
        assert b"canary-c" in everything(home)
        pruned = desk.record(old.run)
        assert [(host.outcome, host.evidence_digest) for host in pruned.hosts] == [
            (host.outcome, host.evidence_digest) for host in old.hosts
        ]
        assert all(host.pruned_at is not None and host.diagnosis and not host.answers for host in pruned.hosts)
        assert [replayed.same for replayed in desk.replay(old.run, library=library)] == [None, None]
        assert [replayed.same for replayed in desk.replay(new.run, library=library)] == [True]
        with pytest.raises(EvidencePruned, match=old.run):
            list(desk.answers(old.run))
        assert desk.prunable(older_than=None, keep=1).nothing
        assert [(row.actor, row.action) for row in desk.audit()][-1] == ("anna", "store.pruned")
        assert old.run in desk.audit()[-1].detail
        found = desk.verify()
        assert (found.problems, found.pruned, found.orphans) == ((), 2, 0)


def test_evidence_of_a_case_is_kept_unless_it_is_asked_for(home: Path, library: Library) -> None:
    with Desk.open(home, write=True) as desk:
        record = diagnosed(desk, library, "a", case="CASE-1")
        plan = desk.prunable(older_than=None, keep=0)
        assert (plan.nothing, plan.found.kept_for_cases) == (True, 1)
        desk.prune(desk.prunable(older_than=None, keep=0, cases=True))
        assert desk.record(record.run).hosts[0].pruned_at is not None
        (file,) = desk.case_attachments("CASE-1")
        assert desk.attachment(file.digest).startswith(b"report of a")


def test_age_counts_from_the_start_of_a_run(home: Path, library: Library) -> None:
    with Desk.open(home, write=True) as desk:
        record = diagnosed(desk, library, "a", case=None)
    for age, expected in ((timedelta(hours=25), (record.run,)), (timedelta(hours=23), ())):
        with Desk.open(home, write=False, clock=lambda age=age: record.started_at + age) as desk:  # type: ignore[misc]
            assert desk.prunable(older_than=timedelta(days=1), keep=0).found.runs == expected


def test_what_a_backup_reads_is_removed_by_the_next_opening(home: Path, library: Library) -> None:
    with Desk.open(home, write=True) as desk:
        diagnosed(desk, library, "a", case=None)
        plan = desk.prunable(older_than=None, keep=0)
        with blobs_kept(home), pytest.raises(StoreInUse):
            desk.prune(plan)
    assert b"canary-a" in everything(home)
    with Desk.open(home, write=True) as desk:
        assert desk.verify().problems == ()
    assert b"canary-a" not in everything(home)


# Erase


def test_a_customers_data_is_erased_to_the_last_byte(home: Path, library: Library) -> None:
    selection = shared(**{"acme-canary-1": "canary-acme", "zeta-1": "zeta"})
    with Desk.open(home, write=True, actor="anna") as desk:
        alone = diagnosed(desk, library, "acme-canary-2", case="CASE-1", selection=shared(**{"acme-canary-2": "canary-acme"}))
        both = diagnosed(desk, library, "acme-canary-1", "zeta-1", case="CASE-2", selection=selection)
        theirs = diagnosed(desk, library, "zeta-2", case="CASE-3", selection=shared(**{"zeta-2": "zeta"}))
        (home / "reports").mkdir(mode=0o700)
        for run in (alone, both, theirs):
            (home / "reports" / f"{run.run}.html").write_text(f"canary of {run.run}")
        assert b"canary-acme" in everything(home)
        found = desk.erase(Belonging(customer="canary-acme"))
        assert (found.runs, found.shared, found.hosts) == ((alone.run,), ((both.run, 1),), 2)
        left = everything(home)  # with the home still open: the log, too, was overwritten
        assert b"canary-acme" not in left
        assert b"acme-canary" not in left
        assert [path.name for path in (home / "reports").iterdir()] == [f"{theirs.run}.html"]
        record = desk.record(both.run)
        assert ([host.host for host in record.hosts], record.erased_hosts) == (["zeta-1"], 1)
        assert record.customers == ("zeta",)
        assert {run.run for run in desk.runs()} == {both.run, theirs.run}
        assert desk.record(theirs.run).hosts == theirs.hosts
        assert desk.case_attachments("CASE-3") and not desk.case_attachments("CASE-2")
        last = desk.audit()[-1]
        assert (last.actor, last.action, last.digests) == ("anna", "store.erased", (digest_of(b"customer:canary-acme"),))
        assert last.detail == "runs 1, shared runs 1, hosts 2, reports 2, attachments 2, cases 0, holds and freezes 0"
        assert [row.action for row in desk.audit(alone.run)] == ["run.started", "run.ended", "report.sent"]
        assert desk.verify().problems == ()
        assert desk.verify().orphans == 0
        with pytest.raises(NothingBelongs):
            desk.erase(Belonging(customer="canary-acme"))
    assert b"acme-canary" not in everything(home)


@pytest.mark.parametrize("code", [sqlite3.SQLITE_FULL, sqlite3.SQLITE_CORRUPT], ids=["full", "damaged"])
def test_where_there_is_no_room_to_overwrite_what_was_erased_a_home_can_be_opened_and_owes_it(
    home: Path, library: Library, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, code: int
) -> None:
    def fails(home: Path, plain: sqlite3.Connection) -> None:
        error = sqlite3.OperationalError("it fails")
        error.sqlite_errorcode = code
        raise error

    with Desk.open(home, write=True, actor="anna") as desk:
        diagnosed(desk, library, "a", case=None, selection=shared(a="acme"))
        with monkeypatch.context() as patch:
            patch.setattr("runner.store.leftovers._overwrite_database", fails)
            with pytest.raises(StoreFailed):
                desk.erase(Belonging(customer="acme"))
    with monkeypatch.context() as patch:
        patch.setattr("runner.store.leftovers._overwrite_database", fails)
        with nullcontext() if code == sqlite3.SQLITE_FULL else pytest.raises(StoreFailed), Desk.open(home, write=True) as desk:
            desk.freeze(Scope.DESK, None, reason="an emergency")
            assert "is not off the disk yet" in caplog.text
    for owed in (1, 0):
        with closing(sqlite3.connect(home / "longarm.db")) as connection:
            assert bool(connection.execute("SELECT count(*) FROM doomed").fetchone()[0]) is bool(owed)
        with Desk.open(home, write=True):
            pass  # opening it is all


def test_a_cases_data_is_erased_and_nothing_else(home: Path, library: Library) -> None:
    with Desk.open(home, write=True) as desk:
        gone = diagnosed(desk, library, "a", case="CASE-1")
        none = diagnosed(
            desk,
            library,
            "b",
            case=None,
            selection=Selection(expression="all", hosts=(replace(fleet("b").hosts[0], customer=None),)),
        )
        kept = diagnosed(desk, library, "c", case="CASE-2")
        found = desk.erase(Belonging(case="CASE-1"))
        assert (found.runs, found.hosts, found.cases, len(found.attachments)) == ((gone.run,), 1, ("CASE-1",), 1)
        left = everything(home)
        for word in (b"canary-a", b"CASE-1", b"report of a"):
            assert word not in left
        assert {run.run for run in desk.runs()} == {none.run, kept.run}
        assert [case.ref for case in desk.cases()] == ["CASE-2"]
        assert [desk.record(run.run).hosts for run in (none, kept)] == [none.hosts, kept.hosts]
        assert desk.verify().problems == ()


def test_a_reader_delays_the_overwriting_and_the_next_opening_does_it(
    home: Path, library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(opening, "_BUSY_TIMEOUT_MS", 10)
    with Desk.open(home, write=True) as desk:
        diagnosed(desk, library, "canary-host", case="CASE-1")
        with closing(sqlite3.connect(opening.database(home), isolation_level=None)) as reader:
            reader.execute("BEGIN")
            reader.execute("SELECT count(*) FROM run").fetchone()
            with pytest.raises(StoreInUse):
                desk.erase(Belonging(case="CASE-1"))
            assert desk.runs() == ()
        with pytest.raises(NothingBelongs):
            desk.erase(Belonging(case="CASE-1"))
    with Desk.open(home, write=True):
        assert b"canary-host" not in everything(home)
