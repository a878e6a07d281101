"""OpenSSH certificates as they are on the wire (openssh-portable, PROTOCOL.certkeys): whose key, for whom, until when, by whom.

asyncssh checks the signature of one, but keeps to itself until when it holds and how it was signed.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from inventory.errors import Text, utc
from remote.host_keys import HostKey

USER, HOST = 1, 2
"""What a certificate can be for (its field `type`)."""
SUFFIX: Final = "-cert-v01@openssh.com"
_KEY_PARTS: Final = {
    "ssh-ed25519": 1,
    "ecdsa-sha2-nistp256": 2,
    "ecdsa-sha2-nistp384": 2,
    "ecdsa-sha2-nistp521": 2,
    "ssh-rsa": 2,
    "sk-ssh-ed25519": 2,
    "sk-ecdsa-sha2-nistp256": 3,
}
"""How many strings the public key of each kind has in a certificate."""
_SHA1: Final = "ssh-rsa"


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificate:
    """What an authority says of a key; whether the signature is right is not looked at here."""

    kind: int
    """USER or HOST."""
    key: HostKey
    """The plain key that it is for."""
    authority: HostKey
    """The key that signed it."""
    signed_by: str
    """The algorithm of the signature, such as `rsa-sha2-512`."""
    key_id: str
    """What the authority calls it: hostile text as long as nothing else is known."""
    serial: int
    principals: tuple[str, ...]
    """The names of the hosts or users that it is for."""
    valid_after_s: int
    valid_before_s: int
    """Seconds since 1970; 2**64 - 1: for ever."""
    critical: tuple[str, ...] = ()
    """Options that whoever does not know them must refuse."""

    def out_of_time(self, now_s: float) -> Text | None:
        """Return what is wrong with its time at a moment; None within it."""
        if now_s < self.valid_after_s:
            return Text("it is valid from {moment} on", moment=moment(self.valid_after_s))
        if now_s >= self.valid_before_s:
            return Text("it expired on {moment}", moment=moment(self.valid_before_s))
        return None

    @property
    def weak(self) -> bool:
        """Whether it is signed with SHA-1, which nobody should trust any more."""
        return self.signed_by == _SHA1

    @classmethod
    def of(cls, blob: bytes) -> Certificate:
        """Return the certificate whose wire form is `blob`; ValueError if it is none.

        >>> Certificate.of(b"")
        Traceback (most recent call last):
        ValueError: not an SSH certificate
        """
        try:
            return _read(blob)
        except (IndexError, KeyError, UnicodeDecodeError) as error:
            raise ValueError("not an SSH certificate") from error


def is_certificate(blob: bytes) -> bool:
    """Tell whether the wire form of a key names a kind of certificate."""
    return blob[4 : 4 + int.from_bytes(blob[:4], "big")].endswith(SUFFIX.encode())


FOREVER: Final = 2**64 - 1
"""The end of a certificate that has none."""


def moment(seconds: int) -> str:
    """Return a moment of a certificate as people write it, in UTC; one that no calendar has as its seconds.

    >>> moment(0), moment(2**63)
    ('1970-01-01 00:00:00 UTC', '9223372036854775808')
    """
    try:
        return utc(datetime.fromtimestamp(seconds, UTC))
    except (ValueError, OverflowError, OSError):
        return str(seconds)


class _Reader:
    """Reads the fields of RFC 4251 5 one after the other; IndexError where they end too early."""

    def __init__(self, data: bytes) -> None:
        self._data, self._at = data, 0

    def take(self, count: int) -> bytes:
        if self._at + count > len(self._data):
            raise IndexError(count)
        self._at += count
        return self._data[self._at - count : self._at]

    def number(self, size: int) -> int:
        return int.from_bytes(self.take(size), "big")

    def string(self) -> bytes:
        return self.take(self.number(4))

    def strings(self) -> Iterator[bytes]:
        while self._at < len(self._data):
            yield self.string()


def _packed(*parts: bytes) -> bytes:
    return b"".join(len(part).to_bytes(4, "big") + part for part in parts)


def _read(blob: bytes) -> Certificate:
    fields = _Reader(blob)
    kind = fields.string().decode("ascii")
    base = kind.removesuffix(SUFFIX)
    if base == kind:
        raise KeyError(kind)
    fields.string()  # the nonce
    public = [fields.string() for _ in range(_KEY_PARTS[base])]
    name = f"{base}@openssh.com" if base.startswith("sk-") else base
    serial, what = fields.number(8), fields.number(4)
    key_id = fields.string().decode("utf-8", "replace")
    principals = tuple(one.decode("utf-8", "replace") for one in _Reader(fields.string()).strings())
    valid_after_s, valid_before_s = fields.number(8), fields.number(8)
    options = tuple(_Reader(fields.string()).strings())[::2]
    fields.string(), fields.string()  # extensions and what is reserved
    authority, signature = fields.string(), _Reader(fields.string())
    return Certificate(
        kind=what,
        key=HostKey.of(_packed(name.encode(), *public)),
        authority=HostKey.of(authority, authority=True),
        signed_by=signature.string().decode("ascii"),
        key_id=key_id,
        serial=serial,
        principals=principals,
        valid_after_s=valid_after_s,
        valid_before_s=valid_before_s,
        critical=tuple(one.decode("utf-8", "replace") for one in options),
    )
