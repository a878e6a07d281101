"""Hosts and questions that never stop talking (T25): memory stays flat, and the others are answered."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from inventory.host import Host
from remote.bundle.frames import FORMAT, Mark
from remote.bundle.manifest import NotABundle, read_manifest
from remote.known_hosts import KnownHosts
from remote.ssh_library import asyncssh
from tests.conftest import SOAK
from tests.remote.reaching import BASTION, Reach
from tests.remote.servers import Keys, StartPractice, known_key

GROWTH_KIB = 32 * 1024
WHOLE_BYTES = 10 * 2**30 if SOAK else 1
"""How much is read of an endless flood: session after session until it is 10 GiB, or what one session takes."""
SLICE, ENOUGH = 2**18, 17 * 2**20
"""What is surely read of a flood, and the sum of all caps for one question."""
Process = asyncssh.SSHServerProcess[bytes]


async def pour(process: Process, piece: bytes, *, stderr: bool = False) -> None:
    """Write until nobody listens."""
    sink = process.stderr if stderr else process.stdout
    with contextlib.suppress(BrokenPipeError, ConnectionError, asyncssh.Error):
        while not process.is_closing():
            sink.write(piece)
            await sink.drain()


async def lines(process: Process) -> None:
    await pour(process, b"longarm\n" * 8192)


async def one_line(process: Process) -> None:
    await pour(process, b"x" * 65536)


async def nul(process: Process) -> None:
    await pour(process, bytes(65536))


async def only_stderr(process: Process) -> None:
    await pour(process, b"longarm\n" * 8192, stderr=True)


async def nonce_of(process: Process) -> str:
    script = b""
    while True:
        script += await process.stdin.read(65536)
        with contextlib.suppress(NotABundle):
            return read_manifest(script).nonce


async def inside_a_question(process: Process) -> None:
    """Send a proper beginning, as a host can that reads our script, and then no end."""
    nonce = await nonce_of(process)
    process.stdout.write(Mark(1, 1, "open", None, (FORMAT, "user")).encode(nonce))
    process.stdout.write(Mark(1, 2, "begin", 0, ("17.25", "user")).encode(nonce))
    await pour(process, b"x" * 65536)


async def marks(process: Process) -> None:
    """Send nothing but marks, of all parts and questions that there can be."""
    nonce = await nonce_of(process)
    every = b"".join(
        Mark(part, 7, kind, index, ("17.25", "ok", *["9"] * 30)).encode(nonce)
        for part in range(5)
        for kind in ("open", "begin", "more", "status", "end", "close", "sudo", "other")
        for index in (None, 0, 9999)
    )
    await pour(process, every)


async def words_for_debugging(process: Process) -> None:
    """Send what belongs to no channel, which no window holds back."""
    connection = process.channel.get_connection()
    while not process.is_closing():
        for _ in range(100):
            connection.send_debug("longarm " * 100)
        await asyncio.sleep(0)


FLOODS = [lines, one_line, nul, only_stderr, inside_a_question, marks, words_for_debugging]


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """What the process that asked says."""

    growth_kib: int
    received: int
    answers: list[list[list[Any]]]
    """For each host and question: how it ended, bytes of stdout and stderr, why."""


Ask = Callable[..., Awaitable[Cost]]


@pytest.fixture
async def ask(
    practice: StartPractice,
    user_key: Keys,
    host_key: Keys,
    tmp_path: Path,
    reach: Reach,
    bastion: Host | None,
) -> Ask:
    known = KnownHosts(tmp_path / "known_hosts")
    for name in ("node", BASTION):
        known.add(name, known_key(host_key))
    calm = (await practice()).host.port

    async def ask(*ports: int | None, **wishes: object) -> Cost:
        where = {"calm_port": calm, "ports": [port or calm for port in ports]}
        through = 0 if bastion is None else bastion.port
        way = {"reach": reach.name, "bastion_port": through}
        given = {**where, **way, "key": str(user_key.path), "known_hosts": str(tmp_path / "known_hosts"), **wishes}
        child = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tests.remote.flooded", json.dumps(given)),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        out, err = await child.communicate()
        assert child.returncode == 0, err.decode()
        return Cost(**json.loads(out))

    return ask


@pytest.mark.fabric_too
@pytest.mark.parametrize("flood", FLOODS, ids=lambda flood: str(flood.__name__))
async def test_a_host_that_floods_is_left_and_costs_no_memory(
    flood: Callable[[Process], Awaitable[None]], ask: Ask, practice: StartPractice
) -> None:
    running = await practice(process=flood)
    cost = await ask(running.host.port, until_bytes=WHOLE_BYTES)
    assert cost.growth_kib < GROWTH_KIB
    assert cost.received > SLICE
    assert SOAK or cost.received < 3 * ENOUGH, "it was left long before its deadline"
    [[(ended, *_)]] = cost.answers
    assert ended in {"not_run", "lost", "capped"}


@pytest.mark.fabric_too
async def test_one_byte_now_and_then_ends_at_the_deadline(ask: Ask, practice: StartPractice) -> None:
    async def drip(process: Process) -> None:
        while not process.is_closing():
            process.stdout.write(b"x")
            await asyncio.sleep(5 if SOAK else 0.2)

    cost = await ask((await practice(process=drip)).host.port, deadline_s=16.0 if SOAK else 1.0)
    [[(ended, *_, why)]] = cost.answers
    assert ended == "not_run"
    assert why.startswith("no end after ")


@pytest.mark.fabric_too
async def test_questions_that_flood_lose_their_own_rest_and_cost_no_memory(ask: Ask) -> None:
    size = "10G" if SOAK else "64M"
    scripts = [
        f"head -c {size} /dev/zero",
        f"yes | head -c {size}",
        "head -c 8M /dev/zero >&2",
    ]
    cost = await ask(None, scripts=[*scripts, "echo here"])
    assert cost.growth_kib < GROWTH_KIB
    [(*floods, last)] = cost.answers
    assert [(ended, out, err) for ended, out, err, _ in floods] == [
        ("capped", 262144, 0),
        ("capped", 262144, 0),
        ("capped", 0, 65536),
    ]
    assert last == ["exited", 5, 0, ""]


@pytest.mark.fabric_too
async def test_other_hosts_are_answered_while_some_flood(ask: Ask, practice: StartPractice) -> None:
    floods = [(await practice(process=flood)).host.port for flood in FLOODS]
    cost = await ask(*floods, *[None] * 16)
    assert [answer for [answer] in cost.answers[len(floods) :]] == [["exited", 5, 0, ""]] * 16
    assert cost.growth_kib < GROWTH_KIB * len(floods)
