"""Frozen values to canonical JSON and back: sorted keys, UTF-8, bytes kept exactly, the same bytes every time.

Bytes are `{"text": …}` where they are UTF-8 and `{"base64": …}` where not; times are ISO 8601 in UTC. Reading is
by the declared types of the dataclasses: what does not fit them is refused, a field that an older format lacks
takes its default.
"""

from __future__ import annotations

import base64
import binascii
import functools
import json
import types
import typing
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import MISSING, fields, is_dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, TypeAlias, TypeVar, Union

from inventory.errors import LongarmError, Text

T = TypeVar("T")
_SCALARS = (str, int, float, bool, type(None))

Reader: TypeAlias = Callable[[Any], Any]


class NotReadable(LongarmError):
    """Stored bytes that are not what they should be; `detail` says where they differ."""

    def __init__(self, format_name: str, detail: str) -> None:
        self.format_name, self.detail = format_name, detail
        super().__init__(Text("not readable as {format}: {detail}", format=format_name, detail=detail[:200]))


class FormatTooNew(LongarmError):
    """Bytes that a later release wrote; guessing at them could turn what it says into something else."""

    def __init__(self, found: str, known: str) -> None:
        self.found, self.known = found, known
        super().__init__(
            Text("written in the format {found}, this release reads up to {known}", found=found, known=known),
            Text("use a longarm at least as new as the one that wrote it"),
        )


class _Misfit(Exception):
    """A value that is not of its declared type; the way to it is told on the way out: what fits pays nothing."""

    def __init__(self, words: str, way: str = "") -> None:
        self.words, self.way = words, way
        super().__init__(f"{way.removeprefix('.')}: {words}")

    def under(self, name: str) -> _Misfit:
        """Return it as seen from one level up."""
        return _Misfit(self.words, f"{name}{self.way}")


def encode(format_name: str, **parts: object) -> bytes:
    """Return the canonical JSON of a document: its format (`name/version`) and its parts."""
    document = {"format": format_name} | {name: to_plain(value) for name, value in parts.items()}
    text = json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return text.encode("utf-8", "backslashreplace") + b"\n"  # a lone surrogate becomes its JSON escape, and comes back


def decode(format_name: str, data: bytes, **parts: type[Any]) -> tuple[Any, ...]:
    """Return the parts of a document in the order asked for; raise FormatTooNew or NotReadable."""
    try:
        document = json.loads(data, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise NotReadable(format_name, str(error)) from None
    _check_format(format_name, document)
    try:
        _check_names(document, {*parts, "format"})
        return tuple(_part(name, kind, document.get(name)) for name, kind in parts.items())
    except (_Misfit, ValueError, RecursionError, OverflowError) as misfit:
        raise NotReadable(format_name, str(misfit)) from None


def _part(name: str, kind: Any, value: Any) -> Any:
    try:
        return from_plain(kind, value)
    except _Misfit as misfit:
        raise misfit.under(name) from None


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is no number")


def _check_format(format_name: str, document: object) -> None:
    found = document.get("format") if isinstance(document, dict) else None
    name, _, version = format_name.partition("/")
    other, _, its_version = str(found).partition("/")
    if other != name or not its_version.isdecimal():
        raise NotReadable(format_name, f"its format is {found!r:.60}")
    if int(its_version) > int(version):
        raise FormatTooNew(str(found), format_name)


def to_plain(value: Any) -> Any:
    """Return a value as JSON can hold it."""
    kind: Any = type(value)
    return _writer(kind)(value)


@functools.cache
def _writer(kind: Any) -> Callable[[Any], Any]:
    """Return what makes values of a type plain; a type is looked at once, not once for each value."""
    if issubclass(kind, StrEnum):
        return lambda value: value.value
    if issubclass(kind, _SCALARS):
        return lambda value: value
    if issubclass(kind, bytes):
        return _plain_bytes
    if issubclass(kind, datetime):
        return lambda value: value.astimezone(UTC).isoformat()
    if is_dataclass(kind):
        names = tuple(field.name for field in fields(kind))
        return lambda value: {name: to_plain(getattr(value, name)) for name in names}
    if issubclass(kind, Mapping):
        return lambda value: {str(name): to_plain(below) for name, below in value.items()}
    if issubclass(kind, list | tuple):
        return lambda value: [to_plain(item) for item in value]
    raise TypeError(f"{kind.__name__} has no form in JSON")


def _plain_bytes(value: bytes) -> dict[str, str]:
    try:
        return {"text": value.decode()}
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(value).decode()}


def from_plain(kind: Any, value: Any) -> Any:
    """Return the value of a declared type that JSON holds; raise where it does not fit."""
    return _reader(kind)(value)


@functools.cache
def _reader(kind: Any) -> Reader:
    """Return what reads values of a declared type; a declaration is taken apart once, not once for each value."""
    origin = typing.get_origin(kind)
    if origin in (Union, types.UnionType):
        return _one_of(typing.get_args(kind))
    if origin is tuple:
        return _tuple(typing.get_args(kind)[0])
    if origin is not None and issubclass(origin, Mapping):
        return _mapping(typing.get_args(kind)[1])
    if is_dataclass(kind):
        return _dataclass(kind)
    if kind is bytes:
        return lambda value: _bytes(_is(dict, value))
    if kind is datetime:
        return lambda value: _time(_is(str, value))
    if isinstance(kind, type) and issubclass(kind, StrEnum):
        return lambda value: kind(_is(str, value))
    return lambda value: _is(kind, value)


def _is(kind: Any, value: Any) -> Any:
    if type(value) is kind or (kind is float and type(value) is int) or kind is Any:
        return value
    raise _Misfit(f"{kind} is expected, not {type(value).__name__}")


def _tuple(item: Any) -> Reader:
    def read(value: Any) -> Any:
        reader, at = _reader(item), 0
        items = []
        try:
            for at, one in enumerate(_is(list, value)):  # noqa: B007 (told where it fails)
                items.append(reader(one))
        except _Misfit as misfit:
            raise misfit.under(f"[{at}]") from None
        return tuple(items)

    return read


def _mapping(below: Any) -> Reader:
    def read(value: Any) -> Any:
        reader, given = _reader(below), {}
        for name, item in _is(dict, value).items():
            try:
                given[name] = reader(item)
            except _Misfit as misfit:
                raise misfit.under(f".{name}") from None
        return given

    return read


def _one_of(kinds: tuple[Any, ...]) -> Reader:
    scalars = frozenset(kind for kind in kinds if kind in _SCALARS)
    first = next((kind for kind in kinds if kind not in _SCALARS), None)

    def read(value: Any) -> Any:
        if type(value) in scalars:
            return value
        if first is not None and value is not None:
            return _reader(first)(value)
        raise _Misfit(f"{type(value).__name__} is not expected")

    return read


def _check_names(found: Iterable[str], known: Collection[str]) -> None:
    if unknown := [name for name in found if name not in known]:
        raise _Misfit(f"unknown names: {', '.join(sorted(unknown))}")


def _dataclass(kind: Any) -> Reader:
    hints = typing.get_type_hints(kind)
    readers = {field.name: _reader(hints[field.name]) for field in fields(kind)}
    required = [field.name for field in fields(kind) if field.default is MISSING and field.default_factory is MISSING]
    every = len(readers)

    def read(value: Any) -> Any:
        if not _is(dict, value).keys() <= readers.keys():
            _check_names(value, readers)
        given = {}
        for name, item in value.items():
            try:
                given[name] = readers[name](item)
            except _Misfit as misfit:
                raise misfit.under(f".{name}") from None
        for name in required if len(given) < every else ():
            if name not in given:
                raise _Misfit(f"{name} is missing")
        return kind(**given)

    return read


def _bytes(value: dict[str, Any]) -> bytes:
    if set(value) == {"text"} and isinstance(value["text"], str):
        return value["text"].encode()
    if set(value) == {"base64"} and isinstance(value["base64"], str):
        try:
            return base64.b64decode(value["base64"], validate=True)
        except binascii.Error as error:
            raise _Misfit(str(error)) from None
    raise _Misfit("text or base64 is expected")


def _time(value: str) -> datetime:
    time = datetime.fromisoformat(value)
    if time.tzinfo is None:
        raise _Misfit("a time without zone")
    return time.astimezone(UTC)
