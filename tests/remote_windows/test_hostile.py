"""Hosts that lie: what they send is bounded, refused and told, and nothing of ours is given to them."""

from __future__ import annotations

import asyncio
import base64
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

import pytest

from inventory.host import WinrmAuth, WinrmSettings
from remote.answer import Ended
from remote.errors import (
    AuthenticationRefused,
    ConnectFailed,
    ConnectionLost,
    CredentialUnusable,
    DeadlineExceeded,
    RemoteError,
)
from remote.ways import Direct
from remote.windows.envelopes import HostileXml, checked
from remote.windows.looking import greeting
from tests.remote.servers import on_loopback
from tests.remote_windows.certificates import Authority
from tests.remote_windows.conftest import SETTINGS, MakeConnector, host_at, no_threads, practice
from tests.remote_windows.played import CASES

pytestmark = pytest.mark.usefixtures("ntlm_accounts")
OVERTIME_S = 25.0  # far above what a user waits (conftest.py): only a hang reaches it
ENVELOPE = (
    '<s:Envelope xmlns:s="http://www.w3.org/2003/05/soap-envelope" xmlns:a="http://schemas.xmlsoap.org/ws/2004/08/addressing"'
    ' xmlns:w="http://schemas.dmtf.org/wbem/wsman/1/wsman.xsd">'
    "<s:Header/><s:Body>{}</s:Body></s:Envelope>"
)
DOUBLED = "".join(f'<!ENTITY b{n} "&b{n - 1};&b{n - 1};">' for n in range(1, 30))
BOMB = f'<!DOCTYPE a [<!ENTITY b0 "{100 * chr(120)}">{DOUBLED}]>'
HOSTILE = {
    "entity bomb": BOMB + ENVELOPE.format("&b29;"),
    "document type": '<!DOCTYPE a SYSTEM "http://192.0.2.1/x">' + ENVELOPE.format(""),
    "deep": ENVELOPE.format("<a>" * 100_000 + "</a>" * 100_000),
    "many attributes": ENVELOPE.format("<a " + " ".join(f'b{n}="c"' for n in range(1000)) + "/>"),
    "a huge attribute": ENVELOPE.format(f'<a b="{"c" * 600_000}"/>'),
    "many elements": ENVELOPE.format("<a/>" * 100_000),
    "another encoding": "<?xml version='1.0' encoding='utf-16'?>" + ENVELOPE.format(""),
    "not XML": "<",
    "nothing": "",
    "no shell": ENVELOPE.format(""),
    "a shell that is none": ENVELOPE.format('<w:Selector Name="ShellId">../../x</w:Selector>'),
    "a shell without a name": ENVELOPE.format('<w:Selector Name="ShellId"/>'),
}


class Liar:
    """An HTTPS host that lets everybody in and answers every message in its own way."""

    def __init__(self, answer: Callable[[bytes], bytes]) -> None:
        self.answer, self.heard = answer, bytearray()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            length = next(
                int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length")
            )
            body = await reader.readexactly(length)
            self.heard += head + body
            writer.write(http(b"") if not body else self.answer(body))
            await writer.drain()

    @asynccontextmanager
    async def listening(self, authority: Authority) -> AsyncIterator[int]:
        tls = authority.server_context(authority.certified("liar", "win1", "127.0.0.1"))
        async with on_loopback(self.serve, tls) as port:
            yield port


def http(body: bytes, status: str = "200 OK", *more: str) -> bytes:
    lines = [f"HTTP/1.1 {status}", "Content-Type: application/soap+xml;charset=UTF-8", f"Content-Length: {len(body)}", *more]
    return "\r\n".join([*lines, "", ""]).encode() + body


def basic(authority: Authority) -> WinrmSettings:
    return WinrmSettings(auth=WinrmAuth.BASIC, ca=str(authority.file))


@pytest.mark.parametrize("kind", list(HOSTILE))
def test_hostile_xml_is_refused_before_anything_reads_it(kind: str) -> None:
    if kind.startswith(("no shell", "a shell")):
        assert checked(HOSTILE[kind].encode())
        return
    with pytest.raises(HostileXml):
        checked(HOSTILE[kind].encode())


@pytest.mark.parametrize("status", ["200 OK", "500 Internal Server Error"])
@pytest.mark.parametrize("kind", list(HOSTILE))
async def test_hostile_answers_are_no_answers(kind: str, status: str, connector: MakeConnector, authority: Authority) -> None:
    liar = Liar(lambda _: http(HOSTILE[kind].encode(), status))
    async with liar.listening(authority) as port, connector()(host_at(port, basic(authority))) as session:
        began = time.monotonic()
        answers = await session.ask(list(CASES), deadline_s=60.0)
        assert {answer.ended for answer in answers.values()} == {Ended.NOT_RUN}
        assert time.monotonic() - began < 30.0, "it is not waited for"


FLOODS = {
    "a body without end": http(b"")[:-4] + b"\r\nTransfer-Encoding: chunked\r\n\r\n" + b"10000\r\n" + b"x" * 65536 + b"\r\n",
    "a packed bomb": http(b"", "200 OK", "Content-Encoding: gzip"),
    "another version": b"HTTP/9.9 200 OK\r\n\r\n",
    "no HTTP": b"SSH-2.0-OpenSSH\r\n" * 10,
    "headers without end": b"HTTP/1.1 200 OK\r\n" + b"X-A: b\r\n" * 10_000,
    "a redirection": http(b"", "302 Found", "Location: http://127.0.0.1:1/"),
    "continue for ever": b"HTTP/1.1 100 Continue\r\n\r\n" * 5000,
    "trickle": b"H",
}


@pytest.mark.parametrize("kind", list(FLOODS))
async def test_floods_and_trickles_end_at_the_deadline(kind: str, connector: MakeConnector, authority: Authority) -> None:
    liar = Liar(lambda _: FLOODS[kind])
    async with liar.listening(authority) as port, connector()(host_at(port, basic(authority))) as session:
        began = time.monotonic()
        answers = await session.ask(list(CASES), deadline_s=1.0)
        assert {answer.ended for answer in answers.values()} == {Ended.NOT_RUN}
        assert time.monotonic() - began < OVERTIME_S
    await no_threads()


async def test_what_is_not_sealed_is_not_believed(connector: MakeConnector) -> None:
    """An answer in the clear to a sealed message may come from anybody on the way."""
    host = practice(allow_unencrypted=True)
    login = "remote.lab.windows.login.Login.seal"
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(login, lambda self, data, *, like: ("application/soap+xml;charset=UTF-8", data))
        async with host.listening() as port, connector()(host_at(port)) as session:
            answers = await session.ask(list(CASES), deadline_s=3.0)
    assert {answer.ended for answer in answers.values()} == {Ended.NOT_RUN}
    assert "without a seal" in next(iter(answers.values())).why


CHALLENGE = b"NTLMSSP\0\2\0\0\0"


def token(data: bytes) -> str:
    return f"Negotiate {base64.b64encode(data).decode()}"


CHALLENGES = {
    "no base64": "Negotiate ***",
    "no token of NTLM": token(bytes(100)),
    "half a token": token(CHALLENGE[:9]),
    "huge fields": token(CHALLENGE + b"\xff" * 60),
    "another scheme": "Basic realm=x",
    "none": "",
    "again and again": token(CHALLENGE + bytes(48)),
}


@pytest.mark.parametrize("kind", list(CHALLENGES))
async def test_a_hostile_challenge_is_a_refusal(kind: str, connector: MakeConnector) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.readuntil(b"\r\n\r\n"):
            more = [f"WWW-Authenticate: {CHALLENGES[kind]}"] if CHALLENGES[kind] else []
            writer.write(http(b"", "401 Unauthorized", *more))

    async with on_loopback(serve) as port:
        with pytest.raises(AuthenticationRefused):
            async with connector()(host_at(port)):
                pass


@pytest.mark.parametrize(
    "said", [b"", b"SSH-2.0-OpenSSH_9.2\r\n", b"\0" * 100, b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"]
)
async def test_what_is_no_windows_host_is_told(said: bytes, connector: MakeConnector) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(said)
        await reader.read(1)

    async with on_loopback(serve) as port:
        with pytest.raises((ConnectFailed, ConnectionLost)):
            async with connector()(host_at(port)):
                pass


async def test_a_host_that_greets_without_end_keeps_no_thread() -> None:
    async def serve(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            while True:
                writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
                await writer.drain()
                await asyncio.sleep(0.01)

    async with on_loopback(serve) as port:
        host = host_at(port)
        with pytest.raises(DeadlineExceeded):
            await greeting(host, Direct(host), deadline_s=0.5)
        await no_threads("longarm greeting")


async def test_a_host_that_is_silent_before_the_login_is_left_at_the_deadline(connector: MakeConnector) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()

    async with on_loopback(serve) as port:
        began = time.monotonic()
        with pytest.raises(DeadlineExceeded):
            async with connector(connect_deadline_s=0.9)(host_at(port)):
                pass
        assert time.monotonic() - began < OVERTIME_S


@pytest.mark.parametrize(
    "settings",
    [
        WinrmSettings(scheme="http", auth=WinrmAuth.BASIC),
        WinrmSettings(scheme="http", auth=WinrmAuth.CERTIFICATE),
        WinrmSettings(auth=WinrmAuth.CREDSSP),
        WinrmSettings(auth=WinrmAuth.KERBEROS),
    ],
)
async def test_what_would_give_a_secret_away_is_refused_before_a_byte_is_sent(
    settings: WinrmSettings, connector: MakeConnector
) -> None:
    with pytest.raises(CredentialUnusable):
        async with connector(way_to=nobody)(host_at(1, settings)):
            pass


@asynccontextmanager
async def nobody(host: object) -> AsyncIterator[object]:
    class Nowhere:
        between = ""

        async def socket(self) -> None:
            raise AssertionError("connected")

    yield Nowhere()


async def test_the_environment_has_no_say(
    connector: MakeConnector, authority: Authority, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Proxies, authorities and passwords of the environment are requests' matter, not ours."""
    home = tmp_path_factory.mktemp("netrc")
    (home / ".netrc").write_text("machine 127.0.0.1 login other password other\n")
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE", "SSL_CERT_DIR"):
        monkeypatch.setenv(name, str(authority.file))
    monkeypatch.setenv("NETRC", str(home / ".netrc"))
    host = practice()
    async with host.listening() as port, connector()(host_at(port, SETTINGS["winrm_ntlm_http"])) as session:
        assert all(one.ended is Ended.EXITED for one in (await session.ask(list(CASES), deadline_s=5.0)).values())
    paper = authority.certified("win", "win1", "127.0.0.1")
    async with practice().listening(authority.server_context(paper)) as port:
        with pytest.raises(RemoteError, match="certificate"):
            async with connector()(host_at(port, WinrmSettings(auth=WinrmAuth.NTLM))):
                pass
