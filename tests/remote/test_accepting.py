"""What a socket is asked is served, and ends with the serving, at whatever point it has come to."""

from __future__ import annotations

import asyncio
import gc
import socket
import ssl

import pytest

from remote.accepting import accepting
from tests.remote.servers import no_more_tasks, on_loopback
from tests.remote_windows.certificates import Authority


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(await reader.readline())


async def waits(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"here\n")
    await asyncio.Event().wait()


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority.made(tmp_path_factory.mktemp("authority"))


async def test_what_is_written_arrives_and_then_the_connection_ends(authority: Authority) -> None:
    tls = authority.server_context(authority.certified("host", "localhost"))
    trusting = ssl.create_default_context(cafile=str(authority.file))
    for server, client in ((None, None), (tls, trusting)):
        async with on_loopback(echo, server) as port:
            name = "localhost" if client else None
            reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=client, server_hostname=name)
            writer.write(b"x" * 60_000 + b"\n")
            assert await reader.read() == b"x" * 60_000 + b"\n"
            writer.close()
            await writer.wait_closed()
    await no_more_tasks()


@pytest.mark.parametrize("turns", range(8))
@pytest.mark.parametrize("over_tls", [False, True])
async def test_a_connection_ends_with_the_serving_at_whatever_point(over_tls: bool, turns: int, authority: Authority) -> None:
    """Let go of by the loop's end, it would be a ResourceWarning, which is an error in these tests."""
    tls = authority.server_context(authority.certified("host", "localhost")) if over_tls else None
    async with on_loopback(waits, tls) as port:
        near = socket.create_connection(("127.0.0.1", port))
        for _ in range(turns):
            await asyncio.sleep(0)
    near.settimeout(20)
    with near:
        received = None
        try:
            while received := near.recv(4096):
                assert over_tls or received == b"here\n"
        except ConnectionResetError:
            received = b""
    assert received == b"", "it has ended, on our side too"
    await no_more_tasks()
    gc.collect()


async def test_whoever_comes_later_is_refused_while_others_are_served() -> None:
    listener = socket.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    async with accepting(listener, waits) as take_no_more:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        assert await reader.readline() == b"here\n"
        take_no_more()
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", port)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(reader.read(), 0.05)
    assert await reader.read() == b""
    writer.close()
    await writer.wait_closed()


async def test_what_breaks_in_the_serving_is_raised_and_a_client_that_leaves_is_not() -> None:
    async def breaks(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if await reader.readexactly(1) == b"!":
            raise LookupError

    async def talked(said: bytes) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(said)
        writer.write_eof()
        await reader.read()
        writer.close()

    async with on_loopback(breaks) as port:
        await talked(b"")
    with pytest.raises(LookupError):
        async with on_loopback(breaks) as port:
            await talked(b"!")
