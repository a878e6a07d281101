"""A store whose database is gone or emptied: never taken for one that has nothing yet, and nothing is begun over it."""

from __future__ import annotations

import errno
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from runner.condition import condition_of
from runner.desk import Desk
from runner.store import opening
from runner.store.blobs import Blobs
from runner.store.errors import RestorationCut, StoreFailed, StoreLost
from runner.store.link import told
from runner.store.sql import open_store
from tests.runner.conftest import Rows


def gone(path: Path) -> None:
    for name in (path.name, f"{path.name}-wal", f"{path.name}-shm"):
        path.with_name(name).unlink(missing_ok=True)


def emptied(path: Path) -> None:
    gone(path)
    path.touch(0o600)


def without_schema(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("DROP TABLE alembic_version")
        connection.commit()


@pytest.fixture(params=[gone, emptied, without_schema])
def lost(request: pytest.FixtureRequest, made: Path, rows: Rows) -> Path:
    """Return a home that has lost its database, but not the evidence of a case."""
    with closing(open_store(made, write=True)) as store:
        store.write(rows.begin(), [b"content"]).result()
    request.param(opening.database(made))
    return made


def opened(home: Path, write: bool) -> None:
    open_store(home, write=write).close()


@pytest.mark.parametrize("write", [True, False])
def test_a_lost_database_is_said_and_nothing_is_begun_over_it(lost: Path, write: bool) -> None:
    before = sorted(path for path in lost.rglob("*") if not path.name.endswith(("-wal", "-shm")))
    with pytest.raises(StoreLost, match="has lost its database") as caught:
        opened(lost, write)
    assert "longarm store restore FILE" in str(caught.value.hint)
    with pytest.raises(StoreLost), Desk.open(lost, write=write):
        pass
    with pytest.raises(StoreLost):
        condition_of(lost)
    kept = sorted(path for path in lost.rglob("*") if not path.name.endswith(("-wal", "-shm")))
    assert [path for path in kept if path.name not in ("lock", "writers")] == before


def test_one_that_had_no_blob_yet_is_lost_as_well(made: Path) -> None:
    assert list(Blobs(made).stored()) == []
    gone(opening.database(made))  # with its holds and freezes
    with pytest.raises(StoreLost):
        opened(made, write=True)


def test_a_lost_store_is_made_of_a_backup(made: Path, rows: Rows, tmp_path: Path) -> None:
    with closing(open_store(made, write=True)) as store:
        store.write(rows.begin(), [b"content"]).result()
    with Desk.open(made, write=False) as desk:
        desk.backup(tmp_path / "kept.tar")
    gone(opening.database(made))
    Desk.restore(made, tmp_path / "kept.tar")
    with Desk.open(made, write=True) as desk:
        assert (len(desk.runs()), desk.verify().problems) == (1, ())


@pytest.mark.parametrize("write", [True, False])
def test_a_restoration_that_was_cut_is_not_taken_for_an_empty_store(lost: Path, write: bool) -> None:
    opening.unpacking(lost).mkdir()
    with pytest.raises(RestorationCut, match="was not finished") as caught:
        opened(lost, write)
    assert "longarm store restore FILE" in str(caught.value.hint)


def test_a_restoration_that_fails_as_it_moves_is_told_as_that(
    made: Path, rows: Rows, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Such as on a full disk: the home had no store before, so none is lost."""
    with closing(open_store(made, write=True)) as store:
        store.write(rows.begin(), [b"content"]).result()
    with Desk.open(made, write=False) as desk:
        desk.backup(tmp_path / "kept.tar")

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "no space")

    fresh = tmp_path / "fresh"
    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", full)
        with pytest.raises(OSError, match="no space"):
            Desk.restore(fresh, tmp_path / "kept.tar")
    with pytest.raises(RestorationCut):
        opened(fresh, True)
    Desk.restore(fresh, tmp_path / "kept.tar")
    with Desk.open(fresh, write=True) as desk:
        assert len(desk.runs()) == 1


def test_a_home_that_is_begun_is_never_called_lost_meanwhile(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever reads may look at any moment of the first opening: between any two of what it does to the disk."""
    seen: list[str | None] = []

    def looks(before: Callable[..., object]) -> Callable[..., object]:
        def both(*arguments: object, **named: object) -> object:
            thread = threading.Thread(target=lambda: seen.append(opening.known_schema(home)))
            thread.start()
            thread.join()
            return before(*arguments, **named)

        return both

    opening.make_home(home)
    for where, name in ((opening, "create_private"), (opening, "connect"), (opening, "_create"), (Blobs, "prepare")):
        monkeypatch.setattr(where, name, looks(getattr(where, name)))
    opened(home, write=True)
    assert seen == [None, None, None, opening.SCHEMAS[-1], opening.SCHEMAS[-1]]


def test_a_reader_that_is_overtaken_by_the_first_writer_does_not_call_it_lost(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The one that begins the store comes between the two looks of the one that reads, whichever is first."""
    opening.make_home(home)
    real = opening.schema_of

    def overtaken(home: Path) -> str | None:
        monkeypatch.setattr(opening, "schema_of", real)
        before = real(home)
        opened(home, write=True)
        return before

    monkeypatch.setattr(opening, "schema_of", overtaken)
    assert opening.known_schema(home) is None


def sqlite_error(code: int) -> sqlite3.Error:
    error = sqlite3.OperationalError("as the driver says it")
    error.sqlite_errorcode = code
    return error


ROOM, RESTORE, MEND = "make room on the disk", "longarm --home DIR store restore FILE", "once that is mended"


@pytest.mark.parametrize(
    ("error", "hint"),
    [
        (OSError(errno.ENOSPC, "full"), ROOM),
        (OSError(errno.EDQUOT, "quota"), ROOM),
        (sqlite_error(sqlite3.SQLITE_FULL), ROOM),
        (sqlite_error(sqlite3.SQLITE_CORRUPT), RESTORE),
        (sqlite_error(sqlite3.SQLITE_CORRUPT | 2 << 8), RESTORE),
        (sqlite_error(sqlite3.SQLITE_NOTADB), RESTORE),
        (OSError(errno.EMFILE, "files"), MEND),
        (sqlite_error(sqlite3.SQLITE_CANTOPEN), MEND),
        (sqlite_error(sqlite3.SQLITE_BUSY), MEND),
        (sqlite3.ProgrammingError("of the driver's own"), MEND),
    ],
    ids=str,
)
def test_what_to_do_next_goes_by_what_went_wrong(error: Exception, hint: str, tmp_path: Path) -> None:
    with pytest.raises(StoreFailed) as caught, told(tmp_path):
        raise error
    assert hint in str(caught.value.hint)


@pytest.fixture
def overwritten(made: Path) -> Iterator[Path]:
    """Return a home whose database was overwritten."""
    opening.database(made).write_bytes(b"no database, but long enough to look at" * 100)
    yield made


def test_an_overwritten_database_is_restored_from_a_backup(overwritten: Path) -> None:
    with pytest.raises(StoreFailed, match="not a database") as caught:
        opened(overwritten, write=False)
    assert RESTORE in str(caught.value.hint)
