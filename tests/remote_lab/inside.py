"""Shells of practice hosts as the tests start them: without SSH, and with an eye on what is left of them."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from remote.lab import namespace
from remote.lab.world import World

PYTHON = shutil.which("python3", path="/usr/bin:/usr/local/bin:/bin")
"""One that an ordinary user may run too; `namespace.py` wants nothing but the standard library."""
ORDINARY = 4321
"""A user whom this machine does not know."""


@dataclass(frozen=True, slots=True)
class Shells:
    """Starts commands in one world, as root or as an ordinary user of this machine."""

    folder: Path
    user: int | None

    @contextmanager
    def started(self, script: str, *, world: World | None = None, **programs: str) -> Iterator[subprocess.Popen[bytes]]:
        """Yield a running shell; leaving takes its life."""
        assert PYTHON
        document: dict[str, Any] = (world or World(hostname="somewhere")).document()
        document["programs"] |= {f"/usr/bin/{name}": path for name, path in programs.items()}
        (self.folder / "world.json").write_text(json.dumps(document))
        shutil.copy(namespace.__file__, self.folder / "namespace.py")
        life, ends = os.pipe()
        try:
            with subprocess.Popen(
                [PYTHON, "-I", "-S", "namespace.py", "world.json", str(life), "/bin/sh", "-c", script],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                pass_fds=(life,),
                cwd=self.folder,
                user=self.user,
                group=self.user,
                extra_groups=None if self.user is None else [],
            ) as process:
                os.close(life)
                try:
                    yield process
                finally:
                    os.close(ends)
        finally:
            assert process.returncode is not None

    def run(self, script: str, *, world: World | None = None, **programs: str) -> subprocess.CompletedProcess[str]:
        """Return how a script ended."""
        with self.started(script, world=world, **programs) as process:
            out, err = process.communicate(timeout=60)
        return subprocess.CompletedProcess(script, process.returncode, out.decode(), err.decode())


def mounts_of_a_shell(process: str = "self", *, root: str = namespace._PLACE) -> set[str]:
    """Return the mount points below `root`, as a process sees them, that a practice host brings: other tests mount, too."""
    points = {line.split()[4] for line in Path(f"/proc/{process}/mountinfo").read_text().splitlines()}
    return {"/usr/lib", "/usr/bin/sh", "/dev/null", "/proc/sys"} & {
        point.removeprefix(root) for point in points if point.startswith(root)
    }


def processes_in(namespace_of_pids: str) -> list[int]:
    """Return the processes of this machine that live in a namespace, named as /proc/PID/ns/pid names it."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and str((entry / "ns" / "pid").readlink()) == namespace_of_pids:
                found.append(int(entry.name))
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            continue
    return found
