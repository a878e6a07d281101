"""One exec on a host as a wire: a thread reads its two streams, the connection's worker writes."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable

from remote.bundle.frames import Stream
from remote.threaded.library import paramiko
from remote.threaded.worker import Worker, start, to_loop

MOST_HELD = 256 * 1024
"""Bytes that wait for us before we read on; the host's window keeps at most another MiB."""
WINDOW = 1024 * 1024
_PIECE = 32 * 1024
_LOOK_S = 0.5
"""How often what waits looks whether anybody still wants it."""
_STATUS_S = 2.0
"""How long after the end of what a host says its exit status may come."""


class _Bell:
    """Rung by paramiko when something arrived; it rings itself out only for us."""

    def __init__(self) -> None:
        self._rung = threading.Event()

    def set(self) -> None:
        self._rung.set()

    def clear(self) -> None:
        """Hear that one stream is empty: the other one may not be."""

    def wait(self) -> None:
        self._rung.wait(_LOOK_S)
        self._rung.clear()


class ThreadedWire:
    """The two streams of one exec, held back when nobody reads."""

    def __init__(self, channel: paramiko.Channel, worker: Worker, why: Callable[[], str]) -> None:
        self.why = ""
        """Why the wire ended; empty while it is open, and when the host ended it in order."""
        self._channel, self._worker, self._loop = channel, worker, asyncio.get_running_loop()
        self._explain = why
        self._arrived: list[tuple[Stream, bytes]] = []
        self._held, self._closing, self._ended = 0, False, False
        self._said_all_at: float | None = None
        self._room, self._news = threading.Event(), asyncio.Event()
        self._bell = _Bell()
        self._room.set()
        channel.settimeout(_LOOK_S)
        channel.in_buffer.set_event(self._bell)
        channel.in_stderr_buffer.set_event(self._bell)
        self.thread = start("reader", self._read_on)

    async def read(self) -> tuple[Stream, bytes] | None:
        """Return the next piece, or None when the wire has ended and everything was read."""
        while not self._arrived:
            if self._ended:
                return None
            self._news.clear()
            await self._news.wait()
        stream, data = self._arrived.pop(0)
        self._held -= len(data)
        if self._held < MOST_HELD // 2:
            self._room.set()
        return stream, data

    def write(self, data: bytes) -> None:
        """Send to the host's stdin; nothing happens on a wire that has ended."""
        self._worker.put(lambda: self._send(data))

    def close(self) -> None:
        """Close both directions: the host sees the end of its stdin and leaves."""
        if not self._closing:
            self._closing = True
            self._bell.set()
            self._room.set()
            self._worker.put(self._close)

    @property
    def exit_status(self) -> int | None:
        """Return the exit status that the host reported; None: it did not."""
        return self._channel.exit_status if self._channel.exit_status_ready() and self._channel.exit_status >= 0 else None

    async def drained(self) -> None:
        """Return when what was written is on its way, or nobody takes it any more."""
        try:
            await self._worker.call(lambda: None)
        except EOFError:
            return  # told by the end of the streams

    def write_eof(self) -> None:
        """End stdin."""
        self._worker.put(self._shut)

    def _shut(self) -> None:
        try:
            self._channel.shutdown_write()
        except (OSError, EOFError, paramiko.SSHException):
            return  # the connection is gone

    # --- in the worker --------------------------------------------------------------------------------------------

    def _send(self, data: bytes) -> None:
        rest = memoryview(data)
        while rest and not self._closing:
            try:
                sent = self._channel.send(bytes(rest[:_PIECE]))
            except TimeoutError:
                continue  # the host takes nothing now
            except (OSError, EOFError, paramiko.SSHException):
                return  # told by the end of the streams
            if not sent:
                return
            rest = rest[sent:]

    def _close(self) -> None:
        try:
            self._channel.close()
        except (OSError, EOFError, paramiko.SSHException):
            return  # the connection is gone

    # --- in the reader --------------------------------------------------------------------------------------------

    def _read_on(self) -> None:
        try:
            while not self._closing:
                over = self._is_over()
                if not (self._take("stdout") or self._take("stderr")):
                    if over:
                        break
                    self._bell.wait()
        except (OSError, EOFError, paramiko.SSHException) as error:
            self.why = str(error)
        self.why = self.why or self._explain()
        to_loop(self._loop, self._end)

    def _is_over(self) -> bool:
        """Tell whether nothing more will come: the exit status may come behind the end of both streams (RFC 4254 6.10)."""
        if self._channel.closed or not self._channel.eof_received:
            return bool(self._channel.closed)
        now = time.monotonic()
        self._said_all_at = self._said_all_at or now
        return bool(self._channel.exit_status_ready()) or now - self._said_all_at >= _STATUS_S

    def _take(self, stream: Stream) -> bool:
        """Take what has arrived of a stream, as soon as there is room for it; tell whether there was anything."""
        channel = self._channel
        if not (channel.recv_ready() if stream == "stdout" else channel.recv_stderr_ready()):
            return False
        self._room.wait()
        data = channel.recv(_PIECE) if stream == "stdout" else channel.recv_stderr(_PIECE)
        to_loop(self._loop, self._arrive, stream, data)
        return True

    # --- in the event loop ----------------------------------------------------------------------------------------

    def _arrive(self, stream: Stream, data: bytes) -> None:
        self._arrived.append((stream, data))
        self._held += len(data)
        if self._held > MOST_HELD and not self._closing:
            self._room.clear()
        self._news.set()

    def _end(self) -> None:
        self._ended = True
        self._news.set()


class ThreadedTerminal(ThreadedWire):
    """The same with a terminal in front of the shell; `taken` is called with each piece that somebody wanted."""

    def __init__(self, channel: paramiko.Channel, worker: Worker, taken: Callable[[], None], why: Callable[[], str]) -> None:
        super().__init__(channel, worker, why)
        self._taken = taken

    async def read(self) -> tuple[Stream, bytes] | None:
        """Return the next piece: a person reads on for hours, and may."""
        self._taken()
        return await super().read()

    def resize(self, columns: int, rows: int) -> None:
        """Tell the host that our window has changed."""
        self._worker.put(lambda: self._resize(columns, rows))

    def _resize(self, columns: int, rows: int) -> None:
        try:
            self._channel.resize_pty(columns, rows)
        except (OSError, EOFError, paramiko.SSHException):
            return  # told by the end of the streams
