"""The streams of a command that runs for a client: a terminal where the client has one, pipes elsewhere."""

from __future__ import annotations

import fcntl
import os
import pty
import signal
import struct
import sys
import termios
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO, Final

from runner.service.call import Call
from runner.service.request import Place, Request, Stream
from runner.service.wire import PIECE_BYTES, BadFrame, Kind

_MOST_TYPED: Final = 256 * 1024
UNWRITTEN: Final = (0, 0)
"""The times of a file that stands for one of the client's, as long as the command has not written it."""
_END_OF_LINE_INPUT: Final = b"\x04"
_IN, _OUT, _ERR = 0, 1, 2
_LFLAG, _OFLAG = 3, 1
_HELD_BACK: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@dataclass(slots=True)
class _End:
    """Where something that was typed goes: not all of it at once."""

    descriptor: int
    waiting: bytearray
    closing: bool = False


class Streams:
    """The near ends, which the attendant has, and the far ones, which the command gets."""

    def __init__(self, ends: dict[int, int], outputs: tuple[tuple[int, Kind], ...], terminal: tuple[int, int] | None) -> None:
        self._far = ends
        self.outputs = outputs
        self._master = terminal[0] if terminal else None
        self._slave = terminal[1] if terminal else None
        self.wants, self._wanting = os.pipe2(os.O_CLOEXEC)
        os.set_blocking(self.wants, False)
        self._stdin: _End | None = None
        self._terminal = _End(self._master, bytearray()) if self._master is not None else None

    @classmethod
    def opened(cls, request: Request) -> Streams:
        """Return the streams that a request needs."""
        terminal = _terminal(request) if request.terminal else None
        ends, outputs = dict[int, int](), list[tuple[int, Kind]]()
        for number, stream, kind in ((_OUT, request.stdout, Kind.OUT), (_ERR, request.stderr, Kind.ERR)):
            if stream is Stream.TERMINAL and terminal:
                ends[number] = terminal[1]
            elif stream is not Stream.NONE:
                reading, ends[number] = os.pipe2(os.O_CLOEXEC)
                os.set_blocking(reading, False)
                outputs.append((reading, kind))
        if terminal:
            outputs.append((terminal[0], Kind.TERMINAL))
        made = cls(ends, tuple(outputs), terminal)
        if request.stdin is Stream.TERMINAL and terminal:
            ends[_IN], made._stdin = terminal[1], made._terminal
        elif request.stdin is Stream.OTHER:
            ends[_IN], writing = os.pipe2(os.O_CLOEXEC)
            os.set_blocking(writing, False)
            made._stdin = _End(writing, bytearray())
        return made

    def start(self, call: Call, work: Callable[[Call], int], *, shut: Iterable[int]) -> int:
        """Fork the process that carries a command out, without what is the attendant's (`shut`), and return its id.

        It leads a session of its own.
        """
        before = signal.pthread_sigmask(signal.SIG_BLOCK, _HELD_BACK)  # until the new process has handlers of its own
        pid = os.fork()
        if pid == 0:
            try:
                self._become(call.request, shut)
                signal.pthread_sigmask(signal.SIG_SETMASK, before)
                code = work(replace(call, wanting=self._wanting))
                for stream in (sys.stdout, sys.stderr):
                    if stream is not None:
                        with suppress(OSError):
                            stream.flush()
                os._exit(code)
            except BaseException:  # noqa: BLE001 - nothing of this process goes back into the attendant
                sys.excepthook(*sys.exc_info())
                os._exit(7)
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        for descriptor in {*self._far.values(), self._wanting}:
            os.close(descriptor)
        return pid

    def _become(self, request: Request, shut: Iterable[int]) -> None:
        """Take over the streams, as a process has them that a shell has started."""
        signal.set_wakeup_fd(-1)
        for heard in (signal.SIGCHLD, signal.SIGTERM, signal.SIGHUP):
            signal.signal(heard, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        os.setsid()
        if self._slave is not None:
            fcntl.ioctl(self._slave, termios.TIOCSCTTY, 0)
        nowhere = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
        for number in (_IN, _OUT, _ERR):
            os.dup2(self._far.get(number, nowhere), number)
        near = {descriptor for descriptor, _ in self.outputs} | ({self._stdin.descriptor} if self._stdin else set())
        for descriptor in {*near, *shut, self.wants}:
            os.close(descriptor)
        sys.stdin = open(_IN, encoding="utf-8", errors="surrogateescape", closefd=False)  # noqa: SIM115 - these last
        sys.stdout = open(_OUT, "w", encoding="utf-8", errors="backslashreplace", closefd=False)  # noqa: SIM115
        sys.stderr = open(_ERR, "w", encoding="utf-8", errors="backslashreplace", buffering=1, closefd=False)  # noqa: SIM115
        for number, stream in ((_IN, request.stdin), (_OUT, request.stdout), (_ERR, request.stderr)):
            if stream is Stream.NONE:
                setattr(sys, ("stdin", "stdout", "stderr")[number], None)

    # What is typed

    @property
    def full(self) -> bool:
        """Tell whether the command has not yet taken what was typed before."""
        return any(len(end.waiting) >= _MOST_TYPED for end in (self._stdin, self._terminal) if end)

    def take(self, data: bytes, *, to_terminal: bool) -> None:
        """Pass on what was typed."""
        if end := self._terminal if to_terminal else self._stdin:
            end.waiting += data
            self.type()

    def end(self, *, to_terminal: bool) -> None:
        """Pass on that no more will be typed."""
        if end := self._terminal if to_terminal else self._stdin:
            if end is self._terminal:
                end.waiting += _END_OF_LINE_INPUT
            else:
                end.closing = True
            self.type()

    def type(self) -> None:
        """Let the command have as much as it takes."""
        for end in (self._stdin, self._terminal):
            if end is not None and end.descriptor >= 0:
                try:
                    while end.waiting:
                        del end.waiting[: os.write(end.descriptor, end.waiting[:PIECE_BYTES])]
                except BlockingIOError:
                    continue
                except OSError:  # the command reads nothing any more
                    end.waiting.clear()
                if end.closing:
                    os.close(end.descriptor)
                    end.descriptor = -1

    def resize(self, columns: object, rows: object) -> None:
        """Let the terminal be of another size; raises BadFrame for one that is none."""
        if not (isinstance(columns, int) and isinstance(rows, int) and 0 < columns < 10_000 and 0 < rows < 10_000):
            raise BadFrame("no size")
        if self._master is not None:
            fcntl.ioctl(self._master, termios.TIOCSWINSZ, struct.pack("4H", rows, columns, 0, 0))

    # What is left in the end

    def rest(self, descriptor: int) -> Iterator[bytes]:
        """Yield what can be read at once: others may keep the far end open for long."""
        try:
            while data := os.read(descriptor, PIECE_BYTES):
                yield data
        except OSError:
            return

    def written(self, path: Path, place: Place) -> BinaryIO | None:
        """Return the file that the command has written for the client, None where it has written none."""
        try:
            file = path.open("rb")
        except OSError:
            return None
        if place.exists and os.fstat(file.fileno()).st_mtime_ns == UNWRITTEN[1]:  # it was made here, to be found there
            file.close()
            return None
        return file


def _terminal(request: Request) -> tuple[int, int]:
    """Return both ends of a terminal that adds nothing: what is typed is shown, and lines are ended, by the client's own."""
    master, slave = pty.openpty()
    attributes = termios.tcgetattr(slave)
    attributes[_LFLAG] &= ~termios.ECHO
    attributes[_OFLAG] &= ~termios.OPOST
    termios.tcsetattr(slave, termios.TCSANOW, attributes)
    fcntl.ioctl(master, termios.TIOCSWINSZ, struct.pack("4H", request.rows, request.columns, 0, 0))
    for descriptor in (master, slave):
        os.set_inheritable(descriptor, False)
    os.set_blocking(master, False)
    return master, slave
