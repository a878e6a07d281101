"""Keys to log in with: read from their files, with the certificate that belongs to them, and what is left to the agent."""

from __future__ import annotations

import base64
import binascii
import re
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from inventory.errors import Text
from inventory.secret import Secret
from inventory.secrets.in_file import private_bytes
from inventory.secrets.unusable import Unusable
from remote.certificates import USER, Certificate
from remote.host_keys import fingerprint

if TYPE_CHECKING:
    import asyncssh

_ARMOR: Final = re.compile(rb"-----BEGIN OPENSSH PRIVATE KEY-----(.*?)-----END OPENSSH PRIVATE KEY-----", re.DOTALL)
_MAGIC: Final = b"openssh-key-v1\0"
_LARGEST_PUBLIC: Final = 64 * 1024


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PrivateKey:
    """A private key, parsed, with its certificate if there is one."""

    path: str
    fingerprint: str
    key: asyncssh.SSHKey
    certificate: asyncssh.SSHCertificate | None = None
    note: str = ""
    """What is to be said of its certificate when it was not enough."""

    def __repr__(self) -> str:
        return f"PrivateKey({self.path}, {self.fingerprint})"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PublicKey:
    """The public half of a key that is named and that the agent has to use: an encrypted one, one of a security token."""

    path: str
    blob: bytes
    certificate: asyncssh.SSHCertificate | None = None
    note: str = ""

    @property
    def fingerprint(self) -> str:
        """Return the fingerprint as OpenSSH prints it."""
        return fingerprint(self.blob)


class LeftToAgent(Unusable):
    """A private key that cannot be used here, but may be by an agent."""


def private_key(path: Path, passphrase: Secret | None = None, certificate: Path | None = None) -> PrivateKey:
    """Return the private key in a file with its certificate (beside it: `PATH-cert.pub`), or raise Unusable.

    Like `ssh` it refuses a key that others can read.
    """
    from remote.ssh_library import asyncssh

    data = private_bytes(path)
    half = _public_half(data)
    if half is not None and half[4:].startswith(b"sk-"):
        raise LeftToAgent(
            Text("{path} is the key of a security token: only an agent can use it (ssh-add, agent: true)", path=path)
        )
    try:
        key = asyncssh.import_private_key(data, passphrase.reveal() if passphrase else None)
    except asyncssh.KeyImportError as error:
        if passphrase is None and "assphrase" in str(error):
            raise LeftToAgent(Text("{path} needs a passphrase, and none is named", path=path)) from error
        raise Unusable(Text("{path} is not a private key that can be read: {reason}", path=path, reason=str(error))) from error
    except asyncssh.KeyEncryptionError as error:
        raise Unusable(Text("{path} cannot be decrypted: {reason}", path=path, reason=str(error))) from error
    found, note = _certificate(path, certificate, key.public_data)
    return PrivateKey(path=str(path), fingerprint=key.get_fingerprint(), key=key, certificate=found, note=note)


def public_key(path: Path, certificate: Path | None = None) -> PublicKey:
    """Return the public half of the key in a file, from itself or from `PATH.pub` beside it, or raise Unusable."""
    path = path.with_suffix("") if path.suffix == ".pub" else path
    half = _public_half(private_bytes(path)) if path.exists() else None
    blob = half or _beside(path.with_name(path.name + ".pub"))
    if blob is None:
        private_bytes(path)  # which tells that it is not there
        raise LeftToAgent(
            Text(
                "{path} needs a passphrase, and without {public} nobody can say which key of the agent it is",
                path=path,
                public=f"{path.name}.pub",
            )
        )
    found, note = _certificate(path, certificate, blob)
    return PublicKey(path=str(path), blob=blob, certificate=found, note=note)


def _public_half(data: bytes) -> bytes | None:
    """Return the public key that stands unencrypted in a private key of OpenSSH's own format (PROTOCOL.key); else None."""
    if (match := _ARMOR.search(data)) is None:
        return None
    try:
        packed = base64.b64decode(b"".join(match[1].split()), validate=True)
    except binascii.Error:
        return None
    fields = packed.removeprefix(_MAGIC)
    if fields == packed:
        return None
    for _ in range(3):  # the cipher, how its key is derived, and with what
        fields = fields[4 + int.from_bytes(fields[:4], "big") :]
    length = int.from_bytes(fields[4:8], "big")
    return fields[8 : 8 + length] or None


def _beside(path: Path) -> bytes | None:
    try:
        with path.open("rb") as opened:
            words = opened.read(_LARGEST_PUBLIC).split()
        return base64.b64decode(words[1], validate=True)
    except (OSError, IndexError, binascii.Error):
        return None


def _certificate(path: Path, named: Path | None, blob: bytes) -> tuple[asyncssh.SSHCertificate | None, str]:
    """Return the certificate of a key, and what is to be said of it; raises Unusable for one that is named and does not count.

    One that lies beside the key and does not count is passed over: the key may do without it.
    """
    from remote.ssh_library import asyncssh

    file = named or path.with_name(path.name + "-cert.pub")
    try:
        found = asyncssh.read_certificate(file)
        certificate = Certificate.of(found.public_data)
    except FileNotFoundError as error:
        if named is None:
            return None, ""
        raise Unusable(Text("{path}: {reason}", path=file, reason=error.strerror or str(error))) from error
    except (asyncssh.KeyImportError, OSError, ValueError) as error:
        raise Unusable(Text("{path} is not a certificate that can be read: {reason}", path=file, reason=str(error))) from error
    if (wrong := _wrong(certificate, blob)) is None:
        return found, f"with the certificate “{certificate.key_id[:80]}” for {', '.join(certificate.principals)[:200] or '–'}"
    if named is not None:
        raise Unusable(Text("the certificate {path} does not count: {reason}", path=file, reason=wrong))
    return None, f"without its certificate: {wrong}"


def _wrong(certificate: Certificate, blob: bytes) -> Text | None:
    if certificate.key.blob != blob:
        return Text("it is for another key, {key}", key=certificate.key.fingerprint)
    if certificate.kind != USER:
        return Text("it is for a host, not for a user")
    return certificate.out_of_time(time.time())
