"""The one guarded HTTP client: to hosts that a person named, over TLS, within bounds, and nowhere else (T22).

- `https` only; plain `http` only to this machine itself. The certificate is verified, against the system's or a named CA.
- The name is resolved once, each address is looked at, and the connection goes to the address that was looked at: an answer
  that changes afterwards (DNS rebinding) leads nowhere. Private addresses are right for a service in one's own network, which
  somebody has named; link-local ones, those of clouds' metadata, multicast, reserved and unspecified ones never are, also
  inside IPv6 addresses, and this machine only if the name itself says so.
- Redirects are not followed, proxies of the environment are not used, compressed answers are refused.
- One deadline is over all of it, from the resolver to the last byte; answers are capped.
"""

from __future__ import annotations

import http.client
import ipaddress
import socket
import ssl
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from typing import NoReturn, TypeAlias
from urllib.parse import urlsplit

from inventory.errors import LongarmError, Text
from inventory.names import BadName, host_address, shown

MAX_BYTES = 32 * 1024 * 1024
_CHUNK = 64 * 1024
MOST_TRIES = 5
_LONGEST_WAIT_S = 60.0
_LONGEST_STEP_S = 86_400.0  # sockets take no more than 24 days; the watch ends all of it anyway
_BUSY = frozenset({HTTPStatus.BAD_GATEWAY, HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.GATEWAY_TIMEOUT})

_Address: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address
_NEVER = tuple(
    map(
        ipaddress.ip_network,
        (
            *("0.0.0.0/8", "169.254.0.0/16", "224.0.0.0/4", "240.0.0.0/4"),  # this network, link-local, multicast, reserved
            *("::/128", "fe80::/10", "ff00::/8"),
            *("100.100.100.200/32", "192.0.0.192/32", "fd00:ec2::254/128"),  # metadata of Alibaba, Oracle, AWS
        ),
    )
)
"""Where no service of anybody's is, or the machine's own secrets are (RFC 6890; the clouds' documentation)."""
_EMBEDDING = tuple(map(ipaddress.IPv6Network, ("::/96", "::ffff:0:0/96", "::ffff:0:0:0/96", "64:ff9b::/96", "64:ff9b:1::/48")))
"""Whose last 32 bits are an IPv4 address: compatible, mapped (RFC 4291), translated (RFC 7915, 6052, 8215)."""

Resolve: TypeAlias = Callable[[str, int], Sequence[str]]
"""Gives the addresses of a name."""


class EgressFailed(LongarmError):
    """An answer that could not be had, or was not taken; `status` is that of HTTP, None where there was none."""

    def __init__(self, text: Text, hint: Text | None = None, status: int | None = None) -> None:
        self.status = status
        super().__init__(text, hint)


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Whom we may talk to: scheme, host and port of an address that a person named, and the path that it begins with."""

    secure: bool
    host: str
    port: int
    path: str

    def __str__(self) -> str:
        usual = self.port == (443 if self.secure else 80)
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'https' if self.secure else 'http'}://{host}{'' if usual else f':{self.port}'}{self.path}"


def origin_of(url: str) -> Origin:
    """Return the origin that an address means; raises EgressFailed for one that may not be asked.

    >>> str(origin_of("https://netbox.example.net:8443/base/"))
    'https://netbox.example.net:8443/base'
    """
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise EgressFailed(Text("“{url}” is no address", url=shown(url))) from None
    if parts.username is not None or parts.password is not None:
        raise EgressFailed(Text("no user and no password belongs into an address"), Text("name where the token is kept"))
    if parts.scheme not in ("https", "http") or not parts.hostname or parts.query or parts.fragment or not url.isprintable():
        raise EgressFailed(Text("“{url}” is no address", url=shown(url)), Text("write https://NAME/"))
    try:
        host = host_address(parts.hostname)
    except BadName as error:
        raise EgressFailed(error.text, error.hint) from None
    secure = parts.scheme == "https"
    if not secure and not _is_here(host):
        raise EgressFailed(Text("“{url}” is not encrypted", url=shown(url)), Text("write https://NAME/"))
    return Origin(secure=secure, host=host, port=port or (443 if secure else 80), path=parts.path.rstrip("/"))


def _is_here(host: str) -> bool:
    with suppress(ValueError):
        return ipaddress.ip_address(host).is_loopback
    return host == "localhost"


def system_resolve(name: str, port: int) -> Sequence[str]:
    """Return the addresses of a name as the system knows them; raises OSError."""
    return [str(found[4][0]) for found in socket.getaddrinfo(name, port, type=socket.SOCK_STREAM)]


@dataclass(slots=True, kw_only=True)
class Egress:
    """Asks one origin; each answer within `deadline_s`, waiting for a busy server included."""

    origin: Origin
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    ca: Path | None = None
    deadline_s: float = 30.0
    max_bytes: int = MAX_BYTES
    resolve: Resolve = system_resolve
    sleep: Callable[[float], None] = time.sleep
    most_tries: int = MOST_TRIES
    _address: str | None = None

    def get(self, path: str) -> bytes:
        """Return the body that the server gives for a path below its origin; raises EgressFailed.

        A server that asks to come back later (429, 502, 503, 504) is asked again as long as the deadline allows.
        """
        return self._answered("GET", path, None)

    def post(self, path: str, body: bytes) -> bytes:
        """Send JSON to a path below its origin and return what it answers; as `get`, so only what may be sent twice."""
        return self._answered("POST", path, body)

    def delete(self, path: str) -> None:
        """Have a path below its origin removed; as `get`."""
        self._answered("DELETE", path, None)

    def _answered(self, method: str, path: str, sent: bytes | None) -> bytes:
        until = time.monotonic() + self.deadline_s
        for attempt in range(1, self.most_tries + 1):
            status, wait_s, body = self._ask(method, path, sent, until)
            if status == HTTPStatus.OK:
                return body
            if status != HTTPStatus.TOO_MANY_REQUESTS and status not in _BUSY:
                self._refuse(status)
            wait_s = min(float(attempt) if wait_s is None else wait_s, _LONGEST_WAIT_S)
            if attempt == self.most_tries or time.monotonic() + wait_s >= until:
                break
            self.sleep(wait_s)
        text = Text("{host} is busy ({status})", host=self.origin.host, status=status)
        raise EgressFailed(text, Text("try again later, or give it more time: deadline: 2m"), status)

    def _refuse(self, status: int) -> NoReturn:
        host = self.origin.host
        if 300 <= status < 400:
            hint = Text("name the address that it leads to, if it is the right one")
            text = Text("{host} leads elsewhere ({status}), which is not followed", host=host, status=status)
            raise EgressFailed(text, hint, status)
        if status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
            raise EgressFailed(Text("{host} refuses the token ({status})", host=host, status=status), None, status)
        raise EgressFailed(Text("{host} answers {status}", host=host, status=status), None, status)

    def _ask(self, method: str, path: str, sent: bytes | None, until: float) -> tuple[int, float | None, bytes]:
        address = self._pinned(until)
        connection = self._connection(address, until)
        watch = threading.Timer(max(0.0, until - time.monotonic()), _cut, [connection])
        watch.daemon = True
        watch.start()
        try:
            headers = {"Accept": "application/json", "Accept-Encoding": "identity", "User-Agent": "longarm", **self.headers}
            if sent is not None:
                headers["Content-Type"] = "application/json"
            connection.request(method, f"{self.origin.path}{path}", body=sent, headers=headers)
            answer = connection.getresponse()
            body = self._body(answer) if answer.status == HTTPStatus.OK else b""
            if time.monotonic() >= until:  # cut by the watch, which looks like an end
                self._late()
            return answer.status, _wait_s(answer), body
        except (OSError, http.client.HTTPException, ValueError) as error:
            if time.monotonic() >= until:
                self._late(error)
            raise EgressFailed(_reason(self.origin.host, error), _hint(error)) from error
        finally:
            watch.cancel()
            connection.close()

    def _late(self, error: BaseException | None = None) -> NoReturn:
        text = Text("{host} gave no whole answer within {seconds} s", host=self.origin.host, seconds=f"{self.deadline_s:g}")
        raise EgressFailed(text, Text("give it more time: deadline: 2m")) from error

    def _body(self, answer: http.client.HTTPResponse) -> bytes:
        if (encoding := answer.headers.get("Content-Encoding", "identity")) != "identity":
            raise ValueError(f"Content-Encoding {encoding}")
        body = bytearray()
        while chunk := answer.read1(_CHUNK):
            body += chunk
            if len(body) > self.max_bytes:
                text = Text("{host} answers with more than {limit} bytes", host=self.origin.host, limit=self.max_bytes)
                raise EgressFailed(text, Text("ask for less: name a filter"))
        if answer.length:
            raise http.client.IncompleteRead(bytes(body), answer.length)
        return bytes(body)

    def _connection(self, address: str, until: float) -> http.client.HTTPConnection:
        timeout = min(max(0.1, until - time.monotonic()), _LONGEST_STEP_S)
        if not self.origin.secure:
            return http.client.HTTPConnection(address, self.origin.port, timeout=timeout)
        try:
            context = ssl.create_default_context(cafile=self.ca)
        except OSError as error:
            raise EgressFailed(Text("the CA {path} cannot be read: {reason}", path=self.ca, reason=str(error))) from error
        return _Pinned(self.origin.host, self.origin.port, address, context, timeout)

    def _pinned(self, until: float) -> str:
        """Return the address of the host, resolved and looked at once; raises EgressFailed."""
        if self._address is None:
            addresses = self._resolved(until)
            for address in addresses:
                refuse_address(address, self.origin.host)
                if not self.origin.secure and not ipaddress.ip_address(address.partition("%")[0]).is_loopback:
                    raise EgressFailed(Text("“{url}” is not encrypted", url=str(self.origin)), Text("write https://NAME/"))
            self._address = addresses[0]
        return self._address

    def _resolved(self, until: float) -> Sequence[str]:
        with suppress(ValueError):
            return [str(ipaddress.ip_address(self.origin.host))]
        found: list[Sequence[str]] = []
        failed: list[OSError] = []

        def look_up() -> None:
            try:
                found.append(self.resolve(self.origin.host, self.origin.port))
            except OSError as error:
                failed.append(error)

        worker = threading.Thread(target=look_up, daemon=True)  # the system's resolver knows no deadline
        worker.start()
        worker.join(max(0.0, until - time.monotonic()))
        if worker.is_alive():
            self._late()
        if failed or not found[0]:
            raise EgressFailed(Text("the name {host} is not known", host=self.origin.host), Text("is it spelt right?"))
        return found[0]


def refuse_address(address: str, host: str) -> None:
    """Raise EgressFailed for an address that no service of ours can have; `host` is the name that led to it."""
    ip = ipaddress.ip_address(address.partition("%")[0])
    looked_at = (ip, *_inner(ip))
    never = any(one in network for one in looked_at for network in _NEVER if network.version == one.version)
    if never or (any(one.is_loopback for one in looked_at) and not _is_here(host)):
        text = Text("{host} is at {address}, where no service of yours can be", host=host, address=address)
        raise EgressFailed(text, Text("somebody may have changed its entry in the DNS"))


def _inner(ip: _Address) -> tuple[_Address, ...]:
    """Return the IPv4 addresses that an IPv6 one leads on to: mapped, embedded, tunnelled or translated."""
    if isinstance(ip, ipaddress.IPv4Address) or ip.is_loopback or ip.is_unspecified:
        return ()
    last = ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)
    embedded = [last] if any(ip in network for network in _EMBEDDING) else []
    return tuple(one for one in (ip.sixtofour, *(ip.teredo or ()), *embedded) if one is not None)


class _Pinned(http.client.HTTPSConnection):
    """A connection to an address that was looked at, verified by the name that was asked for."""

    def __init__(self, host: str, port: int, address: str, context: ssl.SSLContext, timeout: float) -> None:
        super().__init__(host, port, timeout=timeout, context=context)
        self._pinned, self._tls = address, context

    def connect(self) -> None:
        """Connect to the address, then prove the name."""
        self.sock = socket.create_connection((self._pinned, self.port), self.timeout)
        self.sock = self._tls.wrap_socket(self.sock, server_hostname=self.host, do_handshake_on_connect=False)
        self.sock.do_handshake()  # by now the watch knows this socket


def _cut(connection: http.client.HTTPConnection) -> None:
    """End a connection whose time is over, wherever it hangs."""
    if connection.sock is not None:
        with suppress(OSError):
            socket.socket.shutdown(connection.sock, socket.SHUT_RDWR)  # below TLS, which would wait for the other side


def _wait_s(answer: http.client.HTTPResponse) -> float | None:
    """Return how many seconds a busy server wants to be left alone (RFC 9110, section 10.2.3); None where it does not say."""
    text = answer.headers.get("Retry-After", "")
    return float(text) if text.isascii() and text.isdigit() and len(text) < 9 else None


def _reason(host: str, error: Exception) -> Text:
    if isinstance(error, ssl.SSLCertVerificationError):
        return Text("the certificate of {host} is refused: {reason}", host=host, reason=error.verify_message)
    if isinstance(error, http.client.HTTPException):
        return Text("{host} does not answer as HTTP does: {reason}", host=host, reason=shown(f"{type(error).__name__} {error}"))
    return Text("{host} cannot be asked: {reason}", host=host, reason=shown(getattr(error, "strerror", None) or str(error)))


def _hint(error: Exception) -> Text | None:
    if isinstance(error, ssl.SSLCertVerificationError):
        return Text("name the CA that it is signed by: {example}", example="ca: /etc/ssl/our-ca.pem")
    return None
