"""The identity of a process: its pid and when it started, so that a reused pid is never taken for ours."""

from __future__ import annotations

import os
import select
import signal
import subprocess
from pathlib import Path


def started_at(pid: int) -> str | None:
    """Return a mark that no other process with this pid shares, or None if there is no such process.

    On Linux that is the boot and the start in clock ticks (proc(5), field 22), elsewhere ps's time.
    """
    stat = Path(f"/proc/{pid}/stat")
    try:
        fields = stat.read_text().rpartition(")")[2].split()
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except (FileNotFoundError, ProcessLookupError):
        return None if Path("/proc/self/stat").exists() else _started_by_ps(pid)
    return None if fields[0] == "Z" else f"{boot}/{fields[19]}"


def _started_by_ps(pid: int) -> str | None:
    done = subprocess.run(["ps", "-o", "lstart=", "-p", str(pid)], capture_output=True, text=True, check=False)  # noqa: S607
    return done.stdout.strip() or None


def end(pid: int, started: str, *, patience_s: float = 5.0) -> bool:
    """End the process that has this pid and started then, at last by SIGKILL; return whether there was one."""
    if not hasattr(os, "pidfd_open"):
        return _signal_if_ours(pid, started)
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return False
    try:
        if started_at(pid) != started:
            return False
        for number in (signal.SIGTERM, signal.SIGKILL):
            signal.pidfd_send_signal(handle, number)
            if select.select([handle], [], [], patience_s)[0]:
                break
    except ProcessLookupError:
        pass  # it left between two lines: that is what was wanted
    finally:
        os.close(handle)
    return True


def _signal_if_ours(pid: int, started: str) -> bool:
    if started_at(pid) != started:
        return False
    os.kill(pid, signal.SIGTERM)
    return True
