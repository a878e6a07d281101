"""The shells of one practice Windows host, and the commands that run in them, with the limits of a machine as installed."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, TypeAlias

from remote.lab.windows.faults import Fault, Kind, Provider

if TYPE_CHECKING:
    from remote.lab.windows.runspaces import Runspace


IDLE_TIMEOUT_S: Final = 7200.0
"""IdleTimeout of winrm/config/winrs as a machine is installed."""
_NO_SUCH: Final = (
    "The WS-Management service cannot process the request because the request contained invalid selectors for the resource. "
)


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
    user: str = ""


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

    def close(self) -> None:
        """Stop the program."""
        self.task.cancel()

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
    environment: Mapping[str, str] = field(default_factory=dict)
    code_page: int = 437
    idle_timeout_s: float = IDLE_TIMEOUT_S
    id: str = field(default_factory=new_id)
    commands: dict[str, Running] = field(default_factory=dict)
    runspace: Runspace | None = None
    """What an endpoint of PowerShell has in the place of commands."""
    operations: int = 0

    def close(self) -> None:
        """End all that runs in it."""
        for running in self.commands.values():
            running.close()
        if self.runspace is not None:
            self.runspace.close()


@dataclass(slots=True, kw_only=True)
class Limits:
    """Limits of a machine as it is installed (winrm get winrm/config)."""

    max_shells_per_user: int = 30
    max_operations_per_shell: int = 1500
    """Commands of one shell in all: the count never goes down, so a client makes a new shell."""
    max_envelope_bytes: int = 500 * 1024
    max_timeout_s: float = 60.0


class Shells:
    """All shells of a host."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.open: dict[str, Shell] = {}
        self.opened = 0
        """How many there ever were."""
        self.started: list[str] = []
        """Every command line and script that was ever started, in order: a test counts that none came twice."""
        self.broken: list[BaseException] = []
        """What programs have raised: a fault of whoever wrote them, which ends every shell and comes up where the host ends."""

    def keep(self, shell: Shell) -> Shell:
        """Keep a new shell, or raise the fault of too many."""
        if sum(one.owner == shell.owner for one in self.open.values()) >= self.limits.max_shells_per_user:
            cannot = "The WS-Management service cannot process the request. "
            remedy = "Close existing shells or raise the quota for this user. "
            many = f"This user is allowed a maximum number of {self.limits.max_shells_per_user} concurrent shells"
            reason = f"{cannot}The maximum number of concurrent shells for this user has been exceeded. {remedy}"
            raise Fault(Kind.MAX_SHELLS, f"{cannot}{many}, which has been exceeded. {remedy}", reason)
        self.open[shell.id] = shell
        self.opened += 1
        return shell

    def find(self, shell_id: str | None, owner: str) -> Shell:
        """Return a shell of this user, or raise the fault that Windows has for one that it does not know."""
        shell = self.open.get((shell_id or "").upper())
        if shell is None or shell.owner != owner:
            raise Fault(
                Kind.SHELL_NOT_FOUND,
                f"The request for the Windows Remote Shell with ShellId {shell_id} failed because the shell was not found on "
                "the server. Possible causes are: the specified ShellId is incorrect or the shell no longer exists on the "
                "server. Provide the correct ShellId or create a new shell and retry the operation. ",
                _NO_SUCH,
            )
        return shell

    def count_operation(self, shell: Shell) -> None:
        """Count what is started in a shell, or raise the fault of too much."""
        shell.operations += 1
        if shell.operations > self.limits.max_operations_per_shell:
            words = "The WS-Management service cannot process the request. The maximum number of operations was exceeded. "
            raise Fault(Kind.MAX_OPERATIONS, words)

    def delete(self, shell: Shell) -> None:
        """End a shell with all that runs in it."""
        del self.open[shell.id]
        shell.close()

    def watch(self, task: asyncio.Task[None]) -> asyncio.Task[None]:
        """Return the task of a program, and see what it raises."""

        def ended(task: asyncio.Task[None]) -> None:
            if not task.cancelled() and (error := task.exception()) is not None:
                self.broken.append(error)
                self.lose_all()

        task.add_done_callback(ended)
        return task

    def lose_all(self) -> None:
        """Forget every shell, as a reboot does."""
        for shell in list(self.open.values()):
            self.delete(shell)


def no_shell() -> Fault:
    """Return the fault of asking what a shell is like that is not there."""
    return Fault(Kind.SHELL_NOT_FOUND, _NO_SUCH, provider=Provider.SHELL)


def no_command() -> Fault:
    """Return the fault of a command, or a pipeline, that a shell does not have."""
    return Fault(
        Kind.SHELL_NOT_FOUND,
        "The Windows Remote Shell received a request to perform an operation on a command identifier that does not exist. "
        "Either the command has completed execution or the client specified an invalid command identifier. ",
        _NO_SUCH,
    )


def too_slow() -> Fault:
    """Return the fault of an operation that took longer than its message allows."""
    words = "The WS-Management service cannot complete the operation within the time specified in OperationTimeout.  "
    return Fault(Kind.OPERATION_TIMEOUT, words)
