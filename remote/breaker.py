"""The credential breaker (design rule 7): one wrong domain password must not lock its account on 500 machines.

A **password** counts by user and value, whatever the credentials are called, because that is what a
directory counts. Until it has been accepted once, no more offers of it are on their way at any moment than
rejections are left: with a limit of 3 and 50 hosts at work, a bad password goes out three times. An offer
that got no verdict (the host hung up, the deadline passed) counts as rejected while the password is unproven:
the host may have counted it. Rejections add up over the whole run; a success in between takes none back, since
the hosts that refuse are those where a lock is in the making.

Each acceptance lets `limit` more offers be on their way together, so that a right password does not hold up a
run: after k acceptances at most limit * (k + 1). The first rejection narrows this for the rest of the run to the
rejections that are left. What is on its way at that moment cannot be called back, so that a password that was
right and turns wrong in the middle (it expired, somebody changed it) can be rejected limit * (k + 1) times, and
never more often than there are hosts at work; one that nobody accepted never more than `limit` times.

A **one-time code** counts in the same way, by user and shared secret: a directory locks an account for wrong codes too.

Other commands of the same home count in (`remote.rejections`): three of them with one wrong password must not make nine.

A **key** locks nothing. It is blocked only as long as nobody has accepted it: then it is the wrong key, and
offering it on costs time and looks like an attack. Once accepted it is right, and a host that refuses it
is that host's matter.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial

from inventory.host import Host
from inventory.secret import Secret
from remote.credentials import Credential
from remote.errors import CredentialBlocked
from remote.prompts import Wanted
from remote.rejections import Rejections


@dataclass(slots=True)
class _Tally:
    on_their_way: int = 0
    rejected: int = 0
    unanswered: int = 0
    """Offers without a verdict: the first acceptance shows that they were right."""
    acceptances: int = 0
    noted: int = 0
    """How many of ours other commands are told of: those before the first acceptance."""
    others: int = 0
    """Rejections that other commands met lately; the first acceptance shows that they are over."""
    note: Callable[[], None] | None = None
    """Tells other commands of a rejection."""
    forget: Callable[[], None] | None = None
    """Tells other commands that it was accepted."""
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def against(self) -> int:
        """Return how many offers count as rejected."""
        return self.rejected if self.acceptances else self.rejected + self.unanswered + self.others

    def room(self, limit: int) -> int:
        """Return how many more offers may be on their way now."""
        window = limit - self.against if self.rejected else limit * (self.acceptances + 1) - self.against
        return window - self.on_their_way

    def wake(self) -> None:
        """Let everybody who waits for a turn look again."""
        self.changed.set()
        self.changed = asyncio.Event()


class Turn:
    """The right to offer a password or a code to one host; whoever took it says how it ended, once."""

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
        self._end(unanswered=True)

    def unused(self) -> None:
        """Nothing went out after all."""
        self._end()

    def _end(self, *, accepted: bool = False, rejected: bool = False, unanswered: bool = False) -> None:
        if (tally := self._tally) is not None:
            self._tally = None
            tally.on_their_way -= 1
            if tally.note and (rejected or unanswered) and not tally.acceptances:
                tally.noted += 1
                tally.note()
            if tally.forget and accepted and not tally.acceptances:
                tally.forget()
            tally.acceptances += accepted
            tally.rejected += rejected
            tally.unanswered += unanswered
            tally.wake()


class Breaker:
    """Counts, for one run, how often each credential was rejected, and stops offering it at `limit`.

    What other commands of the home met lately counts too, for what can lock an account.
    """

    def __init__(self, limit: int = 3, others: Rejections | None = None) -> None:
        self.limit = limit
        self._others = others or Rejections()
        self._secrets: dict[Secret, _Tally] = {}
        """By the kind of what is secret, the user and the secret."""
        self._keys: dict[tuple[str, str], _Tally] = {}

    def check(self, host: Host, credential: Credential) -> None:
        """Raise CredentialBlocked if the credential is not to be offered to `host` any more."""
        for tally, locks in self._tallies(credential):
            if tally.against >= self.limit and (locks or not tally.acceptances):
                raise CredentialBlocked(
                    host.name, credential.name, tally.against, earlier=not tally.acceptances and tally.others > 0
                )

    def accepted(self, credential: Credential) -> None:
        """Count that a host accepted one of the credential's keys."""
        self._of_keys(credential).acceptances += 1

    def rejected(self, credential: Credential) -> None:
        """Count that a host refused all of the credential's keys."""
        self._of_keys(credential).rejected += 1

    async def turn(self, host: Host, credential: Credential, what: Wanted = Wanted.PASSWORD) -> Turn:
        """Wait until the password or a code may be offered to `host` and return the turn, or raise CredentialBlocked."""
        tally = self._of_secret(credential, what)
        while True:
            if not tally.acceptances:
                tally.others = max(0, self._others.count(*_proof(credential, what)) - tally.noted)
            self.check(host, credential)
            if tally.room(self.limit) > 0:
                return Turn(tally)
            await tally.changed.wait()

    def _tallies(self, credential: Credential) -> Iterator[tuple[_Tally, bool]]:
        """Yield what is counted of a credential, and whether rejections of it may lock an account."""
        if credential.password is not None:
            yield self._of_secret(credential, Wanted.PASSWORD), True
        if credential.otp is not None:
            yield self._of_secret(credential, Wanted.CODE), True
        if credential.password is None:
            yield self._of_keys(credential), False

    def _of_secret(self, credential: Credential, what: Wanted) -> _Tally:
        proof = _proof(credential, what)
        known = Secret("\0".join(proof))
        if known not in self._secrets:
            note, forget = partial(self._others.add, *proof), partial(self._others.clear, *proof)
            self._secrets[known] = _Tally(note=note, forget=forget, others=self._others.count(*proof))
        return self._secrets[known]

    def _of_keys(self, credential: Credential) -> _Tally:
        return self._keys.setdefault((credential.name, credential.user), _Tally())


def _proof(credential: Credential, what: Wanted) -> tuple[str, str, str]:
    """Return by what a secret is counted: its kind, the user, the secret or what stands for it."""
    if what is Wanted.CODE:
        assert credential.otp is not None
        return what.value, credential.user, credential.otp.identity
    assert credential.password is not None
    return what.value, credential.user, credential.password.reveal()
