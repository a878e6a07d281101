"""paramiko's exceptions in our words: one table, most specific first; all else is told as for asyncssh."""

from __future__ import annotations

from collections.abc import Callable

from inventory.errors import Text
from inventory.names import shown
from remote.errors import ConnectFailed, RemoteError
from remote.ssh_errors import connect_error, not_again, reason_of, without_ours
from remote.ssh_library import asyncssh
from remote.ssh_login import Login
from remote.threaded.library import paramiko

_MOST_NAMED = 8
Make = Callable[[Exception, Login], RemoteError]


def threaded_error(error: Exception, login: Login) -> RemoteError:
    """Return what `error`, raised while connecting and logging in, means for the host; TypeError if it is no such error."""
    if login.proof is None and isinstance(error, paramiko.SSHException) and (offered := without_ours(login)):
        words = "; ".join(f"{kind} {', '.join(map(shown, names[:_MOST_NAMED]))}" for kind, names in offered.items())
        reason = Text("paramiko has nothing in common with what it offers: {offered}", offered=words)
        return ConnectFailed(login.host.name, reason, Text("let asyncssh speak with it: {line}", line="ssh_library: asyncssh"))
    for kind, make in CONNECTING:
        if isinstance(error, kind):
            return not_again(make(error, login), error, login)
    return connect_error(error, login)


def _refused(error: Exception, login: Login) -> RemoteError:
    return connect_error(asyncssh.PermissionDenied(str(error)), login)


def _cut(error: Exception, login: Login) -> RemoteError:
    return connect_error(ConnectionError(str(error) or "Connection lost"), login)


def _failed(error: Exception, login: Login) -> RemoteError:
    return ConnectFailed(login.host.name, reason_of(error))


def _broken(error: Exception, login: Login) -> RemoteError:
    """What paramiko could not read, or what it ran into; afterwards a proof may have been counted."""
    if login.tried:
        return _cut(error, login)
    return ConnectFailed(login.host.name, Text("what the host sent is not SSH: {reason}", reason=reason_of(error)))


CONNECTING: tuple[tuple[type[Exception], Make], ...] = (
    (paramiko.AuthenticationException, _refused),
    (paramiko.ssh_exception.IncompatiblePeer, _failed),
    (paramiko.ChannelException, _failed),
    (paramiko.SSHException, _broken),
    (EOFError, _cut),
)
"""What an exception of connecting becomes."""
