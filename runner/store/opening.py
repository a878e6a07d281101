"""Open the SQLite store of a home: the settings that make a commit last, and the version of the schema."""

from __future__ import annotations

import errno
import os
import sqlite3
import stat
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

from runner.store.blobs import Blobs
from runner.store.errors import RESTORE_ELSEWHERE, RestorationCut, StoreFailed, StoreLost, StoreTooNew, StoreTooOld, UnsafeHome
from runner.store.link import Link, told

SCHEMAS = ("0001", "0002", "0003", "0004", "0005", "0006", "0007", "0008", "0009")
"""Every schema that this version can bring up to date, oldest first; the last one is the one it uses."""

_BUSY_TIMEOUT_MS = 5000
_VERSION_TABLE = """
CREATE TABLE alembic_version (
    version_num VARCHAR(32) NOT NULL,
    CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
)
"""  # as alembic makes it


def make_home(home: Path) -> None:
    """Make the folder of a home for its owner alone, or raise UnsafeHome where everybody may write."""
    with suppress(FileExistsError):
        home.parent.mkdir(parents=True, exist_ok=True)
        home.mkdir(mode=0o700)
    if home.stat().st_mode & stat.S_IWOTH:
        raise UnsafeHome(home)


def database(home: Path) -> Path:
    """Return where the database of a home is."""
    return home / "longarm.db"


def unpacking(home: Path) -> Path:
    """Return where a backup is unpacked before it is moved into place."""
    return home / "restoring"


def schema_of(home: Path) -> str | None:
    """Return the schema of the store, or None where there is none; plain SQL, nothing heavy is imported."""
    if not database(home).exists():
        if home.exists() and not home.is_dir():  # which is not to be read as an empty one
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), os.fspath(home))
        return None
    with told(home), closing(sqlite3.connect(f"{database(home).as_uri()}?mode=ro", uri=True)) as connection:
        if not connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'alembic_version'").fetchall():
            return None
        if (row := connection.execute("SELECT version_num FROM alembic_version").fetchone()) is None:
            raise StoreFailed(home, "it does not tell its schema", RESTORE_ELSEWHERE)
        return str(row[0])


def check_schema(home: Path, found: str | None) -> None:
    """Raise StoreTooNew for a schema that this version does not know."""
    if found is not None and found not in SCHEMAS:
        raise StoreTooNew(home, found, SCHEMAS[-1])


def known_schema(home: Path) -> str | None:
    """Return the schema of the store, or None where there never was one.

    Raises StoreTooNew, and StoreLost or RestorationCut where the folder of blobs is there and no database: the first opening
    makes that folder once the database has its schema, a restoration before. So the folders are looked at before the
    schema is: what another process begins meanwhile is never taken for lost.
    """
    folder = Blobs(home).folder
    begun, restoring = folder.exists(), unpacking(home).exists()
    found = schema_of(home)
    check_schema(home, found)
    if found is None and begun:
        raise RestorationCut(home) if restoring else StoreLost(home, folder)
    return found


def link_to_write(home: Path) -> Link:
    """Return a connection for the one writer of a home; makes the store, or brings it up to date, where needed."""
    schema = known_schema(home)
    with suppress(FileExistsError):  # made with its mode, so that SQLite gives the same mode to the files beside it
        os.close(create_private(database(home)))
    settings = ("journal_mode=WAL", "synchronous=FULL", "secure_delete=ON")
    with told(home):
        link = connect(f"{database(home).as_uri()}?mode=rw", "BEGIN IMMEDIATE", settings)
        with closed_if_it_fails(link):
            if schema is None:
                _create(link)
            elif schema != SCHEMAS[-1]:
                migrate(link)
    return link


def link_to_read(home: Path) -> Link:
    """Return a connection that can change nothing and never blocks or checkpoints for the writer.

    A home that never had a store reads as an empty one.
    """
    schema = known_schema(home)
    if schema is None:
        link = connect("file::memory:?cache=private", "BEGIN", ())
        _create(link)
        return link
    if schema != SCHEMAS[-1]:
        raise StoreTooOld(home, schema, SCHEMAS[-1])
    with told(home):
        return connect(f"{database(home).as_uri()}?mode=ro", "BEGIN", ("wal_autocheckpoint=0", "query_only=ON"))


def migrate(link: Link) -> None:
    """Bring a store to the newest schema, in one transaction."""
    from alembic import command  # 0.2 s: paid by the one opening that migrates
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.set_main_option("path_separator", "os")
    with link.transaction():
        config.attributes["connection"] = link.core
        command.upgrade(config, "head")


def _create(link: Link) -> None:
    """Make the newest schema at once; a test holds it equal to what the migrations make."""
    from runner.store.schema import TABLES

    with link.transaction():
        TABLES.create_all(link.core)
        link.plain.execute(_VERSION_TABLE)
        link.plain.execute("INSERT INTO alembic_version VALUES (?)", (SCHEMAS[-1],))


def connect(uri: str, begin: str, pragmas: tuple[str, ...]) -> Link:
    """Return a connection with the settings that every one has, and these."""
    link = Link(sqlite3.connect(uri, uri=True, isolation_level=None, check_same_thread=False), begin)
    with closed_if_it_fails(link):
        for pragma in (f"busy_timeout={_BUSY_TIMEOUT_MS}", "foreign_keys=ON", "mmap_size=0", *pragmas):
            link.plain.execute(f"PRAGMA {pragma}")
    return link


@contextmanager
def closed_if_it_fails(link: Link) -> Iterator[None]:
    """Let go of the files of a connection that nobody gets: an error on its way keeps everything it met."""
    try:
        yield
    except BaseException:
        link.close()
        raise


def create_private(path: Path) -> int:
    """Make a new file for its owner alone and return its descriptor."""
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
