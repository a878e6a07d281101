"""Recordings of terminals: asciicast v2, what the screen showed and when; known secrets masked, what was typed left out."""

from __future__ import annotations

import codecs
import json
from collections.abc import Iterator
from typing import Final

from inventory.secret import MASKER, Masker

MOST_BYTES: Final = 16 * 1024 * 1024
"""Of the screen that one recording holds; past it only a mark is added."""
_EVENT_BYTES: Final = 128
"""What a piece takes beside its text: a host may send single bytes."""
_FULL: Final = "\r\n[longarm: the recording ends here, the terminal went on]\r\n"


class Cast:
    """A recording that grows; `data` is the whole file."""

    def __init__(self, columns: int, rows: int, kind: str, *, began_s: int, masker: Masker = MASKER) -> None:
        self._masker = masker
        head = {"version": 2, "width": columns, "height": rows, "timestamp": began_s, "env": {"TERM": kind}}
        self._lines = [json.dumps(head)]
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        self._waiting = b""
        self._room = MOST_BYTES

    def shown(self, at_s: float, data: bytes) -> None:
        """Note what the screen was told, `at_s` seconds after the beginning."""
        if self._room <= 0:
            return
        self._room -= len(data) + _EVENT_BYTES
        self._waiting += data
        self._event(at_s, "o", self._decoder.decode(self._certain()))
        if self._room <= 0:
            self._event(at_s, "o", _FULL)

    def resized(self, at_s: float, columns: int, rows: int) -> None:
        """Note that the window has changed."""
        self._event(at_s, "r", f"{columns}x{rows}")

    def data(self, at_s: float) -> bytes:
        """Return the file, ended after `at_s` seconds."""
        rest = self._masker.torn(self._masker.data(self._waiting))
        self._waiting = b""
        self._event(at_s, "o", self._decoder.decode(rest, final=True))
        return ("\n".join(self._lines) + "\n").encode()

    def _certain(self) -> bytes:
        """Return what waits up to where a secret may have begun that is not whole yet."""
        masked = self._masker.data(self._waiting)
        held = min(len(masked), max(0, self._masker.longest - 1))
        self._waiting = masked[len(masked) - held :]
        return masked[: len(masked) - held]

    def _event(self, at_s: float, kind: str, text: str) -> None:
        if text:
            self._lines.append(json.dumps([round(at_s, 3), kind, text]))


def screen_of(data: bytes) -> Iterator[str]:
    """Yield what the screen of a recording was told, piece by piece; hostile text."""
    for line in data.decode().splitlines()[1:]:
        _, kind, text = json.loads(line)
        if kind == "o":
            yield text
