"""The lines of longarm's known_hosts: whom each is for, and which key stands on it."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase

from inventory.errors import InvalidFile, Place, Problem, Text
from inventory.names import BadName, group_name
from remote.host_keys import AUTHORITY, REVOKED, HostKey

EVERY = "*"
"""Stands for every host on a marked line."""
GROUP = "group="
"""Stands before the name of a group on a marked line."""
PATTERN = frozenset("*?!|[]=")


@dataclass(slots=True)
class Known:
    """What a store holds: by name, and what is for more than names."""

    by_name: dict[str, tuple[HostKey, ...]]
    marked: list[tuple[tuple[str, ...], HostKey]]
    revoked: dict[str, list[HostKey]]
    """By name in lower case: a revoked key is refused however the name is written."""

    def of(self, name: str) -> tuple[HostKey, ...]:
        """Return what stands on the plain lines of a name, with what is revoked for it written in another case."""
        keys = self.by_name.get(name, ())
        return (*keys, *(key for key in self.revoked.get(name.lower(), ()) if key not in keys))

    def marked_for(self, host_name: str, groups: tuple[str, ...]) -> Iterator[HostKey]:
        """Yield the keys of lines whose patterns are for a host."""
        return (key for patterns, key in self.marked if _fits(patterns, host_name, groups))

    def on_lines_of(self, name: str) -> tuple[HostKey, ...]:
        """Return what stands on the lines of a name, of a pattern written in the same way, and of every host."""
        return (*self.of(name), *(key for patterns, key in self.marked if {name, EVERY} & set(patterns)))


def _fits(patterns: tuple[str, ...], host_name: str, groups: tuple[str, ...]) -> bool:
    """Tell whether one of the patterns is for a host, and none of the negated ones is; upper and lower case do not matter."""

    def fits(pattern: str) -> bool:
        if pattern.startswith(GROUP):
            return pattern.removeprefix(GROUP) in groups
        return fnmatchcase(host_name.lower(), pattern.lower())

    wanted = [pattern for pattern in patterns if not pattern.startswith("!")]
    return any(map(fits, wanted)) and not any(fits(pattern[1:]) for pattern in patterns if pattern.startswith("!"))


def known_in(lines: list[str], file: str) -> Known:
    """Return what the lines of a store hold; InvalidFile with every line that cannot be used."""
    known: dict[str, list[HostKey]] = {}
    revoked: dict[str, list[HostKey]] = {}
    marked = []
    problems = []
    for number, line in enumerate(lines, 1):
        if not (text := line.strip()) or text.startswith("#"):
            continue
        try:
            names, key = _entry(text)
        except UnusableLine as error:
            problems.append(problem_on(file, number, error.text, error.hint))
            continue
        if all(map(PATTERN.isdisjoint, names)):
            for name in names:
                known.setdefault(name, []).append(key)
                if key.revoked:
                    revoked.setdefault(name.lower(), []).append(key)
        else:
            marked.append((tuple(names), key))
    if problems:
        raise InvalidFile(problems)
    return Known({name: tuple(keys) for name, keys in known.items()}, marked, revoked)


class UnusableLine(Exception):
    """A line of which no key can be had."""

    def __init__(self, text: Text, hint: Text | None = None) -> None:
        super().__init__(str(text))
        self.text, self.hint = text, hint


def _entry(line: str) -> tuple[list[str], HostKey]:
    words = line.split()
    marker = words.pop(0) if words[0].startswith("@") else ""
    if marker not in ("", REVOKED, AUTHORITY):
        raise UnusableLine(Text("the marker {marker} is not supported", marker=marker))
    if len(words) < 3:
        raise UnusableLine(Text("not a line of known_hosts: name, key type and key are needed"))
    names = words[0].split(",")
    if not all(may_be_marked(name) if marker else name and PATTERN.isdisjoint(name) for name in names):
        raise UnusableLine(
            Text("{names} is not a host name of the inventory", names=words[0]),
            Text("for hashed names and [address]:port: longarm host enrol --from-known-hosts FILE HOST"),
        )
    return names, key_on_line(words[1:], revoked=marker == REVOKED, authority=marker == AUTHORITY)


def key_on_line(words: list[str], *, revoked: bool = False, authority: bool = False) -> HostKey:
    """Return the key that the words behind the names of a line are: its type, then base64; raises UnusableLine."""
    try:
        key = HostKey.of(base64.b64decode(words[1], validate=True), revoked=revoked, authority=authority)
    except (ValueError, binascii.Error) as error:
        raise UnusableLine(Text("the key cannot be read: {reason}", reason=str(error))) from error
    if key.type != words[0]:
        raise UnusableLine(Text("the line says {type}, its key is {real}", type=words[0], real=key.type))
    return key


def may_be_marked(pattern: str) -> bool:
    """Tell whether a word may stand for hosts on a marked line: a name, a pattern of names, a group, one of these negated."""
    bare = pattern.removeprefix("!")
    if bare.startswith(GROUP):
        try:
            return bool(group_name(bare.removeprefix(GROUP)))
        except BadName:
            return False
    return bool(bare) and not set(bare) & (PATTERN - {"*", "?"}) and not any(c.isspace() or c in ",#@" for c in bare)


def without(gone: Collection[str], lines: list[str]) -> tuple[list[str], int]:
    """Return the lines without the keys of some hosts, and how many of them there were; what is marked stays."""
    kept, removed = list[str](), 0
    for line in lines:
        names, rest = _names(line)
        left = [name for name in names if name not in gone]
        if left == names:
            kept.append(line)
            continue
        removed += len(names) - len(left)
        if left:
            kept.append(f"{','.join(left)} {rest}")
    return kept, removed


def _names(line: str) -> tuple[list[str], str]:
    """Return the names a plain line is for and the rest of it; comments and marked lines are for none."""
    first, rest = (*line.split(None, 1), "", "")[:2]
    return ([] if first.startswith(("#", "@")) or not first else first.split(","), rest)


def problem_on(file: str, line: int, text: Text, hint: Text | None = None) -> Problem:
    """Return what is wrong with a line."""
    return Problem(place=Place(file, line, 1), text=text, hint=hint)
