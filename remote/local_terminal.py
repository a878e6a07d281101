"""A terminal on this machine, as a wire: a program in a session of its own whose terminal it is."""

from __future__ import annotations

import asyncio
import os
import termios
from collections.abc import Mapping, Sequence
from contextlib import suppress

from remote.bundle.frames import Stream

_CONTROL = 'exec <"$0" >"$0" 2>&1; exec "$@"'
"""A leader of a session that opens a terminal has it from then on (tty_ioctl(4), Linux)."""
_OFLAG, _LFLAG = 1, 3
LEAVE_S = 3.0


class TerminalWire:
    """What is said in the terminal comes as stdout."""

    def __init__(self, master: int) -> None:
        self.why = ""
        self._master: int | None = master
        self._news = asyncio.Event()
        self._process: asyncio.subprocess.Process | None = None
        asyncio.get_running_loop().add_reader(master, self._news.set)

    @classmethod
    async def open(cls, command: Sequence[str], *, env: Mapping[str, str]) -> TerminalWire:
        """Start a command in a new terminal that does not echo, or raise OSError."""
        master, slave = os.openpty()
        try:
            os.set_blocking(master, False)
            _quieten(slave)
            wire = cls(master)
            try:
                words = ("/bin/sh", "-c", _CONTROL, os.ttyname(slave), *command)
                wire._process = await asyncio.create_subprocess_exec(
                    *words, stdin=slave, stdout=slave, stderr=slave, env=env, cwd="/", start_new_session=True
                )
            except BaseException:
                wire.close()
                raise
        finally:
            os.close(slave)
        return wire

    def write(self, data: bytes) -> None:
        """Type `data`: a line of a person, which has room in any terminal."""
        if self._master is not None:
            with suppress(OSError):
                os.write(self._master, data)

    async def read(self) -> tuple[Stream, bytes] | None:
        """Return what was said next, None once nobody has the terminal any more."""
        while self._master is not None:
            try:
                data = os.read(self._master, 4096)
            except BlockingIOError:
                self._news.clear()
                await self._news.wait()
            except OSError:  # EIO: nobody has it open
                return None
            else:
                return ("stdout", data) if data else None
        return None

    def close(self) -> None:
        """Hang up."""
        if self._master is not None:
            asyncio.get_running_loop().remove_reader(self._master)
            os.close(self._master)
            self._master = None
            self._news.set()

    async def ended(self) -> None:
        """Return once the program that was started in it is gone, by itself, or killed after LEAVE_S."""
        if self._process is None:
            return
        try:
            async with asyncio.timeout(LEAVE_S):
                await self._process.wait()
        except TimeoutError:
            with suppress(ProcessLookupError):
                self._process.kill()
            await self._process.wait()


def _quieten(slave: int) -> None:
    modes = termios.tcgetattr(slave)
    modes[_OFLAG] &= ~termios.ONLCR
    modes[_LFLAG] &= ~termios.ECHO
    termios.tcsetattr(slave, termios.TCSANOW, modes)
