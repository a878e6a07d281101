"""The host of a playbook by its session: what reads is asked, what changes is detached and followed to its end."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, Final

from inventory.errors import LongarmError, Text
from inventory.host import Host
from playbooks.ports import AnsibleLogin, Change, Intent
from playbooks.standings import change_of
from remote.answer import Answer
from remote.command import Command
from remote.detached import DetachedCommand, Standing
from remote.detached.following import Following
from remote.errors import RemoteError
from remote.question import Privilege, Question
from remote.session import Session

_NOTHING: Final = Command(script=":")
"""What is asked for by its id alone: its script was sent by an earlier process, or never."""

Connect = Callable[[float], Awaitable[Session]]
"""Returns a new session to the host within some seconds; raises RemoteError."""


class NoLogin(LongarmError):
    """Ansible has no way to the host that is told to it."""


class SessionHands:
    """One host over as many connections as it takes; whoever connects closes what it opened."""

    def __init__(
        self,
        session: Session,
        *,
        token: int,
        connect: Connect,
        ansible_login: Callable[[], Awaitable[AnsibleLogin]] | None = None,
    ) -> None:
        self.session, self.token = session, token
        self._connect, self._login = connect, ansible_login
        self._over: list[tuple[str, Privilege]] = []

    @property
    def host(self) -> Host:
        """Return which host it is."""
        return self.session.host

    async def ask(self, questions: Sequence[Question], *, deadline_s: float) -> Mapping[str, Answer]:
        """Return exactly one answer for each question."""
        if self.session.dropped:
            await self._renewed(deadline_s)
        return await self.session.ask(questions, deadline_s=deadline_s)

    async def change(self, ident: str, command: Command, *, deadline_s: float) -> Change:
        """Return what became of a command that was sent detached under this id."""
        forget = tuple(name for name, privilege in self._over if privilege is command.privilege)
        detached = DetachedCommand(id=ident, token=self.token, command=command, forget=forget)
        end = time.monotonic() + deadline_s
        if self.session.dropped:
            await self._renewed(deadline_s)
        following = Following(detached, sent_at=time.time())
        standing = await following.start(self.session, deadline_s=max(1.0, end - time.monotonic()))
        self._over = [one for one in self._over if one[0] not in forget]
        return await self._followed(following, standing, end)

    async def recall(self, intent: Intent, *, privilege: Privilege, deadline_s: float) -> Change:
        """Return what became of a command that an earlier process sent, or meant to send."""
        command = Command(script=_NOTHING.script, privilege=privilege)
        detached = DetachedCommand(id=intent.ident, token=self.token, command=command)
        sent_at = 0.0 if intent.sent_s_ago is None else time.time() - intent.sent_s_ago
        following, end = Following(detached, sent_at=sent_at), time.monotonic() + deadline_s
        return await self._followed(following, await following.follow(self.session, deadline_s=deadline_s), end)

    async def _followed(self, following: Following, standing: Standing, end: float) -> Change:
        """Return what became of a command, over new connections where the one that it was sent over is gone."""
        while not (standing.final and standing.whole) and (left_s := end - time.monotonic()) > 0:
            if self.session.dropped and not await self._renewed(left_s):
                break
            standing = await following.follow(self.session, deadline_s=max(1.0, end - time.monotonic()))
        if standing.final:
            self._over.append((following.detached.id, following.detached.command.privilege))
        return change_of(standing)

    async def again(self, *, deadline_s: float) -> bool:
        """Connect anew, where the host may have gone down in between; tell whether it answers."""
        return await self._renewed(deadline_s)

    async def _renewed(self, deadline_s: float) -> bool:
        try:
            self.session = await self._connect(deadline_s)
        except RemoteError:
            return False
        return True

    async def forget(self, *, deadline_s: float) -> None:
        """Remove what the host still keeps of commands whose ends are in the journal; what is left there does no harm."""
        for privilege in {one for _, one in self._over}:
            names = [name for name, whose in self._over if whose is privilege]
            with suppress(RemoteError):
                await self.session.forget(names, privilege=privilege, deadline_s=deadline_s)
        self._over.clear()

    async def fabric(self, function: Callable[[Any], Any], *, deadline_s: float) -> Any:
        """Return what `function` returns, given a `fabric.Connection` in a thread; raise what it raises."""
        from remote.fabric_connection import with_fabric

        return await with_fabric(self.session, function, deadline_s=deadline_s)

    async def ansible_login(self) -> AnsibleLogin:
        """Return how Ansible reaches the host; raises NoLogin."""
        if self._login is None:
            raise NoLogin(Text("Ansible has no way to {host} that is told to it", host=self.host.name))
        return await self._login()
