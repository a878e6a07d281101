"""Parameters of playbooks: what each type takes, as a person types it (`-p keep=200MiB`) and as a file says it."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from typing import Any, Final, TypeAlias

from diagnostics.shapes import Shape
from inventory.errors import LongarmError, Place, Text, UsageError
from inventory.fields import INT64, did_you_mean, parse_duration, parse_size
from inventory.names import host_name, shown
from inventory.secret import Secret

ParamValue: TypeAlias = "str | int | float | bool | tuple[str, ...] | Secret"
"""Sizes are bytes, durations seconds."""
LONGEST_TEXT: Final = 4096
LONGEST_PATTERN: Final = 500
_PATH = re.compile(r"/[^\0-\x1f\x7f]*|[A-Za-z]:\\[^\0-\x1f\x7f<>\"|?*]*|\\\\[^\0-\x1f\x7f<>\"|?*]+")
_WHOLE = re.compile(r"-?[0-9]{1,19}")


class ParamType(StrEnum):
    """What a parameter is."""

    STRING = "string"
    INT = "int"
    SIZE = "size"
    DURATION = "duration"
    ENUM = "enum"
    PATH = "path"
    HOSTS = "hosts"
    SECRET = "secret"  # noqa: S105 (a word of the language)
    BOOL = "bool"


@dataclass(frozen=True, slots=True, kw_only=True)
class Param:
    """One parameter of a playbook."""

    name: str
    type: ParamType
    default: ParamValue | None = None
    """None: whoever runs the playbook says it."""
    pattern: str | None = None
    minimum: int | None = None
    """Of an int, of the bytes of a size."""
    maximum: int | None = None
    choices: tuple[str, ...] = ()
    says: Mapping[str, str] = field(default_factory=dict, hash=False)
    place: Place | None = None

    @property
    def required(self) -> bool:
        """Tell whether it has to be said."""
        return self.default is None


@dataclass(frozen=True, slots=True, kw_only=True)
class TypeRow:
    """What there is to know about one type of parameters."""

    type: ParamType
    shape: Shape
    """In expressions; "" where no expression may see it."""
    schema: Mapping[str, Any]
    """Of a value in a file, as JSON Schema."""
    says: Text
    read: Callable[[Param, str], ParamValue | Text]
    """From what was written to the value, or what is wrong with it."""


def _string(param: Param, text: str) -> ParamValue | Text:
    if "\0" in text or len(text) > LONGEST_TEXT:
        return Text("“{name}” has at most {limit} characters and no NUL", name=param.name, limit=LONGEST_TEXT)
    if param.pattern is not None and not re.fullmatch(param.pattern, text):
        return Text("“{name}” must match {pattern}, not “{value}”", name=param.name, pattern=param.pattern, value=shown(text))
    return text


def _int(param: Param, text: str) -> ParamValue | Text:
    if not _WHOLE.fullmatch(text) or not -INT64 <= int(text) <= INT64:
        return Text("“{key}” must be a whole number", key=param.name)
    return _within(param, int(text))


def _size(param: Param, text: str) -> ParamValue | Text:
    size = parse_size(text)
    return Text("“{key}” must be a size such as 200 MiB or 2 GB", key=param.name) if size is None else _within(param, size)


def _within(param: Param, value: int) -> ParamValue | Text:
    if param.minimum is not None and value < param.minimum:
        return Text("“{name}” is at least {limit}", name=param.name, limit=param.minimum)
    if param.maximum is not None and value > param.maximum:
        return Text("“{name}” is at most {limit}", name=param.name, limit=param.maximum)
    return value


def _duration(param: Param, text: str) -> ParamValue | Text:
    seconds = parse_duration(text)
    return Text("“{key}” must be a duration such as 90s, 2m or 1h", key=param.name) if seconds is None else seconds


def _enum(param: Param, text: str) -> ParamValue | Text:
    if text in param.choices:
        return text
    return Text(
        "“{name}” is one of {choices}, not “{value}”", name=param.name, choices=", ".join(param.choices), value=shown(text)
    )


def _path(param: Param, text: str) -> ParamValue | Text:
    if not _PATH.fullmatch(text) or len(text) > LONGEST_TEXT:
        return Text("“{name}” must be an absolute path such as /var/log, not “{value}”", name=param.name, value=shown(text))
    if ".." in re.split(r"[/\\]", text):
        return Text("“{name}” has no “..” in it", name=param.name)
    return text


def _hosts(param: Param, text: str) -> ParamValue | Text:
    names = [name for name in re.split(r"[,\s]+", text) if name]
    try:
        return tuple(host_name(name) for name in names)
    except LongarmError as error:
        return Text("“{name}” is a list of host names: {reason}", name=param.name, reason=error.text)


def _secret(param: Param, text: str) -> ParamValue | Text:
    return Text("“{name}” has no NUL in it", name=param.name) if "\0" in text else Secret(text)


def _bool(param: Param, text: str) -> ParamValue | Text:
    if text not in ("true", "false"):
        return Text("“{key}” must be true or false", key=param.name)
    return text == "true"


TYPES: Final = {
    row.type: row
    for row in (
        TypeRow(
            type=ParamType.STRING,
            shape="str",
            schema={"type": ["string", "number", "boolean"]},
            says=Text("a text; `pattern` is a regular expression that all of it matches"),
            read=_string,
        ),
        TypeRow(
            type=ParamType.INT,
            shape="int",
            schema={"type": "integer"},
            says=Text("a whole number; `minimum`, `maximum`"),
            read=_int,
        ),
        TypeRow(
            type=ParamType.SIZE,
            shape="int bytes",
            schema={"type": ["string", "integer"], "pattern": r"^[0-9]+(\.[0-9]+)? ?([kKMGT]?B|[KMGT]iB)?$"},
            says=Text("a size such as 200 MiB; scripts and expressions get bytes"),
            read=_size,
        ),
        TypeRow(
            type=ParamType.DURATION,
            shape="duration",
            schema={"type": "string", "pattern": r"^[0-9]+(\.[0-9]+)? ?(ms|s|m|h|d)$"},
            says=Text("a duration such as 90s; scripts get seconds, expressions a duration"),
            read=_duration,
        ),
        TypeRow(
            type=ParamType.ENUM,
            shape="str",
            schema={"type": ["string", "number", "boolean"]},
            says=Text("one of `choices`"),
            read=_enum,
        ),
        TypeRow(
            type=ParamType.PATH,
            shape="str",
            schema={"type": "string", "pattern": r"^(/|[A-Za-z]:\\|\\\\)"},
            says=Text("an absolute path, without “..”"),
            read=_path,
        ),
        TypeRow(
            type=ParamType.HOSTS,
            shape=["str"],
            schema={"type": ["array", "string"], "items": {"type": "string"}},
            says=Text("names of hosts; scripts get one a line"),
            read=_hosts,
        ),
        TypeRow(
            type=ParamType.SECRET,
            shape="",
            schema={"not": {}},
            says=Text("a secret: only scripts get it, never an expression or a template; it has no default"),
            read=_secret,
        ),
        TypeRow(
            type=ParamType.BOOL,
            shape="bool",
            schema={"type": "boolean"},
            says=Text("true or false; sh gets 1 or an empty text"),
            read=_bool,
        ),
    )
}
"""Every type there is."""


class BadParams(UsageError):
    """Parameters that a playbook does not take; `problems` names each."""

    def __init__(self, problems: tuple[Text, ...], hint: Text | None = None) -> None:
        self.problems = problems
        super().__init__(Text("{details}", details="; ".join(map(str, problems))) if len(problems) > 1 else problems[0], hint)


def accepted(param: Param, given: ParamValue) -> ParamValue | Text:
    """Return a value as the parameter's type has it, or what is wrong with it; texts are read, other values must fit.

    >>> accepted(Param(name="keep", type=ParamType.SIZE), "200 MiB")
    209715200
    >>> str(accepted(Param(name="n", type=ParamType.INT, maximum=3), 4))
    '“n” is at most 3'
    """
    match given:
        case Secret():
            return given if param.type is ParamType.SECRET else Text("“{name}” is no secret", name=param.name)
        case tuple():
            return TYPES[param.type].read(param, ",".join(given))
        case bool():
            return TYPES[param.type].read(param, "true" if given else "false")
        case float() if param.type is ParamType.DURATION:
            return given
        case _:
            return TYPES[param.type].read(param, str(given))


def settled_params(params: Mapping[str, Param], given: Mapping[str, ParamValue]) -> dict[str, ParamValue]:
    """Return the value of every parameter, defaults included; raise BadParams that names everything that is wrong."""
    problems = [Text("there is no parameter “{name}”", name=name) for name in given if name not in params]
    hint = next((did_you_mean(name, params) for name in given if name not in params), None)
    found: dict[str, ParamValue] = {}
    for name, param in params.items():
        value = accepted(param, given[name]) if name in given else param.default
        if value is None:
            problems.append(Text("the parameter “{name}” has to be said", name=name))
            hint = hint or Text("-p {name}=…", name=name)
        elif isinstance(value, Text):
            problems.append(value)
        else:
            found[name] = value
    if problems:
        raise BadParams(tuple(problems), hint)
    return found


def in_expressions(params: Mapping[str, Param], values: Mapping[str, ParamValue]) -> dict[str, Any]:
    """Return what expressions and templates see of the parameters: all but the secrets."""
    return {name: _seen(params[name], value) for name, value in values.items() if params[name].type is not ParamType.SECRET}


def _seen(param: Param, value: ParamValue) -> Any:
    if param.type is ParamType.DURATION and isinstance(value, int | float):
        return timedelta(seconds=value)
    return list(value) if isinstance(value, tuple) else value


def shapes_of(params: Mapping[str, Param]) -> dict[str, Shape]:
    """Return the shapes of what expressions see of the parameters."""
    return {name: TYPES[param.type].shape for name, param in params.items() if param.type is not ParamType.SECRET}


def plain(value: Any) -> str:
    """Return a parameter as a command line says it.

    >>> plain(True), plain(["db1", "db2"]), plain(209715200)
    ('true', 'db1,db2', '209715200')
    """
    match value:
        case bool():
            return "true" if value else "false"
        case list() | tuple():
            return ",".join(map(str, value))
    return str(value)


def _typed(value: Any) -> str:
    """Return a parameter as it is typed: a duration, which no other parameter's value is like, with its unit."""
    return f"{value:f}".rstrip("0").rstrip(".") + "s" if isinstance(value, float) else plain(value)


def given_words(params: Mapping[str, Any], secrets: Mapping[str, str]) -> tuple[str, ...]:
    """Return the words of a command line that give parameters; of a secret, where it is kept.

    >>> given_words({"most": 5, "settle": 30.0, "every": 0.5}, {"password": "env:PW"})
    ('-p', 'every=0.5s', '-p', 'most=5', '-p', 'settle=30s', '-p', 'password=env:PW')
    """
    given = [*sorted((name, _typed(value)) for name, value in params.items() if name not in secrets), *sorted(secrets.items())]
    return tuple(word for name, value in given for word in ("-p", f"{name}={value}"))
