"""Which one-time codes went out lately, shared by all commands of a home: one line each, no code and no secret in it."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from typing import Final

_KEPT_S: Final = 1800.0
"""No host accepts a code that is older."""
_MOST_BYTES: Final = 4 * 1024 * 1024


class UsedCodes:
    """Claims of codes in a file of the home; `None`: in this process alone."""

    def __init__(self, path: Path | None = None) -> None:
        self._path = path
        self._claimed: set[tuple[str, str, int]] = set()

    def claim(self, identity: str, whose: str, step: int, now_s: float) -> bool:
        """Return whether the code of a step was not claimed before, by whoever it is for; it is now.

        Raises OSError where the file cannot be written: a code of which nobody would know is not given out.
        """
        if self._path is None:
            known = (identity, whose, step) in self._claimed
            self._claimed.add((identity, whose, step))
            return not known
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        handle = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        with os.fdopen(handle, "r+b") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            lines = file.read(_MOST_BYTES).decode("utf-8", "replace").splitlines()
            kept = [line for line in lines if _age_s(line, now_s) < _KEPT_S]
            mine = f"{identity} {step} {whose}"
            if any(line.partition(" ")[2] == mine for line in kept):
                return False
            file.seek(0)
            file.truncate()
            file.write("".join(f"{line}\n" for line in (*kept, f"{now_s:.0f} {mine}")).encode())
            file.flush()
            os.fsync(file.fileno())
        return True


def _age_s(line: str, now_s: float) -> float:
    try:
        return abs(now_s - float(line.partition(" ")[0]))
    except ValueError:
        return _KEPT_S
