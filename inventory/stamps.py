"""What an inventory was read from, as it was when it was read: files and folders that must not have changed since.

A file is the same while device, inode, size, mode and both its times are; a folder while it has the same entries. What was
changed within the last moments does not keep by its times, as git knows of its index: clocks of file systems tick, and two
writings within one tick look alike. Such a file is known by its content too.
"""

from __future__ import annotations

import hashlib
import os
import stat
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TypeAlias

Stamp: TypeAlias = list[object]
YOUNG_NS = 2_000_000_000
"""For how long after its last change a file is known by its content: FAT counts in two seconds."""
_KNOWN_BY_CONTENT = 8


class Looked:
    """Files and folders in the order in which they were first looked at, stamped before they were read."""

    def __init__(self) -> None:
        self._stamps: dict[Path, Stamp | None] = {}

    def add(self, path: Path) -> None:
        """Note a file or folder that is about to be read."""
        if path not in self._stamps:
            self._stamps[path] = _stamp(path)

    def __len__(self) -> int:
        return len(self._stamps)

    def __iter__(self) -> Iterator[Path]:
        return iter(self._stamps)

    def settled(self) -> dict[str, Stamp] | None:
        """Return the stamps if all of it is there and still as it was before it was read, else None."""
        stamps = {str(path): one for path, one in self._stamps.items() if one is not None and is_as_it_was(path, one)}
        return stamps if len(stamps) == len(self._stamps) else None


def is_as_it_was(path: Path, known: Stamp) -> bool:
    """Tell whether a file or folder still has its stamp."""
    return _stamp(path, by_content=len(known) == _KNOWN_BY_CONTENT) == known


def _stamp(path: Path, *, by_content: bool | None = None) -> Stamp | None:
    """Return what tells whether a file or folder has changed; None where it cannot be looked at.

    `by_content` None: of a file that was changed only just now.
    """
    try:
        status = path.stat()
        if stat.S_ISDIR(status.st_mode):
            return ["folder", _listing(path)]
        times = [status.st_mtime_ns, status.st_ctime_ns]
        found: Stamp = ["file", status.st_dev, status.st_ino, status.st_size, status.st_mode, *times]
        if by_content is None:
            by_content = max(times) >= time.time_ns() - YOUNG_NS
        return [*found, _content(path)] if by_content and stat.S_ISREG(status.st_mode) else found
    except OSError:
        return None


def _listing(folder: Path) -> str:
    with os.scandir(folder) as entries:
        listed = sorted(f"{entry.name}\0{entry.is_dir()}{entry.is_file()}" for entry in entries)
    return hashlib.sha256("\0".join(listed).encode("utf-8", "surrogateescape")).hexdigest()


def _content(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
