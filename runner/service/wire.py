"""What a client and the service say to each other: frames of a kind, a length and so many bytes, each kind with its limit.

    kind (1 byte) | length (4 bytes, big-endian) | payload

Both begin with HELLO, whose payload any version can read. What a client sends is believed in nothing: a kind that has no
place at that moment, a length over its limit, words that are not what they should be end the connection (`BadFrame`).
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, Final

PROTOCOL: Final = 1
"""Of this version; a client and a service that speak different ones say so and part."""
PIECE_BYTES: Final = 64 * 1024
_HEAD: Final = struct.Struct(">BI")
_WORDS_BYTES: Final = 1024 * 1024


class Kind(IntEnum):
    """What a frame is."""

    HELLO = 1  # both: {protocol, version, …}
    REQUEST = 2  # client: what is asked for
    FILE = 3  # client: a piece of the file that is being sent
    FILE_END = 4  # client: the file is whole; the next one follows
    INPUT = 5  # client: what was typed, or came on stdin
    INPUT_END = 6  # client: there is no more
    INTERRUPT = 7  # client: Ctrl-C
    RESIZE = 8  # client: {columns, rows}
    BUSY = 16  # service: it carries out as much as it may; nothing follows
    SEND_FILES = 17  # service: the request is understood; now its files
    OUT = 18  # service: a piece of stdout
    ERR = 19  # service: a piece of stderr
    TERMINAL = 20  # service: what goes to the terminal whatever stdout and stderr are
    WANT = 21  # service: {what}: somebody is to answer
    WRITTEN = 22  # service: a piece of a file that the client asked to be written: its number, then bytes
    ENDED = 23  # service: {code}; nothing follows


LIMITS: Final[Mapping[Kind, int]] = {
    Kind.HELLO: 4096,
    Kind.REQUEST: _WORDS_BYTES,
    Kind.FILE: PIECE_BYTES,
    Kind.FILE_END: 0,
    Kind.INPUT: PIECE_BYTES,
    Kind.INPUT_END: 0,
    Kind.INTERRUPT: 0,
    Kind.RESIZE: 64,
    Kind.BUSY: 0,
    Kind.SEND_FILES: 0,
    Kind.OUT: PIECE_BYTES,
    Kind.ERR: PIECE_BYTES,
    Kind.TERMINAL: PIECE_BYTES,
    Kind.WANT: 64,
    Kind.WRITTEN: PIECE_BYTES + 2,
    Kind.ENDED: 64,
}
"""Bytes that the payload of each kind may have."""


class BadFrame(Exception):
    """The other side said something that has no meaning here."""


@dataclass(frozen=True, slots=True)
class Frame:
    """One thing that was said."""

    kind: Kind
    payload: bytes

    def words(self) -> dict[str, Any]:
        """Return the payload as the JSON object that it must be; raises BadFrame."""
        try:
            value = json.loads(self.payload)
        except (ValueError, RecursionError) as error:
            raise BadFrame(f"{self.kind.name} is no JSON") from error
        if not isinstance(value, dict):
            raise BadFrame(f"{self.kind.name} is no object")
        return value


def packed(kind: Kind, payload: bytes = b"") -> bytes:
    r"""Return a frame as it is sent.

    >>> packed(Kind.OUT, b"ok\n")
    b'\x12\x00\x00\x00\x03ok\n'
    """
    assert len(payload) <= LIMITS[kind], (kind, len(payload))
    return _HEAD.pack(kind, len(payload)) + payload


def in_words(kind: Kind, **words: object) -> bytes:
    """Return a frame of JSON as it is sent."""
    return packed(kind, json.dumps(words, separators=(",", ":")).encode())


def in_pieces(kind: Kind, data: bytes, number: bytes = b"") -> bytes:
    """Return data as the frames that it needs, one after another."""
    return b"".join(packed(kind, number + data[at : at + PIECE_BYTES]) for at in range(0, len(data), PIECE_BYTES))


class Frames:
    """Finds frames in what arrives; holds no more than one frame of the largest kind and what came with it."""

    def __init__(self) -> None:
        self._held = bytearray()

    def take(self, data: bytes) -> Iterator[Frame]:
        r"""Yield the frames that are whole by now; raises BadFrame as soon as the head of one shows that it is none.

        >>> frames = Frames()
        >>> list(frames.take(b"\x12\x00\x00\x00\x03o")), list(frames.take(b"k\n"))
        ([], [Frame(kind=<Kind.OUT: 18>, payload=b'ok\n')])
        """
        self._held += data
        while len(self._held) >= _HEAD.size:
            number, length = _HEAD.unpack_from(self._held)
            kind = _kind(number)
            if length > LIMITS[kind]:
                raise BadFrame(f"{kind.name} of {length} bytes")
            if len(self._held) < (end := _HEAD.size + length):
                return
            frame = Frame(kind, bytes(self._held[_HEAD.size : end]))
            del self._held[:end]
            yield frame


def _kind(number: int) -> Kind:
    try:
        return Kind(number)
    except ValueError:
        raise BadFrame(f"a frame of kind {number}") from None
