"""A disk that fills in the middle of a run; run by test_full_disk.py as root in a mount namespace of its own.

As soon as the first hosts are acknowledged a file takes all room that is left. Prints, as one line of JSON, which hosts were
acknowledged, the error, and what the command line says of the run: from the full disk, and after the next opening with room.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from inventory.errors import LongarmError
from runner.desk import Desk
from runner.record import HostRecord
from tests.runner.filling import ROOMY, Noting, mount
from tests.runner.fleet import ActingConnect, asking, fleet, small_library
from tests.runner.killed_run import ACTS

SIZE = "8m"
AFTER_HOSTS = 3


class Filling(Noting):
    """Fills the disk once some hosts are acknowledged."""

    def __init__(self, waste: Path) -> None:
        super().__init__()
        self._waste = waste

    def host_ended(self, record: HostRecord) -> None:
        """Note a host that is on disk; the last one of the beginning takes the room from all others."""
        super().host_ended(record)
        if len(self.hosts) == AFTER_HOSTS:
            take_all_room(self._waste)


def take_all_room(waste: Path) -> None:
    """Write zeros until the disk takes no more."""
    with waste.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4096))
        except OSError:
            return


def told(home: Path) -> dict[str, Any]:
    """Return what `run list` and `run show` say of the one run of this home: its state, and by host how it ended."""
    (run,) = as_json(home, "run", "list")
    shown = as_json(home, "run", "show", run["run"])
    return {"listed": run["state"], "shown": shown["state"], "hosts": {one["host"]: one["outcome"] for one in shown["hosts"]}}


def as_json(home: Path, *words: str) -> Any:
    """Return what a command prints."""
    longarm = Path(sys.executable).with_name("longarm")
    done = subprocess.run([longarm, *words, "--home", home, "--json"], capture_output=True, text=True, check=False)
    assert done.stdout, done.stderr
    return json.loads(done.stdout)


def fill_midway(folder: Path, content: Path) -> dict[str, Any]:
    """Run the fleet until its disk is full, then look at the run from outside, before and after it is opened to write."""
    mount(folder, SIZE)
    home, filling, error = folder / "home", Filling(folder / "waste"), ""
    try:
        with Desk.open(home, write=True) as desk:
            request = asking(small_library(content), fleet(*ACTS), concurrency=1)
            asyncio.run(desk.diagnose(request, connect=ActingConnect(ACTS), observer=filling))
    except LongarmError as ended:
        error = str(ended)
    full = told(home)
    mount(folder, ROOMY)
    with Desk.open(home, write=True) as desk:
        audit = [row.action for row in desk.audit()]
    return {"acknowledged": filling.hosts, "error": error, "full": full, "roomy": told(home), "audit": audit}


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as content:
        sys.stdout.write(json.dumps(fill_midway(Path(sys.argv[1]), Path(content))) + "\n")
