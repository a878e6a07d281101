"""What every session to a host with a `sh` can do by asking alone."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence

from inventory.host import Host
from remote.answer import Answer
from remote.command import Command, CommandResult
from remote.question import Question
from remote.session import SessionFacts


class ShellSession(ABC):
    """A session whose host runs bundles: a command is one that carries a single question, asked at most once."""

    host: Host
    facts: SessionFacts

    @abstractmethod
    async def ask(self, questions: Sequence[Question], *, deadline_s: float) -> Mapping[str, Answer]:
        """Return exactly one answer for each question, as the `Session` protocol says."""

    async def run(self, command: Command, *, deadline_s: float) -> CommandResult:
        """Return what a command brought back, as the `Session` protocol says."""
        question = command.question()
        return CommandResult.of((await self.ask([question], deadline_s=deadline_s))[question.id])
