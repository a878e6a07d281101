"""asyncssh's and the system's exceptions in our words: one table, most specific first."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Mapping

from inventory.errors import Text
from inventory.ssh_settings import line_for
from remote.errors import (
    AlgorithmsRefused,
    AuthenticationRefused,
    ConnectFailed,
    ConnectionLost,
    HostCertificateRefused,
    HostKeyRefused,
    RemoteError,
)
from remote.host_proof import HostProof
from remote.known_hosts import Trust
from remote.prompts import Wanted
from remote.ssh_facts import lacking, proposals
from remote.ssh_intake import Flooded
from remote.ssh_library import asyncssh
from remote.ssh_login import Login
from remote.ssh_proofs import MOST_OFFERED


def connect_error(error: Exception, login: Login) -> RemoteError:
    """Return what `error`, raised while connecting and logging in, means for the host; TypeError if it is no such error."""
    if isinstance(error, RemoteError):  # of the way to the host, which speaks for itself
        return error
    if login.proof is None and not isinstance(error, Flooded) and (offered := without_ours(login)):
        return AlgorithmsRefused(login.host.name, offered)
    for kind, make in CONNECTING:
        if isinstance(error, kind):
            return not_again(make(error, login), error, login)
    raise TypeError(f"not an error of connecting: {error!r}") from error


def not_again(refusal: RemoteError, error: Exception, login: Login) -> RemoteError:
    """Return an error that asks for no other try once a proof was on its way, be it by another library: the host may have
    counted it."""
    if login.tried and isinstance(refusal, ConnectFailed):
        return ConnectionLost(login.host.name, reason_of(error))
    return refusal


def without_ours(login: Login) -> Mapping[str, tuple[str, ...]]:
    """Return by kind what the host offers where it offers nothing that we do; empty where it has offered nothing yet."""
    both = proposals(login.connection) if login.connection is not None else None
    return lacking(*both) if both is not None else {}


def reason_of(error: BaseException | None) -> str:
    """Return in a few words why a connection ended; what the host said is hostile text."""
    match error:
        case None:
            return "closed by the host"
        case asyncssh.ChannelOpenError() | asyncssh.DisconnectError():
            return error.reason
        case socket.gaierror():
            return f"the address is not known ({error.strerror})"
        case OSError(errno=int(number)) if number > 0:
            return os.strerror(number)
        case _:
            return str(error) or type(error).__name__


def _host_key(error: Exception, login: Login) -> RemoteError:
    if (proof := login.proof) is None:  # a kind of key that could not even be read
        return ConnectFailed(login.host.name, Text("the host key cannot be used: {reason}", reason=reason_of(error)))
    return proof_refused(proof, login.trust)


def proof_refused(proof: HostProof, trust: Trust) -> RemoteError:
    """Return the error that says why what a host showed of itself is not enough."""
    if proof.certificate is not None and proof.wrong is not None:
        foreign = proof.certificate.authority not in trust.authorities
        return HostCertificateRefused(
            trust.host.name, certificate=proof.certificate.key_id[:80], reason=proof.wrong, foreign=foreign
        )
    known = tuple(key.fingerprint for key in trust.keys)
    return HostKeyRefused(trust.host.name, offered=(proof.key.fingerprint,), known=known, revoked=proof.key.revoked)


def _refused(_: Exception, login: Login) -> RemoteError:
    if login.blocked is not None:
        return login.blocked
    proofs, more = login.proofs, list[str]()
    if login.negotiation is not None and login.negotiation.trouble:
        more.append(f"kerberos: {login.negotiation.trouble}")
    if login.credential.no_tickets:
        more.append(login.credential.no_tickets)
    if proofs.trouble:
        more.append(proofs.trouble)
    if proofs.left_out:
        more.append(f"{proofs.left_out} more keys not offered (at most {MOST_OFFERED})")
    if login.unanswered:
        more.append(f"no answer to {login.unanswered}")
    clock = (
        Text("if the code was the right one, compare the clocks: a code is good for a minute")
        if Wanted.CODE in login.turns
        else None
    )
    return AuthenticationRefused(
        login.host.name,
        user=login.credential.user,
        tried=(*login.tried, *more),
        offered_methods=login.offered_methods,
        hint=clock or (_RSA if _wants_sha1(login) else None),
    )


_RSA = Text(
    "it may take RSA keys with SHA-1 only; if it cannot be updated, allow that in the inventory, for it alone: {line}",
    line=line_for({"user_keys": "ssh-rsa"}),
)


def _wants_sha1(login: Login) -> bool:
    """Tell whether an RSA key was refused by an old host, or by one that does not say that it takes SHA-2 (RFC 8308 3.1)."""
    old = login.host.ssh.old_algorithms
    has_rsa = any(key.key.get_algorithm() == "ssh-rsa" for key in login.credential.keys)
    taken = login.connection._server_sig_algs if login.connection is not None else ()  # noqa: SLF001 (told nowhere else)
    return has_rsa and not old.user_keys and (b"rsa-sha2-256" not in taken or bool(old.host_keys))


def _failed(error: Exception, login: Login) -> RemoteError:
    return ConnectFailed(login.host.name, reason_of(error))


def _flooded(error: Exception, login: Login) -> RemoteError:
    assert isinstance(error, Flooded)
    reason = Text("it sent more than {limit} KiB before we were logged in", limit=error.limit // 1024)
    return ConnectionLost(login.host.name, reason) if login.tried else ConnectFailed(login.host.name, reason)


def _told_to_leave(error: Exception, login: Login) -> RemoteError:
    """A host that hangs up with a word after a proof was offered refused it (sshd: too many authentication failures)."""
    return _refused(error, login) if login.tried else _failed(error, login)


def _cut(error: Exception, login: Login) -> RemoteError:
    """A cut while proofs were on their way is not to be tried again by itself: the host may have counted them."""
    return ConnectionLost(login.host.name, reason_of(error)) if login.tried else _failed(error, login)


def _not_ssh(error: Exception, login: Login) -> RemoteError:
    return _not_spoken(ConnectFailed(login.host.name, Text("what the host sent is not SSH: {reason}", reason=reason_of(error))))


def _disagreed(error: Exception, login: Login) -> RemoteError:
    return _not_spoken(ConnectFailed(login.host.name, reason_of(error)))


def _not_spoken(error: ConnectFailed) -> ConnectFailed:
    error.not_spoken = True
    return error


CONNECTING: tuple[tuple[type[Exception], Callable[[Exception, Login], RemoteError]], ...] = (
    (asyncssh.HostKeyNotVerifiable, _host_key),
    (asyncssh.PermissionDenied, _refused),
    (asyncssh.IllegalUserName, _refused),
    (asyncssh.PasswordChangeRequired, _refused),
    (asyncssh.KeyExchangeFailed, _disagreed),
    (asyncssh.ProtocolNotSupported, _disagreed),
    (asyncssh.ServiceNotAvailable, _failed),
    (asyncssh.MACError, _failed),
    (asyncssh.CompressionError, _failed),
    (asyncssh.ProtocolError, _told_to_leave),
    (asyncssh.ConnectionLost, _cut),
    (asyncssh.DisconnectError, _told_to_leave),
    (asyncssh.Error, _failed),
    (Flooded, _flooded),
    (OSError, _cut),
    (ValueError, _not_ssh),  # what asyncssh lets through where bytes cannot be decoded: PacketDecodeError, UnicodeError, …
    (LookupError, _not_ssh),
    (OverflowError, _not_ssh),
)
"""What an exception of connecting becomes."""
