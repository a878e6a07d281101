"""The way that a connection to one host takes: directly, by a proxy, by a program, or through another host.

A way makes connections in both forms that SSH libraries want: for the event loop, and as a socket.
"""

from __future__ import annotations

import asyncio
import socket
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Protocol, TypeVar

from inventory.errors import Text
from inventory.host import Host
from remote.errors import ConnectFailed, ProxyFailed
from remote.proxies import Proxies, connected
from remote.proxy_programs import Program, started
from remote.ssh_options import PORT

P = TypeVar("P", bound=asyncio.Protocol)


class Way(Protocol):
    """How connections to one host are made; whoever opened it closes it."""

    @property
    def between(self) -> str:
        """Return the proxy that stands between us and the host, empty: none."""

    async def connection(self, make: Callable[[], P]) -> tuple[asyncio.Transport, P]:
        """Return a connection with its protocol, or raise RemoteError, OSError or the error of whoever makes it."""

    async def socket(self) -> socket.socket:
        """Return a connection as a socket that does not block, or raise the same."""

    async def failure(self, error: ConnectFailed) -> ConnectFailed:
        """Return what it means that a connection of this way failed before anything was proved."""

    async def close(self) -> None:
        """Let go of what the way itself needed; never raises for what others do."""


class Direct:
    """The host is connected to by ourselves."""

    between = ""

    def __init__(self, host: Host) -> None:
        self._host = host

    async def connection(self, make: Callable[[], P]) -> tuple[asyncio.Transport, P]:
        """Return a connection; its socket is the event loop's."""
        return await asyncio.get_running_loop().create_connection(make, self._host.address, self._host.port or PORT)

    async def socket(self) -> socket.socket:
        """Return a connection as a socket."""
        return await connected(self._host.address, self._host.port or PORT)

    async def failure(self, error: ConnectFailed) -> ConnectFailed:
        """Return the error as it is."""
        return error

    async def close(self) -> None:
        """Nothing has to be let go."""


class SocketWay(ABC):
    """A way whose connections are sockets that somebody has connected for us."""

    @abstractmethod
    async def socket(self) -> socket.socket:
        """Return a connection as a socket."""

    async def connection(self, make: Callable[[], P]) -> tuple[asyncio.Transport, P]:
        """Return a connection for the event loop."""
        wire = await self.socket()
        try:
            return await asyncio.get_running_loop().create_connection(make, sock=wire)
        except BaseException:
            wire.close()
            raise


class ByProxy(SocketWay):
    """A proxy, or a program, stands in between."""

    def __init__(self, host: Host, proxies: Proxies) -> None:
        self._host, self._proxies = host, proxies
        self._programs: list[Program] = []
        self.between = host.ssh.proxy.url if host.ssh.proxy else host.ssh.proxy_command[0]

    async def socket(self) -> socket.socket:
        """Return a connection that has been made for us, as a socket."""
        if self._host.ssh.proxy is not None:
            return await self._proxies.connect(self._host, self._host.ssh.proxy)
        program, wire = await started(self._host)
        self._programs.append(program)
        return wire

    async def failure(self, error: ConnectFailed) -> ConnectFailed:
        """Return the error with the name of the proxy, and what its program said if it has ended."""
        if isinstance(error, ProxyFailed):
            return error
        for program in self._programs:
            if (trouble := await program.trouble()) is not None:
                return ProxyFailed(self._host.name, self.between, trouble)
        return ProxyFailed(self._host.name, self.between, Text("{reason}", reason=str(error)), error.hint)

    async def close(self) -> None:
        """End the programs that were started."""
        for program in self._programs:
            await program.end()
