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
from enum import Enum
from typing import Final

import spnego
from spnego.channel_bindings import GssChannelBindings
from spnego.exceptions import SpnegoError

from remote.lab.windows.bindings import Hardening, bindings_for

BOUNDARY: Final = b"--Encrypted Boundary"
SEALED: Final = 'multipart/encrypted;protocol="application/HTTP-SPNEGO-session-encrypted";boundary="Encrypted Boundary"'
MUTUAL: Final = "http://schemas.dmtf.org/wbem/wsman/1/wsman/secprofile/https/mutual"
_OCTETS: Final = b"\tContent-Type: application/octet-stream\r\n"
_DOOR_OF: Final = {"negotiate": "negotiate", "ntlm": "negotiate", "kerberos": "kerberos"}
"""The switch of winrm/config/service/auth that stands for a word of the Authorization header."""
_KERBEROS: Final = bytes.fromhex("06092a864886f712010202")
"""The mechanism 1.2.840.113554.1.2.2 in DER: with it at its head, a token is Kerberos' own and no SPNEGO (RFC 2743 3.1)."""
_HEAD: Final = 20


class Unauthorized(Exception):
    """Not logged in (yet); `challenges` are the headers that say how it could go on."""

    def __init__(self, *challenges: str) -> None:
        self.challenges = challenges
        super().__init__(challenges)


class BadMessage(Exception):
    """A sealed message that does not open: another context, or tampered with. Windows answers 400 without a body."""


class Rights(Enum):
    """What a user may do who has logged in."""

    ADMIN = "admin"  # both kinds of shells, with the rights of an administrator
    REMOTE = "remote"  # of Remote Management Users: endpoints of PowerShell only, cmd is denied (pywinrm #338)
    FILTERED = "filtered"  # an administrator whose token UAC has filtered: WinRM answers 401 to the right password
    NONE = "none"  # logged in, and denied everything


@dataclass(frozen=True, slots=True, kw_only=True)
class Doors:
    """How one may log in to a host. Accounts of NTLM are in the file NTLM_USER_FILE, keys of Kerberos in KRB5_KTNAME."""

    passwords: Mapping[str, str] = field(default_factory=dict, hash=False)
    """Of local users, for Basic."""
    schemes: tuple[str, ...] = ("negotiate", "kerberos")
    """Of `basic`, `negotiate`, `kerberos`, `certificate`: the switches of winrm/config/service/auth."""
    allow_unencrypted: bool = False
    """AllowUnencrypted of winrm/config/service: whether Basic and plain bodies are taken over HTTP."""
    rights: Mapping[str, Rights] = field(default_factory=dict, hash=False)
    """Of users by name, without domain or realm; who is not in it is an administrator."""
    certificate: bytes = b""
    """The host's own, DER: what a login over TLS is to be bound to (RFC 5929); empty: bindings are not looked at."""
    hardening: Hardening = Hardening.RELAXED

    def rights_of(self, user: str) -> Rights:
        """Return what a user may do, by his name with or without domain or realm.

        >>> Doors(rights={"anna": Rights.REMOTE}).rights_of("LAB\\\\anna")
        <Rights.REMOTE: 'remote'>
        """
        name = user.rpartition("\\")[2].partition("@")[0].lower()
        return self.rights.get(name, Rights.ADMIN)


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
            self._let_in(self._basic(token))
            return None
        if _DOOR_OF.get(scheme.lower()) in self.doors.schemes and token:
            return self._negotiated(scheme, token)
        if scheme == MUTUAL and "certificate" in self.doors.schemes and self._certificate_user:
            self._let_in(self._certificate_user)
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

    def _negotiated(self, scheme: str, text: str) -> str | None:
        try:
            token = base64.b64decode(text, validate=True)
            if self.context is None or self.context.complete:
                self.context, self.user = _acceptor(token, scheme.lower()), None
            answer = self.context.step(token, channel_bindings=self._bindings(token))
        except (SpnegoError, ValueError, AttributeError) as error:  # the last is pyspnego's for a ticket with other bindings
            self.context = None
            raise Unauthorized(*self._offered()) from error
        challenge = f"{scheme} {base64.b64encode(answer).decode()}" if answer else scheme
        if not self.context.complete:
            raise Unauthorized(challenge)
        self._let_in(str(self.context.client_principal))
        return challenge if answer else None

    def _bindings(self, token: bytes) -> GssChannelBindings | None:
        if not self.tls or not self.doors.certificate:
            return None
        return bindings_for(token, self.doors.certificate, self.doors.hardening)

    def _let_in(self, user: str) -> None:
        if self.doors.rights_of(user) is Rights.FILTERED:
            raise Unauthorized(*self._offered())
        self.user = user

    def _offered(self) -> tuple[str, ...]:
        words = {"negotiate": "Negotiate", "kerberos": "Kerberos", "basic": 'Basic realm="WSMAN"'}
        return tuple(words[scheme] for scheme in self.doors.schemes if scheme in words)


def _acceptor(token: bytes, scheme: str) -> spnego.ContextProxy:
    """Return what takes a first token: NTLM and Kerberos by themselves, or whichever of them is in SPNEGO."""
    wrapping = spnego.NegotiateOptions.wrapping_winrm
    if token.startswith(b"NTLMSSP\0"):
        return spnego.server(protocol="ntlm", options=wrapping)
    if scheme == "kerberos" or _KERBEROS in token[:_HEAD]:
        return spnego.server(protocol="kerberos", options=wrapping)
    return spnego.server(protocol="negotiate", options=wrapping | spnego.NegotiateOptions.use_negotiate)
