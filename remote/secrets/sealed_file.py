"""The form of the file of secrets (decision 17): a line for what it is, one for its locks and names, one that is sealed.

    longarm secrets 1
    {"entries":{"ops":"2026-11-29T08:00:00+00:00"},"locks":[…],"nonce":"…"}
    BASE64 of AES-256-GCM over {"ops":"…"}, the two lines above as associated data

Names and ages can be listed without opening it; nothing can be changed, added or left out without the data key.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from inventory.errors import Text
from inventory.secret import Secret
from inventory.secrets.unusable import Unusable
from remote.secrets.locks import KEY_BYTES, NONCE_BYTES, Lock, packed, unpacked, wrapped

_MAGIC = b"longarm secrets 1"
_HINT = Text("it is restored from a backup, or made anew: delete it, then longarm secret set NAME")


@dataclass(frozen=True, slots=True, kw_only=True)
class SealedFile:
    """The file as it stands, still closed."""

    locks: Sequence[Mapping[str, Any]]
    entries: Mapping[str, datetime]
    """When each secret was set, by its name."""
    nonce: bytes
    sealed: bytes
    bound: bytes
    """The two lines that are bound to what is sealed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenedFile:
    """What was in it; the data key stays in memory with it, and neither is ever shown."""

    data_key: bytes
    locks: Sequence[Mapping[str, Any]]
    entries: Mapping[str, datetime]
    values: Mapping[str, Secret]

    def __repr__(self) -> str:
        return f"OpenedFile({', '.join(self.entries)})"

    def with_secret(self, name: str, value: Secret, now: datetime) -> OpenedFile:
        """Return it with one secret more, or another value for it."""
        return replace(self, entries={**self.entries, name: now}, values={**self.values, name: value})

    def without(self, name: str) -> OpenedFile:
        """Return it without a secret that is in it."""
        entries = {key: at for key, at in self.entries.items() if key != name}
        return replace(self, entries=entries, values={key: self.values[key] for key in entries})

    def with_lock(self, lock: Lock) -> OpenedFile:
        """Return it with one more way to open it."""
        return replace(self, locks=(*self.locks, wrapped(lock, self.data_key)))

    def packed(self) -> bytes:
        """Return the file: sealed anew, with a nonce that was never used."""
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        nonce = secrets.token_bytes(NONCE_BYTES)
        header = {
            "entries": {name: at.isoformat() for name, at in sorted(self.entries.items())},
            "locks": list(self.locks),
            "nonce": packed(nonce),
        }
        bound = _MAGIC + b"\n" + json.dumps(header, separators=(",", ":")).encode() + b"\n"
        plain = json.dumps({name: value.reveal() for name, value in self.values.items()}).encode()
        return bound + packed(AESGCM(self.data_key).encrypt(nonce, plain, bound)).encode() + b"\n"


def new_file(lock: Lock) -> OpenedFile:
    """Return a file with nothing in it yet."""
    data_key = secrets.token_bytes(KEY_BYTES)
    return OpenedFile(data_key=data_key, locks=(wrapped(lock, data_key),), entries={}, values={})


def parsed(data: bytes, path: object) -> SealedFile:
    """Return the file that bytes hold; raises Unusable for what is none of ours, newer than we are, or not whole."""
    magic, _, rest = data.partition(b"\n")
    header, _, body = rest.partition(b"\n")
    if magic != _MAGIC:
        text = Text("{path} is no file of secrets that this version of longarm knows", path=path)
        raise Unusable(text, _HINT if not magic.startswith(_MAGIC[:-1]) else Text("use the newer longarm that wrote it"))
    try:
        head = json.loads(header)
        return SealedFile(
            locks=tuple({str(key): value for key, value in lock.items()} for lock in head["locks"]),
            entries={str(name): datetime.fromisoformat(at).astimezone(UTC) for name, at in head["entries"].items()},
            nonce=unpacked(head["nonce"]),
            sealed=unpacked(body.decode("ascii").rstrip("\n")),
            bound=magic + b"\n" + header + b"\n",
        )
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise Unusable(Text("{path} is damaged", path=path), _HINT) from error


def opened(file: SealedFile, data_key: bytes, path: object) -> OpenedFile:
    """Return what is in a file; raises Unusable where anything in it was changed since it was written."""
    from cryptography.exceptions import InvalidTag
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    try:
        plain = json.loads(AESGCM(data_key).decrypt(file.nonce, file.sealed, file.bound))
    except (InvalidTag, ValueError) as error:
        text = Text("{path} was changed by something else than longarm: nothing in it is used", path=path)
        raise Unusable(text, _HINT) from error
    values = {str(name): Secret(str(value)) for name, value in plain.items()}
    return OpenedFile(data_key=data_key, locks=file.locks, entries=file.entries, values=values)
