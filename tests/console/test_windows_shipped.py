"""The shipped repairs of Windows on the command line: a practice host that is ill until the right thing is done to it."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from playbooks.actions.native import script
from playbooks.load import SHIPPED
from remote.answer import Answer, answered
from remote.lab.captures import read_captures
from remote.lab.windows.faults import ENGLISH, RUSSIAN
from remote.lab.windows.host import WindowsHost
from remote.lab.windows.machine import Machine
from remote.lab.windows.replies import Captured
from remote.lab.windows.works import Ran, Works
from tests.console.conftest import Console
from tests.remote_lab.windows_hosts import PASSWORD, USER, listening, ntlm_accounts
from tests.remote_windows.conftest import practice

__all__ = ["ntlm_accounts"]
pytestmark = pytest.mark.usefixtures("ntlm_accounts")
WORD = {"LONGARM_TEST_WORD": PASSWORD}
CAPTURES = Path(__file__).parent.parent / "data" / "captures"


def captured(name: str) -> Mapping[str, Answer]:
    return read_captures((CAPTURES / f"{name}.evidence").read_bytes(), name)


@dataclass
class Ill(Mapping[str, Answer]):
    """What a host answers that is as one capture until it is mended, then as another."""

    before: Mapping[str, Answer]
    after: Mapping[str, Answer] = field(default_factory=lambda: captured("win-2022-healthy"))
    machine: Machine = field(default_factory=Machine)
    mended: bool = False
    services: dict[str, bool] = field(default_factory=dict)
    """Which of those run that repairs stop and start."""
    looks: dict[str, Callable[[], str]] = field(default_factory=dict)
    """What the steps of the playbook are told that look, by their keys."""
    unstartable: bool = False
    version: str = "5.1.20348.2849"
    """Of its PowerShell."""
    language: str = ENGLISH

    def __getitem__(self, question: str) -> Answer:
        key = question.removeprefix("step.")
        if key in self.looks:
            return answered(self.looks[key]().encode())
        if key != question or question == "hello":
            return answered(b"")
        return (self.after if self.mended else self.before)[question]

    def __iter__(self) -> Iterator[str]:
        return iter(self.before)

    def __len__(self) -> int:
        return len(self.before)

    def service(self, name: str) -> str:
        return f"service windows yes {'yes' if self.services[name] else 'no'} yes\r\n"

    def apply(self, text: str) -> Ran:
        """Stop or start a service as the action `service` does it."""
        given = dict(re.findall(r"^\[string\]\$(\w+) = '(.*)'$", text, re.MULTILINE))
        if given["does"] == "start" and self.unstartable:
            return Ran(stderr="Service 'Print Spooler (Spooler)' cannot be started\n", exit_status=1)
        self.services[given["name"]] = given["does"] == "start"
        return Ran()

    def host(self, commands: Mapping[str, Any]) -> WindowsHost:
        works = Works({**commands, script("service_apply.ps1"): self.apply}, machine=self.machine)
        return practice(program=Captured(answers=self, version=self.version, works=works), language=self.language)


def repaired(console: Console, host: WindowsHost, playbook: str, *words: str, code: int) -> dict[str, Any]:
    """Repair the host and return its row, with the page of the report under `page`."""
    with listening(host) as port:
        console.inventory(
            f"credentials: {{ops: {{user: {USER}, password: {{env: LONGARM_TEST_WORD}}}}}}\nhosts:\n"
            f"  win1: {{address: 127.0.0.1, port: {port}, transport: winrm, credential: ops, winrm: {{scheme: http}}}}\n"
        )
        done = console("repair", playbook, "win1", *words, "--yes", "--json", environ=WORD)
    assert done.code == code, (done.out, done.err)
    document = done.json()
    (row,) = document["hosts"]
    page = console("report", "render", document["run"]).out
    return {**row, "page": page, "document": document}


def states(row: Mapping[str, Any]) -> list[str]:
    return [f"{step['key']} {step['state']}" for step in (*row["repair"]["steps"], *row["repair"]["undone"])]


def fixes(row: Mapping[str, Any]) -> dict[str, str]:
    return {one["check"]: one["fix"] for one in row["repair"]["verdicts"]}


def hasty(console: Console, name: str) -> str:
    """Return a shipped playbook as a file whose host is left alone for a second before it is asked again."""
    path = console.home.parent / f"{name}.yaml"
    path.write_text(re.sub(r"settle: \d+s", "settle: 1s", (SHIPPED / f"{name}.yaml").read_text()))
    return str(path)


MOVES = "Move-Item -Destination $aside -Force\n"
PUTS_BACK = "  Remove-Item -LiteralPath $aside\n}\n"


def spooler() -> tuple[Ill, dict[str, Any]]:
    """Return a host whose queue is stuck until its old jobs are moved aside."""
    ill = Ill(before=captured("win-10-ru"), services={"Spooler": True}, version="5.1.19041.5129", language=RUSSIAN)
    ill.looks = {key: lambda: ill.service("Spooler") for key in ("s2", "s2.r1", "s4")}
    ill.looks["s1"] = lambda: "date=20261129090000\r\n"
    ill.looks["s3"] = lambda: "" if ill.mended else "00042.SPL 81920\r\n"

    def moved(text: str) -> Ran:
        assert "[string]$date = '20261129090000'\n" in text
        ill.mended = not ill.services["Spooler"]  # files that are printed cannot be moved
        return Ran()

    return ill, {MOVES: moved}


def test_jobs_that_are_stuck_are_moved_aside_and_the_spooler_runs_again(console: Console) -> None:
    ill, commands = spooler()
    row = repaired(console, ill.host(commands), "restart-spooler", code=0)
    assert states(row) == ["s1 ok", "s2 changed", "s3 changed", "s4 changed"]
    assert (row["repair"]["change"], fixes(row)["win-print-jobs"]) == ("changed", "fixed")
    before = [(one["subject"], one["after"]) for one in row["repair"]["verdicts"] if one["check"] == "win-print-jobs"]
    assert before == [("printer=Принтер бухгалтерии (2 этаж)", None), ("printer=Склад «Север»", None)]
    assert "Принтер бухгалтерии" in row["page"] and "00042.SPL 81920" in row["page"], "what was found, and what was moved"
    assert ill.services == {"Spooler": True}
    assert ill.machine.remains() == ["C:\\ProgramData\\longarm", "C:\\ProgramData\\longarm\\fence"]


def test_a_spooler_that_does_not_start_gets_its_jobs_back(console: Console) -> None:
    ill, commands = spooler()
    ill.unstartable = True

    def back(text: str) -> Ran:
        assert "[string]$date = '20261129090000'\n" in text, "the jobs of this run, no earlier one's"
        ill.mended = False
        return Ran()

    row = repaired(console, ill.host({**commands, PUTS_BACK: back}), hasty(console, "restart-spooler"), code=1)
    assert states(row)[:5] == ["s1 ok", "s2 changed", "s3 changed", "s4 failed", "s3.r1 changed"]
    assert row["outcome"] == "failed" and fixes(row)["win-print-jobs"] == "unchanged"
    assert "cannot be started" in row["page"]


def updates(found: int) -> tuple[Ill, dict[str, Any]]:
    """Return a host whose updates fail, and which finds them with this result once its stores are new."""
    ill = Ill(before=captured("win-2019-full-drive"), version="5.1.17763.6414")
    ill.looks = {
        "s1": lambda: "date=20261129090000\r\n",
        "s2": lambda: "C:\\Windows\\SoftwareDistribution\r\n",
        "s3": lambda: "Windows Update is asked\r\n",
    }
    aside = {"new": False}

    def put(text: str) -> Ran:
        assert "[string]$date = '20261129090000'\n" in text, "the store of this run, no earlier one's"
        aside["new"] = "unused" not in text
        return Ran()

    def scanned(_: str) -> Ran:
        ill.mended = aside["new"] and found == 2
        return Ran(stdout=f"result {found}, updates 4\n", exit_status=0 if found == 2 else 1)

    starts = "foreach ($name in 'cryptsvc', 'bits', 'wuauserv') { Start-Service -Name $name }\n"
    return ill, {starts: put, "if ($found.ResultCode -ne 2) { exit 1 }\n": scanned}


def test_windows_update_begins_anew_and_finds_updates(console: Console) -> None:
    ill, commands = updates(2)
    row = repaired(console, ill.host(commands), "reset-windows-update", code=0)
    assert states(row) == ["s1 ok", "s2 changed", "s3 changed"]
    assert (row["outcome"], row["repair"]["change"], fixes(row)) == ("ok", "changed", {"win-wu-failed": "fixed"})
    assert "KB5044277" in row["page"] and "result 2, updates 4" in row["page"]


def test_a_scan_that_fails_brings_the_old_stores_back(console: Console) -> None:
    ill, commands = updates(4)
    row = repaired(console, ill.host(commands), hasty(console, "reset-windows-update"), code=1)
    assert states(row) == ["s1 ok", "s2 changed", "s3 failed", "s2.r1 changed"]
    assert (row["outcome"], fixes(row)) == ("failed", {"win-wu-failed": "unchanged"})


def test_a_windows_host_is_started_anew_and_its_boot_proves_it(console: Console) -> None:
    ill = Ill(before=captured("win-2025-ps7"), version="7.4.6")
    ill.looks = {"s2": lambda: f"boot {ill.machine.boot}\r\nneeded {'no' if ill.mended else 'yes'}\r\n"}
    before = ill.machine.boot
    hosts: list[WindowsHost] = []

    def rebooted() -> None:
        ill.mended = True
        ill.machine.reboot()
        hosts[0].service.shells.lose_all()

    def shutdown(_: str) -> Ran:
        asyncio.get_running_loop().call_later(1.0, rebooted)
        return Ran()

    hosts.append(ill.host({script("boot_apply.ps1"): shutdown}))
    row = repaired(console, hosts[0], hasty(console, "reboot"), code=0)
    skipped, step = row["repair"]["steps"]
    assert skipped["state"] == "skipped"
    assert (step["state"], step["diff"]) == ("changed", [f"-boot {before}", f"+boot {ill.machine.boot}"])
    assert before != ill.machine.boot and (row["outcome"], row["repair"]["change"]) == ("ok", "changed")
    assert fixes(row)["win-reboot"] == "fixed"
    assert f"+boot {ill.machine.boot}" in row["page"]


PROBES = r"""
- probe: app.release
  platforms: [windows]
  script: Write-Json @{ Version = (Get-Item C:\App\app.exe).VersionInfo.FileVersion; Workers = 4 }
  parse: json
  shape: {Version: str, Workers: int}
- probe: app.lines
  platforms: [windows]
  script: Get-Content C:\App\state.txt; exit 259
  ok_statuses: [0, 259]
  parse: lines
- probe: app.linux
  script: cat /opt/app/release
"""


def test_probes_of_ones_own_are_asked_of_windows_hosts(console: Console, tmp_path: Path) -> None:
    said = {
        "app.release": answered(b'{"Version":"4.2.0.1","Workers":4}'),
        "app.lines": answered("готово\r\n".encode(), exit_status=259),
    }
    (probes := tmp_path / "probes.yaml").write_text(PROBES)
    with listening(practice(program=Captured(answers=said))) as port:
        console.inventory(
            f"credentials: {{ops: {{user: {USER}, password: {{env: LONGARM_TEST_WORD}}}}}}\nhosts:\n"
            f"  win1: {{address: 127.0.0.1, port: {port}, transport: winrm, credential: ops, winrm: {{scheme: http}}}}\n"
        )
        done = console("diagnose", "win1", "--probes", str(probes), "--json", "--answers", str(tmp_path / "a"), environ=WORD)
    assert done.code == 0, (done.out, done.err)
    (row,) = done.json()["hosts"]
    assert row["outcome"] == "ok"
    answers = (tmp_path / "a").read_text().splitlines()
    assert len(answers) == 2 and "4.2.0.1" in answers[0] + answers[1] and "готово" in answers[0] + answers[1]
