"""The SSH agent as a keeper of a secret: a signature that only it can make, always the same, is the secret.

What is signed has the form of `ssh-keygen -Y sign` (PROTOCOL.sshsig of OpenSSH): it begins otherwise than anything that is
signed to log in, so neither can be taken for the other. Only ed25519 (RFC 8032) and RSA with PKCS #1 v1.5 (RFC 8017) sign
the same bytes the same way each time; ECDSA and keys in hardware (`sk-…`) do not.
"""

from __future__ import annotations

import base64
import hashlib
import os
import socket
import struct
import time
from dataclasses import dataclass

from inventory.errors import Text
from inventory.secrets.unusable import Unusable, refuse

_NAMESPACE = b"longarm-secrets"
_DEADLINE_S = 60.0
"""A key may be guarded by a question to its owner (`ssh-add -c`)."""
_LARGEST = 256 * 1024  # what OpenSSH's agent sends at most
_LIST, _LISTED, _SIGN, _SIGNED = 11, 12, 13, 14
_FLAGS = {"ssh-ed25519": (0, b"ssh-ed25519"), "ssh-rsa": (4, b"rsa-sha2-512")}
"""By type of key: the flags to ask with, and the signature that must come of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentKey:
    """A key that the agent holds."""

    blob: bytes
    comment: str = ""

    @property
    def type(self) -> str:
        """Return its type, `ssh-ed25519`."""
        return _string(self.blob)[0].decode("ascii", "replace")

    @property
    def fingerprint(self) -> str:
        """Return it as ssh-keygen shows it, `SHA256:…`."""
        return "SHA256:" + base64.b64encode(hashlib.sha256(self.blob).digest()).decode().rstrip("=")

    @property
    def repeats(self) -> bool:
        """Tell whether it signs the same bytes the same way each time."""
        return self.type in _FLAGS


def agent_keys() -> list[AgentKey]:
    """Return the keys of the running agent; raises Unusable where none is running."""
    answer = _asked(bytes([_LIST]), _LISTED)
    try:
        rest, keys = answer[4:], list[AgentKey]()
        for _ in range(int.from_bytes(answer[:4])):
            blob, rest = _string(rest)
            comment, rest = _string(rest)
            keys.append(AgentKey(blob=blob, comment=comment.decode("utf-8", "replace")))
    except ValueError as error:
        raise Unusable(Text("the SSH agent gave no whole answer")) from error
    return keys


def refuse_unrepeatable(key: AgentKey, challenge: bytes) -> None:
    """Raise Unusable for a key whose signatures of the same bytes differ, by its type or because this agent does it so."""
    if not key.repeats:
        hint = Text("take an ed25519 or an RSA key: ssh-add -l shows which there are")
        refuse(Text("the key {fingerprint} is of the type {type}, whose signatures differ", **_named(key)), hint)
    if signature(key, challenge) != signature(key, challenge):
        refuse(Text("the agent signs differently each time with the key {fingerprint}", fingerprint=key.fingerprint))


def _named(key: AgentKey) -> dict[str, str]:
    return {"fingerprint": key.fingerprint, "type": key.type}


def signature(key: AgentKey, challenge: bytes) -> bytes:
    """Return what the key makes of a challenge; raises Unusable for a key that cannot be used for it, or is not there."""
    if not key.repeats:
        refuse(Text("the key {fingerprint} is of the type {type}, whose signatures differ", **_named(key)))
    flags, expected = _FLAGS[key.type]
    signed = b"SSHSIG" + b"".join(map(_packed, (_NAMESPACE, b"", b"sha512", hashlib.sha512(challenge).digest())))
    answer = _asked(bytes([_SIGN]) + _packed(key.blob) + _packed(signed) + struct.pack(">I", flags), _SIGNED)
    try:
        algorithm, rest = _string(_string(answer)[0])
        signed_by_it, _ = _string(rest)
    except ValueError as error:
        raise Unusable(Text("the SSH agent gave no whole answer")) from error
    if algorithm != expected:
        refuse(Text("the SSH agent cannot sign as {algorithm}", algorithm=expected.decode()))
    return signed_by_it


def _packed(data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + data


def _string(data: bytes) -> tuple[bytes, bytes]:
    """Return the string that data begins with, and the rest; raises ValueError where it is not whole."""
    length = int.from_bytes(data[:4])
    if len(data) < 4 + length:
        raise ValueError("cut")
    return data[4 : 4 + length], data[4 + length :]


def _asked(request: bytes, expected: int) -> bytes:
    """Return the agent's answer of the expected kind, without that; raises Unusable."""
    path = os.environ.get("SSH_AUTH_SOCK")
    if not path:
        refuse(Text("no SSH agent is running (SSH_AUTH_SOCK is not set)"))
    until = time.monotonic() + _DEADLINE_S
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(_DEADLINE_S)
            connection.connect(path)
            connection.sendall(_packed(request))
            length = int.from_bytes(_received(connection, 4, until))
            if not 0 < length <= _LARGEST:
                refuse(Text("the SSH agent gave no whole answer"))
            answer = _received(connection, length, until)
    except OSError as error:
        reason = error.strerror or str(error)
        raise Unusable(Text("the SSH agent cannot be asked: {reason}", reason=reason)) from error
    if answer[0] != expected:
        refuse(Text("the SSH agent refused"), Text("is the key still there? ssh-add -l"))
    return answer[1:]


def _received(connection: socket.socket, length: int, until: float) -> bytes:
    data = bytearray()
    while len(data) < length:
        connection.settimeout(max(0.001, until - time.monotonic()))
        if not (more := connection.recv(length - len(data))):
            raise OSError("it hung up")
        data += more
    return bytes(data)
