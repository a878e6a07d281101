"""Programs that are the connection to a host: what they read from stdin goes there, what comes back they print."""

from __future__ import annotations

import asyncio
import getpass
import os
import signal
import socket
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from inventory.errors import Place, SourceUnavailable, Text
from inventory.host import Host
from inventory.names import shown
from inventory.proxies import filled
from inventory.secret import MASKER
from remote.errors import ProxyFailed

_PASSED_ON = ("PATH", "HOME", "LANG", "LC_ALL", "TZ", "USER", "LOGNAME", "TMPDIR", "SSH_AUTH_SOCK", "KRB5CCNAME")
_MOST_SAID = 4 * 1024
_LEAVING_S = 1.0


@dataclass(slots=True)
class Program:
    """A program that runs for one connection; it is ended with its whole process group."""

    process: asyncio.subprocess.Process
    path: str
    said: bytearray = field(default_factory=bytearray)
    _listening: asyncio.Task[None] = field(init=False)

    def __post_init__(self) -> None:
        self._listening = asyncio.create_task(self._listen())

    async def _listen(self) -> None:
        assert self.process.stderr is not None
        while data := await self.process.stderr.read(_MOST_SAID):
            self.said += data
            del self.said[:-_MOST_SAID]

    async def trouble(self) -> Text | None:
        """Return how it ended and what it said last; None while it runs, and if it ended because we left.

        One that ends just now is waited for a moment.
        """
        try:
            async with asyncio.timeout(_LEAVING_S):
                status = await self.process.wait()
                await self._listening
        except TimeoutError:
            return None
        if status == -signal.SIGPIPE:
            return None
        lines = [shown(line) for line in MASKER.text(self.said.decode("utf-8", "replace")).splitlines() if line.strip()]
        return Text("it ended with {status}: {said}", status=status, said=" | ".join(lines[-3:]))

    async def end(self) -> None:
        """Kill it and whatever it started in its process group."""
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, signal.SIGKILL)
        await self.process.wait()
        self._listening.cancel()
        await asyncio.wait([self._listening])


async def started(host: Host) -> tuple[Program, socket.socket]:
    """Run the proxy command of a host, without a shell, and return it with our end of the connection; or raise ProxyFailed."""
    path, *words = host.ssh.proxy_command
    user = host.credential.user if host.credential else getpass.getuser()
    arguments = filled(words, address=host.address, port=host.port or 22, user=user)
    for word, argument in zip(words, arguments, strict=True):
        if argument.startswith("-") and not word.startswith("-"):
            raise ProxyFailed(host.name, path, Text("“{name}” would be an option", name=shown(argument)))
    _refuse_changeable(host, path)
    environ = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
    ours, theirs = socket.socketpair()
    try:
        process = await asyncio.create_subprocess_exec(
            path,
            *arguments,
            stdin=theirs.fileno(),
            stdout=theirs.fileno(),
            stderr=asyncio.subprocess.PIPE,
            env=environ,
            cwd="/",
            start_new_session=True,
        )
    except OSError as error:
        ours.close()
        reason = Text("it cannot be run: {reason}", reason=error.strerror or str(error))
        raise ProxyFailed(host.name, path, reason) from error
    except BaseException:
        ours.close()
        raise
    finally:
        theirs.close()
    ours.setblocking(False)
    return Program(process, path), ours


def _refuse_changeable(host: Host, path: str) -> None:
    from inventory.sources.program import refuse_changeable

    try:
        refuse_changeable(Path(path), host.origins.get("proxy_command") or host.place or Place("", 0, 0))
    except SourceUnavailable as error:
        raise ProxyFailed(host.name, path, error.text, error.hint) from error
