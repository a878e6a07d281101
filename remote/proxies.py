"""Proxies: a connection that SOCKS 5 (RFC 1928, RFC 1929) or HTTP (CONNECT, RFC 9110 9.3.6) makes for us.

Names are handed on as they are: the proxy resolves them. Nothing is read beyond the proxy's own words, which are few and
bounded; what follows is the host's. Deadlines are the caller's.
"""

from __future__ import annotations

import asyncio
import base64
import ipaddress
import re
import socket
from contextlib import suppress

from inventory.errors import Text
from inventory.host import Host, Proxy
from inventory.names import shown
from remote.breaker import Breaker, Turn
from remote.credentials import Credential, CredentialStore
from remote.errors import ProxyFailed
from remote.ssh_errors import reason_of

_LONGEST_HEADER = 8 * 1024
_LONGEST_WORD = 255
"""Bytes of a user, a password or a name in SOCKS: their length is one byte."""
_NO_LOGIN, _BY_PASSWORD, _NOTHING = 0, 2, 255
_STATUS = re.compile(rb"HTTP/1\.[01] ([1-5][0-9][0-9])( [^\r\n]*)?")
_REPLIES = {
    1: Text("it failed"),
    2: Text("its rules forbid it"),
    3: Text("no network leads there from it"),
    4: Text("the host cannot be reached from it"),
    5: Text("the host refused its connection"),
    6: Text("the host did not answer it in time"),
    7: Text("it makes no connections"),
    8: Text("it does not know this kind of address"),
}


class _Refused(Exception):
    """The proxy did not connect us; `reason` says why."""

    def __init__(self, reason: Text) -> None:
        self.reason = reason
        super().__init__(str(reason))


class Proxies:
    """Connects through proxies for one run; their passwords are under the breaker like those of hosts."""

    def __init__(self, credentials: CredentialStore, breaker: Breaker) -> None:
        self._credentials, self._breaker = credentials, breaker

    async def connect(self, host: Host, proxy: Proxy) -> socket.socket:
        """Return a connection to a host's address and port that a proxy made, or raise ProxyFailed or CredentialBlocked."""
        login = await self._login(proxy)
        try:
            wire = await connected(proxy.host, proxy.port)
        except OSError as error:
            raise ProxyFailed(host.name, proxy.url, Text("no connection: {reason}", reason=reason_of(error))) from error
        try:
            speak = _socks5 if proxy.scheme == "socks5" else _http
            await speak(_Wire(wire), host, _Login(host, login, self._breaker))
        except _Refused as refused:
            wire.close()
            raise ProxyFailed(host.name, proxy.url, refused.reason) from refused
        except OSError as error:
            wire.close()
            raise ProxyFailed(host.name, proxy.url, Text("{reason}", reason=reason_of(error))) from error
        except BaseException:
            wire.close()
            raise
        return wire

    async def _login(self, proxy: Proxy) -> Credential | None:
        if proxy.credential is None:
            return None
        return await self._credentials.resolve(Host(name=proxy.host, address=proxy.host, credential=proxy.credential))


class _Login:
    """What a proxy may be given, once, and how that ended."""

    def __init__(self, host: Host, credential: Credential | None, breaker: Breaker) -> None:
        self._host, self._credential, self._breaker = host, credential, breaker
        self._turn: Turn | None = None

    @property
    def has(self) -> bool:
        return self._credential is not None

    async def words(self) -> tuple[bytes, bytes]:
        """Return user and password when the breaker gives them a turn."""
        assert self._credential is not None and self._credential.password is not None
        self._turn = await self._breaker.turn(self._host, self._credential)
        return self._credential.user.encode(), self._credential.password.reveal().encode()

    def unused(self) -> None:
        """Give the turn back: nothing went out."""
        if self._turn is not None:
            self._turn.unused()

    def ended(self, *, accepted: bool | None) -> None:
        """Take the proxy's verdict; None: it gave none."""
        if self._turn is None:
            return
        if accepted is None:
            self._turn.unanswered()
        elif accepted:
            self._turn.accepted()
        else:
            self._turn.rejected()

    def refusal(self) -> _Refused:
        """Return what is said of a login that was refused."""
        self.ended(accepted=False)
        user = self._credential.user if self._credential is not None else ""
        return _Refused(Text("it does not let {user} in", user=user) if user else Text("it wants a user and a password"))


class _Wire:
    """The connection to the proxy, while it is the proxy's words that are read."""

    def __init__(self, wire: socket.socket) -> None:
        self._wire, self._loop = wire, asyncio.get_running_loop()

    async def send(self, data: bytes) -> None:
        await self._loop.sock_sendall(self._wire, data)

    async def take(self, size: int) -> bytes:
        """Return exactly so many bytes."""
        data = b""
        while len(data) < size:
            if not (piece := await self._loop.sock_recv(self._wire, size - len(data))):
                raise _Refused(Text("it closed the connection"))
            data += piece
        return data

    async def header(self) -> bytes:
        """Return an HTTP header without its end, byte by byte: what follows is the host's."""
        data = bytearray()
        while not data.endswith(b"\r\n\r\n"):
            if len(data) >= _LONGEST_HEADER:
                raise _Refused(Text("its answer has more than {limit} KiB", limit=_LONGEST_HEADER // 1024))
            data += await self.take(1)
        return bytes(data[:-4])


async def connected(address: str, port: int) -> socket.socket:
    """Return a TCP connection to the first address that takes one, or raise OSError."""
    loop = asyncio.get_running_loop()
    trouble: OSError = OSError("no address")
    for family, kind, number, _, at in await loop.getaddrinfo(address, port, type=socket.SOCK_STREAM):
        wire = socket.socket(family, kind, number)
        wire.setblocking(False)
        try:
            await loop.sock_connect(wire, at)
        except OSError as error:
            wire.close()
            trouble = error
        except BaseException:
            wire.close()
            raise
        else:
            with suppress(OSError):
                wire.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            return wire
    raise trouble


async def _socks5(wire: _Wire, host: Host, login: _Login) -> None:
    await wire.send(bytes([5, 2, _NO_LOGIN, _BY_PASSWORD]) if login.has else bytes([5, 1, _NO_LOGIN]))
    version, method = await wire.take(2)
    if version != 5 or method not in (_NO_LOGIN, _BY_PASSWORD, _NOTHING):
        raise _Refused(Text("it does not speak {protocol}", protocol="SOCKS 5"))
    if method == _NOTHING or (method == _BY_PASSWORD and not login.has):
        raise login.refusal()
    if method == _BY_PASSWORD:
        await _log_in(wire, login)
    await wire.send(b"\5\1\0" + _address(host.address) + (host.port or 22).to_bytes(2, "big"))
    version, reply, _, kind = await wire.take(4)
    if version != 5 or kind not in (1, 3, 4):
        raise _Refused(Text("it does not speak {protocol}", protocol="SOCKS 5"))
    if reply:
        raise _Refused(_REPLIES.get(reply, _REPLIES[1]))
    await wire.take({1: 4, 3: 0, 4: 16}[kind] or (await wire.take(1))[0])
    await wire.take(2)


async def _log_in(wire: _Wire, login: _Login) -> None:
    user, password = await login.words()
    if not all(0 < len(word) <= _LONGEST_WORD for word in (user, password)):
        login.unused()
        raise _Refused(Text("it takes users and passwords of 1 to {limit} bytes", limit=_LONGEST_WORD))
    try:
        await wire.send(bytes([1, len(user)]) + user + bytes([len(password)]) + password)
        _, status = await wire.take(2)
    except BaseException:
        login.ended(accepted=None)
        raise
    if status:
        raise login.refusal()
    login.ended(accepted=True)


def _address(address: str) -> bytes:
    try:
        packed = ipaddress.ip_address(address.partition("%")[0]).packed
    except ValueError:
        name = address.encode("ascii")
        return bytes([3, len(name)]) + name
    return bytes([1 if len(packed) == 4 else 4]) + packed


async def _http(wire: _Wire, host: Host, login: _Login) -> None:
    at = f"{f'[{host.address}]' if ':' in host.address else host.address}:{host.port or 22}".encode("ascii")
    lines = [b"CONNECT " + at + b" HTTP/1.1", b"Host: " + at]
    if login.has:
        lines.append(b"Proxy-Authorization: Basic " + base64.b64encode(b":".join(await login.words())))
    try:
        await wire.send(b"\r\n".join([*lines, b"", b""]))
        match = _STATUS.match(await wire.header())
    except BaseException:
        login.ended(accepted=None)
        raise
    if match is None:
        login.ended(accepted=None)
        raise _Refused(Text("it does not speak {protocol}", protocol="HTTP"))
    if match[1] in (b"407", b"401"):  # tinyproxy says 401 of a wrong password
        raise login.refusal()
    login.ended(accepted=None if match[1] == b"403" else True)  # which may mean the user or the goal (RFC 9110 15.5.4)
    if not match[1].startswith(b"2"):
        said = (match[1] + (match[2] or b"")).decode("utf-8", "replace")
        raise _Refused(Text("it answers {status}", status=shown(said)))
