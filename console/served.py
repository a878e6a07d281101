"""What is different where a command is carried out by the service for somebody else, and what is the same in process."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from runner.service.call import Call

_CALLS: list[Call] = []
"""The one that this process carries out, if it does so for a client: it is forked for that, and ends with it."""


def enter(call: Call) -> None:
    """Let this process be the one that carries out a call: with the folder, the language and the looks of who called."""
    from runner.service.request import CARRIED

    _CALLS[:] = [call]
    for name in CARRIED:
        os.environ.pop(name, None)
    os.environ.update(call.request.environ)
    os.chdir(call.place(call.request.folder))


def served() -> Call | None:
    """Return the call that this process carries out, None in process."""
    return _CALLS[0] if _CALLS else None


def is_apart() -> bool:
    """Tell whether the home is closed to whoever called: they have not the account of the service, and are not root."""
    call = served()
    return call is not None and _is_closed_to(call)


def _is_closed_to(call: Call) -> bool:
    return call.peer.uid not in (0, os.geteuid())


def is_keeper() -> bool:
    """Tell whether whoever called may do what is about the desk itself: root, its own account, or an admin of all of it."""
    call = served()
    if call is None or not _is_closed_to(call):
        return True
    from runner.callers import keeper, whoever_asks
    from runner.config import load_config
    from runner.roles import Role

    return load_config(call.home).roles(keeper()).of(whoever_asks(), None) is Role.ADMIN


def as_named(text: str) -> str:
    """Return text with the paths of the caller's files as they gave them."""
    call = served()
    return text if call is None else call.as_named(text)


def as_named_bytes(data: bytes) -> bytes:
    """Return bytes with the paths of the caller's files as they gave them."""
    call = served()
    return data if call is None else data.replace(os.fsencode(call.spool), b"")


def placed(path: str) -> str:
    """Return where a file of the caller's is: in process there; a whole path, or one upwards, lies elsewhere in the service."""
    call = served()
    if call is None or not (Path(path).is_absolute() or ".." in Path(path).parts):
        return path
    return os.fspath(call.place(path))


@contextmanager
def awaiting(what: str) -> Iterator[None]:
    """Let whoever called give what is read from stdin or the terminal in the block (a `Want`)."""
    call = served()
    if call is None:
        yield
        return
    from runner.service.call import Want

    call.want(Want(what))
    try:
        yield
    finally:
        call.want(Want.NOTHING)
