"""The names that an inventory makes known, remembered between completions: reading 10,000 hosts would take seconds."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TypeAlias

Names: TypeAlias = Mapping[str, Sequence[str]]
"""By key of the target expressions: `name`, `group`, `site`, `customer`, `tag`."""

KEYS = ("name", "group", "site", "customer", "tag")
_FORMAT = 1


def known_names(home: Path, files: Iterable[Path]) -> Names:
    """Return the names of an inventory, from what was remembered if no file has changed since.

    Raises what loading an inventory raises.
    """
    paths, cache = _files(files), home / "cache" / "names.json"
    stamps = [[str(path), path.stat().st_mtime_ns, path.stat().st_size] for path in paths]
    with suppress(OSError, ValueError, LookupError, TypeError):  # whatever is wrong with what was remembered: read anew
        remembered = json.loads(cache.read_bytes())
        if remembered["format"] == _FORMAT and remembered["stamps"] == stamps:
            return {key: [str(name) for name in remembered["names"][key]] for key in KEYS}
    names = _read(paths)
    _remember(cache, {"format": _FORMAT, "stamps": stamps, "names": names})
    return names


def _files(paths: Iterable[Path]) -> list[Path]:
    """Return the files, those of folders one by one."""
    return [file for path in paths for file in (sorted(path.glob("*.y*ml")) if path.is_dir() else [path])]


def _read(files: Iterable[Path]) -> Names:
    from inventory.matching import KEYS as READ
    from inventory.own import load_inventory

    known = load_inventory(files)
    values = {key: {value for host in known.hosts.values() for value in READ[key](host) if value} for key in KEYS}
    return {key: sorted(found) for key, found in values.items()} | {"name": list(known.hosts), "group": sorted(known.groups)}


def _remember(cache: Path, document: Mapping[str, object]) -> None:
    beside = cache.with_name(f"names.{os.getpid()}.new")
    with suppress(OSError):  # a home that cannot be written completes as well, only slower
        if cache.parent.parent.is_dir():
            cache.parent.mkdir(mode=0o700, exist_ok=True)
            beside.touch(mode=0o600)
            beside.write_text(json.dumps(document))
            beside.replace(cache)
