"""Ansible's INI format: sections of hosts, children and variables; values are Python literals where they look like ones."""

from __future__ import annotations

import ast
import re
import shlex
import warnings
from collections.abc import Iterable, Mapping
from types import MappingProxyType

from inventory.documents import FOREIGN, decoded
from inventory.errors import InvalidFile, Place, Text
from inventory.host import Value
from inventory.names import BadName, group_name, host_name, shown, storable_text
from inventory.sources.ansible_model import UNGROUPED, AnsibleInventory, Given, Variables
from inventory.yaml_scalars import storable

_SECTION = re.compile(r"\[([^:\]\s]+)(?::(\w+))?\]\s*(?:#.*)?")
_GROUP_NAME = re.compile(r"([^:\]\s]+)\s*(?:#.*)?")
_KINDS = ("hosts", "children", "vars")
_LONGEST_LITERAL = 16_384  # longer values stay text: parsing nested ones would cost more than they are worth


def read_ini(data: bytes, file: str, inventory: AnsibleInventory, *, sealed: bool = False) -> None:
    """Take up one INI file; mistakes are noted. Raises InvalidFile where it is no text. `sealed`: it was encrypted."""
    reader = _Reader(file, inventory, sealed)
    for number, line in enumerate(decoded(data, file, FOREIGN).splitlines(), start=1):
        stripped = line.strip()
        if stripped and stripped[0] not in "#;":
            reader.read(stripped, number, line.index(stripped[0]) + 1)
    reader.end()


def is_ini(data: bytes, file: str, groups: Iterable[str]) -> bool:
    """Tell whether a file whose name says otherwise is INI: it begins with a section, or has no mistake read as that.

    `groups`: those that are declared already.
    """
    trial = AnsibleInventory(Place(file, 1, 1))
    for name in groups:
        trial.group(name, Place(file, 1, 1))
    try:
        lines = (line.strip() for line in decoded(data, file, FOREIGN).splitlines())
        if begins := _SECTION.fullmatch(next((line for line in lines if line and line[0] not in "#;"), "")):
            group_name(begins[1])  # a list in JSON looks like a section too
            return True
        read_ini(data, file, trial)
        for name in trial.hosts:
            host_name(name)
    except (InvalidFile, BadName):
        return False
    return not trial.problems


class _Reader:
    def __init__(self, file: str, inventory: AnsibleInventory, sealed: bool) -> None:
        self.file, self.inventory, self.sealed = file, inventory, sealed
        self.group, self.kind = UNGROUPED, "hosts"
        self.expected: dict[str, tuple[Place, str]] = {}
        """Groups that a section mentions and no section has declared yet."""
        self.declared = set(inventory.groups)

    def read(self, line: str, number: int, column: int) -> None:
        """Take up one line that is neither empty nor a comment."""
        place = Place(self.file, number, column)
        if match := _SECTION.fullmatch(line):
            self._section(match[1], match[2] or "hosts", place)
        elif line.startswith("[") and line.endswith("]"):
            self.inventory.problem(
                place,
                Text("“{line}” is no section", line=shown(line)),
                Text("a section is written [group], [group:children] or [group:vars], without spaces"),
            )
        else:
            {"hosts": self._host, "children": self._child, "vars": self._variable}[self.kind](line, place)

    def end(self) -> None:
        """Note the groups that were mentioned and are declared nowhere."""
        for name, (place, kind) in self.expected.items():
            text = Text("no group “{name}” is declared", name=shown(name))
            self.inventory.problem(place, text, Text("declare it with a section [{name}]", name=shown(name)) if kind else None)

    def _section(self, name: str, kind: str, place: Place) -> None:
        self.group, self.kind = name, kind if kind in _KINDS else "hosts"
        if kind not in _KINDS:
            text = Text("a section cannot be of the kind “{kind}”", kind=shown(kind))
            self.inventory.problem(place, text, Text("one of {choices}", choices=", ".join(_KINDS)))
        self.inventory.group(name, place)
        if kind == "vars":
            if name not in self.declared:
                self.expected.setdefault(name, (place, kind))
        else:
            self.declared.add(name)
            self.expected.pop(name, None)

    def _child(self, line: str, place: Place) -> None:
        match = _GROUP_NAME.fullmatch(line)
        if match is None:
            self.inventory.problem(place, Text("“{line}” is not the name of a group", line=shown(line)))
            return
        if match[1] not in self.declared:
            self.expected.setdefault(match[1], (place, "children"))
        self.inventory.group(match[1], place)
        self.inventory.group(self.group, place).children.setdefault(match[1], place)

    def _variable(self, line: str, place: Place) -> None:
        name, equals, value = (part.strip() for part in line.partition("="))
        if not equals:
            text = Text("“{line}” is no variable", line=shown(line))
            self.inventory.problem(place, text, Text("write name=value"))
            return
        self.inventory.set_on_group(self.inventory.group(self.group, place), name, Given(place, literal(value), self.sealed))

    def _host(self, line: str, place: Place) -> None:
        try:
            pattern, *words = shlex.split(line, comments=True)
        except ValueError as error:
            self.inventory.problem(place, Text("this line cannot be read: {reason}", reason=str(error)), _CLOSE)
            return
        variables: Variables = {}
        offset = 0
        for word in words:
            name, equals, value = word.partition("=")
            offset = max(line.find(f" {name}{equals}", offset) + 1, offset)  # quotes may hide it: then where the one before is
            at = Place(place.file, place.line, place.column + offset)
            if not equals:
                self.inventory.problem(at, Text("“{line}” is no variable", line=shown(word)), Text("write name=value"))
                continue
            variables[name] = Given(at, literal(value), self.sealed)
        self.inventory.add_hosts(pattern, place, self.inventory.group(self.group, place), variables)


_CLOSE = Text("close the quotes; a value with spaces needs quotes, a backslash needs another one")


def literal(text: str) -> Value:
    """Return what a value in an INI file means: a Python literal, else the text itself.

    >>> [literal(text) for text in ("5", "True", "true", "[1, 'a']", "010", "x=y", "None")]
    [5, True, 'true', (1, 'a'), '010', 'x=y', None]
    """
    if len(text) > _LONGEST_LITERAL:
        return text
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SyntaxWarning)
            return _plain(ast.literal_eval(text))
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return text


def _plain(value: object) -> Value:
    match value:
        case bool() | int() | float() | str() | None:
            return storable(value)
        case bytes():
            return value.decode("utf-8", "replace")
        case list() | tuple():
            return tuple(_plain(item) for item in value)
        case set():
            return tuple(_plain(item) for item in sorted(value, key=repr))  # else another order in each process
        case Mapping():
            return MappingProxyType({storable_text(str(key)): _plain(item) for key, item in value.items()})
    return "..." if value is ... else str(value)
