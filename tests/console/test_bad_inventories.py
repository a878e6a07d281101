"""Whatever an inventory holds: what is wrong, where, the exit code, never a traceback, never a character that acts."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import console.main
from tests.console.bad_inventories import BadInventory, table

PLACE = re.compile(r"^\S.*?:[0-9]+:[0-9]+: \S", re.MULTILINE)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a home for one command in this process."""
    home = tmp_path / "home"
    home.mkdir(mode=0o700)
    monkeypatch.setenv("LONGARM_HOME", str(home))
    monkeypatch.setenv("LC_ALL", "C")
    monkeypatch.delenv("LONGARM_LANG", raising=False)
    return home


def test_there_are_enough_of_them() -> None:
    assert len({bad.why for bad in table()}) == len(table()) >= 1_000


@pytest.mark.parametrize("bad", table(), ids=lambda bad: bad.why)
def test_what_nobody_meant_is_told_at_its_place(
    bad: BadInventory, home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "files"
    folder.mkdir()
    bad.write(folder, home)
    code = console.main.run(["inventory", "check"])
    out, err = capsys.readouterr()
    assert (code, out) == (bad.code, ""), err
    assert bad.told in err and PLACE.search(err), err
    assert "Traceback" not in err and not {"\x1b", "\x07", "\0"} & set(err)
