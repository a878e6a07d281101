"""The names that an inventory makes known, for completion: nothing is asked for them, and what is remembered is used."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from inventory.cache_key import Kept, slot_of
from inventory.copies import Copies

if TYPE_CHECKING:
    from inventory.sources.found import Source

Names: TypeAlias = Mapping[str, Sequence[str]]
"""By key of the target expressions: `name`, `group`, `site`, `customer`, `tag`."""


def known_names(home: Path, files: Iterable[Path | Source], wall: str | None = None) -> Names:
    """Return the names of an inventory, behind the wall of one customer only those of its hosts.

    Nothing is asked for it: a program or a server counts as far as a copy of what it said is kept. Raises what loading an
    inventory raises.
    """
    asked, cache = tuple(files), home / "cache"
    copies = Copies(cache / "sources", offline=True)
    kept = slot_of(asked, cache / "inventory").kept(copies) if wall is None else None
    if isinstance(kept, Kept):  # an inventory is not even made: Tab waits for nothing
        section = kept.file.section
        return {"name": section("names"), "group": sorted(section("group names")), **section("completed")}
    from inventory.cache import COMPLETED, cached_inventory

    known = cached_inventory(asked, copies, cache / "inventory")
    known = known if wall is None else known.of_customer(wall)
    values = {key: sorted(known.values_of(key)) for key in COMPLETED}
    return {"name": list(known.hosts), "group": sorted(known.groups), **values}


def names_of(rows: Sequence[Mapping[str, Any]]) -> Names:
    """Return the names that a list of hosts makes known.

    >>> names_of([{"host": "db1", "site": "berlin", "customer": None, "groups": ["db"], "tags": []}])
    {'name': ['db1'], 'site': ['berlin'], 'customer': [], 'group': ['db'], 'tag': []}
    """
    alone = {key: sorted({row[key] for row in rows if row[key]}) for key in ("site", "customer")}
    many = {key: sorted({name for row in rows for name in row[f"{key}s"]}) for key in ("group", "tag")}
    return {"name": [row["host"] for row in rows], **alone, **many}
