"""Connections to the hosts that others are reached through: one for each, shared by all that lie behind it.

A stock sshd drops every third of more than ten connections that are not logged in yet (MaxStartups 10:30:100), so many
connections to one bastion fail at random. Channels of one connection are not counted: MaxSessions (10) is for shells,
not for forwarded connections (sshd_config(5)).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from contextvars import copy_context
from dataclasses import dataclass, field
from typing import Any, Protocol

from inventory.host import Host
from remote.errors import JumpFailed, RemoteError
from remote.hearing import HEARING
from remote.patience import PATIENCE, Patience, patience
from remote.proxies import Proxies
from remote.ways import ByProxy, Direct, Way

DOWN_S = 60.0
"""How long what failed is not tried again: all hosts behind it are told the same, at once."""

Open = Callable[[Host], AbstractAsyncContextManager["Gate"]]


class Gate(Protocol):
    """A connection that others go through."""

    def is_closed(self) -> bool:
        """Tell whether nothing goes through it any more."""

    def way_to(self, host: Host) -> Way:
        """Return the way through it."""


@dataclass(slots=True)
class _Shared:
    """One connection, open or on its way, while anybody needs it."""

    opened: asyncio.Future[Gate]
    task: asyncio.Task[None] = field(init=False)
    unused: asyncio.Event = field(default_factory=asyncio.Event)
    users: int = 0
    failed_at: float | None = None
    patience: Patience = field(default_factory=Patience)
    """Stands still while its login waits for others, or for the next one-time code."""

    @property
    def usable(self) -> bool:
        """Whether it is worth waiting for, or failed so lately that it would again."""
        if self.failed_at is not None:
            return time.monotonic() - self.failed_at < DOWN_S
        return not self.unused.is_set() and not (self.opened.done() and self.opened.result().is_closed())


class Jumps:
    """Opens the way to hosts that lie behind others; `open_` logs in to one of these."""

    def __init__(self, open_: Open, proxies: Proxies) -> None:
        self._open, self._proxies = open_, proxies
        self._shared: dict[Host, _Shared] = {}

    @asynccontextmanager
    async def way_to(self, host: Host) -> AsyncIterator[Way]:
        """Yield the way to `host`; raise JumpFailed where a host in between does not let us in.

        The connection to that one stays open while anybody is inside.
        """
        async with self._gate_of(host) as gate:
            way = gate.way_to(host) if gate is not None else self._way_from_here(host)
            try:
                yield way
            finally:
                await way.close()

    def _way_from_here(self, host: Host) -> Way:
        return ByProxy(host, self._proxies) if host.ssh.proxy or host.ssh.proxy_command else Direct(host)

    @asynccontextmanager
    async def _gate_of(self, host: Host) -> AsyncIterator[Gate | None]:
        """Yield the connection that a host is reached through, None for one that lies behind nobody."""
        if host.via is None:
            yield None
            return
        shared = self._of(host.via)
        shared.users += 1
        try:
            yield await self._opened(shared, host, host.via)
        finally:
            shared.users -= 1
            if not shared.users and shared.failed_at is None:
                shared.unused.set()
                if not shared.opened.done():
                    shared.task.cancel()
                await asyncio.wait([shared.task])

    def _of(self, bastion: Host) -> _Shared:
        shared = self._shared.get(bastion)
        if shared is None or not shared.usable:
            shared = self._shared[bastion] = _Shared(asyncio.get_running_loop().create_future())
            nobodys = copy_context()  # what is heard of the bastion is not heard of the host that needed it first
            nobodys.run(HEARING.set, None)
            nobodys.run(PATIENCE.set, shared.patience)
            shared.task = asyncio.create_task(self._hold(shared, bastion), context=nobodys)
        return shared

    async def _opened(self, shared: _Shared, host: Host, bastion: Host) -> Gate:
        either: tuple[asyncio.Future[Any], ...] = (shared.opened, shared.task)
        with patience().following(shared.patience):
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        try:
            if not shared.opened.done():
                shared.task.result()  # raises what nobody thought of
            return shared.opened.result()
        except RemoteError as error:
            raise JumpFailed(host.name, bastion.name, error.text, error.hint) from error

    async def _hold(self, shared: _Shared, bastion: Host) -> None:
        try:
            async with self._open(bastion) as connection:
                shared.opened.set_result(connection)
                await shared.unused.wait()
        except RemoteError as error:
            shared.failed_at = time.monotonic()
            shared.opened.set_exception(error)
            shared.opened.exception()  # nobody may be left who asks
