"""Paths of files on Windows: absolute, on a drive, and of a file: no device, no stream of a file, no other host (T14)."""

from __future__ import annotations

import re
from typing import Final

_DRIVE: Final = re.compile(r"[A-Za-z]:[\\/]")
_FORBIDDEN: Final = re.compile(r'[<>:"|?*\x00-\x1f]')
_DEVICES: Final = frozenset(
    {"con", "prn", "aux", "nul", "conin$", "conout$", *(f"{name}{n}" for name in ("com", "lpt") for n in "0123456789¹²³")}
)
"""Names that stand for devices in every folder, whatever their extension (Naming Files, Paths, and Namespaces)."""
LONGEST: Final = 4096


def on_drive(path: str) -> bool:
    """Tell whether a path begins as one on a drive of Windows does."""
    return bool(_DRIVE.match(path))


def checked_path(path: str) -> str:
    r"""Return a path as Windows writes it; raises ValueError for what cannot be the path of a file.

    >>> checked_path("C:/Temp/a file.txt")
    'C:\\Temp\\a file.txt'
    """
    if not on_drive(path) or len(path) > LONGEST:
        raise ValueError(f"not an absolute path on a drive: {path[:200]!r}")
    parts = re.split(r"[\\/]", path[3:])
    if not all(map(_names_a_file, parts)):
        raise ValueError(f"not the path of a file: {path[:200]!r}")
    return path[:2] + "\\" + "\\".join(parts)


def _names_a_file(part: str) -> bool:
    """Tell whether a part is a name; one that ends in a dot or a space is another one to Windows."""
    device = part.partition(".")[0].rstrip(" ").lower() in _DEVICES
    return bool(part) and part[-1] not in ". " and not _FORBIDDEN.search(part) and not device


def beside(path: str, name: str) -> str:
    r"""Return the path of another file in the same folder.

    >>> beside("C:\\a.txt", "b")
    'C:\\b'
    """
    return path.rpartition("\\")[0] + "\\" + name
