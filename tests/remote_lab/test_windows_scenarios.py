"""Practice Windows hosts as the lab starts them: reached with the trainee's certificate, their own certificates enrolled."""

from __future__ import annotations

import json
import ssl
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from inventory.host import Platform, Transport
from inventory.own import load_inventory
from remote.answer import answered
from remote.host_keys import CERTIFICATE
from remote.known_hosts import KnownHosts
from remote.lab import keeper
from remote.lab.captures import NoCapture, taken_at
from remote.lab.certificates import make_certificate
from remote.lab.moments import Moved
from remote.lab.scenarios import scenarios
from remote.lab.shell import Shell
from remote.lab.windows.faults import RUSSIAN

LONGARM = Path(sys.executable).with_name("longarm")
WINDOWS = {name for name, scenario in scenarios().items() if scenario.platform is Platform.WINDOWS}
TAKEN = datetime(2026, 11, 29, 8, 59, 52, tzinfo=UTC)


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path
    keeper.down(tmp_path)


def diagnosed(home: Path, *hosts: str, code: int = 1) -> dict[str, Any]:
    command = [str(LONGARM), "--home", str(home), "diagnose", ",".join(hosts), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == code, done.stderr
    return {host["host"]: host for host in json.loads(done.stdout)["hosts"]}


def test_two_windows_hosts_are_handed_out_with_the_others_and_a_russian_one_behind_them() -> None:
    handed_out = {scenario.name for _, scenario in keeper.planned_hosts(11)}
    assert handed_out & WINDOWS == {"windows-clock", "windows-portal"}
    assert {scenario.name for _, scenario in keeper.planned_hosts(12)} >= WINDOWS


def test_they_are_reached_and_tell_their_stories(home: Path) -> None:
    lab = keeper.up(home, 11, shell=Shell.ANSWERS)
    by_scenario = {host.scenario: host.name for host in lab.hosts if host.scenario in WINDOWS}
    known = load_inventory([lab.inventory]).hosts
    for name in by_scenario.values():
        assert (known[name].transport, known[name].platform) == (Transport.WINRM, Platform.WINDOWS)
        assert [key.type for key in KnownHosts(home / "known_hosts").trust(known[name]).keys] == [CERTIFICATE]
    said = diagnosed(home, *by_scenario.values())
    clock, portal = said[by_scenario["windows-clock"]], said[by_scenario["windows-portal"]]
    assert {found["check"] for found in clock["findings"]} == {
        "win-time",
        "win-time-unsync",
        "win-domain",
        "win-gpo",
        "win-logon",
    }
    assert len([link for link in clock["links"] if link["rule"].startswith("wrong-clock")]) == 3
    assert {found["check"] for found in portal["findings"]} == {"win-cert", "win-reboot"}
    (late,) = [found for found in clock["findings"] if found["check"] == "win-time"]
    assert 2700 < late["params"]["seconds"] < 2900, "its clock is as wrong as it was, whenever it is asked"
    assert all(host["outcome"] == "findings" for host in said.values())


def test_a_russian_host_tells_its_story_too(home: Path) -> None:
    lab = keeper.up(home, 12, shell=Shell.ANSWERS)
    (name,) = [host.name for host in lab.hosts if host.scenario == "windows-queue"]
    row = diagnosed(home, name, code=3)[name]  # one of its checks cannot be seen
    stuck = {one["subject"]["printer"] for one in row["findings"] if one["check"] == "win-print-jobs"}
    assert stuck == {"Принтер бухгалтерии (2 этаж)", "Склад «Север»"}
    assert scenarios()["windows-queue"].language == RUSSIAN


SHELLS = {
    "lab-erp-01": "PowerShell 5.1.14393.7426, Windows 10.0.14393.0, FullLanguage",
    "lab-iis-01": "PowerShell 5.1.20348.2849, Windows 10.0.20348.0, FullLanguage",
}


def test_they_answer_whoever_looks_whether_they_are_there(home: Path) -> None:
    def said(*words: str) -> tuple[int, str]:
        command = [str(LONGARM), "--home", str(home), *words]
        done = subprocess.run(command, capture_output=True, text=True, timeout=240, check=False)
        return done.returncode, done.stdout

    keeper.up(home, 11, shell=Shell.ANSWERS)
    (home / "probes.yaml").write_text("- {probe: own.x, script: Get-Date, parse: none, platforms: [windows]}\n")
    for host, shell in SHELLS.items():
        assert said("host", "ping", host, "-q")[0] == 0
        code, out = said("doctor", "--host", host, "--json")
        rows = {row["what"]: row for row in json.loads(out)}
        assert (code, {row["state"] for row in rows.values()}) == (0, {"ok"}), out
        assert rows["shell"]["detail"] == shell
        code, out = said("host", "facts", host, "--json")
        assert (code, json.loads(out)["facts"]["win.system"]["server"]) == (0, True), out
        code, out = said("host", "get", host, r"C:\Logs\app.log")
        assert (code, "there is no such file" in out) == (1, True), out
    assert said("diagnose", "lab-erp-01", "--probes", str(home / "probes.yaml"), "--answers", str(home / "answers"))[0] == 3
    (line,) = [json.loads(line) for line in (home / "answers").read_text().splitlines()]
    assert (line["rc"], line["stderr"]) == (1, "practice host: not captured: own.x")


def test_papers_are_private_and_gone_with_the_lab(home: Path) -> None:
    lab = keeper.up(home, 11, shell=Shell.ANSWERS)
    papers = list((lab.folder / "keys").iterdir())
    assert len([path for path in papers if path.suffix == ".pem"]) == 3
    assert all(path.stat().st_mode & 0o077 == 0 for path in papers)
    assert keeper.down(home) and not lab.folder.exists()
    assert not KnownHosts(home / "known_hosts").names()


def test_who_has_no_windows_host_has_no_credential_for_one(home: Path) -> None:
    lab = keeper.up(home, 1, shell=Shell.ANSWERS)
    assert "lab-windows" not in lab.inventory.read_text()
    assert [path.name for path in (lab.folder / "keys").iterdir()] == ["client"]


def test_times_in_answers_move_with_the_clock_and_nothing_else_does() -> None:
    text = b'{"Now":"2026-11-29T09:00:00.1234567Z","To":"2027-01-31T23:59:59.0000000Z","Version":"2026-11-29T09","Id":20261129}'
    clock = [TAKEN + timedelta(days=400), TAKEN + timedelta(days=400, seconds=1)]
    moved = Moved({"win.time": answered(text), "other": answered(b"")}, TAKEN, lambda: clock.pop(0))
    first, second = moved["win.time"].stdout, moved["win.time"].stdout
    assert json.loads(first) == {
        "Now": "2028-01-03T09:00:00.1234567Z",
        "To": "2028-03-06T23:59:59.0000000Z",
        "Version": "2026-11-29T09",
        "Id": 20261129,
    }
    assert b"09:00:01.1234567Z" in second
    assert (sorted(moved), len(moved)) == (["other", "win.time"], 2)


def test_a_file_that_does_not_say_when_it_was_taken_is_refused() -> None:
    with pytest.raises(NoCapture):
        taken_at(b'{"evidence":{"taken_at":"yesterday"}}', "x")


def test_a_certificate_is_whole_and_is_not_written_over(tmp_path: Path) -> None:
    path = tmp_path / "a.pem"
    der = make_certificate("lab-erp-01", path)
    assert der == ssl.PEM_cert_to_DER_cert(path.read_text().partition("-----END PRIVATE KEY-----\n")[2])
    with pytest.raises(FileExistsError):
        make_certificate("lab-erp-01", path)
