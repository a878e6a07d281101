"""Values of an inventory as JSON and back, for the cache: a closed list of types, so that what is read can be nothing else."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass
from datetime import datetime, timedelta
from enum import Enum
from importlib import import_module
from pathlib import Path
from types import MappingProxyType, NoneType
from typing import Any

import inventory.host
from inventory.errors import Place, Problem, Text
from inventory.host import Value

_KIND = "\0"
"""The key that marks a mapping as a value of one of our types; no key of an inventory can be it."""
SIMPLE = frozenset((NoneType, bool, int, float, str))
"""Types that JSON has itself; a class made of one, as an enum is, would come back as that one."""
_OF_HOSTS = tuple(one for one in vars(inventory.host).values() if is_dataclass(one) and isinstance(one, type))
_ENUMS: tuple[type[Enum], ...] = tuple(
    one
    for one in vars(inventory.host).values()
    if isinstance(one, type) and issubclass(one, Enum) and one.__module__ == inventory.host.__name__
)
_PLAIN: tuple[type, ...] = (*_OF_HOSTS, Place, Problem)
_STORES = "inventory.secret_stores"
_ELSEWHERE: Mapping[str, str] = {
    "AskpassProgram": _STORES,
    "AnsibleVaultFile": _STORES,
    "VaultServer": _STORES,
    "Origin": "inventory.egress",
}
"""Types of modules that only who declares a store of secrets pays for."""


class NotCacheable(Exception):
    """A value that the cache has no form for."""


def packed(value: object) -> Any:
    """Return a value as JSON has it; raises NotCacheable."""
    if type(value) in SIMPLE:
        return value
    match value:
        case tuple() | list():
            return [packed(item) for item in value]
        case Mapping():
            return {str(key): packed(item) for key, item in value.items()}
        case Text():
            return {_KIND: "Text", "template": value.template, "params": packed(value.params)}
        case datetime():
            return {_KIND: "datetime", "at": value.isoformat()}
        case timedelta():
            return {_KIND: "timedelta", "s": value.total_seconds()}
        case Path():
            return {_KIND: "Path", "path": str(value)}
    name = type(value).__name__
    if isinstance(value, _ENUMS):
        return {_KIND: name, "value": value.value}
    if type(value) in _PLAIN or _ELSEWHERE.get(name) == type(value).__module__:
        return {_KIND: name, **{field.name: packed(getattr(value, field.name)) for field in fields(value)}}  # type: ignore[arg-type]
    raise NotCacheable(name)


def unpacked(value: Any) -> Any:
    """Return the value that JSON holds: lists as tuples, mappings read-only."""
    if isinstance(value, list):
        return tuple(unpacked(item) for item in value)
    if not isinstance(value, dict):
        return value
    if (kind := value.get(_KIND)) is None:
        return MappingProxyType({key: unpacked(item) for key, item in value.items()})
    values = {key: unpacked(item) for key, item in value.items() if key != _KIND}
    if kind in _ELSEWHERE:
        return getattr(import_module(_ELSEWHERE[kind]), kind)(**values)
    return _MADE[kind](values)


def _plain(kind: type) -> Callable[[Mapping[str, Any]], object]:
    return lambda values: kind(**values)


def _member(kind: type[Enum]) -> Callable[[Mapping[str, Any]], object]:
    return lambda values: kind(values["value"])


_MADE: Mapping[str, Callable[[Mapping[str, Any]], object]] = {
    **{kind.__name__: _plain(kind) for kind in _PLAIN},
    **{kind.__name__: _member(kind) for kind in _ENUMS},
    "Text": lambda values: Text(values["template"], **values["params"]),
    "datetime": lambda values: datetime.fromisoformat(values["at"]),
    "timedelta": lambda values: timedelta(seconds=values["s"]),
    "Path": lambda values: Path(values["path"]),
}


def variables(value: Any) -> Value:
    """Return the value of a variable, which is plain at every depth."""
    if isinstance(value, dict):
        return MappingProxyType({key: variables(item) for key, item in value.items()})
    return tuple(variables(item) for item in value) if isinstance(value, list) else value
