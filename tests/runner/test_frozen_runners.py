"""Two runners with homes of their own compete for the same hosts, and are frozen and thawed at any moment (F5).

Neither knows of the other's leases: what keeps them apart is the host itself, by the token of the lease.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from tests.runner.repairs import MEND, Bench

pytestmark = pytest.mark.long

SOAK = bool(os.environ.get("LONGARM_SOAK"))
CYCLES = 1000 if SOAK else 50
HOSTS = ("db-1", "db-2")
SEED = 20261130
STEP = """  - name: Effect {number}
    run: echo "begin $who {number}" >>"$HOME/effects"; sleep 0.05; echo "end $who {number}" >>"$HOME/effects"
    retry: never
    deadline: 60s
"""
PLAYBOOK = (
    MEND.partition("params:")[0]
    + "params:\n  who: {type: string, default: x}\nsteps:\n"
    + "".join(STEP.format(number=number) for number in (1, 2, 3))
    + "verify: [mark-bad]\n"
)


@contextmanager
def runner(folder: Path, bench: Bench, name: str) -> Iterator[subprocess.Popen[str]]:
    """Start a runner; it is ended, thawed first, whatever happens."""
    order = {"home": str(folder / f"home-{name}"), "bench": str(bench.folder), "name": name, "hosts": list(HOSTS)}
    with (folder / f"told-{name}").open("w") as told:
        process = subprocess.Popen(
            [sys.executable, "-W", "error", "-m", "tests.runner.frozen_run", json.dumps(order)],
            stdout=told,
            text=True,
            cwd=Path(__file__).parent.parent.parent,
            env={**os.environ, "PYTHONPATH": "."},
        )
    try:
        yield process
    finally:
        process.send_signal(signal.SIGCONT)
        process.kill()
        process.wait()


def told(folder: Path, name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / f"told-{name}").read_text().splitlines()]


def blocks(lines: list[str]) -> list[str]:
    """Return whose commands ran, one entry for each row of commands of one run; no two overlap, and none runs twice."""
    assert len(lines) % 2 == 0
    commands = []
    for begin, end in zip(lines[::2], lines[1::2], strict=True):
        (what, *command), (what_then, *command_then) = begin.split(), end.split()
        assert (what, what_then) == ("begin", "end") and command == command_then, f"overlap: {begin!r}, {end!r}"
        commands.append(tuple(command))
    assert len(set(commands)) == len(commands), "done twice"
    whose = [who for who, _ in commands]
    return [who for before, who in pairwise(["", *whose]) if who != before]


def test_frozen_and_thawed_runners_never_overlap_on_a_host(scratch: Path) -> None:
    scratch.chmod(0o711)
    bench_folder = scratch / "bench"
    bench_folder.mkdir()
    bench = Bench(bench_folder)
    (bench_folder / "frozen.yaml").write_text(PLAYBOOK)
    for host in HOSTS:
        bench.home(host)
    chance = random.Random(SEED)
    with ExitStack() as stack:
        processes = [stack.enter_context(runner(scratch, bench, name)) for name in ("a", "b")]
        while not all(told(scratch, name) for name in ("a", "b")):  # both are at work
            assert all(process.poll() is None for process in processes)
            time.sleep(0.05)
        for _ in range(CYCLES):
            frozen = chance.choice(processes)
            frozen.send_signal(signal.SIGSTOP)
            time.sleep(chance.uniform(0.0, 0.4))
            frozen.send_signal(signal.SIGCONT)
            time.sleep(chance.uniform(0.0, 0.1))
        (bench_folder / "enough").touch()
        assert [process.wait(300) for process in processes] == [0, 0]
    runs = {run["who"]: run for name in ("a", "b") for run in told(scratch, name)}
    for host in HOSTS:
        row = blocks(bench.effects(host))
        assert {str(who)[0] for who in row} == {"a", "b"}, "both did something"
        tokens = [runs[who]["tokens"][host] for who in row]
        assert all(before <= after for before, after in pairwise(tokens)), "an older run did something after a newer one"
