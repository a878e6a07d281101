"""Open the SQLite store of a home: the settings that make a commit last, and the version of the schema."""

from __future__ import annotations

import os
import sqlite3
import stat
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from runner.store.errors import StoreFailed, StoreTooNew, StoreTooOld, UnsafeHome

if TYPE_CHECKING:  # importing SQLAlchemy takes 0.2 s: only those who open a store pay it
    from sqlalchemy import Engine

SCHEMAS = ("0001", "0002", "0003")
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
    """Return the schema of the store, or None where there is none yet; plain SQL, nothing heavy is imported."""
    if not database(home).exists():
        return None
    with _speaking_of(home), closing(sqlite3.connect(f"{database(home).as_uri()}?mode=ro", uri=True)) as connection:
        if not connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'alembic_version'").fetchall():
            return None
        if (row := connection.execute("SELECT version_num FROM alembic_version").fetchone()) is None:
            raise StoreFailed(home, "it does not tell its schema")
        return str(row[0])


def check_schema(home: Path, found: str | None) -> None:
    """Raise StoreTooNew for a schema that this version does not know."""
    if found is not None and found not in SCHEMAS:
        raise StoreTooNew(home, found, SCHEMAS[-1])


def engine_to_write(home: Path) -> Engine:
    """Return an engine for the one writer of a home; makes the store, or brings it up to date, where needed."""
    found = schema_of(home)
    check_schema(home, found)
    with suppress(FileExistsError):  # made with its mode, so that SQLite gives the same mode to the files beside it
        os.close(create_private(database(home)))
    settings = ("journal_mode=WAL", "synchronous=FULL", "secure_delete=ON")
    engine = _engine(f"{database(home).as_uri()}?mode=rw", "BEGIN IMMEDIATE", settings)
    with _speaking_of(home):
        if found is None:
            _create(engine)
        elif found != SCHEMAS[-1]:
            migrate(engine)
    return engine


def engine_to_read(home: Path) -> Engine:
    """Return an engine whose connections can change nothing and never block or checkpoint for the writer.

    A home without a store reads as an empty one.
    """
    found = schema_of(home)
    check_schema(home, found)
    if found is None:
        engine = _engine("file::memory:?cache=private", "BEGIN", ())
        _create(engine)
        return engine
    if found != SCHEMAS[-1]:
        raise StoreTooOld(home, found, SCHEMAS[-1])
    return _engine(f"{database(home).as_uri()}?mode=ro", "BEGIN", ("wal_autocheckpoint=0", "query_only=ON"))


def migrate(engine: Engine) -> None:
    """Bring a store to the newest schema, in one transaction."""
    from alembic import command  # 0.2 s: paid by the one opening that migrates
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.set_main_option("path_separator", "os")
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "head")


def _create(engine: Engine) -> None:
    """Make the newest schema at once; a test holds it equal to what the migrations make."""
    from runner.store.schema import TABLES

    with engine.begin() as connection:
        TABLES.create_all(connection)
        connection.exec_driver_sql(_VERSION_TABLE)
        connection.exec_driver_sql("INSERT INTO alembic_version VALUES (?)", (SCHEMAS[-1],))


def _engine(uri: str, begin: str, pragmas: tuple[str, ...]) -> Engine:
    from sqlalchemy import create_engine, event
    from sqlalchemy.pool import QueuePool, StaticPool

    def connect() -> sqlite3.Connection:
        connection = sqlite3.connect(uri, uri=True, isolation_level=None, check_same_thread=False)
        for pragma in (f"busy_timeout={_BUSY_TIMEOUT_MS}", "foreign_keys=ON", "mmap_size=0", *pragmas):
            connection.execute(f"PRAGMA {pragma}")
        return connection

    in_memory = ":memory:" in uri  # is gone with its connection
    engine = create_engine("sqlite://", creator=connect, poolclass=StaticPool if in_memory else QueuePool)
    event.listen(engine, "begin", lambda connection: connection.exec_driver_sql(begin))  # the driver itself begins none
    return engine


def create_private(path: Path) -> int:
    """Make a new file for its owner alone and return its descriptor."""
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)


@contextmanager
def _speaking_of(home: Path) -> Iterator[None]:
    """Turn what the database says while it is opened into a StoreFailed of this home."""
    try:
        yield
    except (sqlite3.Error, OSError) as error:
        raise StoreFailed(home, str(error)) from error
    except Exception as error:  # SQLAlchemy wraps the driver's errors; naming its class here would import it
        if isinstance(cause := getattr(error, "orig", None), sqlite3.Error):
            raise StoreFailed(home, str(cause)) from error
        raise
