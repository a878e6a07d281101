"""The names that an inventory makes known, remembered between completions: reading 10,000 hosts would take seconds."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from inventory.sources.found import Source

Names: TypeAlias = Mapping[str, Sequence[str]]
"""By key of the target expressions: `name`, `group`, `site`, `customer`, `tag`."""

KEYS = ("name", "group", "site", "customer", "tag")
_FORMAT = 2


def known_names(home: Path, files: Iterable[Path | Source], wall: str | None = None) -> Names:
    """Return the names of an inventory, from what was remembered if no file of it has changed since.

    Behind the wall of one customer they are read anew: what is remembered are those of all.

    Nothing is asked for it: a program or a server counts as far as a copy of what it said is kept. Raises what loading an
    inventory raises.
    """
    if wall is not None:
        return _read(home, files, wall)[0]
    asked, cache = tuple(files), home / "cache" / "names.json"
    named = [str(one) if isinstance(one, Path) else one.title for one in asked]
    with suppress(OSError, ValueError, LookupError, TypeError):  # whatever is wrong with what was remembered: read anew
        remembered = json.loads(cache.read_bytes())
        same = all(_stamp(Path(path)) == [path, *rest] for path, *rest in remembered["stamps"])
        if remembered["format"] == _FORMAT and remembered["asked"] == named and same:
            return {key: [str(name) for name in remembered["names"][key]] for key in KEYS}
    names, read = _read(home, asked)
    _remember(cache, {"format": _FORMAT, "asked": named, "stamps": [_stamp(path) for path in read], "names": names})
    return names


def _stamp(path: Path) -> list[object]:
    status = path.stat()
    return [str(path), status.st_mtime_ns, status.st_size]


def _read(home: Path, asked: Iterable[Path | Source], wall: str | None = None) -> tuple[Names, Sequence[Path]]:
    from inventory.copies import Copies
    from inventory.matching import KEYS as READ
    from inventory.own import load_inventory

    known = load_inventory(asked, Copies(home / "cache" / "sources", offline=True))
    known = known if wall is None else known.of_customer(wall)
    values = {key: {value for host in known.hosts.values() for value in READ[key](host) if value} for key in KEYS}
    names = {key: sorted(found) for key, found in values.items()} | {"name": list(known.hosts), "group": sorted(known.groups)}
    return names, known.files


def _remember(cache: Path, document: Mapping[str, object]) -> None:
    beside = cache.with_name(f"names.{os.getpid()}.new")
    with suppress(OSError):  # a home that cannot be written completes as well, only slower
        if cache.parent.parent.is_dir():
            cache.parent.mkdir(mode=0o700, exist_ok=True)
            beside.touch(mode=0o600)
            beside.write_text(json.dumps(document))
            beside.replace(cache)
