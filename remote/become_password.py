"""The password for sudo, doas or su on one host: offered under the credential breaker, never again where it was not taken."""

from __future__ import annotations

from dataclasses import replace

from inventory.errors import Text
from inventory.host import BecomeMethod, Host
from remote.breaker import Breaker, Turn
from remote.bundle.elevation import Verdict
from remote.credentials import Credential
from remote.errors import RemoteError


class BecomePassword:
    """What one session gives sudo, doas or su when it asks."""

    def __init__(self, host: Host, credential: Credential, breaker: Breaker) -> None:
        self._host, self._credential, self._breaker = host, credential, breaker
        self._taken = True

    @classmethod
    def of(cls, host: Host, credential: Credential, breaker: Breaker) -> BecomePassword | None:
        """Return the password of a credential that has one: that of the login, for su that of whom we want to become."""
        if credential.become_password is None or host.become.method is BecomeMethod.NONE:
            return None
        user = host.become.user if host.become.method is BecomeMethod.SU else credential.user
        return cls(host, replace(credential, user=user, password=credential.become_password), breaker)

    @property
    def refused(self) -> bool:
        """Tell whether it went out and was not taken, as far as anybody knows."""
        return not self._taken

    async def offer(self) -> Offer:
        """Return the password once the breaker gives it a turn.

        Raises CredentialBlocked, or RemoteError on a host that did not take it before.
        """
        if not self._taken:
            tool = self._host.become.method.value
            raise RemoteError(self._host.name, Text("{name} did not take the password on this host before", name=tool))
        assert self._credential.password is not None
        turn = await self._breaker.turn(self._host, self._credential)
        return Offer(self._credential.password.reveal(), turn, self)

    def _ended(self, verdict: Verdict) -> None:
        self._taken = verdict is Verdict.ACCEPTED


class Offer:
    """A password on its way to one host; whoever sends it says how that ended."""

    def __init__(self, password: str, turn: Turn, source: BecomePassword) -> None:
        self.password = password
        self._turn, self._source = turn, source

    def ended(self, verdict: Verdict) -> None:
        """Tell the breaker; what was said first holds."""
        self._source._ended(verdict)  # noqa: SLF001 (the other half of one idea)
        match verdict:
            case Verdict.ACCEPTED:
                self._turn.accepted()
            case Verdict.REJECTED:
                self._turn.rejected()
            case Verdict.UNANSWERED:
                self._turn.unanswered()
