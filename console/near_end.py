"""What a command sees and is told while a service carries it out: our streams, our terminal, our files."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import termios
import tty
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import FrameType
from typing import Any, Self

from console.entry import INTERRUPTED
from console.files import Replacement
from console.terminal import complain, forget_typed, write_bytes_to
from console.words import say
from inventory.errors import Text
from runner.service.call import Want
from runner.service.request import Place
from runner.service.wire import Kind, in_words, packed

_PRESSES = 3
"""After so many a command leaves at once; after one more we do."""
_WATCHED = (signal.SIGINT, signal.SIGTERM, signal.SIGWINCH)


class NearEnd:
    """Our streams and files, from entering to leaving; Ctrl-C is the service's to understand meanwhile."""

    def __init__(self, places: Sequence[Place]) -> None:
        self._places = places
        self._files: dict[int, Replacement] = {}
        self.kept = True
        """Every file that came could be written."""
        self._presses = 0
        self._restore: Callable[[], None] | None = None
        self._terminal: int | None = None
        self._before: dict[int, Callable[[int, FrameType | None], Any] | int | None] = {}

    def __enter__(self) -> Self:
        self.alarm, self._wakeup = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(self._wakeup, warn_on_full_buffer=False)
        self._before = {number: signal.signal(number, lambda *_: None) for number in _WATCHED}
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._settle(whole=kind is None)
        self.give(Want.NOTHING)
        signal.set_wakeup_fd(-1)
        for number, before in self._before.items():
            signal.signal(number, before)
        os.close(self.alarm)
        os.close(self._wakeup)
        if self._terminal is not None:
            os.close(self._terminal)

    def alarms(self) -> Iterator[bytes]:
        """Yield what the service is to be told of signals that came; who presses Ctrl-C too often leaves at once."""
        with contextlib.suppress(BlockingIOError):
            for number in os.read(self.alarm, 64):
                if number == signal.SIGWINCH:
                    if (size := terminal_size()) is not None:
                        yield in_words(Kind.RESIZE, columns=size.columns, rows=size.lines)
                    continue
                self._presses += 1
                if self._presses > _PRESSES:
                    self.give(Want.NOTHING)
                    os._exit(INTERRUPTED)
                yield packed(Kind.INTERRUPT)

    def show(self, kind: Kind, data: bytes) -> None:
        """Write a piece to stdout, stderr or the terminal; it was made harmless where it was written."""
        if kind is Kind.OUT:
            write_bytes_to(sys.stdout, data)
        elif kind is Kind.ERR:
            write_bytes_to(sys.stderr, data)
        elif kind is Kind.TERMINAL:
            view = memoryview(data)
            with contextlib.suppress(OSError):  # the window is closed
                while view:
                    view = view[os.write(self._tty(), view) :]

    def give(self, what: Want) -> int | None:
        """Get the terminal ready for what is wanted and return where it is read, None where there is nothing to read."""
        if self._restore is not None:
            self._restore()
            self._restore = None
        if what is Want.NOTHING:
            return None
        if what is Want.SECRET:
            self._set(self._tty(), _without_echo)
            return self._tty()
        if sys.stdin is None:
            return None
        if what is Want.LINE:
            forget_typed(sys.stdin)
        if what is Want.RAW:
            self._set(sys.stdin.fileno(), lambda descriptor: tty.setraw(descriptor, termios.TCSADRAIN))
        return sys.stdin.fileno()

    def keep(self, number: int, data: bytes) -> None:
        """Write a piece of a file that the command line named; the first, empty one begins it."""
        try:
            if not data:
                self._files[number] = Replacement(Path(self._places[number].path))
            elif number in self._files:
                self._files[number].write(data)
        except OSError as error:
            self._not_kept(number, error)

    def _settle(self, *, whole: bool) -> None:
        """Put the files in their places if the service has come to its end, else leave what was there before."""
        for number in tuple(self._files):
            try:
                self._files.pop(number).close(whole=whole)
            except OSError as error:
                self._not_kept(number, error)

    def _not_kept(self, number: int, error: OSError) -> None:
        if self.kept:
            path = self._places[number].path
            complain(say(Text("error: {path} cannot be written: {reason}", path=path, reason=error.strerror)))
        self.kept = False
        if file := self._files.pop(number, None):
            with contextlib.suppress(OSError):
                file.close(whole=False)

    def _set(self, descriptor: int, change: Callable[[int], object]) -> None:
        with contextlib.suppress(termios.error):  # no terminal, or none any more: it is read as it is
            before = termios.tcgetattr(descriptor)
            self._restore = lambda: _put_back(descriptor, before)
            change(descriptor)

    def _tty(self) -> int:
        """Return the terminal at which somebody sits, whatever the streams are."""
        if self._terminal is None:
            try:
                self._terminal = os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)
            except OSError:
                self._terminal = os.dup(next(stream.fileno() for stream in _streams() if stream.isatty()))
        return self._terminal


def _without_echo(descriptor: int) -> None:
    attributes = termios.tcgetattr(descriptor)
    attributes[3] &= ~termios.ECHO
    termios.tcsetattr(descriptor, termios.TCSAFLUSH, attributes)


def _put_back(descriptor: int, attributes: list[Any]) -> None:
    with contextlib.suppress(termios.error):
        termios.tcsetattr(descriptor, termios.TCSADRAIN, attributes)


def _streams() -> list[Any]:
    return [stream for stream in (sys.stdin, sys.stderr, sys.stdout) if stream is not None]


def terminal_size() -> os.terminal_size | None:
    """Return the size of the terminal at which somebody sits, None where nobody does."""
    descriptors = [stream.fileno() for stream in _streams() if stream.isatty()]
    opened = None
    if not descriptors:
        try:
            opened = os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)
        except OSError:
            return None
        descriptors = [opened]
    try:
        size = os.get_terminal_size(descriptors[0])
    except OSError:
        size = os.terminal_size((0, 0))
    finally:
        if opened is not None:
            os.close(opened)
    return size if size.columns > 0 and size.lines > 0 else os.terminal_size((80, 24))
