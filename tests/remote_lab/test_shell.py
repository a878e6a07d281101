"""Real shells over SSH, as callers have them, and how a lab chooses between them and captured answers."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import asyncssh
import pytest

from diagnostics.library.linux.package_lists import parse_lists
from diagnostics.library.linux.packages import parse_reboot
from inventory.own import load_inventory
from remote.answer import Answer, answered
from remote.known_hosts import KnownHosts
from remote.lab import keeper
from remote.lab.keeper import Lab
from remote.lab.scenarios import Behaviour, scenarios
from remote.lab.shell import Shell, why_not
from tests.remote_lab.inside import mounts_of_a_shell, processes_in

LONGARM = Path(sys.executable).with_name("longarm")
real = pytest.mark.skipif(bool(why_not()), reason=f"no real shell on this machine: {why_not()}")


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path
    keeper.down(tmp_path)


def connect(home: Path, lab: Lab) -> Any:
    host = lab.hosts[0]
    trust = KnownHosts(home / "known_hosts").trust(load_inventory([lab.inventory]).hosts[host.name])
    return asyncssh.connect(
        "127.0.0.1",
        host.port,
        username="anyone",
        client_keys=[str(lab.folder / "keys" / "client")],
        known_hosts=([asyncssh.import_public_key(trust.keys[0].line)], [], []),
        config=None,
    )


def gone(inside: str) -> bool:
    """Return whether a namespace of processes is empty, after a while for the kernel to see to it."""
    for _ in range(200):
        if not processes_in(inside):
            return True
        time.sleep(0.05)
    return False


@real
async def test_any_command_can_be_tried_and_what_was_not_captured_is_refused(home: Path) -> None:
    async with connect(home, keeper.up(home, 1, shell=Shell.REAL)) as connection:
        done = await connection.run("timedatectl show -p NTPSynchronized -p NTP; df -h; chronyc tracking; exit 5")
        assert done.stdout == "NTP=yes\nNTPSynchronized=yes\n"
        assert done.stderr == "practice host: not captured: df -h\n/bin/sh: 1: chronyc: not found\n"
        assert done.exit_status == 5
        assert (await connection.run("wc -c", input="x" * 300_000)).stdout.strip() == "300000"
        assert (await connection.run(input="echo by stdin; exit 3\n")).exit_status == 3


@real
async def test_a_caller_who_leaves_takes_everything_with_them(home: Path) -> None:
    connection = await connect(home, keeper.up(home, 1, shell=Shell.REAL))
    process = await connection.create_process("readlink /proc/self/ns/pid; trap '' HUP TERM; (sleep 600 &) ; sleep 600")
    inside = (await process.stdout.readline()).strip()
    assert processes_in(inside)
    connection.abort()
    assert await asyncio.to_thread(gone, inside)


@real
@pytest.mark.parametrize("way", ["down", "killed"])
async def test_a_lab_that_ends_leaves_no_process_no_mount_and_no_file(home: Path, way: str) -> None:
    lab = keeper.up(home, 1, shell=Shell.REAL)
    connection = await connect(home, lab)
    process = await connection.create_process("readlink /proc/self/ns/pid; trap '' HUP TERM; sleep 600 & wait")
    inside = (await process.stdout.readline()).strip()
    assert processes_in(inside)
    if way == "killed":
        os.kill(lab.pid, signal.SIGKILL)
    else:
        assert keeper.down(home)
    assert gone(inside)
    keeper.down(home)
    assert mounts_of_a_shell() == set()
    assert not lab.folder.exists()
    connection.abort()


@real
def test_what_lasted_on_a_host_ends_with_the_lab(home: Path) -> None:
    lab = keeper.up(home, 2, shell=Shell.REAL)
    rooms = Path((lab.folder / "rooms").read_text())
    assert sorted(room.name for room in rooms.iterdir()) == ["lab-db-01-0", "lab-db-01-1"]
    keeper.down(home)
    assert not rooms.exists()


@real
def test_worlds_are_private(home: Path) -> None:
    lab = keeper.up(home, 1, shell=Shell.REAL)
    assert lab.shell is Shell.REAL
    assert (lab.folder / "worlds").stat().st_mode & 0o077 == 0
    assert all(file.stat().st_mode & 0o077 == 0 for file in (lab.folder / "worlds").iterdir())


def test_without_a_real_shell_answers_speak_and_the_reason_is_kept(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keeper, "why_not", lambda: "no room for namespaces")
    assert keeper.up(home, 1) == keeper.running(home)
    lab = keeper.running(home)
    assert lab
    assert (lab.shell, lab.why) == (Shell.ANSWERS, "no room for namespaces")
    assert not (lab.folder / "worlds").exists()
    keeper.down(home)
    with pytest.raises(keeper.NoRealShell, match="no room for namespaces") as refused:
        keeper.up(home, 1, shell=Shell.REAL)
    assert str(refused.value.hint) == "longarm lab up --shell answers"
    assert keeper.running(home) is None


def test_who_asks_for_answers_gets_them_and_nothing_is_tried(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keeper, "why_not", lambda: pytest.fail("tried"))
    lab = keeper.up(home, 1, shell=Shell.ANSWERS)
    assert (lab.shell, lab.why) == (Shell.ANSWERS, "")


def diagnosis(home: Path, shell: Shell) -> dict[str, dict[str, Any]]:
    """Return what longarm says of each practice host: of each check, of each finding, and what explains what."""
    lab = keeper.up(home, len(scenarios()), shell=shell)
    said = home / "answers.jsonl"
    command = [str(LONGARM), "--home", str(home), "diagnose", "all", "--json", "--answers", str(said)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240, check=False)
    keeper.down(home)
    packages = dict(of_packages(map(json.loads, said.read_text().splitlines())))
    assert done.returncode == 4, done.stderr  # one host shows another key
    return {
        next(one.scenario for one in lab.hosts if one.name == host["host"]): {
            "outcome": host["outcome"],
            "packages": packages.get(host["host"]),
            "checks": {row["check"]: row["verdict"] for row in host["checks"]},
            "findings": sorted(
                (found["check"], json.dumps(found["subject"], sort_keys=True), found["severity"]) for found in host["findings"]
            ),
            "links": sorted((by_id(host, link["cause"]), by_id(host, link["effect"]), link["rule"]) for link in host["links"]),
        }
        for host in json.loads(done.stdout)["hosts"]
    }


def of_packages(answers: Iterable[Mapping[str, Any]]) -> Iterator[tuple[str, Any]]:
    """Yield by host how old its lists and kernels are: a rule for a script of yesterday would let the machine answer."""
    found: dict[str, dict[str, Answer]] = {}
    for one in answers:
        found.setdefault(one["host"], {})[one["probe"]] = answered(one["stdout"].encode())
    for host, by_probe in found.items():
        if "pkg.lists" not in by_probe:  # a Windows host
            continue
        lists, reboot = parse_lists(by_probe["pkg.lists"]), parse_reboot(by_probe["pkg.reboot"])
        yield host, [{name: fact for name, fact in facts.items() if name != "at"} for facts in (lists, reboot)]


def by_id(host: dict[str, Any], finding: str) -> str:
    return next(
        f"{row['check']} {json.dumps(row['subject'], sort_keys=True)}" for row in host["findings"] if row["id"] == finding
    )


@pytest.mark.long
@real
def test_a_real_shell_and_captured_answers_lead_to_the_same_diagnosis_in_every_scenario(tmp_path: Path) -> None:
    answers, shell = diagnosis(tmp_path / "answers", Shell.ANSWERS), diagnosis(tmp_path / "shell", Shell.REAL)
    assert set(answers) == set(scenarios())
    ill = {name for name, said in answers.items() if said["findings"]}
    windows = {"windows-clock", "windows-portal", "windows-queue"}
    assert ill == {"full-disk", "oom-loop", "dead-dns", "clock", "broken-packages"} | windows
    assert sum(scenario.behaviour is Behaviour.ANSWERS for scenario in scenarios().values()) == 10
    assert shell == answers


@real
def test_sudo_refuses_where_the_scenario_has_no_root(tmp_path: Path) -> None:
    lab = keeper.up(tmp_path, len(scenarios()), shell=Shell.REAL)
    (shop,) = (host.name for host in lab.hosts if host.scenario == "no-root")
    command = [str(LONGARM), "--home", str(tmp_path), "diagnose", shop, "--json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    keeper.down(tmp_path)
    (host,) = json.loads(done.stdout)["hosts"]
    assert host["denied_root"].endswith("sudo: a password is required")
