"""YAML as Ansible reads it: version 1.1 scalars, merge keys, the last of equal keys, and its tags for vaults and text.

Everything else is as strict as our own files: places of all values, bounds on size, depth and aliases, no objects.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TypeAlias

import yaml

from inventory.documents import FOREIGN, Limits, decoded
from inventory.errors import Place, Problem, Text
from inventory.host import Value
from inventory.names import shown
from inventory.nodes import ListNode, MapNode, Node, ScalarNode, ScalarValue, Style
from inventory.yaml_builder import Builder, Frame

VAULT_HEADER = b"$ANSIBLE_VAULT;"
_Entry: TypeAlias = tuple[ScalarNode, Node]
_VAULT_TAGS = frozenset({"!vault", "!vault-encrypted"})
_WORDS: Mapping[str, bool | None] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **{word: True for name in ("yes", "true", "on") for word in (name, name.capitalize(), name.upper())},
    **{word: False for name in ("no", "false", "off") for word in (name, name.capitalize(), name.upper())},
}
_BINARY = re.compile(r"([-+]?)0b([01_]+)")
_OCTAL = re.compile(r"([-+]?)0([0-7_]+)")
_HEX = re.compile(r"([-+]?)0x([0-9a-fA-F_]+)")
_DECIMAL = re.compile(r"([-+]?)(0|[1-9][0-9_]*)")
_SIXTIES = re.compile(r"([-+]?)([1-9][0-9_]*(?::[0-5]?[0-9])+)")
_FLOAT = re.compile(r"[-+]?[0-9][0-9_]*\.[0-9_]*([eE][-+][0-9]+)?|\.[0-9][0-9_]*([eE][-+][0-9]+)?")
_SIXTIES_FLOAT = re.compile(r"([-+]?)([0-9][0-9_]*(?::[0-5]?[0-9])+\.[0-9_]*)")


def yaml11_value(text: str) -> ScalarValue:
    """Return what a plain scalar means in YAML 1.1 as PyYAML reads it; what int64 and double cannot hold stays text.

    >>> [yaml11_value(text) for text in ("no", "010", "0x1F", "1_000", "22:22", "1.5", "1e3", "True", "~", "web")]
    [False, 8, 31, 1000, 1342, 1.5, '1e3', True, None, 'web']
    """
    if text in _WORDS:
        return _WORDS[text]
    if len(text) > 70 or text[0] not in "+-.0123456789":
        return text
    for pattern, base in ((_BINARY, 2), (_HEX, 16), (_DECIMAL, 10), (_OCTAL, 8)):
        if match := pattern.fullmatch(text):
            digits = match[2].replace("_", "")
            return _signed(match[1], int(digits, base), text) if digits else text
    if match := _SIXTIES.fullmatch(text):
        return _signed(match[1], int(_in_sixties(match[2])), text)
    if match := _SIXTIES_FLOAT.fullmatch(text):
        return -_in_sixties(match[2]) if match[1] == "-" else _in_sixties(match[2])
    if _FLOAT.fullmatch(text):
        number = float(text.replace("_", ""))
        return number if math.isfinite(number) else text
    return text


def _signed(sign: str, number: int, text: str) -> ScalarValue:
    number = -number if sign == "-" else number
    return number if -(1 << 63) <= number < 1 << 63 else text


def _in_sixties(text: str) -> float:
    total = 0.0
    for part in text.replace("_", "").split(":"):
        total = total * 60 + float(part)
    return total


def _whole(text: str) -> ScalarValue:
    value = yaml11_value(text.strip())
    if isinstance(value, str) and _DECIMAL.fullmatch(value):
        return text  # more than int64 holds
    if type(value) is not int:  # yes is no number either
        raise ValueError(text)
    return value


def _number(text: str) -> ScalarValue:
    digits = text.strip().replace("_", "").lower()
    if digits.lstrip("+-") in (".inf", ".nan"):
        return text
    number = -_in_sixties(digits[1:]) if digits.startswith("-") else _in_sixties(digits)
    return number if math.isfinite(number) else text


def _truth(text: str) -> ScalarValue:
    if (value := _WORDS.get(text.lower())) is None:
        raise ValueError(text)
    return value


_CORE = "tag:yaml.org,2002:"
_SCALARS: Mapping[str, Callable[[str], ScalarValue]] = {
    "!unsafe": yaml11_value,
    f"{_CORE}int": _whole,
    f"{_CORE}float": _number,
    f"{_CORE}bool": _truth,
    f"{_CORE}null": lambda _: None,
    **{f"{_CORE}{name}": str for name in ("str", "timestamp", "python/unicode")},
}
"""What a scalar means by its tag, quoted or not; ValueError where it cannot mean that."""
_MAPPINGS = frozenset({"!", "!unsafe", f"{_CORE}map", f"{_CORE}python/dict"})
_LISTS = frozenset({"!", "!unsafe", f"{_CORE}seq"})
_SET = f"{_CORE}set"


@dataclass(slots=True)
class AnsibleDocument:
    """A document, with what is encrypted in it and what its reader should know."""

    root: Node
    vaulted: frozenset[Place] = frozenset()
    """Where values stand that ansible-vault encrypted."""
    notes: list[Problem] = field(default_factory=list)
    file: str = ""
    sealed: bool = False
    """The file was encrypted as a whole."""
    _pointers: dict[Place, str] = field(default_factory=dict)

    def pointer(self, node: Node) -> str:
        """Return the keys that lead to a node from the root, with `/` between them (RFC 6901)."""
        if not self._pointers:
            waiting: list[tuple[str, Node]] = [("", self.root)]
            while waiting:
                way, inner = waiting.pop()
                self._pointers.setdefault(inner.place, way.removeprefix("/"))
                if isinstance(inner, MapNode):
                    waiting += [(f"{way}/{_escaped(key.text)}", value) for key, value in inner.entries]
                elif isinstance(inner, ListNode):
                    waiting += [(f"{way}/{number}", item) for number, item in enumerate(inner.items)]
        return self._pointers[node.place]


def _escaped(key: str) -> str:
    return key.replace("~", "~0").replace("/", "~1")


class _AnsibleBuilder(Builder):
    """Builds nodes by Ansible's rules."""

    def __init__(self, text: str, file: str, max_nodes: int) -> None:
        super().__init__(text, file, max_nodes)
        self.vaulted: set[Place] = set()
        self.tags: dict[Place, str] = {}
        self.sets: dict[Place, MapNode] = {}
        """What the sets are as mappings, which a merge key may name."""
        self.notes: list[Problem] = []

    def _value(self, text: str, style: Style, place: Place) -> ScalarValue:
        tag = self.tags.get(place) if self.tags else None
        if tag is None:
            return yaml11_value(text) if style is Style.PLAIN else text
        try:
            return _SCALARS[tag](text)
        except ValueError:
            what = Text("“{text}” is not what its tag “{tag}” says", text=shown(text), tag=tag.replace(_CORE, "!!"))
            self._report(place, what)
            return None

    def _tagged(self, tag: str, event: yaml.NodeEvent) -> None:
        place = self._place(event.start_mark)
        match event:
            case yaml.ScalarEvent() if tag in _VAULT_TAGS:
                self.vaulted.add(place)
            case yaml.ScalarEvent() if tag in _SCALARS:
                self.tags[place] = tag
            case yaml.MappingStartEvent() if tag == _SET:
                self.sets[place] = MapNode(place, ())
            case yaml.ScalarEvent() if tag == "!":
                pass
            case yaml.MappingStartEvent() if tag in _MAPPINGS:
                pass
            case yaml.SequenceStartEvent() if tag in _LISTS:
                pass
            case _:
                super()._tagged(tag, event)

    def _merge_key(self, place: Place) -> None:
        """Let a merge key pass: `_mapping` resolves it."""

    def _twice(self, frame: Frame, _: ScalarNode) -> None:
        """Keep both: `_mapping` lets the last one hold, and tells of it."""
        frame.keep = True

    def _look_for_tear(self, frame: Frame, event: object, place: Place) -> None:
        """Expect no expressions of ours in Ansible's files."""

    def _mapping(self, frame: Frame) -> MapNode | ListNode:
        own = [entry for entry in frame.entries if not _merges(entry[0])]
        merged = [] if len(own) == len(frame.entries) else self._merged(frame.entries)
        if self.sets and frame.place in self.sets:
            return self._set(frame.place, merged, own)
        self._note_twice((key, key.text) for key, _ in own)
        last: dict[str, _Entry] = {}
        for key, value in (*merged, *own):
            last.pop(key.text, None)  # it stands where it stood last
            last[key.text] = key, value
        return MapNode(frame.place, tuple(last.values()))

    def _merged(self, entries: Iterable[_Entry]) -> list[_Entry]:
        """Return what the merge keys bring in: of equal keys the last one holds, of a list the first mapping (as in PyYAML)."""
        found: list[_Entry] = []
        for node in (value for key, value in entries if _merges(key)):
            for one in reversed(node.items) if isinstance(node, ListNode) and node.place not in self.sets else (node,):
                mapping = self.sets.get(one.place, one)
                if not isinstance(mapping, MapNode):
                    self._stop(one.place, Text("what a merge key (<<) names must be a mapping"))
                found += mapping.entries
                self.aliased_nodes += len(mapping.entries)
        return found

    def _note_twice(self, keys: Iterable[tuple[ScalarNode, ScalarValue]]) -> None:
        """Tell of keys that are equal by what is beside them."""
        lines: dict[ScalarValue, int] = {}
        for key, name in keys:
            if name not in lines:
                lines[name] = key.place.line
                continue
            text = Text("the key “{key}” stands here twice, first in line {line}", key=shown(key.text), line=lines[name])
            self.notes.append(Problem(place=key.place, text=text, hint=Text("as in Ansible, the last one holds")))

    def _set(self, place: Place, merged: list[_Entry], own: list[_Entry]) -> ListNode:
        """Return the keys as a list, in one order: that of a set is another one in each process of Ansible."""
        entries = (*merged, *own)
        values = [self._value(key.text, key.style, key.place) for key, _ in entries]
        self._note_twice((key, value) for (key, _), value in zip(own, values[len(merged) :], strict=True))
        items = dict(zip(values, entries, strict=True))  # True before 1 stays True
        self.sets[place] = MapNode(place, tuple(items.values()))
        found = sorted(items.items(), key=lambda item: repr(item[0]))
        return ListNode(place, tuple(ScalarNode(key.place, value, key.style, key.text) for value, (key, _) in found))


def _merges(key: ScalarNode) -> bool:
    return key.text == "<<" and key.style is Style.PLAIN


def parse_ansible(data: bytes, file: str, limits: Limits = FOREIGN) -> AnsibleDocument:
    """Return the one document in `data` as Ansible reads it; raises InvalidFile."""
    builder = _AnsibleBuilder(decoded(data, file, limits), file, limits.nodes)
    root = builder.build()
    return AnsibleDocument(root, frozenset(builder.vaulted), builder.notes, file)


def is_vaulted(node: Node, document: AnsibleDocument) -> bool:
    """Tell whether a value, or anything within it, is encrypted."""
    if not document.vaulted:
        return False
    if isinstance(node, ListNode):
        return any(is_vaulted(item, document) for item in node.items)
    if isinstance(node, MapNode):
        return any(is_vaulted(value, document) for _, value in node.entries)
    return node.place in document.vaulted


def value_of(node: Node) -> Value:
    """Return a node as plain values."""
    if isinstance(node, ListNode):
        return tuple(value_of(item) for item in node.items)
    if isinstance(node, MapNode):
        return MappingProxyType({key.text: value_of(value) for key, value in node.entries})
    return node.value
