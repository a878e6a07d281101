"""A session that outlives its connection: what only reads is asked again over a new one, what may have had an effect is not."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from inventory.host import Host
from remote.answer import Answer, Ended
from remote.command import Command, CommandResult
from remote.errors import RemoteError
from remote.question import Privilege, Question
from remote.session import Connect, Session, SessionFacts

if TYPE_CHECKING:
    from remote.files import Destination, Part, Progress, Transfer
    from remote.terminal import Screen, Terminal

MOST_NEW = 3
"""How often one session is connected anew: a host that drops every connection is left at that."""


class LastingConnect:
    """Opens sessions that last, over those of another `Connect`."""

    def __init__(self, connect: Connect) -> None:
        self._connect = connect

    @asynccontextmanager
    async def __call__(self, host: Host) -> AsyncIterator[Session]:
        """Connect, or raise a RemoteError; leaving closes whichever connection is open by then."""
        async with AsyncExitStack() as stack:
            yield LastingSession(await stack.enter_async_context(self._connect(host)), self._connect, stack)


class LastingSession:
    """A session over one connection at a time."""

    def __init__(self, session: Session, connect: Connect, stack: AsyncExitStack) -> None:
        self.host = session.host
        self._session, self._connect, self._stack = session, connect, stack
        self._left = MOST_NEW

    @property
    def facts(self) -> SessionFacts:
        """Return what was negotiated, lately."""
        return self._session.facts

    @property
    def dropped(self) -> bool:
        """Tell whether the connection is gone and there will be no other."""
        return self._session.dropped and not self._left

    async def ask(self, questions: Sequence[Question], *, deadline_s: float) -> Mapping[str, Answer]:
        """Return exactly one answer for each question; those that went with the connection are asked again over another."""
        end = time.monotonic() + deadline_s
        await self._renewed(end)
        answers = dict(await self._session.ask(questions, deadline_s=max(0.0, end - time.monotonic())))
        missing = [question for question in questions if question.repeatable and _went(answers[question.id])]
        if missing and await self._renewed(end):
            again = await self._session.ask(missing, deadline_s=max(0.0, end - time.monotonic()))
            answers |= {name: answer for name, answer in again.items() if answer.ended is not Ended.NOT_RUN}
        return answers

    async def run(self, command: Command, *, deadline_s: float) -> CommandResult:
        """Return how a command ended: run at most once, over a new connection if the last one is gone beforehand."""
        end = time.monotonic() + deadline_s
        await self._renewed(end)
        return await self._session.run(command, deadline_s=max(0.0, end - time.monotonic()))

    async def put(
        self,
        source: bytes | Path,
        to: Destination,
        *,
        deadline_s: float,
        progress: Progress | None = None,
        resume: Part | None = None,
    ) -> Transfer:
        """Put a file; one that was cut off is for whoever has its part to go on with."""
        end = time.monotonic() + deadline_s
        await self._renewed(end)
        left_s = max(0.0, end - time.monotonic())
        return await self._session.put(source, to, deadline_s=left_s, progress=progress, resume=resume)

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
        """Get a file; one that was cut off goes on over another connection."""
        from remote.files import TransferFailed

        end = time.monotonic() + deadline_s
        while True:
            await self._renewed(end)
            left_s = max(0.0, end - time.monotonic())
            try:
                return await self._session.get(
                    path, to, max_bytes=max_bytes, deadline_s=left_s, privilege=privilege, progress=progress, resume=resume
                )
            except TransferFailed as failed:
                if failed.part is None or not self._session.dropped or not self._left or time.monotonic() >= end:
                    raise
                resume = failed.part

    async def terminal(self, screen: Screen, *, deadline_s: float) -> Terminal:
        """Return a terminal, which lasts as long as its connection."""
        end = time.monotonic() + deadline_s
        await self._renewed(end)
        return await self._session.terminal(screen, deadline_s=max(0.0, end - time.monotonic()))

    async def _renewed(self, end: float) -> bool:
        """Connect anew where the connection is gone, as long as there is time and hope; tell whether that was done.

        What the old one held is let go first: many that drop together would wait for each other's places.
        """
        if not self._session.dropped or not self._left or time.monotonic() >= end:
            return False
        self._left -= 1
        try:
            async with asyncio.timeout(end - time.monotonic()):
                await self._stack.aclose()
                self._session = await self._stack.enter_async_context(self._connect(self.host))
        except (RemoteError, TimeoutError):
            return False  # what is asked now is lost, with the words of the connection that went
        return True


def _went(answer: Answer) -> bool:
    return answer.ended in (Ended.LOST, Ended.NOT_RUN) and not answer.denied
