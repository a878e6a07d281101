"""Secrets as a type, and the one place where text is masked before it reaches any sink (design rule 7)."""

from __future__ import annotations

import base64
import json
from urllib.parse import quote, quote_plus

MASK = "***"
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
    """Replaces known secrets, in plain, JSON-escaped, URL-quoted and base64 form, by `***`."""

    def __init__(self) -> None:
        self._forms: list[str] = []

    def learn(self, secret: Secret) -> None:
        """Mask `secret` from now on; values shorter than 4 characters are too common to mask."""
        value = secret.reveal()
        if len(value) < _SHORTEST:
            return
        self._forms = sorted({*self._forms, *encoded_forms(value)}, key=len, reverse=True)

    def text(self, text: str) -> str:
        """Return `text` with every known secret masked."""
        for form in self._forms:
            text = text.replace(form, MASK)
        return text

    def data(self, data: bytes) -> bytes:
        """Return `data` with the UTF-8 form of every known secret masked."""
        for form in self._forms:
            data = data.replace(form.encode(), MASK.encode())
        return data

    def leaks(self, data: bytes) -> bool:
        """Tell whether `data` still holds a known secret: the last look before bytes leave."""
        return any(form.encode() in data for form in self._forms)


def encoded_forms(value: str) -> set[str]:
    """Return the forms in which `value` may turn up in text: itself, quoted, escaped, base64 at 3 offsets."""
    forms = {
        value,
        json.dumps(value)[1:-1],
        json.dumps(value, ensure_ascii=False)[1:-1],
        quote(value),
        quote(value, safe=""),
        quote_plus(value),
        value.replace("'", "'\\''"),
    }
    for offset in range(3):
        packed = base64.b64encode(b"\0" * offset + value.encode()).decode().rstrip("=")
        core = packed[-(-offset * 4 // 3) + (offset > 0) :] if offset else packed
        core = core[: len(core) - (1 if (len(value.encode()) + offset) % 3 else 0)]
        if len(core) >= 8:
            forms |= {core, core.replace("+", "-").replace("/", "_")}
    return forms


MASKER = Masker()
"""The process's one masking point: resolvers teach it, every sink asks it."""
