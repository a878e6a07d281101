"""Faults at random moments of runs over twenty hosts: each host accounted for, nothing unseen green, each deadline kept."""

from __future__ import annotations

import json
import random
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from diagnostics.library import load_library
from playbooks.load import find_playbook
from tests.conftest import SOAK
from tests.hosts.faults import FAULTS
from tests.hosts.realhosts import RealLab
from tests.hosts.support import SupportDesk

pytestmark = pytest.mark.hosts

NAMES = tuple(f"f{n:02}" for n in range(1, 21))
SYSTEMD = frozenset(NAMES[:4])
HIT = 10
"""Hosts that something happens to in a run; the others must not notice."""
DEADLINE_S = 12
RUNS = 10 if SOAK else 2
LATEST_S = 5.0
"""The last moment of a fault after the start of longarm: logins, the library's questions, and three slow ones of ours."""
LIBRARY = load_library()
PROBES = "".join(
    f"- {{probe: {name}, script: 'echo {name} $(hostname); sleep 1', parse: lines}}\n" for name in ("one", "two", "three")
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Fleet:
    """Twenty hosts, a desk that has enrolled them, and how each ends when nothing happens."""

    lab: RealLab
    desk: SupportDesk
    probes: Path
    clean: dict[str, Any]

    def words(self, answers: Path) -> list[str]:
        return ["--json", "diagnose", "all", "--playbook", "standard", "--probes", str(self.probes), "--fail-on", "never",
                "--deadline", str(DEADLINE_S), "--answers", str(answers)]  # fmt: skip


@pytest.fixture(scope="module")
def fleet(lab: RealLab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """Boot the hosts, enrol them and diagnose them once in peace."""
    folder = tmp_path_factory.mktemp("faults")
    for name in NAMES:
        lab.add(name, "systemd" if name in SYSTEMD else "busybox")
    lab.wait(*NAMES)
    desk = SupportDesk(lab, folder / "home")
    desk.home.mkdir(mode=0o700)
    desk.add_to_inventory(lab.inventory(names=NAMES))
    desk.enrol(*NAMES)
    (folder / "probes.yaml").write_text(PROBES)
    fleet = Fleet(lab=lab, desk=desk, probes=folder / "probes.yaml", clean={})
    document = json.loads(desk.longarm(*fleet.words(folder / "clean.jsonl"), exit_code=3))
    fleet.clean.update({row["host"]: row for row in document["hosts"]})
    yield fleet
    for name in NAMES:
        lab.remove(name)


def strike(lab: RealLab, plan: list[tuple[float, str, str]], began: float) -> None:
    """Cause each fault at its moment after `began`."""
    for moment, name, fault in sorted(plan):
        time.sleep(max(0.0, began + moment - time.monotonic()))
        FAULTS[fault][0](lab, name)


def mend(lab: RealLab, plan: list[tuple[float, str, str]]) -> None:
    """Undo each fault, and start anew what did not survive it."""
    for _, name, fault in plan:
        FAULTS[fault][1](lab, name)
    for _, name, _ in plan:
        process = lab.hosts[name].process
        assert process is not None
        if process.poll() is not None:  # the kernel's killer took PID 1
            lab.power_on(name)
    lab.wait(*(name for _, name, _ in plan))


@pytest.mark.parametrize("seed", range(RUNS))
def test_a_run_under_faults_is_accounted_for(fleet: Fleet, tmp_path: Path, seed: int) -> None:
    chance = random.Random(f"faults {seed}")
    faults = [*FAULTS, *chance.sample(list(FAULTS), HIT - len(FAULTS))]
    plan = [(chance.uniform(0.3, LATEST_S), name, fault) for name, fault in zip(chance.sample(NAMES, HIT), faults, strict=True)]
    answers = tmp_path / "answers.jsonl"
    began = time.monotonic()
    striking = threading.Thread(target=strike, args=(fleet.lab, plan, began))
    pipe, command = subprocess.PIPE, fleet.desk.command(*fleet.words(answers))
    with subprocess.Popen(command, env=fleet.desk.env(), stdout=pipe, stderr=pipe, text=True) as running:
        striking.start()
        try:
            out, err = running.communicate(timeout=120)
        finally:
            striking.join()
            mend(fleet.lab, plan)
    assert running.returncode == 3, err
    assert "Traceback" not in err and "a fault in longarm" not in out
    document = json.loads(out)
    is_accounted_for(document, answers)
    struck = {name: (fault, moment) for moment, name, fault in plan}
    rows = {row["host"]: row for row in document["hosts"]}
    for name in sorted(set(NAMES) - struck.keys()):
        assert rows[name]["outcome"] == fleet.clean[name]["outcome"], rows[name]
        assert {q["ended"] for q in rows[name]["questions"]} == {"exited"}
    for name, (fault, moment) in sorted(struck.items(), key=lambda item: item[1]):
        ended = dict(Counter(question["ended"] for question in rows[name]["questions"]))
        print(f"run {seed}, {moment:.1f} s: {fault:20} {rows[name]['outcome']:12} {ended}")  # the figures of a soak


def nothing_unseen_is_green(row: dict[str, Any], ended: dict[str, str]) -> None:
    """Assert of each check on one host that it says no more than what its own questions brought back."""
    judged = [check["check"] for check in row["checks"]]
    concerned = [check for check in find_playbook("standard").checks if "linux" in LIBRARY.checks[check].platforms]
    assert sorted(judged) == (sorted(concerned) if ended else []), row["host"]
    for check in row["checks"]:
        asked = [LIBRARY.probes[need].question.id for need in LIBRARY.checks[check["check"]].needs]  # probes may share one
        needs = {question: ended.get(question, "not asked") for question in asked}
        unseen = {need: how for need, how in needs.items() if how != "exited"}
        match check["verdict"]:
            case "clear" | "finding":
                assert not unseen, (row["host"], check, unseen)
            case "not_applicable":
                match check["why"]["reason"]:
                    case "not_expected" | "platform":
                        pass  # whatever the host says, nothing is asked of it
                    case "does_not_apply":
                        assert not unseen, (row["host"], check, unseen)
                    case _:
                        assert needs[check["why"]["question"]] == "exited", (row["host"], check, unseen)
            case verdict:
                assert verdict == "unknown" and check["why"], (row["host"], check)


def is_accounted_for(document: dict[str, Any], answers: Path) -> None:
    """Assert what holds for every run, whatever happened in it."""
    coverage = document["coverage"]
    assert coverage["targeted"] == len(NAMES) == sum(coverage["outcomes"].values()) == len(document["hosts"])
    assert coverage["seen"] == coverage["outcomes"]["ok"] + coverage["outcomes"]["findings"]
    said = {(row["host"], row["probe"]): row for row in map(json.loads, answers.read_text().splitlines())}
    for row in document["hosts"]:
        ended = {question["question"]: question["ended"] for question in row["questions"]}
        assert row["outcome"] in {"ok", "findings", "incomplete", "failed", "unreachable", "timed_out"}, row
        if row["outcome"] in {"ok", "findings"}:
            assert set(ended.values()) == {"exited"} and {"one", "two", "three"} <= ended.keys()
            assert "unknown" not in {check["verdict"] for check in row["checks"]}
        else:
            assert row["error"] or set(ended.values()) != {"exited"} or "unknown" in {c["verdict"] for c in row["checks"]}
        nothing_unseen_is_green(row, ended)
        for probe in ("one", "two", "three"):
            if ended.get(probe) == "exited":
                assert said[row["host"], probe]["stdout"] == f"{probe} {row['host']}\n", "what is said to be whole is whole"
        took = datetime.fromisoformat(row["ended_at"]) - datetime.fromisoformat(row["started_at"])
        assert took.total_seconds() < DEADLINE_S + 1 + 5 + 2, "its deadline, the job's grace, the leaving, and a busy machine"
