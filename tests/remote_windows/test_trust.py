"""Whom we take for the host, and how it ends where we are not let in; every exception of the vendor has its place."""

from __future__ import annotations

import asyncio
import http.client
import inspect
import re
import socket
import time
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from pathlib import Path

import pytest
import winrm.exceptions

from inventory.host import WinrmAuth, WinrmSettings
from inventory.secret import Secret
from remote.answer import Ended
from remote.breaker import Breaker
from remote.credentials import Credential
from remote.errors import AuthenticationRefused, ConnectFailed, CredentialBlocked, HostKeyRefused, RemoteError, TlsRefused
from remote.known_hosts import KnownHosts
from remote.lab.windows.faults import Kind
from remote.lab.windows.login import Rights
from remote.lab.windows.mishaps import Mishaps
from remote.ways import Direct
from remote.windows.advice import ACCOUNT, CLOCK, FILTER, LISTEN, LISTEN_HTTPS, advice
from remote.windows.doors import Authentication
from remote.windows.looking import Greeting, greeting, refusal, shown_certificate
from remote.windows.troubles import ACCESS_DENIED, NUMBERS, TROUBLES, Trouble, trouble_of
from remote.windows.trust import certificate_key, comparing
from remote.windows.winrm_errors import CONNECTING, Attempt, connect_error
from remote.windows.wire import Door, Wire
from tests.remote.servers import on_loopback
from tests.remote_lab.windows_hosts import PASSWORD, USER
from tests.remote_windows.certificates import Authority
from tests.remote_windows.conftest import SETTINGS, MakeConnector, host_at, practice
from tests.remote_windows.played import CASES
from tests.remote_windows.test_hostile import http as said

pytestmark = pytest.mark.usefixtures("ntlm_accounts")
NTLM = WinrmSettings(auth=WinrmAuth.NTLM)


def listening(authority: Authority, name: str = "win", address: str = "127.0.0.1") -> AbstractAsyncContextManager[int]:
    paper = authority.certified(name, name, address)
    return practice(certificate=paper.der).listening(authority.server_context(paper))


async def test_a_certificate_of_nobody_we_know_is_refused_before_anything_is_sent(
    connector: MakeConnector, authority: Authority
) -> None:
    paper = authority.certified("win", "win1", "127.0.0.1")
    host = practice()
    async with host.listening(authority.server_context(paper)) as port:
        with pytest.raises(TlsRefused) as refused:
            async with connector()(host_at(port, NTLM)):
                pass
    assert isinstance(refused.value, HostKeyRefused), "the exit code of a host that does not prove itself"
    assert str(refused.value.hint) == "longarm host enrol win1"
    assert host.seen.calls == 0


async def test_an_enrolled_certificate_is_enough_and_nothing_else_is(
    connector: MakeConnector, authority: Authority, tmp_path: Path
) -> None:
    known = KnownHosts(tmp_path / "known_hosts")
    async with listening(authority) as port:
        shown = await shown_certificate(host_at(port, NTLM), way=Direct(host_at(port)))
        assert not shown.verified and shown.why
        known.add("win1", shown.key)
        async with connector(known_hosts=known)(host_at(port, NTLM)) as session:
            assert session.facts.host_key == shown.key.fingerprint
            answers = await session.ask(list(CASES), deadline_s=10)
            assert {answer.ended for answer in answers.values()} == {Ended.EXITED}
    async with listening(authority, "another") as port:
        for settings in (NTLM, replace(NTLM, ca=str(authority.file))):
            with pytest.raises(TlsRefused) as changed:
                async with connector(known_hosts=known)(host_at(port, settings)):
                    pass
            assert changed.value.known == (shown.key.fingerprint,) and changed.value.offered != (shown.key.fingerprint,)
            assert "--replace win1" in str(changed.value.hint)


async def test_a_certificate_for_another_name_is_refused(connector: MakeConnector, authority: Authority) -> None:
    async with listening(authority, address="127.0.0.2") as port:
        settings = replace(NTLM, ca=str(authority.file))
        with pytest.raises(TlsRefused, match=re.escape("127.0.0.1")):
            async with connector()(host_at(port, settings)):
                pass
        host = replace(host_at(port, settings), host_key_alias="127.0.0.2")
        async with connector()(host) as session:
            assert session.facts.host_certificate.startswith("CN=win (CN=lab authority, ")


async def test_what_a_host_shows_is_judged_as_a_session_would(authority: Authority, tmp_path: Path) -> None:
    known = KnownHosts(tmp_path / "known_hosts")
    async with listening(authority) as port:
        host = host_at(port, replace(NTLM, ca=str(authority.file)))
        shown = await shown_certificate(host, way=Direct(host))
        assert shown.verified and refusal(host, shown, known.trust(host)) is None
        known.add("win1", certificate_key(b"another"))
        refused = refusal(host, shown, known.trust(host))
        assert refused is not None and refused.offered == (shown.key.fingerprint,)


@pytest.mark.parametrize("vouched", [True, False], ids=["of an authority", "enrolled"])
async def test_a_revoked_certificate_is_refused_whoever_vouches_for_it(
    connector: MakeConnector, authority: Authority, tmp_path: Path, vouched: bool
) -> None:
    known, paper, windows = KnownHosts(tmp_path / "known_hosts"), authority.certified("win", "win1", "127.0.0.1"), practice()
    async with windows.listening(authority.server_context(paper)) as port:
        host = host_at(port, replace(NTLM, ca=str(authority.file)) if vouched else NTLM)
        shown = await shown_certificate(host, way=Direct(host))
        if not vouched:
            known.add("win1", shown.key)
        assert refusal(host, shown, known.trust(host)) is None
        known.mark(("w*",), replace(shown.key, revoked=True))
        told = refusal(host, shown, known.trust(host))
        with pytest.raises(TlsRefused, match="is revoked") as refused:
            async with connector(known_hosts=known)(host):
                pass
    assert told is not None and str(told) == str(refused.value)
    assert (refused.value.revoked, refused.value.offered, refused.value.hint) == (True, (shown.key.fingerprint,), None)
    assert windows.seen.calls == 0


async def test_what_is_cut_off_sends_nothing_in_the_clear(authority: Authority, monkeypatch: pytest.MonkeyPatch) -> None:
    """`shutdown` of Python's TLS sockets takes their TLS away first: what the thread sent in between went out bare."""
    ours, theirs = socket.socketpair()
    tls = authority.server_context(authority.certified("win", "win1", "127.0.0.1"))
    wire = Wire(Door(host="win1", port=5986, socket=lambda: ours, tls=comparing()))
    wire.end = time.monotonic() + 60
    with theirs, theirs.dup() as to_greet:
        serving = asyncio.to_thread(tls.wrap_socket, to_greet, server_side=True)
        (greeted, _) = await asyncio.gather(serving, asyncio.to_thread(wire.connect))
        ends = socket.socket.shutdown

        def as_the_thread_sends(self: socket.socket, how: int) -> None:
            self.sendall(b"Authorization: Basic")
            ends(self, how)

        with greeted, monkeypatch.context() as patched:
            patched.setattr(socket.socket, "shutdown", as_the_thread_sends)
            wire.cut()
        raw = b""
        while piece := theirs.recv(65536):
            raw += piece
    wire.close_session()
    assert raw and b"Basic" not in raw


async def test_what_speaks_no_tls_shows_no_certificate() -> None:
    async def serve(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    async with on_loopback(serve) as port:
        host = host_at(port, NTLM)
        with pytest.raises(ConnectFailed, match="no TLS"):
            await shown_certificate(host, way=Direct(host))


@pytest.mark.parametrize("name", list(SETTINGS))
async def test_whoever_is_not_let_in_is_told_what_was_tried(name: str, connector: MakeConnector, authority: Authority) -> None:
    settings = SETTINGS[name]
    host = practice(passwords={USER: "another"}, schemes=("negotiate", "basic"))
    paper = authority.certified("win", "win1", "127.0.0.1")
    tls = None if settings.scheme == "http" else authority.server_context(paper)
    async with host.listening(tls) as port:
        with pytest.raises(AuthenticationRefused) as refused:
            async with connector(password="wrong")(host_at(port, replace(settings, ca=str(authority.file)))):
                pass
    assert refused.value.user == USER and settings.auth is not None
    assert refused.value.tried[0].startswith(settings.auth.value)
    assert {scheme.lower() for scheme in refused.value.offered_methods} == {"negotiate", "basic"}
    assert host.seen.messages == []


async def test_a_wrong_password_goes_out_three_times_in_a_run(connector: MakeConnector) -> None:
    host, breaker = practice(), Breaker()
    connect = connector(password="wrong", breaker=breaker)
    ended = []
    async with host.listening() as port:
        for _ in range(5):
            try:
                async with connect(host_at(port)):
                    pass
            except RemoteError as error:
                ended.append(type(error))
    assert ended == [AuthenticationRefused] * 3 + [CredentialBlocked] * 2


async def test_who_may_log_in_and_open_no_shell_is_told_from_who_may_not(connector: MakeConnector) -> None:
    host = practice(rights={USER: Rights.NONE})
    async with host.listening() as port, connector()(host_at(port)) as session:
        answers = await session.ask(list(CASES)[:1], deadline_s=5)
        (answer,) = answers.values()
        assert (answer.ended, answer.why) == (Ended.NOT_RUN, str(NUMBERS[ACCESS_DENIED]))


async def test_a_greeting_tells_the_ways_in_and_the_clock() -> None:
    host = practice(Mishaps(clock_ahead_s=900), schemes=("negotiate", "basic"))
    async with host.listening() as port:
        said = await greeting(host_at(port), Direct(host_at(port)))
    assert (said.status, {scheme.lower() for scheme in said.schemes}) == (401, {"negotiate", "basic"})
    assert said.ahead_s is not None and 890 < said.ahead_s < 910


@pytest.mark.parametrize(
    "date", ["Mon, 30 Nov 2026 04:19:38 +99999999999999999999", "Mon, 30 Nov 9999999999999 04:19:38 GMT", "x", ""]
)
async def test_a_clock_that_is_none_is_not_told(date: str) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(said(b"", "401 Unauthorized", f"Date: {date}"))
        await writer.drain()

    async with on_loopback(serve) as port:
        host = host_at(port)
        assert (await greeting(host, Direct(host))).ahead_s is None


def test_the_next_command_follows_from_what_is_seen() -> None:
    host = host_at(5985)

    def told(auth: WinrmAuth, schemes: tuple[str, ...], ahead_s: float = 0, user: str = "ops") -> str:
        error = AuthenticationRefused("win1", user=user, tried=(auth.value,), offered_methods=schemes)
        return str(advice(error, host, Greeting(status=401, schemes=schemes, ahead_s=ahead_s, connect_ms=1)))

    assert "Auth\\Basic $true" in told(WinrmAuth.BASIC, ("Negotiate",))
    assert "Auth\\Negotiate $true" in told(WinrmAuth.NTLM, ("Basic",))
    assert "Enable-WSManCredSSP" in told(WinrmAuth.CREDSSP, ("Negotiate",))
    assert "Auth\\Certificate $true" in told(WinrmAuth.CERTIFICATE, ())
    assert told(WinrmAuth.KERBEROS, ("Negotiate", "Kerberos"), ahead_s=-400) == str(CLOCK)
    assert told(WinrmAuth.NTLM, ("Negotiate",)) == str(FILTER)
    assert told(WinrmAuth.NTLM, ("Negotiate",), user="LAB\\ops") == str(ACCOUNT)
    assert advice(ConnectFailed("win1", "refused"), host, None) is LISTEN
    assert advice(ConnectFailed("win1", "refused"), host_at(5986, NTLM), None) is LISTEN_HTTPS


def vendor_exceptions() -> list[type[Exception]]:
    found = [value for _, value in inspect.getmembers(winrm.exceptions, inspect.isclass) if issubclass(value, Exception)]
    return [
        *found,
        *(one for one in vars(http.client).values() if inspect.isclass(one) and issubclass(one, http.client.HTTPException)),
    ]


@pytest.mark.parametrize("kind", vendor_exceptions(), ids=lambda kind: str(kind.__name__))
def test_every_exception_of_the_vendor_has_a_row(kind: type[Exception]) -> None:
    assert any(issubclass(kind, row) for row, _ in TROUBLES)
    assert any(issubclass(kind, row) for row, _ in CONNECTING)


def made(kind: type[Exception]) -> Exception:
    match kind:
        case winrm.exceptions.WSManFaultError:
            return kind(500, "m", "r", "Доступ запрещён", wsman_fault_code=5)
        case winrm.exceptions.WinRMTransportError:
            return kind("http", 400, "")
        case _:
            try:
                return kind("words")
            except TypeError:
                return kind(b"", 1)


@pytest.mark.parametrize(
    "kind", sorted({row for row, _ in (*TROUBLES, *CONNECTING)}, key=str), ids=lambda kind: str(kind.__name__)
)
def test_a_row_makes_words_of_ours(kind: type[Exception]) -> None:
    wire = Wire(Door(host="win1", port=5985, socket=lambda: pytest.fail("connected"), tls=None))
    attempt = Attempt(
        host=host_at(5985),
        credential=Credential(name="ops", user=USER, password=Secret(PASSWORD)),
        auth=Authentication(kind=WinrmAuth.NTLM),
        wire=wire,
        deadline_s=1.0,
        known=(),
    )
    if any(issubclass(kind, row) for row, _ in TROUBLES):
        trouble = trouble_of(made(kind))
        assert isinstance(trouble, Trouble) and str(trouble.reason) and "Доступ" not in str(trouble.reason)
    if any(issubclass(kind, row) for row, _ in CONNECTING):
        assert isinstance(connect_error(made(kind), attempt), RemoteError)
    assert PASSWORD not in repr(attempt)


def test_what_is_no_error_of_speaking_is_not_swallowed() -> None:
    with pytest.raises(TypeError):
        trouble_of(MemoryError())


def test_the_numbers_of_the_practice_host_have_words() -> None:
    without = {kind.name for kind in Kind if kind.number not in NUMBERS}
    assert without <= {
        "OPERATION_TIMEOUT",
        "INVALID_RESOURCE",
        "ACTION_NOT_SUPPORTED",
        "SCHEMA",
        "INVALID_PARAMETER",
        "NO_FILE",
    } | {kind.name for kind in Kind if kind.name.startswith("MAX_")}
