"""Logging in by WinRM with what seals messages too: NTLM and CredSSP by pyspnego, Kerberos by the system's library.

A context belongs to one TCP connection (MS-WSMV 2.2.9.1): a new connection needs a new one.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final, Protocol

import spnego
from spnego.channel_bindings import GssChannelBindings
from spnego.exceptions import SpnegoError

from inventory.errors import Text
from inventory.secret import Secret

if TYPE_CHECKING:
    from remote.kerberos import Tickets

_OF_A_TOKEN: Final = (SpnegoError, ValueError, LookupError, struct.error)
"""What pyspnego raises, and what structures of a hostile token make it run into."""
_END_POINT: Final = b"tls-server-end-point:"


class NoContext(Exception):
    """The negotiation cannot go on; `reason` says why."""

    def __init__(self, reason: Text | str) -> None:
        self.reason = reason
        super().__init__(str(reason))


class BadSeal(Exception):
    """A sealed message that does not open."""


class NotSealed(BadSeal):
    """An answer in the clear to a sealed message."""


class Context(Protocol):
    """One negotiation, and the sealing of what is said after it."""

    scheme: str
    """What stands in front of a token in the headers."""
    sealed_as: str
    """The protocol of sealed bodies."""
    most_sealed: int | None
    """Bytes that are sealed in one piece; None: any."""

    @property
    def complete(self) -> bool:
        """Tell whether both sides are done."""

    def step(self, token: bytes | None) -> bytes | None:
        """Return what is to be sent next, None: nothing; raises NoContext."""

    def seal(self, data: bytes) -> tuple[bytes, bytes, int]:
        """Return the seal, the sealed bytes, and by how many these are longer."""

    def open(self, seal: bytes, data: bytes) -> bytes:
        """Return what was sealed, or raise BadSeal."""


class ByPassword:
    """NTLM, or CredSSP, which gives the host the password itself."""

    def __init__(self, protocol: str, user: str, password: Secret, host: str, certificate_hash: bytes | None) -> None:
        credssp = protocol == "credssp"
        self.scheme = "CredSSP" if credssp else "Negotiate"
        self.sealed_as = f"application/HTTP-{'CredSSP' if credssp else 'SPNEGO'}-session-encrypted"
        self.most_sealed = 16384 if credssp else None
        self._context = spnego.client(
            user,
            password.reveal(),
            hostname=host,
            service="http",
            protocol=protocol,
            channel_bindings=_bindings(certificate_hash),
            options=spnego.NegotiateOptions.none if credssp else spnego.NegotiateOptions.use_ntlm,
        )

    @property
    def complete(self) -> bool:
        """Tell whether both sides are done."""
        return self._context.complete

    def step(self, token: bytes | None) -> bytes | None:
        """Return what is to be sent next."""
        try:
            return self._context.step(token)
        except _OF_A_TOKEN as error:
            raise NoContext(str(error)) from error

    def seal(self, data: bytes) -> tuple[bytes, bytes, int]:
        """Return the seal, the sealed bytes, and by how many these are longer."""
        sealed = self._context.wrap_winrm(data)
        return sealed.header, sealed.data, sealed.padding_length

    def open(self, seal: bytes, data: bytes) -> bytes:
        """Return what was sealed."""
        try:
            return self._context.unwrap_winrm(seal, data)
        except _OF_A_TOKEN as error:
            raise BadSeal(str(error)) from error


class ByTickets:
    """Kerberos, with the tickets of the credential and nobody else's; the host proves itself too."""

    scheme = "Negotiate"
    sealed_as = "application/HTTP-SPNEGO-session-encrypted"
    most_sealed: int | None = None

    def __init__(self, tickets: Tickets, service: str, certificate_hash: bytes | None) -> None:
        self._context = tickets.context_for(service, _END_POINT + certificate_hash if certificate_hash else None)

    @property
    def complete(self) -> bool:
        """Tell whether both sides are done."""
        return bool(self._context.complete)

    def step(self, token: bytes | None) -> bytes | None:
        """Return what is to be sent next; may ask a KDC."""
        from gssapi.exceptions import GSSError

        from remote.kerberos import reason_of

        try:
            answer = self._context.step(token)
        except GSSError as error:
            raise NoContext(reason_of(error)) from error
        return None if answer is None else bytes(answer)

    def seal(self, data: bytes) -> tuple[bytes, bytes, int]:
        """Return the seal, the sealed bytes, and by how many these are longer."""
        from gssapi.raw import IOV, IOVBufferType, wrap_iov

        pieces = IOV(IOVBufferType.header, data, IOVBufferType.padding, std_layout=False)
        wrap_iov(self._context, pieces, confidential=True)
        padding = pieces[2].value or b""
        return pieces[0].value, pieces[1].value + padding, len(padding)

    def open(self, seal: bytes, data: bytes) -> bytes:
        """Return what was sealed."""
        from gssapi.exceptions import GSSError
        from gssapi.raw import IOV, IOVBufferType, unwrap_iov

        pieces = IOV((IOVBufferType.header, False, seal), data, IOVBufferType.data, std_layout=False)
        try:
            unwrap_iov(self._context, pieces)
        except GSSError as error:
            raise BadSeal(str(error)) from error
        opened: bytes = pieces[1].value
        return opened


def _bindings(certificate_hash: bytes | None) -> GssChannelBindings | None:
    return GssChannelBindings(application_data=_END_POINT + certificate_hash) if certificate_hash else None
