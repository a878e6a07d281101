"""What a plain scalar means: the core schema of YAML 1.2, within what int64 and double can hold."""

from __future__ import annotations

import math
import re

from inventory.names import storable_text
from inventory.nodes import ScalarValue

_WORDS: dict[str, bool | None] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
_INTEGER = re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_NOT_FINITE = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")


class NotStorable(ValueError):
    """A number that neither int64 nor double can hold."""


def storable(value: ScalarValue) -> ScalarValue:
    r"""Return a scalar that others wrote as int64, double or a text file can hold it; what they cannot hold becomes text.

    >>> [storable(value) for value in (1, 1 << 64, float("inf"), True, "a\ud800")]
    [1, '18446744073709551616', 'inf', True, 'a\\ud800']
    """
    match value:
        case bool() | None:
            return value
        case int():
            return value if -(1 << 63) <= value < 1 << 63 else str(value)
        case float():
            return value if math.isfinite(value) else str(value)
    return storable_text(value)


def core_value(text: str) -> ScalarValue:
    """Return what a plain scalar means in the core schema of YAML 1.2 (section 10.3.2).

    >>> [core_value(text) for text in ("no", "010", "0o10", "0x1F", "1e3", "22:22", "1_000", "True", "~")]
    ['no', 10, 8, 31, 1000.0, '22:22', '1_000', True, None]
    """
    if text in _WORDS:
        return _WORDS[text]
    if text[0] not in "+-.0123456789":
        return text
    if _INTEGER.fullmatch(text):
        base = {"0o": 8, "0x": 16}.get(text[:2], 10)
        number = int(text, base) if len(text) < 70 else 1 << 64
        if not -(1 << 63) <= number < 1 << 63:
            raise NotStorable(text)
        return number
    if _NOT_FINITE.fullmatch(text):
        raise NotStorable(text)
    if _FLOAT.fullmatch(text):
        if not math.isfinite(value := float(text)):
            raise NotStorable(text)
        return value
    return text
