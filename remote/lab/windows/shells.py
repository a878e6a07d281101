"""The shells of one practice Windows host, and the commands that run in them, with the limits of a machine as installed."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from remote.lab.windows.faults import Fault, Kind


def new_id() -> str:
    """Return an id as Windows writes it: upper case."""
    return str(uuid.uuid4()).upper()


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """How a command ended: what it wrote, and its exit status as Windows counts it, 32 bits without a sign."""

    stdout: bytes = b""
    stderr: bytes = b""
    exit_status: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A command line as it came, with the environment of its shell."""

    line: str
    environment: Mapping[str, str] = field(hash=False)
    code_page: int


@dataclass(slots=True, eq=False)
class Running:
    """A command between Command and the end of its output; a program reads `stdin` and writes what it says."""

    asked: Asked
    id: str = field(default_factory=new_id)
    stdin: asyncio.Queue[bytes | None] = field(default_factory=asyncio.Queue)
    """What was sent, piece by piece; None behind the last one."""
    exit_status: int | None = None
    task: asyncio.Task[None] = field(init=False)
    _waiting: dict[str, bytearray] = field(default_factory=lambda: {"stdout": bytearray(), "stderr": bytearray()})
    _something: asyncio.Event = field(default_factory=asyncio.Event)

    def write(self, stream: str, data: bytes) -> None:
        """Let output wait until somebody receives it."""
        self._waiting[stream] += data
        self._something.set()

    def end(self, exit_status: int) -> None:
        """End with this exit status, and refuse further input."""
        self.exit_status = exit_status % 2**32
        self._something.set()

    async def received(self, most: int) -> tuple[bytes, bytes, int | None]:
        """Wait for output or the end, and return what there is, at most so many bytes, and the status behind the last of it."""
        await self._something.wait()
        taken = []
        for stream in ("stdout", "stderr"):
            piece = bytes(self._waiting[stream][:most])
            del self._waiting[stream][: len(piece)]
            most -= len(piece)
            taken.append(piece)
        empty = not any(self._waiting.values())
        if empty and self.exit_status is None:
            self._something.clear()
        return taken[0], taken[1], self.exit_status if empty else None


Program: TypeAlias = Callable[[Running], Awaitable[Said | None]]
"""Runs a command: returns how it ended, or None if this host knows no such command."""


@dataclass(slots=True, eq=False)
class Shell:
    """One shell of a client, with what is to be the environment of its commands."""

    owner: str
    resource_uri: str
    environment: Mapping[str, str]
    code_page: int
    id: str = field(default_factory=new_id)
    commands: dict[str, Running] = field(default_factory=dict)
    operations: int = 0


@dataclass(slots=True, kw_only=True)
class Limits:
    """Limits of a machine as it is installed (winrm get winrm/config)."""

    max_shells_per_user: int = 30
    max_operations_per_shell: int = 1500
    """Commands of one shell in all: the count never goes down, so a client makes a new shell."""
    max_envelope_bytes: int = 500 * 1024


class Shells:
    """What Create, Command, Send, Receive, Signal and Delete act on."""

    def __init__(self, program: Program, limits: Limits) -> None:
        self.program, self.limits = program, limits
        self.open: dict[str, Shell] = {}
        self.started: list[str] = []
        """Every command line that was ever started, in order: a test counts that none came twice."""

    def create(self, shell: Shell) -> Shell:
        """Keep a new shell, or raise the fault of too many."""
        if sum(one.owner == shell.owner for one in self.open.values()) >= self.limits.max_shells_per_user:
            words = (
                "The WS-Management service cannot process the request. This user is allowed a maximum number of "
                f"{self.limits.max_shells_per_user} concurrent shells, which has been exceeded."
            )
            raise Fault(Kind.MAX_SHELLS, words)
        self.open[shell.id] = shell
        return shell

    def find(self, shell_id: str | None, owner: str) -> Shell:
        """Return a shell of this user, or raise the fault that Windows has for one that it does not know."""
        shell = self.open.get((shell_id or "").upper())
        if shell is None or shell.owner != owner:
            words = (
                "The request for the Windows Remote Shell with ShellId "
                f"{shell_id} failed because the shell was not found on the server."
            )
            raise Fault(Kind.SHELL_NOT_FOUND, words)
        return shell

    def command(self, shell: Shell, line: str) -> Running:
        """Start a command in a shell."""
        shell.operations += 1
        if shell.operations > self.limits.max_operations_per_shell:
            words = "The WS-Management service cannot process the request. The maximum number of operations was exceeded."
            raise Fault(Kind.MAX_OPERATIONS, words)
        running = Running(Asked(line=line, environment=shell.environment, code_page=shell.code_page))
        shell.commands[running.id] = running
        self.started.append(line)
        running.task = asyncio.create_task(self._run(running))
        return running

    def running(self, shell: Shell, command_id: str) -> Running:
        """Return a command of a shell, or raise the fault of one that it does not know."""
        if (running := shell.commands.get(command_id.upper())) is None:
            raise Fault(Kind.SCHEMA, "The parameter is incorrect: there is no command with this id.")
        return running

    def delete(self, shell: Shell) -> None:
        """End a shell with all that runs in it."""
        del self.open[shell.id]
        for running in shell.commands.values():
            running.task.cancel()

    def lose_all(self) -> None:
        """Forget every shell, as a reboot does."""
        for shell in list(self.open.values()):
            self.delete(shell)

    async def _run(self, running: Running) -> None:
        said = await self.program(running)
        if said is None:
            name = running.asked.line.split(" ", 1)[0].strip('"')
            text = f"'{name}' is not recognized as an internal or external command,\r\noperable program or batch file.\r\n"
            said = Said(stderr=text.encode(), exit_status=1)
        running.write("stdout", said.stdout)
        running.write("stderr", said.stderr)
        running.end(said.exit_status)
