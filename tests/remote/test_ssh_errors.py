"""Every exception of the vendor and the system has a place in our tree; a new one fails here, not at a user's."""

from __future__ import annotations

import errno
import inspect
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from asyncssh import misc, packet, public_key

from inventory.errors import LongarmError
from inventory.host import Host
from remote.breaker import Breaker
from remote.credentials import Credential
from remote.errors import AuthenticationRefused, ConnectFailed, ConnectionLost, CredentialBlocked, HostKeyRefused, RemoteError
from remote.host_keys import HostKey
from remote.host_proof import HostProof
from remote.known_hosts import Trust
from remote.one_time_codes import Codes
from remote.ssh_errors import CONNECTING, connect_error, reason_of
from remote.ssh_intake import Flooded
from remote.ssh_library import asyncssh
from remote.ssh_login import Login
from remote.used_codes import UsedCodes

HOST = Host(name="db1", address="192.0.2.1")
NOT_OF_CONNECTING = {
    asyncssh.BreakReceived: "given to a server's own process, on its stdin",
    asyncssh.SignalReceived: "given to a server's own process, on its stdin",
    misc.SoftEOFReceived: "given to a server's own process, on its stdin",
    asyncssh.TerminalSizeChanged: "given to a server's own process, on its stdin",
    asyncssh.ChannelListenError: "asked for by port forwarding, which we do not do",
}
KEY = HostKey.of(b"\0\0\0\x0bssh-ed25519" + b"\0\0\0\x20" + bytes(32))


@pytest.fixture
def login() -> Login:
    return Login(HOST, Credential(name="web", user="anna"), Trust(host=HOST), Breaker(), Codes(UsedCodes()))


def vendor_exceptions() -> list[type[Exception]]:
    found = {
        value
        for module in (misc, packet, public_key)
        for value in vars(module).values()
        if inspect.isclass(value) and issubclass(value, Exception) and value.__module__.startswith("asyncssh.")
    }
    return sorted(found, key=lambda kind: kind.__name__)


@pytest.mark.parametrize("kind", vendor_exceptions(), ids=lambda kind: str(kind.__name__))
def test_every_exception_of_the_vendor_has_a_row_or_a_reason(kind: type[Exception]) -> None:
    mapped = any(issubclass(kind, row) for row, _ in CONNECTING)
    assert mapped != (kind in NOT_OF_CONNECTING), f"{kind.__name__}: map it in CONNECTING or say why it cannot happen"


def test_the_table_goes_from_special_to_general() -> None:
    kinds = [kind for kind, _ in CONNECTING]
    hidden = [(later, earlier) for at, earlier in enumerate(kinds) for later in kinds[at + 1 :] if issubclass(later, earlier)]
    assert hidden == []


MAPPED: list[tuple[Exception, type[RemoteError], str]] = [
    (asyncssh.PermissionDenied("no"), AuthenticationRefused, "anna was refused; tried nothing"),
    (asyncssh.KeyExchangeFailed("No matching key exchange algorithm"), ConnectFailed, "No matching key exchange"),
    (asyncssh.ConnectionLost("Connection lost"), ConnectFailed, "Connection lost"),
    (asyncssh.ProtocolError("Bad packet"), ConnectFailed, "Bad packet"),
    (asyncssh.ServiceNotAvailable("no such service"), ConnectFailed, "no such service"),
    (asyncssh.MACError("MAC verification failed"), ConnectFailed, "MAC verification"),
    (asyncssh.DisconnectError(12, "too many connections"), ConnectFailed, "too many connections"),
    (ConnectionRefusedError(errno.ECONNREFUSED, "Connect call failed ('192.0.2.1', 22)"), ConnectFailed, "Connection refused"),
    (OSError(errno.EHOSTUNREACH, "x"), ConnectFailed, "No route to host"),
    (TimeoutError(errno.ETIMEDOUT, "x"), ConnectFailed, "Connection timed out"),
    (socket.gaierror(-2, "Name or service not known"), ConnectFailed, "the address is not known .Name or service"),
    (OSError("Multiple exceptions: [Errno 111] …, [Errno 101] …"), ConnectFailed, "Multiple exceptions"),
    (Flooded(2**18), ConnectFailed, "it sent more than 256 KiB before we were logged in"),
    (packet.PacketDecodeError("Incomplete packet"), ConnectFailed, "not SSH: Incomplete packet"),
    (UnicodeDecodeError("ascii", b"\xff", 0, 1, "ordinal not in range"), ConnectFailed, "not SSH"),
    (IndexError("index out of range"), ConnectFailed, "not SSH: index out of range"),
]


@pytest.mark.parametrize(("error", "kind", "says"), MAPPED, ids=lambda value: type(value).__name__)
def test_what_an_exception_of_connecting_becomes(login: Login, error: Exception, kind: type[RemoteError], says: str) -> None:
    with pytest.raises(kind, match=says) as raised:
        raise connect_error(error, login)
    assert raised.value.host == "db1"
    assert isinstance(raised.value, LongarmError)


AFTER_A_PROOF: list[tuple[Exception, type[RemoteError]]] = [
    (asyncssh.DisconnectError(2, "Too many authentication failures"), AuthenticationRefused),
    (asyncssh.ProtocolError("Too many authentication failures"), AuthenticationRefused),
    (asyncssh.ConnectionLost("Connection lost"), ConnectionLost),
    (ConnectionResetError(errno.ECONNRESET, "x"), ConnectionLost),
    (Flooded(2**18), ConnectionLost),
    (asyncssh.KeyExchangeFailed("No matching key exchange algorithm"), ConnectionLost),
    (asyncssh.MACError("MAC verification failed"), ConnectionLost),
    (asyncssh.ServiceNotAvailable("no such service"), ConnectionLost),
    (packet.PacketDecodeError("Incomplete packet"), ConnectionLost),
    (IndexError("index out of range"), ConnectionLost),
]


@pytest.mark.parametrize(("error", "kind"), AFTER_A_PROOF, ids=lambda value: type(value).__name__)
def test_after_a_proof_went_out_nothing_is_a_mere_failed_connection(
    login: Login, error: Exception, kind: type[RemoteError]
) -> None:
    login.tried.append("password")
    assert type(connect_error(error, login)) is kind


def test_a_refused_key_names_both_sides(login: Login) -> None:
    other = HostKey.of(KEY.blob[:-1] + b"\1")
    login.proof, login.trust = HostProof(key=KEY, trusted=False), Trust(host=HOST, keys=(other,))
    refused = connect_error(asyncssh.HostKeyNotVerifiable("Host key is not trusted"), login)
    assert isinstance(refused, HostKeyRefused)
    assert (refused.offered, refused.known) == ((KEY.fingerprint,), (other.fingerprint,))
    login.proof = None
    assert type(connect_error(asyncssh.HostKeyNotVerifiable("Unable to decode host key"), login)) is ConnectFailed


def test_a_blocked_password_is_said_as_such(login: Login) -> None:
    login.blocked = CredentialBlocked("db1", "web", 3)
    assert connect_error(asyncssh.PermissionDenied("no"), login) is login.blocked


def test_a_fault_of_ours_is_not_dressed_up(login: Login) -> None:
    with pytest.raises(TypeError, match="not an error of connecting"):
        connect_error(ZeroDivisionError(), login)


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (None, "closed by the host"),
        (asyncssh.ChannelOpenError(1, "administratively prohibited"), "administratively prohibited"),
        (BrokenPipeError(errno.EPIPE, "x"), "Broken pipe"),
        (OSError(), "OSError"),
    ],
)
def test_reasons_are_words(error: Exception | None, says: str) -> None:
    assert reason_of(error) == says


def test_importing_the_library_starts_no_process_and_leaves_no_trace(repository: Path) -> None:
    program = """
import ctypes.util, sys
before = ctypes.util.find_library
sys.addaudithook(lambda event, args: event in ("subprocess.Popen", "os.posix_spawn", "os.fork") and sys.exit(f"{event} {args}"))
import remote.ssh_library
assert ctypes.util.find_library is before
"""
    subprocess.run([sys.executable, "-c", program], cwd=repository, check=True)
