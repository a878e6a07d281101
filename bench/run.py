"""`make bench`: the same twelve questions by longarm and its peers, alternated on the same machine, as ratios.

Needs root and openssh-server; makes the peers' environments under --peers (kept for the next time).
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
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bench import fleet as fleets
from bench.fleet import Fleet
from diagnostics.probe_files import load_probes

HERE = Path(__file__).parent
PROBES = HERE / "probes.yaml"
SLOWEST_S, LONG_S = 600, 60
LONG_HOSTS = 200
PEERS = {
    "asyncssh": ("asyncssh==2.24.1",),
    "pyinfra": ("pyinfra==3.10.0",),
    "parallel-ssh": ("parallel-ssh==2.16.0.post1",),
    "ansible": ("ansible-core==2.19.14",),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Runner:
    """One tool in the race: how it is started, and how often at the most."""

    name: str
    command: Callable[[Fleet, Path, Path], Sequence[str]]
    """Of the fleet, the probes as JSON, and the file for the records."""
    at_most: int = 99
    statuses: tuple[int, ...] = (0,)
    """With which it may end: longarm ends with 3 where its own checks could not see everything on a host of this kind."""


@dataclass(slots=True)
class Figures:
    """What one tool took, run by run."""

    wall_s: list[float] = field(default_factory=list)
    cpu_s: list[float] = field(default_factory=list)
    server_cpu_s: list[float] = field(default_factory=list)
    pss_mib: list[float] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)


def peer(environments: Path, name: str, script: str, *extra: str) -> Callable[[Fleet, Path, Path], list[str]]:
    """Return the command of a peer that runs in an environment of its own."""

    def command(fleet: Fleet, probes: Path, out: Path) -> list[str]:
        python = environments / name / "bin" / "python"
        return [str(python), str(HERE / "peers" / script), str(fleet.description), str(probes), str(out), *extra]

    return command


def ours(*extra: str, targets: str = "all") -> Callable[[Fleet, Path, Path], list[str]]:
    """Return the command of longarm: evidence stored, report written, host keys verified."""

    def command(fleet: Fleet, _: Path, out: Path) -> list[str]:
        home = fleet.folder / "longarm"
        longarm = [str(Path(sys.executable).with_name("longarm")), "--home", str(home), "--inventory", str(fleet.inventory)]
        asked = ["--probes", str(PROBES), "--answers", str(out), "--fail-on", "never", *extra]
        return [*longarm, "diagnose", targets, *asked]

    return command


def environments(folder: Path, wanted: Mapping[str, tuple[str, ...]]) -> None:
    """Make environments with those packages, each once."""
    for name, packages in wanted.items():
        if not (folder / name / ".done").exists():
            subprocess.run([sys.executable, "-m", "venv", str(folder / name)], check=True)
            subprocess.run([str(folder / name / "bin" / "pip"), "install", "-q", *packages], check=True)
            (folder / name / ".done").touch()


def one_run(fleet: Fleet, runner: Runner, probes: Path, scratch: Path, figures: Figures, timeout_s: float = SLOWEST_S) -> None:
    """Run one tool once and keep what it took; records that are not complete are a complaint."""
    out = scratch / "out.jsonl"
    out.unlink(missing_ok=True)
    status = metered(fleet, runner.command(fleet, probes, out), scratch / f"{runner.name}.log", figures, timeout_s)
    judged(runner, figures, status, check_records(out, fleet, probes))


def metered(fleet: Fleet, command: Sequence[str], log: Path, figures: Figures, timeout_s: float = SLOWEST_S) -> int | str:
    """Run a command beside a fleet, keep what it took and return how it ended."""
    result = log.with_suffix(".json")
    before = fleet.settle()
    meter = [sys.executable, "-m", "bench.meter", str(result), str(timeout_s), str(log)]
    subprocess.run(fleet.command(*meter, *command), check=True, cwd=HERE.parent, env=as_installed())
    took = json.loads(result.read_text())
    figures.wall_s.append(took["wall_s"])
    figures.cpu_s.append(took["cpu_s"])
    figures.pss_mib.append(took["pss_mib"])
    figures.server_cpu_s.append(fleet.settle() - before)
    status: int | str = took["status"]
    return status


def judged(runner: Runner, figures: Figures, status: int | str, complaint: str) -> None:
    """Keep and show what is wrong with the run that was just made, if anything is."""
    if complaint or status not in runner.statuses:
        figures.complaints.append(f"{complaint} (status {status})".strip())
    shown = f"wall {figures.wall_s[-1]:7.2f}  cpu {figures.cpu_s[-1]:7.2f}  {complaint or 'ok'}"
    print(f"  {runner.name:28} {shown}", file=sys.stderr, flush=True)


def long_runs(fleet: Fleet, probes: Path, scratch: Path, times: int) -> str:
    """Return how many of so many runs of longarm on the whole fleet ended in time with every record and status 0."""
    figures = Figures()
    for _ in range(times):
        one_run(fleet, Runner(name="longarm", command=ours()), probes, scratch, figures, LONG_S)
    whole = f"{times - len(figures.complaints)} of {times} runs of {len(fleet.hosts)} hosts: every record, no hang, status 0"
    walls = f"wall {statistics.median(figures.wall_s):.2f} s ({min(figures.wall_s):.2f}-{max(figures.wall_s):.2f})"
    return "; ".join([whole, walls, *figures.complaints])


def write_probes(folder: Path) -> Path:
    """Write the probes as the peers read them."""
    path = folder / "probes.json"
    path.write_text(json.dumps([{"id": probe.id, "cmd": probe.question.script} for probe in load_probes(PROBES)]))
    return path


def as_installed() -> dict[str, str]:
    """Return an environment in which Python keeps what it compiles, as an installed program has it: all tools alike."""
    return {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}


def check_records(out: Path, fleet: Fleet, probes: Path) -> str:
    """Return what is missing from the records: every host and probe, rc 0, stdout not empty."""
    wanted = {probe["id"] for probe in json.loads(probes.read_text())}
    lines = [json.loads(line) for line in out.read_text().splitlines()] if out.exists() else []
    good = {(line["host"], line["probe"]) for line in lines if line["rc"] == 0 and line["stdout"].strip()}
    complete = sum(probe in wanted for _, probe in good)
    return "" if complete == len(fleet.hosts) * len(wanted) else f"{complete}/{len(fleet.hosts) * len(wanted)} records"


def table(results: dict[str, Figures], count: int, start_s: float) -> str:
    """Return the figures as a table: medians, and the ratio of our wall to each peer's."""
    ours_wall = statistics.median(results["longarm"].wall_s)
    heads = ("runs", "wall s", "(min-max)", "ours/it", "client ms/host", "hosts ms/host", "PSS MiB")
    rows = [" " * 26 + "{:>5}{:>9}{:>16}{:>9}{:>16}{:>15}{:>9}".format(*heads)]
    for name, figures in sorted(results.items(), key=lambda item: statistics.median(item[1].wall_s)):
        wall, low, high = statistics.median(figures.wall_s), min(figures.wall_s), max(figures.wall_s)
        client, server = (1000 * statistics.median(values) / count for values in (figures.cpu_s, figures.server_cpu_s))
        row = f"{name:26}{len(figures.wall_s):5}{wall:9.2f}{low:9.2f}-{high:<6.2f}{ours_wall / wall:9.3f}"
        row += f"{client:16.1f}{server:15.1f}{statistics.median(figures.pss_mib):9.0f}"
        rows.append(f"{row}  {'; '.join(figures.complaints)}".rstrip())
    return "\n".join([*rows, f"\nlongarm version, from start to end: {start_s:.2f} s"])


def start_up_s(*arguments: str, **environ: str) -> float:
    """Return the median wall of a longarm command over seven starts, in seconds."""
    command = [str(Path(sys.executable).with_name("longarm")), *arguments]
    took = []
    for _ in range(7):
        begun = time.perf_counter()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env={**as_installed(), **environ})
        took.append(time.perf_counter() - begun)
    return statistics.median(took)


def completion(lines: tuple[str, ...] = ("di", "diagnose w", "check show f", "run show 2", "case show C")) -> str:
    """Return what `--help` and a Tab behind each of these lines take; the second Tab on, with the names remembered."""
    tab = {line: start_up_s(_LONGARM_COMPLETE="bash_complete", COMP_LINE=f"longarm {line}") for line in lines}
    figures = ", ".join(f"“{line}” {took:.2f}" for line, took in tab.items())
    return f"longarm --help: {start_up_s('--help'):.2f} s; Tab behind {figures} s"


def main() -> None:
    """Run the race and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--hosts", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--ansible-rounds", type=int, default=3, help="of the slow one: a task for each probe")
    parser.add_argument("--peers", type=Path, default=Path.home() / ".cache" / "longarm-bench")
    parser.add_argument("--long", type=int, default=10, help=f"runs of {LONG_HOSTS} hosts whose records are counted")
    parser.add_argument("--only", default="", help="names separated by ;, for a quick look")
    asked = parser.parse_args()
    if os.geteuid() != 0:
        sys.exit("bench: needs root, for a network namespace of its own")
    environments(asked.peers, PEERS)
    runners = [
        Runner(name="longarm", command=ours()),
        Runner(name="longarm + its checks", command=ours("--playbook", "standard"), statuses=(0, 3)),
        Runner(name="bare asyncssh, bundled", command=peer(asked.peers, "asyncssh", "bare_asyncssh.py")),
        Runner(name="pyinfra, 12 facts", command=peer(asked.peers, "pyinfra", "pyinfra_facts.py")),
        Runner(name="parallel-ssh, 12 commands", command=peer(asked.peers, "parallel-ssh", "parallel_ssh.py")),
        Runner(name="ansible, 1 bundled task", command=peer(asked.peers, "ansible", "ansible_play.py", "bundle")),
        Runner(name="ansible, 12 tasks", command=peer(asked.peers, "ansible", "ansible_play.py"), at_most=asked.ansible_rounds),
    ]
    if asked.only:
        runners = [runner for runner in runners if runner.name in asked.only.split(";")]
    with tempfile.TemporaryDirectory(prefix="bench") as folder:
        scratch = Path(folder)
        probes = write_probes(scratch)
        fleet = fleets.start(scratch, asked.hosts)
        results = {runner.name: Figures() for runner in runners if runner.at_most}
        try:
            one_run(fleets.first(fleet, 1), runners[0], probes, scratch, Figures())  # compiles what is not compiled yet
            for turn in range(asked.rounds):
                for runner in runners:
                    if turn < runner.at_most:
                        one_run(fleet, runner, probes, scratch, results[runner.name])
        finally:
            fleets.stop(fleet)
        asked_of = f"{asked.hosts} hosts, {len(json.loads(probes.read_text()))} questions"
        print(f"\n{asked_of}, real sshd, host keys verified (parallel-ssh cannot); medians")
        print(table(results, asked.hosts, start_up_s("version")), completion(), sep="\n")
    if asked.long:
        with tempfile.TemporaryDirectory(prefix="bench") as folder:
            fleet = fleets.start(Path(folder), LONG_HOSTS)
            try:
                print(long_runs(fleet, write_probes(Path(folder)), Path(folder), asked.long))
            finally:
                fleets.stop(fleet)


if __name__ == "__main__":
    main()
