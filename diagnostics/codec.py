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
from collections.abc import Mapping
from dataclasses import MISSING, fields, is_dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, TypeVar, Union

from inventory.errors import LongarmError, Text

T = TypeVar("T")
_SCALARS = (str, int, float, bool, type(None))


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
    pass


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
        _check_names(set(document), {*parts, "format"}, "document")
        return tuple(from_plain(kind, document.get(name), name) for name, kind in parts.items())
    except (_Misfit, ValueError, RecursionError, OverflowError) as misfit:
        raise NotReadable(format_name, str(misfit)) from None


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
    if isinstance(value, StrEnum):
        return value.value
    if isinstance(value, _SCALARS):
        return value
    if isinstance(value, bytes):
        return _plain_bytes(value)
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat()
    if is_dataclass(value):
        return {field.name: to_plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, Mapping):
        return {str(name): to_plain(below) for name, below in value.items()}
    if isinstance(value, list | tuple):
        return [to_plain(item) for item in value]
    raise TypeError(f"{type(value).__name__} has no form in JSON")


def _plain_bytes(value: bytes) -> dict[str, str]:
    try:
        return {"text": value.decode()}
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(value).decode()}


def from_plain(kind: Any, value: Any, path: str = "") -> Any:
    """Return the value of a declared type that JSON holds; raise where it does not fit."""
    origin = typing.get_origin(kind)
    if origin in (Union, types.UnionType):
        return _one_of(typing.get_args(kind), value, path)
    if origin is tuple:
        return tuple(
            from_plain(typing.get_args(kind)[0], item, f"{path}[{at}]") for at, item in enumerate(_is(list, value, path))
        )
    if origin is not None and issubclass(origin, Mapping):
        below = typing.get_args(kind)[1]
        return {name: from_plain(below, item, f"{path}.{name}") for name, item in _is(dict, value, path).items()}
    if is_dataclass(kind):
        return _dataclass(kind, _is(dict, value, path), path)
    if kind is bytes:
        return _bytes(_is(dict, value, path), path)
    if kind is datetime:
        return _time(_is(str, value, path), path)
    if isinstance(kind, type) and issubclass(kind, StrEnum):
        return kind(_is(str, value, path))
    return _is(kind, value, path)


def _is(kind: Any, value: Any, path: str) -> Any:
    if type(value) is kind or (kind is float and type(value) is int) or kind is Any:
        return value
    raise _Misfit(f"{path}: {kind} is expected, not {type(value).__name__}")


def _one_of(kinds: tuple[Any, ...], value: Any, path: str) -> Any:
    for kind in kinds:
        if kind is type(None) and value is None:
            return None
        if kind in _SCALARS and type(value) is kind:
            return value
    for kind in kinds:
        if kind not in _SCALARS and value is not None:
            return from_plain(kind, value, path)
    raise _Misfit(f"{path}: {type(value).__name__} is not expected")


def _check_names(found: set[str], known: set[str], path: str) -> None:
    if unknown := found - known:
        raise _Misfit(f"{path}: unknown names: {', '.join(sorted(unknown))}")


@functools.cache
def _hints(kind: type[Any]) -> dict[str, Any]:
    return typing.get_type_hints(kind)


def _dataclass(kind: Any, value: dict[str, Any], path: str) -> Any:
    declared = {field.name: field for field in fields(kind)}
    _check_names(set(value), set(declared), path)
    given = {name: from_plain(_hints(kind)[name], item, f"{path}.{name}") for name, item in value.items()}
    for name, field in declared.items():
        if name not in given and field.default is MISSING and field.default_factory is MISSING:
            raise _Misfit(f"{path}: {name} is missing")
    return kind(**given)


def _bytes(value: dict[str, Any], path: str) -> bytes:
    if set(value) == {"text"} and isinstance(value["text"], str):
        return value["text"].encode()
    if set(value) == {"base64"} and isinstance(value["base64"], str):
        try:
            return base64.b64decode(value["base64"], validate=True)
        except binascii.Error as error:
            raise _Misfit(f"{path}: {error}") from None
    raise _Misfit(f"{path}: text or base64 is expected")


def _time(value: str, path: str) -> datetime:
    time = datetime.fromisoformat(value)
    if time.tzinfo is None:
        raise _Misfit(f"{path}: a time without zone")
    return time.astimezone(UTC)
