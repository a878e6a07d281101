"""Secrets as a type, and the one place where text is masked before it reaches any sink (design rule 7)."""

from __future__ import annotations

import base64
import html
import json
import re
from collections.abc import Iterator
from typing import AnyStr, Literal
from unicodedata import normalize
from urllib.parse import quote, quote_plus

MASK = "***"
_SPELLINGS: tuple[Literal["NFC", "NFD", "NFKC"], ...] = ("NFC", "NFD", "NFKC")
"""SSH sends a password in NFKC (RFC 4013), file systems and keyboards have their own: a host may say it otherwise spelt."""
_SHORTEST = 4  # a one-letter password would mask every letter of every log


class Secret:
    """A value that shows as `***`; only `reveal()` gives it, to the code that hands it to a peer.

    >>> Secret("hunter2")
    Secret(***)
    >>> f"{Secret('hunter2')}"
    '***'
    """

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """Return the value itself."""
        return self._value

    def __repr__(self) -> str:
        return f"Secret({MASK})"

    def __str__(self) -> str:
        return MASK

    def __format__(self, spec: str) -> str:
        return MASK

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._value == self._value

    def __hash__(self) -> int:
        return hash((Secret, self._value))

    def __reduce__(self) -> tuple[object, ...]:
        raise TypeError("a Secret is not pickled: send a reference and resolve it where it is used")


class Masker:
    """Replaces known secrets, plain and in every encoding of `encoded_forms`, by `***`.

    It sees one piece of text at a time: whoever cuts a stream into chunks keeps enough of the last
    one (`longest`) to find a secret that lies across the cut.
    """

    def __init__(self) -> None:
        self._forms: tuple[str, ...] = ()
        self._packed_forms: tuple[bytes, ...] = ()

    @property
    def longest(self) -> int:
        """Return the length in bytes of the longest known form; 0 when no secret is known."""
        return max(map(len, self._packed_forms), default=0)

    def learn(self, secret: Secret) -> None:
        """Mask `secret` from now on; values shorter than 4 characters are too common to mask."""
        value = secret.reveal()
        if len(value) < _SHORTEST:
            return
        spelt = {value, *(normalize(form, value) for form in _SPELLINGS)}
        self._forms = tuple(sorted({*self._forms, *(form for one in spelt for form in encoded_forms(one))}))
        self._packed_forms = tuple(_packed(form) for form in self._forms)

    def text(self, text: str) -> str:
        """Return `text` with every known secret masked."""
        return _masked(text, self._forms, MASK)

    def data(self, data: bytes) -> bytes:
        """Return `data` with the UTF-8 form of every known secret masked."""
        return _masked(data, self._packed_forms, MASK.encode())

    def torn(self, data: bytes, *, at_start: bool = False) -> bytes:
        """Return `data` with the part of a known secret masked that a cut left at its end, or at its start.

        A part of fewer than 4 bytes is left: it tells little, and other text ends like that too.
        """
        parts = (self._part_at_start if at_start else self._part_at_end)(data)
        if not (length := max(parts, default=0)):
            return data
        return MASK.encode() + data[length:] if at_start else data[:-length] + MASK.encode()

    def _part_at_end(self, data: bytes) -> Iterator[int]:
        for form in self._packed_forms:
            first = form[:_SHORTEST]
            at = data.find(first, max(0, len(data) - len(form) + 1))
            while at >= 0:
                if form.startswith(data[at:]):
                    yield len(data) - at
                at = data.find(first, at + 1)

    def _part_at_start(self, data: bytes) -> Iterator[int]:
        for form in self._packed_forms:
            last = form[-_SHORTEST:]
            at = data.find(last, 0, len(form) - 1)
            while at >= 0:
                if form.endswith(data[: at + _SHORTEST]):
                    yield at + _SHORTEST
                at = data.find(last, at + 1, len(form) - 1)

    def leaks(self, data: bytes) -> bool:
        """Tell whether `data` still holds a known secret: the last look before bytes leave."""
        return any(form in data for form in self._packed_forms)


def _masked(data: AnyStr, forms: tuple[AnyStr, ...], mask: AnyStr) -> AnyStr:
    """Return `data` without any of the forms; where two overlap, all of both is gone."""
    while spans := sorted(_spans(data, forms)):  # each turn shortens the data, since every form is longer than the mask
        kept: list[AnyStr] = [data[: spans[0][0]], mask]
        end = spans[0][1]
        for start, stop in spans[1:]:
            if start > end:
                kept += [data[end:start], mask]
            end = max(end, stop)
        kept.append(data[end:])
        data = data[:0].join(kept)
    return data


def _spans(data: AnyStr, forms: tuple[AnyStr, ...]) -> Iterator[tuple[int, int]]:
    for form in forms:
        start = data.find(form)
        while start >= 0:
            yield start, start + len(form)
            start = data.find(form, start + 1)


def encoded_forms(value: str) -> set[str]:
    """Return the forms in which `value` may turn up in text: itself, escaped, quoted, in hexadecimal and in base64.

    Escaped as in JSON (once and twice), HTML, URLs, Python, sh and PowerShell. In base64 it is
    found wherever it begins in the packed bytes, also as UTF-16 (PowerShell's encoded commands).
    """
    packed = _packed(value)
    once = {
        value,
        *_json_forms(value),
        *(quoted for safe in ("", "/") for quoted in (quote(packed, safe=safe), quote_plus(packed, safe=safe))),
        html.escape(value),
        html.escape(value, quote=False),
        html.escape(value, quote=False).replace('"', "&#34;").replace("'", "&#39;"),
        repr(value)[1:-1],
        repr(packed)[2:-1],
        value.replace("'", "'\\''"),
        value.replace("'", "'\"'\"'"),
        value.replace("'", "''"),
        packed.hex(),
        packed.hex().upper(),
    }
    twice = {escaped for form in _json_forms(value) for escaped in _json_forms(form)}
    lower = {re.sub("%[0-9A-F]{2}", lambda match: match[0].lower(), form) for form in once if "%" in form}
    return once | twice | lower | _base64_forms(packed) | _base64_forms(value.encode("utf-16-le", "surrogatepass"))


def _json_forms(value: str) -> set[str]:
    ascii_form, wide_form = json.dumps(value)[1:-1], json.dumps(value, ensure_ascii=False)[1:-1]
    careful = (form.translate(_SCRIPT_SAFE) for form in (ascii_form, wide_form))  # as Go and PowerShell write it
    return {ascii_form, wide_form, *careful}


_SCRIPT_SAFE = {ord(character): f"\\u{ord(character):04x}" for character in "<>&'"}


def _base64_forms(packed: bytes) -> set[str]:
    """Return the base64 characters that depend on these bytes alone, for each place in a group of three."""
    forms = set()
    for offset in range(3):
        first = -(-8 * offset // 6)
        beyond = 8 * (offset + len(packed)) // 6
        core = base64.b64encode(bytes(offset) + packed).decode()[first:beyond]
        forms |= {core, core.replace("+", "-").replace("/", "_")}
    return forms


def _packed(value: str) -> bytes:
    """Return the bytes of a text; those that were no UTF-8 when it was read come back as they were."""
    try:
        return value.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return value.encode("utf-8", "surrogatepass")


MASKER = Masker()
"""The process's one masking point: resolvers teach it, every sink asks it."""
