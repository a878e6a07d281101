"""Many steps by one process that holds its desk open, as a service does overnight (F14): what it holds does not grow."""

from __future__ import annotations

import asyncio
import gc
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from playbooks.verdicts import Fix
from runner.desk import Desk
from runner.observer import Silent
from tests.conftest import SOAK, Measured
from tests.remote.flooded import status_kib
from tests.runner.repairs import MEND, Bench, hosts_folder

pytestmark = pytest.mark.long

HOSTS = tuple(f"db-{number}" for number in range(4))
STEPS = 25 if SOAK else 5
"""Of each host in each round."""
ROUNDS = 200 if SOAK else 4
GROWTH_KIB = 4096
"""Of the second half of a soak, 10,000 steps. Before that the caches of SQLite fill up, 2 MiB for each of two connections."""
GROWTH_OBJECTS = 2000
"""Of the whole of it: an object that one step in ten leaves behind would be as many."""
STEPPING = f"""steps:
  - name: Many
    loop: '{[*range(STEPS - 1)]}'
    run: echo "said $item"
    retry: never
    deadline: 100s
  - name: The last
    run: echo good >"$HOME/mark"
    retry: never
    deadline: 100s
verify: [mark-bad]
"""
PLAYBOOK = MEND.partition("steps:")[0] + STEPPING


@pytest.fixture
def bench() -> Iterator[Bench]:
    with hosts_folder() as folder:
        yield Bench(folder)


def growth_of(sizes: list[int]) -> float:
    """Return by how much sizes that were seen one after the other grew, by the line that lies nearest to them all.

    >>> growth_of([10, 11, 12, 13])
    3.0
    >>> growth_of([5, 9, 5, 9, 5])
    0.0
    """
    count = len(sizes)
    middle, mean = (count - 1) / 2, sum(sizes) / count
    slope = sum((at - middle) * (size - mean) for at, size in enumerate(sizes)) / sum((at - middle) ** 2 for at in range(count))
    return slope * (count - 1)


def test_memory_descriptors_and_threads_do_not_grow_with_the_steps(home: Path, bench: Bench, measured: Measured) -> None:
    held, resident, objects = set[tuple[int, int]](), list[int](), list[int]()
    request = bench.asking(*HOSTS, playbook=bench.playbook(PLAYBOOK))
    with Desk.open(home, write=True, actor="anna") as desk:
        for number in range(ROUNDS):
            for host in HOSTS:
                bench.mark(host, "bad")
            record = asyncio.run(desk.repair(request, connect=bench.connect, observer=Silent()))
            assert [one.fix for host in record.hosts if host.repair for one in host.repair.verdicts] == [Fix.FIXED] * len(HOSTS)
            del record
            gc.collect()
            resident.append(status_kib("VmRSS"))
            objects.append(len(gc.get_objects()))
            if number:  # the first one makes what is made once
                held.add((len(list(Path("/proc/self/fd").iterdir())), threading.active_count()))
    steps, growth = ROUNDS * len(HOSTS) * STEPS, growth_of(resident[ROUNDS // 2 :])
    assert len(held) == 1, held
    measured(f"{steps} steps: {growth:+.0f} KiB resident over the second half, {resident[-1]} KiB in the end")
    assert not SOAK or growth < GROWTH_KIB, resident
    assert growth_of(objects[1:]) < GROWTH_OBJECTS, objects
