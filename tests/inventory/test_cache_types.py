"""Whatever a host may hold comes back from the cache as the type that it was: an enum is equal to its text, and is not it."""

from __future__ import annotations

import json
import types
import typing
from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass, replace
from datetime import UTC, datetime
from enum import Enum, StrEnum
from pathlib import Path
from typing import Any

import pytest

import inventory.host
from inventory.cache_file import read_cache, write_cache
from inventory.cache_hosts import HostTable, host_sections
from inventory.cache_values import NotCacheable, packed, unpacked
from inventory.egress import Origin
from inventory.host import Host, Value
from inventory.secret_stores import DeclaredStore
from tests.inventory.typed import typed

LATER = {"DeclaredStore": DeclaredStore, "Origin": Origin}
"""What the modules of hosts and stores know by name alone."""
VALUES: tuple[Value, ...] = ("text", "", 7, 1.0, True, False, None, (1, ("a",), ()), {"a": {"b": (1, 1.0)}})
PLAIN: Mapping[Any, tuple[Any, ...]] = {
    str: ("a text",),
    int: (7,),
    float: (1.0, 2.5),
    bool: (True, False),
    type(None): (None,),
    Path: (Path("/a/file"),),
    datetime: (datetime(2027, 1, 31, tzinfo=UTC),),
}
ENUMS = [one for one in vars(inventory.host).values() if isinstance(one, type) and issubclass(one, Enum) and one is not StrEnum]


def samples(hint: Any, outer: tuple[Any, ...] = ()) -> list[Any]:
    """Return values of a type: of a class of ours, one for each sample of each of its fields; none of one within two such."""
    if isinstance(hint, typing.ForwardRef):  # of `Value`, which holds itself
        return list(VALUES)
    if hint in PLAIN:
        return list(PLAIN[hint])
    origin, parts = typing.get_origin(hint), typing.get_args(hint)
    if origin in (types.UnionType, typing.Union):
        return [one for part in parts for one in samples(part, outer)]
    if origin is tuple and parts[-1] is Ellipsis:
        return [(), *((one, one) for one in samples(parts[0], outer))]
    if origin is tuple:
        each = [samples(part, outer) for part in parts]
        return [tuple(some[at % len(some)] for some in each) for at in range(max(map(len, each)))] if all(each) else []
    if origin is Mapping:
        return [{}, *({"a": one} for one in samples(parts[1], outer))]
    if issubclass(hint, Enum):
        return list(hint)
    assert is_dataclass(hint), f"no samples of {hint}"
    return [] if outer.count(hint) == 2 else list(varied(hint, outer))


def varied(kind: Any, outer: tuple[Any, ...] = (), without: tuple[str, ...] = ()) -> Iterator[Any]:
    hints = typing.get_type_hints(kind, localns=LATER)
    known = {field.name: samples(hints[field.name], (*outer, kind)) for field in fields(kind) if field.name not in without}
    first = kind(**{name: some[0] for name, some in known.items()})
    yield first
    yield from (replace(first, **{name: one}) for name, some in known.items() for one in some[1:])


def inside(value: Any) -> Iterator[Any]:
    """Yield a value and all that it holds."""
    yield value
    if is_dataclass(value):
        value = tuple(getattr(value, field.name) for field in fields(value))
    if isinstance(value, Mapping):
        value = tuple(value.values())
    for one in value if isinstance(value, tuple) else ():
        yield from inside(one)


@pytest.fixture(scope="module")
def hosts() -> Mapping[str, Host]:
    first, *more = varied(Host, without=("via",))
    some = [first, *more, *(replace(one, via=first) for one in (first, more[-1]))]
    return {f"h{number}": replace(host, name=f"h{number}") for number, host in enumerate(some)}


def test_each_field_of_a_host_comes_back_as_what_it_was(hosts: Mapping[str, Host], tmp_path: Path) -> None:
    credentials = [host.credential for host in hosts.values() if host.credential]
    waivers = [waiver for host in hosts.values() for waiver in host.waivers]
    hosts = {name: replace(host, via=hosts["h0"] if host.via else None) for name, host in hosts.items()}
    rest = {"credentials": credentials, "waivers": waivers}
    write_cache(tmp_path / "a.cache", {}, {**host_sections(hosts, credentials, waivers), "rest": packed(rest)})
    file = read_cache(tmp_path / "a.cache")
    assert file is not None
    kept = unpacked(file.section("rest"))
    table = HostTable(file, kept["credentials"], kept["waivers"])
    for name, host in hosts.items():
        assert typed(table[name]) == typed(host)


def test_every_enum_of_a_host_is_among_them(hosts: Mapping[str, Host]) -> None:
    held = [one for host in hosts.values() for one in inside(host) if isinstance(one, Enum)]
    assert set(held) == {member for kind in ENUMS for member in kind}
    assert {"BecomeMethod", "Platform", "SshLibrary", "Transport", "WinrmAuth"} <= {kind.__name__ for kind in ENUMS}


@pytest.mark.parametrize("kind", ENUMS, ids=lambda kind: kind.__name__)
def test_an_enum_is_that_of_the_inventory_again(kind: type[Enum]) -> None:
    for member in kind:
        assert unpacked(json.loads(json.dumps(packed({"a": (member,)}))))["a"][0] is member


class Elsewhere(StrEnum):
    """None that an inventory holds."""

    ONE = "one"


class Marked(str):
    """More than its text."""

    __slots__ = ()


@pytest.mark.parametrize("value", [Elsewhere.ONE, Marked("a"), ("a", Marked("a")), {"a": Elsewhere.ONE}])
def test_what_would_come_back_as_its_text_alone_is_not_kept(value: object) -> None:
    with pytest.raises(NotCacheable):
        packed(value)
