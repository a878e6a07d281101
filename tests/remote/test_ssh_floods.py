"""Hosts and questions that never stop talking (T25): memory stays flat, and the others are answered."""

from __future__ import annotations

import asyncio
import contextlib
import json
import statistics
import sys
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from inventory.host import Host
from remote.bundle.frames import Mark
from remote.known_hosts import KnownHosts
from remote.ssh_library import asyncssh
from tests.conftest import SOAK, Measured
from tests.remote.flooding import FLOODS, GB, flooding_sshd, got_rid_of, nonce_in
from tests.remote.hostility import ENOUGH_S
from tests.remote.reaching import BASTION, Reach
from tests.remote.servers import Keys, StartPractice, known_key

GROWTH_KIB = 32 * 1024
SLICE, ENOUGH = 2**18, 17 * 2**20
"""What is surely read of a flood, and the sum of all caps for one question."""
ON_ITS_WAY = 4 * 2**20
"""What a host has got rid of and we never read: windows and buffers, a bastion's too."""
CALM, TURNS = 16, 3 if SOAK else 1
SLOWED = 2.0
"""How many times as long hosts may take beside such as flood, on a still machine; the latter are reached too, which costs."""
AGAIN = 8 if SOAK else 1
"""How often one process is flooded: memory that is not given back would add up."""
Process = asyncssh.SSHServerProcess[bytes]


async def pour(process: Process, piece: bytes) -> None:
    """Write until nobody listens."""
    with contextlib.suppress(BrokenPipeError, ConnectionError, asyncssh.Error):
        while not process.is_closing():
            process.stdout.write(piece)
            await process.stdout.drain()


async def nonce_of(process: Process) -> str:
    script = b""
    while (nonce := nonce_in(script)) is None:
        script += await process.stdin.read(65536)
    return nonce


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


OF_SSH = [marks, words_for_debugging]


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """What the process that asked says."""

    growth_kib: int
    received: int
    answers: list[list[list[Any]]]
    """For each host and question: how it ended, bytes of stdout and stderr, why."""
    took_s: list[list[float]]
    """For each turn and host."""
    alone_s: list[list[float]]


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

    async def ask(*ports: int | None, alone: Sequence[int] = (), **wishes: object) -> Cost:
        where = {"calm_port": calm, "ports": [port or calm for port in ports], "alone": alone}
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


@pytest.fixture
def sshd_keys(host_key: Keys, user_key: Keys) -> tuple[Keys, Keys]:
    """Return what every sshd of a test is made with."""
    return host_key, user_key


def left(cost: Cost) -> str:
    """Return why a host that floods was left: soon, never with success, and without memory that it cost."""
    assert cost.growth_kib < GROWTH_KIB
    assert SLICE < cost.received < 2 * ENOUGH
    [[(ended, *_, why)]] = cost.answers
    assert ended in {"not_run", "lost", "capped"}
    return str(why)


@pytest.mark.server
@pytest.mark.fabric_too
@pytest.mark.parametrize("kind", FLOODS)
async def test_a_host_that_floods_is_left_and_costs_no_memory(
    kind: str, ask: Ask, sshd_keys: tuple[Keys, Keys], tmp_path: Path, reach: Reach, measured: Measured
) -> None:
    with flooding_sshd(tmp_path / "host", *sshd_keys, kind) as (port, report):
        cost = await ask(port, deadline_s=ENOUGH_S, turns=AGAIN)
        sent = got_rid_of(report)
    assert not left(cost).startswith("no end after "), "long before its deadline"
    offered = FLOODS[kind].size
    assert sent <= min(offered, cost.received + ON_ITS_WAY)
    went = f"{offered / GB:g} GB offered, {sent / 2**20:.1f} MiB sent, left after {cost.took_s[-1][0]:.2f} s"
    measured(f"{kind}, {reach.name}: {went}, {cost.growth_kib / 1024:.1f} MiB grown")


@pytest.mark.fabric_too
@pytest.mark.parametrize("flood", OF_SSH, ids=lambda flood: str(flood.__name__))
async def test_a_host_that_floods_with_what_is_no_output_is_left_too(
    flood: Callable[[Process], Awaitable[None]], ask: Ask, practice: StartPractice
) -> None:
    left(await ask((await practice(process=flood)).host.port, turns=AGAIN))


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


@pytest.mark.server
@pytest.mark.fabric_too
async def test_other_hosts_are_answered_while_some_flood(
    ask: Ask,
    practice: StartPractice,
    sshd_keys: tuple[Keys, Keys],
    openssh_port: int,
    tmp_path: Path,
    reach: Reach,
    measured: Measured,
) -> None:
    floods, others = [(await practice(process=flood)).host.port for flood in OF_SSH], [openssh_port] * CALM
    with contextlib.ExitStack() as hosts:
        floods += [
            hosts.enter_context(flooding_sshd(tmp_path / str(at), *sshd_keys, kind))[0] for at, kind in enumerate(FLOODS)
        ]
        cost = await ask(*floods, *others, alone=others, turns=TURNS)
    assert [answer for [answer] in cost.answers[len(floods) :]] == [["exited", 5, 0, ""]] * CALM
    assert cost.growth_kib < GROWTH_KIB * len(floods)
    beside_s = min(statistics.median(turn[len(floods) :]) for turn in cost.took_s)
    alone_s = min(map(statistics.median, cost.alone_s))
    took = f"{beside_s:.2f} s, {beside_s / alone_s:.2f} of what they take alone"
    measured(f"{CALM} hosts beside {len(floods)} that flood, {reach.name}: {took}")
    assert not SOAK or beside_s <= SLOWED * alone_s
