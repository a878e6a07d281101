"""Files on our side: read for a put, written for a get, never by a name that a host chose."""

from __future__ import annotations

import asyncio
import hashlib
import io
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import ParamSpec, TypeVar

T = TypeVar("T")
P = ParamSpec("P")


async def to_its_end(function: Callable[P, T], *given: P.args, **named: P.kwargs) -> T:
    """Return what `function` returns, called in a thread; whoever is cancelled waits for its end.

    A thread goes on: what it opens later would stay open, and what it writes to would be closed under it.
    """
    work = asyncio.ensure_future(asyncio.to_thread(function, *given, **named))
    try:
        return await asyncio.shield(work)
    except asyncio.CancelledError:
        await asyncio.wait([work])
        work.exception()  # it is nobody's any more
        raise


@asynccontextmanager
async def opened(source: bytes | Path) -> AsyncIterator[tuple[io.BytesIO | io.BufferedReader, int, str]]:
    """Yield what is to be sent as an open file, its size and its SHA-256; raises OSError."""
    file: io.BytesIO | io.BufferedReader = io.BytesIO()

    def read() -> tuple[int, str]:
        nonlocal file
        file = io.BytesIO(source) if isinstance(source, bytes) else source.open("rb")
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        return file.seek(0, os.SEEK_END), digest

    try:
        size, digest = await to_its_end(read)
        yield file, size, digest
    finally:
        file.close()


class Sink:
    """A file that grows beside the one it becomes, ours alone; nothing is followed, nothing of another is written over."""

    def __init__(self, to: Path) -> None:
        self.part = to.with_name(f".{to.name}.part")
        self._to, self._made = to, hashlib.sha256()
        self.size = 0
        self._fd = -1

    def open(self, *, resume: bool) -> None:
        """Open the part: anew, or where it ended; raises OSError."""
        if not resume:
            self.part.unlink(missing_ok=True)
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC | (0 if resume else os.O_EXCL)
        self._fd = os.open(self.part, flags, 0o600)
        while data := os.read(self._fd, 1024 * 1024):
            self._made.update(data)
            self.size += len(data)

    def cut(self, size: int) -> None:
        """Keep only the first `size` bytes of what is there."""
        os.ftruncate(self._fd, size)
        os.lseek(self._fd, 0, os.SEEK_SET)
        self._made, self.size = hashlib.sha256(), 0
        while data := os.read(self._fd, 1024 * 1024):
            self._made.update(data)
            self.size += len(data)

    def add(self, data: bytes) -> None:
        """Add bytes at the end; raises OSError, a full disk among others."""
        view = memoryview(data)
        while view:
            view = view[os.write(self._fd, view) :]
        self._made.update(data)
        self.size += len(data)

    def digest(self) -> str:
        """Return the SHA-256 of what is there."""
        return self._made.hexdigest()

    def finish(self) -> None:
        """Put the part, whole and on disk, in the place of the file."""
        os.fsync(self._fd)
        self.part.replace(self._to)
        folder = os.open(self._to.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def close(self) -> None:
        """Close the part; idempotent."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
