"""The lexer of ssh_config(5): keywords, arguments with quotes, the patterns of Host and Match."""

from __future__ import annotations

import fnmatch
import re
from functools import lru_cache

_KEYWORD = re.compile(r"([A-Za-z0-9]+)(?:\s*=\s*|\s+|$)")

_LOWER = {ord(letter): letter.lower() for letter in "ABCDEFGHIJKLMNOPQRSTUVWXYZ"}

WHOLE_LINE = frozenset({"proxycommand", "localcommand", "remotecommand", "knownhostscommand"})
"""Keywords whose argument is the rest of the line."""


class NotReadable(ValueError):
    """A line that OpenSSH refuses too; the message says why, in its words."""


def split_line(line: str) -> tuple[str, tuple[str, ...]]:
    """Return the keyword of a line in lower case and its arguments; raise NotReadable.

    >>> split_line('IdentityFile="~/.ssh/my key" # mine')
    ('identityfile', ('~/.ssh/my key',))
    """
    match = _KEYWORD.match(line)
    if match is None:
        raise NotReadable("no keyword")
    keyword, rest = match[1].lower(), line[match.end() :].strip()
    return keyword, ((rest,) if rest else ()) if keyword in WHOLE_LINE else _arguments(rest)


def lower_case(text: str) -> str:
    """Return a text in lower case as OpenSSH has it: of ASCII alone, or the Kelvin sign would become a `k`.

    >>> lower_case("DB-01"), lower_case("K8s\u212a")
    ('db-01', 'k8s\u212a')
    """
    return text.translate(_LOWER)


def _arguments(text: str) -> tuple[str, ...]:
    """Return words as OpenSSH splits them (misc.c, argv_split): both quotes, backslash before quotes, backslash and space."""
    words: list[str] = []
    position = 0
    while position < len(text):
        if text[position] in " \t":
            position += 1
            continue
        if text[position] == "#":
            break
        word, quote = [], ""
        while position < len(text) and (quote or text[position] not in " \t"):
            character = text[position]
            following = text[position + 1 : position + 2]
            if character == "\\" and following and (following in "'\"\\" or (not quote and following == " ")):
                word.append(following)
                position += 1
            elif quote and character == quote:
                quote = ""
            elif not quote and character in "'\"":
                quote = character
            else:
                word.append(character)
            position += 1
        if quote:
            raise NotReadable("no closing quote")
        words.append("".join(word))
    return tuple(words)


@lru_cache(maxsize=4096)
def _pattern(glob: str) -> re.Pattern[str]:
    return re.compile(fnmatch.translate(glob.replace("[", "[[]")), re.DOTALL)


def fits_host(name: str, patterns: tuple[str, ...]) -> bool:
    """Tell whether a Host line is for a name: a pattern fits, and none that is negated.

    >>> fits_host("web1", ("web*", "!web9")), fits_host("web9", ("web*", "!web9"))
    (True, False)
    """
    fitting = False
    for glob in patterns:
        if glob.startswith("!"):
            if _fits(name, glob[1:]):
                return False
        elif _fits(name, glob):
            fitting = True
    return fitting


def _fits(text: str, glob: str) -> bool:
    return _pattern(glob).match(text) is not None if "*" in glob or "?" in glob else text == glob


def is_pattern(text: str) -> bool:
    """Tell whether a word of a Host line stands for more than one host, or for none."""
    return text.startswith("!") or "*" in text or "?" in text


def fits_list(text: str, patterns: str) -> bool:
    """Tell whether a list of Match is for a text: patterns between commas, negated ones too."""
    return fits_host(text, tuple(part for part in patterns.split(",") if part))
