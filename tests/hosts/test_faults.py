"""Faults at random moments of runs over twenty hosts: each host accounted for, nothing unseen green, each deadline kept."""

from __future__ import annotations

import json
import random
import subprocess
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass
from datetime import UTC, datetime
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
GATE = "gate"
"""A bastion, to which nothing happens."""
WAYS = {
    **dict.fromkeys(("f02", "f05", "f06", "f07"), "ssh_library: paramiko"),
    **dict.fromkeys(("f03", "f08", "f09", "f10"), f"via: {GATE}"),
    **dict.fromkeys(("f04", "f11", "f12"), f"via: {GATE}, ssh_library: paramiko"),
}
"""By what else than asyncssh, straight, some are reached."""
HIT = 10
"""Hosts that something happens to in a run; the others must not notice."""
DEADLINE_S = 12
"""Of a host; more where this machine is slow."""
RUNS = 10 if SOAK else 2
NOTHING_PASSES = frozenset({"everything dropped", "cable pulled", "sshd killed", "sshd stopped", "host frozen"})
"""Faults through which no answer comes: what such a host is asked last has not ended when it is hit, and never does."""
LATE_S = 30.0
"""By how much a busy machine may be late; who waits for a connection that is dead waits longer."""
LIBRARY = load_library()
HELD = "/held-by-the-test"
"""While this file is on a host, one question hangs and has written to it: no host has ended when something happens to it."""
PROBES = "".join(
    f"- {{probe: {name}, script: 'echo {name} $(hostname); {ends}', parse: lines}}\n"
    for name, ends in {
        "one": "sleep 1",
        "two": "sleep 1",
        "three": f"[ ! -e {HELD} ] || echo asked >>{HELD}; while [ -e {HELD} ]; do sleep 0.2; done",
    }.items()
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Fleet:
    """Twenty hosts, a desk that has enrolled them, and how each ends when nothing happens."""

    lab: RealLab
    desk: SupportDesk
    probes: Path
    clean: dict[str, Any]

    def latest_s(self) -> float:
        """Return the last moment of a fault after the start of longarm: when half of the hosts were through in peace."""
        began, ended = (
            sorted(datetime.fromisoformat(row[at]) for row in self.clean.values()) for at in ("started_at", "ended_at")
        )
        return max(1.0, (ended[len(ended) // 2] - began[0]).total_seconds())

    def deadline_s(self) -> int:
        """Return a deadline that no host reaches to which nothing happens, though it answers several times slower."""
        return max(DEADLINE_S, round(4 * max(took(row) for row in self.clean.values())))

    def words(self, answers: Path, deadline_s: int) -> list[str]:
        return ["--json", "diagnose", ",".join(NAMES), "--playbook", "standard", "--probes", str(self.probes),
                "--fail-on", "never", "--deadline", str(deadline_s), "--answers", str(answers)]  # fmt: skip


@pytest.fixture(scope="module")
def fleet(lab: RealLab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """Boot the hosts, enrol them and diagnose them once in peace."""
    folder = tmp_path_factory.mktemp("faults")
    for name in NAMES:
        lab.add(name, "systemd" if name in SYSTEMD else "busybox")
    lab.add(GATE, "systemd")
    lab.wait(*NAMES, GATE)
    desk = SupportDesk(lab, folder / "home")
    desk.home.mkdir(mode=0o700)
    desk.reach(*NAMES, GATE, ways=WAYS)
    (folder / "probes.yaml").write_text(PROBES)
    fleet = Fleet(lab=lab, desk=desk, probes=folder / "probes.yaml", clean={})
    document = json.loads(desk.longarm(*fleet.words(folder / "clean.jsonl", 100), exit_code=3))
    fleet.clean.update({row["host"]: row for row in document["hosts"]})
    yield fleet
    for name in (*NAMES, GATE):
        lab.remove(name)


@dataclass(frozen=True, slots=True, kw_only=True)
class Strike:
    """What happens to a host, and when: so long after the start of longarm, or `midway`, after the last question begun."""

    name: str
    fault: str
    moment_s: float
    midway: bool

    def strike(self, lab: RealLab, over: threading.Event) -> datetime | None:
        """Cause it, and return when it was there; None: the run was over before the host was asked.

        A host that nothing gets through to hangs on; the others can then answer what they were asked last.
        """
        file = held(lab, self.name)
        while self.midway and not file.stat().st_size:
            if over.wait(0.05):
                return None
        over.wait(self.moment_s)
        FAULTS[self.fault][0](lab, self.name)
        struck_at = datetime.now(UTC)
        if self.fault not in NOTHING_PASSES:
            file.unlink()
        return struck_at


def held(lab: RealLab, name: str) -> Path:
    """Return the file that keeps a host from ending."""
    return lab.hosts[name].folder / "root" / HELD.lstrip("/")


def mend(lab: RealLab, plan: list[Strike]) -> None:
    """Undo each fault, and start anew what did not survive it."""
    for one in plan:
        held(lab, one.name).unlink(missing_ok=True)
        FAULTS[one.fault][1](lab, one.name)
    for one in plan:
        process = lab.hosts[one.name].process
        assert process is not None
        if process.poll() is not None:  # the kernel's killer took PID 1
            lab.power_on(one.name)
    lab.wait(*(one.name for one in plan))


def planned(fleet: Fleet, seed: int) -> list[Strike]:
    """Return what happens in a run; from one seed to the next all that was early is midway."""
    chance = random.Random(f"faults {seed}")
    faults = [*FAULTS, *chance.sample(list(FAULTS), HIT - len(FAULTS))]
    return [
        Strike(
            name=name,
            fault=fault,
            midway=(midway := (number + seed) % 2 == 0),
            moment_s=chance.uniform(0, 0.5) if midway else chance.uniform(0.3, fleet.latest_s()),
        )
        for number, (name, fault) in enumerate(zip(chance.sample(NAMES, HIT), faults, strict=True))
    ]


@pytest.mark.parametrize("seed", range(RUNS))
def test_a_run_under_faults_is_accounted_for(fleet: Fleet, tmp_path: Path, seed: int) -> None:
    plan, answers, over = planned(fleet, seed), tmp_path / "answers.jsonl", threading.Event()
    for one in plan:
        held(fleet.lab, one.name).touch()
        held(fleet.lab, one.name).chmod(0o666)
    pipe, command = subprocess.PIPE, fleet.desk.command(*fleet.words(answers, fleet.deadline_s()))
    with (
        ThreadPoolExecutor(HIT) as pool,
        subprocess.Popen(command, env=fleet.desk.env(), stdout=pipe, stderr=pipe, text=True) as running,
    ):
        strikes = {one.name: pool.submit(one.strike, fleet.lab, over) for one in plan}
        try:
            out, err = running.communicate(timeout=300)
        finally:
            over.set()
            wait(strikes.values())
            mend(fleet.lab, plan)
    struck_at = {name: strike.result() for name, strike in strikes.items()}
    assert running.returncode == 3, err
    assert "Traceback" not in err and "a fault in longarm" not in out
    document = json.loads(out)
    is_accounted_for(document, answers, fleet.deadline_s())
    rows = {row["host"]: row for row in document["hosts"]}
    for name in sorted(set(NAMES) - struck_at.keys()):
        assert rows[name]["outcome"] == fleet.clean[name]["outcome"], rows[name]
        assert {q["ended"] for q in rows[name]["questions"]} == {"exited"}
    for one in sorted(plan, key=lambda one: (one.fault, one.moment_s)):
        row = rows[one.name]
        questions = {question["question"]: question["ended"] for question in row["questions"]}
        if one.fault in NOTHING_PASSES:
            assert questions.get("three") != "exited" and row["outcome"] not in {"ok", "findings"}, (one, row)
        when, how = "midway" if one.midway else "early ", dict(Counter(questions.values()))  # the figures of a soak
        print(f"run {seed}, {when} {one.moment_s:.1f} s: {one.fault:20} {WAYS.get(one.name, ''):36} {row['outcome']:12} {how}")
    midway = {one.name for one in plan if one.midway and (at := struck_at[one.name]) and at < ended_at(rows[one.name])}
    assert len(midway) >= HIT // 4, "something happened to hosts that were asked and had not ended"


def ended_at(row: dict[str, Any]) -> datetime:
    """Return when a host ended."""
    return datetime.fromisoformat(row["ended_at"])


def took(row: dict[str, Any]) -> float:
    """Return how long a host took, in seconds."""
    return (ended_at(row) - datetime.fromisoformat(row["started_at"])).total_seconds()


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


def is_accounted_for(document: dict[str, Any], answers: Path, deadline_s: int) -> None:
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
        assert took(row) < deadline_s + 1 + 5 + LATE_S, "its deadline, the job's grace, the leaving, and a busy machine"
