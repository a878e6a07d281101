"""What a key of a playbook is, said once: the loader, the JSON Schema, lint and the documentation read this.

Each key is exactly one of four forms. Who writes a playbook therefore never has to guess whether a text is evaluated.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from inventory.errors import Place, Text
from inventory.fields import LANGUAGES


class Form(StrEnum):
    """How the text of a key is taken."""

    LITERAL = "literal"  # as it stands
    EXPRESSION = "expression"  # CEL, evaluated on the host's values
    TEMPLATE = "template"  # text with values in it, rendered once
    SCRIPT = "script"  # for sh or PowerShell, as it stands; values are in variables


class Type(StrEnum):
    """What a literal is."""

    TEXT = "text"
    NAME = "name"
    LANGUAGES = "languages"
    TITLE = "title"  # one text, or one in every language
    CHOICE = "choice"
    BOOL = "bool"
    INT = "int"
    DURATION = "duration"
    TEXTS = "texts"
    STATUSES = "statuses"
    SHAPE = "shape"
    PARAM = "param"
    PARAMS = "params"
    STEPS = "steps"
    CHECKS = "checks"
    MAPPING = "mapping"


class Many(StrEnum):
    """How many of its form a key takes."""

    ONE = "one"
    LIST = "list"  # or one alone
    NAMED = "named"  # a mapping of names to it


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """The declaration of one key."""

    name: str
    says: Text
    form: Form = Form.LITERAL
    type: Type = Type.TEXT
    """Of a literal."""
    many: Many = Many.ONE
    required: bool = False
    choices: tuple[str, ...] = ()
    minimum: int = 0
    """Of an int and of exit statuses; of a duration in seconds it may be equal to."""
    maximum: int = 1_000_000_000
    gives: tuple[str, ...] = ()
    """The types that an expression may have; all where empty."""
    below: tuple[Key, ...] = ()
    """The keys of a mapping."""
    short: str = ""
    """Of a mapping: the key that is meant where one value stands in its place (`verify: [fs-space]`)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Script:
    """The text of a script with the place of its first character."""

    text: str
    place: Place
    body: Place | None = None
    """Where its text begins in the file; None where lines of the two do not match."""

    def at(self, line: int, column: int) -> Place:
        """Return where a line and column of the script (both from 1) stand in the file."""
        if self.body is None:
            return self.place
        indent = self.body.column - 1
        return Place(self.body.file, self.body.line + line - 1, column + indent)


SCALARS: Final = ("str", "int", "float", "bool")
"""What a variable of a script may be made from."""

NAME_PATTERN: Final = r"^[a-z][a-z0-9_]*$"
ID_PATTERN: Final = r"^[a-z0-9]+(-[a-z0-9]+)*$"
_DURATION: Final = {"type": "string", "pattern": r"^[0-9]+(\.[0-9]+)? ?(ms|s|m|h|d)$"}
_SCALAR: Final = {"type": ["string", "number", "boolean"]}


def schema_of_keys(keys: Sequence[Key], say: Callable[[Text], str], **also: Any) -> dict[str, Any]:
    """Return the JSON Schema of a mapping with these keys."""
    required = [key.name for key in keys if key.required]
    return {
        "type": "object",
        "properties": {key.name: schema_of(key, say) for key in keys},
        "additionalProperties": False,
        **({"required": required} if required else {}),
        **also,
    }


def schema_of(key: Key, say: Callable[[Text], str]) -> dict[str, Any]:
    """Return the JSON Schema of what stands behind a key; its description says the form."""
    one = _one(key, say)
    match key.many:
        case Many.LIST:
            one = {"anyOf": [one, {"type": "array", "items": one, "minItems": 1}]}
        case Many.NAMED:
            one = {"type": "object", "propertyNames": {"pattern": NAME_PATTERN}, "additionalProperties": one}
    kind = key.form.value if key.form is not Form.LITERAL else key.type.value
    return {"description": f"{say(key.says)} ({kind})", **one}


def _one(key: Key, say: Callable[[Text], str]) -> dict[str, Any]:
    if key.form is not Form.LITERAL:
        return dict(_SCALAR)
    if key.type is Type.MAPPING:
        mapping = schema_of_keys(key.below, say)
        if not key.short:
            return mapping
        short = next(schema_of(below, say) for below in key.below if below.name == key.short)
        return {"anyOf": [mapping, short]}
    return dict(_LITERALS[key.type](key))


_LANGUAGES: Final[Mapping[str, Any]] = {
    "type": "object",
    "properties": {language: {"type": "string"} for language in LANGUAGES},
    "required": list(LANGUAGES),
    "additionalProperties": False,
}
_LITERALS: Final[Mapping[Type, Any]] = {
    Type.TEXT: lambda _: _SCALAR,
    Type.NAME: lambda _: {"type": "string", "pattern": NAME_PATTERN},
    Type.LANGUAGES: lambda _: _LANGUAGES,
    Type.TITLE: lambda _: {"anyOf": [_LANGUAGES, _SCALAR]},
    Type.CHOICE: lambda key: {"enum": list(key.choices)},
    Type.BOOL: lambda _: {"type": "boolean"},
    Type.INT: lambda key: {"type": "integer", "minimum": key.minimum, "maximum": key.maximum},
    Type.DURATION: lambda _: _DURATION,
    Type.TEXTS: lambda _: {"anyOf": [{"type": "array", "items": {"type": "string"}}, {"type": "string"}]},
    Type.STATUSES: lambda key: {
        "type": "array",
        "items": {"type": "integer", "minimum": key.minimum, "maximum": key.maximum},
        "minItems": 1,
    },
    Type.SHAPE: lambda _: {"type": ["object", "array", "string"]},
    Type.PARAM: lambda _: {"$ref": "#/$defs/param"},
    Type.PARAMS: lambda _: {
        "type": "object",
        "propertyNames": {"pattern": NAME_PATTERN},
        "additionalProperties": {"$ref": "#/$defs/param"},
    },
    Type.STEPS: lambda _: {"type": "array", "items": {"$ref": "#/$defs/step"}, "minItems": 1},
    Type.CHECKS: lambda _: {"type": "array", "items": {"$ref": "#/$defs/check"}, "minItems": 1},
}
