"""One exec on a host as a wire: what is written goes to its stdin, what it prints is read stream by stream, in order."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING

from remote.bundle.frames import Stream
from remote.ssh_errors import reason_of
from remote.ssh_library import asyncssh

if TYPE_CHECKING:
    from asyncssh.packet import SSHPacket

_MOST_HELD = 256 * 1024
"""Bytes that wait for us before the host is told to wait; asyncssh's own window adds at most 1 MiB, twice."""
WINDOW = 1024 * 1024


class SshWire(asyncssh.SSHClientSession[bytes]):
    """The two streams of one exec, held back when nobody reads; `said` is called with the size of each piece that came.

    `opening` is sent behind the request, not after its answer.
    """

    def __init__(self, opening: bytes = b"", said: Callable[[int], None] | None = None) -> None:
        self._opening, self._said = opening, said
        self.exit_status: int | None = None
        """The status the host reported for the whole exec; None: it did not."""
        self.why = ""
        """Why the wire ended; empty while it is open, and when the host ended it in order."""
        self._channel: asyncssh.SSHClientChannel[bytes] | None = None
        self._arrived: dict[Stream, list[bytes]] = {"stdout": [], "stderr": []}
        self._held = 0
        self._paused = self._ended = False
        self._news = asyncio.Event()

    def connection_made(self, chan: asyncssh.SSHClientChannel[bytes]) -> None:
        """Keep the channel; the request goes out before the loop runs again."""
        self._channel = chan
        if self._opening:
            asyncio.get_running_loop().call_soon(self._open)

    def _open(self) -> None:
        self.write(self._opening)
        self._opening = b""

    def data_received(self, data: bytes, datatype: asyncssh.DataType) -> None:
        """Keep what came, and pause the host when too much of it waits."""
        self._arrived["stderr" if datatype == asyncssh.EXTENDED_DATA_STDERR else "stdout"].append(data)
        self._held += len(data)
        if self._said is not None:
            self._said(len(data))
        if not self._paused:
            self._hold_back()
        self._news.set()

    def _hold_back(self) -> None:
        """Let the host wait while too much of what it sent does."""
        self._paused = self._held > _MOST_HELD
        if self._paused and self._channel is not None:
            self._channel.pause_reading()

    def exit_status_received(self, status: int) -> None:
        """Keep the exit status."""
        self.exit_status = status

    def connection_lost(self, exc: Exception | None) -> None:
        """Note that nothing more will come."""
        self.why = reason_of(exc) if exc is not None else ""
        self._ended = True
        self._news.set()

    @property
    def ended(self) -> bool:
        """Tell whether nothing more will come, and nobody reads what is written."""
        return self._ended

    async def read(self) -> tuple[Stream, bytes] | None:
        """Return all that waits of one stream, or None when the wire has ended and everything was read.

        A host sends each frame in a packet of its own, 60 for twelve questions; what came together is
        handed on together.
        """
        while not self._held:
            if self._ended:
                return None
            self._news.clear()
            await self._news.wait()
        stream: Stream = "stdout" if self._arrived["stdout"] else "stderr"
        data = b"".join(self._arrived[stream])
        self._arrived[stream].clear()
        self._held -= len(data)
        if self._paused and self._held < _MOST_HELD // 2 and self._channel is not None:
            self._channel.resume_reading()  # brings all that waited, and opens the whole window with the first piece of it:
            self._hold_back()  # paused in the middle of it, more came for each piece that was read, without bound
        return stream, data

    def write(self, data: bytes) -> None:
        """Send to the host's stdin; nothing happens on a wire that has ended."""
        if self._channel is not None and not self._channel.is_closing():
            self._channel.write(data)

    def close(self) -> None:
        """Close both directions: the host sees the end of its stdin and leaves."""
        if self._channel is not None:
            self._channel.close()


class SshProgram(SshWire):
    """The same for a program that is given much to read."""

    def __init__(self) -> None:
        super().__init__()
        self._taking = asyncio.Event()
        self._taking.set()

    def connection_made(self, chan: asyncssh.SSHClientChannel[bytes]) -> None:
        """Keep the channel, and hear the whole exit status: asyncssh keeps eight bits of it, and 256 would be success."""
        super().connection_made(chan)
        chan._process_exit_status_request = self._whole_status  # type: ignore[method-assign]  # noqa: SLF001

    def _whole_status(self, packet: SSHPacket) -> bool:
        self.exit_status = packet.get_uint32()
        packet.check_end()
        return True

    def pause_writing(self) -> None:
        """Let whoever gives wait: the host takes no more now."""
        self._taking.clear()

    def resume_writing(self) -> None:
        """Let whoever gives go on."""
        self._taking.set()

    def connection_lost(self, exc: Exception | None) -> None:
        """Note that nothing more will come, nor be taken."""
        super().connection_lost(exc)
        self._taking.set()

    async def drained(self) -> None:
        """Return when the host takes more, or nobody does."""
        await self._taking.wait()

    def write_eof(self) -> None:
        """End stdin."""
        if self._channel is not None and not self._channel.is_closing():
            self._channel.write_eof()


class SshTerminal(SshWire):
    """The same with a terminal in front of the shell; `taken` is called with each piece that somebody wanted."""

    def __init__(self, taken: Callable[[], None]) -> None:
        super().__init__()
        self._taken = taken

    async def read(self) -> tuple[Stream, bytes] | None:
        """Return the next piece: a person reads on for hours, and may."""
        self._taken()
        return await super().read()

    def resize(self, columns: int, rows: int) -> None:
        """Tell the host that our window has changed."""
        if self._channel is not None and not self._channel.is_closing():
            self._channel.change_terminal_size(columns, rows)
