r"""Frames: how answers share one pair of byte streams and still prove that they are complete.

A stream is payload with marks in it. A mark is one line that the host's shell writes with a builtin:

    \n NONCE PART SEQUENCE KIND INDEX [FIELD …] \n        (single spaces; the newlines belong to the mark)

NONCE     128 random bits in hex, made for this one exchange: no output can hold it by chance
PART      who wrote it: 0 the main script; 1 and up, a run of questions, one after another; hundreds, one beside another
SEQUENCE  counts the marks of its part and stream from 1: a mark that went missing shows
INDEX     the question, `-` for the part itself
KIND      open   the part begins                       FORMAT, user | root, the part it replaces if one broke off
          begin  payload of the question follows       uptime in seconds, or -
          more   payload of the question goes on: it was slow, and a part beside it was let through meanwhile
          status its exit status (stdout only)         0 … 255; not counted, bears its begin's SEQUENCE; payload may follow
          end    the question is over, on this stream  uptime, ok | late | flood | blind, pids that survived
          close  the part is over                      count of its marks on this stream, this one included
          sudo   root is asked for; what stderr holds up to `sudone` are sudo's own words
          sudoask root is asked for once more, this time sudo may ask for a password (elevation.py)
          sudone sudo ended                            its exit status
          done   the bundle is over                    count of the marks of part 0

Payload between marks is byte-exact. What precedes the first mark (login shells that greet) is noise.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, TypeAlias

FORMAT = "longarm-bundle/1"

Stream: TypeAlias = Literal["stdout", "stderr"]

MARK_LIMIT = 1024
"""Longest mark in bytes; a host reports at most 32 survivors."""

_MARK = re.compile(rb"(\d{1,3}) (\d{1,9}) ([a-z]{1,8}) (-|\d{1,5})((?: [!-~]{1,64})*)")


@dataclass(frozen=True, slots=True)
class Mark:
    """One line of the host's shell between payloads."""

    part: int
    sequence: int
    kind: str
    index: int | None
    fields: tuple[str, ...] = ()

    def encode(self, nonce: str) -> bytes:
        r"""Return the mark as a host sends it.

        >>> Mark(1, 2, "begin", 0, ("17.25",)).encode("ab12")
        b'\nab12 1 2 begin 0 17.25\n'
        """
        index = "-" if self.index is None else str(self.index)
        return f"\n{' '.join((nonce, str(self.part), str(self.sequence), self.kind, index, *self.fields))}\n".encode()


def read_mark(text: bytes) -> Mark | None:
    """Return the mark whose text after the nonce is `text`, or None if it is none.

    >>> read_mark(b"1 3 status 0 127")
    Mark(part=1, sequence=3, kind='status', index=0, fields=('127',))
    """
    if not (match := _MARK.fullmatch(text)):
        return None
    part, sequence, kind, index, fields = match.groups()
    at = None if index == b"-" else int(index)
    return Mark(int(part), int(sequence), kind.decode(), at, tuple(fields.decode().split()))


class FrameReader:
    """Splits one stream, as its pieces arrive, into payload and marks.

    Holds back what may become a mark, at most one mark's length: no loss, since nothing is whole without its end mark.
    """

    def __init__(self, nonce: str) -> None:
        self._start = b"\n" + nonce.encode() + b" "
        self._held = b""

    @property
    def held(self) -> bytes:
        """Return what arrived last and may still become a mark."""
        return self._held

    def feed(self, data: bytes) -> Iterable[bytes | Mark]:
        """Yield what is certain by now, in order."""
        data = self._held + data if self._held else data
        at = 0
        while (found := data.find(self._start, at)) >= 0:
            text = found + len(self._start)
            end = data.find(b"\n", text, text + MARK_LIMIT)
            if end < 0 and len(data) - text < MARK_LIMIT:  # its end has not arrived yet
                self._held = data[found:]
                if found > at:
                    yield data[at:found]
                return
            if end >= 0 and (mark := read_mark(data[text:end])):
                if found > at:
                    yield data[at:found]
                yield mark
                at = end + 1
            else:  # looks like a mark and is none: payload
                yield data[at:text]
                at = text
        keep = _begins_at(data, self._start, at)
        self._held = data[keep:]
        if keep > at:
            yield data[at:keep]


def _begins_at(data: bytes, start: bytes, at: int) -> int:
    """Return where the longest end of `data[at:]` that may become `start` begins (its length if there is none).

    >>> _begins_at(b"payload\\nab", b"\\nab12 ", 0), _begins_at(b"payload\\nxy", b"\\nab12 ", 0)
    (7, 10)
    """
    candidate = data.rfind(b"\n", max(at, len(data) - len(start) + 1))
    return candidate if candidate >= 0 and start.startswith(data[candidate:]) else len(data)
