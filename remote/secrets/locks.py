"""What opens the file of secrets: a passphrase, or a key that the SSH agent holds; each wraps the same data key.

A lock is public: everything in it but the wrapped key is bound to that key as associated data, so that a lock that was
changed does not open.
"""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from inventory.errors import Text
from inventory.secret import Secret
from inventory.secrets.unusable import Unusable, refuse
from remote.secrets.agent import AgentKey, agent_keys, refuse_unrepeatable, signature

KEY_BYTES, NONCE_BYTES, SALT_BYTES = 32, 12, 32
COST, _BLOCK, _LANES = 1 << 17, 8, 1
"""scrypt (RFC 7914): 128 MiB and some tenths of a second for each guess."""
_MOST_COST = 1 << 20
_BINDS = b"longarm secrets 1 lock "


class Lock(Protocol):
    """One way to open the file."""

    @property
    def public(self) -> Mapping[str, Any]:
        """Return what of it stands in the file, the wrapped key aside."""

    def key(self) -> bytes:
        """Return the key that wraps the data key; raises Unusable where it cannot be had."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PassphraseLock:
    """Opened by whoever knows the passphrase."""

    passphrase: Secret
    salt: bytes
    cost: int

    @classmethod
    def new(cls, passphrase: Secret) -> PassphraseLock:
        """Return a new lock of its own salt."""
        return cls(passphrase=passphrase, salt=secrets.token_bytes(SALT_BYTES), cost=COST)

    @property
    def public(self) -> Mapping[str, Any]:
        """Return kind, cost and salt."""
        return {"kind": "passphrase", "kdf": "scrypt", "n": self.cost, "r": _BLOCK, "p": _LANES, "salt": packed(self.salt)}

    def key(self) -> bytes:
        """Return what scrypt makes of the passphrase."""
        return hashlib.scrypt(
            self.passphrase.reveal().encode("utf-8", "surrogateescape"),
            salt=self.salt,
            n=self.cost,
            r=_BLOCK,
            p=_LANES,
            maxmem=(self.cost + 1024) * 160 * _BLOCK,
            dklen=KEY_BYTES,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentLock:
    """Opened wherever the agent holds the key."""

    agent_key: AgentKey
    salt: bytes

    @classmethod
    def new(cls, fingerprint: str) -> AgentLock:
        """Return a new lock for a key of the running agent; raises Unusable."""
        for key in agent_keys():
            if key.fingerprint == fingerprint:
                salt = secrets.token_bytes(SALT_BYTES)
                refuse_unrepeatable(key, salt)
                return cls(agent_key=key, salt=salt)
        text = Text("the SSH agent holds no key {fingerprint}", fingerprint=fingerprint)
        raise Unusable(text, Text("ssh-add -l shows which there are"))

    @property
    def public(self) -> Mapping[str, Any]:
        """Return kind, public key and salt."""
        return {"kind": "agent", "public": packed(self.agent_key.blob), "salt": packed(self.salt)}

    def key(self) -> bytes:
        """Return what HKDF (RFC 5869) makes of the key's signature of the salt."""
        from cryptography.hazmat.primitives.hashes import SHA256
        from cryptography.hazmat.primitives.kdf.hkdf import HKDF

        proof = signature(self.agent_key, self.salt)
        return HKDF(algorithm=SHA256(), length=KEY_BYTES, salt=self.salt, info=_BINDS + b"agent").derive(proof)


def wrapped(lock: Lock, data_key: bytes) -> dict[str, Any]:
    """Return a lock as it stands in the file, with the data key inside."""
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    nonce = secrets.token_bytes(NONCE_BYTES)
    key = AESGCM(lock.key()).encrypt(nonce, data_key, _bound(lock.public))
    return {**lock.public, "nonce": packed(nonce), "key": packed(key)}


def unwrapped(lock: Lock, nonce: bytes, key: bytes) -> bytes | None:
    """Return the data key, None where this is not what opens it; raises Unusable where the lock cannot be tried."""
    from cryptography.exceptions import InvalidTag
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    try:
        return AESGCM(lock.key()).decrypt(nonce, key, _bound(lock.public))
    except InvalidTag:
        return None


def _bound(public: Mapping[str, Any]) -> bytes:
    return _BINDS + json.dumps(public, sort_keys=True, separators=(",", ":")).encode()


def passphrase_lock(stands: Mapping[str, Any], passphrase: Secret) -> PassphraseLock:
    """Return the lock that stands in a file, for a passphrase to be tried on; raises Unusable where its cost is absurd."""
    if (stands["r"], stands["p"]) != (_BLOCK, _LANES) or not 2 <= int(stands["n"]) <= _MOST_COST:
        refuse(Text("the lock of the file of secrets asks for more memory than any of ours"))
    return PassphraseLock(passphrase=passphrase, salt=unpacked(stands["salt"]), cost=int(stands["n"]))


def agent_lock(stands: Mapping[str, Any]) -> AgentLock:
    """Return the lock that stands in a file."""
    return AgentLock(agent_key=AgentKey(blob=unpacked(stands["public"])), salt=unpacked(stands["salt"]))


def packed(data: bytes) -> str:
    """Return bytes as text."""
    return base64.b64encode(data).decode()


def unpacked(text: str) -> bytes:
    """Return the bytes of a text; raises ValueError."""
    return base64.b64decode(text, validate=True)
