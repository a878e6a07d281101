"""One host, as far as a playbook may touch it, over sessions: what it changes is detached, claimed and fenced."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import Any, Final

from inventory.errors import Text
from inventory.host import Host, Platform
from playbooks.ports import Became, CallResult, Change, Intent, Recap
from playbooks.standings import change_of
from remote.ansible_bridge import AnsibleWay, with_ansible
from remote.answer import NO_TIME, Answer, Ended
from remote.command import Command
from remote.detached import DetachedCommand, Reason, Standing, State
from remote.detached.following import Following
from remote.errors import ConnectFailed, RemoteError
from remote.question import Privilege, Question
from remote.session import Connect, Session
from remote.windows.bundle import SHELL as POWERSHELL

_PAUSES_S: Final = (0.1, 0.5, 2.0, 5.0)
"""Between attempts to reach a host that is gone."""
_HELLO: Final = Question(id="hello", script=":", deadline_s=10)
_HELLO_WINDOWS: Final = Question(id="hello", script="$null", shell=POWERSHELL, deadline_s=20)


class SessionHands:
    """One host over one session at a time; where a connection is gone another one takes its place."""

    def __init__(self, session: Session, connect: Connect, stack: AsyncExitStack, token: int) -> None:
        self._session, self._connect, self._stack, self._token = session, connect, stack, token
        self._sent: dict[str, Privilege] = {}
        self._denied = ""
        self.unreached: Text | None = None
        """What the last attempt at a connection said; None: there is one."""
        self.connected_anew = 0
        """How often the connection was gone and another one took its place."""

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
        if following.launched:
            for name in forget:
                del self._sent[name]
        self._sent[ident] = command.privilege
        standing = await self._followed(following, standing, end)
        return self._told(change_of(self._asked_for(standing) if following.may_run else standing))

    async def recall(self, intent: Intent, *, privilege: Privilege, deadline_s: float) -> Change:
        """Return what became of a command that an earlier process sent, or meant to send."""
        return self._told(change_of(self._asked_for(await self.standing(intent, privilege=privilege, deadline_s=deadline_s))))

    async def standing(self, intent: Intent, *, privilege: Privilege, deadline_s: float) -> Standing:
        """Return how it stands with a command that an earlier process sent, or meant to send: once it has ended, or then."""
        self._sent[intent.ident] = privilege
        command = Command(script=":", privilege=privilege)  # asked for by its id: its script was sent before, or never
        sent_at = 0.0 if intent.sent_s_ago is None else time.time() - intent.sent_s_ago
        following = Following(DetachedCommand(id=intent.ident, token=self._token, command=command), sent_at=sent_at)
        nothing = Standing(id=intent.ident, state=State.UNANSWERED)
        return await self._followed(following, nothing, time.monotonic() + deadline_s)

    def _asked_for(self, standing: Standing) -> Standing:
        """Return how a command stands that may have begun: where its user could not be become, nobody was asked, or knows."""
        if standing.reason is not Reason.DENIED:
            return standing
        self._denied = standing.why
        return Standing(id=standing.id, state=State.UNKNOWN, whole=True)

    def _told(self, change: Change) -> Change:
        """Return what became of a command with why nobody could ask the host, where that is why nobody knows."""
        if change.became is not Became.UNKNOWN or change.why is not None:
            return change
        if self._denied:
            return replace(change, why=Text("root could not be had: {why}", why=self._denied))
        lost = self.unreached is not None
        return replace(change, why=Text("the host was not reached again: {why}", why=self.unreached)) if lost else change

    async def again(self, *, deadline_s: float) -> bool:
        """Connect anew where the connection is gone; tell whether the host answers."""
        end = time.monotonic() + deadline_s
        if self._session.dropped and not await self._reconnected(end):
            return False
        hello = _HELLO_WINDOWS if self.host.platform is Platform.WINDOWS else _HELLO
        answers = await self._session.ask((hello,), deadline_s=max(0.1, min(hello.deadline_s, end - time.monotonic())))
        return answers[hello.id].ended is Ended.EXITED

    async def fabric(self, key: str, function: Callable[[Any], CallResult], *, deadline_s: float) -> CallResult:  # noqa: ARG002 (a port's)
        """Return what `function` came to, given a `fabric.Connection` in a thread."""
        from remote.fabric_connection import with_fabric

        return await with_fabric(await self._open(deadline_s), function, deadline_s=deadline_s)

    async def ansible(self, key: str, run: Callable[[AnsibleWay], Recap], *, deadline_s: float) -> Recap:  # noqa: ARG002 (a port's)
        """Return what a run of Ansible came to over the session."""
        return await with_ansible(await self._open(deadline_s), run, deadline_s=deadline_s)

    async def _open(self, deadline_s: float) -> Session:
        """Return a session that is open, another one where the last is gone; raises ConnectFailed where there is none."""
        if self._session.dropped and not await self._reconnected(time.monotonic() + deadline_s):
            raise ConnectFailed(self.host.name, self.unreached or NO_TIME)
        return self._session

    async def forget(self, idents: Sequence[str], *, deadline_s: float) -> None:
        """Remove what the host keeps of commands whose ends are on disk, over another connection where this one is gone.

        `idents` are those of an earlier process, which may have been sent by either user.
        """
        end = time.monotonic() + deadline_s
        for privilege in (Privilege.USER, Privilege.ROOT):
            names = dict.fromkeys((*idents, *(name for name, its in self._sent.items() if its is privilege)))
            await self._forgotten([*names], privilege, end)

    async def _forgotten(self, names: Sequence[str], privilege: Privilege, end: float) -> None:
        """Return once the host has been asked to forget these and has answered, or at `end`."""
        unreached = 0
        while names and (left_s := end - time.monotonic()) > 0:
            if not self._session.dropped:
                await self._session.forget(names, privilege=privilege, deadline_s=left_s)
                if not self._session.dropped:
                    return
            if not await self._reconnected(end):
                await asyncio.sleep(min(left_s, _PAUSES_S[min(unreached, len(_PAUSES_S) - 1)]))
                unreached += 1

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
            self.connected_anew, self.unreached = self.connected_anew + 1, None
        except RemoteError as error:  # the host is down, or not up yet, or another one answers: whoever waits asks again
            self.unreached = error.text
            return False
        except TimeoutError:
            return False
        return True


class LoopClock:
    """Time as the event loop has it."""

    def now_s(self) -> float:
        """Return the seconds of a clock that never goes back."""
        return asyncio.get_running_loop().time()

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        await asyncio.sleep(seconds)
