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
from typing import Any, TypeAlias

from inventory.host import Host
from remote.errors import JumpFailed, RemoteError
from remote.hearing import HEARING
from remote.ssh_library import asyncssh

DOWN_S = 60.0
"""How long what failed is not tried again: all hosts behind it are told the same, at once."""

Through: TypeAlias = asyncssh.SSHClientConnection
"""A connection that others go through."""
Open = Callable[[Host], AbstractAsyncContextManager[asyncssh.SSHClientConnection]]


@dataclass(slots=True)
class _Shared:
    """One connection, open or on its way, while anybody needs it."""

    opened: asyncio.Future[asyncssh.SSHClientConnection]
    task: asyncio.Task[None] = field(init=False)
    unused: asyncio.Event = field(default_factory=asyncio.Event)
    users: int = 0
    failed_at: float | None = None

    @property
    def usable(self) -> bool:
        """Whether it is worth waiting for, or failed so lately that it would again."""
        if self.failed_at is not None:
            return time.monotonic() - self.failed_at < DOWN_S
        return not self.unused.is_set() and not (self.opened.done() and self.opened.result().is_closed())


class Jumps:
    """Opens the way to hosts that lie behind others; `open_` logs in to one of these."""

    def __init__(self, open_: Open) -> None:
        self._open = open_
        self._shared: dict[Host, _Shared] = {}

    @asynccontextmanager
    async def way_to(self, host: Host) -> AsyncIterator[asyncssh.SSHClientConnection | None]:
        """Yield the connection that `host` is reached through, None if it is reached directly; raise JumpFailed.

        The connection stays open while anybody is inside.
        """
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
            shared.task = asyncio.create_task(self._hold(shared, bastion), context=nobodys)
        return shared

    async def _opened(self, shared: _Shared, host: Host, bastion: Host) -> asyncssh.SSHClientConnection:
        either: tuple[asyncio.Future[Any], ...] = (shared.opened, shared.task)
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
