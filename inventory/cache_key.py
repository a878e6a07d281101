"""What a cached inventory holds for: who asked for what, and all that it was read from, as it was then."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from inventory.cache_file import CacheFile, read_cache
from inventory.copies import Asked, Copies, CopyUsed
from inventory.errors import Place, Text
from inventory.stamps import is_as_it_was
from inventory.version import VERSION

if TYPE_CHECKING:
    from inventory.sources.found import Source

_USER = ("LOGNAME", "USER", "LNAME", "USERNAME")
"""What `getpass` takes the name of the user from; beside them, the number of the user says who it is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """A cache that holds, with the copies that stand for the sources of it."""

    file: CacheFile
    copies: tuple[CopyUsed, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Slot:
    """Where the inventory of some files and sources is kept."""

    path: Path
    wanted: list[str]

    def kept(self, copies: Copies) -> Kept | Text:
        """Return what is kept and still holds, or why nothing does."""
        if not self.path.exists():
            return Text("none was kept")
        if (file := read_cache(self.path)) is None:
            return Text("what was kept is damaged")
        with suppress(ValueError, LookupError, TypeError, AttributeError):
            if file.key["wanted"] != self.wanted:
                return Text("what was kept is for something else")
            for name, known in file.key["stamps"].items():
                if not is_as_it_was(Path(name), known):
                    return Text("{path} has changed", path=name)
            used, now = [], datetime.now(UTC)
            for asked in map(_asked, file.key["asked"]):
                if (use := copies.serves(asked, now)) is None:
                    return Text("what {source} said is no longer fresh", source=asked.source)
                used.append(use)
            return Kept(file=file, copies=tuple(used))
        return Text("what was kept is damaged")

    def key(self, stamps: object, asked: Iterable[Asked]) -> dict[str, Any]:
        """Return what stands in a cache that is kept here."""
        return {"wanted": self.wanted, "stamps": stamps, "asked": [_row(one) for one in asked]}


def slot_of(paths: Iterable[Path | Source], folder: Path) -> Slot:
    """Return where in a folder the inventory of these is kept."""
    named = [f"file {one}" if isinstance(one, Path) else repr(one) for one in paths]
    user = [str(os.geteuid()), *(os.environ.get(name, "") for name in _USER), str(Path("~").expanduser())]
    wanted = [VERSION, _code(), *user, *named]
    return Slot(path=folder / f"{hashlib.sha256(json.dumps(wanted).encode()).hexdigest()[:32]}.cache", wanted=wanted)


def _code() -> str:
    """Return what changes when the code of this package does."""
    here, stamps = Path(__file__).parent, []
    for folder in (here, here / "sources", here / "secrets"):
        with os.scandir(folder) as entries:
            modules = [(entry.name, entry.stat()) for entry in entries if entry.name.endswith(".py")]
        stamps += [f"{name} {status.st_size} {status.st_mtime_ns}" for name, status in sorted(modules, key=itemgetter(0))]
    return hashlib.sha256("\n".join(stamps).encode()).hexdigest()


def _row(asked: Asked) -> list[Any]:
    place = asked.place
    return [asked.source, asked.identity, place.file, place.line, place.column, asked.digest, asked.fresh.total_seconds()]


def _asked(row: Sequence[Any]) -> Asked:
    source, identity, file, line, column, digest, fresh_s = row
    place, fresh = Place(file, line, column), timedelta(seconds=fresh_s)
    return Asked(source=source, identity=identity, place=place, digest=digest, fresh=fresh)
