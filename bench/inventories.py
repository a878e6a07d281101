"""`python -m bench.inventories`: 100,000 hosts of an inventory read cold and from the cache, and bad inventories told.

Each figure of a command is that of a `longarm` of its own, start and end included, the median of three; `--hosts` asks
for fewer. The bad inventories are those of the tests, each told within one process, what it has imported left out.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import console.main
from bench.run import as_installed
from tests.console.bad_inventories import table

LONGARM = str(Path(sys.executable).with_name("longarm"))
GROUPS = 50
TIMES = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Took:
    """What one command took."""

    wall_s: float
    cpu_s: float
    peak_mib: int


def ansible_yaml(hosts: int) -> str:
    """Return an Ansible inventory in YAML: groups with variables, hosts with an address and one variable."""
    lines = ["all:", "  children:"]
    for group in range(GROUPS):
        lines += [f"    g{group:02}:", f"      vars: {{site: s{group}, ntp: [10.0.0.1, 10.0.0.2]}}", "      hosts:"]
        lines += [f"        h{n:06}: {{ansible_host: {address(n)}, role: r{n % 7}}}" for n in range(group, hosts, GROUPS)]
    return "\n".join(lines) + "\n"


def ansible_ini(hosts: int) -> str:
    """Return the same inventory in Ansible's INI format."""
    lines: list[str] = []
    for group in range(GROUPS):
        lines += [f"[g{group:02}:vars]", f"site=s{group}", "ntp=['10.0.0.1', '10.0.0.2']", f"[g{group:02}]"]
        lines += [f"h{n:06} ansible_host={address(n)} role=r{n % 7}" for n in range(group, hosts, GROUPS)]
    return "\n".join(lines) + "\n"


def address(number: int) -> str:
    """Return the address of a host."""
    return f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}"


def took(home: Path, *words: str, **more: str) -> Took:
    """Run a command to its end."""
    environ = {**as_installed(), "LONGARM_HOME": str(home), **more}
    begun = time.monotonic()
    with subprocess.Popen([LONGARM, *words], stdout=subprocess.DEVNULL, env=environ) as process:
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    wall_s = time.monotonic() - begun
    if process.returncode:
        sys.exit(f"bench: longarm {' '.join(words)} ended with {process.returncode}")
    return Took(wall_s=wall_s, cpu_s=used.ru_utime + used.ru_stime, peak_mib=used.ru_maxrss // 1024)


def shown(what: str, runs: Sequence[Took]) -> str:
    """Return a line with the medians of some runs."""
    wall_s, cpu_s = (statistics.median(getattr(run, part) for run in runs) for part in ("wall_s", "cpu_s"))
    return f"  {what:<46} wall {wall_s:6.2f} s, CPU {cpu_s:6.2f} s, {max(run.peak_mib for run in runs):4} MiB"


def reading(kind: str, text: str, hosts: int) -> Iterator[str]:
    """Yield what an inventory takes cold, from the cache, and chosen from."""
    with tempfile.TemporaryDirectory() as folder:
        home, source = Path(folder) / "home", Path(folder) / "hosts.yml" if kind == "YAML" else Path(folder) / "hosts"
        home.mkdir(mode=0o700)
        source.write_text(text)
        (home / "inventory.yaml").write_text(f"sources: [{{ansible: {source}}}]\n")
        yield f"{hosts} hosts from Ansible {kind}, {len(text) / 1e6:.1f} MB"
        cold = []
        for _ in range(TIMES):
            for kept in home.rglob("*.cache"):
                kept.unlink()
            cold.append(took(home, "inventory", "show", "h000123"))
        yield shown("one host shown, cold, then kept", cold)
        commands: Mapping[str, Sequence[str]] = {
            "one host shown": ("show", "h000123"),
            "all hosts listed": ("list", "-o", "name"),
            "a site and not a role listed": ("list", "site=s3 and not role=r2", "-o", "name"),
        }
        for what, words in commands.items():
            yield shown(f"{what}, from the cache", [took(home, "inventory", *words) for _ in range(TIMES)])
        asked = {"_LONGARM_COMPLETE": "bash_complete", "COMP_LINE": "longarm diagnose h0001"}
        yield shown("Tab, from the cache", [took(home, **asked) for _ in range(TIMES)])


def bad_inventories() -> str:
    """Return how long each bad inventory takes to be told, and what the process grew to."""
    times: dict[str, float] = {}
    for bad in table():
        with tempfile.TemporaryDirectory() as folder:
            home, files = Path(folder) / "home", Path(folder) / "files"
            home.mkdir(mode=0o700)
            files.mkdir()
            bad.write(files, home)
            os.environ["LONGARM_HOME"] = str(home)
            with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()) as said:
                begun = time.perf_counter()
                code = console.main.run(["inventory", "check"])
                times[bad.why] = 1000 * (time.perf_counter() - begun)
            if code != bad.code or bad.told not in said.getvalue():
                sys.exit(f"bench: {bad.why}: ended with {code}: {said.getvalue()}")
    worst = sorted(times, key=lambda why: times[why])[-3:][::-1]
    peak_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    slowest = ", ".join(f"{times[why]:.0f} ms {why}" for why in worst)
    return f"{len(times)} bad inventories: median {statistics.median(times.values()):.1f} ms; {slowest}; {peak_mib} MiB for all"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--hosts", type=int, default=100_000)
    asked = parser.parse_args()
    for kind, text in (("YAML", ansible_yaml(asked.hosts)), ("INI", ansible_ini(asked.hosts))):
        for line in reading(kind, text, asked.hosts):
            print(line, flush=True)
    print(bad_inventories())


if __name__ == "__main__":
    main()
