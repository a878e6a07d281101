"""`python -m bench.scale`: memory of a run in flight and per finished host, ten thousand hosts at once, big inventories.

The hosts are canned (canned.c) and answer every check as a healthy Debian host did. Needs root, gcc and libssh-dev;
with Chromium the report of the biggest run is opened too.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bench import fleet as fleets
from bench.canned import canned, healthy_frames
from bench.fleet import Fleet
from bench.meter import descendants
from bench.run import as_installed

HERE = Path(__file__).parent
AT_ONCE = 200
FILES, FILE_HOSTS = 4, 25_000
_PROGRESS = re.compile(r"^(\d+) of \d+ hosts")
_BEGUN = re.compile(r"^run (\S+): ")


@dataclass(slots=True)
class Watched:
    """One run of longarm, watched from outside."""

    run: str = ""
    idle_mib: float = 0.0
    """When the run had begun and no host was connected to."""
    rss_mib: dict[int, float] = field(default_factory=dict)
    """By hosts that had ended."""
    peak_mib: float = 0.0
    wall_s: float = 0.0
    cpu_s: float = 0.0
    status: int = 0


def watched(fleet: Fleet) -> Watched:
    """Diagnose a fleet with every check of the standard playbook and return what was seen of it."""
    home = fleet.folder / "longarm"
    longarm = [str(Path(sys.executable).with_name("longarm")), "--home", str(home), "--inventory", str(fleet.inventory)]
    asked = [*longarm, "diagnose", "all", "--concurrency", str(AT_ONCE), "--fail-on", "never"]
    seen, before = Watched(), resource.getrusage(resource.RUSAGE_CHILDREN)
    begun = time.monotonic()
    with subprocess.Popen(
        fleet.command(*asked), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env=as_installed(), cwd=HERE.parent
    ) as process:
        ended = threading.Event()

        def sample() -> None:
            while not ended.wait(0.02):
                seen.peak_mib = max(seen.peak_mib, rss_mib(process.pid))

        sampler = threading.Thread(target=sample)
        sampler.start()
        assert process.stderr
        try:
            for line in process.stderr:
                if match := _BEGUN.match(line):
                    seen.run, seen.idle_mib = match[1], rss_mib(process.pid)
                elif match := _PROGRESS.match(line):
                    seen.rss_mib[int(match[1])] = rss_mib(process.pid)
            seen.status = process.wait()
        finally:
            ended.set()
            sampler.join()
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    seen.wall_s = time.monotonic() - begun
    seen.cpu_s = used.ru_utime + used.ru_stime - before.ru_utime - before.ru_stime
    return seen


def rss_mib(pid: int) -> float:
    """Return the resident memory of a process and its children in MiB."""
    total = 0
    for one in (pid, *descendants(pid)):
        try:
            total += int(Path(f"/proc/{one}/statm").read_text().split()[1]) * resource.getpagesize()
        except OSError:
            continue
    return total / 2**20


def memory(fleet: Fleet) -> str:
    """Return what 200 hosts in flight take, over the process that has not connected to any."""
    runs = [watched(fleets.first(fleet, AT_ONCE)) for _ in range(3)]
    grown = statistics.median(max(run.rss_mib.values()) - run.idle_mib for run in runs)
    idle = statistics.median(run.idle_mib for run in runs)
    return f"{AT_ONCE} hosts in flight: {grown:.0f} MiB over the {idle:.0f} MiB of the process before the first connection"


def big_run(fleet: Fleet) -> tuple[str, Path]:
    """Return what a run of the whole fleet came to, and where its report is."""
    home, count = fleet.folder / "longarm", len(fleet.hosts)
    before = stored_bytes(home)
    run = watched(fleet)
    page = home / "reports" / f"{run.run}.html"
    document = json.loads(page.with_suffix(".json").read_text())
    first, last = count // 2, max(run.rss_mib)  # until half of it, connections that are gone wait for the collector
    per_host = (run.rss_mib[last] - run.rss_mib[first]) * 1024 / (last - first)
    ended = document["coverage"]["outcomes"]
    kib = (stored_bytes(home) - before) / count / 1024
    rows = [
        f"{count} hosts, every check: {sum(ended.values())} accounted for, {ended['ok']} ok, status {run.status}",
        f"  wall {run.wall_s:.0f} s, {1000 * run.cpu_s / count:.1f} ms CPU per host, all included",
        f"  memory {per_host:.1f} KiB per finished host while it runs, peak {run.peak_mib:.0f} MiB with the report",
        f"  store {kib:.1f} KiB per host on disk, page {page.stat().st_size / 2**20:.2f} MiB",
    ]
    return "\n".join(rows), page


def stored_bytes(home: Path) -> int:
    """Return what evidence and database take on the disk, in whole blocks, the log of the database left out."""
    files = [
        path for path in home.rglob("*") if path.is_file() and "reports" not in path.parts and not path.name.endswith("-wal")
    ]
    return sum(path.stat().st_blocks * 512 for path in files)


def opening(page: Path) -> str:
    """Return how long Chromium takes for the page beyond an empty one."""
    browser = shutil.which("chromium")
    if browser is None:
        return "no Chromium here: the page was not opened"
    words = [browser, "--headless", "--no-sandbox", "--disable-gpu", "--window-size=1280,4000"]
    with tempfile.TemporaryDirectory() as folder:
        picture = f"--screenshot={folder}/page.png"
        took = {
            url: statistics.median(timed([*words, f"--user-data-dir={folder}/profile", picture, url]) for _ in range(3))
            for url in ("about:blank", page.as_uri())
        }
    more_s = max(0.0, took[page.as_uri()] - took["about:blank"])
    return f"  page opened and drawn in Chromium in {more_s:.2f} s more than an empty one"


def timed(command: Sequence[str]) -> float:
    """Return the wall of a command in seconds."""
    begun = time.monotonic()
    subprocess.run(command, check=True, capture_output=True)
    return time.monotonic() - begun


def inventories(folder: Path) -> str:
    """Return what an inventory of 100,000 hosts in four files takes to load and to select from."""
    files = []
    for number in range(FILES):
        files.append(folder / f"hosts{number}.yaml")
        hosts = (
            f"  h{index:06}: {{address: 10.{index >> 16}.{index >> 8 & 255}.{index & 255}, "
            f"site: s{index % 50}, tags: [t{index % 7}]}}\n"
            for index in range(number * FILE_HOSTS, (number + 1) * FILE_HOSTS)
        )
        files[-1].write_text("hosts:\n" + "".join(hosts))
    words = [sys.executable, "-c", _LOAD, *map(str, files)]
    told = json.loads(subprocess.run(words, check=True, capture_output=True, cwd=HERE.parent, env=as_installed()).stdout)
    selects = ", ".join(f"`{expression}` {took:.2f} s" for expression, took in told["selects"].items())
    return f"{told['hosts']} hosts of inventory: loaded in {told['load_s']:.1f} s, {told['peak_mib']} MiB; selected: {selects}"


_LOAD = """
import gc, json, resource, sys, time
from pathlib import Path
from inventory.own import load_inventory
gc.set_threshold(1_000_000, 50, 50)  # as console.main does
begun = time.perf_counter()
inventory = load_inventory(tuple(map(Path, sys.argv[1:])))
load_s = time.perf_counter() - begun
selects = {}
for expression in ("all", "site=s3 and not tag=t2", "h00*", "h[000001:000500]"):
    begun = time.perf_counter()
    inventory.select(expression)
    selects[expression] = time.perf_counter() - begun
peak_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
print(json.dumps({"hosts": len(inventory.hosts), "load_s": load_s, "peak_mib": peak_mib, "selects": selects}))
"""


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--hosts", type=int, default=10_000)
    asked = parser.parse_args()
    if os.geteuid() != 0:
        sys.exit("bench: needs root, for a network namespace of its own")
    with tempfile.TemporaryDirectory() as folder:
        print(inventories(Path(folder)), flush=True)
    with canned(asked.hosts, healthy_frames()) as (fleet, _):
        print(memory(fleet), flush=True)
        text, page = big_run(fleet)
        print(text, flush=True)
        print(opening(page))


if __name__ == "__main__":
    main()
