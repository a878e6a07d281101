"""The password for sudo on one host: offered under the credential breaker, and never again where it was not taken."""

from __future__ import annotations

from dataclasses import replace

from inventory.errors import Text
from inventory.host import Host
from remote.breaker import Breaker, Turn
from remote.bundle.elevation import Verdict
from remote.credentials import Credential
from remote.errors import RemoteError


class SudoPassword:
    """What one session gives sudo when it asks."""

    def __init__(self, host: Host, credential: Credential, breaker: Breaker) -> None:
        self._host, self._credential, self._breaker = host, credential, breaker
        self._taken = True

    @classmethod
    def of(cls, host: Host, credential: Credential, breaker: Breaker) -> SudoPassword | None:
        """Return the password of a credential that has one."""
        if credential.sudo_password is None:
            return None
        return cls(host, replace(credential, password=credential.sudo_password), breaker)

    async def offer(self) -> Offer:
        """Return the password once the breaker gives it a turn.

        Raises CredentialBlocked, or RemoteError on a host that did not take it before.
        """
        if not self._taken:
            raise RemoteError(self._host.name, Text("sudo did not take the password on this host before"))
        assert self._credential.password is not None
        turn = await self._breaker.turn(self._host, self._credential)
        return Offer(self._credential.password.reveal(), turn, self)

    def _ended(self, verdict: Verdict) -> None:
        self._taken = verdict is Verdict.ACCEPTED


class Offer:
    """A password on its way to one sudo; whoever sends it says how that ended."""

    def __init__(self, password: str, turn: Turn, source: SudoPassword) -> None:
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
