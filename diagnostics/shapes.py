"""Shapes: the declared names, types and units of facts, and whether facts have them.

A shape is a word (`"int bytes"`: type, then unit; `"int?"`: may be absent), `[shape]` for a list,
`{name: shape}` for a mapping with these names, `{"*": shape}` for one with any names.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeAlias

from diagnostics.parsing import INT64, UNSEEN

Shape: TypeAlias = Any
"""A word, a list of one shape or a mapping of shapes; see above."""

TYPES = {"str": str, "int": int, "float": float, "bool": bool}
WORDS = (*TYPES, "at", "any")
AT = {"question": "str", "stream": "str", "first": "int", "last": "int"}
ANY = "any"


class Misfit(Exception):
    """Facts that do not have their declared shape; the message names the path and what stands there."""


def type_of(shape: Shape) -> str:
    """Return the type of a shape: a word without unit, `list` or `map`.

    >>> type_of("int bytes"), type_of("str?"), type_of(["str"]), type_of("at")
    ('int', 'str', 'list', 'map')
    """
    if isinstance(shape, str):
        word = shape.split()[0].removesuffix("?")
        return "map" if word == "at" else word
    return "map" if isinstance(shape, Mapping) else "list"


def optional(shape: Shape) -> bool:
    """Tell whether a value of this shape may be absent."""
    return isinstance(shape, str) and shape.split()[0].endswith("?")


def fields_of(shape: Shape) -> Mapping[str, Shape]:
    """Return the names below a mapping's shape; an empty mapping for everything else."""
    if isinstance(shape, str):
        return AT if shape.split()[0].removesuffix("?") == "at" else {}
    return shape if isinstance(shape, Mapping) else {}


def shape_problems(shape: Shape, path: str = "") -> Iterator[str]:
    """Yield what is wrong with a shape itself: unknown words, lists of other than one shape."""
    if isinstance(shape, str):
        word = (shape.split() or [""])[0].removesuffix("?")
        if word not in WORDS:
            yield f"{path or 'shape'}: not a type: {word or 'nothing'}"
    elif isinstance(shape, Mapping):
        for name, below in shape.items():
            yield from shape_problems(below, f"{path}.{name}" if path else str(name))
    elif isinstance(shape, Sequence) and len(shape) == 1:
        yield from shape_problems(shape[0], f"{path}[]")
    else:
        yield f"{path or 'shape'}: a list is written [shape]"


def fit(value: Any, shape: Shape, path: str = "facts") -> Any:
    """Return the part of `value` that `shape` declares, integers made double where it says so; raise Misfit.

    Absent names stay absent: what needs them is undecided, and says which.

    >>> fit({"total": 3, "load": 1, "other": "x"}, {"total": "int", "load": "float"})
    {'total': 3, 'load': 1.0}
    """
    kind = type_of(shape)
    if kind == "list":
        if not isinstance(value, list | tuple):
            raise Misfit(f"{path}: a list is declared, not {_what(value)}")
        return [fit(item, shape[0], f"{path}[{index}]") for index, item in enumerate(value)]
    if kind == "map":
        return _fit_map(value, fields_of(shape), path)
    return _fit_scalar(value, kind, path)


def _fit_map(value: Any, fields: Mapping[str, Shape], path: str) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        raise Misfit(f"{path}: a mapping is declared, not {_what(value)}")
    if "*" in fields:
        return {str(name): fit(below, fields.get(name, fields["*"]), f"{path}.{name}") for name, below in value.items()}
    return {
        name: fit(value[name], below, f"{path}.{name}")
        for name, below in fields.items()
        if name in value and not (value[name] is None and optional(below))
    }


def _fit_scalar(value: Any, kind: str, path: str) -> Any:
    if kind == "float" and type(value) is int and value in INT64:
        return float(value)
    if kind == ANY or type(value) is TYPES[kind]:
        if not storable(value):
            raise Misfit(f"{path}: a value that cannot be kept: {_what(value)}")
        return value
    raise Misfit(f"{path}: {kind} is declared, not {_what(value)}")


def storable(value: Any) -> bool:
    """Tell whether a value is plain: int64, finite double, text that is UTF-8, and lists and mappings of these."""
    if isinstance(value, bool) or value is None:
        return True
    if isinstance(value, int):
        return value in INT64
    if isinstance(value, float):
        return math.isfinite(value)
    if isinstance(value, str):
        return not any("\ud800" <= character <= "\udfff" for character in value) if not value.isascii() else True
    if isinstance(value, Mapping):
        return all(isinstance(name, str) and storable(name) and storable(below) for name, below in value.items())
    return isinstance(value, list | tuple) and all(map(storable, value))


def misfits(facts: Any, shape: Shape) -> str:
    """Return what is wrong with a parser's facts, undeclared and missing names too; "" where nothing is (for tests)."""
    try:
        fit(facts, shape)
    except Misfit as misfit:
        return str(misfit)
    return next(_strictly(facts, shape, "facts"), "")


def _strictly(value: Any, shape: Shape, path: str) -> Iterator[str]:
    if isinstance(value, Mapping) and type_of(shape) == "map":
        fields = fields_of(shape)
        for name, below in value.items():
            if name not in fields and "*" not in fields:
                yield f"{path}.{name}: not declared"
            else:
                yield from _strictly(below, fields.get(name, fields.get("*")), f"{path}.{name}")
        for name, below in () if UNSEEN in value else fields.items():
            if name not in value and name != "*" and not optional(below) and not isinstance(below, Mapping):
                yield f"{path}.{name}: missing"
    elif isinstance(value, list | tuple) and type_of(shape) == "list":
        for index, item in enumerate(value):
            yield from _strictly(item, shape[0], f"{path}[{index}]")
    elif type_of(shape) == "float" and type(value) is int:
        yield f"{path}: float is declared, not int"


def _what(value: Any) -> str:
    return f"{type(value).__name__} {value!r:.60}"
