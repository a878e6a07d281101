"""Captured answers: the evidence of a real host, read back as what it answered."""

from __future__ import annotations

import base64
import binascii
import gzip
import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from inventory.errors import LongarmError, Text
from remote.answer import Answer, Ended

_FORMAT = "longarm-evidence/1"


class NoCapture(LongarmError):
    """A file of captured answers that cannot be used."""

    def __init__(self, file: str, reason: str) -> None:
        super().__init__(Text("{file} holds no captured answers: {reason}", file=file, reason=reason))


def read_captures(data: bytes, file: str) -> Mapping[str, Answer]:
    """Return the answers by question id that an evidence file holds, packed or not; raise NoCapture."""
    try:
        document = json.loads(gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data)
        if document["format"] != _FORMAT:
            raise NoCapture(file, f"its format is {document['format']!r}, not {_FORMAT}")
        return {question: _answer(plain) for question, plain in document["evidence"]["answers"].items()}
    except (ValueError, KeyError, TypeError, AttributeError, OSError, EOFError, binascii.Error) as error:
        raise NoCapture(file, repr(error)) from error


def taken_at(data: bytes, file: str) -> datetime:
    """Return when the answers of an evidence file were taken; raise NoCapture."""
    try:
        document = json.loads(gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data)
        return datetime.fromisoformat(document["evidence"]["taken_at"])
    except (ValueError, KeyError, TypeError, OSError, EOFError) as error:
        raise NoCapture(file, repr(error)) from error


def _answer(plain: Mapping[str, Any]) -> Answer:
    """Return one answer as it was captured, the time it took included."""
    return Answer(
        ended=Ended(plain["ended"]),
        exit_status=plain["exit_status"],
        stdout=_bytes(plain.get("stdout", {"text": ""})),
        stderr=_bytes(plain.get("stderr", {"text": ""})),
        duration_ms=plain.get("duration_ms", 0),
        stdout_cut=plain.get("stdout_cut", 0),
        stderr_cut=plain.get("stderr_cut", 0),
        as_root=plain.get("as_root", False),
        unkillable=tuple(plain.get("unkillable", ())),
        why=plain.get("why", ""),
        denied=plain.get("denied", ""),
    )


def _bytes(plain: Mapping[str, str]) -> bytes:
    return plain["text"].encode() if "text" in plain else base64.b64decode(plain["base64"], validate=True)
