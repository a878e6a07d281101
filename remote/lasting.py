"""A session that outlives its connection: what only reads is asked again over a new one, what may have had an effect is not."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from inventory.host import Host
from remote.answer import NO_TIME, Answer, Ended
from remote.command import Command, CommandResult
from remote.errors import ConnectFailed, RemoteError
from remote.question import Privilege, Question
from remote.session import Connect, Session, SessionFacts

if TYPE_CHECKING:
    from remote.detached import DetachedCommand, Offset, Standing
    from remote.files import Destination, Part, Progress, Transfer
    from remote.terminal import Screen, Terminal

MOST_NEW = 3
"""How often one session is connected anew: a host that drops every connection is left at that."""
ONCE = 1
"""How often for a run over a fleet, where a network that fails drops hundreds."""


DROPS_ALL = "it dropped the one before too"
NOT_OFFERED_TWICE = "a password or code that may not go out twice, or a host that sent too much"


class LastingConnect:
    """Opens sessions that last, over those of another `Connect`."""

    def __init__(self, connect: Connect, *, most_new: int = MOST_NEW) -> None:
        self._connect, self._most_new = connect, most_new

    @asynccontextmanager
    async def __call__(self, host: Host) -> AsyncIterator[Session]:
        """Connect, or raise a RemoteError; leaving closes whichever connection is open by then."""
        async with AsyncExitStack() as stack:
            session = await stack.enter_async_context(self._connect(host))
            yield LastingSession(session, self._connect, stack, self._most_new)


class LastingSession:
    """A session over one connection at a time."""

    def __init__(self, session: Session, connect: Connect, stack: AsyncExitStack, most_new: int) -> None:
        self.host = session.host
        self._session, self._connect, self._stack = session, connect, stack
        self._left = most_new
        self._dropped = self._not_renewed = ""
        self._asked_again: tuple[str, ...] = ()

    @property
    def facts(self) -> SessionFacts:
        """Return what was negotiated, lately, and what became of questions that went with a connection."""
        own = self._session.facts  # a session that mends its own connection has asked again itself
        return replace(
            own,
            dropped=self._dropped or own.dropped,
            asked_again=(*self._asked_again, *own.asked_again),
            not_renewed=self._not_renewed or own.not_renewed,
        )

    @property
    def dropped(self) -> bool:
        """Tell whether the connection is gone and there will be no other."""
        return self._session.dropped and not self.renewable

    @property
    def renewable(self) -> bool:
        """Tell whether there is to be another one, once this is gone."""
        return self._left > 0 and self._session.renewable

    async def ask(self, questions: Sequence[Question], *, deadline_s: float) -> Mapping[str, Answer]:
        """Return exactly one answer for each question; those that went with the connection are asked again over another.

        What had arrived is kept: only an answer that is none yet gives way to what comes over the other one.
        """
        end = time.monotonic() + deadline_s
        await self._renewed(end)
        answers = dict(await self._session.ask(questions, deadline_s=max(0.0, end - time.monotonic())))
        missing = [question for question in questions if question.repeatable and went(answers[question.id])]
        if not missing or not self._session.dropped:
            return answers
        self._dropped = self._dropped or answers[missing[0].id].why or "closed by the host"
        if await self._renewed(end):
            self._asked_again += tuple(question.id for question in missing)
            again = await self._session.ask(missing, deadline_s=max(0.0, end - time.monotonic()))
            answers |= {name: answer for name, answer in again.items() if not went(answer)}
            if self._session.dropped and any(went(answer) for answer in again.values()):
                self._not_renewed = self._why_not()
        return answers

    async def run(self, command: Command, *, deadline_s: float) -> CommandResult:
        """Return how a command ended: run at most once, over a new connection if the last one is gone beforehand."""
        end = time.monotonic() + deadline_s
        await self._renewed(end)
        return await self._session.run(command, deadline_s=max(0.0, end - time.monotonic()))

    async def start(self, detached: DetachedCommand, *, wait_s: int, deadline_s: float) -> Standing:
        """Return how a detached command stands: sent once, over a new connection if the last one is gone beforehand."""
        end = time.monotonic() + deadline_s
        await self._renewed(end)
        return await self._session.start(detached, wait_s=wait_s, deadline_s=max(0.0, end - time.monotonic()))

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
        """Return how a detached command stands; asked again over another connection where the answer went with one."""
        from remote.detached import State

        end = time.monotonic() + deadline_s
        while True:
            await self._renewed(end)
            left_s = max(0.0, end - time.monotonic())
            standing = await self._session.collect(
                name, offset, privilege=privilege, sent_s_ago=sent_s_ago, wait_s=wait_s, deadline_s=left_s
            )
            answered = standing.state is not State.UNANSWERED or not self._session.dropped
            if answered or self.dropped or time.monotonic() >= end:
                return standing

    async def forget(self, names: Sequence[str], *, privilege: Privilege = Privilege.USER, deadline_s: float) -> frozenset[str]:
        """Remove what the host keeps of detached commands, over a new connection if the last one is gone beforehand."""
        end = time.monotonic() + deadline_s
        await self._renewed(end)
        return await self._session.forget(names, privilege=privilege, deadline_s=max(0.0, end - time.monotonic()))

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
                if failed.part is None or not self._session.dropped or self.dropped or time.monotonic() >= end:
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
        if not self._session.dropped:
            return False
        if not self.renewable or time.monotonic() >= end:
            self._not_renewed = self._not_renewed or self._why_not()
            return False
        self._left -= 1
        try:
            async with asyncio.timeout(end - time.monotonic()):
                await self._stack.aclose()
                self._session = await self._stack.enter_async_context(self._connect(self.host))
        except (RemoteError, TimeoutError) as error:  # what is asked now is lost, with the words of the connection that went
            self._not_renewed = str(error) or NO_TIME
            if not isinstance(error, (ConnectFailed, TimeoutError)):  # nothing is offered again to a host that refused it
                self._left = 0
            return False
        self._not_renewed = ""
        return True

    def _why_not(self) -> str:
        if not self._session.renewable:
            return self._session.facts.not_renewed or NOT_OFFERED_TWICE
        return NO_TIME if self._left else DROPS_ALL


def went(answer: Answer) -> bool:
    """Tell whether an answer is none, for what became of the connection."""
    return answer.ended in (Ended.LOST, Ended.NOT_RUN) and not answer.denied
