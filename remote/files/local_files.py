"""Files on our side: read for a put, written for a get, never by a name that a host chose."""

from __future__ import annotations

import asyncio
import hashlib
import io
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path


@asynccontextmanager
async def opened(source: bytes | Path) -> AsyncIterator[tuple[io.BytesIO | io.BufferedReader, int, str]]:
    """Yield what is to be sent as an open file, its size and its SHA-256; raises OSError."""
    file = await asyncio.to_thread(_open, source)
    try:
        digest = await asyncio.to_thread(hashlib.file_digest, file, "sha256")
        yield file, await asyncio.to_thread(file.seek, 0, os.SEEK_END), digest.hexdigest()
    finally:
        file.close()


def _open(source: bytes | Path) -> io.BytesIO | io.BufferedReader:
    return io.BytesIO(source) if isinstance(source, bytes) else source.open("rb")


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
