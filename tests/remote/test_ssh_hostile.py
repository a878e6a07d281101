"""Hosts that stall, babble or lie at every stage (T26): each ends in words, in time, and nothing of it stays behind."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import socket
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from inventory.host import CredentialReference, Host
from remote.answer import Ended
from remote.errors import ConnectFailed, DeadlineExceeded, RemoteError
from remote.question import Question
from remote.ssh_library import asyncssh
from tests.remote.servers import MakeConnector, PracticeServer, StartPractice, no_more_tasks

CONNECT_S = 0.7
ENOUGH_S = 30.0  # what only a hang reaches, on a machine that is doing much else
Stage = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
ECHO = Question(id="echo", script="echo here")


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def threads() -> set[str]:
    return {thread.name for thread in threading.enumerate() if not thread.name.startswith("asyncio_")}


@pytest.fixture(autouse=True)
def nothing_stays() -> Iterator[None]:
    """Compare open files and threads before and after everything a test started has ended."""
    before = open_files(), threads()
    yield
    assert (open_files(), threads()) == before


@contextlib.asynccontextmanager
async def hostile(stage: Stage, reference: CredentialReference) -> AsyncIterator[Host]:
    """Serve one stage of hostility on loopback; every connection is gone at the end."""
    handlers: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        handlers.add(asyncio.current_task())  # type: ignore[arg-type]  # always in a task
        try:
            await stage(reader, writer)
        except ConnectionError:
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield Host(name="node", address="127.0.0.1", port=server.sockets[0].getsockname()[1], credential=reference)
    finally:
        server.close()
        for handler in handlers:
            handler.cancel()
        await server.wait_closed()
        await no_more_tasks()


async def until_gone(reader: asyncio.StreamReader) -> None:
    """Read and ignore until the client has left."""
    while await reader.read(65536):
        pass


async def accept_and_say_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await until_gone(reader)


async def drip_a_version(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    for byte in b"SSH-2.0-" + b"x" * 200:
        writer.write(bytes([byte]))
        await writer.drain()
        await asyncio.sleep(0.05)
    await until_gone(reader)


async def flood_lines_before_the_version(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while True:
        writer.write(b"welcome\r\n" * 1000)
        await writer.drain()


async def one_endless_line(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while True:
        writer.write(b"x" * 10_000)
        await writer.drain()


async def version_only(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"SSH-2.0-longarm_test\r\n")
    await until_gone(reader)


async def version_of_the_past(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"SSH-1.5-old\r\n")
    await until_gone(reader)


async def version_not_ascii(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"SSH-2.0-\xff\xfe\xe9\r\n")
    await until_gone(reader)


async def another_protocol(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n")


async def close_at_once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    return


async def packet_of_gigabytes(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"SSH-2.0-longarm_test\r\n\xff\xff\xff\xff" + bytes(1000))
    await until_gone(reader)


async def flood_of_ignore(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"SSH-2.0-longarm_test\r\n")
    while True:
        writer.write(packet(2, bytes(4)) * 100)
        await writer.drain()


def packet(kind: int, payload: bytes) -> bytes:
    """Return an unencrypted SSH packet (RFC 4253 6)."""
    body = bytes([kind]) + payload
    padding = 8 - (len(body) + 5) % 8 + 4
    return (len(body) + 1 + padding).to_bytes(4, "big") + bytes([padding]) + body + bytes(padding)


SILENT = {accept_and_say_nothing, drip_a_version, version_only, flood_of_ignore}


@pytest.mark.parametrize(
    "stage",
    [
        accept_and_say_nothing,
        drip_a_version,
        flood_lines_before_the_version,
        one_endless_line,
        version_only,
        version_of_the_past,
        version_not_ascii,
        another_protocol,
        close_at_once,
        packet_of_gigabytes,
        flood_of_ignore,
    ],
    ids=lambda stage: str(stage.__name__),
)
async def test_a_host_that_is_no_ssh_server_ends_in_time(
    stage: Stage, connector: MakeConnector, reference: CredentialReference
) -> None:
    async with hostile(stage, reference) as host, asyncio.timeout(ENOUGH_S):
        with pytest.raises(DeadlineExceeded if stage in SILENT else ConnectFailed):
            async with connector(connect_deadline_s=CONNECT_S)(host):
                pass


async def test_garbage_in_the_key_exchange_is_a_failed_connection(
    connector: MakeConnector, reference: CredentialReference
) -> None:
    random_ = random.Random(7)
    garbage = [random_.randbytes(random_.randrange(300)) for _ in range(60)]
    ends: set[type[RemoteError]] = set()

    async def babble(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        data = garbage.pop()
        writer.write(b"SSH-2.0-longarm_test\r\n")
        writer.write(packet(20, data) if len(garbage) % 2 else packet(20, bytes(16) + name_lists(random_)) + packet(31, data))
        await until_gone(reader)

    async with hostile(babble, reference) as host, asyncio.timeout(4 * ENOUGH_S):
        connect = connector(connect_deadline_s=CONNECT_S)
        while garbage:
            with pytest.raises(RemoteError) as ended:
                async with connect(host):
                    pass
            ends.add(ended.type)
    assert ends <= {ConnectFailed, DeadlineExceeded}


def name_lists(random_: random.Random) -> bytes:
    """Return the rest of a KEXINIT that agrees with us, so that the exchange itself begins."""
    kex = random_.choice([b"curve25519-sha256", b"ecdh-sha2-nistp256", b"mlkem768x25519-sha256"])
    names = [kex, b"ssh-ed25519", *[b"aes128-gcm@openssh.com"] * 2, *[b"hmac-sha2-256"] * 2, *[b"none"] * 2, b"", b""]
    return b"".join(len(name).to_bytes(4, "big") + name for name in names) + bytes(5)


async def test_a_dropped_syn_is_a_host_that_cannot_be_reached(connector: MakeConnector, reference: CredentialReference) -> None:
    with socket.socket() as full, contextlib.ExitStack() as waiting:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        for _ in range(4):  # the queue takes one more than it says; from then on SYNs are dropped
            filler = waiting.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(full.getsockname())
        host = Host(name="node", address="127.0.0.1", port=full.getsockname()[1], credential=reference)
        async with asyncio.timeout(ENOUGH_S):
            with pytest.raises(ConnectFailed, match=r"no answer within 0\.7 s"):
                async with connector(connect_deadline_s=CONNECT_S)(host):
                    pass


async def test_nobody_listens(connector: MakeConnector, reference: CredentialReference, practice: StartPractice) -> None:
    running = await practice()
    running.server.close()
    await running.server.wait_closed()
    with pytest.raises(ConnectFailed, match="Connection refused"):
        async with connector()(running.host):
            pass


async def test_a_name_that_does_not_resolve(connector: MakeConnector, reference: CredentialReference) -> None:
    host = Host(name="node", address="no-such-host.invalid", credential=reference)
    with pytest.raises(ConnectFailed, match="the address is not known"):
        async with connector()(host):
            pass


class HangsInAuth(PracticeServer):
    async def validate_public_key(self, username: str, key: asyncssh.SSHKey) -> bool:  # type: ignore[override]
        await self.seen.over.wait()
        return True


async def test_a_login_that_hangs_ends_in_time(practice: StartPractice, connector: MakeConnector) -> None:
    running = await practice(server=HangsInAuth)
    async with asyncio.timeout(ENOUGH_S):
        with pytest.raises(DeadlineExceeded):
            async with connector(connect_deadline_s=CONNECT_S)(running.host):
                pass


class NeverOpens(PracticeServer):
    async def session_requested(self) -> bool:
        await self.seen.over.wait()
        return False


class NeverStarts(asyncssh.SSHServerSession[bytes]):
    def exec_requested(self, command: str) -> bool:
        return None  # type: ignore[return-value]  # neither yes nor no is ever sent


class OpensButNeverStarts(PracticeServer):
    def session_requested(self) -> asyncssh.SSHServerSession[bytes]:
        return NeverStarts()


class Refuses(asyncssh.SSHServerSession[bytes]):
    def exec_requested(self, command: str) -> bool:
        return False


class RefusesExec(PracticeServer):
    def session_requested(self) -> asyncssh.SSHServerSession[bytes]:
        return Refuses()


class RefusesChannels(PracticeServer):
    def session_requested(self) -> bool:
        return False


@pytest.mark.parametrize("server", [NeverOpens, OpensButNeverStarts, RefusesExec, RefusesChannels])
async def test_a_command_that_never_starts_leaves_every_question_not_run(
    server: type[PracticeServer], practice: StartPractice, connector: MakeConnector
) -> None:
    running = await practice(server=server, process=None)
    async with asyncio.timeout(ENOUGH_S), connector()(running.host) as session:
        answer = (await session.ask([ECHO], deadline_s=1.0))["echo"]
    assert (answer.ended, answer.exit_status) == (Ended.NOT_RUN, None)
    assert "did not start a command" in answer.why


async def closes_without_status(process: asyncssh.SSHServerProcess[bytes]) -> None:
    process.stdout.write(b"some words of no frame\n")
    process.close()


async def says_success_and_nothing_else(process: asyncssh.SSHServerProcess[bytes]) -> None:
    process.exit(0)


async def is_silent(process: asyncssh.SSHServerProcess[bytes]) -> None:
    await process.stdin.read()


async def cuts_the_connection(process: asyncssh.SSHServerProcess[bytes]) -> None:
    process.channel.get_connection().abort()


async def floods(process: asyncssh.SSHServerProcess[bytes]) -> None:
    with contextlib.suppress(BrokenPipeError, ConnectionError, asyncssh.Error):
        while not process.is_closing():
            process.stdout.write(bytes(65536))
            await process.stdout.drain()


@pytest.mark.parametrize(
    "process", [closes_without_status, says_success_and_nothing_else, is_silent, cuts_the_connection, floods]
)
async def test_a_host_that_does_not_answer_is_never_success(
    process: Callable[..., Awaitable[None]], practice: StartPractice, connector: MakeConnector
) -> None:
    running = await practice(process=process)
    async with asyncio.timeout(ENOUGH_S), connector()(running.host) as session:
        answer = (await session.ask([ECHO], deadline_s=2.0))["echo"]
    assert answer.ended in {Ended.NOT_RUN, Ended.LOST}
    assert answer.exit_status is None


class Forwarder:
    """A wire in between that can be cut or frozen."""

    def __init__(self, port: int) -> None:
        self.port, self.frozen, self.over, self.writers = port, asyncio.Event(), asyncio.Event(), list[asyncio.StreamWriter]()

    async def __aenter__(self) -> Forwarder:
        self._server = await asyncio.start_server(self._carry, "127.0.0.1", 0)
        self.address = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self.over.set()
        self._server.close()
        self.cut()
        await self._server.wait_closed()

    def cut(self) -> None:
        """Drop both ends, as a cable does that is pulled."""
        for writer in self.writers:
            writer.transport.abort()

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self.port)
        self.writers += [writer, far_writer]
        await asyncio.gather(self._copy(reader, far_writer), self._copy(far_reader, writer))

    async def _copy(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await source.read(65536):
                if self.frozen.is_set():
                    await self.over.wait()
                sink.write(data)
                await sink.drain()


async def signal_from(fifo: Path) -> None:
    """Wait until the host's script opens the pipe."""
    await asyncio.to_thread(fifo.read_bytes)


def three_questions(fifo: Path) -> list[Question]:
    return [
        Question(id="first", script="echo first"),
        Question(id="second", script=f"sleep 1; echo now >{fifo}; sleep 3600", deadline_s=3600),  # 1 s: the first one travels
        Question(id="third", script="echo third"),
    ]


async def cut_in_the_middle(connector: MakeConnector, host: Host, folder: Path) -> None:
    """Ask three questions, cut the wire while the second runs, and check what is left."""
    os.mkfifo(fifo := folder / "fifo")
    async with (
        asyncio.timeout(ENOUGH_S),
        Forwarder(host.port or 22) as wire,
        connector()(replace(host, port=wire.address)) as session,
    ):
        asking = asyncio.create_task(session.ask(three_questions(fifo), deadline_s=ENOUGH_S))
        await signal_from(fifo)
        wire.cut()
        answers = await asking
    assert (answers["first"].ended, answers["first"].stdout) == (Ended.EXITED, b"first\n")
    assert (answers["second"].ended, answers["second"].exit_status) == (Ended.LOST, None)
    assert (answers["third"].ended, answers["third"].exit_status) == (Ended.NOT_RUN, None)
    assert answers["second"].why
    assert answers["third"].why


async def test_a_cut_connection_keeps_the_complete_answers(
    practice: StartPractice, connector: MakeConnector, tmp_path: Path
) -> None:
    await cut_in_the_middle(connector, (await practice()).host, tmp_path)


@pytest.mark.server
async def test_a_cut_connection_to_openssh_keeps_the_complete_answers(
    openssh_port: int, connector: MakeConnector, reference: CredentialReference, tmp_path: Path
) -> None:
    host = Host(name="node", address="127.0.0.1", port=openssh_port, credential=reference)
    await cut_in_the_middle(connector, host, tmp_path)


async def test_leaving_a_host_that_does_not_let_go_is_quick(
    practice: StartPractice, connector: MakeConnector, reference: CredentialReference
) -> None:
    running = await practice()
    async with (
        asyncio.timeout(ENOUGH_S),
        Forwarder(running.host.port or 22) as wire,
        connector()(replace(running.host, port=wire.address)) as session,
    ):
        assert (await session.ask([ECHO], deadline_s=ENOUGH_S))["echo"].stdout == b"here\n"
        wire.frozen.set()


async def test_leaving_never_raises_when_the_connection_is_gone(practice: StartPractice, connector: MakeConnector) -> None:
    running = await practice()
    async with (
        asyncio.timeout(ENOUGH_S),
        Forwarder(running.host.port or 22) as wire,
        connector()(replace(running.host, port=wire.address)),
    ):
        wire.cut()


async def test_a_fault_of_the_callers_passes_through_and_the_connection_is_closed(
    practice: StartPractice, connector: MakeConnector
) -> None:
    running = await practice()
    with pytest.raises(ZeroDivisionError):
        async with connector()(running.host):
            raise ZeroDivisionError


async def test_a_run_that_is_cancelled_leaves_nothing(
    practice: StartPractice, connector: MakeConnector, tmp_path: Path
) -> None:
    os.mkfifo(fifo := tmp_path / "fifo")
    running = await practice()

    async def diagnose() -> None:
        async with connector()(running.host) as session:
            await session.ask(three_questions(fifo), deadline_s=ENOUGH_S)

    task = asyncio.create_task(diagnose())
    async with asyncio.timeout(ENOUGH_S):
        await signal_from(fifo)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
