"""Hostile text made visible: nothing in it can steer a terminal, reorder a line or hide (threat T6)."""

from __future__ import annotations

import json
import re
import unicodedata

_HIDDEN = frozenset({"Cc", "Cf", "Cn", "Co", "Cs", "Zl", "Zp"})
_BLANK = frozenset(
    {0x115F, 0x1160, 0x2800, 0x3164, 0xFFA0, 0x034F, 0x17B4, 0x17B5, *range(0x180B, 0x1810), *range(0xFE00, 0xFE10)}
    | set(range(0xE0100, 0xE01F0))
)
"""Drawn as nothing although they count as letters or marks (Default_Ignorable_Code_Point of Unicode, and braille's blank)."""
_MARKS_IN_A_ROW = 3  # more than any orthography stacks; a tower of marks paints over other lines
_SPACES = frozenset({"\u00a0", "\u202f", "\u2009"})  # what our own number and date formats put in


class _Shown(dict[int, str]):
    """Maps a code point to what a reader sees; filled as text comes by."""

    def __missing__(self, point: int) -> str:
        self[point] = shown = _shown(point)
        return shown


def _shown(point: int) -> str:
    character = chr(point)
    if point < 0x20:
        return chr(0x2400 + point)  # ESC becomes ␛, newline ␊
    if point == 0x7F:
        return "␡"
    if unicodedata.category(character) in _HIDDEN or point in _BLANK:
        return f"⟨U+{point:04X}⟩"
    if unicodedata.category(character) == "Zs" and character not in _SPACES:
        return " "
    return character


_SHOWN = _Shown()


def visible(text: str) -> str:
    r"""Return `text` with every control, bidi, zero-width and unassigned character as a mark that is seen.

    >>> visible("db\x1b]0;owned\x07\u202egnp.exe")
    'db␛]0;owned␇⟨U+202E⟩gnp.exe'
    """
    if text.isascii() and text.isprintable():
        return text
    text = text.translate(_SHOWN)
    return text if text.isascii() else _without_towers(text)


def _without_towers(text: str) -> str:
    kept, marks = [], 0
    for character in text:
        marks = marks + 1 if unicodedata.combining(character) else 0
        if marks <= _MARKS_IN_A_ROW:
            kept.append(character)
    return "".join(kept)


def json_escaped(written: str) -> str:
    r"""Return JSON text in which exactly what `visible` would change is an escape: harmless to see, and the same value.

    >>> json_escaped('"caf\u00e9 \u202egnp.exe"')
    '"café \\u202egnp.exe"'
    """
    if written.isascii() and "\x7f" not in written:  # nearly all there is, and known without looking at each character
        return written
    return _BEYOND_ASCII.sub(_with_escapes, written)


_BEYOND_ASCII = re.compile("[^\x00-\x7e]+")


def _with_escapes(match: re.Match[str]) -> str:
    written, marks = [], 0
    for character in match[0]:
        marks = marks + 1 if unicodedata.combining(character) else 0
        kept = marks <= _MARKS_IN_A_ROW and _SHOWN[ord(character)] in (character, ord(character))
        written.append(character if kept else json.dumps(character)[1:-1])
    return "".join(written)


def shortened(text: str, limit: int) -> str:
    """Return `text`, or its head and an ellipsis where it is longer than `limit` characters.

    >>> shortened("abcdef", 4)
    'abc…'
    """
    return text if len(text) <= limit else text[: limit - 1] + "…"
