"""What every session to a Windows host does, whatever carries it: one powershell.exe for each thing that is asked."""

from __future__ import annotations

import secrets
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from inventory.errors import Text
from inventory.host import Host
from remote.answer import Answer, Ended
from remote.command import Command, CommandResult
from remote.question import Privilege, Question
from remote.session import SessionFacts
from remote.terminal import NoTerminal, Screen, Terminal
from remote.windows.bundle import launch, write_command, write_script
from remote.windows.command_lines import CommandReader
from remote.windows.launch import Ending, Launch, Listener
from remote.windows.lines import LineReader

if TYPE_CHECKING:
    from remote.detached import DetachedCommand, Offset, Standing
    from remote.files import Destination, Part, Progress, Transfer


class WindowsSession(ABC):
    """A session to a host with PowerShell; a command's script is text of PowerShell."""

    host: Host
    facts: SessionFacts
    has_variables = False
    """Whether what is started finds an environment that we set."""
    piped = False
    """Whether there is a runspace that runs scripts itself, without a process of their own."""

    @property
    @abstractmethod
    def dropped(self) -> bool:
        """Tell whether the connection is gone for good."""

    @property
    def renewable(self) -> bool:
        """Tell whether another connection may take its place: no password goes out over one that stands."""
        return not self.facts.once

    @abstractmethod
    async def carry(self, launched: Launch, listener: Listener, *, deadline_s: float) -> Ending:
        """Start something, at most once, and return how it ended; never raises for what the host does.

        Returns when the listener has heard enough, when it ended, or within about a second after the deadline.
        """

    async def ask(self, questions: Sequence[Question], *, deadline_s: float) -> Mapping[str, Answer]:
        """Return exactly one answer for each question, as the `Session` protocol says."""
        if not questions:
            return {}
        nonce = secrets.token_hex(16)
        reader = LineReader(questions, nonce)
        script = write_script(questions, nonce, deadline_s=deadline_s, piped=self.piped)
        started = Launch(script=script) if self.piped else launch(script, variables=self.has_variables)
        ending = await self.carry(started, reader, deadline_s=deadline_s)
        return reader.finish(ending.why)

    async def run(self, command: Command, *, deadline_s: float) -> CommandResult:
        """Return what a command brought back, as the `Session` protocol says."""
        nonce = secrets.token_hex(16)
        try:
            script = write_command(command, nonce)
        except ValueError as error:  # NUL in a value
            return CommandResult(ended=Ended.NOT_RUN, exit_status=None, why=str(error))
        reader = CommandReader(command, nonce)
        started = launch(script, variables=self.has_variables, secret=True)
        return reader.finish(await self.carry(started, reader, deadline_s=deadline_s))

    async def start(
        self,
        detached: DetachedCommand,
        *,
        wait_s: int,  # noqa: ARG002 (the protocol's)
        deadline_s: float,  # noqa: ARG002 (the protocol's)
    ) -> Standing:
        """Refuse it: what is started here ends with its connection (a WinRM shell, a session of sshd), so nothing is begun."""
        from remote.detached import Reason, Standing, State

        return Standing(id=detached.id, state=State.FAILED, reason=Reason.NO_TOOL)

    async def collect(
        self,
        name: str,
        offset: Offset,
        *,
        privilege: Privilege = Privilege.USER,  # noqa: ARG002 (the protocol's)
        sent_s_ago: float | None = None,  # noqa: ARG002 (the protocol's)
        wait_s: int = 0,  # noqa: ARG002 (the protocol's)
        deadline_s: float,  # noqa: ARG002 (the protocol's)
    ) -> Standing:
        """Return that it never began: no start begins anything here."""
        from remote.detached import Reason, Standing, State

        return Standing(id=name, state=State.FAILED, reason=Reason.NOT_STARTED, offset=offset)

    async def forget(
        self,
        names: Sequence[str],
        *,
        privilege: Privilege = Privilege.USER,  # noqa: ARG002 (the protocol's)
        deadline_s: float,  # noqa: ARG002 (the protocol's)
    ) -> frozenset[str]:
        """Return them all: nothing is kept of them here."""
        return frozenset(names)

    async def put(
        self,
        source: bytes | Path,
        to: Destination,
        *,
        deadline_s: float,
        progress: Progress | None = None,
        resume: Part | None = None,
    ) -> Transfer:
        """Put a file on the host, as the `Session` protocol says."""
        from remote.windows.transfers import put_file

        return await put_file(self, source, to, deadline_s=deadline_s, progress=progress, resume=resume)

    async def get(
        self,
        path: str,
        to: Path,
        *,
        max_bytes: int,
        deadline_s: float,
        privilege: Privilege = Privilege.USER,
        progress: Progress | None = None,
        resume: Part | None = None,
    ) -> Transfer:
        """Get a file from the host, as the `Session` protocol says."""
        from remote.windows.transfers import get_file

        return await get_file(
            self,
            path,
            to,
            max_bytes=max_bytes,
            deadline_s=deadline_s,
            privilege=privilege,
            progress=progress,
            resume=resume,
        )

    async def terminal(self, screen: Screen, *, deadline_s: float) -> Terminal:  # noqa: ARG002 (the protocol's)
        """Raise NoTerminal: neither WinRM nor PSRP has one, and by SSH it would be cmd's, which we do not speak."""
        raise NoTerminal(self.host.name, Text("a Windows host gives none by {transport}", transport=self.facts.transport))
