"""`make demo`: the main job on practice hosts and this machine, and nothing left running."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from console import demo
from remote.lab import keeper
from remote.lab.shell import Shell, why_not


def test_the_demo_leaves_a_report_on_its_case_and_no_process(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "console.demo"], cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "12 targeted = " in done.stdout
    assert re.search(r"attached \S+ to case DEMO-1", done.stderr)
    pages = [Path(page).read_text() for page in re.findall(r"report: file://(\S+)", done.stdout)]
    assert all(page.startswith("<!doctype html>") for page in pages)
    assert "this-machine" in pages[0]
    document = json.loads(min((tmp_path / "demo" / "reports").glob("*.json")).read_text())
    windows = {row["host"]: row for row in document["hosts"] if row["transport"] == "winrm"}
    assert {name: row["outcome"] for name, row in windows.items()} == {"lab-erp-01": "findings", "lab-iis-01": "findings"}
    assert {found["check"] for found in windows["lab-iis-01"]["findings"]} == {"win-cert", "win-reboot"}
    if why_not():
        assert "captured answers cannot be repaired" in done.stdout
    else:
        assert "1 of 1 finding is fixed." in pages[1]
        assert "/var/log/postgresql/postgresql-15-main.log.2.gz" in pages[1]
        assert "this-machine" not in pages[1]
    assert keeper.running(tmp_path / "demo") is None


def test_where_there_is_no_real_shell_the_demo_says_so_and_plays_the_scenarios(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    lab = keeper.Lab(folder=tmp_path, pid=1, hosts=(), shell=Shell.ANSWERS, why="refused")
    monkeypatch.setattr(keeper, "running", lambda home: lab)
    assert demo.repaired()
    out = capfd.readouterr().out
    assert "captured answers cannot be repaired" in out
    assert "$ longarm --home demo playbook test free-disk-space" in out
    assert "longarm repair" not in out
