"""Where the service of a home listens, and whether it is the right one that answers there."""

from __future__ import annotations

import grp
import os
import socket
import stat
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from inventory.errors import Text, UsageError
from runner.service.errors import SocketTaken, StrangeSocket
from runner.service.peers import Peer

_BACKLOG: Final = 128


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """A socket, who may connect to it."""

    path: Path
    group: str | None = None
    mode: int = 0o660


def listening(address: Address) -> socket.socket:
    """Return a socket that listens; one that a killed service left is replaced. Raises SocketTaken, UsageError."""
    gid = -1 if address.group is None else _group(address.group)
    if len(os.fsencode(address.path)) > 100:
        text = Text("the path of a socket has at most 100 bytes: {path}", path=address.path)
        raise UsageError(text, Text("--socket /run/longarm/SHORT"))
    made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    before = os.umask(0o177)  # until its mode is set, nobody else gets in
    try:
        _remove_left(address.path)
        made.bind(os.fspath(address.path))
        os.chown(address.path, -1, gid)
        address.path.chmod(address.mode)
        made.listen(_BACKLOG)
    except BaseException:
        made.close()
        raise
    finally:
        os.umask(before)
    return made


def _group(name: str) -> int:
    try:
        return grp.getgrnam(name).gr_gid
    except KeyError:
        raise UsageError(Text("there is no group “{name}” on this machine", name=name), Text("getent group")) from None


def _remove_left(path: Path) -> None:
    """Remove a socket on which nobody listens any more; anything else that is there stays."""
    try:
        if not stat.S_ISSOCK(path.lstat().st_mode):
            raise UsageError(Text("{path} is there and is no socket", path=path), Text("choose another path with --socket"))
    except FileNotFoundError:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(os.fspath(path))
        except ConnectionRefusedError:
            with suppress(FileNotFoundError):
                path.unlink()
            return
    raise SocketTaken(str(path))


def refuse_strangers(path: Path, peer: Peer, home: Path | None) -> None:
    """Raise StrangeSocket unless whoever listens may be believed: it is root, ourselves, or who owns the named home.

    Without a named home it is who owns the folder of the socket; that folder then is nobody else's to write to.
    """
    trusted = {0, os.geteuid()}
    if home is not None:
        with suppress(OSError):
            trusted.add(home.stat().st_uid)
    else:
        folder = path.parent.stat()
        if not folder.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            trusted.add(folder.st_uid)
    if peer.uid not in trusted:
        text = Text("{socket} belongs to user {uid}, who is not the one that keeps this desk", socket=path, uid=peer.uid)
        raise StrangeSocket(text, Text("nothing was sent; ask who set LONGARM_SOCKET, or name the home with --home"))


def other_home(path: Path, found: str, wanted: Path) -> StrangeSocket:
    """Return the error for a service that keeps another home than the one that was named."""
    text = Text("the service on {socket} keeps {found}, not {wanted}", socket=path, found=found, wanted=wanted)
    return StrangeSocket(text, Text("name its home with --home, or leave --home out"))
