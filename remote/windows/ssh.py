"""SSH to a Windows host: the same scripts, on the stdin of one powershell.exe that the host's default shell starts.

The default shell may be cmd.exe, PowerShell or bash (DefaultShell in the registry). Which one it is need not be asked:
our command line, of letters, digits and `+/=.-` alone, means the same to each of them. There is no terminal, which would wrap
lines and mix the streams, and no profile of the user's in what we start; what his default shell prints is noise to us.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Final, Protocol

from inventory.host import Host
from remote.answer import not_started
from remote.bundle.frames import Stream
from remote.hearing import hearing
from remote.session import SessionFacts
from remote.windows.launch import Ending, Launch, Listener
from remote.windows.session import WindowsSession

_UNASKED: Final = 1024 * 1024


class Program(Protocol):
    """One program that runs on the host."""

    @property
    def exit_status(self) -> int | None:
        """Return what the host reported; None: nothing."""

    @property
    def why(self) -> str:
        """Return why it ended; empty while it runs, and when the host ended it in order."""

    def write(self, data: bytes) -> None:
        """Queue bytes for stdin; never blocks, never raises."""

    async def drained(self) -> None:
        """Return when what was queued is on its way, or nobody takes it any more."""

    def write_eof(self) -> None:
        """End stdin."""

    async def read(self) -> tuple[Stream, bytes] | None:
        """Return the next piece, None once nothing more can come."""

    def close(self) -> None:
        """Give it up; the host ends it then."""


class NotStarted(Exception):
    """The host started nothing."""


class WindowsSshSession(WindowsSession):
    """An open SSH connection to a Windows host; `start` starts a command line, or raises NotStarted."""

    def __init__(
        self,
        host: Host,
        facts: SessionFacts,
        *,
        start: Callable[[str], Awaitable[Program]],
        allow: Callable[[int], None],
        is_closed: Callable[[], bool],
        is_flooded: Callable[[], bool],
        abort: Callable[[], None],
    ) -> None:
        self.host, self.facts = host, facts
        self._start, self._allow, self._abort = start, allow, abort
        self._is_closed, self._is_flooded = is_closed, is_flooded

    @property
    def dropped(self) -> bool:
        """Tell whether the connection is gone."""
        return self._is_closed()

    @property
    def renewable(self) -> bool:
        """Tell whether another connection may take its place, as the `Session` protocol says."""
        return super().renewable and not self._is_flooded()

    async def carry(self, launched: Launch, listener: Listener, *, deadline_s: float) -> Ending:
        """Start something and return how it ended."""
        end = time.monotonic() + deadline_s
        self._allow(_UNASKED + 2 * listener.most)
        try:
            async with asyncio.timeout(deadline_s):
                program = await self._start(launched.line)
        except TimeoutError:
            self._abort()  # it may still start
            return Ending(begun=True, why=not_started(deadline_s), left=True)
        except NotStarted as error:
            return Ending(begun=False, why=f"the host did not start a command: {error}")
        giving = asyncio.create_task(_give(program, launched))
        giving.add_done_callback(lambda ended: _leave_unless_given(ended, program))
        try:
            why = await _hear(program, listener, end)
        finally:
            giving.cancel()
            program.close()
            await asyncio.wait([giving])
        if not giving.cancelled() and (failed := giving.exception()) is not None:
            raise failed  # of our own file, or of whoever watches the progress
        status = None if program.exit_status is None else program.exit_status % 2**32
        return Ending(begun=True, status=status, why=why, left=why != "")


async def _give(program: Program, launched: Launch) -> None:
    for piece in launched.stdin or ():
        program.write(piece)
        await program.drained()
    program.write_eof()


def _leave_unless_given(giving: asyncio.Task[None], program: Program) -> None:
    """Leave a program that cannot be given all that it reads: it would wait for the rest until the deadline."""
    if not giving.cancelled() and giving.exception() is not None:
        program.close()


async def _hear(program: Program, listener: Listener, end: float) -> str:
    """Feed what arrives until there is a reason to stop, and return it."""
    listening = hearing()
    while not listener.done:
        left_s = min(end, listener.due) - time.monotonic()
        if left_s <= 0:
            return "the deadline passed"
        if listener.overfull:
            return "the host sent more than all caps together"
        try:
            async with asyncio.timeout(left_s):
                piece = await program.read()
        except TimeoutError:
            continue
        if piece is None:
            return program.why
        stream, data = piece
        listening.heard(0)  # whoever counts what comes over the line has counted it
        if stream == "stdout":
            listener.feed(data)
        else:
            listener.feed_stderr(data)
        if not listening.answering and listener.begun:
            listening.answers()
    return ""
