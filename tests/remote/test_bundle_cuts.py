"""Bundles that are cut at any moment, in real shells and over connections: soon nothing of them is alive on the host."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import secrets
import select
import subprocess
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO

import pytest

from inventory.host import Host
from remote.bundle import BundleExchange
from remote.bundle.script import mark_of
from remote.errors import RemoteError
from remote.question import Question
from remote.ssh import SshConnector
from tests.conftest import SOAK
from tests.remote.hostility import Forwarder
from tests.remote.servers import MakeConnector, StartPractice, instead
from tests.remote.shells import SHELLS, marked

HUNG = (
    "sleep 1000",
    "(setsid sleep 1000 &); setsid sleep 1000",
    "trap '' TERM HUP INT PIPE; while :; do sleep 1000; done",
    "sleep 1000 & sleep 1000 | cat",
    "(sleep 1000 &); exec >/dev/null 2>&1; sleep 1000",
    "(setsid sh -c 'sleep 1000; :' </dev/null >/dev/null 2>&1 &); sleep 1000",
)
FLOODS = (
    "yes longarm",
    "yes longarm >&2",
    "cat /dev/zero",
    "yes out & yes err >&2",
    "trap '' PIPE; while :; do echo longarm 2>/dev/null; done",
)
QUICK = (
    "echo quick",
    "cat /proc/loadavg",
    "df -P",
    "(exit 3)",
    "sleep 0.7; echo later",
    "setsid sleep 1000 </dev/null >/dev/null 2>&1 & echo left",
)
GONE_S = 60.0
"""Only what stays reaches it: on an idle machine all is gone within 5 s, and four bundles at once starve each other."""
CUTS_OF_A_SHELL = 200 if SOAK else 6
CUTS_OF_A_CONNECTION = 40 if SOAK else 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Cut:
    """What a seed stands for."""

    questions: tuple[Question, ...]
    after_s: float
    how: str

    @classmethod
    def of(cls, seed: int) -> Cut:
        chance = random.Random(seed)
        chosen = [*chance.choices(HUNG, k=3), *chance.choices(FLOODS, k=2), *chance.choices(QUICK, k=5)]
        chance.shuffle(chosen)
        return cls(
            questions=tuple(
                Question(
                    id=f"q{number}",
                    script=script,
                    deadline_s=chance.choice((1, 2, 30)),
                    max_bytes=chance.choice((1000, 100_000, 500_000)),
                )
                for number, script in enumerate(chosen)
            ),
            after_s=chance.uniform(0, 4),
            how=chance.choice(("stdin first", "all at once", "stdin last", "main is killed")),
        )


def alive(leader: int, mark: str) -> Iterator[str]:
    """Yield each living process of the session of `leader`, or with `mark` in its environment."""
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError, PermissionError):
            state, _, _, session = (folder / "stat").read_text(errors="replace").rpartition(")")[2].split()[:4]
            if state not in "ZX" and (session == str(leader) or mark.encode() in (folder / "environ").read_bytes()):
                yield f"{folder.name} {state} {(folder / 'cmdline').read_bytes()!r}"


def read_until(end: float, streams: Iterable[IO[bytes]]) -> None:
    """Read and forget what comes until `end`, on the clock of `time.monotonic`."""
    open_streams = list(streams)
    while (rest := end - time.monotonic()) > 0:
        for stream in select.select(open_streams, [], [], rest)[0]:
            if not os.read(stream.fileno(), 65536):
                open_streams.remove(stream)


def what_a_cut_leaves(shell: tuple[str, ...], path: str, seed: int) -> list[str]:
    """Return what stays alive of a bundle that was cut."""
    cut = Cut.of(seed)
    exchange = BundleExchange(cut.questions)
    mark = f"LONGARM_Q={mark_of(exchange.nonce)}."
    pipe = subprocess.PIPE
    process = subprocess.Popen(
        shell, stdin=pipe, stdout=pipe, stderr=pipe, env={"PATH": path}, start_new_session=True, bufsize=0
    )
    stdin, stdout, stderr = process.stdin, process.stdout, process.stderr
    assert stdin
    assert stdout
    assert stderr
    try:
        stdin.write(exchange.script)
        read_until(time.monotonic() + cut.after_s, (stdout, stderr))
        if cut.how == "main is killed":
            process.kill()
            process.wait()
        order = (stdout, stderr, stdin) if cut.how == "stdin last" else (stdin, stdout, stderr)
        for stream in order:
            stream.close()
            if cut.how.startswith("stdin"):
                time.sleep(0.2)
        end = time.monotonic() + GONE_S
        while (left := list(alive(process.pid, mark))) and time.monotonic() < end:
            process.poll()
            time.sleep(0.05)
        return left
    finally:
        process.kill()
        process.wait()


@pytest.mark.parametrize("shell", [name for name in SHELLS if name != "bash_posix"])
def test_nothing_stays_of_a_bundle_that_is_cut_at_any_moment(shell: str, applets: Path) -> None:
    """With 3 hung, 2 flooding and 5 quick questions: most of the time several lanes stand beside each other."""
    command, path = ((str(applets / "sh"),), str(applets)) if shell == "ash" else (SHELLS[shell], os.environ["PATH"])
    with ThreadPoolExecutor(4) as pool:
        left = pool.map(lambda seed: what_a_cut_leaves(command, path, seed), range(CUTS_OF_A_SHELL))
        assert {seed: those for seed, those in enumerate(left) if those} == {}


LEAVINGS = ("cut", "reset", "cancelled")


async def asked(connect: SshConnector, host: Host, questions: tuple[Question, ...]) -> None:
    """Ask over a connection of its own."""
    async with connect(host) as session:
        await session.ask(questions, deadline_s=60)


def left_of(mark: str) -> list[str]:
    """Return what still lives with `mark` in its environment once it should be gone."""
    end = time.monotonic() + GONE_S
    while (left := marked(mark)) and time.monotonic() < end:
        time.sleep(0.05)
    return left


@pytest.mark.fabric_too
@pytest.mark.parametrize("shell", ["dash", "bash"])
async def test_nothing_stays_of_a_bundle_whose_connection_goes(
    shell: str, practice: StartPractice, connector: MakeConnector
) -> None:
    """Whichever way the host is reached: a line that is cut, one that a firewall resets, a run that is cancelled."""
    for seed in range(CUTS_OF_A_CONNECTION):
        cut, mark, how = Cut.of(seed), secrets.token_hex(16), LEAVINGS[seed % len(LEAVINGS)]
        running = await practice(process=instead("env", f"LONGARM_TEST={mark}", *SHELLS[shell]))
        async with Forwarder(running.host.port or 22) as wire:
            asking = asyncio.create_task(asked(connector(), replace(running.host, port=wire.address), cut.questions))
            await asyncio.sleep(cut.after_s)
            match how:
                case "cut":
                    wire.cut()
                case "reset":
                    wire.reset()
                case _:
                    asking.cancel()
            with contextlib.suppress(asyncio.CancelledError, RemoteError):
                await asking
        assert await asyncio.to_thread(left_of, mark) == [], (seed, how)
