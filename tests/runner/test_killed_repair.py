"""A repair that is killed at random, and killed again as it goes on: the hosts are asked, nothing is lost or done twice."""

from __future__ import annotations

import random
import shutil
import time
from pathlib import Path

import pytest

from playbooks.results import HostChange
from runner.desk import Desk
from runner.outcome import Outcome, RunState
from runner.record import RunRecord
from runner.store.lock import held
from tests.conftest import SOAK, Measured
from tests.runner.killer import Killer, Told
from tests.runner.repairs import MEND, Bench

pytestmark = pytest.mark.long

HOSTS = tuple(f"db-{number}" for number in range(5 if SOAK else 1))
STEPS = 20 if SOAK else 3
KILLS = 1000 if SOAK else 100
SEED = 20261129
NUMBERED = """  - name: Effect {number}
    run: echo "{number}" >>"$HOME/effects"; echo "said {number}"
    retry: never
    deadline: 60s
"""
MARKED = """  - name: Write the mark
    run: echo good >"$HOME/mark"
    retry: never
    deadline: 60s
"""
PLAYBOOK = (
    MEND.partition("steps:")[0]
    + "steps:\n"
    + "".join(NUMBERED.format(number=number) for number in range(1, STEPS))
    + MARKED
    + "verify: [mark-bad]\n"
)
EFFECTS = [str(number) for number in range(1, STEPS)]


class Scene:
    """A home and hosts of its own; what repairs them may be killed."""

    def __init__(self, folder: Path, template: Path, killer: Killer) -> None:
        folder.mkdir(mode=0o711)
        self.folder, self.home, self._killer = folder, folder / "home", killer
        shutil.copytree(template, self.home)
        (folder / "bench").mkdir()
        self.bench = Bench(folder / "bench")
        for host in HOSTS:
            self.bench.home(host)

    def go_on(self, **moment: float) -> Told:
        """Begin the repair, or go on with it; return what the process said that was told to."""
        end = time.monotonic() + 60
        while held(self.home):  # whatever a killed process was about to start keeps its lock until it is
            assert time.monotonic() < end, "the lock of a killed process is never free"
            time.sleep(0.01)
        about = {"job": "repair", "bench": str(self.bench.folder), "hosts": list(HOSTS), "playbook": PLAYBOOK}
        return self._killer.order(self.home, **about, **moment)

    def check_so_far(self, killed_at: list[dict[str, float]]) -> None:
        """Hold the logs of hosts whose repair is not at its end against what may be in them."""
        for host in HOSTS:
            done = self.bench.effects(host)
            assert done == EFFECTS[: len(done)], f"{host}, killed at {killed_at}"
            assert not done or self._begun(), f"{host}: done before it was on disk that it would be, killed at {killed_at}"

    def check(self, killed_at: list[dict[str, float]]) -> None:
        """Hold each host against the log of its effects."""
        record = self._record()
        assert record.state is RunState.ENDED
        for host in record.hosts:
            assert host.repair is not None
            assert self.bench.effects(host.host) == EFFECTS, f"{host.host}, killed at {killed_at}"
            assert (host.outcome, host.repair.change) == (Outcome.OK, HostChange.CHANGED), f"{host}, killed at {killed_at}"
            said = [step.stdout for step in host.repair.steps]
            assert said == [*(f"said {number}\n".encode() for number in EFFECTS), b""], f"{host.host}, killed at {killed_at}"
            assert host.repair.left_open == ()
            assert self.bench.besides_the_fence(host.host) == [], f"{host.host}, killed at {killed_at}"

    def _begun(self) -> bool:
        with Desk.open(self.home, write=False) as desk:
            return bool(desk.runs())

    def _record(self) -> RunRecord:
        with Desk.open(self.home, write=False) as desk:
            (run,) = desk.runs()
            return desk.record(run.run)


def test_a_repair_killed_at_random_is_done_once(killer: Killer, template: Path, scratch: Path, measured: Measured) -> None:
    scratch.chmod(0o711)
    whole, scene = 0, Scene(scratch / "whole", template, killer)
    undisturbed = scene.go_on()
    assert (undisturbed.status, undisturbed.past) == (0, [])
    scene.check([])
    chance, kills = random.Random(SEED), 0
    while kills < KILLS:
        scene, killed_at = Scene(scratch / str(kills), template, killer), list[dict[str, float]]()
        while True:  # around a step to the disk, or at any time; rather soon, so that one repair is killed often
            at: dict[str, float] = {"kill_at": chance.randint(1, chance.randint(1, undisturbed.steps))}
            if chance.random() < 0.5:
                at = {"kill_after_s": chance.uniform(0, chance.uniform(0, undisturbed.took_s))}
            if scene.go_on(**at).status == 0:
                break
            kills += 1
            killed_at.append(at)
            scene.check_so_far(killed_at)
        scene.check(killed_at)
        whole += 1
        shutil.rmtree(scene.folder)
    effects = whole * len(HOSTS) * len(EFFECTS)
    measured(f"{kills} random kills in {whole} repairs of {STEPS} steps on {len(HOSTS)} hosts: {effects} effects, each once")
