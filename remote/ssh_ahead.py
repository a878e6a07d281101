"""A shell on the host that was asked for before it is needed: whoever asks next saves the round trip that it takes to open."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from remote.ssh_library import asyncssh
from remote.ssh_wire import SshWire


class ShellAhead:
    """At most one such shell, once they are wanted; it reads nothing until it is taken, and ends with its connection."""

    def __init__(self, open_shell: Callable[[], Awaitable[SshWire]]) -> None:
        self._open_shell = open_shell
        self._task: asyncio.Task[SshWire | None] | None = None
        self.wanted = False
        """Whether more will be asked."""
        self.refused = False
        """Whether the host has refused one: it counts how many there are."""

    def begin(self) -> None:
        """Ask for one where they are wanted and there is none."""
        if self.wanted and not self.refused and self._task is None:
            self._task = asyncio.create_task(self._opened())

    async def take(self) -> SshWire | None:
        """Return it once it is open; None: there is none."""
        if self._task is None:
            return None
        wire = await asyncio.shield(self._task)  # who is cancelled leaves it for the next
        self._task = None
        return wire if wire is None or not wire.ended else None

    async def leave(self) -> None:
        """Give it up."""
        task, self._task = self._task, None
        if task is None:
            return
        task.cancel()
        await asyncio.wait([task])
        if not task.cancelled() and task.exception() is None and (wire := task.result()) is not None:
            wire.close()

    async def _opened(self) -> SshWire | None:
        try:
            return await self._open_shell()
        except (asyncssh.Error, OSError):
            self.refused = True
            return None
