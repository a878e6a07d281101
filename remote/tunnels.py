"""Connections to hosts through another host that asyncssh has logged in to: a channel each, counted by nobody there."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from contextlib import suppress
from typing import Generic, TypeVar, cast

from inventory.errors import Text
from inventory.host import Host
from remote.errors import ConnectFailed, JumpFailed
from remote.ssh_errors import reason_of
from remote.ssh_library import asyncssh
from remote.ssh_options import PORT

P = TypeVar("P", bound=asyncio.Protocol)


class Tunnel:
    """The way to one host through a connection to another."""

    between = ""

    def __init__(self, host: Host, through: asyncssh.SSHClientConnection) -> None:
        self._host, self.through = host, through
        self._ends: list[_End] = []

    async def connection(self, make: Callable[[], P]) -> tuple[asyncio.Transport, P]:
        """Return a channel as a connection; raise JumpFailed if the host in between cannot or would not make one."""
        tunnelled = _Tunnelled(make())
        channel = await self._channel(lambda: tunnelled)
        return cast("asyncio.Transport", channel), tunnelled.protocol

    async def socket(self) -> socket.socket:
        """Return a channel as a socket, whose other end the event loop serves."""
        ours, theirs = socket.socketpair()
        for end in (ours, theirs):
            end.setblocking(False)
        try:
            transport, near = await asyncio.get_running_loop().create_connection(_End, sock=theirs)
        except BaseException:
            ours.close()
            theirs.close()
            raise
        self._ends.append(near)
        far = _End()
        try:
            await self._channel(lambda: _Tunnelled(far))
        except BaseException:
            ours.close()
            transport.abort()
            raise
        near.join(far)
        return ours

    async def _channel(self, session: Callable[[], _Tunnelled[P]]) -> asyncssh.SSHTCPChannel[bytes]:
        wanted = True

        def made() -> asyncssh.SSHTCPSession[bytes]:
            return session() if wanted else asyncssh.SSHTCPSession()

        opening = self.through.create_connection(made, self._host.address, self._host.port or PORT)
        task = asyncio.create_task(opening)
        try:
            return (await asyncio.shield(task))[0]
        except asyncio.CancelledError:  # one that is opened after all would stay: asyncssh that is cancelled forgets it
            wanted = False
            task.add_done_callback(_close)
            raise
        except asyncssh.ChannelOpenError as error:
            assert self._host.via is not None
            reason = Text("{reason}", reason=reason_of(error))
            raise JumpFailed(self._host.name, self._host.via.name, reason) from error

    async def failure(self, error: ConnectFailed) -> ConnectFailed:
        """Return the error as it is: the host in between is told of by itself."""
        return error

    async def close(self) -> None:
        """Let go of the sockets' other ends."""
        for end in self._ends:
            if end.transport is not None and not end.gone:  # asyncio's cannot be aborted once it has lost what it was for
                end.transport.abort()


def _close(opening: asyncio.Task[tuple[asyncssh.SSHTCPChannel[bytes], asyncssh.SSHTCPSession[bytes]]]) -> None:
    if not opening.cancelled() and opening.exception() is None:
        opening.result()[0].abort()


class _Tunnelled(asyncssh.SSHTCPSession[bytes], Generic[P]):
    """A channel as a protocol of asyncio knows a transport."""

    def __init__(self, protocol: P) -> None:
        self.protocol = protocol

    def connection_made(self, chan: asyncssh.SSHTCPChannel[bytes]) -> None:
        self.protocol.connection_made(cast("asyncio.BaseTransport", chan))

    def data_received(self, data: bytes, datatype: asyncssh.DataType) -> None:  # noqa: ARG002 (asyncssh's signature)
        self.protocol.data_received(data)

    def eof_received(self) -> bool:
        self.protocol.eof_received()
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self.protocol.connection_lost(exc)

    def pause_writing(self) -> None:
        self.protocol.pause_writing()

    def resume_writing(self) -> None:
        self.protocol.resume_writing()


class _End(asyncio.Protocol):
    """One end of a bridge: what arrives here leaves at the other end, and no faster than it can."""

    def __init__(self) -> None:
        self.transport: asyncio.Transport | None = None
        self.other: _End | None = None
        self.early: list[bytes] = []
        self.gone = self._full = self._resuming = False

    def join(self, other: _End) -> None:
        """Make two ends a bridge, and pass on what came before."""
        self.other, other.other = other, self
        for one in (self, other):
            for data in one.early:
                one.data_received(data)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        if self.other is None:
            self.early.append(data)
        elif self.other.transport is not None and not self.other.transport.is_closing():
            self.other.transport.write(data)

    def eof_received(self) -> bool:
        self._leave()
        return False

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 (the other side sees an end)
        self.gone = True
        self._leave()

    def pause_writing(self) -> None:
        self._full = True
        if not self._resuming:  # a channel of asyncssh brings all that waited at once, or it takes more than its window
            self._tell("pause_reading")

    def resume_writing(self) -> None:
        self._full, self._resuming = False, True
        self._tell("resume_reading")
        self._resuming = False
        if self._full:
            self._tell("pause_reading")

    def _tell(self, what: str) -> None:
        if self.other is not None and self.other.transport is not None:
            with suppress(RuntimeError):  # it is closing
                getattr(self.other.transport, what)()

    def _leave(self) -> None:
        if self.other is not None and self.other.transport is not None:
            self.other.transport.close()
