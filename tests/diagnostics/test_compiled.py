"""What is compiled once is used again only where it is whole and of the very same source."""

import os
from importlib.util import cache_from_source
from pathlib import Path

import pytest

from diagnostics.compiled import keep, kept


@pytest.fixture(autouse=True)
def writing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.dont_write_bytecode", False)
    monkeypatch.setattr("sys.pycache_prefix", None)


def test_what_was_made_comes_back_for_the_same_source_only(tmp_path: Path) -> None:
    source = tmp_path / "page.html.j2"
    assert kept(source, "a") is None
    keep(source, "a", b"made")
    assert kept(source, "a") == b"made"
    assert kept(source, "b") is None
    keep(source, "b", b"made of b")
    assert (kept(source, "a"), kept(source, "b")) == (None, b"made of b")


def test_it_lies_where_python_keeps_what_it_compiles(tmp_path: Path) -> None:
    keep(tmp_path / "page.html.j2", "a", b"made")
    [file] = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert file.parent == Path(cache_from_source(str(tmp_path / "page.html.j2"))).parent


@pytest.mark.parametrize("cut", range(0, 68, 3))
def test_a_torn_file_is_no_file(tmp_path: Path, cut: int) -> None:
    keep(tmp_path / "x.po", "a", b"made")
    [file] = [path for path in tmp_path.rglob("*") if path.is_file()]
    file.write_bytes(file.read_bytes()[:cut])
    assert kept(tmp_path / "x.po", "a") is None


def test_a_changed_byte_is_noticed(tmp_path: Path) -> None:
    keep(tmp_path / "x.po", "a", b"made")
    [file] = [path for path in tmp_path.rglob("*") if path.is_file()]
    file.write_bytes(file.read_bytes()[:-1] + b"?")
    assert kept(tmp_path / "x.po", "a") is None


@pytest.mark.parametrize("mode", [0o664, 0o646])
def test_what_others_may_have_written_is_not_taken(tmp_path: Path, mode: int) -> None:
    keep(tmp_path / "x.po", "a", b"made")
    [file] = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert file.stat().st_mode & 0o777 == 0o644
    file.chmod(mode)
    assert kept(tmp_path / "x.po", "a") is None


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to give a file away")
def test_what_belongs_to_somebody_else_is_not_taken(tmp_path: Path) -> None:
    keep(tmp_path / "x.po", "a", b"made")
    [file] = [path for path in tmp_path.rglob("*") if path.is_file()]
    os.chown(file, 65534, -1)
    assert kept(tmp_path / "x.po", "a") is None


def test_a_place_that_refuses_costs_nothing_but_time(tmp_path: Path) -> None:
    (tmp_path / "__pycache__").write_text("a file where the folder would be")
    keep(tmp_path / "x.po", "a", b"made")
    assert kept(tmp_path / "x.po", "a") is None


def test_nothing_is_written_where_python_writes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.dont_write_bytecode", True)
    keep(tmp_path / "x.po", "a", b"made")
    assert not list(tmp_path.iterdir())
