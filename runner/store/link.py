"""A connection to the database of a home: plain, and in SQLAlchemy's words for what is done seldom."""

from __future__ import annotations

import errno
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from inventory.errors import Text
from runner.store.errors import MAKE_ROOM, MEND, RESTORE_ELSEWHERE, StoreFailed

if TYPE_CHECKING:  # SQLAlchemy takes 0.1 s to load, and no host of a run is to wait for it
    from sqlalchemy import Connection


class Link:
    """One connection; a transaction on it holds what is done in plain SQL and what is done through SQLAlchemy."""

    def __init__(self, plain: sqlite3.Connection, begin: str) -> None:
        self.plain, self._begin = plain, begin
        self._core: Connection | None = None

    @property
    def core(self) -> Connection:
        """Return the same connection as SQLAlchemy's, within the transaction that is open."""
        if self._core is None:
            from sqlalchemy import create_engine
            from sqlalchemy.pool import NullPool

            # an engine looks at its first connection and rolls back what is open on it: let that be another one
            given = iter((sqlite3.connect(":memory:"), self.plain))
            engine = create_engine("sqlite://", creator=lambda: next(given), poolclass=NullPool)
            engine.connect().close()
            self._core = engine.connect()
        if not self._core.in_transaction():
            self._core.begin()
        return self._core

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Keep everything that the block does, or nothing of it."""
        self.begin()
        try:
            yield
            self.commit()
        except BaseException:
            self._roll_back()
            raise

    def begin(self) -> None:
        """Begin a transaction: the driver itself begins none."""
        self.plain.execute(self._begin)

    def commit(self) -> None:
        """Bring to the disk what was done since the beginning."""
        if self._core is not None and self._core.in_transaction():
            self._core.commit()
        else:
            self.plain.commit()

    def close(self) -> None:
        """Let go of the files."""
        if self._core is not None:
            self._core.close()
        self.plain.close()

    def _roll_back(self) -> None:
        if self._core is not None and self._core.in_transaction():
            self._core.rollback()
        if self.plain.in_transaction:
            self.plain.rollback()


@contextmanager
def told(home: Path) -> Iterator[None]:
    """Turn what the disk or the database says into a StoreFailed of this home."""
    try:
        yield
    except (sqlite3.Error, OSError) as error:
        raise StoreFailed(home, str(error), _next_after(error)) from error
    except Exception as error:  # SQLAlchemy wraps the driver's errors; naming its class here would import it
        if isinstance(cause := getattr(error, "orig", None), sqlite3.Error):
            raise StoreFailed(home, str(cause), _next_after(cause)) from error
        raise


_NEXT = {
    errno.ENOSPC: MAKE_ROOM,
    errno.EDQUOT: MAKE_ROOM,
}
_NEXT_OF_SQLITE = {
    sqlite3.SQLITE_FULL: MAKE_ROOM,
    sqlite3.SQLITE_CORRUPT: RESTORE_ELSEWHERE,
    sqlite3.SQLITE_NOTADB: RESTORE_ELSEWHERE,
}


def _next_after(error: sqlite3.Error | OSError) -> Text:
    """Return what to do next, by what the system or SQLite says; its code has what is more precise in its upper bytes."""
    if isinstance(error, OSError):
        return _NEXT.get(error.errno or 0, MEND)
    return _NEXT_OF_SQLITE.get(getattr(error, "sqlite_errorcode", 0) & 0xFF, MEND)  # the driver's own errors have none
