"""What the service of a home lists, for the shell's Tab: a command line of whoever types, so they see what is theirs to see."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Final, Self

import click

from console.framework import given
from console.reaching import reached
from console.sockets import socket_wanted
from inventory.errors import LongarmError
from runner.service.request import Request, Stream
from runner.service.wire import Kind

MOST_S: Final = 2.0
"""That a service has for a list: one that asks sources of its inventory for it may take much longer."""


class _Ear:
    """Ends of which nobody sits at one: what is said to stdout is kept."""

    def __init__(self) -> None:
        self.said = b""

    def __enter__(self) -> Self:
        self.alarm, self._rings = os.pipe()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        os.close(self.alarm)
        os.close(self._rings)

    def alarms(self) -> Iterator[bytes]:
        yield from ()

    def show(self, kind: Kind, data: bytes) -> None:
        self.said += data if kind is Kind.OUT else b""

    def give(self, _: object) -> int | None:
        return None

    def keep(self, _: int, __: bytes) -> None:
        """Keep no file: none was named."""


@contextmanager
def _within(seconds: float) -> Iterator[None]:
    """Raise TimeoutError in what takes longer: a shell waits for what is done, and shows nothing."""

    def over(*_: object) -> None:
        raise TimeoutError

    before = signal.signal(signal.SIGALRM, over)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def told_there(ctx: click.Context, *words: str, by_customer: bool = True) -> Any:
    """Return what a command tells that the service carries out, an empty list where it refuses; None without a service."""
    options = given(ctx)
    if (path := socket_wanted(options["home"])) is None:
        return None
    wall = ("--customer", options["wall"]) if options["wall"] and by_customer else ()
    request = Request(
        arguments=(*words, "--json", "--quiet", "--no-input", *wall),
        folder="/",
        environ={},
        stdin=Stream.NONE,
        stdout=Stream.OTHER,
        stderr=Stream.OTHER,
        terminal=False,
        columns=80,
        rows=24,
        reads=(),
        writes=(),
    )
    try:
        client = reached(path, options["home"])
        if client is None:
            return None
        with _within(MOST_S), _Ear() as ear:
            code = client.run(request, ear)
    except (LongarmError, OSError):
        return []
    return json.loads(ear.said) if code == 0 else []
