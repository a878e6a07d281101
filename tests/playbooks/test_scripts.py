"""The scripts of native actions: shellcheck finds nothing, PowerShell can be parsed, Windows hosts are asked in PowerShell."""

from __future__ import annotations

import asyncio
import base64
import re
import subprocess
from pathlib import Path

import pytest

from inventory.documents import parse_document
from inventory.errors import Place
from inventory.host import Host, Platform
from playbooks.actions.native import script
from playbooks.foresight import foresee
from playbooks.interpreter import play
from playbooks.keys import Script
from playbooks.load import read_playbook
from playbooks.powershell_lint import check_powershell, parser
from playbooks.results import StepState
from playbooks.shell_lint import shellcheck
from playbooks.testing import FakeHands, StepScript, done, said
from tests.playbooks.playing import HEAD, ports

ROOT = Path(__file__).parent.parent.parent
SCRIPTS = ROOT / "playbooks" / "actions" / "scripts"
VARIABLES = ("path", "limit", "what", "target", "packed", "validate", "name", "does", "port", "creates")


def test_shellcheck_finds_nothing() -> None:
    program = shellcheck()
    assert program
    files = [str(path) for path in sorted(SCRIPTS.glob("*.sh"))]
    found = subprocess.run([program, "--norc", *files], capture_output=True, check=False, text=True)
    assert found.returncode == 0, found.stdout


@pytest.mark.parametrize("path", sorted(SCRIPTS.glob("*.ps1")), ids=lambda path: path.name)
def test_what_windows_gets_is_powershell(path: Path) -> None:
    text = script(path.name)
    assert parser() is not None
    found = [str(issue) for issue in check_powershell(Script(text=text, place=Place(path.name, 1, 1)), VARIABLES)]
    assert found == []


@pytest.mark.parametrize("path", sorted(ROOT.glob("[!.]*/**/*.ps1")), ids=lambda path: path.name)
def test_nothing_is_handed_to_a_file_as_an_empty_name(path: Path) -> None:
    """$null becomes "" where .NET wants a text, and File.Replace refuses a backup of that name: [NullString]::Value is none."""
    assert re.findall(r"\[(?:System\.)?IO\.[\w.]+\]::\w+\([^\n]*,\s*\$null\s*\)", path.read_text("utf-8")) == []


def test_a_new_content_that_is_not_put_is_not_left_behind() -> None:
    text = script("file_put.ps1")
    assert "[IO.File]::Replace($file, $path, [NullString]::Value)" in text
    assert text.index("try {") < text.index("WriteAllBytes") < text.index("} finally {")
    assert text.rstrip().endswith("if (-not $LaPut -and [IO.File]::Exists($file)) { [IO.File]::Delete($file) }\n}")


def test_what_judges_a_new_content_counts_by_its_program_and_its_errors() -> None:
    """$? says nothing of what ran within a block that was called; the status of an earlier program is none of this one."""
    text = script("file_put.ps1")
    assert "$?" not in text
    before, judged, after = text.partition("[ScriptBlock]::Create($validate)")
    assert "$global:LASTEXITCODE = 0" in before
    assert "if ($LaErrors -or $global:LASTEXITCODE) { throw" in after
    assert judged and after.index("throw") < after.index("::Move(")


def test_a_link_to_a_folder_is_a_link() -> None:
    text = script("file_look.ps1")
    assert text.index("LinkType") < text.index("PSIsContainer")
    assert "Remove-Item -LiteralPath $path -Force -Recurse:" in script("file_set.ps1").partition("LinkType")[2]


def test_a_link_to_a_folder_is_led_elsewhere_and_goes_by_itself_on_windows() -> None:
    link = said(b"link -:-:-:0\r\nfolder\r\nC:\\old\r\n")
    there = said(b"link -:-:-:0\r\nfolder\r\nC:\\new\r\n")
    steps = "  - file: {path: 'C:\\at', state: link, target: 'C:\\new'}\n"
    states, hands = windows(steps, {"s1": StepScript(looks=[link, there], changes=[done()])})
    assert states == [StepState.CHANGED] and "[string]$what = 'link'\n" in hands.sent[0][1].script
    steps = "  - file: {path: 'C:\\at', state: absent, recursive: true}\n"
    states, hands = windows(steps, {"s1": StepScript(looks=[link, said(b"absent -:-:-:0\r\n\r\n")], changes=[done()])})
    assert states == [StepState.CHANGED] and "[string]$what = 'absent'\n" in hands.sent[0][1].script


def test_a_folder_that_lies_elsewhere_is_a_folder_on_windows_and_no_file_takes_its_place() -> None:
    link = said(b"link -:-:-:0\r\nfolder\r\nD:\\logs\r\n")
    states, hands = windows("  - file: {path: 'C:\\logs', state: directory}\n", {"s1": StepScript(looks=[link])})
    assert (states, hands.sent) == ([StepState.OK], [])
    states, hands = windows("  - file: {path: 'C:\\logs', content: new}\n", {"s1": StepScript(looks=[link])})
    assert (states, hands.sent) == ([StepState.REFUSED], [])


def test_what_is_at_the_place_of_a_new_file_is_there_until_that_is() -> None:
    """A link was deleted first; where the move failed, neither was there."""
    text = script("file_put.ps1")
    aside, put, back = (text.index(f"$LaLinks::{what}") for what in ("Move($path", "Delete(", "Move($LaAside"))
    assert aside < back < put
    assert "a volume is mounted there" in script("file_set.ps1")


WINDOWS = Host(name="win01", address="192.0.2.2", platform=Platform.WINDOWS)
FILE = b"file -:-:-:3\r\nbase64\r\n" + base64.b64encode(b"old") + b"\r\n"
NEW = b"file -:-:-:3\r\nbase64\r\n" + base64.b64encode(b"new") + b"\r\n"


def windows(steps: str, script: dict[str, StepScript]) -> tuple[list[StepState], FakeHands]:
    text = HEAD.replace("[linux]", "[windows]") + "steps:\n" + steps
    playbook = read_playbook(parse_document(text.encode(), "p.yaml"), "0" * 64)
    hands = FakeHands(script=script, host=WINDOWS)
    outcome = asyncio.run(play(playbook, {}, {}, ports(hands)))
    return [step.state for step in outcome.steps], hands


def test_a_file_on_windows() -> None:
    steps = "  - file: {path: 'C:\\x.txt', content: new}\n"
    states, hands = windows(steps, {"s1": StepScript(looks=[said(FILE), said(NEW)], changes=[done()])})
    assert states == [StepState.CHANGED]
    assert all(question.shell == "powershell" for question in hands.asked)
    (_, command), *_ = hands.sent
    assert command.variables == {} and command.stdin is None
    assert f"[string]$packed = '{base64.b64encode(b'new').decode()}'" in command.script
    same, hands = windows(steps, {"s1": StepScript(looks=[said(NEW)])})
    assert same == [StepState.OK] and hands.sent == []


def test_services_scripts_and_reboots_on_windows() -> None:
    steps = """\
  - service: {name: Spooler, state: started, enabled: true}
  - powershell: Remove-Item -LiteralPath $file
    vars: {file: '"C:\\\\it''s"'}
    unless: if (Test-Path $file) { exit 1 }
  - wait_for: {port: 443}
  - reboot: {settle: 10s}
"""
    looks = [said(b"boot 20260101000000\r\nneeded no\r\n"), said(b"boot 20260102000000\r\nneeded no\r\n")]
    states, hands = windows(
        steps,
        {
            "s1": StepScript(
                looks=[said(b"service windows yes no no\r\n"), said(b"service windows yes yes yes\r\n")], changes=[done()]
            ),
            "s2": StepScript(looks=[said(exit_status=1)], changes=[done()]),
            "s3": StepScript(looks=[said()]),
            "s4": StepScript(looks=looks, changes=[done()]),
        },
    )
    assert states == [StepState.CHANGED, StepState.CHANGED, StepState.OK, StepState.CHANGED]
    assert "[string]$does = 'enable start'\n" in hands.sent[0][1].script
    assert hands.sent[1][1].script == "[string]$file = 'C:\\it''s'\nRemove-Item -LiteralPath $file"


def test_a_reboot_is_proven_by_another_boot_id() -> None:
    steps = "  - reboot: {only_if_needed: true}\n    deadline: 60s\n"
    boot = "boot 11111111-1111-1111-1111-%012d\nneeded %s\n"

    def rebooted(*looks: str, returns: bool = True) -> StepState:
        playbook = read_playbook(parse_document((HEAD + "steps:\n" + steps).encode(), "p.yaml"), "0" * 64)
        hands = FakeHands(
            script={"s1": StepScript(looks=[said(look.encode()) for look in looks], changes=[done()])}, returns=returns
        )
        return asyncio.run(play(playbook, {}, {}, ports(hands))).steps[0].state

    assert rebooted(boot % (1, "no")) is StepState.OK
    assert rebooted(boot % (1, "yes"), boot % (1, "yes"), boot % (2, "no")) is StepState.CHANGED
    assert rebooted(boot % (1, "yes")) is StepState.FAILED, "the same boot id: it was not started anew"
    assert rebooted(boot % (1, "yes"), returns=False) is StepState.UNKNOWN
    assert rebooted("nonsense") is StepState.UNDECIDED


def test_a_host_that_settles_down_as_yet_another_boot_is_for_a_person() -> None:
    boot = "boot 11111111-1111-1111-1111-%012d\nneeded no\n"
    steps = "  - reboot: {settle: 30s}\n    deadline: 120s\n"
    playbook = read_playbook(parse_document((HEAD + "steps:\n" + steps).encode(), "p.yaml"), "0" * 64)
    for last, state in ((2, StepState.CHANGED), (3, StepState.UNKNOWN)):
        looks = [said((boot % number).encode()) for number in (1, 2, last)]
        hands = FakeHands(script={"s1": StepScript(looks=looks, changes=[done()])})
        (step,) = asyncio.run(play(playbook, {}, {}, ports(hands))).steps
        assert (step.state, step.data["boot_id_after"][-1]) == (state, str(last))


def test_a_plan_of_a_reboot_reads_alone() -> None:
    playbook = read_playbook(parse_document((HEAD + "steps:\n  - reboot: {}\n").encode(), "p.yaml"), "0" * 64)
    hands = FakeHands(script={"s1": StepScript(looks=[said(b"boot 11111111-1111-1111-1111-111111111111\nneeded no\n")])})
    (plan,) = asyncio.run(foresee(playbook, {}, {}, ports(hands)))
    assert plan.forecast.changes and hands.sent == []
