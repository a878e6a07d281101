"""Sealed bodies (MS-WSMV 2.2.9.1): over HTTP nothing is sent, and nothing is believed, without a seal."""

from __future__ import annotations

import struct
from typing import Final

from remote.windows.negotiation import BadSeal, Context, NotSealed

_BOUNDARY: Final = b"--Encrypted Boundary"
_OCTETS: Final = b"\tContent-Type: application/octet-stream\r\n"
_LENGTH: Final = b"Length="


def content_type(context: Context, size: int) -> str:
    """Return what a sealed message of so many bytes is called."""
    kind = "x-multi-encrypted" if context.most_sealed and size > context.most_sealed else "encrypted"
    return f'multipart/{kind};protocol="{context.sealed_as}";boundary="Encrypted Boundary"'


def sealed(context: Context, message: bytes) -> bytes:
    """Return a message as a sealed body."""
    most = context.most_sealed or len(message)
    pieces = (message[at : at + most] for at in range(0, len(message), most))
    return b"".join(_part(context, piece) for piece in pieces) + _BOUNDARY + b"--\r\n"


def _part(context: Context, piece: bytes) -> bytes:
    seal, data, padding = context.seal(piece)
    return b"".join(
        (
            _BOUNDARY,
            b"\r\n\tContent-Type: ",
            context.sealed_as.encode(),
            b"\r\n\tOriginalContent: type=application/soap+xml;charset=UTF-8;Length=%d\r\n" % (len(piece) + padding),
            _BOUNDARY,
            b"\r\n",
            _OCTETS,
            struct.pack("<i", len(seal)),
            seal,
            data,
        )
    )


def opened(context: Context, kind: str, body: bytes) -> bytes:
    """Return what a sealed body says; raises BadSeal for one that is not sealed, or not by the other side."""
    if not kind.lower().startswith("multipart/") or context.sealed_as.lower() not in kind.lower():
        raise NotSealed("it is not sealed")
    parts = body.split(_BOUNDARY + b"\r\n")
    if parts[0] or len(parts) < 3 or len(parts) % 2 == 0:
        raise BadSeal("its parts are not what they should be")
    return b"".join(_opened(context, *pair) for pair in zip(parts[1::2], parts[2::2], strict=True))


def _opened(context: Context, information: bytes, part: bytes) -> bytes:
    payload = part.removeprefix(_OCTETS).removesuffix(_BOUNDARY + b"--\r\n").removesuffix(_BOUNDARY + b"--")
    announced = information.rpartition(_LENGTH)[2].strip()
    size = struct.unpack("<i", payload[:4])[0] if len(payload) >= 4 else -1
    if not 0 <= size <= len(payload) - 4 or not announced.isdigit() or len(announced) > 9:
        raise BadSeal("its lengths are not what they should be")
    message = context.open(payload[4 : 4 + size], payload[4 + size :])
    if len(message) > int(announced):
        raise BadSeal("it is longer than announced")
    return message
