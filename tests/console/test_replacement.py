"""Files that a command writes: whole or not at all, as open as they were, and never lost for want of a place beside them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from console.files import Replacement, write_whole


def test_what_is_not_whole_leaves_the_file_as_it_was_and_nothing_beside_it(tmp_path: Path) -> None:
    file = tmp_path / "kept.txt"
    file.write_text("before")
    with pytest.raises(KeyError), Replacement(file) as new:
        new.write(b"af")
        raise KeyError
    assert file.read_text() == "before" and [*tmp_path.iterdir()] == [file]


@pytest.mark.parametrize(("before", "after"), [(None, 0o600), (0o664, 0o664), (0o400, 0o400)])
def test_it_is_as_open_as_the_one_that_was_there(tmp_path: Path, before: int | None, after: int) -> None:
    file = tmp_path / "kept.txt"
    if before is not None:
        file.touch()
        file.chmod(before)
    write_whole(file, b"after")
    assert (file.read_bytes(), file.stat().st_mode & 0o777) == (b"after", after)


def test_a_name_may_be_as_long_as_the_filesystem_takes(tmp_path: Path) -> None:
    file = tmp_path / ("щ" * 127)
    write_whole(file, b"after")
    assert file.read_bytes() == b"after"


def test_what_is_no_file_is_written_through() -> None:
    ours, theirs = os.pipe()
    try:
        write_whole(Path(f"/dev/fd/{theirs}"), b"through a pipe")  # as /dev/stdout is one
        assert os.read(ours, 100) == b"through a pipe"
    finally:
        os.close(ours)
        os.close(theirs)


@pytest.mark.skipif(os.geteuid() != 0, reason="not root")
def test_what_is_another_s_in_a_folder_like_tmp_is_written_where_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(0o1777)
    file = shared / "theirs.txt"
    file.write_text("before")
    number = file.stat().st_ino
    os.chown(file, 65534, 65534)
    monkeypatch.setattr(os, "geteuid", lambda: 65533)
    write_whole(file, b"after")
    assert (file.read_text(), file.stat().st_ino) == ("after", number)
