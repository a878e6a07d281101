"""What is paramiko's own: its errors, hosts it goes through, when it takes over, and that nothing of it acts by itself."""

from __future__ import annotations

import asyncio
import inspect
import socket
import subprocess
import sys
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from inventory.host import CredentialReference, Host, Proxy, SshLibrary, SshSettings
from remote.accepting import accepting
from remote.answer import Ended
from remote.breaker import Breaker
from remote.credentials import Credential
from remote.enrol import offered_keys
from remote.errors import AuthenticationRefused, ConnectFailed, ConnectionLost, DeadlineExceeded, JumpFailed, RemoteError
from remote.known_hosts import Trust
from remote.lasting import LastingConnect
from remote.one_time_codes import Codes
from remote.patience import PATIENCE, Patience
from remote.question import Question
from remote.session import Session
from remote.ssh import SshConnector
from remote.ssh_intake import Flooded
from remote.ssh_library import asyncssh
from remote.ssh_login import Login
from remote.ssh_options import login_options
from remote.threaded.errors import CONNECTING, threaded_error
from remote.threaded.library import paramiko
from remote.threaded.session import ThreadedSession, _Bridge
from remote.used_codes import UsedCodes
from tests.remote.hostility import hostile, until_gone
from tests.remote.servers import (
    Keys,
    MakeConnector,
    MakeKey,
    StartPractice,
    by_paramiko,
    free_port,
    known_key,
    serving,
    sshd_command,
)

HELLO = Question(id="hello", script="echo hello")
EXCEPTIONS = sorted(
    (
        value
        for value in vars(paramiko.ssh_exception).values()
        if inspect.isclass(value) and issubclass(value, Exception) and value.__module__.startswith("paramiko.")
    ),
    key=lambda kind: kind.__name__,
)


@pytest.fixture
def login(tmp_path: Path) -> Login:
    host = Host(name="db1", address="192.0.2.1")
    trust = Trust(host=host)
    return Login(host, Credential(name="web", user="anna"), trust, Breaker(), Codes(UsedCodes()))


@pytest.mark.parametrize("kind", EXCEPTIONS, ids=lambda kind: str(kind.__name__))
def test_every_exception_of_paramiko_has_a_row(kind: type[Exception]) -> None:
    assert any(issubclass(kind, row) for row, _ in CONNECTING) or issubclass(kind, OSError)


def test_the_table_goes_from_special_to_general() -> None:
    kinds = [kind for kind, _ in CONNECTING]
    assert [
        (later, earlier) for at, earlier in enumerate(kinds) for later in kinds[at + 1 :] if issubclass(later, earlier)
    ] == []


@pytest.mark.parametrize(
    ("error", "before", "after"),
    [
        (paramiko.AuthenticationException("no"), AuthenticationRefused, AuthenticationRefused),
        (paramiko.SSHException("Invalid packet"), ConnectFailed, ConnectionLost),
        (paramiko.ssh_exception.IncompatiblePeer("no acceptable ciphers"), ConnectFailed, ConnectionLost),
        (EOFError(), ConnectFailed, ConnectionLost),
        (Flooded(2**16), ConnectFailed, ConnectionLost),
        (ConnectionResetError(104, "x"), ConnectFailed, ConnectionLost),
    ],
    ids=lambda value: getattr(value, "__name__", type(value).__name__),
)
def test_what_an_exception_becomes_before_and_after_a_proof(
    login: Login, error: Exception, before: type[RemoteError], after: type[RemoteError]
) -> None:
    assert type(threaded_error(error, login)) is before
    login.tried.append("password")
    assert type(threaded_error(error, login)) is after


def test_a_fault_of_ours_is_not_dressed_up(login: Login) -> None:
    with pytest.raises(TypeError, match="not an error of connecting"):
        threaded_error(ZeroDivisionError(), login)


def test_paramiko_is_not_even_imported_for_other_hosts(repository: Path) -> None:
    program = "import remote.connect, remote.ssh, sys; assert 'paramiko' not in sys.modules"
    subprocess.run([sys.executable, "-c", program], cwd=repository, check=True)


class Offers:
    """A connection in the middle of a login."""

    def get_server_auth_methods(self) -> list[str]:
        return ["password"]


class Kept:
    """A connector that remembers its last session."""

    def __init__(self, connector: SshConnector) -> None:
        self._connector = connector

    @asynccontextmanager
    async def __call__(self, host: Host) -> AsyncIterator[Session]:
        async with self._connector(host) as self.session:
            yield self.session


class Slow:
    """A channel of which each piece takes its time to be sent."""

    def __init__(self) -> None:
        self.done: list[str] = []
        self.sending, self.sent, self.closed = threading.Event(), threading.Event(), threading.Event()

    def settimeout(self, seconds: float) -> None:
        pass

    def send(self, data: bytes) -> int:
        self.sending.set()
        assert self.sent.wait(20)
        self.done.append(f"sent {len(data)}")
        return len(data)

    def recv(self, size: int) -> bytes:
        assert size and self.closed.wait(20)
        return b""

    def close(self) -> None:
        self.done.append("closed")
        self.closed.set()


def test_a_channel_through_another_host_is_sent_nothing_after_its_end() -> None:
    """A server hangs up for that on everybody who goes through the connection."""
    ours, theirs = socket.socketpair()
    channel = Slow()
    bridge = _Bridge(theirs, channel)
    threads = [threading.Thread(target=carry) for carry in (bridge.up, bridge.down)]
    with ours:
        for thread in threads:
            thread.start()
        ours.sendall(b"x" * 100)
        assert channel.sending.wait(20)
        bridge.hang_up()
        assert channel.done == []
        channel.sent.set()
        for thread in threads:
            thread.join(20)
    assert (channel.done, theirs.fileno()) == (["sent 100", "closed"], -1)


async def hello(connect: SshConnector, host: Host) -> str:
    async with connect(host) as session:
        answer = (await session.ask([HELLO], deadline_s=60))["hello"]
        assert (answer.ended, answer.stdout) == (Ended.EXITED, b"hello\n"), answer
        return dict(session.facts.algorithms).get("library", "asyncssh")


@pytest.mark.server
@pytest.mark.parametrize(("inner", "outer"), [("paramiko", "asyncssh"), ("asyncssh", "paramiko")])
@pytest.mark.usefixtures("nothing_stays")
async def test_the_two_libraries_go_through_each_other(
    inner: str,
    outer: str,
    openssh_port: int,
    practice: StartPractice,
    connector: MakeConnector,
    reference: CredentialReference,
) -> None:
    gate = Host(name="gate", address="127.0.0.1", port=openssh_port, credential=reference)
    gate = replace(gate, ssh=SshSettings(library=SshLibrary(outer)))
    running = await practice()
    host = replace(running.host, via=gate, ssh=SshSettings(library=SshLibrary(inner)))
    connect = connector("gate", "node")
    said = await asyncio.gather(*(hello(connect, host) for _ in range(5)))
    assert {word.partition(" ")[0] for word in said} == {inner}
    dead = replace(host, port=free_port())
    with pytest.raises(JumpFailed, match=r"^via gate: (Connection refused|Connect failed)"):
        await hello(connect, dead)
    down = replace(host, via=replace(gate, name="gate2", port=free_port()))
    with pytest.raises(JumpFailed, match=r"^via gate2: no connection: Connection refused"):
        await hello(connector("gate2", "node"), down)


async def test_paramiko_goes_by_a_proxy(practice: StartPractice, connector: MakeConnector) -> None:
    running = await practice()

    async def socks(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(3)
        writer.write(b"\5\0")
        await reader.readexactly(10)
        writer.write(b"\5\0\0\1" + bytes(6))
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", running.host.port)
        await asyncio.gather(copy(reader, far_writer), copy(far_reader, writer))

    async with hostile(socks, running.host.credential) as proxy:  # type: ignore[arg-type]
        settings = SshSettings(
            proxy=Proxy(scheme="socks5", host="127.0.0.1", port=proxy.port or 0), library=SshLibrary.PARAMIKO
        )
        async with connector()(replace(running.host, ssh=settings)) as session:
            assert session.facts.proxy == f"socks5://127.0.0.1:{proxy.port}"
            assert (await session.ask([HELLO], deadline_s=60))["hello"].stdout == b"hello\n"


async def copy(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    while data := await source.read(65536):
        sink.write(data)
        await sink.drain()
    sink.close()


@pytest.mark.server
async def test_paramiko_takes_over_where_asyncssh_cannot_speak_and_the_report_says_why(
    tmp_path: Path,
    host_key: Keys,
    user_key: Keys,
    connector: MakeConnector,
    reference: CredentialReference,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A cipher that asyncssh is made to know no more stands for whatever it cannot speak."""
    port, command = sshd_command(tmp_path, host_key, user_key, Ciphers="aes192-ctr")
    host = Host(name="node", address="127.0.0.1", port=port, credential=reference)
    either = replace(host, ssh=SshSettings(library=SshLibrary.EITHER))
    with serving([*command, "-e"], b"Server listening", tmp_path / "log"):
        assert await hello(connector(), either) == "asyncssh"

        def without(user: str, **wishes: Any) -> asyncssh.SSHClientConnectionOptions:
            return asyncssh.SSHClientConnectionOptions(login_options(user, **wishes), encryption_algs=["aes128-ctr"])

        monkeypatch.setattr("remote.ssh.login_options", without)
        with pytest.raises(ConnectFailed, match="ciphers aes192-ctr"):
            await hello(connector(), host)
        library = await hello(connector(), either)
        assert library.startswith(f"paramiko {paramiko.__version__} (asyncssh: no connection: it offers nothing that is safe")


@pytest.mark.usefixtures("nothing_stays")
async def test_the_keys_of_a_host_are_seen_by_the_library_that_it_names(practice: StartPractice, make_key: MakeKey) -> None:
    keys = {kind: make_key(kind) for kind in ("ed25519", "ecdsa", "rsa")}
    running = await practice(keys=tuple(keys.values()))
    seen = await offered_keys(by_paramiko(running.host))
    assert {one.key for one in seen} == {known_key(key) for key in keys.values()} and running.seen.users == []
    with pytest.raises(ConnectFailed, match="Connection refused"):
        await offered_keys(replace(by_paramiko(running.host), port=free_port()))

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await until_gone(reader)

    async with hostile(silent, running.host.credential) as host:  # type: ignore[arg-type]
        with pytest.raises(DeadlineExceeded):
            await offered_keys(by_paramiko(host), deadline_s=0.5)


async def test_a_refusal_is_not_tried_again_by_the_other_library(practice: StartPractice, connector: MakeConnector) -> None:
    running = await practice(accepts="")
    with pytest.raises(AuthenticationRefused):
        await hello(connector(), replace(running.host, ssh=SshSettings(library=SshLibrary.EITHER)))
    assert len(running.seen.connections) == 1


@pytest.mark.usefixtures("nothing_stays")
async def test_what_paramiko_has_nothing_in_common_with_says_who_may(practice: StartPractice, connector: MakeConnector) -> None:
    running = await practice(encryption_algs=["chacha20-poly1305@openssh.com"])
    with pytest.raises(ConnectFailed, match="paramiko has nothing in common with what it offers: ciphers chacha20") as failed:
        await hello(connector(), by_paramiko(running.host))
    assert str(failed.value.hint).endswith("ssh_library: asyncssh") and running.seen.users == []


@pytest.mark.usefixtures("nothing_stays")
async def test_many_sessions_have_threads_within_bounds_and_leave_none(
    practice: StartPractice, connector: MakeConnector
) -> None:
    running = await practice()
    names = [f"node{number}" for number in range(48)]
    connect = connector(*names)
    hosts = [by_paramiko(replace(running.host, name=name)) for name in names]
    assert len(await asyncio.gather(*(hello(connect, host) for host in hosts))) == 48


async def test_a_host_passes_a_stage_once_for_each_proof(login: Login) -> None:
    login.connection = Offers()  # type: ignore[assignment]  # all that is asked of it
    assert await login.password_auth_requested() is None
    login.tried.append("key web")
    for _ in range(1000):
        login.stage_passed()
    assert login.tried == ["key web (accepted, but more is wanted)"]


async def test_threads_of_commands_that_are_over_are_not_kept(practice: StartPractice, connector: MakeConnector) -> None:
    running = await practice()
    async with connector()(by_paramiko(running.host)) as session:
        assert isinstance(session, ThreadedSession)
        for _ in range(12):
            await session.ask([HELLO], deadline_s=60)
        assert len(session._line._threads) < 6


async def test_a_session_that_was_cut_says_so_at_once(practice: StartPractice, connector: MakeConnector) -> None:
    running = await practice()
    async with connector()(by_paramiko(running.host)) as session, asyncio.timeout(60):
        assert isinstance(session, ThreadedSession)
        session._line.abort()
        answer = (await session.ask([HELLO], deadline_s=3600))["hello"]
    assert (answer.ended, answer.exit_status) == (Ended.NOT_RUN, None)


@pytest.mark.server
async def test_gates_take_no_places_from_the_hosts_behind_them(
    openssh_port: int,
    practice: StartPractice,
    connector: MakeConnector,
    reference: CredentialReference,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("remote.ssh._MOST_LINES", 2)
    running = await practice()
    names = [f"gate{number}" for number in range(3)]
    gates = [Host(name=name, address="127.0.0.1", port=openssh_port, credential=reference) for name in names]
    hosts = [by_paramiko(replace(running.host, via=gate)) for gate in gates]
    connect = connector("node", *names)
    async with asyncio.timeout(60):
        assert len(await asyncio.gather(*(hello(connect, host) for host in hosts))) == 3


async def test_connections_that_drop_together_do_not_wait_for_each_others_places(
    practice: StartPractice, connector: MakeConnector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("remote.ssh._MOST_LINES", 1)
    running = await practice()
    connect = Kept(connector())
    async with asyncio.timeout(60), LastingConnect(connect)(by_paramiko(running.host)) as session:
        assert isinstance(connect.session, ThreadedSession)
        connect.session._line.transport.close()
        answer = (await session.ask([HELLO], deadline_s=50))["hello"]
    assert (answer.ended, answer.stdout) == (Ended.EXITED, b"hello\n")


async def test_a_host_that_waits_for_a_place_has_its_clock_stopped(
    practice: StartPractice, connector: MakeConnector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("remote.ssh._MOST_LINES", 1)
    running = await practice()
    connect, host = connector(), by_paramiko(running.host)
    async with asyncio.timeout(60) as limit:
        kept = PATIENCE.set(Patience(limit))
        async with connect(host):
            second = asyncio.ensure_future(hello(connect, host))
            while limit.when() is not None:  # noqa: ASYNC110 (a clock that stops is no event)
                await asyncio.sleep(0.01)
        await second
        assert limit.when() is not None, "it goes on once there is a place"
        PATIENCE.reset(kept)


async def test_neither_files_nor_agents_of_the_user_are_looked_for(
    practice: StartPractice, connector: MakeConnector, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, user_key: Keys
) -> None:
    """An agent that nobody named is not even connected to, and keys in ~/.ssh stay there."""
    asked = asyncio.Event()

    async def agent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.set()
        await until_gone(reader)

    (tmp_path / ".ssh").mkdir()
    (tmp_path / ".ssh" / "id_ed25519").write_bytes(user_key.path.read_bytes())
    monkeypatch.setenv("HOME", str(tmp_path))
    listening = socket.create_server(path := str(tmp_path / "agent"), family=socket.AF_UNIX)
    monkeypatch.setenv("SSH_AUTH_SOCK", path)
    running = await practice()
    async with accepting(listening, agent), connector()(by_paramiko(running.host)) as session:
        assert isinstance(session, ThreadedSession)
    assert not asked.is_set()
    assert len(set(running.seen.keys)) == 1
