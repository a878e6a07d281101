"""Folders of a practice host whose changes last: what is done there is there for the next login, until the lab ends."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from remote.lab.namespace import NOBODY, can_be_nobody
from remote.lab.world import World

_DAY_S: Final = 86_400


def new_rooms() -> Path:
    """Return a new folder for them, in a place that also those can reach who are root inside and nobody outside."""
    rooms = Path(tempfile.mkdtemp(prefix="longarm-lab-", dir="/tmp"))
    rooms.chmod(0o711)
    return rooms


def give_rooms(world: World, rooms: Path, name: str) -> World:
    """Return the world of one host with folders of its own for those that last, made below `rooms`."""
    made = {}
    for number, (inside, files) in enumerate(world.lasting_files().items()):
        made[inside] = rooms / f"{name}-{number}"
        made[inside].mkdir(mode=0o700)
        for path, file in files.items():
            _put(made[inside] / path, file)
        _give(made[inside])
    return replace(world, rooms={inside: str(room) for inside, room in made.items()})


def _put(place: Path, file: Mapping[str, Any]) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text(file.get("text", ""), encoding="utf-8")
    os.truncate(place, file.get("size", place.stat().st_size))
    changed = time.time() - file.get("days", 0) * _DAY_S
    os.utime(place, (changed, changed))


def _give(room: Path) -> None:
    """Give a folder to whom root of the practice host is outside."""
    if can_be_nobody():
        for path in (room, *room.rglob("*")):
            os.chown(path, NOBODY, NOBODY)
