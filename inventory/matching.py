"""How one part of a target expression finds its hosts, and what it suggests when it finds none."""

from __future__ import annotations

import fnmatch
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from copy import copy
from typing import TypeAlias

from inventory.errors import NothingMatched
from inventory.fields import MOST_SUGGESTIONS, nearest
from inventory.host import Host, Value
from inventory.names import BadName
from inventory.ranges import expand_range

Hosts: TypeAlias = frozenset[int]
"""Hosts by their position in the inventory."""

KEYS: Mapping[str, Callable[[Host], Iterable[str | None]]] = {
    "name": lambda host: (host.name,),
    "address": lambda host: (host.address,),
    "group": lambda host: host.groups,
    "site": lambda host: (host.site,),
    "customer": lambda host: (host.customer,),
    "tag": lambda host: host.tags,
    "platform": lambda host: (host.platform.value,),
    "transport": lambda host: (host.transport.value,),
    "port": lambda host: (None if host.port is None else str(host.port),),
    "credential": lambda host: (host.credential.name if host.credential else None,),
    "become": lambda host: (host.become.method.value,),
    "via": lambda host: (host.via.name if host.via else None,),
}
"""The keys that every inventory has; any other key is that of a variable."""


class Columns(ABC):
    """Hosts by their position, of which it is known without looking at them what the keys of KEYS are on each."""

    @abstractmethod
    def __len__(self) -> int:
        """Return how many hosts there are."""

    @abstractmethod
    def at(self, position: int) -> Host:
        """Return the host at a position."""

    @abstractmethod
    def column(self, key: str) -> Iterable[tuple[str, Iterable[int]]]:
        """Yield each text that a key of KEYS has on hosts, with the positions of some of those; a text may come again."""


class Listed(Columns):
    """Hosts that are all there."""

    def __init__(self, hosts: Sequence[Host]) -> None:
        self._hosts = hosts

    def __len__(self) -> int:
        return len(self._hosts)

    def at(self, position: int) -> Host:
        """Return the host at a position."""
        return self._hosts[position]

    def column(self, key: str) -> Iterator[tuple[str, tuple[int]]]:
        """Yield each text that a key has on hosts, with one position each."""
        for position, host in enumerate(self._hosts):
            for text in _values(host, key):
                yield text, (position,)


class Matcher:
    """Finds the hosts of single parts; indexes are built when a part first needs them."""

    def __init__(self, expression: str, hosts: Columns, groups: Sequence[str]) -> None:
        self.expression, self._inventory, self._groups = expression, hosts, groups
        self.everything: Hosts = frozenset(range(len(hosts)))
        self._indexes: dict[str, dict[str, list[int]]] = {}
        self._suggestions = iter(range(MOST_SUGGESTIONS))

    def of(self, expression: str) -> Matcher:
        """Return a matcher for another expression over the same hosts, which shares the indexes, and the suggestions left."""
        other = copy(self)
        other.expression = expression
        return other

    def named(self, text: str, *, literal: bool) -> Hosts:
        """Return the hosts of a bare word: a host, a group, a glob of host names, a range, or all."""
        if text.casefold() == "all" and not literal:  # nothing has to be looked up for it
            return self._some(self.everything, text)
        names = self._index("name")
        if _is_glob(text) and not literal:
            return self._some(_matching(names, text), text)
        groups = self._index("group")
        found: set[int] = set()
        for name in (text,) if literal else self._expanded(text):
            found |= self._some([*names.get(name.casefold(), ()), *groups.get(name.casefold(), ())], name)
        return frozenset(found)

    def having(self, key: str, value: str, *, part: str, literal: bool) -> Hosts:
        """Return the hosts on which a key has a value; `part` is how the expression writes it."""
        key = key.casefold() if key.casefold() in KEYS else key
        index = self._index(key)
        found = _matching(index, value) if _is_glob(value) and not literal else index.get(value.casefold(), ())
        if found:
            return frozenset(found)
        if not index and key not in KEYS:
            raise NothingMatched(self.expression, part, self._near(key, lambda: [*KEYS, *self._variables()]))
        near = self._near(value.strip("*?"), lambda: dict.fromkeys(text for text, _ in self._texts(key)))
        raise NothingMatched(self.expression, part, [f"{key}={_quoted(text)}" for text in near])

    def _some(self, found: Iterable[int], text: str) -> Hosts:
        if chosen := frozenset(found):
            return chosen
        near = self._near(text.strip("*?"), lambda: [*(name for name, _ in self._texts("name")), *self._groups])
        raise NothingMatched(self.expression, text, near)

    def _near(self, text: str, known: Callable[[], Iterable[str]]) -> tuple[str, ...]:
        """Return the known words closest to one, as long as there are suggestions left: of 300 old waivers each took 0.5 s."""
        return () if next(self._suggestions, None) is None else nearest(text, known())

    def _expanded(self, text: str) -> tuple[str, ...]:
        try:
            return expand_range(text)
        except BadName:
            return (text,)  # which is no name, and is told as such

    def _index(self, key: str) -> Mapping[str, list[int]]:
        """Return the hosts by the value that a key has on them, the values folded to one case; one may be there twice."""
        if key not in self._indexes:
            index = self._indexes[key] = {}
            for text, positions in self._texts(key):
                index.setdefault(text.casefold(), []).extend(positions)
        return self._indexes[key]

    def _texts(self, key: str) -> Iterable[tuple[str, Iterable[int]]]:
        """Return the texts that a key has with the positions of hosts; a variable is looked up on each host."""
        return self._inventory.column(key) if key in KEYS else Listed(self._every_host()).column(key)

    def _every_host(self) -> list[Host]:
        return [self._inventory.at(position) for position in range(len(self._inventory))]

    def _variables(self) -> set[str]:
        mappings = {id(host.vars): host.vars for host in self._every_host()}
        return {name for variables in mappings.values() for name in variables}


def _is_glob(text: str) -> bool:
    return "*" in text or "?" in text


def _matching(index: Mapping[str, list[int]], glob: str) -> set[int]:
    pattern = re.compile(fnmatch.translate(glob.casefold().replace("[", "[[]")))
    return {position for value, positions in index.items() if pattern.match(value) for position in positions}


def _values(host: Host, key: str) -> tuple[str, ...]:
    """Return the texts that a key has on a host; none, one, or several for groups, tags and lists."""
    if read := KEYS.get(key):
        return tuple(text for text in read(host) if text is not None)
    return _texts(_variable(host.vars, key))


def _variable(variables: Mapping[str, Value], path: str) -> Value:
    """Return the variable of that name, or what a dotted path leads to: `thresholds.fs-space.warning`."""
    if path in variables:
        return variables[path]
    name, dot, rest = path.partition(".")
    inner = variables.get(name)
    return _variable(inner, rest) if dot and isinstance(inner, Mapping) else None


def _texts(value: Value) -> tuple[str, ...]:
    """Return the texts that a variable compares as: each item of a list, booleans as `true` and `false`."""
    if isinstance(value, tuple):
        return tuple(text for item in value for text in _texts(item))
    if isinstance(value, bool):
        return ("true" if value else "false",)
    return () if value is None or isinstance(value, Mapping) else (str(value),)


def _quoted(text: str) -> str:
    return text if re.fullmatch(r"[^\s(),=!\"'*?]+", text) else f"'{text}'"
