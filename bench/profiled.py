"""`python -m bench.profiled`: where our own processor time goes in a run over canned hosts, sampled by py-spy.

A run of `longarm diagnose` over 200 hosts that cost nearly nothing is sampled 500 times a second, threads that wait left
out. Each sample counts for the innermost of our packages (or asyncssh) that its stack is in; whatever happens below the
import of a module counts as loading. Given a folder with another version of longarm, both take turns. Needs root, gcc,
libssh-dev; py-spy is put into an environment of its own.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path

from bench.canned import MANY, canned, frames_of, probe_answers
from bench.fleet import Fleet
from bench.run import PROBES, as_installed, environments

HERE = Path(__file__).parent
RATE = 500
ROOMS = ("remote", "runner", "diagnostics", "reports", "inventory", "playbooks", "console")
LOADING, LOOP = "loading modules", "event loop, Python itself"
_FRAME = re.compile(r"\((?P<file>[^()]*?)(?::\d+)?\)$")


def whose(stack: str) -> str:
    """Return for whom the processor worked: one of our packages, asyncssh, the import of a module, or the loop."""
    files = [found["file"] for frame in reversed(stack.split(";")) if (found := _FRAME.search(frame))]
    if any("importlib" in file for file in files):
        return LOADING
    return next(filter(None, map(_room, files)), LOOP)


def _room(file: str) -> str:
    parts = Path(file).parts
    if "asyncssh" in parts:
        return "asyncssh"
    if "site-packages" in parts:
        return ""
    return next((part for part in parts[:-1] if part in ROOMS), "")


def stacks(raw: str) -> Iterator[tuple[str, int]]:
    """Give each stack of py-spy's raw format, with how often it was seen."""
    for line in raw.splitlines():
        stack, _, count = line.rpartition(" ")
        yield stack, int(count)


def profile(fleet: Fleet, scratch: Path, spy: Path, version: Path) -> Counter[str]:
    """Return the milliseconds of one run of that version, by whom they went to."""
    raw = scratch / "raw"
    home = ["--home", str(fleet.folder / f"home-{version.name}"), "--inventory", str(fleet.inventory)]
    asked = ["diagnose", "all", "--probes", str(PROBES), "--answers", str(scratch / "out.jsonl"), "--fail-on", "never"]
    command = [sys.executable, "-c", "import sys; from console.main import main; sys.exit(main())", *home, *asked]
    watched = [str(spy), "record", "--rate", str(RATE), "--format", "raw", "--output", str(raw), "--", *command]
    environ = as_installed() | {"PYTHONPATH": str(version)}
    ended = subprocess.run(fleet.command(*watched), cwd=version, env=environ, capture_output=True, text=True, check=False)
    answers = scratch / "out.jsonl"
    if not raw.exists() or not answers.exists():
        sys.exit(f"bench: the run has not come to its end: {ended.stdout}{ended.stderr}")
    answers.unlink()
    took: Counter[str] = Counter()
    for stack, count in stacks(raw.read_text()):
        took[whose(stack)] += count * 1000 // RATE
    raw.unlink()
    return took


def table(took: Mapping[str, Counter[str]], turns: int) -> str:
    """Return milliseconds for a run, by version, whoever takes most of the last one first."""
    last = list(took.values())[-1]
    names = sorted({name for one in took.values() for name in one}, key=lambda name: -last[name])
    lines = ["{:28}".format("ms of processor time") + "".join(f"{name:>20}" for name in took)]
    lines += [f"{name:28}" + "".join(f"{one[name] / turns:20.0f}" for one in took.values()) for name in names]
    return "\n".join([*lines, "{:28}".format("in all") + "".join(f"{one.total() / turns:20.0f}" for one in took.values())])


def main() -> None:
    """Sample in turns and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--beside", type=Path, help="folder of another version, which takes turns with this one")
    parser.add_argument("--peers", type=Path, default=Path.home() / ".cache" / "longarm-bench")
    asked = parser.parse_args()
    if os.geteuid() != 0:
        sys.exit("bench: needs root, for a network namespace of its own")
    environments(asked.peers, {"py-spy": ("py-spy==0.4.3",)})
    spy = asked.peers / "py-spy" / "bin" / "py-spy"
    versions = ([asked.beside.resolve()] if asked.beside else []) + [HERE.parent]
    took: dict[str, Counter[str]] = {version.name: Counter() for version in versions}
    answers = probe_answers()
    with canned(MANY, frames_of(list(answers), answers)) as (fleet, scratch):
        for version in versions:
            profile(fleet, scratch, spy, version)  # compiles what is not compiled yet
        for _ in range(asked.turns):
            for version in versions:
                took[version.name].update(profile(fleet, scratch, spy, version))
    print(f"{MANY} canned hosts, {len(answers)} questions; {asked.turns} turns\n{table(took, asked.turns)}")


if __name__ == "__main__":
    main()
