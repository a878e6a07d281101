"""`python -m bench.bastion`: 100 hosts over a line of 100 ms, reached directly and through one bastion at its far end.

Prints the walls of both in turn and their ratio. Needs root and openssh-server; the hosts and the bastion are one
real sshd on as many addresses.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from bench import fleet as fleets
from bench.canned import measured
from bench.delay import FAR_END, HOST, delayed
from bench.fleet import PORT, Fleet, name_of, write_inventory
from bench.run import PROBES, check_records, ours, write_probes

GATE = "gate"


def over_the_line(fleet: Fleet, far: Fleet) -> Fleet:
    """Return the fleet as it is reached from behind the line, each host at an address of its own."""
    addresses = [f"10.77.{1 + index // 250}.{index % 250 + 1}" for index in range(len(fleet.hosts))]
    script = "".join(f"address add {address}/32 dev line0\n" for address in addresses)
    subprocess.run(["ip", "-n", fleet.namespace, "-batch", "-"], input=script, text=True, check=True)
    subprocess.run(["ip", "-n", far.namespace, "route", "add", "10.77.0.0/16", "dev", "line0", "src", FAR_END], check=True)
    return replace(far, hosts=tuple(addresses), inventory=write_inventory(fleet.folder, "direct.yaml", addresses))


def through_a_bastion(fleet: Fleet, direct: Fleet) -> Fleet:
    """Return the same hosts at their inner addresses, reached through one bastion at the far end of the line."""
    path = fleet.folder / "behind.yaml"
    gate = f"  {GATE}: {{address: {HOST}, port: {PORT}, credential: bench}}\n"
    inner = "".join(
        f"  {name_of(index)}: {{address: {address}, port: {PORT}, credential: bench, via: {GATE}}}\n"
        for index, address in enumerate(fleet.hosts)
    )
    path.write_text(f"credentials:\n  bench: {{user: root, key: {fleet.folder}/id}}\nhosts:\n{gate}{inner}")
    known = fleet.folder / "longarm" / "known_hosts"
    known.write_text(f"{known.read_text()}{GATE} {' '.join((fleet.folder / 'hostkey.pub').read_text().split()[:2])}\n")
    return replace(direct, hosts=fleet.hosts, inventory=path)


@contextmanager
def both_ways(count: int, round_trip_ms: float) -> Iterator[tuple[Fleet, Fleet, Path]]:
    """Give a fleet behind the line as it is reached directly and through its bastion, and a folder for results."""
    with tempfile.TemporaryDirectory(prefix="bastion") as folder:
        scratch = Path(folder)
        fleet = fleets.start(scratch, count)
        try:
            with delayed(fleet, round_trip_ms) as far:
                direct = over_the_line(fleet, far)
                yield direct, through_a_bastion(fleet, direct), scratch
        finally:
            fleets.stop(fleet)


def one_wall_s(fleet: Fleet, probes: Path, scratch: Path, targets: str) -> float:
    """Run longarm on the hosts and return what it took, in seconds; a record that is missing ends the bench."""
    out = scratch / "out.jsonl"
    out.unlink(missing_ok=True)
    took = measured(fleet, ours(targets=targets)(fleet, PROBES, out), scratch)
    complaint = check_records(out, fleet, probes)
    if complaint or took.status != 0:
        sys.exit(f"bench: {complaint} (status {took.status}): {(scratch / 'log').read_text()}")
    return took.wall_s


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--hosts", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--ms", type=float, default=100, help="the round trip of the line")
    asked = parser.parse_args()
    if os.geteuid() != 0:
        sys.exit("bench: needs root, for network namespaces of its own")
    walls: dict[str, list[float]] = {"direct": [], "through a bastion": []}
    with both_ways(asked.hosts, asked.ms) as (direct, behind, scratch):
        probes = write_probes(scratch)
        for _ in range(asked.rounds):
            walls["direct"].append(one_wall_s(direct, probes, scratch, "all"))
            walls["through a bastion"].append(one_wall_s(behind, probes, scratch, f"all and not {GATE}"))
    medians = {name: statistics.median(took) for name, took in walls.items()}
    for name, took in walls.items():
        print(f"{name:20}{medians[name]:8.2f} s   ({min(took):.2f}-{max(took):.2f})")
    print(f"{asked.hosts} hosts over {asked.ms:g} ms: {medians['through a bastion'] / medians['direct']:.2f} x direct")


if __name__ == "__main__":
    main()
