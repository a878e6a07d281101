"""A detached command from its start to its end, its output put together from as many pieces as it takes."""

from __future__ import annotations

import asyncio
import hashlib
import time
from dataclasses import dataclass, field, replace
from typing import Final

from remote.detached.asking import MOST_STDERR, caps_of
from remote.detached.standing import START, DetachedCommand, Offset, Reason, Standing, State
from remote.session import Session

WAIT_S: Final = 20
"""How long the host waits for the end of a command before it says how it stands."""
_PAUSES_S: Final = (0.0, 0.2, 1.0, 5.0)
"""Between askings that were not answered."""
_RUNNING_S: Final = 0.2
"""At least, between two askings of what runs."""
_GRACE_S: Final = 5.0
"""What an exchange takes beside the waiting."""


@dataclass(slots=True)
class Following:
    """What has been collected of one command; it can be followed on over another session."""

    detached: DetachedCommand
    sent_at: float
    """When its first start was sent, on the wall clock: by that a host knows whether it can be certain (`collect`)."""
    last: Standing | None = None
    """With all output so far; None: nothing was heard."""
    launched: bool = False
    """Whether the host has answered the start itself, and ran it: then what it was to forget is gone."""
    may_run: bool = False
    """Whether it may have begun, as far as the answer to the start itself tells: what is heard later is about that one."""
    _anew: bool = False
    """Whether it was collected from the start again, since the digests differed."""
    _begun: float = field(init=False)
    """When this began, on a clock that is never set, and how long ago it had been sent by then."""
    _sent_before_s: float = field(init=False)

    def __post_init__(self) -> None:
        """Read the clocks before anybody sets one."""
        self._begun, self._sent_before_s = time.monotonic(), max(0.0, time.time() - self.sent_at)

    async def start(self, session: Session, *, deadline_s: float) -> Standing:
        """Return how it stands, once it is final and its output is whole, at the latest after `deadline_s`.

        Where it is not final then, or the connection is gone, `follow` goes on, with this or another session.
        """
        end = time.monotonic() + deadline_s
        wait_s = max(1, min(WAIT_S, int(deadline_s - _GRACE_S)))
        heard = await session.start(self.detached, wait_s=wait_s, deadline_s=deadline_s)
        self.launched, self.may_run = heard.ran is True, heard.ran is not False
        self._take(heard)
        return await self._followed(session, end)

    async def follow(self, session: Session, *, deadline_s: float) -> Standing:
        """Return how it stands, as `start` does, without starting it."""
        return await self._followed(session, time.monotonic() + deadline_s)

    async def _followed(self, session: Session, end: float) -> Standing:
        unanswered = 0
        while (left_s := end - time.monotonic()) > 0:
            if self._is_whole or session.dropped:
                break
            if self.last is not None and self.last.state is State.UNANSWERED:
                await asyncio.sleep(min(left_s, _PAUSES_S[min(unanswered, len(_PAUSES_S) - 1)]))
                unanswered += 1
            begun = time.monotonic()
            await self._collect(session, end - begun)
            if self.last is not None and self.last.state is State.RUNNING:  # whoever says so at once is not asked at once
                await asyncio.sleep(min(end - time.monotonic(), begun + _RUNNING_S - time.monotonic()))
        return self.last or Standing(id=self.detached.id, state=State.UNANSWERED)

    @property
    def _is_whole(self) -> bool:
        return self.last is not None and self.last.whole

    async def _collect(self, session: Session, left_s: float) -> None:
        have = self.last or Standing(id=self.detached.id, state=State.UNANSWERED)
        more = have.final  # all that is missing is there by now
        self._take(
            await session.collect(
                self.detached.id,
                have.offset,
                privilege=self.detached.command.privilege,
                sent_s_ago=self._sent_s_ago(),
                wait_s=0 if more else max(0, min(WAIT_S, int(left_s - _GRACE_S))),
                deadline_s=max(0.0, left_s),
            )
        )

    def _sent_s_ago(self) -> float:
        """Return how long ago it was sent, by the clock that says more: one may be set back, the other stands still in sleep.

        Less than it was would let a host be certain of what it has forgotten: that nothing was begun, so it is sent again.
        """
        return max(time.time() - self.sent_at, self._sent_before_s + time.monotonic() - self._begun)

    def _take(self, heard: Standing) -> None:
        """Add what was heard to what there is; output that is not what the host has is collected anew, once."""
        have = self.last or Standing(id=self.detached.id, state=State.UNANSWERED)
        if heard.state is State.UNANSWERED:
            self.last = replace(have, state=State.UNANSWERED, why=heard.why, whole=False)
            return
        stdout, stderr = have.stdout + heard.stdout, have.stderr + heard.stderr
        if heard.digest and heard.whole and hashlib.sha256(stdout).hexdigest() != heard.digest:
            if not self._anew:
                self._anew = True
                self.last = replace(heard, stdout=b"", stderr=b"", offset=START, whole=False)
                return
            heard = replace(heard, stdout_cut=-1)
        if len(stdout) > caps_of(self.detached.command)[0] or len(stderr) > MOST_STDERR:
            self.last = Standing(
                id=heard.id, state=State.UNKNOWN, reason=Reason.GARBLED, why="more output than is kept of it", whole=True
            )
            return
        self.last = replace(heard, stdout=stdout, stderr=stderr, offset=Offset(stdout=len(stdout), stderr=len(stderr)))
