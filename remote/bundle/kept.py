"""What is kept of a stream that may be endless."""

from __future__ import annotations

from inventory.secret import Masker

TAIL_BYTES = 64 * 1024
SLACK_BYTES = 128
"""How much a host that keeps its promise may send over a cap: it stops at the cap plus the room of one mark."""


class Kept:
    """All bytes up to `limit`; beyond it the head, and a ring of the last bytes, `limit` in total.

    The host itself stops a question just past its cap: then the first `limit` bytes are kept as they
    are. A host that goes on far beyond shows its last 64 KiB (at most half of the limit) as the tail.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._tail = min(TAIL_BYTES, limit // 2)
        self._head = bytearray()
        self._ring = bytearray()
        self.seen = 0

    def add(self, data: bytes) -> None:
        """Keep what there is room for."""
        self.seen += len(data)
        room = self._limit + SLACK_BYTES - len(self._head)
        self._head += data[:room]
        if len(data) > room:
            self._ring += data[max(room, len(data) - self._tail) :]
            if len(self._ring) > 2 * self._tail:
                del self._ring[: -self._tail or None]

    @property
    def over(self) -> int:
        """Return how many bytes arrived beyond the limit."""
        return max(0, self.seen - self._limit)

    def value(self) -> bytes:
        """Return what was kept, never more than `limit` bytes."""
        if self.seen <= self._limit + SLACK_BYTES:
            return bytes(self._head[: self._limit])
        last = (self._head[-self._tail :] + self._ring)[-self._tail :] if self._tail else b""
        return bytes(self._head[: self._limit - self._tail] + last)


def joint_at(limit: int) -> int:
    """Return where the tail of an answer begins that was kept up to `limit` bytes."""
    return limit - min(TAIL_BYTES, limit // 2)


def masked_part(data: bytes, limit: int, cut: int, masker: Masker) -> bytes:
    """Return an unfinished answer with every known secret masked, and what a cut left of one."""
    at = joint_at(limit) if cut and len(data) >= limit else len(data)
    head, tail = masker.torn(masker.data(data[:at])), masker.torn(masker.data(data[at:]), at_start=True)
    return head + masker.torn(tail)
