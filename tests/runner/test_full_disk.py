"""Our own disk is full: what was acknowledged is kept and can be read, the rest is said, and done when there is room."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.runner.filled_midway import AFTER_HOSTS
from tests.runner.filled_repair import SIZES
from tests.runner.filling import OFFSETS
from tests.runner.killed_run import ACTS

FULL = re.compile(r"disk is full|No space left|unable to open|disk I/O error")


def on_a_disk_of_its_own(module: str, repository: Path, folder: Path) -> str:
    """Return what a module says that fills a disk which nobody else sees."""
    done = subprocess.run(
        ["unshare", "--mount", sys.executable, "-m", module, str(folder)],
        cwd=repository,
        env={**os.environ, "PYTHONPATH": "."},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.hosts
def test_a_disk_that_fills_at_any_moment_takes_nothing_that_was_acknowledged(repository: Path, tmp_path: Path) -> None:
    said = on_a_disk_of_its_own("tests.runner.filling", repository, tmp_path)
    told = [json.loads(line) for line in said.splitlines()]
    assert len(told) == OFFSETS
    assert all(FULL.search(line["error"]) for line in told), [line["error"] for line in told]
    assert len({line["acknowledged"] for line in told}) > 3, "the sizes did not fall into the run"


@pytest.mark.hosts
def test_a_run_whose_disk_fills_midway_is_interrupted_and_keeps_what_it_acknowledged(repository: Path, tmp_path: Path) -> None:
    said = on_a_disk_of_its_own("tests.runner.filled_midway", repository, tmp_path)
    told = json.loads(said)
    assert FULL.search(told["error"])
    assert AFTER_HOSTS <= len(told["acknowledged"]) < len(ACTS)
    assert told["full"] == told["roomy"], "who reads from the full disk is told the same as after the next opening"
    assert (told["full"]["listed"], told["full"]["shown"]) == ("interrupted", "interrupted")
    assert list(told["full"]["hosts"]) == list(ACTS)
    kept = {host for host, outcome in told["full"]["hosts"].items() if outcome != "interrupted"}
    assert set(told["acknowledged"]) <= kept < set(ACTS)
    assert told["audit"] == ["run.started", "run.recovered"], "it was the next opening that closed it"


_ON_THE_COMMAND_LINE = """
mount -t tmpfs -o size=$2 none "$1" && mkdir -m 700 "$1/home" && cp "$3" "$1/home/inventory.yaml" || exit 99
export LONGARM_HOME="$1/home" LANG=C.UTF-8
"$4" diagnose me --check fs-space --fail-on never --case CASE-1 >/dev/null
echo $?
mount -o remount,size=64m none "$1"
"$4" diagnose me --check fs-space --fail-on never --case CASE-1 >/dev/null 2>&1
echo $?
"$4" store verify >/dev/null
echo $?
"""


@pytest.mark.hosts
@pytest.mark.parametrize("size", ["16k", "120k", "200k", "280k"])
def test_a_full_disk_is_said_on_the_command_line_with_its_exit_code(tmp_path: Path, size: str) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "inventory.yaml").write_text("hosts:\n  me: {transport: local, address: localhost}\n")
    longarm = Path(sys.executable).with_name("longarm")
    arguments = [str(tmp_path / "disk"), size, str(tmp_path / "inventory.yaml"), str(longarm)]
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-c", _ON_THE_COMMAND_LINE, "sh", *arguments],
        capture_output=True,
        text=True,
        check=False,
    )
    full, again, whole = done.stdout.split()
    assert (full, whole) == ("7", "0"), done
    assert again in ("0", "3"), done  # 3: what not even root may see here
    assert re.search(rf"error: .*({FULL.pattern})", done.stderr)
    assert "next: " in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.hosts
def test_a_repair_whose_disk_fills_at_any_moment_begins_nothing_more_and_does_nothing_twice(
    repository: Path, tmp_path: Path
) -> None:
    """What is not on disk is not sent; what was sent is asked for once there is room, and no host's own log holds it twice."""
    told = [json.loads(line) for line in on_a_disk_of_its_own("tests.runner.filled_repair", repository, tmp_path).splitlines()]
    assert len(told) == SIZES
    failed = [line for line in told if line["error"]]
    assert len(failed) >= SIZES // 2 and all(FULL.search(line["error"]) for line in failed), told
    assert len({json.dumps(line["full"]) for line in failed}) > 1, "the sizes did not fall into the run"
    for line in told:
        assert all(["one", "two"][: len(done)] == done for done in line["full"].values()), line
        assert set(map(tuple, line["ended"].values())) == {("one", "two")}, line
        assert {tuple(how) for how in line["told"].values()} == {("ok", "changed")}, line
