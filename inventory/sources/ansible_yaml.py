"""YAML as Ansible reads it: version 1.1 scalars, merge keys, the last of equal keys, and its tags for vaults and text.

Everything else is as strict as our own files: places of all values, bounds on size, depth and aliases, no objects.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from inventory.documents import FOREIGN, Limits, decoded
from inventory.errors import Place, Problem, Text
from inventory.host import Value
from inventory.names import shown
from inventory.nodes import ListNode, MapNode, Node, ScalarNode, ScalarValue
from inventory.yaml_builder import Builder, Frame

VAULT_HEADER = b"$ANSIBLE_VAULT;"
_VAULT_TAGS = frozenset({"!vault", "!vault-encrypted"})
_TEXT_TAGS = frozenset({"!unsafe", "tag:yaml.org,2002:str"})
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
        self.texts: set[Place] = set()
        self.notes: list[Problem] = []

    def _plain_value(self, text: str, place: Place) -> ScalarValue:
        return text if place in self.texts else yaml11_value(text)

    def _tagged(self, tag: str, place: Place) -> None:
        if tag in _VAULT_TAGS:
            self.vaulted.add(place)
        elif tag in _TEXT_TAGS:
            self.texts.add(place)
        else:
            super()._tagged(tag, place)

    def _merge_key(self, place: Place) -> None:
        """Let a merge key pass: `_mapping` resolves it."""

    def _twice(self, frame: Frame, key: ScalarNode) -> None:
        text = Text("the key “{key}” stands here twice, first in line {line}", key=shown(key.text), line=frame.seen[key.text])
        self.notes.append(Problem(place=key.place, text=text, hint=Text("as in Ansible, the last one holds")))
        frame.keep = True  # `_mapping` lets the last one hold

    def _look_for_tear(self, frame: Frame, event: object, place: Place) -> None:
        """Expect no expressions of ours in Ansible's files."""

    def _mapping(self, frame: Frame) -> MapNode:
        own: dict[str, tuple[ScalarNode, Node]] = {}
        for key, value in frame.entries:
            own.pop(key.text, None)  # it stands where it stood last
            own[key.text] = key, value
        if (merged := own.pop("<<", None)) is None:
            return MapNode(frame.place, tuple(own.values()))
        for node in merged[1].items if isinstance(merged[1], ListNode) else (merged[1],):
            if not isinstance(node, MapNode):
                self._stop(node.place, Text("what a merge key (<<) names must be a mapping"))
            for key, value in node.entries:
                own.setdefault(key.text, (key, value))
            self.aliased_nodes += len(node.entries)
        return MapNode(frame.place, tuple(own.values()))


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
