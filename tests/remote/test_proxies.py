"""Proxies: real ones on loopback, programs that are the connection, and those that lie, hang, flood or leave."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from inventory.host import CredentialReference, Host, Proxy, SecretReference, SshSettings
from remote.answer import Ended
from remote.breaker import Breaker
from remote.enrol import offered_keys
from remote.errors import ConnectFailed, CredentialBlocked, JumpFailed, ProxyFailed
from remote.question import Question
from remote.reach import greeting
from remote.ssh import SshConnector
from remote.ways import ByProxy
from tests.remote.hostility import ENOUGH_S, Stage, hostile, over_by, until_gone
from tests.remote.servers import SBIN, Keys, MakeConnector, StartPractice, free_port, known_key

pytestmark = pytest.mark.usefixtures("nothing_stays")
HELLO = Question(id="hello", script="echo hello")
CONNECT_S = 0.7
MICROSOCKS, TINYPROXY = shutil.which("microsocks", path=SBIN) or "", shutil.which("tinyproxy", path=SBIN) or ""
NC = os.path.realpath(shutil.which("nc.openbsd") or "/bin/nc.openbsd")


@contextlib.contextmanager
def listening(port: int, *command: str) -> Iterator[None]:
    """Run a server until it takes connections; end it, by pid, at the end."""
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            end = time.monotonic() + 30
            while True:
                assert process.poll() is None and time.monotonic() < end
                with contextlib.suppress(ConnectionRefusedError), socket.create_connection(("127.0.0.1", port)):
                    break
                time.sleep(0.02)
            yield
        finally:
            process.terminate()


@pytest.fixture(scope="module")
def proxies(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Proxy]]:
    """Start microsocks and tinyproxy, each with and without a password, and return them by name."""
    folder = tmp_path_factory.mktemp("proxies")
    found = {name: Proxy(scheme=name.partition("+")[0], host="127.0.0.1", port=free_port()) for name in REAL}
    with contextlib.ExitStack() as running:
        for name, proxy in found.items():
            if proxy.scheme == "socks5":
                login = ["-u", "anna", "-P", "hunter22"] if "+" in name else []
                command = [MICROSOCKS, "-i", "127.0.0.1", "-p", str(proxy.port), *login]
            else:
                config = folder / f"{name}.conf"
                auth = "BasicAuth anna hunter22\n" if "+" in name else ""
                config.write_text(f"Port {proxy.port}\nListen 127.0.0.1\nTimeout 600\n{auth}")
                command = [TINYPROXY, "-d", "-c", str(config)]
            running.enter_context(listening(proxy.port, *command))
        yield found


REAL = ("socks5", "socks5+password", "http", "http+password")


@pytest.fixture
def login(monkeypatch: pytest.MonkeyPatch) -> CredentialReference:
    """Return the credential that proxies with a password take."""
    monkeypatch.setenv("PROXY_PASSWORD", "hunter22")
    return CredentialReference(name="proxy", user="anna", password=SecretReference(kind="env", value="PROXY_PASSWORD"))


def by(proxy: Proxy, host: Host) -> Host:
    return replace(host, ssh=SshSettings(proxy=proxy))


async def hello(connect: SshConnector, host: Host) -> tuple[bytes, str]:
    async with connect(host) as session:
        answer = (await session.ask([HELLO], deadline_s=60))["hello"]
        assert answer.ended is Ended.EXITED
        return answer.stdout, session.facts.proxy


@pytest.mark.server
@pytest.mark.parametrize("name", REAL)
async def test_a_host_is_reached_by_a_real_proxy(
    name: str,
    proxies: dict[str, Proxy],
    login: CredentialReference,
    practice: StartPractice,
    connector: MakeConnector,
    host_key: Keys,
) -> None:
    proxy = proxies[name]
    running = await practice()
    named = replace(running.host, address="localhost")  # the proxy resolves it
    if "+" in name:
        with pytest.raises(ProxyFailed, match=f"^via proxy {proxy.url}: it wants a user and a password"):
            await hello(connector(), by(proxy, named))
        proxy = replace(proxy, credential=login)
    host = by(proxy, named)
    connect = connector()
    assert await hello(connect, host) == (b"hello\n", proxy.url)
    async with connect.way_to(host) as way:
        assert [key.key for key in await offered_keys(host, way=way)] == [known_key(host_key)]
        assert (await greeting(host, way)).version.startswith("SSH-2.0")
    dead = replace(host, port=free_port())
    with pytest.raises(
        ProxyFailed, match=f"^via proxy {proxy.url}: (the host refused its connection|it answers 5.. |it failed)"
    ):
        await hello(connect, dead)


@pytest.mark.server
async def test_the_first_hop_is_reached_by_the_proxy(
    proxies: dict[str, Proxy],
    openssh_port: int,
    practice: StartPractice,
    connector: MakeConnector,
    reference: CredentialReference,
) -> None:
    gate = by(proxies["socks5"], Host(name="gate", address="127.0.0.1", port=openssh_port, credential=reference))
    running = await practice(name="inner")
    connect = connector("gate", "inner")
    assert await hello(connect, replace(running.host, via=gate)) == (b"hello\n", "")
    down = by(Proxy(scheme="socks5", host="127.0.0.1", port=free_port()), replace(gate, name="gate2"))
    with pytest.raises(JumpFailed, match=r"^via gate2: via proxy socks5://127.0.0.1:[0-9]+: no connection: Connection refused"):
        await hello(connector("gate2", "inner"), replace(running.host, via=down))


@pytest.mark.server
@pytest.mark.parametrize("name", ["socks5+password", "http+password"])
async def test_a_wrong_password_of_a_proxy_is_counted(
    name: str, proxies: dict[str, Proxy], monkeypatch: pytest.MonkeyPatch, practice: StartPractice, connector: MakeConnector
) -> None:
    monkeypatch.setenv("WRONG_PASSWORD", "hunter23")
    wrong = CredentialReference(name="wrong", user="anna", password=SecretReference(kind="env", value="WRONG_PASSWORD"))
    running = await practice()
    host = by(replace(proxies[name], credential=wrong), running.host)
    connect = connector(breaker=Breaker(limit=2))
    for _ in range(2):
        with pytest.raises(ProxyFailed, match="it does not let anna in"):
            await hello(connect, host)
    with pytest.raises(CredentialBlocked, match="credential wrong was rejected 2 times"):
        await hello(connect, host)
    assert len(running.seen.connections) == 0


@pytest.mark.parametrize(("status", "accepted"), [(b"403 Forbidden", 0), (b"502 Bad Gateway", 1)])
async def test_a_proxy_that_forbids_has_not_accepted_the_password(
    status: bytes, accepted: int, monkeypatch: pytest.MonkeyPatch, connector: MakeConnector, reference: CredentialReference
) -> None:
    """A wrong password that counts as accepted goes out for every host."""
    monkeypatch.setenv("WRONG_PASSWORD", "hunter23")
    wrong = CredentialReference(name="wrong", user="anna", password=SecretReference(kind="env", value="WRONG_PASSWORD"))
    breaker = Breaker()
    async with hostile(answers(b"HTTP/1.1 " + status + b"\r\n\r\n"), reference) as place:
        proxy = Proxy(scheme="http", host=place.address, port=place.port or 0, credential=wrong)
        with pytest.raises(ProxyFailed):
            await hello(connector(breaker=breaker), by(proxy, place))
    (tally,) = breaker._secrets.values()
    assert (tally.acceptances, tally.unanswered) == (accepted, 1 - accepted)


async def test_a_password_that_is_too_long_for_socks_holds_up_nobody(
    monkeypatch: pytest.MonkeyPatch, connector: MakeConnector, reference: CredentialReference
) -> None:
    """It never goes out, and so there is no verdict that others could wait for."""
    monkeypatch.setenv("LONG_PASSWORD", "x" * 256)
    long = CredentialReference(name="long", user="anna", password=SecretReference(kind="env", value="LONG_PASSWORD"))
    connect = connector(breaker=Breaker(limit=1))
    async with hostile(answers(b"\5\2"), reference) as place:
        proxy = Proxy(scheme="socks5", host=place.address, port=place.port or 0, credential=long)
        for _ in range(2):
            with pytest.raises(ProxyFailed, match="passwords of 1 to 255 bytes"):
                await hello(connect, by(proxy, place))


# --- proxies that nobody meant ---------------------------------------------------------------------------------------


async def says_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await until_gone(reader)


async def closes(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read(1)


def answers(*pieces: bytes, then: str = "hang") -> Stage:
    """Return a proxy that answers each of our words with the next piece, then hangs, closes or floods."""

    async def stage(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for piece in pieces:
            await reader.read(4096)
            writer.write(piece)
            await writer.drain()
        if then == "half":
            writer.write_eof()
        while then == "flood":
            writer.write(b"x" * 65536)
            await writer.drain()
        if then != "close":
            await until_gone(reader)

    return stage


CONNECTED = b"\5\0\0\1" + bytes(6)
SOCKS: dict[str, tuple[Stage, str]] = {
    "says nothing": (says_nothing, r"no answer within 0.7 s"),
    "closes": (closes, "it closed the connection|Connection reset"),
    "another protocol": (answers(b"HTTP/1.1 400 Bad Request\r\n\r\n"), "it does not speak SOCKS 5"),
    "half a word": (answers(b"\5"), "no answer within 0.7 s"),
    "half closed": (answers(b"\5", then="half"), "it closed the connection"),
    "takes nobody": (answers(b"\5\xff"), "it wants a user and a password"),
    "a method nobody offered": (answers(b"\5\2"), "it wants a user and a password"),
    "hangs before it connects": (answers(b"\5\0"), "no answer within 0.7 s"),
    "forbids": (answers(b"\5\0", b"\5\2\0\1" + bytes(6)), "its rules forbid it"),
    "an error of its own": (answers(b"\5\0", b"\5\x63\0\1" + bytes(6)), "it failed"),
    "an address of no kind": (answers(b"\5\0", b"\5\0\0\7" + bytes(6)), "it does not speak SOCKS 5"),
    "half an address": (answers(b"\5\0", b"\5\0\0\3\xffhalf"), "no answer within 0.7 s"),
    "connects to nobody": (answers(b"\5\0", CONNECTED, then="close"), "Connection lost|Connection reset"),
    "floods": (answers(b"\5\0", CONNECTED, then="flood"), "no connection: "),
}
HTTP: dict[str, tuple[Stage, str]] = {
    "says nothing": (says_nothing, "no answer within 0.7 s"),
    "another protocol": (answers(b"SSH-2.0-longarm_test\r\n\r\n\r\n"), "it does not speak HTTP"),
    "forbids": (answers(b"HTTP/1.0 403 Filtered \x1b[2J\r\n\r\n"), r"it answers 403 Filtered \\x1b"),
    "wants a login": (answers(b"HTTP/1.1 407 Login\r\nProxy-Authenticate: Basic\r\n\r\n"), "it wants a user and a password"),
    "a header of 10 MB": (answers(b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 1_700_000), "its answer has more than 8 KiB"),
    "an endless header": (answers(b"HTTP/1.1 200 OK\r\n", then="flood"), "its answer has more than 8 KiB"),
    "half closed": (answers(b"HTTP/1.1 200 OK\r\nVia:", then="half"), "it closed the connection"),
    "floods": (answers(b"HTTP/1.1 200 OK\r\n\r\n", then="flood"), "no connection: "),
}


@pytest.mark.parametrize(("scheme", "case"), [*(("socks5", case) for case in SOCKS), *(("http", case) for case in HTTP)])
async def test_a_proxy_that_nobody_meant_ends_in_time(
    scheme: str, case: str, connector: MakeConnector, reference: CredentialReference
) -> None:
    stage, says = (SOCKS if scheme == "socks5" else HTTP)[case]
    async with hostile(stage, reference) as place, over_by(CONNECT_S):
        proxy = Proxy(scheme=scheme, host="127.0.0.1", port=place.port or 0)
        host = by(proxy, Host(name="node", address="db.invalid", credential=reference))
        with pytest.raises(ProxyFailed, match=says) as failed:
            await hello(connector(connect_deadline_s=CONNECT_S if "within" in says else ENOUGH_S), host)
    assert str(failed.value).startswith(f"via proxy {proxy.url}: ")


# --- programs that are the connection --------------------------------------------------------------------------------


def through(host: Host, *command: str) -> Host:
    return replace(host, ssh=SshSettings(proxy_command=command))


@pytest.fixture
def script(tmp_path: Path) -> Callable[[str], str]:
    """Return a function that makes a program of a shell script and returns its path."""

    def make(text: str) -> str:
        path = tmp_path / "program"
        path.write_text(f"#!/bin/bash\n{text}\n")
        path.chmod(0o755)
        return str(path)

    return make


async def test_a_program_is_the_connection(practice: StartPractice, connector: MakeConnector, host_key: Keys) -> None:
    running = await practice()
    host, connect = through(running.host, NC, "%h", "%p"), connector()
    assert await hello(connect, host) == (b"hello\n", NC)
    async with connect.way_to(host) as way:
        assert [key.key for key in await offered_keys(host, way=way)] == [known_key(host_key)]


async def test_each_word_stays_one_word_and_no_shell_is_asked(
    monkeypatch: pytest.MonkeyPatch, script: Callable[[str], str], tmp_path: Path
) -> None:
    program = script(f'printf "%s|" "$@" > {tmp_path}/seen; env > {tmp_path}/env; exit 3')
    monkeypatch.setenv("LONGARM_CANARY", "canary")
    odd = CredentialReference(name="odd", user="$(id) `id`; id", agent=True)
    host = Host(name="node", address="192.0.2.1", credential=odd)
    with pytest.raises(ProxyFailed, match=f"^via proxy {program}: it ended with 3: $"):
        await dialled(through(host, program, "a b", "%h", "%p", "%r", "100%%"))
    assert (tmp_path / "seen").read_text() == "a b|192.0.2.1|22|$(id) `id`; id|100%|"
    assert "canary" not in (tmp_path / "env").read_text()


async def dialled(host: Host) -> None:
    """Connect by the way of a host, and tell of the failure of whoever stands in between."""
    way = ByProxy(host, None)  # type: ignore[arg-type]  # a program needs none
    try:
        (await way.socket()).close()
        raise await way.failure(ConnectFailed(host.name, "closed"))
    finally:
        await way.close()


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("echo no route >&2; exit 7", "it ended with 7: no route"),
        ("exit 0", "it ended with 0: "),
        ("sleep 3600", None),
        ("cat /dev/zero", "more than 64 KiB|not SSH|no connection"),
        ("yes trouble >&2", None),
        ("sleep 3600 & sleep 3600", None),
    ],
)
async def test_a_program_that_fails_is_told_and_ended_with_what_it_started(
    text: str,
    says: str | None,
    practice: StartPractice,
    connector: MakeConnector,
    script: Callable[[str], str],
) -> None:
    running = await practice()
    mark = f"LONGARM_TEST_{os.getpid()}_{free_port()}"
    program = script(f"exec -a {mark} bash -c '{text}' {mark}")
    async with over_by(CONNECT_S + 1.0):
        late = "no (end after|answer within) 0.7 s"  # the second one where it did not even begin in time
        with pytest.raises(ConnectFailed if says else Exception, match=says or late) as failed:
            await hello(connector(connect_deadline_s=ENOUGH_S if says else CONNECT_S), through(running.host, program))
    if says:
        assert isinstance(failed.value, ProxyFailed)
    assert not await asyncio.to_thread(running_with, mark.encode())
    assert len(running.seen.connections) == 0


def running_with(mark: bytes) -> list[str]:
    """Return the processes whose arguments hold a mark."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            if mark in path.read_bytes():
                found.append(str(path))
    return found


async def test_a_program_that_others_may_change_is_not_run(
    practice: StartPractice, connector: MakeConnector, script: Callable[[str], str], tmp_path: Path
) -> None:
    running = await practice()
    program = script(f"touch {tmp_path}/ran")
    os.chmod(program, 0o777)  # noqa: PTH101 (blocking only for the linter in the other form)
    with pytest.raises(ProxyFailed, match="is not run: others may change it"):
        await hello(connector(), through(running.host, program))
    with pytest.raises(ProxyFailed, match="cannot be run: No such file"):
        await hello(connector(), through(running.host, "/no/such/program"))
    assert not (tmp_path / "ran").exists()


async def test_a_user_cannot_become_an_option() -> None:
    odd = CredentialReference(name="odd", user="-oProxyCommand=id", agent=True)
    host = Host(name="node", address="192.0.2.1", credential=odd)
    with pytest.raises(ProxyFailed, match="“-oProxyCommand=id” would be an option"):
        await dialled(through(host, NC, "%r"))
