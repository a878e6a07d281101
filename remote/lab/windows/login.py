"""Who speaks on one connection, and the sealing of what is said: Basic, NTLM and Kerberos by SPNEGO, client certificates.

Windows keeps an authenticated context with the TCP connection (MS-WSMV 2.2.9.1): what comes later on it is sealed by it.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from email.message import Message
from typing import Final

import spnego
from spnego.exceptions import SpnegoError

BOUNDARY: Final = b"--Encrypted Boundary"
SEALED: Final = 'multipart/encrypted;protocol="application/HTTP-SPNEGO-session-encrypted";boundary="Encrypted Boundary"'
MUTUAL: Final = "http://schemas.dmtf.org/wbem/wsman/1/wsman/secprofile/https/mutual"
_OCTETS: Final = b"\tContent-Type: application/octet-stream\r\n"
_SCHEMES: Final = ("negotiate", "kerberos", "ntlm")


class Unauthorized(Exception):
    """Not logged in (yet); `challenges` are the headers that say how it could go on."""

    def __init__(self, *challenges: str) -> None:
        self.challenges = challenges
        super().__init__(challenges)


class BadMessage(Exception):
    """A sealed message that does not open: another context, or tampered with. Windows answers 400 without a body."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Doors:
    """How one may log in to a host."""

    passwords: Mapping[str, str] = field(default_factory=dict, hash=False)
    """Of local users, for Basic."""
    schemes: tuple[str, ...] = ("negotiate", "kerberos")
    """Of `basic`, `ntlm`, `negotiate`, `kerberos`, `certificate`."""
    allow_unencrypted: bool = False
    """AllowUnencrypted of winrm/config/service: whether Basic and plain bodies are taken over HTTP."""


class Login:
    """The state of authentication of one TCP connection."""

    def __init__(self, doors: Doors, *, tls: bool, certificate_user: str | None = None) -> None:
        self.doors, self.tls, self._certificate_user = doors, tls, certificate_user
        self.user: str | None = None
        self.context: spnego.ContextProxy | None = None

    def authenticate(self, headers: Message) -> str | None:
        """Take the Authorization header of a request, and return what the answer carries as WWW-Authenticate.

        Raises Unauthorized until somebody is logged in.
        """
        scheme, _, token = str(headers.get("Authorization", "")).partition(" ")
        if scheme.lower() == "basic" and "basic" in self.doors.schemes:
            self.user = self._basic(token)
            return None
        if scheme.lower() in _SCHEMES and token:
            return self._negotiated(scheme, token)
        if scheme == MUTUAL and "certificate" in self.doors.schemes and self._certificate_user:
            self.user = self._certificate_user
            return None
        if self.user is None:
            raise Unauthorized(*self._offered())
        return None

    def open(self, content_type: str, body: bytes) -> bytes:
        """Return what a body says; what is not sealed is taken over TLS or where AllowUnencrypted is set."""
        if not content_type.lower().startswith("multipart/encrypted"):
            if body and not self.tls and not self.doors.allow_unencrypted:
                raise Unauthorized(*self._offered())
            return body
        if self.context is None:
            raise BadMessage
        try:
            _, information, sealed = body.split(BOUNDARY + b"\r\n")
            length = int(information.rsplit(b"Length=", 1)[1])
            payload = sealed.removeprefix(_OCTETS).removesuffix(BOUNDARY + b"--\r\n")
            size = struct.unpack("<i", payload[:4])[0]
            opened = self.context.unwrap_winrm(payload[4 : 4 + size], payload[4 + size :])
        except (ValueError, IndexError, struct.error, SpnegoError) as error:
            raise BadMessage from error
        if len(opened) != length:
            raise BadMessage
        return opened

    def seal(self, data: bytes, *, like: str) -> tuple[str, bytes]:
        """Return the content type and body of an answer to a request whose content type was `like`."""
        if not like.lower().startswith("multipart/encrypted") or self.context is None:
            return "application/soap+xml;charset=UTF-8", data
        wrapped = self.context.wrap_winrm(data)
        information = (
            b"\r\n\tContent-Type: application/HTTP-SPNEGO-session-encrypted\r\n"
            b"\tOriginalContent: type=application/soap+xml;charset=UTF-8;Length=%d\r\n" % (len(data) + wrapped.padding_length)
        )
        sealed = struct.pack("<i", len(wrapped.header)) + wrapped.header + wrapped.data
        return SEALED, BOUNDARY + information + BOUNDARY + b"\r\n" + _OCTETS + sealed + BOUNDARY + b"--\r\n"

    def _basic(self, token: str) -> str:
        try:
            user, _, password = base64.b64decode(token, validate=True).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError) as error:
            raise Unauthorized(*self._offered()) from error
        wanted = self.doors.passwords.get(user)
        if (not self.tls and not self.doors.allow_unencrypted) or wanted is None:
            raise Unauthorized(*self._offered())
        if not hmac.compare_digest(password.encode(), wanted.encode()):
            raise Unauthorized(*self._offered())
        return user

    def _negotiated(self, scheme: str, token: str) -> str | None:
        if self.context is None or self.context.complete:
            options = spnego.NegotiateOptions.wrapping_winrm | spnego.NegotiateOptions.use_negotiate
            protocol = "ntlm" if token.startswith("TlRMTVNTUA") else "kerberos" if scheme.lower() == "kerberos" else "negotiate"
            self.context = spnego.server(protocol=protocol, options=options if protocol == "negotiate" else _WRAPPING)
            self.user = None
        try:
            answer = self.context.step(base64.b64decode(token, validate=True))
        except (SpnegoError, binascii.Error, ValueError) as error:
            self.context = None
            raise Unauthorized(*self._offered()) from error
        challenge = f"{scheme} {base64.b64encode(answer).decode()}" if answer else scheme
        if not self.context.complete:
            raise Unauthorized(challenge)
        self.user = str(self.context.client_principal)
        return challenge if answer else None

    def _offered(self) -> tuple[str, ...]:
        words = {"negotiate": "Negotiate", "kerberos": "Kerberos", "ntlm": "Negotiate", "basic": 'Basic realm="WSMAN"'}
        return tuple(dict.fromkeys(words[scheme] for scheme in self.doors.schemes if scheme in words))


_WRAPPING: Final = spnego.NegotiateOptions.wrapping_winrm
