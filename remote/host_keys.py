"""Public keys of hosts and of certificate authorities."""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass

REVOKED, AUTHORITY = "@revoked", "@cert-authority"
"""What stands before the names of lines in known_hosts that are not for the key of a host (sshd(8))."""
CERTIFICATE = "x509-certificate"
"""The kind of what stands there for a host that proves itself by TLS: the SHA-256 of its certificate."""
_SHA256_BYTES = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class HostKey:
    """One public key of a host, as it stands on a line; `revoked` ones are refused wherever they turn up."""

    type: str
    """The name of the key's kind, such as `ssh-ed25519`."""
    blob: bytes
    revoked: bool = False
    authority: bool = False
    """The key of a certificate authority: hosts prove themselves with certificates that it signed."""

    @property
    def fingerprint(self) -> str:
        """Return the key's fingerprint as OpenSSH prints it (`SHA256:`, unpadded base64), or a certificate's own."""
        return shown_digest(self.blob[-_SHA256_BYTES:]) if self.type == CERTIFICATE else fingerprint(self.blob)

    @property
    def line(self) -> str:
        """Return type and base64, the part of a line behind the names."""
        return f"{self.type} {base64.b64encode(self.blob).decode()}"

    @property
    def marker(self) -> str:
        """Return what stands before the names on its line, with a space behind it; nothing for the key of a host."""
        return f"{REVOKED} " if self.revoked else f"{AUTHORITY} " if self.authority else ""

    @classmethod
    def of(cls, blob: bytes, *, revoked: bool = False, authority: bool = False) -> HostKey:
        """Return the key whose wire form (RFC 4253 6.6) is `blob`; ValueError if that names no type."""
        length = int.from_bytes(blob[:4], "big")
        name = blob[4 : 4 + length]
        if not 0 < length <= 64 or len(name) < length or not name.isascii() or not name.decode("ascii").isprintable():
            raise ValueError("not an SSH public key")
        return cls(type=name.decode("ascii"), blob=blob, revoked=revoked, authority=authority)


def fingerprint(blob: bytes) -> str:
    """Return the SHA256 fingerprint of a public key's wire form.

    >>> fingerprint(b"")
    'SHA256:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU'
    """
    return shown_digest(hashlib.sha256(blob).digest())


def shown_digest(digest: bytes) -> str:
    """Return a digest as a fingerprint."""
    return "SHA256:" + base64.b64encode(digest).decode().rstrip("=")
