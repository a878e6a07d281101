"""How one gets into a Windows host: what its inventory and its credential say, and what is refused before anything is sent."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from dataclasses import dataclass
from socket import socket
from typing import Final

from cryptography import x509

from inventory.errors import Text
from inventory.host import Host, WinrmAuth
from remote.credentials import Credential
from remote.errors import CredentialUnusable
from remote.kerberos import service_of
from remote.known_hosts import Trust
from remote.session import SessionFacts
from remote.windows.negotiation import ByPassword, ByTickets, Context
from remote.windows.trust import certificate_key, comparing, pinned, shared, verifying
from remote.windows.wire import Door, Wire, by_basic, by_certificate

HTTP_PORT: Final = 5985
HTTPS_PORT: Final = 5986
_BY_PASSWORD: Final = frozenset({WinrmAuth.NTLM, WinrmAuth.BASIC, WinrmAuth.CREDSSP})


@dataclass(frozen=True, slots=True, kw_only=True)
class Authentication:
    """By what one logs in, and what that needs."""

    kind: WinrmAuth

    @property
    def by_password(self) -> bool:
        """Tell whether a password goes out that can be rejected."""
        return self.kind in _BY_PASSWORD


def scheme_of(host: Host) -> str:
    """Return `http` or `https`: what the inventory says, else by the port.

    >>> scheme_of(Host(name="win1", address="192.0.2.1"))
    'https'
    """
    return host.winrm.scheme or ("http" if host.port == HTTP_PORT else "https")


def port_of(host: Host) -> int:
    """Return the port of the inventory, else that of the scheme."""
    return host.port or (HTTP_PORT if scheme_of(host) == "http" else HTTPS_PORT)


def authentication(host: Host, credential: Credential) -> Authentication:
    """Return by what one logs in; raises CredentialUnusable for what would give a secret away, or is not there."""
    kind = host.winrm.auth or _usual(credential)
    https = scheme_of(host) == "https"
    refusal: Text | None = None
    if kind is WinrmAuth.BASIC and not https:
        refusal = Text("Basic over HTTP would show the password to everybody on the way: use HTTPS")
    elif kind is WinrmAuth.CERTIFICATE and not https:
        refusal = Text("a certificate of a user needs HTTPS")
    elif kind is WinrmAuth.CREDSSP and not host.winrm.allow_credssp:
        line = "winrm: {allow_credssp: true}"
        refusal = Text("CredSSP gives the host the password itself: the inventory must allow it: {line}", line=line)
    elif kind in _BY_PASSWORD and credential.password is None:
        refusal = Text("{kind} needs a password", kind=kind.value)
    elif kind is WinrmAuth.KERBEROS and credential.tickets is None:
        refusal = Text("{kind} needs tickets: {why}", kind=kind.value, why=credential.no_tickets or "kerberos:")
    elif kind is WinrmAuth.CERTIFICATE and credential.tls_key is None:
        refusal = Text("{kind} needs a certificate and its key", kind=kind.value)
    if refusal is not None:
        raise CredentialUnusable(host.name, credential.name, refusal)
    return Authentication(kind=kind)


def _usual(credential: Credential) -> WinrmAuth:
    if credential.tickets is not None:
        return WinrmAuth.KERBEROS
    return WinrmAuth.CERTIFICATE if credential.tls_key is not None else WinrmAuth.NTLM


def door_to(host: Host, credential: Credential, auth: Authentication, trust: Trust, connect: Callable[[], socket]) -> Door:
    """Return the door to a host; raises CredentialUnusable where files of certificates cannot be used."""
    known = pinned(trust)
    return Door(
        host=host.address.partition("%")[0],
        port=port_of(host),
        socket=connect,
        tls=_tls(host, credential, auth, compare=bool(known)) if scheme_of(host) == "https" else None,
        server_name=host.host_key_alias or host.address.partition("%")[0],
        pinned=frozenset(key.blob[-32:].hex() for key in known),
        revoked=frozenset(blob[-32:].hex() for blob in trust.revoked),
        context=_contexts(host, credential, auth.kind),
        authorization=_authorization(credential, auth.kind),
    )


def _tls(host: Host, credential: Credential, auth: Authentication, *, compare: bool) -> ssl.SSLContext:
    own = credential.tls_key if auth.kind is WinrmAuth.CERTIFICATE else None
    try:
        if own is None:
            return comparing() if compare else shared(host.winrm.ca)
        context = comparing() if compare else verifying(host.winrm.ca)
        passphrase = own.passphrase.reveal() if own.passphrase else _no_passphrase
        context.load_cert_chain(own.certificate, own.key, password=passphrase)
    except (OSError, ValueError) as error:
        raise CredentialUnusable(host.name, credential.name, Text("{reason}", reason=str(error))) from error
    return context


def _no_passphrase() -> str:
    raise ValueError("the key needs a passphrase")  # else OpenSSL would ask for it at the terminal


def _contexts(host: Host, credential: Credential, kind: WinrmAuth) -> Callable[[bytes | None], Context] | None:
    match kind:
        case WinrmAuth.KERBEROS:
            tickets = credential.tickets
            assert tickets is not None
            return lambda bound_to: ByTickets(tickets, service_of(host, "HTTP"), bound_to)
        case WinrmAuth.NTLM | WinrmAuth.CREDSSP:
            password, name = credential.password, host.address.partition("%")[0]
            assert password is not None
            return lambda bound_to: ByPassword(kind.value, credential.user, password, name, bound_to)
        case _:
            return None


def _authorization(credential: Credential, kind: WinrmAuth) -> str:
    if kind is WinrmAuth.CERTIFICATE:
        return by_certificate()
    if kind is not WinrmAuth.BASIC:
        return ""
    assert credential.password is not None
    return by_basic(credential.user, credential.password.reveal())


def facts_of(host: Host, wire: Wire, auth: Authentication, credential: Credential, between: str) -> SessionFacts:
    """Return who we are on the host, how it proved itself, and what seals what is said."""
    sealed = () if wire.door.tls is not None else (("sealed", auth.kind.value),)
    return SessionFacts(
        transport=host.transport.value,
        user=credential.user,
        credential=credential.name,
        proofs=auth.kind.value,
        via=host.via.name if host.via else "",
        proxy=between,
        host_key=certificate_key(wire.certificate).fingerprint if wire.certificate else "",
        host_certificate=_told(wire.certificate) if wire.certificate else "",
        algorithms=(*wire.tls, *sealed),
        allowed="credssp" if auth.kind is WinrmAuth.CREDSSP else "",
    )


def _told(der: bytes) -> str:
    try:
        certificate = x509.load_der_x509_certificate(der)
    except ValueError:
        return ""
    names = (certificate.subject.rfc4514_string(), certificate.issuer.rfc4514_string())
    return f"{names[0]} ({names[1]}, {certificate.not_valid_after_utc:%Y-%m-%d})"
