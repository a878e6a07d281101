"""The strict constructors of names: whatever passes here is harmless in an argument list, a path, a log and a report (T12).

A host name follows RFC 1123 (section 2.1): labels of letters, digits and inner hyphens, 63 characters
each, 253 together. One addition: an underscore inside a label, since NetBIOS and container names have
them and no sink of ours gives it a meaning; at the start of a label it would name a service (RFC 8552).
"""

from __future__ import annotations

import ipaddress
import re
import unicodedata

from inventory.errors import LongarmError, Text

MAX_NAME = 253
MAX_LABEL = 63
RESERVED = frozenset({"all", "and", "or", "not"})
"""Words of the target expressions: no host and no group can be called so."""

_HOST_CHARACTER = re.compile(r"[A-Za-z0-9._-]")
_LABEL = re.compile(r"[A-Za-z0-9]([A-Za-z0-9_-]*[A-Za-z0-9])?")
_NUMERIC = re.compile(r"[0-9]+|0[xX][0-9a-fA-F]*")
_ZONE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,14}")  # IFNAMSIZ is 16 with its end mark
_LINK_LOCAL = ipaddress.IPv6Network("fe80::/10")
_GROUP = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_RANGE_HINT = Text("a range is written [01:20], [a:f] or with a step [01:20:2]")
_CHARACTER_HINTS = {
    ":": Text("the port is a setting of its own"),
    "@": Text("the user belongs to the credential"),
    "[": _RANGE_HINT,
    "]": _RANGE_HINT,
}


class BadName(LongarmError):
    """A name that is refused; `name` is what was given."""

    def __init__(self, name: str, text: Text, hint: Text | None = None) -> None:
        self.name = name
        super().__init__(text, hint)


def host_name(text: str) -> str:
    """Return the name of a host: RFC 1123 or an IP address in its canonical form; raise BadName for anything else.

    >>> host_name("db-01.example.net"), host_name("2001:DB8::0:1")
    ('db-01.example.net', '2001:db8::1')
    """
    if text.casefold() in RESERVED:
        raise BadName(text, Text("“{name}” is a word of the target expressions", name=text), Text("choose another name"))
    return _ip_address(text) or _domain_name(text)


def host_address(text: str) -> str:
    """Return where a host is reached: a name, an IP address, or a link-local one with its zone (`fe80::1%eth0`).

    Raises BadName.
    """
    bare, percent, zone = text.partition("%")
    if percent and (address := _ip_address(bare)):
        if ipaddress.ip_address(address) not in _LINK_LOCAL or not _ZONE.fullmatch(zone):
            what = Text("“{name}” is not an address with a zone", name=shown(text))
            raise BadName(text, what, Text("only link-local addresses have one, such as fe80::1%eth0"))
        return f"{address}%{zone}"
    return _ip_address(text) or _domain_name(text)


def group_name(text: str) -> str:
    """Return the name of a group, tag, credential or variable: letters, digits and `.`, `_`, `-` inside; or raise BadName."""
    if text.casefold() in RESERVED:
        raise BadName(text, Text("“{name}” is a word of the target expressions", name=text), Text("choose another name"))
    if not _GROUP.fullmatch(text) or len(text) > MAX_LABEL:
        hint = Text("at most {limit} of the characters a-z A-Z 0-9 . _ - beginning with a letter or digit", limit=MAX_LABEL)
        raise BadName(text, Text("“{name}” cannot be a name", name=shown(text)), hint)
    return text


def storable_text(text: str) -> str:
    r"""Return a text that any file can hold: NUL and halves of surrogate pairs, which escapes can bring in, as their escapes.

    >>> storable_text("a\ud800b\x00")
    'a\\ud800b\\x00'
    """
    return text.encode("utf-8", "backslashreplace").decode().replace("\0", "\\x00")


def label(text: str) -> str:
    """Return a text in any language that can stand in a line of a report (a site, a customer), or raise BadName."""
    if not text or len(text) > MAX_NAME or not text.isprintable() or text != text.strip():
        hint = Text("1 to {limit} printable characters, no space at either end", limit=MAX_NAME)
        raise BadName(text, Text("“{name}” cannot be a name", name=shown(text)), hint)
    return text


def shown(text: str) -> str:
    """Return a text that is safe to print: shortened, what cannot be printed escaped.

    >>> shown("web1\\x1b[2J")
    'web1\\\\x1b[2J'
    """
    short = text if len(text) <= 80 else text[:79] + "…"
    if short.isprintable():
        return short
    return "".join(character if character.isprintable() else ascii(character)[1:-1] for character in short)


def _ip_address(text: str) -> str | None:
    try:
        return str(ipaddress.ip_address(text)) if len(text) <= 45 and "%" not in text else None
    except ValueError:
        return None


def _domain_name(text: str) -> str:
    labels = text.split(".")
    if text.startswith("-"):
        raise BadName(text, Text("“{name}” begins with a hyphen, as an option of a command does", name=shown(text)))
    if text.startswith("[") and text.endswith("]") and _ip_address(text[1:-1]):
        raise BadName(text, Text("“{name}” is not an address", name=shown(text)), Text("write it without brackets"))
    if bad := next((character for character in text if not _HOST_CHARACTER.match(character)), None):
        raise BadName(text, *_why_not(text, bad))
    if not text or len(text) > MAX_NAME:
        raise BadName(text, Text("“{name}” has not 1 to {limit} characters", name=shown(text), limit=MAX_NAME))
    if text.endswith("."):
        raise BadName(text, Text("“{name}” ends with a dot", name=shown(text)), Text("leave it out"))
    for part in labels:
        if not _LABEL.fullmatch(part) or len(part) > MAX_LABEL or not _decodes(part):
            hint = Text(
                "between dots stand 1 to {limit} of a-z A-Z 0-9 - _ that begin and end with a letter or digit", limit=MAX_LABEL
            )
            raise BadName(text, Text("“{name}” is not a host name: “{part}”", name=shown(text), part=shown(part)), hint)
    if _NUMERIC.fullmatch(labels[-1]):  # resolvers read `2130706433`, `127.1` and `0x7f.1` as addresses
        hint = Text("an address has four numbers from 0 to 255; the last part of a name is not a number")
        raise BadName(text, Text("“{name}” looks like an address, but is none", name=shown(text)), hint)
    return text


def _why_not(text: str, bad: str) -> tuple[Text, Text | None]:
    """Return what is wrong with a name that holds a forbidden character, and what to do."""
    if bad.isascii():
        what = Text("“{name}” is not a host name: it contains {character}", name=shown(text), character=ascii(bad))
        return what, _CHARACTER_HINTS.get(bad)
    name = unicodedata.name(bad, f"U+{ord(bad):04X}")
    what = Text(
        "“{name}” is not a host name: it contains “{character}” ({unicode})",
        name=shown(text),
        character=shown(bad),
        unicode=name,
    )
    return what, Text("write an international name in its ASCII form, xn--…")


def _decodes(part: str) -> bool:
    """Tell whether a label is no A-label (RFC 5890), or one that stands for something."""
    if part[:4].lower() != "xn--":
        return True
    try:
        decoded = part[4:].encode("ascii").decode("punycode")
    except UnicodeError:
        return False
    return not decoded.isascii() and decoded.isprintable()
