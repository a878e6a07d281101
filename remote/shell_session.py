"""What every session to a host with a `sh` can do by asking alone."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from inventory.errors import Text
from inventory.host import Host
from remote.answer import Answer
from remote.command import Command, CommandResult
from remote.question import Privilege, Question
from remote.session import SessionFacts
from remote.terminal import NoTerminal, Screen, Terminal

if TYPE_CHECKING:
    from remote.detached import DetachedCommand, Offset, Standing
    from remote.files import Destination, Part, Progress, Transfer
    from remote.files.carriers import Carrier
    from remote.files.steps import Steps

EXEC_PAUSES_S = (0.05, 0.2, 0.8)
"""Between attempts to start a command. dropbear 2022.83 now and then refuses an exec that comes while it closes the one
before (5 of 8 sessions with eleven commands each: measured), and a server that counts sessions may still count that one.
Nothing has run then: the script is sent once there is a shell."""


class ShellSession(ABC):
    """A session whose host runs bundles: a command is one that carries a single question, asked at most once."""

    host: Host
    facts: SessionFacts

    @property
    def dropped(self) -> bool:
        """Tell whether the connection is gone; this machine is always there."""
        return False

    @property
    def renewable(self) -> bool:
        """Tell whether another connection may take its place, as the `Session` protocol says."""
        return False

    @abstractmethod
    async def ask(self, questions: Sequence[Question], *, deadline_s: float) -> Mapping[str, Answer]:
        """Return exactly one answer for each question, as the `Session` protocol says."""

    async def run(self, command: Command, *, deadline_s: float) -> CommandResult:
        """Return what a command brought back, as the `Session` protocol says."""
        question = command.question()
        return CommandResult.of((await self.ask([question], deadline_s=deadline_s))[question.id])

    async def start(self, detached: DetachedCommand, *, wait_s: int, deadline_s: float) -> Standing:
        """Return how a command stands that was started detached, as the `Session` protocol says."""
        from remote.detached.asking import start

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
        """Return how a detached command stands, as the `Session` protocol says."""
        from remote.detached.asking import collect

        return await collect(
            self, name, offset, privilege=privilege, sent_s_ago=sent_s_ago, wait_s=wait_s, deadline_s=deadline_s
        )

    async def forget(self, names: Sequence[str], *, privilege: Privilege = Privilege.USER, deadline_s: float) -> frozenset[str]:
        """Remove what the host keeps of detached commands, as the `Session` protocol says."""
        from remote.detached.asking import forget

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
        from remote.files.putting import put_file

        return await put_file(
            self, source, to, deadline_s=deadline_s, open_carrier=self._carrier, progress=progress, resume=resume
        )

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
        from remote.files.getting import get_file

        return await get_file(
            self,
            path,
            to,
            max_bytes=max_bytes,
            deadline_s=deadline_s,
            privilege=privilege,
            open_carrier=self._carrier,
            progress=progress,
            resume=resume,
        )

    async def terminal(self, screen: Screen, *, deadline_s: float) -> Terminal:  # noqa: ARG002 (for those that have one)
        """Return a terminal, as the `Session` protocol says."""
        raise NoTerminal(self.host.name, Text("{transport} has none", transport=self.facts.transport))

    async def _carrier(self, steps: Steps) -> Carrier | None:  # noqa: ARG002 (for those that have one)
        """Return what carries files better than commands do; None: nothing."""
        return None
