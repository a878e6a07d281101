"""Private folders in a home for what is looked at and thrown away; a killed process leaves one, which the next removes."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_PREFIX = "verifying-"


@contextmanager
def aside(home: Path) -> Iterator[Path]:
    """Yield a folder that is gone afterwards: in the home, or where there is none that can be written, among the system's."""
    inside = home.is_dir() and os.access(home, os.W_OK)
    remove_abandoned(home)
    folder = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=home if inside else None))
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(descriptor)


def remove_abandoned(home: Path) -> None:
    """Remove what processes that were killed left in a home; a folder that somebody works in is locked, and stays."""
    for folder in home.glob(f"{_PREFIX}*") if home.is_dir() else ():
        try:
            descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC | os.O_NOFOLLOW)
        except OSError:  # it is gone, or none of ours
            continue
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(folder, ignore_errors=True)
        except BlockingIOError:
            continue
        finally:
            os.close(descriptor)
