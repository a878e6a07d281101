"""What every session to a Windows host does, whatever carries it: one powershell.exe for each thing that is asked."""

from __future__ import annotations

import secrets
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from inventory.errors import Text
from inventory.host import Host
from remote.answer import NO_TIME, Answer, Ended
from remote.command import Command, CommandResult
from remote.lasting import DROPS_ALL
from remote.question import Privilege, Question
from remote.session import SessionFacts
from remote.terminal import NoTerminal, Screen, Terminal
from remote.windows.bundle import given, launch, write_command, write_script
from remote.windows.command_lines import CommandReader
from remote.windows.launch import Ending, Launch, Listener
from remote.windows.lines import LineReader

if TYPE_CHECKING:
    from remote.detached import DetachedCommand, Offset, Standing
    from remote.files import Destination, Part, Progress, Transfer


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What one bundle brought back."""

    unheard: tuple[Question, ...]
    answers: Mapping[str, Answer] = field(default_factory=dict)
    begun: bool = False
    """Whether the host may have run any of it."""
    went: str = ""
    """Why a connection, or a shell, went away meanwhile; empty: none did."""


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
    def refused(self) -> str:
        """Return why the host lets us in no more; empty: it did not refuse us."""
        return ""

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
        """Return exactly one answer for each question, as the `Session` protocol says.

        Those whose answers went with a connection, or with a shell, are asked once more where another one has taken its place.
        """
        if not questions:
            return {}
        end = time.monotonic() + deadline_s
        first = await self._asked(questions, deadline_s)
        lost = [one for one in first.unheard if one.repeatable]
        if not lost or not first.went or (self.dropped and not self.refused):
            return first.answers
        second = Asked(unheard=tuple(lost))
        if not self.refused and (left_s := end - time.monotonic()) > 0:
            second = await self._asked(lost, left_s)
        late = NO_TIME if time.monotonic() >= end else ""
        why = self.refused or (DROPS_ALL if second.went else late) if second.unheard else ""
        self.facts = replace(
            self.facts,
            dropped=self.facts.dropped or first.went,
            asked_again=(*self.facts.asked_again, *(one.id for one in lost if second.begun)),
            not_renewed=self.facts.not_renewed or why,
        )
        heard = {one.id for one in lost} - {one.id for one in second.unheard}
        return {name: second.answers[name] if name in heard else answer for name, answer in first.answers.items()}

    async def _asked(self, questions: Sequence[Question], deadline_s: float) -> Asked:
        nonce = secrets.token_hex(16)
        reader = LineReader(questions, nonce)
        script = write_script(questions, nonce, deadline_s=deadline_s, piped=self.piped)
        started = Launch(script=script) if self.piped else launch(script, variables=self.has_variables)
        ending = await self.carry(started, reader, deadline_s=deadline_s)
        answers = reader.finish(ending.why, begun=ending.begun and (ending.left or bool(ending.went)))
        return Asked(answers=answers, unheard=reader.unheard, begun=ending.begun, went=ending.went)

    async def run(self, command: Command, *, deadline_s: float) -> CommandResult:
        """Return what a command brought back, as the `Session` protocol says."""
        nonce = secrets.token_hex(16)
        try:
            script = write_command(command, nonce)
        except ValueError as error:  # NUL in a value
            return CommandResult(ended=Ended.NOT_RUN, exit_status=None, why=str(error))
        reader = CommandReader(command, nonce)
        started = launch(script, variables=self.has_variables, more=given(command))
        return reader.finish(await self.carry(started, reader, deadline_s=deadline_s))

    async def start(self, detached: DetachedCommand, *, wait_s: int, deadline_s: float) -> Standing:
        """Return how a command stands that was started detached, as the `Session` protocol says."""
        from remote.windows.detached import start

        return await start(self, detached, wait_s=wait_s, deadline_s=deadline_s)

    async def collect(
        self,
        name: str,
        offset: Offset,
        *,
        privilege: Privilege = Privilege.USER,
        sent_s_ago: float | None = None,
        wait_s: int = 0,
        deadline_s: float,
    ) -> Standing:
        """Return how a command stands, as the `Session` protocol says."""
        from remote.windows.detached import collect

        return await collect(
            self, name, offset, privilege=privilege, sent_s_ago=sent_s_ago, wait_s=wait_s, deadline_s=deadline_s
        )

    async def forget(self, names: Sequence[str], *, privilege: Privilege = Privilege.USER, deadline_s: float) -> frozenset[str]:
        """Return the ids of which nothing is left, as the `Session` protocol says."""
        from remote.windows.detached import forget

        return await forget(self, names, privilege=privilege, deadline_s=deadline_s)

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
        """Get a file from the host, as the `Session` protocol says; once more from where a part of it was lost on the way."""
        from remote.files.transfer import Reason, TransferFailed
        from remote.windows.transfers import get_file

        end = time.monotonic() + deadline_s
        get = partial(get_file, self, path, to, max_bytes=max_bytes, privilege=privilege, progress=progress)
        try:
            return await get(deadline_s=deadline_s, resume=resume)
        except TransferFailed as failed:
            left_s = end - time.monotonic()
            if failed.reason is not Reason.LOST or self.dropped or left_s <= 0:
                raise
            part = failed.part
        return await get(deadline_s=left_s, resume=part)

    async def terminal(self, screen: Screen, *, deadline_s: float) -> Terminal:  # noqa: ARG002 (the protocol's)
        """Raise NoTerminal: neither WinRM nor PSRP has one, and by SSH it would be cmd's, which we do not speak."""
        raise NoTerminal(self.host.name, Text("a Windows host gives none by {transport}", transport=self.facts.transport))
