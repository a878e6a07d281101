"""`make demo`: the main job on practice hosts and this machine, and nothing left running."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from remote.lab import keeper


def test_the_demo_leaves_a_report_on_its_case_and_no_process(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "console.demo"], cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "12 targeted = " in done.stdout
    assert re.search(r"attached \S+ to case DEMO-1", done.stderr)
    (page,) = re.findall(r"report: file://(\S+)", done.stdout)
    assert Path(page).read_text().startswith("<!doctype html>")
    assert "this-machine" in Path(page).read_text()
    assert keeper.running(tmp_path / "demo") is None
