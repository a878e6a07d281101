"""Run one command and account for its whole process tree: wall, CPU, and the peak of the summed PSS.

The meter is a child subreaper (prctl(2)), so that daemonised helpers such as ControlPersist masters come back to it,
are ended and counted. usage: python -m bench.meter RESULT.json TIMEOUT_S LOG COMMAND…
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import resource
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

_PR_SET_CHILD_SUBREAPER = 36


def descendants(pid: int) -> list[int]:
    """Return the pids of everything that `pid` started and that still runs."""
    found, todo = [], [pid]
    while todo:
        parent = todo.pop()
        with contextlib.suppress(OSError):
            for thread in Path(f"/proc/{parent}/task").iterdir():
                children = [int(child) for child in (thread / "children").read_text().split()]
                found += children
                todo += children
    return found


def pss_kib(pid: int) -> int:
    """Return the proportional set size of a process in KiB; 0 for one that is gone."""
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1])
    return 0


def measure(command: list[str], timeout_s: float, log: Path) -> dict[str, float | int | str]:
    """Return wall and CPU seconds, peak PSS in MiB and the exit status of a command."""
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    peak, ended = [0], threading.Event()

    def sample() -> None:
        while not ended.wait(0.05):
            peak[0] = max(peak[0], sum(map(pss_kib, descendants(os.getpid()))))

    sampler = threading.Thread(target=sample)
    begun = time.monotonic()
    with log.open("wb") as out:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=out)
        sampler.start()
        try:
            status: int | str = process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            status = "timeout"
    wall = time.monotonic() - begun
    ended.set()
    sampler.join()
    reap()
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return {"wall_s": wall, "cpu_s": used.ru_utime + used.ru_stime, "pss_mib": peak[0] / 1024, "status": status}


def reap() -> None:
    """End and wait for what the command left behind."""
    for sign in (signal.SIGTERM, signal.SIGKILL):
        for pid in descendants(os.getpid()):
            with contextlib.suppress(OSError):
                os.kill(pid, sign)
        end = time.monotonic() + 2
        while time.monotonic() < end:
            try:
                if os.waitpid(-1, os.WNOHANG)[0] == 0:
                    time.sleep(0.02)
            except ChildProcessError:
                return


if __name__ == "__main__":
    result, limit, log_file, *rest = sys.argv[1:]
    Path(result).write_text(json.dumps(measure(rest, float(limit), Path(log_file))))
