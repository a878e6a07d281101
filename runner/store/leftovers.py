"""Take off the disk what a prune or an erasure has doomed; what a killed process left of it, the next opening does."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path

from sqlalchemy import delete, select

from runner.store.blobs import Blobs, remove, sync
from runner.store.errors import StoreInUse
from runner.store.link import Link
from runner.store.lock import blobs_unread
from runner.store.opening import database
from runner.store.removing import Doom
from runner.store.schema import DOOMED


def reports(home: Path) -> Path:
    """Return the folder in which the reports of runs are kept beside the store, `<run>.<suffix>` each."""
    return home / "reports"


def finish(home: Path, link: Link) -> None:
    """Take everything doomed off the disk, then forget that it was; raises StoreInUse while somebody reads it.

    The order makes it repeatable: the rows go last, so a process that is killed here leaves them to the next one.
    """
    with link.transaction():
        doomed = [(Doom(row.what), row.name) for row in link.core.execute(select(DOOMED))]
    with blobs_unread(home):
        blobs = Blobs(home)
        blobs.remove(name for what, name in doomed if what is Doom.BLOB)
        blobs.remove((name for what, name in doomed if what is Doom.SHRED), overwrite=True)
    _remove_reports(home, [name for what, name in doomed if what is Doom.REPORT])
    if any(what is Doom.DATABASE for what, _ in doomed):
        _overwrite_database(home, link.plain)
    with link.transaction():
        link.core.execute(delete(DOOMED))


def _remove_reports(home: Path, runs: list[str]) -> None:
    paths = [path for run in runs for path in sorted(reports(home).glob(f"{run}.*"))]
    for path in paths:
        remove(path, overwrite=True)
    if paths:
        sync(reports(home))


def _overwrite_database(home: Path, plain: sqlite3.Connection) -> None:
    """Leave no deleted byte in the database or its log.

    Deleting has filled the cells with zeros (secure_delete); VACUUM writes every page anew, without the free
    ones. When a checkpoint has brought all of the log into the database and no reader needs it (RESTART), the log
    is dead: it is overwritten before TRUNCATE gives its blocks back.
    """
    plain.execute("VACUUM")
    _checkpoint(home, plain.execute("PRAGMA wal_checkpoint(RESTART)").fetchone())
    log = database(home).with_name(database(home).name + "-wal")
    descriptor = os.open(log, os.O_WRONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        left, zeros = os.fstat(descriptor).st_size, bytes(1 << 20)
        while left > 0:
            left -= os.write(descriptor, zeros[:left])
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    _checkpoint(home, plain.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone())


def _checkpoint(home: Path, answer: tuple[int, int, int]) -> None:
    busy, _, _ = answer
    if busy:
        raise StoreInUse(home)
