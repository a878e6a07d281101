"""Reads the values of declared keys: literals, expressions, templates and scripts, every mistake with its place."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final

from diagnostics.expressions import Expression, compile_expression
from diagnostics.shapes import Shape, shape_problems
from inventory.documents import MapNode, Node, ScalarNode, Style
from inventory.errors import InvalidFile, Problem, Text
from inventory.fields import Fields, is_empty
from inventory.nodes import plain
from playbooks.keys import ID_PATTERN, NAME_PATTERN, Form, Key, Many, Script, Type

if TYPE_CHECKING:
    from playbooks.templates import TextTemplate

LONGEST_SCRIPT: Final = 64 * 1024
_NAME = re.compile(NAME_PATTERN)
_ID = re.compile(ID_PATTERN)
RESERVED: Final = frozenset(("item", "result", "results", "params", "facts", "host"))
"""Names of the scope: nothing else is called so."""
OWN_READERS: Final = frozenset((Type.PARAM, Type.PARAMS, Type.STEPS, Type.CHECKS))
"""What has readers of its own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Names:
    """What expressions and templates of one place may name."""

    shapes: Mapping[str, Shape] = field(default_factory=dict)
    secrets: frozenset[str] = frozenset()
    """Parameters that only scripts get."""

    def also(self, **shapes: Shape) -> Names:
        """Return these names and some more."""
        return replace(self, shapes={**self.shapes, **shapes})


class KeyReader:
    """Reads declared keys, noting what is wrong."""

    def __init__(self, problems: list[Problem]) -> None:
        self.problems = problems

    def problem(self, node: Node, text: Text, hint: Text | None = None) -> None:
        """Note a mistake."""
        self.problems.append(Problem(place=node.place, text=text, hint=hint))

    def read_all(self, keys: Iterable[Key], fields: Fields, names: Names) -> dict[str, Any]:
        """Return the values of the keys that stand there; what has a reader of its own is left to it."""
        found: dict[str, Any] = {}
        for key in keys:
            if key.required and not fields.has(key.name):
                fields.items(key.name, required=True)
            node = fields.node(key.name)
            if node is None or (key.form is Form.LITERAL and key.type in OWN_READERS):
                continue
            value = self.read(key, fields, names)
            if value is not None:
                found[key.name] = value
        return found

    def read(self, key: Key, fields: Fields, names: Names) -> Any:
        """Return the value of a key that stands there, None after a mistake."""
        node = fields.node(key.name)
        if node is None:
            return None
        if key.form is Form.LITERAL:
            return self.mapping(key, node, names) if key.type is Type.MAPPING else self.literal(key, fields)
        match key.many:
            case Many.NAMED:
                return self.named(key, fields.fields(key.name), names)
            case Many.LIST:
                nodes = fields.items(key.name) if not isinstance(node, ScalarNode) else (node,)
                read = [self.one(key, item, names) for item in nodes]
                if not nodes:
                    self.problem(node, Text("“{key}” has no value", key=key.name))
                return tuple(value for value in read if value is not None) or None
        return self.one(key, node, names)

    def mapping(self, key: Key, node: Node, names: Names) -> dict[str, Any] | None:
        """Return the values of a mapping's keys; what stands in its place alone is its `short` key."""
        if key.short and not isinstance(node, MapNode) and not is_empty(node):
            short = next(one for one in key.below if one.name == key.short)
            name = ScalarNode(node.place, key.short, Style.PLAIN, key.short)
            node = MapNode(node.place, ((name, node),))
            value = self.read(short, Fields(node, self.problems, Text("“{key}”", key=key.name)), names)
            return None if value is None else {key.short: value}
        fields = Fields(node, self.problems, Text("“{key}”", key=key.name))
        found = self.read_all(key.below, fields, names)
        fields.done()
        return found

    def named(self, key: Key, fields: Fields, names: Names) -> dict[str, Any]:
        """Return what stands under the names of a mapping."""
        found = {}
        for name in fields.keys():  # noqa: SIM118 Fields is no mapping
            node = fields.node(name)
            if node is None:
                continue
            if not is_name(name):
                text = Text("“{name}” is not a name: lower case, digits, _", name=name)
                self.problems.append(Problem(place=fields.key_place(name), text=text))
            value = self.one(key, node, names)
            if value is not None:
                found[name] = value
        return found

    def one(self, key: Key, node: Node, names: Names) -> Expression | TextTemplate | Script | None:
        """Return one expression, template or script."""
        if not isinstance(node, ScalarNode):
            what = {Form.EXPRESSION: Text("an expression"), Form.TEMPLATE: Text("a text"), Form.SCRIPT: Text("a script")}[
                key.form
            ]
            hint = Text("quote it if it begins with a bracket or a brace")
            self.problem(node, Text("“{key}” is {what}", key=key.name, what=what), hint)
            return None
        if is_empty(node):
            self.problem(node, Text("“{key}” has no value", key=key.name))
            return None
        try:
            match key.form:
                case Form.EXPRESSION:
                    return compile_expression(node, shapes=names.shapes, wants=key.gives)
                case Form.TEMPLATE:
                    from playbooks.templates import compile_template  # with the engine behind it, which diagnoses do not need

                    return compile_template(node, names.shapes)
                case _:
                    return self.script(node)
        except InvalidFile as error:
            self.problems += [_about_secrets(one, names) for one in error.problems]
            return None

    def script(self, node: ScalarNode) -> Script | None:
        """Return a script; one that can be none is a mistake."""
        text = node.text
        if not text.strip():
            self.problem(node, Text("the script is empty"))
        elif len(text) > LONGEST_SCRIPT:
            self.problem(
                node, Text("a script of more than {limit} characters", limit=LONGEST_SCRIPT), Text("put it on the host")
            )
        else:
            return Script(text=text, place=node.place, body=node.body)
        return None

    def literal(self, key: Key, fields: Fields) -> Any:
        """Return a literal of its declared type."""
        match key.type:
            case Type.CHOICE:
                return fields.one_of(key.name, key.choices)
            case Type.LANGUAGES:
                return fields.languages(key.name)
            case Type.TITLE:
                return fields.languages(key.name) if isinstance(fields.node(key.name), MapNode) else fields.text(key.name)
            case Type.BOOL:
                return fields.boolean(key.name)
            case Type.INT:
                return fields.integer(key.name, minimum=key.minimum, maximum=key.maximum)
            case Type.DURATION:
                return self.duration(key, fields)
            case Type.TEXTS:
                return fields.texts(key.name)
            case Type.STATUSES:
                return self.statuses(key, fields)
            case Type.SHAPE:
                return self.shape(key, fields)
            case Type.NAME:
                return self.name(key, fields)
        return fields.text(key.name)

    def name(self, key: Key, fields: Fields) -> str | None:
        """Return a name: lower case, digits, `_`."""
        name = fields.text(key.name)
        if name is not None and not is_name(name):
            fields.problem(fields.place(key.name), Text("“{name}” is not a name: lower case, digits, _", name=name))
            return None
        return name

    def duration(self, key: Key, fields: Fields) -> float | None:
        """Return a duration in seconds, within its bound."""
        seconds = fields.duration(key.name)
        if seconds is not None and not key.minimum <= seconds <= key.maximum:
            text = Text("“{key}” is at most {limit} s", key=key.name, limit=key.maximum)
            fields.problem(fields.place(key.name), text)
            return None
        return seconds

    def statuses(self, key: Key, fields: Fields) -> frozenset[int] | None:
        """Return exit statuses."""
        found = set()
        for node in fields.items(key.name):
            value = plain(node)
            if isinstance(value, bool) or not isinstance(value, int) or not key.minimum <= value <= key.maximum:
                text = Text("an exit status is a number from {first} to {last}", first=key.minimum, last=key.maximum)
                self.problem(node, text)
            else:
                found.add(value)
        return frozenset(found) or None

    def shape(self, key: Key, fields: Fields) -> Shape:
        """Return a declared shape as plain dicts and lists."""
        node = fields.node(key.name)
        shape = None if node is None else unfrozen(plain(node))
        for trouble in shape_problems(shape) if key.name == "shape" and shape is not None else ():
            self.problem(
                node or MapNode(fields.place(), ()), Text("{reason}", reason=trouble), Text("shape: {free_bytes: int}")
            )
        return shape


def unfrozen(value: Any) -> Any:
    """Return read-only values as dicts and lists, as shapes are compared."""
    if isinstance(value, Mapping):
        return {name: unfrozen(below) for name, below in value.items()}
    return [unfrozen(item) for item in value] if isinstance(value, Sequence) and not isinstance(value, str) else value


def _about_secrets(problem: Problem, names: Names) -> Problem:
    """Return a mistake with a better hint where a secret was named."""
    name = problem.text.params.get("name")
    if problem.text.template == "“{name}” is not declared here" and name in names.secrets:
        return replace(problem, hint=Text("it is a secret: only scripts get it, as ${name}", name=name))
    return problem


def is_name(text: str) -> bool:
    """Tell whether a text can name a parameter, a variable or a result: lower case, digits, `_`, no word of ours."""
    return _NAME.fullmatch(text) is not None and text not in RESERVED and not text.startswith("la_")


def is_id(text: str) -> bool:
    """Tell whether a text can name a playbook: lower case, words and hyphens."""
    return _ID.fullmatch(text) is not None
