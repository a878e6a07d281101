"""Makes nodes of libyaml's events, without recursion and within the limits that keep a hostile file harmless (T3)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, NoReturn

import yaml
from yaml._yaml import CParser
from yaml._yaml import Mark as CMark

from inventory.errors import InvalidFile, Place, Problem, Text
from inventory.names import shown
from inventory.nodes import ListNode, MapNode, Node, ScalarNode, ScalarValue, Style, collection_paused
from inventory.yaml_scalars import NotStorable, core_value
from inventory.yaml_syntax import explain_syntax_error

MAX_DEPTH = 64
MAX_ALIASES = 100
MAX_NODES = 1_000_000
MAX_ALIASED_NODES = 100_000
"""So many nodes may the aliases of one file stand for."""
MAX_PROBLEMS = 100
"""So many mistakes of one file are told at once."""

_STYLES = {
    "": Style.PLAIN,
    None: Style.PLAIN,
    "'": Style.SINGLE_QUOTED,
    '"': Style.DOUBLE_QUOTED,
    "|": Style.LITERAL,
    ">": Style.FOLDED,
}


@dataclass(slots=True)
class Frame:
    """A list or mapping that is still open."""

    place: Place
    flow: bool
    mapping: bool
    anchor: str | None
    key: ScalarNode | None = None
    keep: bool = True  # False: the key stood there before, its value is dropped
    items: list[Node] = field(default_factory=list)
    entries: list[tuple[ScalarNode, Node]] = field(default_factory=list)
    seen: dict[str, int] = field(default_factory=dict)
    size: int = 1
    height: int = 1
    torn: bool = False


@dataclass(slots=True)
class _Anchored:
    """What an anchor names; `node` is None while it is still open."""

    place: Place
    node: Node | None = None
    size: int = 1
    height: int = 0


def _length(event: yaml.ScalarEvent) -> int:
    """Return how many characters of the file a scalar takes."""
    assert event.start_mark is not None and event.end_mark is not None
    return event.end_mark.index - event.start_mark.index


class Builder:
    """Builds the nodes of one document without recursion; collects what it can, stops at what it cannot pass."""

    def __init__(self, text: str, file: str, max_nodes: int = MAX_NODES) -> None:
        self.text, self.file, self.max_nodes = text, file, max_nodes
        self.problems: list[Problem] = []
        self.frames: list[Frame] = []
        self.anchors: dict[str, _Anchored] = {}
        self.root: Node | None = None
        self.documents = self.nodes = self.aliases = self.aliased_nodes = 0
        self.lines: list[str] | None = None

    def build(self) -> Node:
        """Return the root node; an empty document is the scalar null."""
        with collection_paused():
            self._read()
        if self.problems:
            raise InvalidFile(self.problems)
        return self.root or ScalarNode(Place(self.file, 1, 1), None, Style.PLAIN, "")

    def _read(self) -> None:
        handlers: dict[type, Callable[[Any], None]] = {
            yaml.ScalarEvent: self._scalar,
            yaml.MappingStartEvent: self._open,
            yaml.SequenceStartEvent: self._open,
            yaml.MappingEndEvent: self._close,
            yaml.SequenceEndEvent: self._close,
            yaml.AliasEvent: self._alias,
            yaml.DocumentStartEvent: self._document,
        }
        for event in self._events():
            if handler := handlers.get(type(event)):
                handler(event)

    def _events(self) -> Iterator[yaml.Event]:
        parser = CParser(self.text)
        try:
            while event := parser.get_event():
                yield event
        except yaml.YAMLError as error:
            in_flow = bool(self.frames) and self.frames[-1].flow
            line, column, text, hint = explain_syntax_error(error, self.text, in_flow=in_flow)
            self._stop(Place(self.file, line, column), text, hint)
        finally:
            parser.dispose()

    def _report(self, place: Place, text: Text, hint: Text | None = None) -> None:
        self.problems.append(Problem(place=place, text=text, hint=hint))
        if len(self.problems) >= MAX_PROBLEMS:
            raise InvalidFile(self.problems)

    def _stop(self, place: Place, text: Text, hint: Text | None = None) -> NoReturn:
        raise InvalidFile([*self.problems, Problem(place=place, text=text, hint=hint)])

    def _place(self, mark: yaml.Mark | CMark | None) -> Place:
        assert mark is not None  # libyaml gives every event its marks
        return Place(self.file, mark.line + 1, mark.column + 1)

    def _document(self, event: yaml.DocumentStartEvent) -> None:
        self.documents += 1
        if self.documents > 1:
            self._stop(self._place(event.start_mark), Text("a second document begins here"), Text("one document for each file"))
        if event.version and event.version != (1, 2):
            text = Text("YAML {version} is not read", version=".".join(map(str, event.version)))
            self._report(self._place(event.start_mark), text, Text("leave the %YAML line out: files are YAML 1.2"))

    def _scalar(self, event: yaml.ScalarEvent) -> None:
        place = self._place(event.start_mark)
        self._look(event, place)
        frame = self.frames[-1] if self.frames else None
        if frame is not None and frame.mapping and frame.key is None:
            self._key(frame, event, place)
            return
        style = _STYLES[event.style]
        value = self._value(event.value, style, place)
        if style is Style.PLAIN and frame is not None and frame.flow:
            self._look_for_tear(frame, event, place)
        if "\0" in event.value:
            self._report(place, Text("the text contains the character NUL"))
        node = ScalarNode(place, value, style, event.value, self._body(event, style, place))
        if event.anchor is not None:
            self._name(event.anchor, _Anchored(place, node))
        self._add(node, size=1, height=0)

    def _value(self, text: str, style: Style, place: Place) -> ScalarValue:
        if style is not Style.PLAIN:
            return text
        try:
            return core_value(text)
        except NotStorable:
            hint = Text("in quotes it is text")
            self._report(place, Text("“{text}” is not a number that can be stored", text=shown(text)), hint)
            return 0

    def _key(self, frame: Frame, event: yaml.ScalarEvent, place: Place) -> None:
        key = ScalarNode(place, event.value, _STYLES[event.style], event.value, None)
        if key.style is Style.PLAIN and not key.text:
            self._report(place, Text("there is no key before the colon"))
        elif key.style is Style.PLAIN and key.text == "<<":
            self._merge_key(place)
        elif "\0" in key.text:
            self._report(place, Text("the text contains the character NUL"))
        frame.keep = key.text not in frame.seen
        if not frame.keep:
            self._twice(frame, key)
        frame.seen.setdefault(key.text, place.line)
        frame.key = key

    def _merge_key(self, place: Place) -> None:
        self._report(place, Text("merge keys (<<) are not read"), Text("repeat the keys, or put the hosts in a group"))

    def _twice(self, frame: Frame, key: ScalarNode) -> None:
        text = Text("the key “{key}” stands here twice, first in line {line}", key=shown(key.text), line=frame.seen[key.text])
        self._report(key.place, text, Text("keep one of them"))

    def _mapping(self, frame: Frame) -> MapNode | ListNode:
        return MapNode(frame.place, tuple(frame.entries))

    def _tagged(self, tag: str, event: yaml.NodeEvent) -> None:
        tag = tag.replace("tag:yaml.org,2002:", "!!")
        self._report(
            self._place(event.start_mark),
            Text("the tag “{tag}” is not read", tag=shown(tag)),
            Text("a text that begins with ! needs quotes"),
        )

    def _look_for_tear(self, frame: Frame, event: yaml.ScalarEvent, place: Place) -> None:
        """Report text in a flow collection that a comma or colon seems to have cut in two."""
        key = frame.key if frame.mapping and not _length(event) else None
        if frame.torn or (key is None and event.value.count("(") == event.value.count(")")):
            return
        frame.torn = True
        hint = Text("inside braces and brackets put such a text in quotes: {example}", example='"a > max(b, c)"')
        if key is None:
            what = Text("this text ends amid its parentheses: a comma or a colon tore it apart")
            self._report(place, what, hint)
        elif ":" in key.text:
            hint = Text("put a space after the colon, or the whole text in quotes")
            self._report(key.place, Text("this has no value"), hint)
        else:
            what = Text("this has no value: did a comma or a colon tear a text apart?")
            self._report(key.place, what, hint)

    def _body(self, event: yaml.ScalarEvent, style: Style, place: Place) -> Place | None:
        """Return where the text itself begins, if the file holds it character by character."""
        if style is Style.LITERAL:
            return self._literal_body(event.value, place.line)
        if style is Style.FOLDED:
            return None
        quotes = 0 if style is Style.PLAIN else 1
        if _length(event) != len(event.value) + 2 * quotes:
            return None
        return Place(self.file, place.line, place.column + quotes) if quotes else place

    def _literal_body(self, value: str, header_line: int) -> Place | None:
        self.lines = self.lines if self.lines is not None else self.text.split("\n")
        for source, line in zip(self.lines[header_line:], value.split("\n"), strict=False):
            if line:
                indent = len(source.removesuffix("\r")) - len(line)
                return Place(self.file, header_line + 1, indent + 1) if source.find(line) == indent else None
        return None

    def _open(self, event: yaml.MappingStartEvent | yaml.SequenceStartEvent) -> None:
        place = self._place(event.start_mark)
        self._look(event, place)
        if len(self.frames) >= MAX_DEPTH:
            self._stop(place, Text("nested deeper than {limit} levels", limit=MAX_DEPTH))
        parent = self.frames[-1] if self.frames else None
        if parent is not None and parent.mapping and parent.key is None:
            self._stop(place, Text("a key must be text"), Text("a text that begins with a brace or bracket needs quotes"))
        if event.anchor is not None:
            self._name(event.anchor, _Anchored(place))
        mapping = isinstance(event, yaml.MappingStartEvent)
        self.frames.append(Frame(place, bool(event.flow_style), mapping, event.anchor))

    def _close(self, _: yaml.Event) -> None:
        frame = self.frames.pop()
        node: Node = self._mapping(frame) if frame.mapping else ListNode(frame.place, tuple(frame.items))
        if frame.anchor is not None:
            self.anchors[frame.anchor] = _Anchored(frame.place, node, frame.size, frame.height)
        self._add(node, frame.size, frame.height)

    def _alias(self, event: yaml.AliasEvent) -> None:
        place, name = self._place(event.start_mark), event.anchor or ""
        self.aliases += 1
        if self.aliases > MAX_ALIASES:
            self._stop(place, Text("more than {limit} aliases", limit=MAX_ALIASES))
        target = self.anchors.get(name)
        if target is None:
            self._stop(
                place, Text("nothing is named “&{name}”", name=shown(name)), Text("a text that begins with * needs quotes")
            )
        if target.node is None:
            self._stop(
                place,
                Text("“*{name}” stands inside “&{name}” of line {line}: a cycle", name=shown(name), line=target.place.line),
            )
        if self.frames and self.frames[-1].mapping and self.frames[-1].key is None:
            self._stop(place, Text("a key must be text, not an alias"), Text("a text that begins with * needs quotes"))
        self.aliased_nodes += target.size
        if self.aliased_nodes > MAX_ALIASED_NODES:
            self._stop(place, Text("the aliases stand for more than {limit} values", limit=MAX_ALIASED_NODES))
        if len(self.frames) + target.height > MAX_DEPTH:
            self._stop(place, Text("nested deeper than {limit} levels", limit=MAX_DEPTH))
        self._add(target.node, target.size, target.height)

    def _look(self, event: yaml.NodeEvent, place: Place) -> None:
        """Count a node and refuse its tag."""
        self.nodes += 1
        if self.nodes > self.max_nodes:
            self._stop(
                place, Text("more than {limit} values in one file", limit=self.max_nodes), Text("split it into several files")
            )
        if (tag := getattr(event, "tag", None)) is not None:
            self._tagged(tag, event)

    def _name(self, anchor: str, anchored: _Anchored) -> None:
        if earlier := self.anchors.get(anchor):
            text = Text("“&{name}” is given twice, first in line {line}", name=shown(anchor), line=earlier.place.line)
            self._report(anchored.place, text)
        self.anchors[anchor] = anchored

    def _add(self, node: Node, size: int, height: int) -> None:
        if not self.frames:
            self.root = node
            return
        frame = self.frames[-1]
        frame.size += size
        frame.height = max(frame.height, height + 1)
        if not frame.mapping:
            frame.items.append(node)
        elif frame.key is not None:
            if frame.keep:
                frame.entries.append((frame.key, node))
            frame.key = None
