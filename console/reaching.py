"""Let a service carry out a command line, as if it ran here: same words, same streams, same files, same exit code."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

import click

from console.faults import FAULT
from console.files import FileOrText, NewFile, ReadFile, ReadHome
from console.near_end import NearEnd, terminal_size
from console.settings import default_home, home_named
from console.sockets import VARIABLE
from console.terminal import complain
from console.words import say
from inventory.errors import Text
from runner.service.client import Client
from runner.service.errors import NotListening
from runner.service.places import socket_of
from runner.service.request import CARRIED, Place, Request, Stream


def carried_out(ctx: click.Context, path: Path, home: str | None) -> int | None:
    """Return the exit code of a command that the service on a socket has carried out.

    None where the socket is one that a service of this home has left behind: the home is free.
    """
    if (client := reached(path, home)) is None:
        return None
    places = tuple(_places(ctx))
    request = _request(ctx, places)
    with NearEnd(places) as ends:
        code = client.run(request, ends)
    if code < 0:
        complain(say(Text("error: what carried this out was ended by signal {number}", number=-code)))
        return FAULT
    return code if ends.kept else FAULT


def reached(path: Path, home: str | None) -> Client | None:
    """Return the service on a socket, None where the socket is one that a service of this home has left behind."""
    named = home_named(home)
    try:
        return Client.reach(path, named)
    except NotListening:
        if VARIABLE in os.environ or path != socket_of(named or default_home()):
            raise
        return None


def _request(ctx: click.Context, places: tuple[Place, ...]) -> Request:
    size = terminal_size()
    return Request(
        arguments=ctx.obj,
        folder=_folder(),
        environ={name: os.environ[name] for name in CARRIED if name in os.environ},
        stdin=_stream(sys.stdin),
        stdout=_stream(sys.stdout),
        stderr=_stream(sys.stderr),
        terminal=size is not None,
        columns=size.columns if size else 80,
        rows=size.lines if size else 24,
        reads=tuple(_reads(ctx)),
        writes=places,
    )


def _folder() -> str:
    try:
        return os.getcwd()  # noqa: PTH109 - a text, which is sent
    except FileNotFoundError:  # it was removed
        return "/"


def _whole(path: str) -> str:
    return os.path.normpath(os.path.join(_folder(), path))  # noqa: PTH118 - a text, which is sent


def _stream(stream: TextIO | None) -> Stream:
    if stream is None:
        return Stream.NONE
    return Stream.TERMINAL if stream.isatty() else Stream.OTHER


def _reads(ctx: click.Context) -> Iterator[str]:
    for param in ctx.command.params:
        if isinstance(param.type, ReadFile | ReadHome | FileOrText):
            for value in _values(ctx, param):
                path = param.type.reads(value)
                if not isinstance(param.type, FileOrText) or Path(path).is_file():
                    yield _whole(path)


def _places(ctx: click.Context) -> Iterator[Place]:
    for param in ctx.command.params:
        if isinstance(param.type, NewFile):
            for value in _values(ctx, param):
                path = Path(_whole(value))
                exists = path.is_file()
                free = os.access(path, os.W_OK) if exists else not path.exists() and os.access(path.parent, os.W_OK | os.X_OK)
                yield Place(path=str(path), possible=free, exists=exists)


def _values(ctx: click.Context, param: click.Parameter) -> tuple[str, ...]:
    value = ctx.params.get(param.name or "")
    given = value if isinstance(value, tuple) else () if value is None else (value,)
    return tuple(map(os.fspath, given))
