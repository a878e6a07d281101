"""A repair that is killed around any step to the disk: `resume` asks the hosts, nothing is lost and nothing done twice."""

from __future__ import annotations

import asyncio
import os
import random
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from playbooks.results import HostChange, StepState
from playbooks.testing import FakeOperator
from runner.desk import Desk
from runner.observer import Silent
from runner.outcome import Outcome, RunState
from runner.record import RunRecord
from runner.store.errors import StoreBusy
from tests.runner.fleet import inventory_of
from tests.runner.killer import Killer
from tests.runner.repairs import MEND, Bench

pytestmark = pytest.mark.long

SOAK = bool(os.environ.get("LONGARM_SOAK"))
HOSTS = tuple(f"db-{number}" for number in range(5 if SOAK else 2))
STEPS = 20 if SOAK else 3
MOMENTS = 1000 if SOAK else 10
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


@pytest.fixture
def benches() -> Iterator[Path]:
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if os.access(memory, os.W_OK) else None) as folder:
        Path(folder).chmod(0o711)
        yield Path(folder)


def order(killer: Killer, folder: Path, home: Path, **more: int) -> tuple[Bench, int, int]:
    """Repair on a bench of its own, in a child that may be killed; return the bench, the steps taken and the status."""
    folder.mkdir()
    bench = Bench(folder)
    for host in HOSTS:
        bench.home(host)
    told = killer.order(home, job="repair", bench=str(folder), hosts=list(HOSTS), playbook=PLAYBOOK, **more)
    return bench, told.steps, told.status


def free(home: Path) -> None:
    """Return once nobody has the home: a process that is killed while it starts another one leaves it the lock until then."""
    for _ in range(600):
        try:
            with Desk.open(home, write=True):
                return
        except StoreBusy:
            time.sleep(0.1)
    raise AssertionError("the lock of a killed process is never free")


def resumed(home: Path, bench: Bench) -> RunRecord:
    """Return the run as it ends: gone on with where it was cut off, begun where it had not been."""
    playbook = bench.playbook(PLAYBOOK)
    free(home)
    with Desk.open(home, write=True, actor="boris") as desk:
        if not desk.runs():
            assert not any(bench.effects(host) for host in HOSTS), "done before it was on disk that it would be"
            return asyncio.run(desk.repair(bench.asking(*HOSTS, playbook=playbook), connect=bench.connect, observer=Silent()))
        record = desk.record(desk.runs()[0].run)
        if record.state is RunState.ENDED:
            return record
        return asyncio.run(
            desk.resume_repair(
                record.run,
                inventory=inventory_of(bench.selection(*HOSTS)),
                library=bench.library,
                playbook=playbook,
                secrets={},
                operator=FakeOperator(),
                connect=bench.connect,
                observer=Silent(),
            )
        )


def check(record: RunRecord, bench: Bench, moment: int) -> int:
    """Hold each host against the log of its effects; return how many were cut off on the host itself.

    Once in some hundred kills our connection ends while a supervisor leaves its session, and what ends that session ends it
    too: then the host says that it was cut off, nobody knows how far it came, and nothing more is done there.
    """
    cut_off = 0
    for host in record.hosts:
        assert host.repair is not None
        if host.outcome is Outcome.UNKNOWN:
            cut_off += 1
            *before, last = host.repair.steps
            assert (last.state, host.repair.change) == (StepState.INTERRUPTED, HostChange.UNKNOWN), f"{host}, {moment}"
            assert bench.effects(host.host) in (EFFECTS[: len(before)], EFFECTS[: len(before) + 1]), f"{host.host}, {moment}"
            continue
        assert bench.effects(host.host) == EFFECTS, f"{host.host}, killed at {moment}"
        assert (host.outcome, host.repair.change) == (Outcome.OK, HostChange.CHANGED), f"{host}, killed at {moment}"
        said = [step.stdout for step in host.repair.steps]
        assert said == [*(f"said {number}\n".encode() for number in EFFECTS), b""], f"{host.host}, killed at {moment}"
        assert host.repair.left_open == ()
    assert record.state is RunState.ENDED
    return cut_off


def test_a_repair_killed_at_any_moment_is_done_once(killer: Killer, template: Path, scratch: Path, benches: Path) -> None:
    home = scratch / "whole"
    shutil.copytree(template, home)
    bench, most, status = order(killer, benches / "whole", home)
    assert status == 0
    assert check(resumed(home, bench), bench, 0) == 0
    moments = random.Random(SEED).sample(range(1, most + 1), min(MOMENTS, most))
    cut_off = on_hosts = 0
    for moment in moments:
        home = scratch / f"home-{moment}"
        shutil.copytree(template, home)
        bench, _, status = order(killer, benches / str(moment), home, kill_at=moment)
        cut_off += status != 0
        on_hosts += check(resumed(home, bench), bench, moment)
        shutil.rmtree(home)
        shutil.rmtree(bench.folder)
    assert cut_off >= len(moments) // 2
    assert on_hosts <= max(3, len(moments) * len(HOSTS) // 20)
