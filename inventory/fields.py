"""Typed reading of a mapping: every mistake is collected with its place, none stops the reading.

>>> from inventory.documents import parse_document
>>> problems: list[Problem] = []
>>> fields = Fields(parse_document(b"titel: x\\nkeep: 200 MiB\\n", "example.yaml"), problems, Text("a playbook"))
>>> fields.text("title"), fields.size("keep")
(None, 209715200)
>>> fields.done()
>>> print(problems[0])
example.yaml:1:1: a playbook has no key “titel” (did you mean title?)
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal
from types import MappingProxyType
from typing import Literal, TypeVar, overload

from inventory.errors import Place, Problem, Text
from inventory.host import Value
from inventory.names import shown
from inventory.nodes import ListNode, MapNode, Node, ScalarNode, plain

T = TypeVar("T")

LANGUAGES = ("en", "ru")
MOST_SUGGESTIONS = 20
"""So many unknown names of an inventory get a suggestion: finding one among 20,000 takes half a second."""
INT64 = (1 << 63) - 1
_LONGEST = 40  # characters of a number with its unit
_LONGEST_S = 100 * 366 * 86400.0  # a hundred years: clocks and timers of the system end not long after
_SIZE = re.compile(r"([0-9]+(?:\.[0-9]+)?) ?(B|[kKMGT]B|[KMGT]iB)?")
_SIZE_UNITS = {
    "B": 1,
    **{f"{letter}B": 1000**power for letter, power in (("k", 1), ("K", 1), ("M", 2), ("G", 3), ("T", 4))},
    **{f"{letter}iB": 1024**power for power, letter in enumerate("KMGT", start=1)},
}
_DURATION = re.compile(r"([0-9]+(?:\.[0-9]+)?) ?(ms|s|m|h|d)")
_DURATION_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


def nearest(word: str, known: Iterable[str], most: int = 3) -> tuple[str, ...]:
    """Return the known words that are closest to a misspelt one, best first; upper and lower case do not matter.

    >>> nearest("adress", ["port", "address", "site"])
    ('address',)
    """
    by_fold = {name.casefold(): name for name in known}
    folded = word.casefold()[:100]
    close = difflib.get_close_matches(folded, by_fold, n=most, cutoff=0.6)
    alike = [difflib.SequenceMatcher(None, folded, name).ratio() for name in close]
    return tuple(by_fold[name] for name, ratio in zip(close, alike, strict=True) if ratio > alike[0] - 0.25)


def did_you_mean(word: str, known: Iterable[str]) -> Text | None:
    """Return the hint that names the closest known words, None where nothing is close."""
    close = nearest(word, known)
    return Text("did you mean {names}?", names=", ".join(close)) if close else None


class Fields:
    """Reads the keys of one mapping; an empty node counts as an empty mapping.

    Each reader returns the value, or None (with `required`: an empty value of its type) after
    noting in `problems` what is wrong. `done()` notes the keys that nobody asked for.
    """

    def __init__(self, node: Node, problems: list[Problem], what: Text) -> None:
        self.problems, self.what, self._place = problems, what, node.place
        self._quiet = False  # True: a mistake above explains all that is missing here
        self._known: dict[str, None] = {}
        self._entries: dict[str, tuple[ScalarNode, Node]] = {}
        if isinstance(node, MapNode):
            self._entries = {key.text: (key, value) for key, value in node.entries}
        elif not is_empty(node):
            self.problem(node.place, Text("{what} must be a mapping, that is lines of “key: value”", what=what))
            self._quiet = True

    def problem(self, place: Place, text: Text, hint: Text | None = None) -> None:
        """Note a mistake."""
        self.problems.append(Problem(place=place, text=text, hint=hint))

    def keys(self) -> tuple[str, ...]:
        """Return the keys that stand in the file, in their order."""
        return tuple(self._entries)

    def has(self, key: str) -> bool:
        """Tell whether the key stands in the file, with or without a value."""
        self._known[key] = None
        return key in self._entries

    def node(self, key: str) -> Node | None:
        """Return the node of a key as it is, None where the key is not there."""
        return self._entries[key][1] if self.has(key) else None

    def place(self, key: str | None = None) -> Place:
        """Return where the value of a key stands; without such a key, where the mapping stands."""
        return self._entries[key][1].place if key in self._entries and key is not None else self._place

    def key_place(self, key: str) -> Place:
        """Return where the key itself stands; without such a key, where the mapping stands."""
        return self._entries[key][0].place if key in self._entries else self._place

    def done(self) -> None:
        """Note every key that no reader asked for, with the nearest one that is known."""
        for key, (node, _) in self._entries.items():
            if key not in self._known:
                hint = did_you_mean(key, self._known) or Text("it knows {keys}", keys=", ".join(self._known))
                self.problem(node.place, Text("{what} has no key “{key}”", what=self.what, key=shown(key)), hint)

    @overload
    def text(self, key: str, *, required: Literal[True]) -> str: ...
    @overload
    def text(self, key: str, *, required: bool = False) -> str | None: ...
    def text(self, key: str, *, required: bool = False) -> str | None:
        """Return a text as it is written: `1.10` and `no` stay what they show."""
        return self._read(key, required, "", _as_text, Text("“{key}” must be a text", key=key))

    @overload
    def integer(self, key: str, *, required: Literal[True], minimum: int = ..., maximum: int = ...) -> int: ...
    @overload
    def integer(self, key: str, *, required: bool = ..., minimum: int = ..., maximum: int = ...) -> int | None: ...
    def integer(self, key: str, *, required: bool = False, minimum: int = -INT64 - 1, maximum: int = INT64) -> int | None:
        """Return a whole number within its bounds."""

        def convert(node: Node) -> int | None:
            return value if (value := _as_integer(node)) is not None and minimum <= value <= maximum else None

        expected = Text("“{key}” must be a whole number", key=key)
        if minimum > -INT64 - 1 and maximum < INT64:
            expected = Text(
                "“{key}” must be a whole number from {minimum} to {maximum}", key=key, minimum=minimum, maximum=maximum
            )
        elif minimum > -INT64 - 1:
            expected = Text("“{key}” must be a whole number, at least {minimum}", key=key, minimum=minimum)
        return self._read(key, required, 0, convert, expected)

    @overload
    def number(self, key: str, *, required: Literal[True]) -> float: ...
    @overload
    def number(self, key: str, *, required: bool = False) -> float | None: ...
    def number(self, key: str, *, required: bool = False) -> float | None:
        """Return a number, whole or not."""
        return self._read(key, required, 0.0, _as_number, Text("“{key}” must be a number", key=key))

    @overload
    def size(self, key: str, *, required: Literal[True]) -> int: ...
    @overload
    def size(self, key: str, *, required: bool = False) -> int | None: ...
    def size(self, key: str, *, required: bool = False) -> int | None:
        """Return a size in bytes, written `200 MiB`, `2 GB` or as a plain number of bytes."""
        expected = Text("“{key}” must be a size such as 200 MiB or 2 GB", key=key)
        return self._read(key, required, 0, lambda node: _parsed(node, parse_size), expected)

    @overload
    def duration(self, key: str, *, required: Literal[True]) -> float: ...
    @overload
    def duration(self, key: str, *, required: bool = False) -> float | None: ...
    def duration(self, key: str, *, required: bool = False) -> float | None:
        """Return a duration in seconds, written `500ms`, `90s`, `2m`, `1h` or `1d`."""
        expected = Text("“{key}” must be a duration such as 90s, 2m or 1h", key=key)
        return self._read(key, required, 0.0, lambda node: _parsed(node, parse_duration), expected)

    @overload
    def boolean(self, key: str, *, required: Literal[True]) -> bool: ...
    @overload
    def boolean(self, key: str, *, required: bool = False) -> bool | None: ...
    def boolean(self, key: str, *, required: bool = False) -> bool | None:
        """Return true or false; `yes` and `no` are text and refused."""
        return self._read(key, required, False, _as_boolean, Text("“{key}” must be true or false", key=key))

    @overload
    def one_of(self, key: str, choices: Iterable[str], *, required: Literal[True]) -> str: ...
    @overload
    def one_of(self, key: str, choices: Iterable[str], *, required: bool = False) -> str | None: ...
    def one_of(self, key: str, choices: Iterable[str], *, required: bool = False) -> str | None:
        """Return one of the choices; where it is required and wrong, the first of them."""
        known = tuple(choices)
        text = self.text(key)
        if text is None or text in known:
            if text is None and required and not self.has(key):
                self._missing(key)
            return known[0] if text is None and required else text
        hint = did_you_mean(text, known) or Text("one of {choices}", choices=", ".join(known))
        self.problem(self.place(key), Text("“{key}” cannot be “{value}”", key=key, value=shown(text)), hint)
        return known[0] if required else None

    def texts(self, key: str, *, required: bool = False) -> tuple[str, ...]:
        """Return a list of texts; one text alone counts as a list of one."""
        return tuple(node.text for node in self.text_nodes(key, required=required))

    def text_nodes(self, key: str, *, required: bool = False) -> tuple[ScalarNode, ...]:
        """Return what `texts` returns with the place of each text."""
        none: tuple[Node, ...] = ()
        expected = Text("“{key}” must be a list of texts", key=key)
        nodes = self._read(key, required, none, _as_nodes, expected, empty=True) or none
        for node in nodes:
            if _as_text(node) is None:
                self.problem(node.place, expected)
        return tuple(node for node in nodes if isinstance(node, ScalarNode) and not is_empty(node))

    def languages(self, key: str, *, required: bool = False) -> Mapping[str, str]:
        """Return a text in every language of the program, `{en: …, ru: …}`, all of them required; empty if there is none."""
        if not self.has(key) and not required:
            return MappingProxyType({})
        fields = self.fields(key, required=required)
        read = {language: fields.text(language, required=True) for language in LANGUAGES}
        fields.done()
        return MappingProxyType(read)

    def mapping(self, key: str, *, required: bool = False) -> MapNode | None:
        """Return the mapping of a key; without a value it counts as absent."""
        expected = Text("“{key}” must be a mapping, that is lines of “key: value”", key=key)
        return self._read(key, required, MapNode(self._place, ()), _as_mapping, expected, empty=True)

    def fields(self, key: str, what: Text | None = None, *, required: bool = False) -> Fields:
        """Return a reader for the mapping of a key, empty where the key is not there; it notes into the same list."""
        node = self.node(key)
        fields = Fields(node or MapNode(self._place, ()), self.problems, what or Text("“{key}”", key=key))
        if required and (node is None or is_empty(node)):
            self._missing(key)
            fields._quiet = True
        return fields

    def items(self, key: str, *, required: bool = False) -> tuple[Node, ...]:
        """Return the nodes of a list; without a value it counts as empty."""
        return self._read(key, required, (), _as_items, Text("“{key}” must be a list", key=key), empty=True) or ()

    def value(self, key: str) -> Value:
        """Return a key's value as it is, None where the key is not there."""
        node = self.node(key)
        return None if node is None else plain(node)

    def _read(
        self, key: str, required: bool, fallback: T, convert: Callable[[Node], T | None], expected: Text, *, empty: bool = False
    ) -> T | None:
        node = self.node(key)
        if node is None or (empty and is_empty(node)):
            if required:
                self._missing(key)
        elif is_empty(node):
            self.problem(node.place, Text("“{key}” has no value", key=key))
        elif (value := convert(node)) is not None:
            return value
        else:
            self.problem(node.place, expected)
        return fallback if required else None

    def _missing(self, key: str) -> None:
        if not self._quiet:
            self.problem(self.place(key), Text("{what} needs the key “{key}”", what=self.what, key=key))


def parse_size(text: str) -> int | None:
    """Return the bytes that a size such as `200 MiB`, `2 GB` or `4096` means, None where it is none.

    >>> parse_size("200 MiB"), parse_size("1.5 GB"), parse_size("10"), parse_size("10 MB/s")
    (209715200, 1500000000, 10, None)
    """
    match = _SIZE.fullmatch(text)
    if match is None or len(text) > _LONGEST:
        return None
    size = Decimal(match[1]) * _SIZE_UNITS[match[2] or "B"]
    return int(size) if size == int(size) and size <= INT64 else None


def parse_duration(text: str) -> float | None:
    """Return the seconds that a duration such as `90s`, `2m` or `1h` means, None where it is none, or more than a century.

    >>> parse_duration("90s"), parse_duration("1.5h"), parse_duration("500ms"), parse_duration("90")
    (90.0, 5400.0, 0.5, None)
    """
    match = _DURATION.fullmatch(text)
    seconds = float(match[1]) * _DURATION_UNITS[match[2]] if match and len(text) <= _LONGEST else None
    return None if seconds is None or seconds > _LONGEST_S else seconds


def is_empty(node: Node) -> bool:
    """Tell whether a node has no value: nothing stands after the colon, or null."""
    return isinstance(node, ScalarNode) and node.value is None


def _as_text(node: Node) -> str | None:
    return node.text if isinstance(node, ScalarNode) and not is_empty(node) else None


def _as_integer(node: Node) -> int | None:
    value = node.value if isinstance(node, ScalarNode) else None
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _as_number(node: Node) -> float | None:
    value = node.value if isinstance(node, ScalarNode) else None
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def _as_boolean(node: Node) -> bool | None:
    return node.value if isinstance(node, ScalarNode) and isinstance(node.value, bool) else None


def _as_mapping(node: Node) -> MapNode | None:
    return node if isinstance(node, MapNode) else None


def _as_items(node: Node) -> tuple[Node, ...] | None:
    return node.items if isinstance(node, ListNode) else None


def _as_nodes(node: Node) -> tuple[Node, ...] | None:
    return node.items if isinstance(node, ListNode) else (node,)


def _parsed(node: Node, parse: Callable[[str], T | None]) -> T | None:
    return parse(node.text) if isinstance(node, ScalarNode) else None
