"""Logging in by paramiko: the methods that the host takes, one after the other, as asyncssh goes through them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from remote.ssh_library import asyncssh
from remote.ssh_login import Login
from remote.threaded.library import paramiko
from remote.threaded.peer import Peer
from remote.threaded.proofs import AsksAgain, Challenges, Key
from remote.threaded.transport import Transport
from remote.threaded.worker import Home, Worker

_SPOKEN = ("publickey", "password", "keyboard-interactive")
"""Methods that are tried; Kerberos tickets are asyncssh's alone."""


async def prove(transport: Transport, peer: Peer, login: Login, worker: Worker, home: Home) -> None:
    """Log in, or raise paramiko's AuthenticationException when nothing is left, or why the connection ended."""
    attempts = _Attempts(transport, peer, login, worker, home)
    if (allowed := await attempts.one(transport.auth_none, login.credential.user)) is None:
        return
    peer.methods = attempts.usable(allowed)
    while peer.methods:
        attempt = await attempts.of(peer.methods[0])
        if attempt is None:
            peer.methods.pop(0)
            continue
        left = await attempt
        if left is None:
            return
        if attempts.declined:
            peer.methods.pop(0)
        else:
            allowed = left or allowed
            peer.methods = attempts.usable(allowed)
    raise paramiko.AuthenticationException("nothing is left to offer")


class _Attempts:
    def __init__(self, transport: Transport, peer: Peer, login: Login, worker: Worker, home: Home) -> None:
        self._transport, self._peer, self._login, self._worker = transport, peer, login, worker
        self._user, self._home = login.credential.user, home
        self.declined = False

    def usable(self, allowed: Sequence[str]) -> list[str]:
        return [method for method in self._login.credential.methods if method in allowed and method in _SPOKEN]

    async def of(self, method: str) -> Awaitable[list[str] | None] | None:
        """Return the next attempt by a method; None when there is nothing to offer by it."""
        self.declined = False
        match method:
            case "publickey":
                if not (proof := await self._login.public_key_auth_requested()):
                    return None
                key = Key(asyncssh.load_keypairs(proof)[0], self._home)
                return self.one(self._transport.auth_publickey, self._user, key)
            case "password":
                if (password := await self._login.password_auth_requested()) is None:
                    return None
                return self.one(self._transport.auth_password, self._user, password, False)
            case _:
                return None if self._login.kbdint_auth_requested() is None else self._interactive()

    async def _interactive(self) -> list[str] | None:
        challenges = Challenges(self._login, self._home)
        left = await self.one(self._transport.auth_interactive, self._user, challenges)
        self.declined = challenges.declined
        return left

    async def one(self, attempt: Callable[..., list[str]], *arguments: object) -> list[str] | None:
        """Return None if the host lets us in, else the methods that it takes now, empty where it does not say."""
        try:
            more = await self._worker.call(attempt, *arguments)
        except paramiko.BadAuthenticationType as error:
            return list(error.allowed_types)
        except paramiko.AuthenticationException as error:
            if self._transport.is_active():
                return []
            if self._transport.told_to_leave is not None or isinstance(error, AsksAgain):
                raise
            raise EOFError(str(error)) from error
        if self._transport.is_authenticated():
            return None
        self._login.stage_passed()
        return more
