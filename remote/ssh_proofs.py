"""Which keys one login offers, in which order, and not too many: a host hangs up after six (sshd's MaxAuthTries)."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from remote.certificates import SUFFIX, Certificate, is_certificate
from remote.credentials import Credential
from remote.private_keys import PrivateKey
from remote.ssh_library import asyncssh

if TYPE_CHECKING:
    from asyncssh.public_key import KeyPairListArg

MOST_OFFERED: Final = 5
"""Keys offered in one login; one more try of sshd's six is left for a password or a code."""
_RSA: Final = (b"rsa-sha2-512", b"rsa-sha2-256", b"ssh-rsa")


@dataclass(slots=True)
class Proofs:
    """The keys of one login, to be offered one after the other."""

    credential: Credential
    with_sha1: bool = False
    """The inventory allows RSA keys in files to sign with SHA-1, where a host does not take them otherwise."""
    agent: asyncssh.SSHAgentClient | None = None
    trouble: str = ""
    """Why the agent could not be asked: to be said, and nothing that a host could refuse."""
    left_out: int = 0
    """How many keys of the agent are too many to be offered."""
    _queue: list[tuple[str, KeyPairListArg]] | None = field(default=None)

    async def next(self) -> tuple[str, KeyPairListArg] | None:
        """Return the next key with what it is called; None when there is none left."""
        if self._queue is None:
            self._queue = await self._all()
        return self._queue.pop(0) if self._queue else None

    async def close(self) -> None:
        """Let go of the agent."""
        if self.agent is not None:
            self.agent.close()
            await self.agent.wait_closed()

    async def _all(self) -> list[tuple[str, KeyPairListArg]]:
        files = [(_word(key), offerable(key), key.key.public_data) for key in self.credential.keys]
        if self.with_sha1:
            old = [key for key in self.credential.keys if key.key.get_algorithm() == "ssh-rsa" and key.certificate is None]
            files += [(f"{_word(key)} with SHA-1", _signing_as_ever(key), key.key.public_data) for key in old]
        known = {blob for _, _, blob in files}
        agent = [one for one in await self._of_agent() if one[2] not in known]
        self.left_out = max(0, len(files) + len(agent) - MOST_OFFERED)
        agent = agent[: max(0, MOST_OFFERED - len(files))]  # files are few and meant: they come before the rest of the agent's
        kept = (agent + files if self.credential.agent_first else files + agent)[:MOST_OFFERED]
        return [(word, proof) for word, proof, _ in kept]

    async def _of_agent(self) -> list[tuple[str, KeyPairListArg, bytes]]:
        """Return the keys of the agent, the one that the credential names first; none other where only that one is meant."""
        path = os.environ.get("SSH_AUTH_SOCK") if self.credential.use_agent else None
        if path is None:
            return []
        try:
            self.agent = await asyncssh.connect_agent(path)
            pairs = list(await self.agent.get_keys()) if self.agent else []
        except (OSError, ValueError) as error:
            self.trouble = f"agent ({error})"
            return []
        named = self.credential.in_agent
        if named is None:
            return [] if self.credential.only_named else [_of_pair(pair) for pair in pairs]
        meant = [pair for pair in pairs if _key_of(pair) == named.blob]
        bare = [pair for pair in meant if pair.public_data == named.blob]
        if not meant:
            self.trouble = f"agent (it does not hold {named.path} {named.fingerprint})"
        elif named.certificate is not None and bare:
            bare[0].set_certificate(named.certificate)
            meant = bare
        word = f"agent key {named.path} {named.fingerprint}{_note(named.note)}"
        first = [(word, [_signing_well(pair)], named.blob) for pair in sorted(meant, key=lambda pair: pair in bare)]
        others = [] if self.credential.only_named else [_of_pair(pair) for pair in pairs if pair not in meant]
        return [*first, *others]


def offerable(key: PrivateKey) -> KeyPairListArg:
    """Return the key as asyncssh takes it, paired anew: a pair holds per-connection state."""
    both = [(key.key, key.certificate)] if key.certificate is not None else [key.key]
    return [_signing_well(asyncssh.load_keypairs(both)[0])]


def _signing_well(pair: asyncssh.SSHKeyPair) -> asyncssh.SSHKeyPair:
    """Let an RSA key sign as OpenSSH's client does: with SHA-512 before SHA-256, with SHA-1 last, where a host is allowed it.

    By itself asyncssh offers a certificate by its old name first; the second try then comes after the next key (2.24.1).
    """
    if pair.algorithm in (b"ssh-rsa", b"ssh-rsa" + SUFFIX.encode()):
        pair.sig_algorithms = _RSA[:1] if pair.has_cert else _RSA
        if pair.has_cert:
            pair.set_sig_algorithm(_RSA[0])
            pair.algorithm = _RSA[0] + SUFFIX.encode()
    return pair


def _signing_as_ever(key: PrivateKey) -> KeyPairListArg:
    """Return an RSA key that signs with SHA-1, and with nothing else."""
    (pair,) = asyncssh.load_keypairs([key.key])
    pair.set_sig_algorithm(b"ssh-rsa")
    pair.sig_algorithms = (b"ssh-rsa",)
    return [pair]


def _key_of(pair: asyncssh.SSHKeyPair) -> bytes:
    """Return the plain key of a pair; an agent holds certificates as pairs of their own."""
    try:
        return Certificate.of(pair.public_data).key.blob if is_certificate(pair.public_data) else pair.public_data
    except ValueError:  # of a kind that is not known here, DSA
        return pair.public_data


def _of_pair(pair: asyncssh.SSHKeyPair) -> tuple[str, KeyPairListArg, bytes]:
    return f"agent key {pair.get_comment()}", [_signing_well(pair)], pair.public_data


def _word(key: PrivateKey) -> str:
    return f"key {key.path} {key.fingerprint}{_note(key.note)}"


def _note(note: str) -> str:
    return f" {note}" if note else ""
