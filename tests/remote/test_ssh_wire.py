"""Who reads slowly holds back whoever sends: nothing piles up here that nobody has looked at."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable

import pytest

from inventory.host import Host
from remote.ssh_library import asyncssh
from remote.ssh_session import SshSession
from remote.ssh_wire import WINDOW
from remote.tunnels import Tunnel
from tests.remote.servers import Keys, MakeConnector, StartPractice, on_loopback

MUCH, PIECE = 40 * WINDOW, 32 * 1024
READ = 12
"""How often something is read: each time all that waits."""
SETTLED, SLACK = 2, 3 * WINDOW
"""After so many reads all windows and buffers on the way are full; what comes and goes in them from then on."""


async def quiet(sent: Callable[[], int]) -> None:
    """Return once nobody sends any more."""
    before = -1
    while before != sent():
        before = sent()
        await asyncio.sleep(0.05)


def holds_back(waiting: list[int]) -> bool:
    """Tell whether what was sent and not yet read, at each read, came to an end of its growth."""
    return max(waiting) < waiting[SETTLED] + SLACK


async def test_a_command_that_is_read_slowly_waits(practice: StartPractice, connector: MakeConnector) -> None:
    sent = 0

    async def pours(process: asyncssh.SSHServerProcess[bytes]) -> None:
        nonlocal sent
        with contextlib.suppress(BrokenPipeError, ConnectionError, asyncssh.Error):
            while sent < MUCH:
                process.stdout.write(bytes(PIECE))
                sent += PIECE
                await process.stdout.drain()

    read, waiting = 0, list[int]()
    async with connector()((await practice(process=pours)).host) as session:
        assert isinstance(session, SshSession)
        session._intake.allow(2 * MUCH)
        wire = await session._exec(b"")
        for _ in range(READ):
            await quiet(lambda: sent)
            waiting.append(sent - read)
            piece = await wire.read()
            assert piece is not None
            read += len(piece[1])
        wire.close()
    assert holds_back(waiting)


@pytest.mark.server
async def test_a_channel_that_is_read_slowly_from_a_socket_waits(practice_port: int, host_key: Keys, user_key: Keys) -> None:
    sent = 0

    async def pours(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        with contextlib.suppress(ConnectionError):
            while sent < MUCH:
                writer.write(bytes(PIECE))
                sent += PIECE
                await writer.drain()

    trusted = asyncssh.import_known_hosts(f"[127.0.0.1]:{practice_port} {host_key.public}")
    read, waiting, loop = 0, list[int](), asyncio.get_running_loop()
    async with (
        on_loopback(pours) as port,
        asyncssh.connect("127.0.0.1", practice_port, known_hosts=trusted, client_keys=[str(user_key.path)]) as bastion,
    ):
        tunnel = Tunnel(Host(name="far", address="127.0.0.1", port=port), bastion)
        with await tunnel.socket() as near:
            for _ in range(READ):
                await quiet(lambda: sent)
                waiting.append(sent - read)
                read += len(await loop.sock_recv(near, WINDOW))
        await tunnel.close()
    assert holds_back(waiting)
