"""The credential breaker (design rule 7): one wrong domain password must not lock its account on 500 machines.

A **password** counts by user and value, whatever the credentials are called, because that is what a
directory counts. Until it has been accepted once, no more offers of it are on their way at any moment than
rejections are left: with a limit of 3 and 50 hosts at work, a bad password goes out three times. An offer
that got no verdict (the host hung up, the deadline passed) counts as rejected while the password is unproven:
the host may have counted it. Rejections add up over the whole run; a success in between takes none back, since
the hosts that refuse are those where a lock is in the making.

A **key** locks nothing. It is blocked only as long as nobody has accepted it: then it is the wrong key, and
offering it on costs time and looks like an attack. Once accepted it is right, and a host that refuses it
is that host's matter.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from inventory.host import Host
from inventory.secret import Secret
from remote.credentials import Credential
from remote.errors import CredentialBlocked


@dataclass(slots=True)
class _Tally:
    on_their_way: int = 0
    rejected: int = 0
    accepted: bool = False
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    def wake(self) -> None:
        """Let everybody who waits for a turn look again."""
        self.changed.set()
        self.changed = asyncio.Event()


class Turn:
    """The right to offer a password to one host; whoever took it says how it ended, once."""

    def __init__(self, tally: _Tally) -> None:
        self._tally: _Tally | None = tally
        tally.on_their_way += 1

    def accepted(self) -> None:
        """The host let us in."""
        self._end(accepted=True)

    def rejected(self) -> None:
        """The host said no."""
        self._end(rejected=True)

    def unanswered(self) -> None:
        """The password went out and no verdict came back."""
        self._end(rejected=self._tally is not None and not self._tally.accepted)

    def _end(self, *, accepted: bool = False, rejected: bool = False) -> None:
        if (tally := self._tally) is not None:
            self._tally = None
            tally.on_their_way -= 1
            tally.accepted |= accepted
            tally.rejected += rejected
            tally.wake()


class Breaker:
    """Counts, for one run, how often each credential was rejected, and stops offering it at `limit`."""

    def __init__(self, limit: int = 3) -> None:
        self.limit = limit
        self._passwords: dict[tuple[str, Secret], _Tally] = {}
        self._keys: dict[tuple[str, str], _Tally] = {}

    def check(self, host: Host, credential: Credential) -> None:
        """Raise CredentialBlocked if the credential is not to be offered to `host` any more."""
        tally = self._tally(credential)
        if tally.rejected >= self.limit and (credential.password is not None or not tally.accepted):
            raise CredentialBlocked(host.name, credential.name, tally.rejected)

    def accepted(self, credential: Credential) -> None:
        """Count that a host accepted one of the credential's keys."""
        if credential.password is None:
            self._tally(credential).accepted = True

    def rejected(self, credential: Credential) -> None:
        """Count that a host refused all of the credential's keys."""
        if credential.password is None:
            self._tally(credential).rejected += 1

    async def turn(self, host: Host, credential: Credential) -> Turn:
        """Wait until the password may be offered to `host` and return the turn, or raise CredentialBlocked."""
        tally = self._tally(credential)
        while True:
            self.check(host, credential)
            if tally.accepted or tally.rejected + tally.on_their_way < self.limit:
                return Turn(tally)
            await tally.changed.wait()

    def _tally(self, credential: Credential) -> _Tally:
        if credential.password is not None:
            return self._passwords.setdefault((credential.user, credential.password), _Tally())
        return self._keys.setdefault((credential.name, credential.user), _Tally())
