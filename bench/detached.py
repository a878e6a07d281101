"""`python -m bench.detached`: a changing step on a warm connection over a line of 100 ms, beside plain `ssh HOST COMMAND`.

Prints the medians of both in turn and of their ratio, for a command that does nothing and for one that takes a second, and
the round trips that a step costs more, from the slope over two lengths of the line. Needs root and openssh-server.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Coroutine
from pathlib import Path

from bench import fleet as fleets
from bench.delay import HOST, delayed
from bench.fleet import PORT, Fleet
from inventory.host import CredentialReference, Host
from inventory.secret import Masker
from remote.breaker import Breaker
from remote.command import Command
from remote.credentials import CredentialStore
from remote.detached import DetachedCommand, State
from remote.host_keys import HostKey
from remote.known_hosts import KnownHosts
from remote.session import Session
from remote.ssh import SshConnector
from remote.ssh_library import asyncssh

COMMANDS = {"nothing": "true", "a second": "sleep 1"}
NEAR_MS, FAR_MS, FARTHEST_MS = 20, 100, 600
Way = Callable[[Session, str, int], Coroutine[None, None, None]]


async def by_a_step(session: Session, script: str, number: int) -> None:
    """Start it detached and forget the one before, as a playbook does."""
    before = (f"bench-{os.getpid()}-{number - 1:06}",) if number else ()
    step = DetachedCommand(id=f"bench-{os.getpid()}-{number:06}", token=1, command=Command(script=script), forget=before)
    standing = await session.start(step, wait_s=20, deadline_s=60)
    if standing.state is not State.DONE:
        sys.exit(f"bench: {standing}")


def by_ssh(config: Path, path: Path) -> Way:
    """Return what runs it over a connection that is open: `ssh` with a control socket."""

    async def run(_: Session, script: str, __: int) -> None:
        words = ("ssh", "-F", str(config), "-o", f"ControlPath={path}", HOST, script)
        process = await asyncio.create_subprocess_exec(*words)
        if await process.wait():
            sys.exit("bench: ssh failed")

    return run


async def inside(folder: Path, turns: int) -> dict[str, dict[str, float]]:
    """Return the medians of each way for each command, in seconds; this process is at the near end of the line."""
    known = KnownHosts(folder / "known")
    key = HostKey.of(asyncssh.read_public_key(folder / "hostkey.pub").public_data)
    known.add("far", key)
    host = Host(
        name="far", address=HOST, port=PORT, credential=CredentialReference(name="b", user="root", key=str(folder / "id"))
    )
    connect = SshConnector(known_hosts=known, credentials=CredentialStore(masker=Masker()), breaker=Breaker())
    config, control = folder / "ssh_config", folder / "control"
    master = await asyncio.create_subprocess_exec("ssh", "-F", str(config), "-o", f"ControlPath={control}", "-MNf", HOST)
    await master.wait()
    took: dict[str, dict[str, float]] = {}
    async with connect(host) as session:
        ways: dict[str, Way] = {"ssh": by_ssh(config, control), "step": by_a_step}
        number = 0
        for name, script in COMMANDS.items():
            times: dict[str, list[float]] = {way: [] for way in ways}
            for turn in range(turns + 1):
                for way, run in ways.items():
                    began = time.perf_counter()
                    await run(session, script, number)
                    if turn:  # the first one warms both up
                        times[way].append(time.perf_counter() - began)
                number += 1
            took[name] = {way: statistics.median(values) for way, values in times.items()}
    leaving = await asyncio.create_subprocess_exec("ssh", "-F", str(config), "-o", f"ControlPath={control}", "-O", "exit", HOST)
    await leaving.wait()
    return took


def measured(fleet: Fleet, turns: int, ms: float) -> dict[str, dict[str, float]]:
    """Return the medians over a line of this length."""
    with delayed(fleet, ms) as far:
        config = far.folder / "ssh_config"
        (far.folder / "known_hosts").write_text(
            f"[{HOST}]:{PORT} {' '.join((far.folder / 'hostkey.pub').read_text().split()[:2])}\n"
        )
        words = far.command(sys.executable, "-m", "bench.detached", "--inside", str(config.parent), "--turns", str(turns))
        done = subprocess.run(words, check=True, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parent.parent)
    medians: dict[str, dict[str, float]] = json.loads(done.stdout)
    return medians


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--turns", type=int, default=9)
    parser.add_argument("--inside", type=Path, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.inside:
        print(json.dumps(asyncio.run(inside(asked.inside, asked.turns))))
        return
    if os.geteuid() != 0:
        sys.exit("bench: needs root, for network namespaces of its own")
    with tempfile.TemporaryDirectory(prefix="detached") as folder:
        (places := Path(folder) / "lib").mkdir()
        fleet = fleets.start(Path(folder), 1)
        try:
            mount = ("nsenter", f"--mount=/proc/{fleet.server_pids[0]}/ns/mnt", "mount", "--bind", str(places), "/var/lib")
            subprocess.run(mount, check=True)
            near, far, farthest = (measured(fleet, asked.turns, ms) for ms in (NEAR_MS, FAR_MS, FARTHEST_MS))
        finally:
            fleets.stop(fleet)
    for name, ways in far.items():
        print(f"{name:10} ssh {ways['ssh']:.3f} s   step {ways['step']:.3f} s   {ways['step'] / ways['ssh']:.2f} x")
    more_ms = FARTHEST_MS - NEAR_MS
    trips = {way: 1000 * (farthest["nothing"][way] - near["nothing"][way]) / more_ms for way in ("ssh", "step")}
    print(f"round trips: ssh {trips['ssh']:.1f}, step {trips['step']:.1f}")


if __name__ == "__main__":
    main()
