"""What `ansible-vault` encrypts, read: format 1.1 and 1.2, AES-256 in counter mode, HMAC-SHA256, keys by PBKDF2.

The format is that of ansible-core 2.19 (docs “Format of files encrypted with Ansible Vault”): after the header, hexadecimal
lines that hold salt, HMAC and ciphertext, each in hexadecimal again. Nothing is ever written decrypted.
"""

from __future__ import annotations

import hashlib
import hmac
from binascii import Error as NotHex
from binascii import unhexlify
from collections.abc import Callable, Mapping

from inventory.errors import LongarmError, Text
from inventory.secret import Secret

HEADER = b"$ANSIBLE_VAULT;"
_ROUNDS, _KEY, _IV = 10_000, 32, 16
_BLOCK = 16


class VaultClosed(LongarmError):
    """Something that ansible-vault encrypted and that cannot be read here."""


class VaultKeys:
    """Passwords of ansible-vault by vault id, each asked for when it is first needed."""

    def __init__(self, passwords: Mapping[str, Callable[[], Secret]]) -> None:
        self._passwords = passwords

    def opened(self, data: bytes) -> bytes:
        """Return what was encrypted; raises VaultClosed where no password opens it, and what asking for one raises.

        As in Ansible the password of the id in the header is tried first, then the others in their order.
        """
        name, salt, digest, ciphertext = _parts(data)
        for vault_id in sorted(self._passwords, key=lambda one: one != name):
            password = self._passwords[vault_id]().reveal().strip()
            keys = hashlib.pbkdf2_hmac("sha256", password.encode("utf-8", "surrogateescape"), salt, _ROUNDS, 2 * _KEY + _IV)
            if hmac.compare_digest(hmac.digest(keys[_KEY : 2 * _KEY], ciphertext, "sha256"), digest):
                return _decrypted(keys[:_KEY], keys[2 * _KEY :], ciphertext)
        tried = ", ".join(self._passwords)
        raise VaultClosed(Text("no password that is given opens it (vault id {name}; tried {tried})", name=name, tried=tried))


def _parts(data: bytes) -> tuple[str, bytes, bytes, bytes]:
    """Return vault id, salt, HMAC and ciphertext."""
    header, _, body = data.strip().partition(b"\n")
    fields = [field.strip() for field in header.split(b";")]
    if len(fields) < 3 or fields[1] not in (b"1.1", b"1.2") or fields[2] != b"AES256":
        raise VaultClosed(Text("it has a form of ansible-vault that longarm does not know"))
    name = fields[3].decode("utf-8", "replace") if len(fields) > 3 else "default"
    try:
        salt, digest, ciphertext = map(unhexlify, unhexlify(b"".join(body.split())).split(b"\n"))
    except (NotHex, ValueError) as error:
        raise VaultClosed(Text("what ansible-vault wrote is not whole")) from error
    return name, salt, digest, ciphertext


def _decrypted(key: bytes, iv: bytes, ciphertext: bytes) -> bytes:
    from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

    decryptor = Cipher(algorithms.AES(key), modes.CTR(iv)).decryptor()
    padded = decryptor.update(ciphertext) + decryptor.finalize()
    padding = padded[-1] if padded else 0
    if not 0 < padding <= _BLOCK or padded[-padding:] != bytes([padding]) * padding:
        raise VaultClosed(Text("what ansible-vault wrote is not whole"))
    return padded[:-padding]
