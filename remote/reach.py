"""The way to one host, each step on its own: its name, the connection, what it says first; and the agent beside us."""

from __future__ import annotations

import asyncio
import os
import socket
import time
from dataclasses import dataclass

from inventory.host import Host
from remote.errors import ConnectFailed, DeadlineExceeded
from remote.ssh_errors import reason_of
from remote.ssh_library import asyncssh
from remote.ssh_options import PORT
from remote.ways import Way

_LONGEST_GREETING = 8192  # RFC 4253 4.2: lines before the version are allowed; a flood is not


@dataclass(frozen=True, slots=True, kw_only=True)
class Greeting:
    """What a host said first, and how long the connection took."""

    version: str
    """`SSH-2.0-OpenSSH_9.2p1 Debian-2`: hostile text; empty if it said nothing of the kind."""
    connect_ms: float


async def addresses(host: Host, *, deadline_s: float = 5.0) -> tuple[str, ...]:
    """Return the addresses that the host's name stands for, or raise ConnectFailed or DeadlineExceeded."""
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(deadline_s):
            found = await loop.getaddrinfo(host.address, host.port or PORT, type=socket.SOCK_STREAM)
    except TimeoutError as error:
        raise DeadlineExceeded(host.name, deadline_s) from error
    except OSError as error:
        raise ConnectFailed(host.name, reason_of(error)) from error
    return tuple(dict.fromkeys(str(row[4][0]) for row in found))


async def greeting(host: Host, way: Way, *, deadline_s: float = 10.0) -> Greeting:
    """Connect, read what the host says first, and leave; raises ConnectFailed or DeadlineExceeded."""
    begun = time.monotonic()
    try:
        async with asyncio.timeout(deadline_s):
            reader, writer = await asyncio.open_connection(sock=await way.socket(), limit=_LONGEST_GREETING)
            took_ms = (time.monotonic() - begun) * 1000
            try:
                return Greeting(version=await _version(reader), connect_ms=took_ms)
            finally:
                writer.close()
    except TimeoutError as error:
        raise DeadlineExceeded(host.name, deadline_s) from error
    except OSError as error:
        raise ConnectFailed(host.name, reason_of(error)) from error


async def _version(reader: asyncio.StreamReader) -> str:
    left = _LONGEST_GREETING
    while left > 0:
        try:
            line = await reader.readline()
        except ValueError:  # a line longer than the limit
            return ""
        if line.startswith(b"SSH-") or not line:
            return line.decode("utf-8", "replace").strip()
        left -= len(line)
    return ""


async def agent_keys(*, deadline_s: float = 5.0) -> int:
    """Return how many keys the SSH agent holds that SSH_AUTH_SOCK names; raises OSError where it does not answer."""
    try:
        async with asyncio.timeout(deadline_s):
            agent = asyncssh.SSHAgentClient(os.environ.get("SSH_AUTH_SOCK", ""))
            try:
                return len(await agent.get_keys())
            finally:
                agent.close()
                await agent.wait_closed()
    except (TimeoutError, ValueError) as error:
        raise ConnectionAbortedError(str(error) or f"no answer within {deadline_s:g} s") from error
