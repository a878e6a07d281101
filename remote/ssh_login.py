# ruff: noqa: ARG002 (the signatures are asyncssh's)
"""One login to one host: whether its key is trusted, which proofs are offered in which order, and what became of them.

A host may want several proofs, one after the other (sshd's AuthenticationMethods): it says of each whether it was good
(RFC 4252 5.1, partial success). That its methods change says nothing: a host may leave one out after a wrong password.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from inventory.host import Host
from remote.breaker import Breaker, Turn
from remote.credentials import Credential
from remote.errors import CredentialBlocked
from remote.host_proof import HostProof, proof_of, public_key
from remote.known_hosts import Trust
from remote.one_time_codes import Codes, CodeSpent
from remote.patience import Patience, patience
from remote.prompts import Wanted, shown, wanted
from remote.ssh_library import asyncssh
from remote.ssh_options import keep_alive
from remote.ssh_proofs import Proofs
from remote.ssh_quirks import adapt

if TYPE_CHECKING:
    from asyncssh.auth import PasswordChangeResponse
    from asyncssh.misc import MaybeAwait
    from asyncssh.packet import SSHPacket
    from asyncssh.public_key import KeyPairListArg

    from remote.kerberos import Negotiation

_MOST_CHALLENGES = 8
_MSG_USERAUTH_FAILURE = 51


class Login(asyncssh.SSHClient):
    """Answers asyncssh's questions while it connects; nothing is offered to a host whose key is not trusted.

    The password and a code go out at most once per login, whichever method asks for them: a directory counts attempts.
    """

    def __init__(self, host: Host, credential: Credential, trust: Trust, breaker: Breaker, codes: Codes) -> None:
        self.host, self.credential, self.trust = host, credential, trust
        self.tried: list[str] = []
        self.unanswered: str = ""
        """What the host asked for and we have nothing for."""
        self.proof: HostProof | None = None
        """What the host showed of itself."""
        self.reached = False
        """The TCP connection stood."""
        self.connection: asyncssh.SSHClientConnection | None = None
        self.turns: dict[Wanted, Turn] = {}
        self.blocked: CredentialBlocked | None = None
        self.deadline: asyncio.Timeout | None = None
        self.proofs = Proofs(credential, with_sha1=bool(host.ssh.old_algorithms.user_keys))
        self.negotiation: Negotiation | None = None
        self._breaker, self._codes, self._patience = breaker, codes, patience()
        self._stages: list[tuple[str, ...]] = []
        self._next_stage = True
        """What the host takes is still to be seen."""
        self._offered_key = self._key_accepted = False
        self._challenges, self._unasked = 0, False
        """The second: keyboard-interactive was agreed to, and the host asked nothing: it would refuse it again and again."""

    @property
    def greeted(self) -> bool:
        """Tell whether an SSH server has announced its version."""
        return self.connection is not None and bool(self.connection.get_extra_info("server_version"))

    @property
    def once(self) -> bool:
        """Tell whether a code that somebody typed went out: it is good for no other login."""
        return Wanted.CODE in self.turns and self.credential.otp is not None and self.credential.otp.typed is not None

    @property
    def offered_methods(self) -> tuple[str, ...]:
        """Return the methods that the host takes, in the stage that the login got to."""
        return self._stages[-1] if self._stages else ()

    def connection_made(self, conn: asyncssh.SSHClientConnection) -> None:
        """Keep the connection, and notice when its peer is gone."""
        self.reached, self.connection = True, conn
        # asyncssh shows its client a bare key, but of a certificate only the authority; without this it trusts nobody
        conn.validate_server_host_key = self.verified  # type: ignore[method-assign]
        if self.credential.tickets is not None and "gssapi-with-mic" in self.credential.methods:
            self.negotiation = self.credential.tickets.for_login(self.host, self._began_kerberos)
            # asyncssh would make a context of its own from the user's tickets, and keep to itself why it failed
            conn._gss, conn._gss_mic_auth = self.negotiation, True  # type: ignore[assignment]  # noqa: SLF001
        # asyncssh keeps to itself whether a proof was good, where the host wants another one
        conn._packet_handlers = {**conn._packet_handlers, _MSG_USERAUTH_FAILURE: self._heard_failure}  # noqa: SLF001
        keep_alive(conn)

    def _heard_failure(self, connection: asyncssh.SSHClientConnection, kind: int, number: int, packet: SSHPacket) -> None:
        if packet.get_full_payload()[-1:] not in (b"", b"\0"):
            self.stage_passed()
        asyncssh.SSHClientConnection._packet_handlers[kind](connection, kind, number, packet)  # noqa: SLF001

    def _began_kerberos(self) -> None:
        self._note_methods()
        assert self.credential.tickets is not None
        self.tried.append(f"kerberos {self.credential.tickets.principal}")

    def verified(self, key_data: bytes) -> asyncssh.SSHKey:
        """Return the host's key if it proves what the inventory says of it, or raise HostKeyNotVerifiable.

        Called in each key exchange, before anything of ours is sent.
        """
        if self.connection is not None and self.proof is None:
            adapt(self.connection)
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
        found = await self.proofs.next() if "publickey" in self.credential.methods else None
        if found is None:
            return None
        word, proof = found
        self.tried.append(word)
        self._offered_key = True
        return proof

    async def password_auth_requested(self) -> str | None:
        """Return the password, once, when the breaker gives us a turn."""
        self._note_methods()
        password = self.credential.password
        if password is None or "password" not in self.credential.methods or not await self._may_offer(Wanted.PASSWORD):
            return None
        self.tried.append("password")
        return password.reveal()

    def password_change_requested(self, prompt: str, lang: str) -> MaybeAwait[PasswordChangeResponse]:
        """Refuse to change the password: that is for its owner."""
        self.tried.append("password change (the host wants it changed first; not done)")
        return super().password_change_requested(prompt, lang)

    def kbdint_auth_requested(self) -> str | None:
        """Agree to keyboard-interactive if there is a password or a code that was not sent yet."""
        self._note_methods()
        left = any(map(self._has, Wanted)) and self.blocked is None
        if left and not self._unasked and "keyboard-interactive" in self.credential.methods:
            self._unasked = True
            return ""
        return None

    async def kbdint_challenge_received(
        self, name: str, instructions: str, lang: str, prompts: Sequence[tuple[str, bool]]
    ) -> list[str] | None:
        """Answer questions for the password and for a code; leave at anything else, and before either goes out twice."""
        self._challenges, self._unasked = self._challenges + 1, False
        asked = [wanted(prompt, echo=echo) for prompt, echo in prompts]
        if not prompts and self._challenges <= _MOST_CHALLENGES:
            return []
        if self._challenges <= _MOST_CHALLENGES and len(set(asked)) == len(asked) and all(map(self._has, asked)):
            answers = [await self._answer(one) for one in asked if one is not None]
            if None not in answers:
                return [answer for answer in answers if answer is not None]
        elif prompts:
            self.unanswered = shown(prompts)
        return None

    def _has(self, one: Wanted | None) -> bool:
        """Tell whether there is something to answer with that has not gone out yet."""
        there = {Wanted.PASSWORD: self.credential.password, Wanted.CODE: self.credential.otp}
        return one is not None and there[one] is not None and one not in self.turns

    async def _answer(self, one: Wanted) -> str | None:
        if not await self._may_offer(one):
            return None
        if one is Wanted.PASSWORD:
            assert self.credential.password is not None
            self.tried.append("password")
            return self.credential.password.reveal()
        assert self.credential.otp is not None
        try:
            with self._paused():  # the next code is up to half a minute away
                code = await self._codes.next(self.host, self.credential.otp)
        except CodeSpent:
            self.turns.pop(one).unused()
            self.unanswered = "a one-time code (the one that was typed has been used)"
            return None
        except OSError as error:
            self.turns.pop(one).unused()
            self.unanswered = f"a one-time code (where used ones are noted: {error.strerror or error})"
            return None
        self.tried.append("one-time code")
        return code

    async def _may_offer(self, one: Wanted) -> bool:
        """Tell whether the breaker gives us a turn; waiting for other hosts' verdicts is not this host's time."""
        if one in self.turns or self.blocked is not None:
            return False
        try:
            with self._paused():
                self.turns[one] = await self._breaker.turn(self.host, self.credential, one)
        except CredentialBlocked as blocked:
            self.blocked = blocked
            return False
        return True

    def accepted(self) -> None:
        """Tell the breaker that the host let us in with what was offered."""
        if not self.turns:
            self._key_ended(accepted=True)
        for turn in self.turns.values():
            turn.accepted()

    def rejected(self) -> None:
        """Tell the breaker that the host accepted nothing of what was offered in the last stage."""
        if not self.turns:
            self._key_ended(accepted=False)
        for turn in self.turns.values():
            turn.rejected()

    def _key_ended(self, *, accepted: bool) -> None:
        if self._offered_key and not self._key_accepted:
            self._key_accepted = accepted
            (self._breaker.accepted if accepted else self._breaker.rejected)(self.credential)

    async def close(self) -> None:
        """Let go of the agent; what got no verdict so far got none."""
        for turn in self.turns.values():
            turn.unanswered()
        await self.proofs.close()

    def _note_methods(self) -> None:
        """Keep what the host takes at the beginning of a stage: asyncssh drops from it what we have nothing for."""
        assert self.connection is not None
        if self._next_stage:
            self._next_stage = False
            self._stages.append(tuple(self.connection.get_server_auth_methods()))

    def stage_passed(self) -> None:
        """Take the host's word, once for each offer, that what was offered last was good, and that it wants more."""
        if self._next_stage:
            return
        self._next_stage = True
        if self.tried:
            self.tried[-1] += " (accepted, but more is wanted)"
        self.accepted()

    @contextmanager
    def _paused(self) -> Iterator[None]:
        """Stop the clocks of the login and of the host while we wait for others."""
        with Patience(self.deadline).standing_still(), self._patience.standing_still():
            yield
