"""Which socket a command line means: the service that keeps the home, if there is one; nothing heavy is imported for it."""

from __future__ import annotations

import os
from pathlib import Path

from console.settings import default_home, home_named
from runner.service.places import OF_THE_MACHINE, socket_of

VARIABLE = "LONGARM_SOCKET"


def socket_wanted(option: str | None) -> Path | None:
    """Return the socket to speak to, None where the home is opened in process.

    LONGARM_SOCKET names it, empty there is none. Else it lies in the home that was named, or, if that is closed to us, where
    the service of the machine listens; where no home was named it is the service of the machine that counts, then one of
    our own home.
    """
    if (named := os.environ.get(VARIABLE)) is not None:
        return Path(named).expanduser().absolute() if named else None
    home = home_named(option)
    if home is None:
        return OF_THE_MACHINE if _may_connect(OF_THE_MACHINE) else _there(socket_of(default_home()))
    try:
        return _there(socket_of(home))
    except PermissionError:
        return OF_THE_MACHINE


def _there(path: Path) -> Path | None:
    try:
        path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    return path


def _may_connect(path: Path) -> bool:
    return os.access(path, os.W_OK)
