"""Crash points are wherever something reaches a file; what goes past them is found, whatever it is."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.forked import LONGARM, ROOT
from tests.parsed import parsed

PROGRAM = """
import json, os, shutil, sqlite3, sys
from pathlib import Path
rename = os.rename
from tests.crash_points import Points
folder = Path(sys.argv[1])
(folder / "a").touch()
points = Points(folder, lambda number, name: name == sys.argv[3])
os.chdir(folder)
exec(sys.argv[2])
print(json.dumps([points.names, points.past]))
"""
DATABASE = "c = sqlite3.connect('db', isolation_level=None); "


def run(folder: Path, statements: str, kill_at: str = "") -> subprocess.CompletedProcess[str]:
    words = [sys.executable, "-c", PROGRAM, str(folder), statements, kill_at]
    return subprocess.run(words, env={"PYTHONPATH": str(ROOT)}, text=True, capture_output=True, check=False)


@pytest.mark.parametrize(
    ("statements", "point", "past"),
    [
        ("Path('a').rename('b')", "rename a", []),
        ("os.replace('a', 'b')", "replace a", []),
        ("shutil.move('a', 'b')", "rename a", []),
        ("Path('a').unlink()", "unlink a", []),
        ("Path('b').write_text('x')", "open b", []),
        ("os.write(os.open('a', os.O_WRONLY), b'x')", "write a", []),
        ("os.rename('a', 'b', src_dir_fd=os.open('.', os.O_RDONLY))", "rename a", []),
        (DATABASE + "c.execute('CREATE TABLE t (x)')", "sql CREATE TABLE t (x)", []),
        (DATABASE + "c.execute('BEGIN'); c.cursor().execute('CREATE TABLE t (x)'); c.commit()", "commit transaction", []),
        ("Path('a').read_text(); Path('/dev/null').write_text('x')", None, []),
        ("rename('a', 'b')", None, ["os.rename a"]),
        (DATABASE + "c.cursor().execute('CREATE TABLE t (x)')", None, ["CREATE TABLE t (x)"]),
        (DATABASE + "c.cursor().executescript('BEGIN; CREATE TABLE t (x); COMMIT')", None, ["COMMIT"]),
    ],
)
def test_what_reaches_a_file_is_between_two_points_or_told(
    tmp_path: Path, statements: str, point: str | None, past: list[str]
) -> None:
    done = run(tmp_path, statements)
    assert done.returncode == 0, done.stderr
    names, told = json.loads(done.stdout)
    assert told == past
    assert names == ([] if point is None else [f"before {point} #1", f"after {point} #1"])


def test_a_process_dies_at_its_point_and_not_after_it(tmp_path: Path) -> None:
    assert run(tmp_path, "Path('a').rename('b')", "before rename a #1").returncode == -9
    assert [path.name for path in tmp_path.iterdir()] == ["a"]
    assert run(tmp_path, "Path('a').rename('b')", "after rename a #1").returncode == -9
    assert [path.name for path in tmp_path.iterdir()] == ["b"]


NEITHER_POINTED_NOR_TOLD = {
    "copy_file_range",
    "fdatasync",
    "mkfifo",
    "mknod",
    "posix_fallocate",
    "pwritev",
    "sendfile",
    "splice",
    "writev",
}
"""Calls that write, make or keep a file and are seen neither by the points nor by what tells of others."""


@pytest.mark.parametrize("package", LONGARM.packages)
def test_nothing_is_written_by_calls_that_have_no_points(package: str) -> None:
    for path in (ROOT / package).rglob("*.py"):
        tree = parsed(path)
        called = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
        assert not called & NEITHER_POINTED_NOR_TOLD, path
        imported = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
        imported_from = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
        assert "mmap" not in imported and not imported_from & {"os", "mmap"}, f"{path}: bound before it has points"
