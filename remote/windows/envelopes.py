"""What a host sends as XML, looked at before anything else reads it: hostile XML stops here (threat T4).

No document type, so no entity and nothing that is fetched; only UTF-8; bounded in size, in depth and in attributes.
"""

from __future__ import annotations

from typing import Final
from xml.parsers import expat

LARGEST: Final = 1024 * 1024
"""Bytes of one envelope; Windows sends at most what we ask for, 150 KiB."""
_DEEPEST: Final = 64
_MOST_ELEMENTS: Final = 20_000
_MOST_ATTRIBUTES: Final = 64
_LONGEST_ATTRIBUTES: Final = 64 * 1024
_ENCODINGS: Final = frozenset({None, "utf-8", "us-ascii"})


class HostileXml(Exception):
    """What came is not XML that a Windows host sends."""


def checked(data: bytes, *, largest: int = LARGEST) -> bytes:
    """Return an envelope as it came, or raise HostileXml.

    >>> checked(b"<a>&lt;</a>")
    b'<a>&lt;</a>'
    """
    if len(data) > largest:
        raise HostileXml(f"more than {largest} bytes")
    try:
        data.decode()
        _Look().at(data)
    except (UnicodeDecodeError, expat.ExpatError) as error:
        raise HostileXml(str(error)) from error
    return data


class _Look:
    def __init__(self) -> None:
        self._depth = self._elements = 0

    def at(self, data: bytes) -> None:
        parser = expat.ParserCreate()
        parser.XmlDeclHandler = self._declaration
        parser.StartDoctypeDeclHandler = self._document_type
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.Parse(data, True)

    def _declaration(self, version: str, encoding: str | None, standalone: int) -> None:  # noqa: ARG002 (expat's)
        if (encoding.lower() if encoding else None) not in _ENCODINGS:
            raise HostileXml("it is not in UTF-8")

    def _document_type(self, *_: object) -> None:
        raise HostileXml("it has a document type, which SOAP forbids")

    def _start(self, _: str, attributes: dict[str, str]) -> None:
        self._depth += 1
        self._elements += 1
        if self._depth > _DEEPEST:
            raise HostileXml(f"more than {_DEEPEST} levels")
        if self._elements > _MOST_ELEMENTS:
            raise HostileXml(f"more than {_MOST_ELEMENTS} elements")
        if len(attributes) > _MOST_ATTRIBUTES or sum(map(len, attributes.values())) > _LONGEST_ATTRIBUTES:
            raise HostileXml("an element with too many or too long attributes")

    def _end(self, _: str) -> None:
        self._depth -= 1
