"""What goes wrong while a WinRM connection is made, in our words: one table, most specific first."""

from __future__ import annotations

import http.client
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from winrm.exceptions import AuthenticationError, WinRMError, WinRMOperationTimeoutError, WinRMTransportError

from inventory.errors import Text
from inventory.host import Host, WinrmAuth
from inventory.names import shown
from remote.credentials import Credential
from remote.errors import (
    AuthenticationRefused,
    ConnectFailed,
    ConnectionLost,
    DeadlineExceeded,
    RemoteError,
    TlsRefused,
)
from remote.windows.doors import Authentication, port_of, scheme_of
from remote.windows.envelopes import HostileXml
from remote.windows.negotiation import BadSeal, NoContext
from remote.windows.troubles import CertificateRevoked, CutOff, NotPinned, trouble_of
from remote.windows.trust import certificate_key
from remote.windows.wire import Wire


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One attempt to connect and log in, as far as it got."""

    host: Host
    credential: Credential
    auth: Authentication
    wire: Wire
    deadline_s: float
    known: tuple[str, ...]
    """Fingerprints of the certificates that were enrolled."""

    @property
    def tried(self) -> tuple[str, ...]:
        """Return what was offered."""
        return (self.auth.kind.value,)


def is_refusal(error: BaseException) -> bool:
    """Tell whether the host said no to what we offered."""
    return isinstance(error, AuthenticationError)


def connect_error(error: Exception, attempt: Attempt) -> RemoteError:
    """Return what an exception of connecting means; TypeError if it is none of these."""
    for kind, make in CONNECTING:
        if isinstance(error, kind):
            return make(error, attempt)
    raise TypeError(f"not an error of connecting: {error!r}") from error


def _not_pinned(_: Exception, attempt: Attempt) -> RemoteError:
    offered = certificate_key(attempt.wire.certificate or b"").fingerprint
    return TlsRefused(attempt.host.name, "", offered=offered, known=attempt.known)


def _revoked(_: Exception, attempt: Attempt) -> RemoteError:
    offered = certificate_key(attempt.wire.certificate or b"").fingerprint
    return TlsRefused(attempt.host.name, "", offered=offered, revoked=True)


def _unverified(error: Exception, attempt: Attempt) -> RemoteError:
    return TlsRefused(attempt.host.name, getattr(error, "verify_message", "") or str(error))


def _no_tls(error: Exception, attempt: Attempt) -> RemoteError:
    reason = Text("no TLS: {reason}", reason=getattr(error, "reason", None) or str(error))
    return ConnectFailed(
        attempt.host.name, reason, Text("compare scheme and port in the inventory: {line}", line=_line(attempt))
    )


def _refused(error: Exception, attempt: Attempt) -> RemoteError:
    more = (f"{attempt.auth.kind.value}: {error.reason}",) if isinstance(error, NoContext) else attempt.tried
    offered = tuple(map(shown, attempt.wire.offered))
    hint = Text("longarm doctor --host {host}", host=attempt.host.name)
    return AuthenticationRefused(
        attempt.host.name, user=attempt.credential.user, tried=more, offered_methods=offered, hint=hint
    )


def _answered(error: Exception, attempt: Attempt) -> RemoteError:
    return ConnectFailed(attempt.host.name, _reason(error), Text("longarm doctor --host {host}", host=attempt.host.name))


def _cut(_: Exception, attempt: Attempt) -> RemoteError:
    if attempt.wire.reached:
        return DeadlineExceeded(attempt.host.name, attempt.deadline_s)
    return ConnectFailed(attempt.host.name, Text("no answer within {deadline_s} s", deadline_s=f"{attempt.deadline_s:g}"))


def _dropped(error: Exception, attempt: Attempt) -> RemoteError:
    """A cut while a proof was on its way is not to be tried again by itself: the host may have counted it."""
    if attempt.wire.proof_sent and attempt.auth.kind is not WinrmAuth.CERTIFICATE:
        return ConnectionLost(attempt.host.name, _reason(error))
    return ConnectFailed(attempt.host.name, _reason(error))


def _reason(error: Exception) -> Text | str:
    return trouble_of(error).reason


def _line(attempt: Attempt) -> str:
    return f"{scheme_of(attempt.host)}, {port_of(attempt.host)}"


CONNECTING: Final[tuple[tuple[type[Exception], Callable[[Exception, Attempt], RemoteError]], ...]] = (
    (CertificateRevoked, _revoked),
    (NotPinned, _not_pinned),
    (ssl.SSLCertVerificationError, _unverified),
    (ssl.SSLError, _no_tls),
    (AuthenticationError, _refused),
    (NoContext, _refused),
    (CutOff, _cut),
    (TimeoutError, _cut),
    (WinRMOperationTimeoutError, _answered),
    (WinRMTransportError, _answered),
    (WinRMError, _answered),
    (BadSeal, _answered),
    (HostileXml, _answered),
    (OSError, _dropped),
    (http.client.HTTPException, _dropped),
    (ValueError, _answered),
)
"""What an exception of connecting becomes."""
