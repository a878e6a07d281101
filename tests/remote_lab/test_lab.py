"""Practice hosts as they run: real SSH servers that live in one process of their own and end when told to."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import asyncssh
import pytest

from inventory.own import load_inventory
from remote.known_hosts import KnownHosts
from remote.lab import keeper
from remote.lab.process import end, started_at
from remote.lab.scenarios import Behaviour, scenarios
from remote.lab.shell import Shell


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path
    keeper.down(tmp_path)


def test_every_scenario_says_what_one_can_learn_in_both_languages() -> None:
    assert {"healthy", "full-disk", "oom-loop", "dead-dns", "clock", "broken-packages"} <= set(scenarios())
    for scenario in scenarios().values():
        for words in (scenario.title, scenario.learn):
            assert set(words) == {"en", "ru"}
            assert all(words.values())
        if scenario.behaviour is not Behaviour.CLOSED:
            assert scenario.answers()


def test_what_one_can_learn_is_not_the_solution() -> None:
    for scenario in scenarios().values():
        told = set(re.findall(r"\w+", " ".join((*scenario.title.values(), *scenario.learn.values())).lower()))
        assert not told & set(scenario.name.replace("healthy", "healthy-health-clean").split("-")), scenario.name
        assert not told & {"kernel", "names", "time", "packages", "disk", "sudo", "ядро", "имена", "время", "пакеты", "диск"}


@pytest.mark.parametrize(
    ("practised", "captured"),
    [
        ("healthy", "healthy"),
        ("full-disk", "full-disk"),
        ("oom-loop", "oom-loop"),
        ("dead-dns", "dead-dns"),
        ("clock", "clock-unsynchronized"),
        ("broken-packages", "broken-packages"),
        ("windows-clock", "win-2016-clock"),
        ("windows-portal", "win-2022-portal"),
        ("windows-queue", "win-10-ru"),
    ],
)
def test_practice_hosts_answer_what_the_checks_are_tested_on(repository: Path, practised: str, captured: str) -> None:
    here = repository / "remote" / "lab" / "scenarios" / f"{practised}.evidence"
    name = captured if captured.startswith("win-") else f"scenario-{captured}"
    there = repository / "tests" / "data" / "captures" / f"{name}.evidence"
    assert here.read_bytes() == there.read_bytes()


def test_hosts_are_handed_out_in_turn() -> None:
    names = [name for name, _ in keeper.planned_hosts(30)]
    assert len(set(names)) == 30
    assert [scenario.name for _, scenario in keeper.planned_hosts(len(scenarios()))] == list(scenarios())
    assert all(scenario.behaviour is Behaviour.ANSWERS for _, scenario in list(keeper.planned_hosts(30))[len(scenarios()) :])


async def test_a_lab_outlives_the_call_answers_only_bundles_and_goes_down(home: Path) -> None:
    lab = keeper.up(home, 3, this_machine=True, shell=Shell.ANSWERS)
    assert keeper.running(home) == lab
    known = load_inventory([lab.inventory]).hosts
    assert list(known) == [host.name for host in lab.hosts] + ["this-machine"]
    host = lab.hosts[0]
    trust = KnownHosts(home / "known_hosts").trust(load_inventory([lab.inventory]).hosts[host.name])
    async with asyncssh.connect(
        "127.0.0.1",
        host.port,
        username="anyone",
        client_keys=[str(lab.folder / "keys" / "client")],
        known_hosts=([asyncssh.import_public_key(trust.keys[0].line)], [], []),
        config=None,
    ) as connection:
        done = await connection.run("cat /etc/passwd")
        assert done.exit_status == 127
        assert "practice host" in str(done.stderr)
    assert keeper.down(home)
    assert started_at(lab.pid) is None
    assert not lab.folder.exists()
    assert keeper.running(home) is None
    assert KnownHosts(home / "known_hosts").names() == ()
    assert not keeper.down(home)


async def test_a_stranger_s_key_is_refused(home: Path) -> None:
    lab = keeper.up(home, 1)
    with pytest.raises(asyncssh.PermissionDenied):
        await asyncssh.connect(
            "127.0.0.1",
            lab.hosts[0].port,
            username="trainee",
            client_keys=[asyncssh.generate_private_key("ssh-ed25519")],
            known_hosts=None,
            config=None,
        )


def test_a_second_lab_in_a_home_is_refused_with_the_next_step(home: Path) -> None:
    keeper.up(home, 1)
    with pytest.raises(keeper.LabRunning) as refused:
        keeper.up(home, 1)
    assert str(refused.value.hint) == "longarm lab down"


def test_keys_and_plan_are_private(home: Path) -> None:
    lab = keeper.up(home, 1)
    for path in (lab.folder / "keys" / "client", lab.folder / "plan.json", lab.folder / "running.json"):
        assert path.stat().st_mode & 0o077 == 0
    assert lab.folder.stat().st_mode & 0o022 == 0


def test_a_process_that_only_has_the_same_pid_is_left_alone(home: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as other:
        (home / "lab").mkdir()
        (home / "lab" / "running.json").write_text(json.dumps({"pid": other.pid, "started": "another", "hosts": []}))
        assert keeper.running(home) is None
        assert not keeper.down(home)
        assert other.poll() is None
        other.communicate()


@pytest.mark.parametrize("spoilt", ["", "{", "[]", "7", '{"pid": "x", "hosts": [], "started": ""}', '{"hosts": [{}]}'])
def test_what_is_noted_and_cannot_be_read_keeps_nobody_from_a_new_lab(home: Path, spoilt: str) -> None:
    (home / "lab").mkdir()
    (home / "lab" / "running.json").write_text(spoilt)
    assert keeper.running(home) is None
    assert not keeper.down(home) and not (home / "lab").exists()


@pytest.mark.parametrize("moment", ["select.select", "PracticeHost"])
def test_ctrl_c_while_a_lab_starts_leaves_no_process(home: Path, moment: str, monkeypatch: pytest.MonkeyPatch) -> None:
    children: list[subprocess.Popen[bytes]] = []

    class Watched(subprocess.Popen[bytes]):
        def __init__(self, *words: Any, **more: Any) -> None:
            super().__init__(*words, **more)
            children.append(self)

    def pressed(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(subprocess, "Popen", Watched)
    monkeypatch.setattr(keeper, moment, pressed) if moment == "PracticeHost" else monkeypatch.setattr(moment, pressed)
    with pytest.raises(KeyboardInterrupt):
        keeper.up(home, 1, shell=Shell.ANSWERS)
    (child,) = children
    assert child.returncode == -signal.SIGKILL and started_at(child.pid) is None


def test_end_takes_what_ignores_sigterm() -> None:
    code = "import signal, sys; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(flush=True); signal.pause()"
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as stubborn:
        assert stubborn.stdout
        stubborn.stdout.readline()
        started = started_at(stubborn.pid)
        assert started is not None
        assert end(stubborn.pid, started, patience_s=0.1)
        assert stubborn.wait() == -9
    assert not end(stubborn.pid, started)


def test_a_lab_that_cannot_start_says_why(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(keeper.LabFailed):
        keeper.up(home, 1)
    assert keeper.running(home) is None
