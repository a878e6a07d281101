"""What waits to be sent to a client: a little in memory, the rest in a file without a name: nobody waits for a slow client."""

from __future__ import annotations

import socket
import tempfile
from pathlib import Path
from typing import Final

MOST_BYTES: Final = 256 * 1024 * 1024
"""That may wait for one client; who lets more come together reads nothing any more."""
_LARGEST_BYTES: Final = 16 * 1024 * 1024
"""Of one piece."""
_IN_MEMORY: Final = 256 * 1024


class Outgoing:
    """Bytes on their way to a client, in order; the file is a ring: who reads on for ever never fills the disk.

    A piece has at most 16 MiB, and nothing is put behind more than `most` bytes.
    """

    def __init__(self, folder: Path, *, most: int = MOST_BYTES, largest: int = _LARGEST_BYTES) -> None:
        self._ready = bytearray()
        self._ring = most + largest
        self._file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 - it lives as long as this
        self._from = self._to = 0

    @property
    def waiting(self) -> int:
        """Return how many bytes have not been sent."""
        return len(self._ready) + self._to - self._from

    def put(self, data: bytes) -> None:
        """Add bytes behind those that wait."""
        if self._from == self._to and len(self._ready) + len(data) <= _IN_MEMORY:
            self._ready += data
            return
        assert self.waiting + len(data) <= self._ring, "whoever lets so much wait is given no more"
        at = self._to % self._ring
        for place, piece in ((at, data[: self._ring - at]), (0, data[self._ring - at :])):
            self._file.seek(place)
            self._file.write(piece)
        self._to += len(data)

    def send(self, connection: socket.socket) -> None:
        """Send what the connection takes now; raises OSError where it is broken."""
        while self._ready or self._refilled():
            try:
                del self._ready[: connection.send(self._ready)]
            except BlockingIOError:
                return

    def _refilled(self) -> bool:
        at = self._from % self._ring
        self._file.seek(at)
        data = self._file.read(min(_IN_MEMORY, self._to - self._from, self._ring - at))
        self._from += len(data)
        self._ready += data
        if self._from == self._to:
            self._from = self._to = 0
            self._file.truncate(0)
        return bool(data)
