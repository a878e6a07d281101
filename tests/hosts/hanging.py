"""A filesystem of another machine that never answers: FUSE whose server is this process, which reads nothing."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

from tests.hosts.realhosts import RealLab


@contextlib.contextmanager
def hanging_share(lab: RealLab, name: str, mount: str) -> Iterator[None]:
    """Mount what looks like sshfs in a host; whatever touches it waits until the end of this."""
    server = os.open("/dev/fuse", os.O_RDWR)
    options = f"fd={server},rootmode=40000,user_id=0,group_id=0"
    command = ["nsenter", "-t", str(lab.init_pid(name)), "-m", "-r", "-w", "mount", "-i", "-t", "fuse.sshfs", "-o", options]
    try:
        lab.enter(name, f"mkdir -p {mount}")
        subprocess.run([*command, "files.nord.example:/share", mount], check=True, pass_fds=[server])
        assert " fuse.sshfs " in Path(f"/proc/{lab.init_pid(name)}/mountinfo").read_text()
        yield
    finally:
        os.close(server)
