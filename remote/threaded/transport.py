"""paramiko's transport as we want it: counted bytes, our algorithms, our trust in each key exchange."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress

from inventory.host import OldAlgorithms
from remote.ssh_intake import Flooded, Intake
from remote.ssh_library import asyncssh
from remote.threaded.library import paramiko
from remote.ways import Way

Verify = Callable[[bytes], object]
"""Raises an exception for the wire form of a host key that is not trusted."""

Finish = Callable[[paramiko.Message], object]

_LOOK_S = 0.1
_PIECE = 32 * 1024
_MOST_IDLE = 500
"""Words for debugging and requests to the connection as a whole, in one second; a keepalive comes every few seconds."""
_FOREVER_S = 10**6
"""paramiko's own limits are out of the way: ours surround it."""
_OLD: Mapping[str, tuple[str, ...]] = {"ciphers": ("-cbc",), "digests": ("-sha1", "-sha1-96", "-md5", "-md5-96")}


class CountedIntake(Intake):
    """Counts in the thread that reads, while the event loop allows."""

    def __init__(self, way: Way) -> None:
        super().__init__(way)
        self._lock = threading.Lock()

    def allow(self, bytes_: int, *, for_output: int = 0) -> None:
        """Let the host send `bytes_` from now on, whatever it was allowed before, `for_output` more as it says something."""
        with self._lock:
            super().allow(bytes_, for_output=for_output)

    def take(self, size: int) -> Flooded | None:
        """Count bytes that arrived; return what is to be said when they were too many."""
        with self._lock:
            return super().take(size)


class Wire:
    """The socket as paramiko sees it: a host that sends too much is gone."""

    def __init__(self, wire: socket.socket, intake: Intake) -> None:
        self._wire, self._intake = wire, intake
        self.flooded: Flooded | None = None

    @property
    def _closed(self) -> bool:
        return self._wire.fileno() < 0

    def settimeout(self, seconds: float | None) -> None:
        """Set how long a call may wait."""
        self._wire.settimeout(seconds)

    def recv(self, size: int) -> bytes:
        """Return what came; nothing at the end, and from a host that sent too much."""
        if self.flooded is not None:
            return b""
        data = self._wire.recv(min(size, _PIECE))
        self.flooded = self._intake.take(len(data)) if data else None
        return b"" if self.flooded is not None else data

    def send(self, data: bytes) -> int:
        """Send what can be sent now, and return how much that was."""
        return self._wire.send(data)

    def close(self) -> None:
        """Wake up whoever waits, and close."""
        with suppress(OSError):  # it is closed, or was never connected
            self._wire.shutdown(socket.SHUT_RDWR)
        self._wire.close()


class _Packets(paramiko.packet.Packetizer):  # type: ignore[misc]  # paramiko says nothing of its types
    """Packets without a clock of their own, which would be a thread for each connection that outlives it."""

    def start_handshake(self, timeout: float) -> None:
        """Start no timer: our deadline surrounds the handshake."""


class Transport(paramiko.ServiceRequestingTransport):  # type: ignore[misc]  # paramiko says nothing of its types
    """One SSH connection; what the host offered and why it left are kept."""

    def __init__(self, wire: Wire, verify: Verify, host_keys: Sequence[str], old: OldAlgorithms) -> None:
        super().__init__(wire, packetizer_class=_Packets)
        self.wire = wire
        self.offers = (b"", b"")
        """The KEXINIT of both sides, ours first."""
        self.told_to_leave: str | None = None
        """What the host said when it hung up (hostile text)."""
        self._idle, self._idle_since = 0, time.monotonic()
        self._verify, self._answered = verify, threading.Event()
        self.local_version = "SSH-2.0-longarm"
        self.banner_timeout = self.handshake_timeout = self.auth_timeout = self.channel_timeout = _FOREVER_S
        options = self.get_security_options()
        options.key_types = [name for name in host_keys if name in self._key_info]
        options.ciphers = _allowed(("aes128-gcm@openssh.com", *options.ciphers), _OLD["ciphers"], old.ciphers)
        options.digests = _allowed(options.digests, _OLD["digests"], old.macs)

    def ensure_session(self) -> None:
        """Ask for the service that logs users in, once; raise EOFError if the connection ends before it is there.

        paramiko's own waits for a host that is gone without end (5.1.0), and its older transport asks again for each proof,
        which strict servers do not allow (RFC 4252 3).
        """
        if not self._service_userauth_accepted:
            message = paramiko.Message()
            message.add_byte(bytes([paramiko.common.MSG_SERVICE_REQUEST]))
            message.add_string("ssh-userauth")
            self._send_message(message)
            while not self._answered.wait(_LOOK_S):
                if not self.is_active():
                    raise self.get_exception() or EOFError()
            self.auth_handler = _Proving(self)

    def _parse_service_accept(self, m: paramiko.Message) -> None:
        super()._parse_service_accept(m)
        self._answered.set()

    def _verify_key(self, host_key: bytes, sig: bytes) -> None:
        """Verify the signature, then whether the key is one that we trust; called in every key exchange."""
        super()._verify_key(host_key, sig)
        self._verify(host_key)

    def _parse_kex_init(self, m: paramiko.Message) -> None:
        if not self.offers[1]:
            self.offers = (self._latest_kex_init or b"", b"\x14" + m.asbytes())
        super()._parse_kex_init(m)

    def _parse_disconnect(self, m: paramiko.Message) -> None:
        m.get_int()
        self.told_to_leave = m.get_text()

    def _parse_debug(self, m: paramiko.Message) -> None:
        self._count_idle()
        super()._parse_debug(m)

    def _parse_global_request(self, m: paramiko.Message) -> None:
        self._count_idle()
        super()._parse_global_request(m)

    def _count_idle(self) -> None:
        """Leave a host that goes on sending what belongs to no command: paramiko reads 0.5 MiB of it in a second of CPU."""
        now = time.monotonic()
        if now - self._idle_since > 1:
            self._idle_since, self._idle = now, 0
        self._idle += 1
        if self._idle > _MOST_IDLE:
            raise paramiko.SSHException("it sends without end what belongs to no command")

    def get_exception(self) -> Exception | None:
        """Return why the connection ended: whatever bytes of a host did to paramiko is an SSHException."""
        error = super().get_exception()
        known = (paramiko.SSHException, EOFError, OSError, asyncssh.Error)
        return error if error is None or isinstance(error, known) else paramiko.SSHException(str(error) or type(error).__name__)


class _Proving(paramiko.auth_handler.AuthOnlyHandler):  # type: ignore[misc]  # paramiko says nothing of its types
    """Sends proofs one by one, and is ready for the answer before it can come."""

    def send_auth_request(self, username: str, method: str, finish_message: Finish | None = None) -> list[str]:
        """Return the methods that are wanted after this one, none if the host lets us in; or raise paramiko's errors.

        paramiko's own begins to listen after it has sent: an answer that comes at once is missed (5.1.0).
        """
        self.auth_method, self.username = method, username
        self.auth_event = threading.Event()
        message = paramiko.Message()
        message.add_byte(bytes([paramiko.common.MSG_USERAUTH_REQUEST]))
        for word in (username, "ssh-connection", method):
            message.add_string(word)
        if finish_message is not None:
            finish_message(message)
        with self.transport.lock:
            self.transport._send_message(message)  # noqa: SLF001 (as its base does)
        return list(self.wait_for_response(self.auth_event))


def _allowed(names: Sequence[str], weak: tuple[str, ...], old: tuple[str, ...]) -> list[str]:
    """Return each name once: what is weak only where it is allowed, and last."""
    safe = [name for name in dict.fromkeys(names) if not name.endswith(weak)]
    return [*safe, *(name for name in old if name in names)]
