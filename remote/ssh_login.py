# ruff: noqa: ARG002 (the signatures are asyncssh's)
"""One login to one host: whether its key is trusted, which proofs are offered in which order, and what became of them."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

from inventory.host import Host
from remote.breaker import Breaker, Turn
from remote.credentials import Credential, PrivateKey
from remote.errors import CredentialBlocked
from remote.host_proof import HostProof, proof_of, public_key
from remote.known_hosts import Trust
from remote.ssh_library import asyncssh
from remote.ssh_options import keep_alive

if TYPE_CHECKING:
    from asyncssh.auth import PasswordChangeResponse
    from asyncssh.misc import MaybeAwait
    from asyncssh.public_key import KeyPairListArg

_PROMPTS_FOR_A_PASSWORD = ("password", "passwort", "passcode", "пароль", "mot de passe", "contraseña")
_MOST_CHALLENGES = 8


class Login(asyncssh.SSHClient):
    """Answers asyncssh's questions while it connects; nothing is offered to a host whose key is not trusted.

    The password goes out at most once per login, whichever method asks for it: a directory counts attempts.
    """

    def __init__(self, host: Host, credential: Credential, trust: Trust, breaker: Breaker) -> None:
        self.host, self.credential, self.trust = host, credential, trust
        self.tried: list[str] = []
        self.agent_trouble = ""
        """Why the agent could not be asked: to be said, and nothing that a host could refuse."""
        self.offered_methods: tuple[str, ...] = ()
        self.proof: HostProof | None = None
        """What the host showed of itself."""
        self.reached = False
        """The TCP connection stood."""
        self.turn: Turn | None = None
        self.blocked: CredentialBlocked | None = None
        self.deadline: asyncio.Timeout | None = None
        self._breaker = breaker
        self._proofs: list[tuple[str, KeyPairListArg]] | None = None
        self._agent: asyncssh.SSHAgentClient | None = None
        self._challenges = 0

    def connection_made(self, conn: asyncssh.SSHClientConnection) -> None:
        """Keep the connection, and notice when its peer is gone."""
        self.reached, self._connection = True, conn
        # asyncssh shows its client a bare key, but of a certificate only the authority; without this it trusts nobody
        conn.validate_server_host_key = self.verified  # type: ignore[method-assign]
        keep_alive(conn)

    def verified(self, key_data: bytes) -> asyncssh.SSHKey:
        """Return the host's key if it proves what the inventory says of it, or raise HostKeyNotVerifiable.

        Called in each key exchange, before anything of ours is sent.
        """
        try:
            self.proof = proof_of(key_data, self.trust)
            key = public_key(self.proof)
        except (ValueError, asyncssh.KeyImportError) as error:
            self.proof = None
            raise asyncssh.HostKeyNotVerifiable(str(error)) from error
        if not self.proof.trusted:
            raise asyncssh.HostKeyNotVerifiable("Host key is not trusted")
        return key

    async def public_key_auth_requested(self) -> KeyPairListArg | None:
        """Return the next key to offer; None when there is none left."""
        self._note_methods()
        if self._proofs is None:
            self._proofs = await self._proofs_to_offer()
        if not self._proofs:
            return None
        word, proof = self._proofs.pop(0)
        self.tried.append(word)
        return proof

    async def password_auth_requested(self) -> str | None:
        """Return the password, once, when the breaker gives us a turn."""
        self._note_methods()
        if self.credential.password is None or self.turn is not None or self.blocked is not None:
            return None
        left = self._pause()  # waiting for other hosts' verdicts is not this host's time
        try:
            self.turn = await self._breaker.turn(self.host, self.credential)
        except CredentialBlocked as blocked:
            self.blocked = blocked
        self._resume(left)
        if self.turn is None:
            return None
        self.tried.append("password")
        return self.credential.password.reveal()

    def password_change_requested(self, prompt: str, lang: str) -> MaybeAwait[PasswordChangeResponse]:
        """Refuse to change the password: that is for its owner."""
        self.tried.append("password change (the host wants it changed first; not done)")
        return super().password_change_requested(prompt, lang)

    def kbdint_auth_requested(self) -> str | None:
        """Agree to keyboard-interactive if there is a password that was not sent yet."""
        self._note_methods()
        return "" if self.credential.password is not None and self.turn is None else None

    async def kbdint_challenge_received(
        self, name: str, instructions: str, lang: str, prompts: Sequence[tuple[str, bool]]
    ) -> list[str] | None:
        """Answer a question for a password, hidden, with the password; leave at anything else."""
        self._challenges += 1
        if self._challenges > _MOST_CHALLENGES:
            return None
        if not prompts:
            return []
        if len(prompts) > 1 or prompts[0][1] or not asks_for_password(prompts[0][0]):
            return None
        password = await self.password_auth_requested()
        return None if password is None else [password]

    def accepted(self) -> None:
        """Tell the breaker that the host let us in with what was offered last."""
        if self.turn is not None:
            self.turn.accepted()
        elif self.tried:
            self._breaker.accepted(self.credential)

    def rejected(self) -> None:
        """Tell the breaker that the host accepted nothing of what was offered."""
        if self.turn is not None:
            self.turn.rejected()
        elif self.tried:
            self._breaker.rejected(self.credential)

    async def close(self) -> None:
        """Let go of the agent; a password that got no verdict so far got none."""
        if self.turn is not None:
            self.turn.unanswered()
        if self._agent is not None:
            self._agent.close()
            await self._agent.wait_closed()

    async def _proofs_to_offer(self) -> list[tuple[str, KeyPairListArg]]:
        """Return the keys to offer with a word for each, in order."""
        files = [(f"key {key.path} {key.fingerprint}", offerable(key)) for key in self.credential.keys]
        agent = await self._agent_keys()
        return agent + files if self.credential.agent_first else files + agent

    async def _agent_keys(self) -> list[tuple[str, KeyPairListArg]]:
        path = os.environ.get("SSH_AUTH_SOCK") if self.credential.use_agent else None
        if path is None:
            return []
        try:
            self._agent = await asyncssh.connect_agent(path)
            pairs = await self._agent.get_keys() if self._agent else ()
        except (OSError, ValueError) as error:
            self.agent_trouble = f"agent ({error})"
            return []
        return [(f"agent key {pair.get_comment()}", [pair]) for pair in pairs]

    def _note_methods(self) -> None:
        self.offered_methods = self.offered_methods or tuple(self._connection.get_server_auth_methods())

    def _pause(self) -> float | None:
        if self.deadline is None or (when := self.deadline.when()) is None:
            return None
        self.deadline.reschedule(None)
        return when - asyncio.get_running_loop().time()

    def _resume(self, left: float | None) -> None:
        if self.deadline is not None and left is not None:
            self.deadline.reschedule(asyncio.get_running_loop().time() + left)


def offerable(key: PrivateKey) -> KeyPairListArg:
    """Return the key as asyncssh takes it: parsed and unpaired, since a pair holds per-connection state."""
    return [(key.key, key.certificate)] if key.certificate is not None else [key.key]


def asks_for_password(prompt: str) -> bool:
    """Tell whether a prompt asks for the password, not for a one-time code that a password would spend.

    >>> asks_for_password("root@db1's password: "), asks_for_password("Verification code: ")
    (True, False)
    """
    return any(word in prompt.casefold() for word in _PROMPTS_FOR_A_PASSWORD)
