"""The HTTP connection of one WinRM session: logged in once, sealed, bounded, and never made anew by itself.

All of it is called in the session's thread, but `cut`: that frees the thread from whatever it waits for. The library's
sessions of `requests` are not used: they ask the environment for proxies, authorities and passwords (netrc), follow
redirections, unpack what is compressed, and connect again where a connection is gone, which loses the login.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import http.client
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from winrm.exceptions import WinRMTransportError

from inventory.errors import Text
from remote.keepalive import watch_over
from remote.windows.envelopes import LARGEST, checked
from remote.windows.negotiation import Context, NoContext
from remote.windows.sealing import content_type, opened, sealed
from remote.windows.troubles import CertificateRevoked, CutOff, Dropped, NotPinned, Unauthorized

_SOAP: Final = "application/soap+xml;charset=UTF-8"
_MUTUAL: Final = "http://schemas.dmtf.org/wbem/wsman/1/wsman/secprofile/https/mutual"
_SAY_NOTHING: Final = frozenset({400, 500, 502, 504})
"""Statuses that tell of no message that it was not acted on (troubles.py): these alone may come without a seal."""
_MOST_STEPS: Final = 8
_SEAL_ROOM: Final = 4096
_LEAST_S: Final = 0.01


@dataclass(frozen=True, slots=True, kw_only=True)
class Door:
    """How to get in: the connection, its TLS, and what is offered; none of it is told by the host."""

    host: str
    """As it stands in the Host header, and what a ticket or a challenge is for."""
    port: int
    socket: Callable[[], socket.socket] = field(repr=False)
    """Makes a connection."""
    tls: ssl.SSLContext | None
    server_name: str = ""
    """Whom the certificate is for."""
    pinned: frozenset[str] = frozenset()
    """SHA-256 of certificates, one of which it must be; empty: what `tls` verifies is enough."""
    revoked: frozenset[str] = frozenset()
    """SHA-256 of certificates, none of which it may be, whoever vouches for it."""
    context: Callable[[bytes | None], Context] | None = field(default=None, repr=False)
    """Makes what is negotiated, bound to a certificate where there is one; None: nothing is."""
    authorization: str = field(default="", repr=False)
    """The header that goes with each message where nothing is negotiated."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """One answer of HTTP."""

    status: int
    kind: str
    challenges: tuple[str, ...]
    date: str
    body: bytes


class Wire:
    """One connection at a time; `end` is when all waiting ends, on the clock."""

    def __init__(self, door: Door, heard: Callable[[int], None] = lambda _: None) -> None:
        self.door, self.heard = door, heard
        self.end = float("inf")
        self.silence_s = float("inf")
        """How long the host may say nothing before the connection counts as dropped: nobody says on it that it is gone."""
        self.certificate: bytes | None = None
        self.tls: tuple[tuple[str, str], ...] = ()
        self.offered: tuple[str, ...] = ()
        """The ways to log in that the host named, hostile text."""
        self.date = ""
        """What the host's clock said last (RFC 9110 6.6.1), hostile text."""
        self.proof_sent = False
        """Whether what the host may count as an attempt has gone out."""
        self.calls = 0
        self.reached = False
        """Whether there was a connection at all."""
        self.refusal: Exception | None = None
        """What the host refused us with after it had let us in: nothing is offered to it once more."""
        self.renew: Callable[[], None] = self.connect
        """Makes a connection that is logged in, for a message that finds none: nothing of it has been sent."""
        self._socket: socket.socket | None = None
        self._connection: http.client.HTTPConnection | None = None
        self._context: Context | None = None
        self._lock = threading.Lock()
        self._cut = self._over = False

    def connect(self) -> None:
        """Make the connection, with its TLS; raises OSError (ssl.SSLError too), NotPinned or CutOff."""
        self.close_session()
        bare = self._held(self.door.socket())
        watch_over(bare)
        self.reached = True
        bare.settimeout(self._left())
        if self.door.tls is not None:
            wrapped = self.door.tls.wrap_socket(
                bare, server_hostname=self.door.server_name or None, do_handshake_on_connect=False
            )
            self._held(wrapped)
            wrapped.do_handshake()
            self._look_at(wrapped)
        connection = http.client.HTTPConnection(self.door.host, self.door.port)
        connection.sock, connection.auto_open = self._socket, 0
        self._connection = connection

    def _held(self, wire: socket.socket) -> socket.socket:
        with self._lock:
            self._socket = wire
            if not self._cut:
                return wire
        self.close_session()
        raise CutOff

    def _look_at(self, wrapped: ssl.SSLSocket) -> None:
        self.certificate = wrapped.getpeercert(binary_form=True)
        cipher, version = wrapped.cipher(), wrapped.version()
        self.tls = (("tls", version or ""), ("cipher", cipher[0] if cipher else ""))
        digest = hashlib.sha256(self.certificate or b"").hexdigest()
        if digest in self.door.revoked:
            raise CertificateRevoked
        if self.door.pinned and digest not in self.door.pinned:
            raise NotPinned

    def log_in(self) -> None:
        """Prove who we are with empty messages; raises Unauthorized, NoContext, WinRMTransportError, OSError or CutOff.

        Where that fails the connection is closed: on one that is not logged in, what is said next would be sealed by nothing.
        """
        try:
            self._log_in()
        except BaseException:
            self.close_session()
            raise

    def _log_in(self) -> None:
        self._context = None
        if self.door.context is None:
            self.proof_sent = True
            self._told(self._post(b"", _SOAP, self.door.authorization))
            return
        context = self.door.context(end_point_hash(self.certificate))
        token = context.step(None)
        for _ in range(_MOST_STEPS):
            self.proof_sent |= context.complete or context.scheme != "Negotiate"
            said = self._post(b"", _SOAP, f"{context.scheme} {base64.b64encode(token or b'').decode()}")
            answer = _token(said, context.scheme)
            if said.status != http.HTTPStatus.UNAUTHORIZED:
                self._told(said)
                if answer:
                    context.step(answer)
                if not context.complete:
                    raise NoContext(Text("it did not prove itself"))
                self._context = context
                return
            if not answer or context.complete:
                raise Unauthorized(self.offered)
            token = context.step(answer)
            if token is None:
                raise Unauthorized(self.offered)
        raise Unauthorized(self.offered)

    def greet(self) -> Heard:
        """Return the answer to an empty message of nobody; raises OSError or CutOff."""
        return self._post(b"", _SOAP, "")

    def send_message(self, message: str | bytes) -> bytes:
        """Return the answer to a message, which pywinrm reads; raises what pywinrm does, and HostileXml, BadSeal, OSError."""
        if self.refusal is not None:
            raise self.refusal
        if not self.connected:
            self.renew()
        data = message.encode() if isinstance(message, str) else message
        context = self._context if self.door.tls is None else None
        if context is None and self.door.tls is None:
            self.close_session()
            raise Dropped("not logged in")
        if context is None:
            said = self._post(data, _SOAP, self.door.authorization)
        else:
            said = self._post(sealed(context, data), content_type(context, len(data)), "")
        if said.status == http.HTTPStatus.UNAUTHORIZED:
            error = Unauthorized(self.offered)
            self.refusal = error if self.door.authorization else None  # with Basic each message is a login
            raise error
        body = said.body
        if context is not None and (body or said.status not in _SAY_NOTHING):
            body = opened(context, said.kind, body)
        if said.status == http.HTTPStatus.OK:
            return checked(body)
        text = checked(body).decode() if said.status == http.HTTPStatus.INTERNAL_SERVER_ERROR and body else ""
        raise WinRMTransportError("http", said.status, text)

    def close_session(self) -> None:
        """Close the connection; never raises. pywinrm calls it so."""
        with self._lock:
            wire, self._socket, self._connection, self._context = self._socket, None, None, None
        if wire is not None:
            wire.close()

    def cut(self, *, for_good: bool = False) -> None:
        """Free the thread from what it waits for; for good: nothing is connected any more. Called from anywhere."""
        with self._lock:
            self._cut, self._over = True, self._over or for_good
            if self._socket is not None:
                try:  # below TLS: its own shutdown lets what the thread still sends out unencrypted before it ends anything
                    socket.socket.shutdown(self._socket, socket.SHUT_RDWR)
                except OSError:
                    return  # it is not connected any more

    def mend(self) -> None:
        """Allow connections again, for what has to be tidied up after a cut, unless that was for good."""
        with self._lock:
            self._cut = self._over

    @property
    def connected(self) -> bool:
        """Tell whether there is a connection, as far as we know."""
        return self._connection is not None

    @property
    def over(self) -> bool:
        """Tell whether it was cut for good."""
        return self._over

    def _left(self) -> float:
        left = self.end - time.monotonic()
        if self._cut or left <= 0:
            raise CutOff
        return max(_LEAST_S, left) if left != float("inf") else socket.getdefaulttimeout() or 60.0

    def _post(self, body: bytes, kind: str, authorization: str) -> Heard:
        connection, wire = self._connection, self._socket
        if connection is None or wire is None:
            raise Dropped("not connected")
        left_s = self._left()
        wire.settimeout(min(left_s, self.silence_s))
        self.calls += 1
        headers = {"Content-Type": kind, "User-Agent": "longarm", "Connection": "Keep-Alive", "Accept-Encoding": "identity"}
        try:
            connection.request("POST", "/wsman", body, headers | ({"Authorization": authorization} if authorization else {}))
            with connection.getresponse() as response:  # one that was not read to its end would hold the socket open
                said = response.read(LARGEST + _SEAL_ROOM + 1)
                if response.length and len(said) <= LARGEST + _SEAL_ROOM:  # `read` takes an end in the middle for a whole
                    raise http.client.IncompleteRead(said, response.length)
        except (OSError, http.client.HTTPException, ValueError) as error:
            silent = isinstance(error, TimeoutError)
            if silent:  # what has not arrived is thrown away: it could come behind what is sent again over another connection
                wire.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.close_session()
            if self._cut or (silent and left_s <= self.silence_s):
                raise CutOff from error
            if silent:
                raise Dropped(f"it said nothing for {self.silence_s:.0f} s") from error
            raise Dropped(str(error) or type(error).__name__) from error
        if len(said) > LARGEST + _SEAL_ROOM or response.will_close:
            self._connection = None  # what comes behind it is not read; an answer that says so ends the connection
        self.heard(len(said))
        challenges = tuple(response.headers.get_all("WWW-Authenticate") or ())
        if response.status == http.HTTPStatus.UNAUTHORIZED:
            self.offered = tuple(dict.fromkeys(one.partition(" ")[0] for one in challenges))
        self.date = response.headers.get("Date", "")
        return Heard(
            status=response.status,
            kind=response.headers.get("Content-Type", ""),
            challenges=challenges,
            date=self.date,
            body=said,
        )

    def _told(self, said: Heard) -> None:
        if said.status == http.HTTPStatus.UNAUTHORIZED:
            raise Unauthorized(self.offered)
        if said.status != http.HTTPStatus.OK:
            raise WinRMTransportError("http", said.status, "")


def _token(said: Heard, scheme: str) -> bytes:
    """Return the token of a challenge, empty where there is none."""
    for challenge in said.challenges:
        name, _, token = challenge.partition(" ")
        if name.lower() == scheme.lower() and token:
            try:
                return base64.b64decode(token.strip(), validate=True)
            except binascii.Error as error:
                raise NoContext("a token that is not base64") from error
    return b""


def end_point_hash(certificate: bytes | None) -> bytes | None:
    """Return what binds a login to a TLS connection (RFC 5929 4.1); None without one, or where the hash is not known."""
    if certificate is None:
        return None
    try:
        algorithm = x509.load_der_x509_certificate(certificate).signature_hash_algorithm
    except (UnsupportedAlgorithm, ValueError):
        return None
    if algorithm is None or algorithm.name in ("md5", "sha1"):
        algorithm = hashes.SHA256()
    digest = hashes.Hash(algorithm)
    digest.update(certificate)
    return digest.finalize()


def by_certificate() -> str:
    """Return the header that goes with the certificate of a user (MS-WSMV 3.1.4.1)."""
    return _MUTUAL


def by_basic(user: str, password: str) -> str:
    """Return the header of Basic in UTF-8 (RFC 7617 2.1).

    >>> by_basic("anna", "п")
    'Basic YW5uYTrQvw=='
    """
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()
