"""Somebody else on a host, who swaps what lies at a name in a folder that all may write to, as fast as the kernel lets them.

Started by test_detached_races.py: python -m tests.remote.swapping UID PATH TARGET. At PATH lie, in turn, a folder of theirs and
a symbolic link to TARGET; at the end they say how often they swapped, and what came into their folder meanwhile.
"""

from __future__ import annotations

import ctypes
import json
import os
import sys
from contextlib import suppress
from pathlib import Path

_EXCHANGE = 2  # RENAME_EXCHANGE of renameat2(2)
_HERE = -100  # AT_FDCWD


def swap(path: Path, target: Path) -> int:
    """Swap until stdin is closed; return how often."""
    aside = path.with_name(f"{path.name}.link")
    path.mkdir()
    path.chmod(0o777)
    aside.symlink_to(target)
    renameat2 = ctypes.CDLL(None, use_errno=True).renameat2
    a, b, times = os.fsencode(path), os.fsencode(aside), 0
    os.set_blocking(0, False)
    sys.stdout.write("begun\n")
    sys.stdout.flush()
    while True:
        for _ in range(1000):
            if renameat2(_HERE, a, _HERE, b, _EXCHANGE):
                raise OSError(ctypes.get_errno(), "renameat2")
        times += 1000
        with suppress(BlockingIOError):
            if os.read(0, 1) == b"":
                return times


def came(path: Path) -> list[str]:
    """Return what lies in the folder by now, under whichever of the two names it has."""
    folders = (one for one in (path, path.with_name(f"{path.name}.link")) if not one.is_symlink())
    return sorted(str(below) for folder in folders for below in folder.rglob("*"))


if __name__ == "__main__":
    somebody, place, aim = int(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3])
    os.setgroups([])
    os.setresgid(somebody, somebody, somebody)
    os.setresuid(somebody, somebody, somebody)
    swapped = swap(place, aim)
    sys.stdout.write(json.dumps({"swapped": swapped, "came": came(place)}) + "\n")
