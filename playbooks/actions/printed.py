"""What a function prints is its step's: ours is the stdout that programs read, and it holds nothing but the answer.

Streams are the process's, functions run in threads beside each other: whoever writes is told apart by thread.
"""

from __future__ import annotations

import io
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO, Final, TextIO

from remote.bundle.kept import Kept

MOST_PRINTED: Final = 256 * 1024
"""Bytes of each stream: the head, and the last of what is longer."""
_LOCK = threading.Lock()
_PRINTING: dict[int, Printed] = {}
"""By thread."""


class Printed:
    """What one function has printed so far."""

    def __init__(self) -> None:
        self._streams = {"stdout": Kept(MOST_PRINTED), "stderr": Kept(MOST_PRINTED)}

    def add(self, stream: str, data: bytes) -> None:
        """Keep what was printed."""
        self._streams[stream].add(data)

    def value(self, stream: str) -> bytes:
        """Return what is kept of a stream; it ends with a line that says so where that is not all."""
        kept = self._streams[stream]
        mark = f"\n… {kept.over} bytes are left out\n".encode() if kept.over else b""
        return kept.value() + mark

    @contextmanager
    def taking(self) -> Iterator[None]:
        """Take what this thread prints."""
        with _LOCK:
            _PRINTING[threading.get_ident()] = self
        try:
            yield
        finally:
            with _LOCK:
                del _PRINTING[threading.get_ident()]


class _Told(io.TextIOBase):
    """A stream of the process while functions run: what a function prints is kept, what we print goes where it went."""

    def __init__(self, name: str, ours: TextIO | None, others: TextIO | None) -> None:
        self._name, self.ours, self._others = name, ours, others
        self._home = threading.main_thread().ident

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return "utf-8"

    @property
    def buffer(self) -> BinaryIO | _Bytes:
        """Return what takes bytes."""
        printed, there = _PRINTING.get(threading.get_ident()), self._there()
        if printed is not None:
            return _Bytes(printed, self._name)
        if there is None:
            raise io.UnsupportedOperation("buffer")
        return there.buffer

    def _there(self) -> TextIO | None:
        """Return where it goes what this thread prints: ours, unless a function may have started it."""
        return self.ours if threading.get_ident() == self._home else self._others

    def writable(self) -> bool:
        return True

    def isatty(self) -> bool:
        return self.ours is not None and threading.get_ident() == self._home and self.ours.isatty()

    def fileno(self) -> int:
        if self.ours is None:
            raise io.UnsupportedOperation("fileno")
        return self.ours.fileno()

    def write(self, text: str) -> int:
        printed, there = _PRINTING.get(threading.get_ident()), self._there()
        if printed is not None:
            printed.add(self._name, text.encode("utf-8", "backslashreplace"))
        elif there is not None:
            there.write(text)
        return len(text)

    def flush(self) -> None:
        there = self._there()
        if there is not None and threading.get_ident() not in _PRINTING:
            there.flush()


class _Bytes(io.BufferedIOBase):
    """Where a function that prints bytes prints them."""

    def __init__(self, printed: Printed, name: str) -> None:
        self._printed, self._name = printed, name

    def writable(self) -> bool:
        return True

    def write(self, data: bytes | bytearray | memoryview) -> int:  # type: ignore[override]  # Buffer comes with Python 3.12
        taken = bytes(data)
        self._printed.add(self._name, taken)
        return len(taken)


class _Apart:
    """Our streams while functions run; they come back once a block ends and no function is left, abandoned ones too."""

    def __init__(self) -> None:
        self.users = 0
        self._theirs: tuple[TextIO | None, TextIO | None] | None = None
        """Our streams as they were."""
        self._moved: TextIO | None = None
        """Ours on a number that is in nobody's hands, as long as 1 is stderr's."""

    def begin(self) -> None:
        """Stand between whoever prints and our streams."""
        self.users += 1
        if self._theirs is not None:
            return
        out, err = self._theirs = sys.stdout, sys.stderr
        for stream in self._theirs:
            if stream is not None:
                stream.flush()
        if sys.__stdout__ is not None and sys.__stderr__ is not None:  # else the number may be another file's
            self._moved = _at_another_number(out)
            os.dup2(2, 1)
        ours = self._moved if out is not None and self._moved is not None and _number(out) == 1 else out
        sys.stdout, sys.stderr = _Told("stdout", ours, err), _Told("stderr", err, err)

    def end(self) -> None:
        """Put them back, unless a function goes on that nobody waits for: whatever it prints must not be on our stdout."""
        self.users -= 1
        if self.users or _PRINTING or self._theirs is None:
            return
        if self._moved is not None:
            self._moved.flush()
            os.dup2(self._moved.fileno(), 1)
            self._moved.close()
            self._moved = None
        for name, stream in zip(("stdout", "stderr"), self._theirs, strict=True):
            told = getattr(sys, name)
            if isinstance(told, _Told):
                told.ours = stream
                setattr(sys, name, stream)
        self._theirs = None


def _at_another_number(stream: TextIO | None) -> TextIO:
    """Return what writes to our stdout, in the words of a stream, by another number than 1."""
    encoding, errors = getattr(stream, "encoding", None) or "utf-8", getattr(stream, "errors", None) or "backslashreplace"
    buffering = 1 if getattr(stream, "line_buffering", False) else -1
    return os.fdopen(os.dup(1), "w", buffering, encoding=encoding, errors=errors)


def _number(stream: TextIO) -> int | None:
    """Return the number of the file that a stream writes to, None where there is none."""
    try:
        return stream.fileno()
    except (OSError, ValueError):
        return None


_APART: Final = _Apart()


@contextmanager
def kept_apart() -> Iterator[None]:
    """Let functions run in the block: nothing that they print, or that programs print which they start, is on our stdout.

    What such a program prints without being asked for it, or a thread that a function has started, goes to stderr: nobody
    can tell whose it is. A function that goes on behind the block is still kept apart; what it prints is its step's.
    """
    with _LOCK:
        _APART.begin()
    try:
        yield
    finally:
        with _LOCK:
            _APART.end()
