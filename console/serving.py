"""`longarm serve`: everything is loaded once; each command line of a client then runs in a process that is forked from this."""

from __future__ import annotations

import importlib
import os
import pkgutil
import socket
import stat
from contextlib import suppress
from pathlib import Path

from console.main import run
from console.served import enter
from console.settings import Settings
from console.terminal import tell
from inventory.errors import LongarmError, Text
from runner.callers import act_for
from runner.desk import keep_desk
from runner.service.address import Address
from runner.service.call import Call
from runner.service.places import socket_of
from runner.service.serving import Limits, Service

PACKAGES = ("inventory", "remote", "diagnostics", "playbooks", "runner", "reports", "console")
_LEFT_OUT = (".migrations.", ".testing")
"""What alembic runs itself, and what only tests use."""


class OpenHome(LongarmError):
    """Others than its owner may look into a home that a service is to keep."""


def serve(settings: Settings, address: Address, limits: Limits) -> None:
    """Keep the desk of a home for whoever may connect, until SIGTERM; raises StoreBusy where somebody else writes to it."""
    home = settings.writable_home()
    refuse_open(home)
    with keep_desk(home):
        load_all()

        def ready() -> None:
            tell(settings, Text("the desk of {home} is open on {socket}", home=home, socket=address.path))
            notify("READY=1")

        Service(home, address, carry_out, limits, lambda text: tell(settings, text)).serve(ready)
        tell(settings, Text("the desk is closed"))


def address_of(settings: Settings, path: Path | None, group: str | None, mode: int) -> Address:
    """Return where the service listens, in its home unless something else is said."""
    return Address(path=path.absolute() if path else socket_of(settings.home), group=group, mode=mode)


def refuse_open(home: Path) -> None:
    """Raise OpenHome for a home that its owner's group or others may look into: what clients may see is ours to say."""
    if stat.S_IMODE(home.stat().st_mode) & 0o077:
        raise OpenHome(
            Text("others may look into {home}, which holds what the service keeps from them", home=home),
            Text("chmod 700 {path}", path=home),
        )


def load_all() -> None:
    """Load every module: a service that runs on while longarm is updated mixes nothing, and no command waits for it."""
    for package in PACKAGES:
        for module in pkgutil.walk_packages(importlib.import_module(package).__path__, f"{package}."):
            if not any(part in f"{module.name}." for part in _LEFT_OUT):
                importlib.import_module(module.name)
    from diagnostics.library import load_library

    load_library()


def carry_out(call: Call) -> int:
    """Carry out the command line of a client in this process and return its exit code."""
    enter(call)
    act_for(call.peer.uid)
    os.umask(0o077)
    return run(call.request.arguments)


def notify(words: str) -> None:
    """Tell systemd, if it has started us and wants to know (sd_notify(3))."""
    if not (name := os.environ.get("NOTIFY_SOCKET")):
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as told, suppress(OSError):
        told.connect("\0" + name[1:] if name.startswith("@") else name)
        told.send(words.encode())
