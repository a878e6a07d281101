"""What a service costs and saves: `run list` and a diagnosis of many hosts, through it and alone, in turn.

python -m bench.service [--hosts 100] [--turns 9]

Prints the medians in seconds, and of the ratio of both turn by turn.
Practice hosts that answer from captures, in two homes on this machine: no network, no root.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

LONGARM = str(Path(sys.executable).with_name("longarm"))
LISTED = ("run", "list")
DIAGNOSED = ("diagnose", "all", "--fail-on", "never", "-q")


def called(home: Path, *words: str) -> float:
    """Return the seconds that a command line takes; some of the practice hosts refuse us, which is exit code 4."""
    began = time.perf_counter()
    done = subprocess.run([LONGARM, *words], env=environ(home), stdin=subprocess.DEVNULL, capture_output=True, check=False)
    took = time.perf_counter() - began
    if done.returncode not in (0, 4):
        sys.exit(f"bench: longarm {' '.join(words)} ended with {done.returncode}: {done.stderr.decode()}")
    return took


def environ(home: Path) -> dict[str, str]:
    """Return what a command line of a home is given."""
    return {"PATH": os.environ["PATH"], "HOME": str(home.parent), "LONGARM_HOME": str(home), "LANG": "C.UTF-8"}


@contextmanager
def served(home: Path) -> Iterator[None]:
    """Keep a home by a service meanwhile."""
    with subprocess.Popen([LONGARM, "serve"], env=environ(home), stderr=subprocess.PIPE, stdin=subprocess.DEVNULL) as service:
        assert service.stderr is not None
        service.stderr.readline()
        try:
            yield
        finally:
            service.terminate()
            service.communicate()


def in_turn(homes: dict[str, Path], words: tuple[str, ...], turns: int) -> dict[str, float]:
    """Return the medians of both ways, and of their ratio turn by turn, after one turn that does not count."""
    rounds = [{way: called(home, *words) for way, home in homes.items()} for _ in range(turns + 1)][1:]
    medians = {way: statistics.median(one[way] for one in rounds) for way in homes}
    return medians | {"ratio": statistics.median(one["service"] / one["alone"] for one in rounds)}


def main() -> None:
    """Measure, and print one JSON line for each command."""
    parser = argparse.ArgumentParser(prog="python -m bench.service", description=__doc__)
    parser.add_argument("--hosts", type=int, default=100)
    parser.add_argument("--turns", type=int, default=9)
    wanted = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="longarm-bench-") as name:
        homes = {way: Path(name) / way / "home" for way in ("alone", "service")}
        for home in homes.values():
            home.parent.mkdir()
            called(home, "lab", "up", "--hosts", str(wanted.hosts), "--shell", "answers")
        try:
            with served(homes["service"]):
                for words in (DIAGNOSED, LISTED):
                    measured = in_turn(homes, words, wanted.turns)
                    print(json.dumps({"command": " ".join(words), "hosts": wanted.hosts, **measured}), flush=True)
        finally:
            for home in homes.values():
                called(home, "lab", "down")


if __name__ == "__main__":
    main()
