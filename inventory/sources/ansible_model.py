"""Ansible's own picture of an inventory: hosts, groups, and which value of a variable holds.

The order is that of ansible-core 2.19 (`VARIABLE_PRECEDENCE`, docs “Understanding variable precedence”): variables of
`all` in the inventory, of the other groups in the order (depth, `ansible_group_priority`, name), then the same for files in
`group_vars`, then the host's own, then files in `host_vars`. A later value replaces the earlier one whole.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from inventory.errors import InvalidFile, Place, Problem, Text
from inventory.grouping import MAX_OUTER, shown_ring
from inventory.host import Value
from inventory.names import BadName, shown
from inventory.nodes import Node
from inventory.ranges import MAX_PATTERN, expand_range
from inventory.sources.ansible_vaulted import Sealed, Vaults

ALL, UNGROUPED = "all", "ungrouped"
MAX_DEPTH = 100
MAX_HOSTS = 200_000
_BRACKETED = re.compile(r"\[(.+)\]:([0-9]{1,9})")
_WITH_PORT = re.compile(r"((?:[^:\[\]]|\[[^\]]*\])+):([0-9]{1,9})")
_RANGE = re.compile(r"\[([^\]:]*):([^\]:]*)(?::([^\]]*))?\]")


@dataclass(frozen=True, slots=True)
class Given:
    """A value of a variable where it stands.

    `vaulted`: ansible-vault encrypted it; its value is then None, but for that of a file which is open as a whole.
    """

    place: Place
    value: Value
    vaulted: bool = False
    sealed: Sealed | None = None
    """Where it stands encrypted, if it can be found there again."""
    node: Node | None = None
    """The value with the places of what is in it, where it is a mapping or list of a file of YAML."""


Variables: TypeAlias = dict[str, Given]


@dataclass(slots=True)
class AnsibleGroup:
    """A group; `files` are its variables in `group_vars`."""

    name: str
    place: Place
    variables: Variables = field(default_factory=dict)
    files: Variables = field(default_factory=dict)
    children: dict[str, Place] = field(default_factory=dict)
    hosts: dict[str, Place] = field(default_factory=dict)
    priority: int = 1
    depth: int = 0


@dataclass(slots=True)
class AnsibleHost:
    """A host; `files` are its variables in `host_vars`."""

    name: str
    place: Place
    variables: Variables = field(default_factory=dict)
    files: Variables = field(default_factory=dict)


class AnsibleInventory:
    """Takes up one file after the other, then settles who is in what."""

    def __init__(self, place: Place, vaults: Vaults | None = None) -> None:
        self.vaults = vaults
        self.groups = {name: AnsibleGroup(name, place) for name in (ALL, UNGROUPED)}
        self.groups[ALL].children[UNGROUPED] = place
        self.hosts: dict[str, AnsibleHost] = {}
        self.problems: list[Problem] = []
        self.notes: list[Problem] = []
        self._outer: dict[str, frozenset[str]] = {}
        self._direct: dict[str, list[str]] = {}
        self._shared: dict[tuple[str, ...], Variables] = {}

    def problem(self, place: Place, text: Text, hint: Text | None = None) -> None:
        """Note a mistake."""
        self.problems.append(Problem(place=place, text=text, hint=hint))

    def note(self, place: Place, text: Text, hint: Text | None = None) -> None:
        """Note what should be known."""
        self.notes.append(Problem(place=place, text=text, hint=hint))

    def group(self, name: str, place: Place) -> AnsibleGroup:
        """Return the group of that name, new where it is not known yet."""
        return self.groups.setdefault(name, AnsibleGroup(name, place))

    def set_on_group(self, group: AnsibleGroup, name: str, given: Given) -> None:
        """Set a variable of a group; its priority is no variable."""
        if name != "ansible_group_priority":
            group.variables[name] = given
            return
        try:
            group.priority = int(str(given.value))
        except ValueError:
            self.problem(given.place, Text("“{key}” must be a whole number", key=name))

    def add_hosts(self, pattern: str, place: Place, group: AnsibleGroup, variables: Variables) -> None:
        """Put the hosts that a pattern names into a group, with their variables."""
        try:
            names, port = expand_pattern(pattern)
        except BadName as error:
            self.problem(place, error.text, error.hint)
            return
        for name in names:
            host = self.hosts.get(name)
            if host is None:
                if len(self.hosts) >= MAX_HOSTS:
                    raise InvalidFile([Problem(place=place, text=Text("more than {limit} hosts", limit=MAX_HOSTS))])
                host = self.hosts[name] = AnsibleHost(name, place)
                if port is not None:  # as in Ansible, the port of a second mention counts for nothing
                    host.variables["ansible_port"] = Given(place, port)
            host.variables.update(variables)
            group.hosts.setdefault(name, place)

    def settle(self) -> None:
        """Put groups without a parent into `all` and hosts without a group into `ungrouped`; note cycles of groups."""
        inside = {child for group in self.groups.values() for child in group.children}
        root = self.groups[ALL]
        for name, group in self.groups.items():
            if name not in inside and name != ALL:
                root.children.setdefault(name, group.place)
        grouped = {name for key, group in self.groups.items() if key not in (ALL, UNGROUPED) for name in group.hosts}
        loose = self.groups[UNGROUPED]
        loose.hosts = {name: place for name, place in loose.hosts.items() if name not in grouped}
        for name, host in self.hosts.items():
            if name not in grouped:
                loose.hosts.setdefault(name, host.place)
        if self._set_depths():
            self._find_outer()

    def _set_depths(self) -> bool:
        """Give each group the length of the longest way down to it; tell whether there is no cycle."""
        waiting = dict.fromkeys(self.groups, 0)
        for group in self.groups.values():
            for child in group.children:
                waiting[child] += 1
        ready = [name for name, count in waiting.items() if not count]
        while ready:
            group = self.groups[ready.pop()]
            if group.depth > MAX_DEPTH:
                self.problem(group.place, Text("nested deeper than {limit} levels", limit=MAX_DEPTH))
                return False
            for child in group.children:
                self.groups[child].depth = max(self.groups[child].depth, group.depth + 1)
                waiting[child] -= 1
                if not waiting[child]:
                    ready.append(child)
        if stuck := [name for name, count in waiting.items() if count]:
            ring = self._ring(stuck)
            place = self.groups[ring[-2]].children[ring[-1]]
            self.problem(
                place,
                Text("these groups are inside each other: {ring}", ring=shown_ring(ring)),
                Text("take one of them out"),
            )
        return not stuck

    def _ring(self, stuck: list[str]) -> list[str]:
        left, path, met = set(stuck), [stuck[0]], set[str]()
        parents = {child: name for name in stuck for child in self.groups[name].children if child in left}
        while path[-1] not in met:
            met.add(path[-1])
            path.append(parents[path[-1]])
        return path[path.index(path[-1]) :][::-1]

    def _find_outer(self) -> None:
        for group in sorted(self.groups.values(), key=lambda group: group.depth):
            self._outer.setdefault(group.name, frozenset())
            if len(self._outer[group.name]) > MAX_OUTER + 1:  # `all` is one of them
                text = Text("the group {name} is inside more than {limit} others", name=shown(group.name), limit=MAX_OUTER)
                self.problem(group.place, text)
                return
            for child in group.children:
                self._outer[child] = self._outer.get(child, frozenset()) | self._outer[group.name] | {group.name}
        for group in self.groups.values():
            for name in group.hosts:
                self._direct.setdefault(name, []).append(group.name)

    def groups_of(self, host: str) -> tuple[str, ...]:
        """Return the groups that name a host directly."""
        return tuple(self._direct.get(host, ()))

    def variables_of(self, host: AnsibleHost) -> Variables:
        """Return the variables that hold for a host, once all is settled."""
        direct = self.groups_of(host.name)
        if direct not in self._shared:
            self._shared[direct] = self._from_groups(direct)
        return {**self._shared[direct], **host.variables, **host.files}

    def _from_groups(self, direct: tuple[str, ...]) -> Variables:
        names = {ALL, *direct}.union(*(self._outer[name] for name in direct))
        groups = sorted((self.groups[name] for name in names), key=lambda one: (one.depth, one.priority, one.name))
        merged: Variables = {}
        for variables in (*(one.variables for one in groups), *(one.files for one in groups)):
            merged.update(variables)
        return merged

    def walk(self) -> Iterator[tuple[AnsibleHost, Mapping[str, Given]]]:
        """Yield each host with the variables that hold for it."""
        for host in self.hosts.values():
            yield host, self.variables_of(host)


def expand_pattern(pattern: str) -> tuple[tuple[str, ...], int | None]:
    """Return the hosts that a pattern names and the port that it gives them; raises BadName.

    >>> expand_pattern("web[01:03]:2222"), expand_pattern("[2001:db8::1]:22"), expand_pattern("2001:db8::1")
    ((('web01', 'web02', 'web03'), 2222), (('2001:db8::1',), 22), (('2001:db8::1',), None))
    """
    port = None
    if len(pattern) > MAX_PATTERN:
        raise BadName(pattern, Text("“{name}” has not 1 to {limit} characters", name=shown(pattern), limit=MAX_PATTERN))
    if match := _BRACKETED.fullmatch(pattern) or _WITH_PORT.fullmatch(pattern):
        pattern, port = match[1], int(match[2])
    if pattern.endswith(":"):
        raise BadName(pattern, Text("“{name}” ends with a colon, but names no port", name=shown(pattern)))
    return expand_range(_RANGE.sub(_as_ours, pattern)), port


def _as_ours(match: re.Match[str]) -> str:
    """Return a range as we write it: without a beginning it begins with 0, and widths must fit."""
    first, last, step = match[1] or "0", match[2], match[3]
    if first.isdigit() and len(first) > 1 and first[0] == "0" and len(first) != len(last):
        text = Text("the range “{range}” has ends of different length", range=shown(match[0]))
        raise BadName(match[0], text, Text("write [01:10] or [1:10]"))
    return f"[{first}:{last}:{step}]" if step else f"[{first}:{last}]"
