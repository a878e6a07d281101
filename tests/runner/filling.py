"""Homes on disks that are full after so many bytes; run by test_full_disk.py as root in a mount namespace of its own.

For each size: a run of twenty hosts, delivered, on a tmpfs of that size; what it acknowledged is held against what can
be read from the full disk; then the disk grows and the run is resumed and delivered. Prints one JSON line for each.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from diagnostics.library import Library
from inventory.errors import LongarmError
from runner.desk import Desk
from runner.observer import Silent
from runner.outcome import RunState
from runner.record import HostRecord
from runner.store.errors import StoreFailed
from tests.runner.fleet import ActingConnect, asking, fleet, inventory_of, small_library
from tests.runner.killed_run import ACTS, CONCURRENCY, deliver_all
from tests.runner.killer import finished

OFFSETS = 50
ROOMY = "64m"


class Noting(Silent):
    """Notes which hosts were acknowledged."""

    def __init__(self) -> None:
        self.hosts: list[str] = []

    def host_ended(self, record: HostRecord) -> None:
        """Note a host that is on disk."""
        self.hosts.append(record.host)


def mount(folder: Path, size: str) -> None:
    """Mount a disk of this size, or give a mounted one another size."""
    how = ["-o", f"remount,size={size}"] if folder.is_mount() else ["-t", "tmpfs", "-o", f"size={size}"]
    subprocess.run(["mount", *how, "none", str(folder)], check=True)


def diagnose(home: Path, library: Library, noting: Noting) -> int:
    """Diagnose the fleet, deliver its report, and return how many KiB the disk holds then, the log included."""
    with Desk.open(home, write=True) as desk:
        request = asking(library, fleet(*ACTS), concurrency=CONCURRENCY)
        asyncio.run(desk.diagnose(request, connect=ActingConnect(ACTS), observer=noting))
        deliver_all(desk)
        room = os.statvfs(home)
        return (room.f_blocks - room.f_bfree) * room.f_frsize // 1024


def tried(home: Path, library: Library) -> tuple[list[str], str]:
    """Return which hosts were acknowledged, and the error that the disk's end led to."""
    noting = Noting()
    try:
        diagnose(home, library, noting)
    except (LongarmError, OSError) as error:
        return noting.hosts, str(error)
    return noting.hosts, ""


def check_readable(home: Path, acknowledged: list[str]) -> None:
    """Hold what can be read from the full disk against what was acknowledged.

    Where not even an empty store could be made, there may be no room for the 32 KiB that SQLite wants for reading.
    """
    try:
        with Desk.open(home, write=False) as desk:
            assert desk.verify().problems == ()
            kept = finished(desk.record(desk.runs()[0].run)) if desk.runs() else []
    except StoreFailed:
        kept = []
    assert set(acknowledged) <= set(kept), (acknowledged, kept)


def finish(home: Path, library: Library) -> None:
    """Do the rest where there is room again; everything is there once."""
    with Desk.open(home, write=True) as desk:
        begun = bool(desk.runs())
    if not begun:
        diagnose(home, library, Noting())
    with Desk.open(home, write=True) as desk:
        (run,) = desk.runs()
        if run.state is RunState.INTERRUPTED:
            inventory, connect = inventory_of(fleet(*ACTS)), ActingConnect(ACTS)
            asyncio.run(desk.resume(run.run, inventory=inventory, library=library, connect=connect, observer=Silent()))
        deliver_all(desk)
        assert finished(desk.record(run.run)) == list(ACTS)
        assert len(desk.case_attachments("DEMO-1")) == 1
        assert [row.action for row in desk.audit()].count("report.sent") == 1
        assert desk.verify().problems == ()


def fill(folder: Path, library: Library) -> None:
    """Go through the sizes, from a page to five sixths of what the whole run needs."""
    mount(folder, ROOMY)
    needed_kib = diagnose(folder / "home", library, Noting())
    subprocess.run(["umount", str(folder)], check=True)
    for number in range(1, OFFSETS + 1):
        size_kib = max(4, needed_kib * number // (OFFSETS + 10) // 4 * 4)  # how hosts share commits, and so the need, varies
        mount(folder, f"{size_kib}k")
        acknowledged, error = tried(folder / "home", library)
        check_readable(folder / "home", acknowledged)
        mount(folder, ROOMY)
        finish(folder / "home", library)
        subprocess.run(["umount", str(folder)], check=True)
        sys.stdout.write(json.dumps({"size_kib": size_kib, "acknowledged": len(acknowledged), "error": error}) + "\n")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as content:
        fill(Path(sys.argv[1]), small_library(Path(content)))
