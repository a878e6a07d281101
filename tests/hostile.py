"""The corpus of hostile texts (threats T1, T2, T6): data with a reason each, and what shows that one of them came alive."""

from __future__ import annotations

import json
import unicodedata
from dataclasses import dataclass
from pathlib import Path
from typing import Final

RAN: Final = Path("/tmp/longarm-payload-ran")
"""The file that a payload makes if any shell, template or loader runs it."""
EVALUATED: Final = "11111103"
"""What the arithmetic of the payloads comes to (1234567 * 9), in whatever language somebody evaluates it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Payload:
    """One hostile text: what it aims at, and why it is in the corpus."""

    kind: str
    text: str
    why: str


def corpus() -> tuple[Payload, ...]:
    """Return every payload, in the order of its file."""
    lines = (Path(__file__).parent / "data/hostile/payloads.jsonl").read_text("ascii").splitlines()
    return tuple(Payload(**json.loads(line)) for line in lines)


PAYLOADS: Final = corpus()


def on_a_host(payload: Payload) -> bytes:
    """Return the bytes that a host would say; half a pair of UTF-16 stands for a byte that is no UTF-8.

    >>> on_a_host(Payload(kind="unicode", text="\\udc80lone", why=""))
    b'\\x80lone'
    """
    return payload.text.encode("utf-8", "surrogateescape" if not _beyond_bytes(payload.text) else "surrogatepass")


def _beyond_bytes(text: str) -> bool:
    return any("\ud800" <= character <= "\udfff" and not "\udc80" <= character <= "\udcff" for character in text)


def as_file_name(payload: Payload) -> bytes:
    """Return the payload as the name of a file: no slash, no NUL, at most 200 bytes."""
    return on_a_host(payload).replace(b"/", "\N{DIVISION SLASH}".encode()).replace(b"\0", b"")[:200]


IGNORABLE: Final = frozenset(
    "\u034f\u115f\u1160\u17b4\u17b5\u180b\u180c\u180d\u180e\u180f\u3164\uffa0\u2800\ufe0e\ufe0f\U000e0100"
)
"""Letters and marks that are drawn as nothing (Default_Ignorable_Code_Point of Unicode, and a blank of braille)."""


def hidden_in(written: str) -> set[str]:
    """Return the characters of a rendered text that steer a terminal, reorder a line or hide; line ends and tabs are none."""
    hidden = ("Cc", "Cf", "Cs", "Zl", "Zp")
    return {one for one in set(written) - set("\n\r\t") if unicodedata.category(one) in hidden or one in IGNORABLE}
