"""Sessions with this machine itself: the same bundle, without a network and without a login.

Of the host's credential only what sudo, doas or su asks for is used, where its user is the one who runs us; for su, always.
"""

from __future__ import annotations

import asyncio
import os
import pwd
import signal
from collections import deque
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Final, cast

from inventory.errors import Text
from inventory.host import BecomeMethod, Host
from remote.answer import Answer
from remote.become_password import BecomePassword
from remote.becoming import Becoming
from remote.breaker import Breaker
from remote.bundle import BundleExchange, drive
from remote.bundle.elevation import Elevation
from remote.bundle.frames import Stream
from remote.bundle.wire import Offer, Passwords
from remote.credentials import Credential, CredentialStore
from remote.errors import RemoteError
from remote.local_terminal import TerminalWire
from remote.question import Question
from remote.session import SessionFacts
from remote.shell_session import ShellSession
from remote.terminal import NoTerminal

SHELL = ("/bin/sh",)
QUEUE_LIMIT = 256 * 1024
"""From how many unread bytes on the pipes are left to fill up."""
WHY_S = 1.0
"""How long the exit status may come after the end of the streams."""
LEAVE_S = 3.0
"""How long the shell may take to end everything once its stdin has ended, before its process group is killed."""


class LocalConnector:
    """Opens sessions with this machine; the password for sudo is offered under the run's breaker."""

    def __init__(self, *, credentials: CredentialStore, breaker: Breaker) -> None:
        self._credentials, self._breaker = credentials, breaker

    @asynccontextmanager
    async def __call__(self, host: Host) -> AsyncGenerator[LocalSession]:
        """Return a session as the user we are, or raise CredentialUnusable; on leaving nothing it started is left."""
        async with open_local(host, passwords=await self._passwords(host)) as session:
            yield session

    async def _passwords(self, host: Host) -> Passwords | None:
        if host.credential is None or os.geteuid() == 0:
            return None
        credential = await self._credentials.resolve(host)
        passwords = BecomePassword.of(host, credential, self._breaker)
        if passwords is not None and host.become.method is not BecomeMethod.SU and credential.user != _user():
            return _Withheld(host, credential)
        return passwords


class _Withheld:
    """The password of somebody else: sudo here would count it against the user who runs us."""

    def __init__(self, host: Host, credential: Credential) -> None:
        reason = Text("credential {name} is for another user than {user}", name=credential.name, user=_user())
        self._refusal = RemoteError(host.name, reason)

    async def offer(self) -> Offer:
        """Raise RemoteError, which says whose password it is."""
        raise self._refusal


@asynccontextmanager
async def open_local(host: Host, *, passwords: Passwords | None = None) -> AsyncGenerator[LocalSession]:
    """Return a session with this machine, as the user we are; on leaving nothing that it started is left."""
    session = LocalSession(host, passwords=passwords)
    try:
        yield session
    finally:
        await session.leave()


class LocalSession(ShellSession):
    """This machine as a host: every bundle is one `/bin/sh` in a session (setsid) of its own."""

    def __init__(self, host: Host, *, shell: Sequence[str] | None = None, passwords: Passwords | None = None) -> None:
        self.host = host
        self.facts = SessionFacts(transport="local", user=_user())
        self._shell, self._passwords = tuple(shell or SHELL), passwords
        self._becoming = Becoming(
            become=host.become, login=self.facts.user, passwords=passwords, open_terminal=self._open_terminal
        )
        self._wires: set[_PipeWire | TerminalWire] = set()

    async def ask(self, questions: Sequence[Question], *, deadline_s: float) -> Mapping[str, Answer]:
        """Return exactly one answer for each question, asked in one shell, without waiting for the shell to end."""
        return await self._becoming.ask(questions, self._ask_once, deadline_s)

    async def _ask_once(self, questions: Sequence[Question], elevation: Elevation, deadline_s: float) -> dict[str, Answer]:
        exchange = BundleExchange(questions, elevation=elevation)
        try:
            wire = await _PipeWire.open(self._shell)
        except OSError as error:
            return exchange.finish(f"no shell: {error}")
        self._wires.add(wire)

        return await drive(exchange, wire, deadline_s=deadline_s, passwords=self._passwords, open_terminal=self._open_terminal)

    async def _open_terminal(self, command: str) -> TerminalWire:
        try:
            wire = await TerminalWire.open((*self._shell, "-c", command), env=_environment())
        except OSError as error:
            raise NoTerminal(self.host.name, str(error)) from error
        self._wires.add(wire)
        return wire

    async def leave(self) -> None:
        """End what still runs and return once it is gone; never raises."""
        wires, self._wires = self._wires, set[_PipeWire | TerminalWire]()
        for wire in wires:
            wire.close()
        await asyncio.gather(*(wire.ended() for wire in wires))


class _PipeWire(asyncio.SubprocessProtocol):
    """A wire made of the three pipes of a child process."""

    def __init__(self) -> None:
        self.why = ""
        self._pieces: deque[tuple[Stream, bytes]] = deque()
        self._queued = 0
        self._open_streams = 2
        self._closed = False
        self._news = asyncio.Event()
        self._exited = asyncio.Event()
        self._transport: asyncio.SubprocessTransport

    @classmethod
    async def open(cls, command: Sequence[str]) -> _PipeWire:
        """Start `command`, or raise OSError."""
        loop = asyncio.get_running_loop()
        _, wire = await loop.subprocess_exec(cls, *command, env=_environment(), cwd="/", start_new_session=True)
        return wire

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the child's transport (asyncio calls this before anything else)."""
        self._transport = cast("asyncio.SubprocessTransport", transport)

    def write(self, data: bytes) -> None:
        """Queue `data` for the child's stdin."""
        stdin = cast("asyncio.WriteTransport", self._transport.get_pipe_transport(0))  # uvloop's is none by its type
        if not stdin.is_closing():
            stdin.write(data)

    async def read(self) -> tuple[Stream, bytes] | None:
        """Return the next piece, or None when both streams have ended."""
        while not self._pieces:
            if not self._open_streams:
                await self._learn_why()
                return None
            self._news.clear()
            await self._news.wait()
        stream, data = self._pieces.popleft()
        self._queued -= len(data)
        self._flow()
        return stream, data

    async def _learn_why(self) -> None:
        """Wait a moment for the exit status that belongs to streams which ended by themselves."""
        if not self._closed:
            with suppress(TimeoutError):
                async with asyncio.timeout(WHY_S):
                    await self._exited.wait()

    def close(self) -> None:
        """Close all three pipes: the end of stdin tells the script to kill what it started."""
        self._closed = True
        self._open_streams = 0
        self._pieces.clear()
        for fd in (0, 1, 2):
            if pipe := self._transport.get_pipe_transport(fd):
                pipe.close()
        self._news.set()

    async def ended(self) -> None:
        """Return once the child and its process group are gone: by themselves, or killed after LEAVE_S."""
        group: Final = self._transport.get_pid()
        try:
            async with asyncio.timeout(LEAVE_S):
                await self._exited.wait()
                while self._transport.get_returncode() != 0 and _group_lives(group):  # noqa: ASYNC110  # killed: its guard does the rest
                    await asyncio.sleep(0.02)  # the end of a process group is no event
        except (TimeoutError, asyncio.CancelledError) as cut:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(group, signal.SIGKILL)
            if isinstance(cut, asyncio.CancelledError):
                raise
            with suppress(TimeoutError):
                async with asyncio.timeout(WHY_S):
                    await self._exited.wait()  # killed: wait until it is reaped, which one in the kernel's hands may not be
        finally:
            self._transport.close()

    def pipe_data_received(self, fd: int, data: bytes) -> None:
        """Take a piece that arrived (asyncio calls this)."""
        self._pieces.append(("stdout" if fd == 1 else "stderr", data))
        self._queued += len(data)
        self._news.set()
        self._flow()

    def pipe_connection_lost(self, fd: int, exc: Exception | None) -> None:  # noqa: ARG002  # asyncio's signature
        """Note that a pipe has ended (asyncio calls this)."""
        if fd in (1, 2):
            self._open_streams = max(0, self._open_streams - 1)
            self._news.set()

    def process_exited(self) -> None:
        """Note that the child has ended (asyncio calls this)."""
        if status := self._transport.get_returncode():
            self.why = f"the shell ended with status {status}" if status > 0 else f"the shell was killed by signal {-status}"
        self._exited.set()

    def _flow(self) -> None:
        """Stop or resume reading, so that an endless output fills its pipe and not our memory."""
        for fd in (1, 2):
            pipe = cast("asyncio.ReadTransport | None", self._transport.get_pipe_transport(fd))
            if pipe is not None and not pipe.is_closing():
                if self._queued > QUEUE_LIMIT:
                    pipe.pause_reading()
                elif not pipe.is_reading():
                    pipe.resume_reading()


def _group_lives(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _user() -> str:
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:  # a uid without a name: containers
        return str(os.getuid())


def _environment() -> dict[str, str]:
    """Return what a login would set; our own environment may hold secrets and stays here."""
    user = _user()
    return {
        "PATH": os.environ.get("PATH", os.defpath),
        "HOME": os.environ.get("HOME", "/"),
        "USER": user,
        "LOGNAME": user,
        "SHELL": "/bin/sh",
    }
