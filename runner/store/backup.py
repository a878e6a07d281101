"""Take a backup of a store that may be in use, look whether one is whole, and make a store of one."""

from __future__ import annotations

import hashlib
import io
import os
import shutil
import sqlite3
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from inventory.errors import Text, UsageError
from runner.store.archive import (
    DATABASE,
    MANIFEST,
    ArchiveWriter,
    Manifest,
    Member,
    list_digest,
    manifest_from,
    members,
    part_beside,
    publish,
)
from runner.store.aside import aside
from runner.store.blobs import Blobs, check_packed, sync
from runner.store.changes import Note
from runner.store.erasures import Erasure, record_erasures, undone_by
from runner.store.errors import BackupRefused, ErasuresUndone, StoreDamaged, StoreFailed, StoreNotEmpty
from runner.store.link import told
from runner.store.lock import blobs_kept
from runner.store.opening import check_schema, create_private, database, known_schema, schema_of, unpacking
from runner.store.rows import AuditRow
from runner.store.sql import open_store
from runner.store.verified import Undone, Verification
from runner.store.verifying import NAMED, Progress, strange, suspicious, verify, verify_unpacked


@dataclass(frozen=True, slots=True, kw_only=True)
class Backup:
    """A backup that was taken, or that a store was made of."""

    path: Path
    bytes: int
    sha256: str
    taken_at: datetime
    blobs: int


def back_up(home: Path, to: Path, taken_at: datetime, progress: Progress) -> Backup:
    """Write a backup of what the store holds at this moment and return it; writers go on meanwhile.

    The file is there whole and private, or not at all. Raises UsageError where there is a file of this name, no folder
    that it could be in, or no store, StoreDamaged for a blob that is not what its name says, StoreInUse while something is
    being pruned, StoreLost.
    """
    to = to.absolute()
    if to.exists():
        raise UsageError(Text("{path} is there already", path=str(to)), Text("name a file that is not there yet"))
    if not to.parent.is_dir():
        hint = Text("make that folder, or name a file elsewhere")
        raise UsageError(Text("there is no folder {folder}", folder=str(to.parent)), hint)
    if (schema := known_schema(home)) is None:
        raise UsageError(Text("there is no store in {home} yet", home=str(home)), Text("longarm diagnose TARGETS"))
    with blobs_kept(home), part_beside(to) as part:
        snapshot, archive = part / DATABASE, part / "archive"
        named = _snapshot(home, snapshot)
        with os.fdopen(create_private(archive), "wb") as file:
            manifest = _write(home, snapshot, named, ArchiveWriter(file, taken_at), (schema, taken_at), progress)
            file.flush()
            os.fsync(file.fileno())
        made = Backup(path=to, bytes=archive.stat().st_size, sha256=_sha256(archive), taken_at=taken_at, blobs=manifest.blobs)
        publish(archive, to)
    return made


def _snapshot(home: Path, to: Path) -> list[str]:
    """Write the database as it is at this moment, without its free pages, and return the blobs that it names."""
    os.close(create_private(to))
    with told(home):
        with closing(sqlite3.connect(f"{database(home).as_uri()}?mode=ro", uri=True, isolation_level=None)) as connection:
            connection.execute("VACUUM INTO ?", (str(to),))
        with closing(sqlite3.connect(f"{to.as_uri()}?mode=ro", uri=True)) as connection:
            return sorted(digest for (digest,) in connection.execute(NAMED))


def _write(
    home: Path, snapshot: Path, named: list[str], archive: ArchiveWriter, of: tuple[str, datetime], progress: Progress
) -> Manifest:
    schema, taken_at = of
    manifest = Manifest(
        taken_at=taken_at,
        schema=schema,
        database_bytes=snapshot.stat().st_size,
        database_sha256=_sha256(snapshot),
        blobs=len(named),
        blobs_sha256=list_digest(named),
    )
    data, blobs = manifest.encoded(), Blobs(home)
    archive.add_bytes(MANIFEST, data)
    with snapshot.open("rb") as file:
        archive.add(DATABASE, file, manifest.database_bytes)
    for number, digest in enumerate(named, start=1):
        blobs.check(digest)
        archive.add_bytes(f"blobs/{digest}", blobs.packed(digest))
        progress(number, len(named))
    archive.close()
    return manifest


@dataclass(frozen=True, slots=True, kw_only=True)
class BackupVerification:
    """What was looked at in a backup, and what is wrong with it."""

    backup: Backup | None
    """None where the file is no backup, or not a whole one: `found` says why."""
    found: Verification
    undone: tuple[Undone, ...] = ()
    """Erasures that restoring it would undo."""


def verify_backup(home: Path, path: Path, erasures: Sequence[Erasure], progress: Progress) -> BackupVerification:
    """Return whether a backup is whole and could be restored, without restoring it; raises StoreTooNew.

    Its database is unpacked to a private folder of the home; its blobs are only read.
    """
    with aside(home) as folder:
        try:
            backup, blobs = _unpack(path, folder, lambda digest, packed: _check_blob(path, digest, packed), progress)
            _prepare(path, folder)
        except BackupRefused as refused:
            return BackupVerification(backup=None, found=Verification(schema=None, problems=(refused.reason,)))
        undone = undone_by(folder, erasures)
        return BackupVerification(backup=backup, found=verify_unpacked(folder, blobs), undone=undone)


def restore(
    home: Path, path: Path, audit: AuditRow, progress: Progress, *, erasures: Sequence[Erasure] = (), undo: bool = False
) -> tuple[Backup, tuple[Undone, ...]]:
    """Make the store of a home of a backup, and return the backup; the caller holds the lock of the home.

    Everything is unpacked aside and verified before any of it is moved into place, the database last: a process
    that is killed on the way leaves a home without a store. What of `erasures` this undoes is returned too, and only
    done where `undo` says so. Raises StoreNotEmpty, BackupRefused, ErasuresUndone, StoreTooNew.
    """
    if schema_of(home) is not None:
        raise StoreNotEmpty(home)
    folder = unpacking(home)
    if folder.exists():  # of a process that was killed
        shutil.rmtree(folder)
    folder.mkdir(mode=0o700)
    try:
        backup, undone = _unpacked(path, folder, audit, progress, erasures=erasures, undo=undo)
        record_erasures(home, erasures)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    _move(folder, home)  # cut off in here, what is left of the folder tells that, and the next one begins anew
    shutil.rmtree(folder, ignore_errors=True)
    return backup, undone


def _unpacked(
    path: Path, folder: Path, audit: AuditRow, progress: Progress, *, erasures: Sequence[Erasure], undo: bool
) -> tuple[Backup, tuple[Undone, ...]]:
    """Make a whole store of a backup in a folder aside."""
    Blobs(folder).prepare()
    backup, _ = _unpack(path, folder, lambda digest, packed: _take_blob(path, digest, packed, Blobs(folder)), progress)
    _prepare(path, folder)
    with closing(open_store(folder, write=True)) as store:
        undone = undone_by(folder, erasures)
        if undone and not undo:
            raise ErasuresUndone(path, undone)
        store.write(Note(audit=_of(audit, backup, undone, erasures))).result()
    found = verify(folder)
    for problem in found.problems:
        raise BackupRefused(path, problem)
    if found.orphans:
        raise BackupRefused(path, Text("{count} of its blobs belong to nothing", count=found.orphans))
    return backup, undone


def _prepare(path: Path, folder: Path) -> None:
    """Bring the database of a backup up to date, once nothing in it is suspicious; raises BackupRefused unless it is ours."""
    for problem in suspicious(folder):
        raise BackupRefused(path, problem)
    try:
        open_store(folder, write=True).close()
    except StoreFailed as failed:
        raise BackupRefused(path, failed.text) from failed
    for problem in strange(folder):
        raise BackupRefused(path, problem)


def _of(audit: AuditRow, backup: Backup, undone: Sequence[Undone], erasures: Sequence[Erasure]) -> AuditRow:
    detail = f"taken at {backup.taken_at.isoformat()}, blobs {backup.blobs}"
    if undone:
        detail += f", erasures undone {len(undone)}"
    digests = (backup.sha256, *dict.fromkeys(erasure.digest for erasure in erasures))
    return AuditRow(at=audit.at, actor=audit.actor, action=audit.action, digests=digests, detail=detail)


def _unpack(path: Path, folder: Path, take: Callable[[str, bytes], None], progress: Progress) -> tuple[Backup, list[str]]:
    """Put the database of a backup into a folder, give each blob to `take`, and return the digests of the blobs too."""
    manifest: Manifest | None = None
    digests = []
    with path.open("rb") as file:
        for member in members(path, file):
            if manifest is None:
                manifest = manifest_from(path, b"".join(member.pieces))
                check_schema(path, manifest.schema)
            elif member.name == DATABASE:
                _take_database(path, member, manifest, database(folder))
                _look_at_schema(path, folder, manifest)
            else:
                take(member.digest, b"".join(member.pieces))
                digests.append(member.digest)
                progress(len(digests), manifest.blobs)
        while rest := file.read(1 << 20):
            if rest.strip(b"\0"):
                raise BackupRefused(path, Text("something follows its end"))
    if manifest is None or (len(digests), list_digest(digests)) != (manifest.blobs, manifest.blobs_sha256):
        raise BackupRefused(path, Text("its blobs are not those of its manifest"))
    made = Backup(
        path=path,
        bytes=path.stat().st_size,
        sha256=_sha256(path),
        taken_at=manifest.taken_at,
        blobs=manifest.blobs,
    )
    return made, digests


def _take_database(path: Path, member: Member, manifest: Manifest, to: Path) -> None:
    digest = hashlib.sha256()
    if member.size != manifest.database_bytes:
        raise BackupRefused(path, Text("its database is not that of its manifest"))
    with os.fdopen(create_private(to), "wb") as file:
        for piece in member.pieces:
            digest.update(piece)
            file.write(piece)
        file.flush()
        os.fsync(file.fileno())
    if digest.hexdigest() != manifest.database_sha256:
        raise BackupRefused(path, Text("its database is not that of its manifest"))


def _look_at_schema(path: Path, folder: Path, manifest: Manifest) -> None:
    try:
        found = schema_of(folder)
    except StoreFailed as failed:
        raise BackupRefused(path, failed.text) from failed
    check_schema(path, found)
    if found != manifest.schema:
        raise BackupRefused(path, Text("its database is not that of its manifest"))


def _take_blob(path: Path, digest: str, packed: bytes, blobs: Blobs) -> None:
    try:
        blobs.put(digest, packed)
    except StoreDamaged as damaged:
        raise BackupRefused(path, damaged.text) from damaged


def _check_blob(path: Path, digest: str, packed: bytes) -> None:
    try:
        check_packed(path, digest, io.BytesIO(packed))
    except StoreDamaged as damaged:
        raise BackupRefused(path, damaged.text) from damaged


def _move(folder: Path, home: Path) -> None:
    blobs, unpacked = Blobs(home), Blobs(folder)
    blobs.prepare()
    blobs.adopt(unpacked)
    for suffix in ("-wal", "-shm"):  # of a store that was never finished: they would be taken for the log of this one
        database(home).with_name(database(home).name + suffix).unlink(missing_ok=True)
    database(folder).rename(database(home))
    sync(home)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
