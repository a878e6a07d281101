"""`python -m bench.hostile`: does a hostile host hold up the others (F16)? 500 hosts, of which some hang or flood.

One run with canned hosts only (canned.c), one with each twentieth host hanging, one with each twentieth flooding, and one
with each fifth hanging, which are twice as many as there are places with 50 at once; in turn. What counts is when the last
*good* host has ended, from the start of the first one; a host that hangs takes its own deadline in any case, so the whole
wall is printed beside it. Needs root, gcc and libssh-dev.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import statistics
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from itertools import cycle
from pathlib import Path
from typing import TypeAlias

from bench.canned import canned, frames_of, measured, probe_answers
from bench.fleet import PORT, Fleet, write_inventory
from bench.run import PROBES, ours
from remote.ssh_library import asyncssh

COUNT, TURNS, DEADLINE_S = 500, 3, 20
FIRST_PORT = 2300
Reader: TypeAlias = asyncio.StreamReader
Writer: TypeAlias = asyncio.StreamWriter
Process: TypeAlias = "asyncssh.SSHServerProcess[bytes]"
LINE = b"welcome\r\n" * 1000
IGNORE = bytes((0, 0, 0, 12, 6, 2)) + bytes(10)
"""SSH_MSG_IGNORE with an empty string, not encrypted (RFC 4253 6 and 11.2)."""


async def says_nothing(reader: Reader, writer: Writer) -> None:
    """Accept, and that is all."""
    await reader.read()


async def only_a_version(reader: Reader, writer: Writer) -> None:
    """Begin the key exchange and leave it there."""
    writer.write(b"SSH-2.0-bench\r\n")
    await reader.read()


async def endless_greeting(reader: Reader, writer: Writer) -> None:
    """Send lines where a version is expected."""
    while True:
        writer.write(LINE)
        await writer.drain()


async def packets_to_ignore(reader: Reader, writer: Writer) -> None:
    """Send SSH_MSG_IGNORE without end before the key exchange."""
    writer.write(b"SSH-2.0-bench\r\n")
    while True:
        writer.write(IGNORE * 1000)
        await writer.drain()


async def starts_and_waits(process: Process) -> None:
    """Take the script and answer nothing."""
    await process.stdin.read()


async def pours(process: Process, *, stderr: bool = False) -> None:
    """Answer with zeros at full speed."""
    sink = process.stderr if stderr else process.stdout
    while not process.is_closing():
        sink.write(bytes(65536))
        await sink.drain()


async def pours_on_stderr(process: Process) -> None:
    """Answer with zeros at full speed where nobody expects them."""
    await pours(process, stderr=True)


BEFORE_SSH: tuple[Callable[[Reader, Writer], Awaitable[None]], ...] = (
    says_nothing,
    only_a_version,
    endless_greeting,
    packets_to_ignore,
)
AFTER_LOGIN: tuple[Callable[[Process], Awaitable[None]], ...] = (starts_and_waits, pours, pours_on_stderr)
PORTS = {kind.__name__: FIRST_PORT + at for at, kind in enumerate((*BEFORE_SSH, *AFTER_LOGIN))}
HANGING = ("says_nothing", "only_a_version", "starts_and_waits")
FLEETS: dict[str, tuple[int, tuple[str, ...]]] = {
    "all good": (COUNT, ()),
    "5 % hanging": (20, HANGING),
    "5 % flooding": (20, ("endless_greeting", "packets_to_ignore", "pours", "pours_on_stderr")),
    "20 % hanging": (5, HANGING),
}
"""Each how manieth host is hostile, and of which kinds."""


async def serve(folder: Path) -> None:
    """Be every kind of hostile host, each on its port, until killed."""

    def raw(kind: Callable[[Reader, Writer], Awaitable[None]]) -> Callable[[Reader, Writer], Awaitable[None]]:
        async def handle(reader: Reader, writer: Writer) -> None:
            with contextlib.suppress(ConnectionError), contextlib.closing(writer):
                await kind(reader, writer)

        return handle

    def process(kind: Callable[[Process], Awaitable[None]]) -> Callable[[Process], Awaitable[None]]:
        async def handle(process: Process) -> None:
            with contextlib.suppress(ConnectionError, asyncssh.Error):
                await kind(process)

        return handle

    for kind in BEFORE_SSH:
        await asyncio.start_server(raw(kind), "0.0.0.0", PORTS[kind.__name__])
    for behaviour in AFTER_LOGIN:
        await asyncssh.listen(
            "0.0.0.0",
            PORTS[behaviour.__name__],
            server_host_keys=[str(folder / "hostkey")],
            authorized_client_keys=str(folder / "authorized_keys"),
            process_factory=process(behaviour),
            encoding=None,
        )
    print("ready", flush=True)
    await asyncio.Event().wait()


@contextmanager
def hostile(fleet: Fleet) -> Iterator[None]:
    """Serve the hostile hosts inside the fleet's namespace."""
    command = fleet.command(sys.executable, "-m", "bench.hostile", "--serve", str(fleet.folder))
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as server:
        assert server.stdout is not None
        try:
            assert server.stdout.readline() == b"ready\n"
            yield
        finally:
            server.terminate()


def mixed(fleet: Fleet, name: str) -> tuple[Fleet, frozenset[str]]:
    """Return the fleet with its hostile hosts of the kinds of `name`, and the names of the good ones."""
    path = write_inventory(fleet.folder, f"inventory-{name.replace(' ', '')}.yaml", fleet.hosts)
    each, hostile_kinds = FLEETS[name]
    kinds, good, lines = cycle(hostile_kinds or ("",)), set(), []
    for number, line in enumerate(path.read_text().splitlines()):
        host = line.strip().partition(":")[0]
        if "address:" in line:
            if hostile_kinds and number % each == 0:
                line = line.replace(f"port: {PORT}", f"port: {PORTS[next(kinds)]}")  # noqa: PLW2901 (the line of this host)
            else:
                good.add(host)
        lines.append(line)
    path.write_text("\n".join(lines) + "\n")
    return replace(fleet, inventory=path), frozenset(good)


def good_wall_s(report: Path, good: frozenset[str]) -> float:
    """Return the seconds until the last good host has ended; each of them has its answers."""
    rows = {row["host"]: row for row in json.loads(report.read_text())["hosts"]}
    assert set(rows) >= good
    bad = [name for name in good if rows[name]["outcome"] != "ok"]
    assert not bad, f"good hosts without answers: {bad}"
    moments = {name: datetime.fromisoformat(row["ended_at"]) for name, row in rows.items()}
    begun = min(datetime.fromisoformat(row["started_at"]) for row in rows.values())
    return (max(moments[name] for name in good) - begun).total_seconds()


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--turns", type=int, default=TURNS)
    parser.add_argument("--concurrency", type=int, nargs="+", default=[50, 100])
    parser.add_argument("--serve", type=Path, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.serve:
        asyncio.run(serve(asked.serve))
    if os.geteuid() != 0:
        sys.exit("bench: needs root, for a network namespace of its own")
    answers = probe_answers()
    print(f"{COUNT} hosts, 12 questions each; medians of {asked.turns}, and the ratio to the fleet that is all good")
    print(f"{'':24}{'at once':>8}{'good hosts s':>14}{'ratio':>8}{'all s':>8}{'cpu s':>8}{'PSS MiB':>9}")
    with canned(COUNT, frames_of(list(answers), answers)) as (fleet, scratch), hostile(fleet):
        for at_once in asked.concurrency:
            clean = 0.0
            results: dict[str, list[tuple[float, float, float, float]]] = {name: [] for name in FLEETS}
            for _ in range(asked.turns):
                for name, kept in results.items():
                    some, good = mixed(fleet, name)
                    took = measured(
                        some,
                        ours("--concurrency", str(at_once), "--deadline", str(DEADLINE_S))(some, PROBES, scratch / "out"),
                        scratch,
                    )
                    report = max((fleet.folder / "longarm" / "reports").glob("*.json"), key=lambda path: path.stat().st_mtime)
                    kept.append((good_wall_s(report, good), took.wall_s, took.cpu_s, took.pss_mib))
            for name, kept in results.items():
                wall, whole, cpu, pss = (statistics.median(values) for values in zip(*kept, strict=True))
                clean = clean or wall
                print(f"{name:24}{at_once:8}{wall:14.2f}{wall / clean:8.2f}{whole:8.2f}{cpu:8.2f}{pss:9.0f}", flush=True)


if __name__ == "__main__":
    main()
