"""A session to a server that takes one command over a connection, as tinyssh does: each exchange has one of its own."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from dataclasses import replace

from inventory.host import Host
from remote.answer import Answer, Ended, not_started
from remote.errors import AuthenticationRefused, DeadlineExceeded, HostKeyRefused, RemoteError
from remote.lasting import went
from remote.question import Question
from remote.session import Session
from remote.shell_session import ShellSession
from remote.terminal import Screen, Terminal


class BriefSession(ShellSession):
    """What one connection after the other gives; the first one belongs to whoever made it, the others are its own.

    That a connection ends with its command is no drop. One that ends before the answers are there is: then this counts as
    dropped, for whoever may ask again.
    """

    def __init__(self, first: Session, connect: Callable[[Host], AbstractAsyncContextManager[Session]]) -> None:
        self.host, self.facts = first.host, first.facts
        self._session, self._connect, self._stack = first, connect, AsyncExitStack()
        self._used = self._cut = self._over = False
        self._refusal: RemoteError | None = None
        """Why the host did not let us in again: nothing is offered to it once more."""
        self._turn = asyncio.Lock()

    async def leave(self) -> None:
        """Close the connection that was made here; there will be no other."""
        self._over = True
        await self._stack.aclose()

    @property
    def dropped(self) -> bool:
        """Tell whether answers went with the last connection, or there will be no other one."""
        gone = self._session.dropped and (self._cut or not self._session.renewable)
        return gone or self._over or self._refusal is not None

    @property
    def renewable(self) -> bool:
        """Tell whether another connection may take the place of this one, as the `Session` protocol says."""
        return self._session.renewable and self._refusal is None

    async def ask(self, questions: Sequence[Question], *, deadline_s: float) -> Mapping[str, Answer]:
        """Return exactly one answer for each question, as the `Session` protocol says."""
        end = time.monotonic() + deadline_s
        async with AsyncExitStack() as turn:
            try:
                async with asyncio.timeout(deadline_s):
                    await turn.enter_async_context(self._turn)
                    await self._renewed()
            except (RemoteError, TimeoutError) as error:
                why = str(error) if isinstance(error, RemoteError) else not_started(deadline_s)
                return {one.id: Answer(ended=Ended.NOT_RUN, exit_status=None, why=why) for one in questions}
            answers = await self._session.ask(questions, deadline_s=max(0.0, end - time.monotonic()))
            self._cut = time.monotonic() < end and any(map(went, answers.values()))
            return answers

    async def terminal(self, screen: Screen, *, deadline_s: float) -> Terminal:
        """Return a terminal, as the `Session` protocol says."""
        end = time.monotonic() + deadline_s
        async with AsyncExitStack() as turn:
            try:
                async with asyncio.timeout(deadline_s):
                    await turn.enter_async_context(self._turn)
                    await self._renewed()
            except TimeoutError as error:
                raise DeadlineExceeded(self.host.name, deadline_s) from error
            return await self._session.terminal(screen, deadline_s=max(0.0, end - time.monotonic()))

    async def _renewed(self) -> None:
        """Have a connection that took no command yet; raises RemoteError, the same again where the host refused us."""
        if self._refusal is not None:
            raise self._refusal
        if (self._used or self._session.dropped) and self._session.renewable and not self._over:
            await self._stack.aclose()
            try:
                self._session = await self._stack.enter_async_context(self._connect(self.host))
            except (AuthenticationRefused, HostKeyRefused) as error:
                self._refusal = error
                self.facts = replace(self.facts, not_renewed=str(error))
                raise
        self._used = True
