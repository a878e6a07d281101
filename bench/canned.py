"""`python -m bench.canned`: what our own side costs, against hosts that cost nearly nothing (canned.c).

Prints the client's CPU per host as the slope between two sizes of fleet, of all of longarm and of its sessions alone, beside
bare asyncssh with the same bytes, the CPU of a start, the round trips of one host over a slow line, and whether ten big runs
accounted for every record.
Needs root, gcc and libssh-dev.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from bench import fleet as fleets
from bench.delay import delayed
from bench.fleet import Fleet
from bench.run import PROBES, as_installed, long_runs, ours, write_probes
from diagnostics.library import load_library
from diagnostics.probe_files import load_probes
from inventory.host import Expectations
from playbooks.load import find_playbook
from playbooks.model import DEFAULT_PLAYBOOK
from remote.answer import Answer, answered
from remote.bundle.exchange import BundleExchange
from remote.bundle.manifest import Manifest, write_frames
from remote.lab.captures import read_captures
from remote.question import Question

HERE = Path(__file__).parent
NONCE = "0" * 32
SCENARIOS = HERE.parent / "remote" / "lab" / "scenarios"
HEALTHY = ("calm.evidence", "healthy.evidence")
"""What practice hosts answer that are healthy: together every standard question."""
FEW, MANY, TURNS, LONG = 20, 200, 5, 10
NEAR_MS, FAR_MS = 20, 120
SESSIONS, BARE = "its sessions alone", "bare asyncssh"


@dataclass(frozen=True, slots=True, kw_only=True)
class Took:
    """What one run of one tool took."""

    wall_s: float
    cpu_s: float
    pss_mib: float
    status: int | str


def probe_answers() -> dict[str, Answer]:
    """Return the twelve probes as this machine answers them."""
    asked = {probe.id: probe.question.script for probe in load_probes(PROBES)}
    return {
        name: answered(subprocess.run(["sh", "-c", script], capture_output=True, check=True).stdout)
        for name, script in asked.items()
    }


def standard_questions() -> tuple[Question, ...]:
    """Return what `diagnose` asks of a Linux host without expectations."""
    checks = find_playbook(DEFAULT_PLAYBOOK).checks
    return load_library().questions(checks, "linux", Expectations())


def frames_of(questions: Sequence[str], answers: dict[str, Answer]) -> tuple[bytes, bytes]:
    """Return what a healthy host sends, with a nonce of zeros."""
    return write_frames(Manifest(nonce=NONCE, questions=tuple(questions)), answers)


def healthy_frames() -> tuple[bytes, bytes]:
    """Return the standard questions as a healthy Debian host answers them."""
    captured = {
        name: answer for file in HEALTHY for name, answer in read_captures((SCENARIOS / file).read_bytes(), file).items()
    }
    asked = [question.id for question in standard_questions()]
    if missing := set(asked) - captured.keys():
        sys.exit(f"bench: no healthy host has answered {', '.join(sorted(missing))}")
    return frames_of(asked, captured)


def measured(fleet: Fleet, command: Sequence[str], scratch: Path, timeout_s: float = 300) -> Took:
    """Run one command inside the fleet's namespace and return what its whole process tree took."""
    fleet.settle()
    result = scratch / "result.json"
    meter = [sys.executable, "-m", "bench.meter", str(result), str(timeout_s), str(scratch / "log")]
    subprocess.run(fleet.command(*meter, *command), check=True, cwd=HERE.parent, env=as_installed())
    return Took(**json.loads(result.read_text()))


@contextmanager
def canned(count: int, frames: tuple[bytes, bytes]) -> Iterator[tuple[Fleet, Path]]:
    """Give a fleet of canned hosts, and a folder for results."""
    with tempfile.TemporaryDirectory(prefix="canned") as folder:
        scratch = Path(folder)
        fleet = fleets.start_canned(scratch, count, frames)
        try:
            yield fleet, scratch
        finally:
            fleets.stop(fleet)


def bare(fleet: Fleet, count: int) -> list[str]:
    """Return the command that sends our script and takes our bytes with asyncssh alone, and does nothing with them."""
    script = fleet.folder / "script"
    script.write_bytes(BundleExchange([probe.question for probe in load_probes(PROBES)], nonce=NONCE).script)
    return [sys.executable, str(HERE / "peers" / "bare_canned.py"), str(fleet.description), str(script), str(count)]


def sessions(fleet: Fleet, count: int) -> list[str]:
    """Return the command that reaches and asks hosts as longarm does, and does nothing with what they say."""
    known_hosts = fleet.folder / "longarm" / "known_hosts"
    return [sys.executable, str(HERE / "peers" / "our_sessions.py"), str(fleet.inventory), str(known_hosts), str(count)]


def slopes(fleet: Fleet, scratch: Path, turns: int) -> str:
    """Return the table of CPU: of both sizes, for each host between them, and what is left for the start."""
    out = scratch / "out.jsonl"
    cpu: dict[tuple[str, int], list[float]] = {}
    for _ in range(turns):
        for count in (FEW, MANY):
            some = fleets.first(fleet, count)
            ways = {"longarm": ours()(some, PROBES, out), SESSIONS: sessions(some, count), BARE: bare(fleet, count)}
            for name, command in ways.items():
                cpu.setdefault((name, count), []).append(measured(some, command, scratch).cpu_s)
    heads = ("cpu s @20", "cpu s @200", "ms/host", "start s")
    rows = [" " * 18 + "".join(f"{head:>12}" for head in heads)]
    slope = {}
    for name in ("longarm", SESSIONS, BARE):
        few, many = (statistics.median(cpu[name, count]) for count in (FEW, MANY))
        slope[name] = (many - few) / (MANY - FEW)
        rows.append(f"{name:18}{few:12.3f}{many:12.3f}{1000 * slope[name]:12.2f}{few - FEW * slope[name]:12.3f}")
    rows.append(f"its sessions alone: {slope[SESSIONS] / slope[BARE]:.2f} of bare asyncssh")
    return "\n".join(rows)


def round_trips(fleet: Fleet, scratch: Path, turns: int) -> str:
    """Return the round trips of one host: the slope of its time over the length of the line."""
    host_s = {}
    for ms in (NEAR_MS, FAR_MS):
        with delayed(fleet, ms) as far:
            command = ours()(far, PROBES, scratch / "out.jsonl")
            took = [measured(far, command, scratch) for _ in range(turns)]
        if any(one.status != 0 for one in took):
            return f"a run over {ms} ms failed: {(scratch / 'log').read_text()}"
        newest = sorted((fleet.folder / "longarm" / "reports").glob("*.json"))[-turns:]
        host_s[ms] = min(_host_s(report) for report in newest)
    trips = 1000 * (host_s[FAR_MS] - host_s[NEAR_MS]) / (FAR_MS - NEAR_MS)
    return f"one host at {NEAR_MS} ms: {host_s[NEAR_MS]:.2f} s, at {FAR_MS} ms: {host_s[FAR_MS]:.2f} s: {trips:.1f} round trips"


def _host_s(report: Path) -> float:
    """Return the seconds from before the connection to after the last answer of the one host of a run."""
    [host] = json.loads(report.read_text())["hosts"]
    begun, ended = (datetime.fromisoformat(host[name]) for name in ("started_at", "ended_at"))
    return (ended - begun).total_seconds()


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--turns", type=int, default=TURNS)
    parser.add_argument("--long", type=int, default=LONG, help=f"runs of {MANY} hosts whose records are counted")
    asked = parser.parse_args()
    if os.geteuid() != 0:
        sys.exit("bench: needs root, for a network namespace of its own")
    answers = probe_answers()
    with canned(MANY, frames_of(list(answers), answers)) as (fleet, scratch):
        text = slopes(fleet, scratch, asked.turns)
        print(
            f"12 questions, canned hosts, host keys verified, evidence stored, report written; medians of {asked.turns}\n{text}"
        )
        if asked.long:
            print(long_runs(fleet, write_probes(scratch), scratch, asked.long))
        print(round_trips(fleet, scratch, 3))


if __name__ == "__main__":
    main()
