"""Text templates of playbooks: contents of files, names, paths, questions to an operator. Rendered once, never parsed again.

Values of hosts reach them as values and stay text, whatever they look like. What a template may do is a short list: show
names and members that are declared, `if`, `for` over a list, a few filters. What it may cost is bounded.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from functools import cache, lru_cache
from typing import Any, Final, TypeAlias

from jinja2 import StrictUndefined, Template, TemplateError, TemplateSyntaxError, nodes
from jinja2.sandbox import ImmutableSandboxedEnvironment

from diagnostics.cel_lint import nearest
from diagnostics.shapes import ANY, Shape, fields_of, type_of
from inventory.documents import ScalarNode
from inventory.errors import InvalidFile, LongarmError, Place, Problem, Text

LONGEST: Final = 256 * 1024
"""Characters of a template."""
MOST_TEXT: Final = 1024 * 1024
"""Characters that one may give: what a command can carry to a host."""
MOST_ITEMS: Final = 1000
FILTERS: Final = frozenset(("default", "first", "join", "last", "length", "lower", "sort", "trim", "upper"))
"""None of them makes a text longer than its parts."""
_ALLOWED: Final = (
    nodes.Template | nodes.Output | nodes.TemplateData | nodes.Name | nodes.Getattr | nodes.Getitem | nodes.Const | nodes.Filter
    | nodes.If | nodes.For | nodes.CondExpr | nodes.Compare | nodes.Operand | nodes.And | nodes.Or | nodes.Not | nodes.Test
)  # fmt: skip
"""No call, no assignment, no arithmetic, no include, no macro."""
_FAILURES = (TemplateError, TypeError, ValueError, OverflowError, LookupError, AttributeError)
_CONSTANTS: Final = {str: "str", int: "int", float: "float", bool: "bool"}
_Bound: TypeAlias = Mapping[str, Shape]


class NotRendered(LongarmError):
    """A template that has no text here: a value that it shows is missing, or it would be too long."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TextTemplate:
    """A template that was verified when its playbook was loaded."""

    text: str
    place: Place

    @property
    def plain(self) -> bool:
        """Tell whether it shows nothing: what it gives is what stands there."""
        return not re.search(r"\{[{%#]", self.text)

    def rendered(self, variables: Mapping[str, Any]) -> str:
        """Return its text with the values of one host; raises NotRendered."""
        pieces, length = [], 0
        try:
            for piece in _compiled(self.text).generate(**{name: _seen(value) for name, value in variables.items()}):
                length += len(piece)
                if length > MOST_TEXT:
                    raise NotRendered(
                        Text("{place}: the text has more than {limit} characters", place=self.place, limit=MOST_TEXT)
                    )
                pieces.append(piece)
        except _FAILURES as error:
            raise NotRendered(Text("{place}: {reason}", place=self.place, reason=str(error)[:300])) from error
        return "".join(pieces)


def _seen(value: Any) -> Any:
    """Return a value as templates show it: durations in seconds, lists no longer than a loop may be."""
    match value:
        case timedelta():
            seconds = value.total_seconds()
            return int(seconds) if seconds.is_integer() else seconds
        case Mapping():
            return {name: _seen(below) for name, below in value.items()}
        case list() | tuple() if len(value) > MOST_ITEMS:
            raise NotRendered(Text("a list of {count} items: at most {most}", count=len(value), most=MOST_ITEMS))
        case list() | tuple():
            return [_seen(item) for item in value]
    return value


@cache
def _environment() -> ImmutableSandboxedEnvironment:
    environment = ImmutableSandboxedEnvironment(
        undefined=StrictUndefined, autoescape=False, keep_trailing_newline=True
    )  # files are no HTML
    environment.globals.clear()
    environment.filters = {name: run for name, run in environment.filters.items() if name in FILTERS}
    return environment


@lru_cache(maxsize=512)
def _compiled(text: str) -> Template:
    return _environment().from_string(text)


def compile_template(source: ScalarNode, shapes: Mapping[str, Shape]) -> TextTemplate:
    """Return a template whose every name is declared in `shapes`, or raise InvalidFile with the places of its mistakes."""
    problems = [Problem(place=source.at(offset), text=text, hint=hint) for offset, text, hint in _mistakes(source.text, shapes)]
    if problems:
        raise InvalidFile(problems)
    return TextTemplate(text=source.text, place=source.place)


def _mistakes(text: str, shapes: Mapping[str, Shape]) -> Iterator[tuple[int, Text, Text | None]]:
    if len(text) > LONGEST:
        yield 0, Text("a template of more than {limit} characters", limit=LONGEST), None
        return
    try:
        tree = _environment().parse(text)
    except TemplateSyntaxError as error:
        yield (
            _line_start(text, error.lineno),
            Text("the template is not understood: {reason}", reason=error.message or ""),
            None,
        )
        return
    except RecursionError:
        yield 0, Text("the template is nested too deeply"), None
        return
    linter = _Linter(text)
    linter.walk(tree, dict(shapes), 0)
    yield from linter.found


def _line_start(text: str, line: int | None) -> int:
    return sum(len(before) for before in text.splitlines(keepends=True)[: (line or 1) - 1])


class _Linter:
    """Follows every name and member of a template through the declared shapes."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.found: list[tuple[int, Text, Text | None]] = []

    def note(self, node: nodes.Node, word: str, text: Text, hint: Text | None = None) -> None:
        """Note a mistake at the first place of its line where `word` stands."""
        start = _line_start(self.text, node.lineno)
        self.found.append((max(start, self.text.find(word, start)) if word else start, text, hint))

    def walk(self, node: nodes.Node, bound: _Bound, loops: int) -> None:
        """Look at a statement and all below it."""
        if not isinstance(node, _ALLOWED):
            hint = Text("it knows names, if, for and the filters {names}", names=", ".join(sorted(FILTERS)))
            self.note(node, "", Text("{what} is not allowed in a template", what=type(node).__name__.lower()), hint)
        elif isinstance(node, nodes.For):
            self.loop(node, bound, loops)
        elif isinstance(node, nodes.Expr):
            self.shape(node, bound)
        else:
            for child in node.iter_child_nodes():
                self.walk(child, bound, loops)

    def loop(self, node: nodes.For, bound: _Bound, loops: int) -> None:
        """Look at a loop: over what, and its body with the name that it binds."""
        over = self.shape(node.iter, bound)
        if loops == 2:
            self.note(node, "", Text("more than {limit} loops inside each other", limit=2))
        if type_of(over) not in ("list", ANY):
            self.note(node, "", Text("a loop goes over a list, not over {kind}", kind=type_of(over)))
        if not isinstance(node.target, nodes.Name) or node.recursive or node.test is not None:
            self.note(node, "", Text("a loop is written: for x in list"))
            return
        item = over[0] if type_of(over) == "list" else ANY
        inside = {**bound, node.target.name: item, "loop": {"*": ANY}}
        for child in (*node.body, *node.else_):
            self.walk(child, inside, loops + 1)

    def shape(self, node: nodes.Node, bound: _Bound) -> Shape:
        """Return the shape of an expression, having noted what it names that is not there."""
        match node:
            case nodes.Name():
                if node.name in bound:
                    return bound[node.name]
                self.note(node, node.name, Text("there is no “{name}” here", name=node.name), nearest(node.name, bound))
                return ANY
            case nodes.Const():
                return _CONSTANTS.get(type(node.value), ANY)
            case nodes.Getattr():
                return self.below(node, self.shape(node.node, bound), node.attr)
            case nodes.Getitem(arg=nodes.Const(value=str() as name)):
                return self.below(node, self.shape(node.node, bound), name)
            case nodes.Getitem(arg=nodes.Const(value=int())):
                above = self.shape(node.node, bound)
                return above[0] if type_of(above) == "list" else ANY
            case nodes.Filter() if node.name not in FILTERS:
                self.note(node, node.name, Text("there is no filter “{name}”", name=node.name), nearest(node.name, FILTERS))
                return ANY
            case _ if not isinstance(node, _ALLOWED):
                self.walk(node, bound, 0)
                return ANY
        for child in node.iter_child_nodes():
            self.shape(child, bound)
        return ANY

    def below(self, node: nodes.Node, above: Shape, name: str) -> Shape:
        """Return the shape of a member."""
        kind, fields = type_of(above), fields_of(above)
        if name.startswith("_"):
            self.note(node, name, Text("“{name}” is not declared here", name=name))
            return ANY
        if kind == ANY or name in fields or "*" in fields:
            return fields.get(name, fields.get("*", ANY))
        if kind != "map":
            self.note(node, name, Text("{kind} has no members: “{name}”", kind=kind, name=name))
        else:
            self.note(node, name, Text("“{name}” is not declared here", name=name), nearest(name, fields))
        return ANY
