"""One host, as far as a playbook may touch it, over sessions: what it changes is detached, claimed and fenced."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextlib import AsyncExitStack
from typing import Any, Final

from inventory.errors import Text
from inventory.host import Host
from playbooks.ports import AnsibleLogin, Change, Intent
from playbooks.standings import change_of
from remote.answer import Answer, Ended
from remote.command import Command
from remote.detached import DetachedCommand, Standing, State
from remote.detached.following import Following
from remote.errors import RemoteError
from remote.question import Privilege, Question
from remote.session import Connect, Session

_PAUSES_S: Final = (0.1, 0.5, 2.0, 5.0)
"""Between attempts to reach a host that is gone."""
_HELLO: Final = Question(id="hello", script=":", deadline_s=10)


class NotOffered(RemoteError):
    """An action needs what this way to the host does not give."""


class SessionHands:
    """One host over one session at a time; where a connection is gone another one takes its place."""

    def __init__(self, session: Session, connect: Connect, stack: AsyncExitStack, token: int) -> None:
        self._session, self._connect, self._stack, self._token = session, connect, stack, token
        self._sent: dict[str, Privilege] = {}

    @property
    def host(self) -> Host:
        """Return which host it is."""
        return self._session.host

    @property
    def session(self) -> Session:
        """Return the session as it is by now."""
        return self._session

    async def ask(self, questions: Sequence[Question], *, deadline_s: float) -> Mapping[str, Answer]:
        """Return exactly one answer for each question."""
        end = time.monotonic() + deadline_s
        if self._session.dropped:
            await self.again(deadline_s=deadline_s)
        return await self._session.ask(questions, deadline_s=max(0.0, end - time.monotonic()))

    async def change(self, ident: str, command: Command, *, deadline_s: float) -> Change:
        """Return what became of a command that was sent detached under this id, at most once whatever happens."""
        end = time.monotonic() + deadline_s
        forget = tuple(name for name, privilege in self._sent.items() if privilege is command.privilege)
        following = Following(DetachedCommand(id=ident, token=self._token, command=command, forget=forget), sent_at=time.time())
        if self._session.dropped:
            await self.again(deadline_s=deadline_s)
        standing = await following.start(self._session, deadline_s=max(0.0, end - time.monotonic()))
        for name in forget:
            del self._sent[name]
        self._sent[ident] = command.privilege
        return change_of(await self._followed(following, standing, end))

    async def recall(self, intent: Intent, *, privilege: Privilege, deadline_s: float) -> Change:
        """Return what became of a command that an earlier process sent, or meant to send."""
        self._sent[intent.ident] = privilege
        command = Command(script=":", privilege=privilege)  # asked for by its id: its script was sent before, or never
        sent_at = 0.0 if intent.sent_s_ago is None else time.time() - intent.sent_s_ago
        following = Following(DetachedCommand(id=intent.ident, token=self._token, command=command), sent_at=sent_at)
        nothing = Standing(id=intent.ident, state=State.UNANSWERED)
        return change_of(await self._followed(following, nothing, time.monotonic() + deadline_s))

    async def again(self, *, deadline_s: float) -> bool:
        """Connect anew where the connection is gone; tell whether the host answers."""
        end = time.monotonic() + deadline_s
        if self._session.dropped and not await self._reconnected(end):
            return False
        answers = await self._session.ask((_HELLO,), deadline_s=max(0.1, min(_HELLO.deadline_s, end - time.monotonic())))
        return answers[_HELLO.id].ended is Ended.EXITED

    async def fabric(self, function: Callable[[Any], Any], *, deadline_s: float) -> Any:
        """Return what `function` returns, given a `fabric.Connection` in a thread."""
        from remote.fabric_connection import with_fabric

        return await with_fabric(self._session, function, deadline_s=deadline_s)

    async def ansible_login(self) -> AnsibleLogin:
        """Raise: Ansible is given no login of ours yet."""
        raise NotOffered(self.host.name, Text("longarm gives Ansible no login of its own yet"))

    async def forget(self, idents: Sequence[str], *, deadline_s: float) -> None:
        """Remove what the host keeps of commands whose ends are on disk; what cannot be removed now, a later run removes.

        `idents` are those of an earlier process, which may have been sent by either user.
        """
        for privilege in (Privilege.USER, Privilege.ROOT):
            names = list(dict.fromkeys((*idents, *(name for name, its in self._sent.items() if its is privilege))))
            if names and not self._session.dropped:
                await self._session.forget(names, privilege=privilege, deadline_s=deadline_s)

    async def _followed(self, following: Following, standing: Standing, end: float) -> Standing:
        """Return how a command stands once it is over and its output is whole, or at `end`."""
        unreached = 0
        while not standing.whole and (left_s := end - time.monotonic()) > 0:
            if self._session.dropped and not await self._reconnected(end):
                await asyncio.sleep(min(left_s, _PAUSES_S[min(unreached, len(_PAUSES_S) - 1)]))
                unreached += 1
                continue
            standing = await following.follow(self._session, deadline_s=max(0.0, end - time.monotonic()))
        return standing

    async def _reconnected(self, end: float) -> bool:
        """Open another session in place of the one that is gone; tell whether there is one now."""
        left_s = end - time.monotonic()
        if left_s <= 0:
            return False
        try:
            async with asyncio.timeout(left_s):
                await self._stack.aclose()
                self._session = await self._stack.enter_async_context(self._connect(self.host))
        except (RemoteError, TimeoutError):  # the host is down, or not up yet: whoever waits asks again
            return False
        return True


class LoopClock:
    """Time as the event loop has it."""

    def now_s(self) -> float:
        """Return the seconds of a clock that never goes back."""
        return asyncio.get_running_loop().time()

    def sleep(self, seconds: float) -> Coroutine[Any, Any, None]:
        """Wait."""
        return asyncio.sleep(seconds)
