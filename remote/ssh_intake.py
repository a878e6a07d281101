"""The TCP connection to one host: bytes that leave are gathered, those that arrive counted, and too many cut the host off.

asyncssh takes without end what belongs to no question: messages to be ignored, words for debugging, banners,
requests. A host that sends them at full speed costs 0.2 s of CPU per MiB (measured), and all hosts share one loop.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, cast

from remote.hearing import hearing
from remote.ssh_library import asyncssh

if TYPE_CHECKING:
    from remote.ways import Way

BEFORE_LOGIN = 64 * 1024
"""Bytes a host may send until we are logged in; a key exchange takes 5 KiB, a long legal notice 10."""
_PIECE = 32 * 1024
"""asyncssh copies the rest of what it was given for each packet: small pieces halve the CPU of a flood (measured)."""
_PACKETS = 256
"""Bytes that SSH may wrap one piece of output in: its packet, and one to be ignored before it."""


class Flooded(ConnectionError):
    """The host sent more than it was allowed to; `limit` is that many bytes."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        super().__init__(f"the host sent more than {limit // 1024} KiB, which is more than its answers can take")


class Intake:
    """Opens the connection in asyncssh's place (it calls that a tunnel) and stands between the two."""

    def __init__(self, way: Way) -> None:
        self.way = way
        self.received = 0
        self.connection: asyncssh.SSHClientConnection | None = None
        """The connection that asyncssh made, once it stands on a wire."""
        self._limit = BEFORE_LOGIN
        self._left = BEFORE_LOGIN
        self._for_output = 0
        self._hearing = hearing()

    @property
    def left(self) -> int:
        """Return how many bytes the host may still send."""
        return self._left

    @property
    def flooded(self) -> bool:
        """Tell whether the host sent more than it might, and was left for that."""
        return self._left < 0

    def allow(self, bytes_: int, *, for_output: int = 0) -> None:
        """Let the host send `bytes_` from now on, whatever it was allowed before, `for_output` more as it says something."""
        self._limit = self._left = bytes_
        self._for_output = for_output

    def said(self, size: int) -> None:
        """Let the host send as much again as came out of a command: twice its size, for what SSH wraps it in."""
        more = min(self._for_output, 2 * size + _PACKETS)
        self._for_output -= more
        self._limit += more
        self._left += more

    async def create_connection(
        self, session_factory: object, *_: object
    ) -> tuple[asyncio.Transport, asyncssh.SSHClientConnection]:
        """Connect by the way that leads to the host, or raise OSError or RemoteError.

        What `session_factory` makes is asyncssh's connection.
        """
        make = cast("Callable[[], asyncssh.SSHClientConnection]", session_factory)
        transport, counted = await self.way.connection(lambda: _Counted(make(), self))
        self.connection = counted.connection
        return transport, counted.connection

    def take(self, size: int) -> Flooded | None:
        """Count bytes that arrived; return what is to be said when they were too many."""
        self.received += size
        self._hearing.heard(size)
        self._left -= size
        return Flooded(self._limit) if self._left < 0 else None


class _Counted(asyncio.Protocol):
    """Hands on everything to asyncssh's connection, until it is too much."""

    def __init__(self, connection: asyncssh.SSHClientConnection, intake: Intake) -> None:
        self.connection, self._intake = connection, intake

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.connection.connection_made(Gathered(cast("asyncio.Transport", transport)))

    def data_received(self, data: bytes) -> None:
        if (flooded := self._intake.take(len(data))) is not None:
            self.connection.connection_lost(flooded)  # which drops the connection at once
            return
        for at in range(0, len(data), _PIECE):
            self.connection.data_received(data[at : at + _PIECE])

    def eof_received(self) -> None:
        self.connection.eof_received()

    def connection_lost(self, exc: Exception | None) -> None:
        self.connection.connection_lost(exc)


class Gathered(asyncio.Transport):
    """Sends what asyncssh writes within one turn of the loop as one piece, at the end of that turn.

    asyncssh puts a packet to be ignored before each of its own, and writes every packet by itself: 20 system calls for a
    host, each of which wakes the other side. Together they are 11 (measured, twelve questions).
    """

    def __init__(self, transport: asyncio.Transport) -> None:
        super().__init__()
        self._transport, self._waiting = transport, list[bytes | bytearray | memoryview]()

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Take a piece; it leaves before the loop waits again."""
        if not self._waiting:
            asyncio.get_running_loop().call_soon(self._send)
        self._waiting.append(data)

    def _send(self) -> None:
        data = b"".join(self._waiting)
        self._waiting.clear()
        if data and not self._transport.is_closing():
            with suppress(ConnectionError):  # told by connection_lost
                self._transport.write(data)

    def close(self) -> None:
        """Send what waits, then close."""
        self._send()
        self._transport.close()

    def abort(self) -> None:
        """Send what waits if it can leave at once, and close without waiting for anything."""
        self._send()
        self._transport.abort()

    def is_closing(self) -> bool:
        """Tell whether the connection is closing or closed."""
        return self._transport.is_closing()

    def get_extra_info(self, name: str, default: object = None) -> object:
        """Return what is known of the connection underneath."""
        return self._transport.get_extra_info(name, default)
