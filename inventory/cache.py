"""The inventory as it was last read, for as long as nothing that it was read from has changed.

Reading 100,000 hosts takes seconds; this takes tenths of one, and hosts are made when they are asked for. It holds while

- the same was asked for, by the same user, with the same version of longarm (its code is stamped too);
- each file and folder that was looked at is as it was (`stamps`);
- what each program and server said will still do, by the `fresh` that its source declares: one without is asked each time, and
  an inventory with such a source is read each time, except where nothing is asked (completion).

It is in the home, for the user alone, and holds no secrets: an inventory has none, and one into which something went that was
encrypted is not kept. A cache that is damaged is made anew.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from inventory.cache_file import CacheFile, write_cache
from inventory.cache_hosts import HostTable, host_sections
from inventory.cache_key import Kept, Slot, slot_of
from inventory.cache_values import NotCacheable, packed, unpacked
from inventory.copies import Copies
from inventory.errors import Text
from inventory.inventory import Group, Inventory
from inventory.nodes import collection_paused
from inventory.secrets.unattended import Resolve, unattended

if TYPE_CHECKING:
    from inventory.sources.found import Reading, Source

COMPLETED = ("site", "customer", "tag")
"""Keys whose values completion knows beside the names of hosts and groups."""
_ABANDONED_S = 3600.0
MOST_FILES = 16
"""So many inventories are kept of one home; the one that was not written for longest goes."""


def cached_inventory(
    paths: Iterable[Path | Source],
    copies: Copies,
    folder: Path,
    resolve: Resolve = unattended,
    note: Callable[[Text], None] = lambda _: None,
    *,
    anew: bool = False,
) -> Inventory:
    """Return what `load_inventory` returns, from the cache in `folder` if it holds; raises what that raises.

    `note` is told why it is read anew; `anew` is a reason too.
    """
    asked = tuple(paths)
    slot = slot_of(asked, folder)
    if not anew:
        kept = slot.kept(copies)
        if isinstance(kept, Kept):
            return _inventory(kept)
        note(Text("the inventory is read anew: {reason}", reason=kept))
    from inventory.own import read_inventory  # with all that reads YAML

    known, reading = read_inventory(asked, copies, resolve)
    with suppress(OSError, NotCacheable), collection_paused():  # a home that cannot be written reads each time
        _keep(slot, known, reading)
    return known


def _inventory(kept: Kept) -> Inventory:
    file = kept.file
    rest = unpacked(file.section("rest"))
    hosts = HostTable(file, rest["all_credentials"], rest["waivers"])
    return Inventory(
        hosts=hosts,
        groups=GroupTable(file, hosts),
        credentials=MappingProxyType({name: rest["all_credentials"][number] for name, number in rest["credentials"].items()}),
        secret_stores=rest["secret_stores"],
        waivers=rest["waivers"],
        notes=rest["notes"],
        copies=kept.copies,
        files=tuple(map(Path, file.key["stamps"])),
    )


class GroupTable(Mapping[str, Group]):
    """The groups by name; who is in them is decoded when somebody asks."""

    def __init__(self, file: CacheFile, hosts: HostTable) -> None:
        self._file, self._hosts = file, hosts
        self._names: list[str] = file.section("group names")
        self._groups: dict[str, Group] | None = None

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)

    def __getitem__(self, name: str) -> Group:
        if self._groups is None:
            names = self._hosts.names
            self._groups = {
                key: Group(name=key, hosts=tuple(names[at] for at in hosts), groups=tuple(groups), place=unpacked(place))
                for key, (hosts, groups, place) in self._file.section("groups").items()
            }
        return self._groups[name]


def _keep(slot: Slot, known: Inventory, reading: Reading) -> None:
    """Keep an inventory, if all that it was read from is settled and will do again."""
    folder, home = slot.path.parent, slot.path.parent.parent.parent
    stamps, asked = reading.files.settled(), reading.copies.asked
    if stamps is None or reading.opened or not home.is_dir():
        return
    without_asking = Copies(reading.copies.folder, offline=True)
    if any(without_asking.serves(one, datetime.now(UTC)) is None for one in asked):
        return
    if isinstance(slot.kept(without_asking), Kept):  # a source that is asked each time said the same again
        return
    credentials = list({id(one): one for one in _credentials(known)}.values())
    numbers = {id(one): number for number, one in enumerate(credentials)}
    positions = {name: position for position, name in enumerate(known.hosts)}
    rest = {
        "all_credentials": credentials,
        "credentials": {name: numbers[id(one)] for name, one in known.credentials.items()},
        "secret_stores": known.secret_stores,
        "waivers": known.waivers,
        "notes": known.notes,
    }
    groups = {
        name: [[positions[host] for host in one.hosts], one.groups, packed(one.place)] for name, one in known.groups.items()
    }
    sections: dict[str, Any] = {
        **host_sections(known.hosts, credentials, known.waivers),
        "group names": list(known.groups),
        "completed": {key: sorted(known.values_of(key)) for key in COMPLETED},
        "groups": groups,
        "rest": packed(rest),
    }
    for part in (folder.parent, folder):
        part.mkdir(mode=0o700, exist_ok=True)
    write_cache(slot.path, slot.key(stamps, asked), sections)
    for left in folder.glob("*.new"):
        if time.time() - left.stat().st_mtime > _ABANDONED_S:  # whoever wrote it was killed
            left.unlink()
    for old in sorted(folder.glob("*.cache"), key=lambda one: one.stat().st_mtime_ns, reverse=True)[MOST_FILES:]:
        old.unlink()


def _credentials(known: Inventory) -> Iterator[Any]:
    yield from known.credentials.values()
    yield from {id(host.credential): host.credential for host in known.hosts.values() if host.credential}.values()
