"""The hosts of a cached inventory: each is made when it is first asked for, and found by columns without being made."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import fields
from types import MappingProxyType
from typing import Any

from inventory.cache_file import CacheFile
from inventory.cache_values import SIMPLE, packed, unpacked, variables
from inventory.errors import Place
from inventory.host import CredentialReference, Expectations, Host, Platform, Transport, Waiver
from inventory.matching import KEYS, Columns

BLOCK = 256
"""How many hosts are decoded together."""
_OF_RECORDS = (
    *("name", "address", "port", "transport", "platform", "groups", "site", "customer", "tags", "vars", "credential", "via"),
    *("expect", "places", "origins", "address_place", "waivers", "place"),
)
_REST = {field.name: field.default for field in fields(Host) if field.name not in _OF_RECORDS}
"""What few hosts have, with what the others have instead."""
_PLATFORMS = {platform.value: platform for platform in Platform}
_TRANSPORTS = {transport.value: transport for transport in Transport}
_EXPECTED_NOTHING = Expectations()
_NO_PLACES: Mapping[str, Place] = MappingProxyType({})


def host_sections(
    hosts: Mapping[str, Host], credentials: Sequence[CredentialReference], waivers: Sequence[Waiver]
) -> dict[str, Any]:
    """Return the sections that hold hosts; raises NotCacheable."""
    packer = _Packer(hosts, credentials, waivers)
    records = [packer.record(host) for host in hosts.values()]
    blocks = {f"block {start}": records[start : start + BLOCK] for start in range(0, len(records), BLOCK)}
    columns = {f"column {key}": _column(hosts, key) for key in KEYS if key != "name"}
    return {"names": list(hosts), **columns, "files": list(packer.files), "shared": packer.shared, **blocks}


def _column(hosts: Mapping[str, Host], key: str) -> list[Any]:
    """Return the different values that a key has, and which of them each host has."""
    known: dict[tuple[str, ...], int] = {}
    read = KEYS[key]
    codes = [known.setdefault(tuple(text for text in read(host) if text is not None), len(known)) for host in hosts.values()]
    return [list(known), codes]


class _Packer:
    """Makes records of hosts; what several hosts have in common is packed once, in `shared`."""

    def __init__(
        self, hosts: Mapping[str, Host], credentials: Sequence[CredentialReference], waivers: Sequence[Waiver]
    ) -> None:
        self.files: dict[str, int] = {}
        self.shared: list[Any] = []
        self._positions = {name: position for position, name in enumerate(hosts)}
        self._credentials = {id(one): number for number, one in enumerate(credentials)}
        self._waivers = {id(one): number for number, one in enumerate(waivers)}
        self._seen: dict[int, int] = {}
        self._numbers: dict[int, int] = {}
        for host in hosts.values():
            for one in (host.vars, host.origins, host.places):
                self._seen[id(one)] = self._seen.get(id(one), 0) + 1

    def record(self, host: Host) -> list[Any]:
        """Return a host as a list; `_made` reads it in this order."""
        expect = host.expect
        return [
            host.address,
            host.port,
            host.transport.value,
            host.platform.value,
            host.groups,
            host.site,
            host.customer,
            host.tags,
            self._once(host.vars),
            -1 if host.credential is None else self._credentials[id(host.credential)],
            None if host.via is None else self._positions[host.via.name],
            None if expect == _EXPECTED_NOTHING else [expect.services, expect.ports, expect.names],
            self._once(host.places),
            self._once(host.origins),
            self._place(host.address_place),
            [self._waivers[id(one)] for one in host.waivers],
            self._place(host.place),
            {name: packed(value) for name, default in _REST.items() if (value := getattr(host, name)) != default},
        ]

    def _once(self, mapping: Mapping[str, Any]) -> Any:
        """Return a mapping, or its number in `shared` where several hosts have the very same one."""
        if self._seen[id(mapping)] == 1:
            return self._mapping(mapping)
        if id(mapping) not in self._numbers:
            self._numbers[id(mapping)] = len(self.shared)
            self.shared.append(self._mapping(mapping))
        return self._numbers[id(mapping)]

    def _mapping(self, mapping: Mapping[str, Any]) -> dict[str, Any]:
        return {
            key: value if type(value) in SIMPLE else self._place(value) if isinstance(value, Place) else packed(value)
            for key, value in mapping.items()
        }

    def _place(self, place: Place | None) -> list[int] | None:
        if place is None:
            return None
        return [self.files.setdefault(place.file, len(self.files)), place.line, place.column]


class Places(Mapping[str, Place]):
    """Places by key, made when one is asked for: a host has many, and hardly anybody asks."""

    __slots__ = ("_files", "_places")

    def __init__(self, places: Mapping[str, Sequence[int]], files: Sequence[str]) -> None:
        self._places, self._files = places, files

    def __getitem__(self, key: str) -> Place:
        file, line, column = self._places[key]
        return Place(self._files[file], line, column)

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)


class HostTable(Mapping[str, Host], Columns):
    """The hosts by name, and by their position."""

    def __init__(self, file: CacheFile, credentials: Sequence[CredentialReference], waivers: Sequence[Waiver]) -> None:
        self._file, self._credentials, self._waivers = file, credentials, waivers
        self.names: Sequence[str] = file.section("names")
        self._files: Sequence[str] = file.section("files")
        self._positions: dict[str, int] = {}
        self._made: dict[int, Host] = {}
        self._blocks: dict[int, list[Any]] = {}
        self._shared: list[Any] | None = None
        self._columns: dict[str, tuple[list[tuple[str, ...]], list[int]]] = {}

    def __len__(self) -> int:
        return len(self.names)

    def __iter__(self) -> Iterator[str]:
        return iter(self.names)

    def __contains__(self, name: object) -> bool:
        return name in self._position_of()

    def __getitem__(self, name: str) -> Host:
        return self.at(self._position_of()[name])

    def _position_of(self) -> Mapping[str, int]:
        if not self._positions:
            self._positions = {name: position for position, name in enumerate(self.names)}
        return self._positions

    def at(self, position: int) -> Host:
        """Return the host at a position, each time the same."""
        if (host := self._made.get(position)) is None:
            host = self._made[position] = self._make(position)
        return host

    def column(self, key: str) -> Iterable[tuple[str, Iterable[int]]]:
        """Yield each text that a key has on hosts, with the positions of some of those; a text may come again."""
        if key == "name":
            yield from ((name, (position,)) for position, name in enumerate(self.names))
            return
        known, codes = self._column(key)
        having: list[list[int]] = [[] for _ in known]
        for position, code in enumerate(codes):
            having[code].append(position)
        for texts, positions in zip(known, having, strict=True):
            yield from ((text, positions) for text in texts)

    def distinct(self, key: str) -> Iterator[str]:
        """Yield each text that a key has on hosts, perhaps more than once."""
        return iter(self.names) if key == "name" else (text for texts in self._column(key)[0] for text in texts)

    def _column(self, key: str) -> tuple[list[tuple[str, ...]], list[int]]:
        if key not in self._columns:
            known, codes = self._file.section(f"column {key}")
            self._columns[key] = [tuple(texts) for texts in known], codes
        return self._columns[key]

    def _make(self, position: int) -> Host:
        start = position - position % BLOCK
        if start not in self._blocks:
            self._blocks[start] = self._file.section(f"block {start}")
        record = self._blocks[start][position - start]
        address, port, transport, platform, groups, site, customer, tags, vars_, credential, via, expect, *rest = record
        places, origins, address_place, waivers, place, more = rest
        return Host(
            name=self.names[position],
            address=address,
            port=port,
            transport=_TRANSPORTS[transport],
            platform=_PLATFORMS[platform],
            groups=tuple(groups),
            site=site,
            customer=customer,
            tags=tuple(tags),
            vars=self._once(vars_, variables),
            credential=None if credential < 0 else self._credentials[credential],
            via=None if via is None else self.at(via),
            expect=Expectations(**dict(zip(("services", "ports", "names"), map(tuple, expect), strict=True)))
            if expect
            else _EXPECTED_NOTHING,
            places=self._once(places, self._as_places),
            origins=self._once(origins, self._as_places),
            address_place=self._place(address_place),
            waivers=tuple(self._waivers[number] for number in waivers),
            place=self._place(place),
            **{name: unpacked(value) for name, value in more.items()},
        )

    def _once(self, given: Any, make: Any) -> Any:
        """Return a mapping that a record holds, or the one that several share by its number."""
        if not isinstance(given, int):
            return make(given)
        if self._shared is None:
            self._shared = self._file.section("shared")
        if isinstance(self._shared[given], dict):
            self._shared[given] = make(self._shared[given])
        return self._shared[given]

    def _as_places(self, given: Mapping[str, Sequence[int]]) -> Mapping[str, Place]:
        return Places(given, self._files) if given else _NO_PLACES

    def _place(self, given: Sequence[int] | None) -> Place | None:
        return None if given is None else Place(self._files[given[0]], given[1], given[2])
