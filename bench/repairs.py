"""`python -m bench.repairs`: five steps on a fleet that can be changed, by longarm and by ansible-core in turn.

A file, a template, two commands with `creates`, and a check (bench/steps). Each round clears the hosts, runs a tool twice
and looks at the hosts: after the first run the files must be those that are wanted, after the second untouched, and the
tool must have said so. Needs root and openssh-server; the peers' environments are those of `make bench`.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import statistics
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from bench import fleet as fleets
from bench.fleet import Fleet
from bench.run import HERE, PEERS, Figures, Runner, environments, judged, metered, start_up_s, table

STEPS = HERE / "steps"
WANTED = {
    "motd": (0o644, "This host is looked after.\nCall the desk before you change it.\n"),
    "app.conf": (0o640, "[shop]\nport = 8080\nuser = SHOP\n"),
    "words": (0o644, "a\nb\nc\n"),
    "shop/sum": (0o644, "3807519765 31 /srv/app.conf\n"),
}
CHANGED_STEPS = len(WANTED)
AT_ONCE = 50
Said: TypeAlias = Callable[[Path], tuple[int, int]]
"""Of what a tool wrote: how many hosts it says it has changed, and how many it left as they were."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Racer:
    """One tool, and how what it says is read."""

    runner: Runner
    said: Said


def longarm(fleet: Fleet, _: Path, out: Path) -> Sequence[str]:
    """Return the command of longarm: journal on disk, asked before and after, report written, host keys verified."""
    program = [str(Path(sys.executable).with_name("longarm")), "--home", str(fleet.folder / "longarm")]
    targets = ["repair", str(STEPS / "longarm.yaml"), "all", "--count", str(len(fleet.hosts)), "--concurrency", str(AT_ONCE)]
    words = [*program, "--inventory", str(fleet.inventory), "--json", *targets]
    return ["sh", "-c", 'exec "$@" >"$0"', str(out), *words]


def longarm_said(out: Path) -> tuple[int, int]:
    """Return the hosts that were changed and unchanged, by the document of a run."""
    changes = json.loads(out.read_text())["repair"]["changes"]
    return changes.get("changed", 0), changes.get("unchanged", 0)


def ansible(folder: Path) -> Callable[[Fleet, Path, Path], Sequence[str]]:
    """Return what gives the command of ansible-core in its environment."""

    def command(fleet: Fleet, _: Path, out: Path) -> Sequence[str]:
        python = folder / "ansible" / "bin" / "python"
        return [str(python), str(HERE / "peers" / "ansible_steps.py"), str(fleet.description), str(out)]

    return command


def ansible_said(out: Path) -> tuple[int, int]:
    """Return the hosts that were changed in every step and unchanged, by the recap."""
    rows = re.findall(r" : ok=(\d+)\s+changed=(\d+)\s+unreachable=0\s+failed=0", out.read_text())
    done = [int(changed) for ok, changed in rows if int(ok) == CHANGED_STEPS + 1]
    return done.count(CHANGED_STEPS), done.count(0)


def clear(fleet: Fleet) -> None:
    """Empty what the steps fill, on every host."""
    for host in fleet.hosts:
        for path in (fleet.folder_of(host) / "srv").iterdir():
            shutil.rmtree(path) if path.is_dir() else path.unlink()


def state_of(fleet: Fleet, host: str) -> dict[str, tuple[int, str, int]]:
    """Return what lies on a host by name: mode, content, when it was written."""
    top = fleet.folder_of(host) / "srv"
    files = [path for path in top.rglob("*") if path.is_file()]
    return {
        str(path.relative_to(top)): (path.stat().st_mode & 0o7777, path.read_text(), path.stat().st_mtime_ns) for path in files
    }


def is_wanted(fleet: Fleet, host: str) -> bool:
    """Tell whether all steps have been done on a host, and nothing else."""
    found = {name: about[:2] for name, about in state_of(fleet, host).items()}
    return found == WANTED and (fleet.folder_of(host) / "srv/shop/spool").is_dir()


def one_round(fleet: Fleet, racer: Racer, scratch: Path, first: Figures, second: Figures) -> None:
    """Clear the hosts and let a tool do the steps, then once more; what the hosts do not bear out is a complaint."""
    clear(fleet)
    count, out, log = len(fleet.hosts), scratch / "out", scratch / f"{racer.runner.name}.log"
    before: dict[str, dict[str, tuple[int, str, int]]] = {}
    for figures in (first, second):
        out.unlink(missing_ok=True)
        status = metered(fleet, racer.runner.command(fleet, scratch, out), log, figures)
        done = sum(is_wanted(fleet, host) for host in fleet.hosts)
        changed, unchanged = racer.said(out) if out.exists() else (0, 0)
        told = changed if figures is first else unchanged
        touched = sum(state_of(fleet, host) != kept for host, kept in before.items())
        complaint = "" if (done, told, touched) == (count, count, 0) else f"{done} done, {told} told, {touched} touched again"
        judged(racer.runner, figures, status, complaint)
        before = {host: state_of(fleet, host) for host in fleet.hosts}


def verdict(results: dict[str, Figures], what: str) -> str:
    """Return longarm's wall and CPU over those of ansible-core."""
    (wall, cpu), (wall_of_it, cpu_of_it) = (
        (statistics.median(results[name].wall_s), statistics.median(results[name].cpu_s))
        for name in ("longarm", "ansible-core")
    )
    return f"{what}: wall {wall / wall_of_it:.3f} of ansible-core's, client CPU {cpu / cpu_of_it:.3f}"


def main() -> None:
    """Run the race and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--hosts", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--peers", type=Path, default=Path.home() / ".cache" / "longarm-bench")
    parser.add_argument("--only", default="", help="names separated by ;, for a quick look")
    asked = parser.parse_args()
    if os.geteuid() != 0:
        sys.exit("bench: needs root, for namespaces of its own")
    environments(asked.peers, PEERS)
    racers = [
        Racer(runner=Runner(name="longarm", command=longarm), said=longarm_said),
        Racer(runner=Runner(name="ansible-core", command=ansible(asked.peers)), said=ansible_said),
    ]
    racers = [racer for racer in racers if not asked.only or racer.runner.name in asked.only.split(";")]
    first, second = ({racer.runner.name: Figures() for racer in racers} for _ in range(2))
    with tempfile.TemporaryDirectory(prefix="bench") as folder:
        fleet = fleets.start_apart(Path(folder), asked.hosts)
        try:
            for _ in range(asked.rounds):
                for racer in racers:
                    name = racer.runner.name
                    one_round(fleet, racer, Path(folder), first[name], second[name])
        finally:
            fleets.stop(fleet)
    start_s = start_up_s("version")
    for what, results in (("five steps", first), ("the same again, nothing to do", second)):
        print(f"\n{asked.hosts} hosts, {what}; medians", table(results, asked.hosts, start_s), sep="\n")
        if len(results) > 1:
            print(verdict(results, what))


if __name__ == "__main__":
    main()
