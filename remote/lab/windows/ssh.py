"""A practice Windows host as OpenSSH for Windows shows it: what its default shell makes of a command line."""

from __future__ import annotations

from collections.abc import AsyncIterator
from enum import Enum
from typing import TYPE_CHECKING

from remote.lab.windows.replies import Captured

if TYPE_CHECKING:
    import asyncssh

_PIECE = 64 * 1024


class Shell(Enum):
    """A default shell, with what it says before it starts anything: PowerShell loads a profile even for `-c`."""

    CMD = b""
    POWERSHELL = "Профиль загружен за 812 мс\r\n".encode()
    BASH = b"bash: warning: setlocale: LC_ALL: cannot change locale (C.UTF-8)\n"


class WindowsShells:
    """Plays the commands of SSH sessions: our command lines by the program, all others are not known, a terminal is refused."""

    def __init__(self, program: Captured, shell: Shell) -> None:
        self.program, self.shell = program, shell
        self.started: list[str] = []

    async def __call__(self, process: asyncssh.SSHServerProcess[bytes]) -> None:
        """Run one command; sshd ends what runs when its session ends."""
        try:
            await self._run(process)
        except BrokenPipeError:
            return

    async def _run(self, process: asyncssh.SSHServerProcess[bytes]) -> None:
        line = process.command or ""
        self.started.append(line)
        process.stdout.write(self.shell.value)
        play = None if process.term_type else self.program.played(line, "", _stdin(process))
        if play is None:
            process.stderr.write(b"'x' is not recognized as an internal or external command,\r\n")
            process.exit(1)
            return
        async for wrote in play:
            process.stdout.write(wrote.stdout)
            process.stderr.write(wrote.stderr)
            await process.stdout.drain()
            if process.is_closing():
                return
            if wrote.exit_status is not None:
                # asyncssh keeps only eight bits of a status, as Unix does; Windows has 32
                process.channel._send_request(b"exit-status", wrote.exit_status.to_bytes(4, "big"))  # noqa: SLF001
                process.close()
                return


async def _stdin(process: asyncssh.SSHServerProcess[bytes]) -> AsyncIterator[bytes]:
    while piece := await process.stdin.read(_PIECE):
        yield piece
