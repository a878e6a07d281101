"""A disk that fills at some moment of a repair; run by test_full_disk.py as root in a mount namespace of its own.

For each size: a repair of some hosts, whose home is on a disk of that size; then the disk grows and the run is gone on with,
or begun where not even that was kept. Prints one line of JSON for each: the error, what the hosts' own logs hold while the
disk is full and in the end, and how each host ended.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path

from inventory.errors import LongarmError
from playbooks.testing import FakeOperator
from runner.desk import Desk
from runner.observer import Silent
from runner.outcome import RunState
from runner.record import RunRecord
from runner.request import RestRequest
from tests.runner.filling import ROOMY, mount
from tests.runner.fleet import inventory_of
from tests.runner.repairs import Bench, hosts_folder

HOSTS = ("db-1", "db-2", "db-3")
SIZES = 6


def repair(home: Path, bench: Bench) -> RunRecord:
    """Repair the hosts, one after another."""
    with Desk.open(home, write=True, actor="anna") as desk:
        request = bench.asking(*HOSTS, concurrency=1)
        return asyncio.run(desk.repair(request, connect=bench.connect, observer=Silent()))


def gone_on_with(home: Path, bench: Bench) -> RunRecord:
    """Go on with the run, or begin it where it was never kept."""
    with Desk.open(home, write=True, actor="anna") as desk:
        runs = desk.runs()
        if runs and runs[0].state is RunState.ENDED:
            return desk.record(runs[0].run)
        if runs:
            return asyncio.run(
                desk.resume_repair(
                    runs[0].run,
                    RestRequest(
                        inventory=inventory_of(bench.selection(*HOSTS)),
                        library=bench.library,
                        playbook=bench.playbook(),
                        secrets={},
                        operator=FakeOperator(),
                    ),
                    connect=bench.connect,
                    observer=Silent(),
                )
            )
    return repair(home, bench)


def room_taken(disk: Path) -> int:
    """Return how many KiB are taken."""
    room = os.statvfs(disk)
    return (room.f_blocks - room.f_bfree) * room.f_frsize // 1024


def main(folder: Path) -> None:
    """Try each size."""
    disk = folder / "disk"
    disk.mkdir()
    mount(disk, ROOMY)
    with hosts_folder() as hosts:
        empty, _ = room_taken(disk), repair(disk / "home", Bench(hosts))
    whole = room_taken(disk)
    for number in range(SIZES):
        mounted = folder / f"disk-{number}"
        mounted.mkdir()
        size = empty + (whole - empty) * (number + 4) // (SIZES + 4)
        mount(mounted, f"{size // 4 * 4}k")
        with hosts_folder() as hosts:
            bench, error = Bench(hosts), ""
            try:
                repair(mounted / "home", bench)
            except (LongarmError, OSError) as failed:
                error = str(failed)
            full = {host: bench.effects(host) for host in HOSTS}
            mount(mounted, ROOMY)
            record = gone_on_with(mounted / "home", bench)
            told = {host.host: [host.outcome, host.repair.change if host.repair else None] for host in record.hosts}
            ended = {host: bench.effects(host) for host in HOSTS}
            print(json.dumps({"size": size, "error": error, "full": full, "ended": ended, "told": told}), flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
