"""Reads the declarations of parameters."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace

from inventory.documents import ListNode, Node, ScalarNode
from inventory.errors import Problem, Text
from inventory.fields import Fields
from playbooks.params import LONGEST_PATTERN, TYPES, Param, ParamType, ParamValue, accepted
from playbooks.reading import is_name

_ONLY = {
    "pattern": (ParamType.STRING,),
    "minimum": (ParamType.INT, ParamType.SIZE),
    "maximum": (ParamType.INT, ParamType.SIZE),
    "choices": (ParamType.ENUM,),
}


def read_params(fields: Fields, problems: list[Problem]) -> dict[str, Param]:
    """Return the parameters of a playbook by name."""
    found = {}
    for name in fields.keys():  # noqa: SIM118 Fields is no mapping
        node = fields.node(name)
        if not is_name(name):
            hint = Text("lower case, digits, _")
            fields.problem(fields.key_place(name), Text("“{name}” cannot be the name of a parameter", name=name), hint)
        elif node is not None and (param := read_param(name, node, problems)) is not None:
            found[name] = param
    return found


def read_param(name: str, node: Node, problems: list[Problem]) -> Param | None:
    """Return one parameter, None after a mistake."""
    before = len(problems)
    fields = Fields(node, problems, Text("the parameter “{name}”", name=name))
    kind = ParamType(fields.one_of("type", list(ParamType), required=True))
    for key, kinds in _ONLY.items():
        if fields.has(key) and kind not in kinds:
            text = Text("“{key}” is of {kinds}, not of {kind}", key=key, kinds=", ".join(kinds), kind=kind)
            fields.problem(fields.key_place(key), text)
    choices = fields.texts("choices", required=kind is ParamType.ENUM)
    bare = Param(name=name, type=kind)
    param = Param(
        name=name,
        type=kind,
        pattern=_pattern(fields),
        minimum=_bound(fields, "minimum", bare),
        maximum=_bound(fields, "maximum", bare),
        choices=choices,
        says=fields.languages("says"),
        place=node.place,
    )
    if len(problems) == before:
        param = _with_default(param, fields)
    else:
        fields.has("default")
    fields.done()
    return param if len(problems) == before else None


def _pattern(fields: Fields) -> str | None:
    pattern = fields.text("pattern")
    if pattern is None:
        return None
    if len(pattern) > LONGEST_PATTERN:
        limit = Text("a regular expression of more than {limit} characters", limit=LONGEST_PATTERN)
        fields.problem(fields.place("pattern"), limit)
        return None
    try:
        re.compile(pattern)
    except (re.error, OverflowError, RecursionError) as error:
        fields.problem(fields.place("pattern"), Text("not a regular expression: {reason}", reason=str(error)))
        return None
    return pattern


def _bound(fields: Fields, key: str, bare: Param) -> int | None:
    """Return a bound as the parameter's own type reads it."""
    node = fields.node(key)
    if node is None or bare.type not in _ONLY[key]:
        return None
    value = accepted(bare, node.text) if isinstance(node, ScalarNode) else Text("“{key}” must be a number", key=key)
    if isinstance(value, int):
        return value
    fields.problem(node.place, value if isinstance(value, Text) else Text("“{key}” must be a number", key=key))
    return None


def _with_default(param: Param, fields: Fields) -> Param:
    node = fields.node("default")
    if node is None:
        return param
    if param.type is ParamType.SECRET:
        fields.problem(node.place, Text("a secret has no default"), Text("whoever runs the playbook says it"))
        return param
    given: ParamValue | None = _given(node)
    value = Text("“{key}” has no value", key="default") if given is None else accepted(param, given)
    if isinstance(value, Text):
        fields.problem(node.place, value, TYPES[param.type].says)
        return param
    return replace(param, default=value)


def _given(node: Node) -> str | tuple[str, ...] | None:
    if isinstance(node, ScalarNode):
        return None if node.value is None else node.text
    if isinstance(node, ListNode):
        return tuple(item.text if isinstance(item, ScalarNode) else "" for item in node.items)
    return ""


def params_document(params: Mapping[str, Param]) -> list[dict[str, object]]:
    """Return parameters as documents: what `playbook show` writes."""
    return [
        {
            "name": param.name,
            "type": param.type.value,
            "default": param.default,
            "required": param.required,
            **({"pattern": param.pattern} if param.pattern else {}),
            **({"minimum": param.minimum} if param.minimum is not None else {}),
            **({"maximum": param.maximum} if param.maximum is not None else {}),
            **({"choices": param.choices} if param.choices else {}),
            **({"says": dict(param.says)} if param.says else {}),
        }
        for param in params.values()
    ]
