"""Hosts that hang, babble or flood at each stage of a session (T26): over in time, and nothing of it stays behind."""

from __future__ import annotations

import asyncio
import contextlib
import random
import socket
import struct
from collections.abc import Callable, Coroutine
from dataclasses import replace
from pathlib import Path
from typing import TypeAlias

import pytest

from inventory.host import CredentialReference, Host
from remote.answer import Ended
from remote.enrol import offered_keys
from remote.errors import ConnectFailed, ConnectionLost, DeadlineExceeded, RemoteError
from remote.question import Question
from remote.ssh import SshConnector
from remote.ssh_library import asyncssh
from tests.conftest import SOAK
from tests.remote.hostility import ENOUGH_S, Forwarder, Stage, hostile, over_by, packet, until_gone
from tests.remote.reaching import Reach
from tests.remote.servers import Keys, MakeConnector, PracticeServer, StartPractice

pytestmark = pytest.mark.usefixtures("nothing_stays")
CONNECT_S, ASK_S = 0.7, 1.0
SWEEP_CONNECT_S = 2.5
STEPS, AT_ONCE = (360 if SOAK else 24), 12
ECHO = Question(id="echo", script="echo here")
Operation: TypeAlias = "Callable[[SshConnector, Host, float], Coroutine[None, None, object]]"


async def log_in(connect: SshConnector, host: Host, _: float = CONNECT_S) -> None:
    async with connect(host):
        pass


async def enrol(connect: SshConnector, host: Host, deadline_s: float) -> None:
    async with connect.way_to(host) as way:
        await offered_keys(host, deadline_s=deadline_s, way=way)


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


async def drip_lines_before_the_version(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while True:
        writer.write(b"welcome\r\n")
        await writer.drain()
        await asyncio.sleep(0.05)


async def key_exchange_begun_and_left(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"SSH-2.0-longarm_test\r\n" + packet(20, bytes(16) + name_lists(random.Random(1))))
    await until_gone(reader)


def name_lists(random_: random.Random) -> bytes:
    """Return the rest of a KEXINIT that agrees with us, so that the exchange itself begins."""
    kex = random_.choice([b"ecdh-sha2-nistp384", b"ecdh-sha2-nistp256", b"mlkem768x25519-sha256"])
    names = [kex, b"ssh-ed25519", *[b"aes128-gcm@openssh.com"] * 2, *[b"hmac-sha2-256"] * 2, *[b"none"] * 2, b"", b""]
    return b"".join(len(name).to_bytes(4, "big") + name for name in names) + bytes(5)


SILENT = {
    accept_and_say_nothing,
    drip_a_version,
    drip_lines_before_the_version,
    version_only,
    key_exchange_begun_and_left,
}


@pytest.mark.parametrize("operation", [log_in, enrol])
@pytest.mark.parametrize(
    "stage",
    [
        accept_and_say_nothing,
        drip_a_version,
        drip_lines_before_the_version,
        key_exchange_begun_and_left,
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
    stage: Stage, operation: Operation, connector: MakeConnector, reference: CredentialReference
) -> None:
    ends, deadline_s = (DeadlineExceeded, CONNECT_S) if stage in SILENT else (ConnectFailed, ENOUGH_S)
    async with hostile(stage, reference) as host, over_by(CONNECT_S):
        with pytest.raises(ends):
            await operation(connector(connect_deadline_s=deadline_s), host, deadline_s)


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

    async with hostile(babble, reference) as host:
        connect = connector(connect_deadline_s=CONNECT_S)
        while garbage:
            async with over_by(CONNECT_S):
                with pytest.raises(RemoteError) as ended:
                    await log_in(connect, host)
            ends.add(ended.type)
    assert ends <= {ConnectFailed, DeadlineExceeded}


async def test_a_dropped_syn_is_a_host_that_cannot_be_reached(connector: MakeConnector, reference: CredentialReference) -> None:
    with socket.socket() as full, contextlib.ExitStack() as waiting:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        for _ in range(4):  # the queue takes one more than it says; from then on SYNs are dropped
            filler = waiting.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(full.getsockname())
        host = Host(name="node", address="127.0.0.1", port=full.getsockname()[1], credential=reference)
        async with over_by(CONNECT_S):
            with pytest.raises(ConnectFailed, match=r"no answer within 0\.7 s"):
                await log_in(connector(connect_deadline_s=CONNECT_S), host)


class HangsWithAKey(PracticeServer):
    async def validate_public_key(self, username: str, key: asyncssh.SSHKey) -> bool:  # type: ignore[override]
        await self.seen.over.wait()
        return True


class HangsBeforeAuth(PracticeServer):
    async def begin_auth(self, username: str) -> bool:  # type: ignore[override]
        await self.seen.over.wait()
        return True


class Banners(PracticeServer):
    """Greets without end while it should say whether it takes the key."""

    def connection_made(self, conn: asyncssh.SSHServerConnection) -> None:
        self.connection = conn

    async def validate_public_key(self, username: str, key: asyncssh.SSHKey) -> bool:  # type: ignore[override]
        while not self.connection.is_closed():
            self.connection.send_auth_banner("welcome " * 1000)
            await asyncio.sleep(0)
        return True


@pytest.mark.parametrize(
    ("server", "ends"), [(HangsWithAKey, DeadlineExceeded), (HangsBeforeAuth, DeadlineExceeded), (Banners, ConnectionLost)]
)
async def test_a_login_that_hangs_ends_in_time(
    server: type[PracticeServer], ends: type[RemoteError], practice: StartPractice, connector: MakeConnector
) -> None:
    running = await practice(server=server)
    deadline_s = CONNECT_S if ends is DeadlineExceeded else ENOUGH_S  # who is left early is so on a busy machine too
    async with over_by(CONNECT_S):
        with pytest.raises(ends):
            await log_in(connector(connect_deadline_s=deadline_s), running.host)


@pytest.mark.parametrize("knows_a_key", [False, True], ids=["says nothing", "never signs"])
async def test_an_agent_that_hangs_is_inside_the_deadline_too(
    knows_a_key: bool,
    practice: StartPractice,
    connector: MakeConnector,
    user_key: Keys,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    blob = asyncssh.import_public_key(user_key.public).public_data
    keys = struct.pack(">BII", 12, 1, len(blob)) + blob + struct.pack(">I", 0)  # SSH_AGENT_IDENTITIES_ANSWER

    async def agent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.closing(writer):
            if knows_a_key:
                await reader.read(5)
                writer.write(struct.pack(">I", len(keys)) + keys)
            await until_gone(reader)

    listening = await asyncio.start_unix_server(agent, path := str(tmp_path / "agent"))
    monkeypatch.setenv("SSH_AUTH_SOCK", path)
    running = await practice(credential=CredentialReference(name="agent", user="anna", agent=True))
    async with listening, over_by(CONNECT_S):
        with pytest.raises(DeadlineExceeded):
            await log_in(connector(connect_deadline_s=CONNECT_S), running.host)


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


@pytest.mark.fabric_too
@pytest.mark.parametrize("server", [NeverOpens, OpensButNeverStarts, RefusesExec, RefusesChannels])
async def test_a_command_that_never_starts_leaves_every_question_not_run(
    server: type[PracticeServer], practice: StartPractice, connector: MakeConnector, reach: Reach
) -> None:
    running = await practice(server=server, process=None)
    async with over_by(ASK_S), connector()(running.host) as session:
        answer = (await session.ask([ECHO], deadline_s=ASK_S))["echo"]
    assert (answer.ended, answer.exit_status) == (Ended.NOT_RUN, None)
    assert "did not start a command" in answer.why or (reach.fabric and answer.why == f"no end after {ASK_S:g} s")


async def is_silent(process: asyncssh.SSHServerProcess[bytes]) -> None:
    await process.stdin.read()


async def takes_nothing(process: asyncssh.SSHServerProcess[bytes]) -> None:
    await process.wait_closed()


async def drips(process: asyncssh.SSHServerProcess[bytes]) -> None:
    with contextlib.suppress(BrokenPipeError, ConnectionError):
        while not process.is_closing():
            process.stdout.write(b"x")
            await asyncio.sleep(0.2)


async def ends_its_streams_and_stays(process: asyncssh.SSHServerProcess[bytes]) -> None:
    process.stdout.write_eof()
    await process.wait_closed()


@pytest.mark.fabric_too
@pytest.mark.parametrize("process", [is_silent, takes_nothing, drips, ends_its_streams_and_stays])
async def test_a_command_that_hangs_ends_in_time(
    process: Callable[..., object], practice: StartPractice, connector: MakeConnector
) -> None:
    running = await practice(process=process)
    long = Question(id="long", script="true " + "x" * 500_000)  # more than any window takes
    async with over_by(ASK_S), connector()(running.host) as session:
        answers = await session.ask([ECHO, long], deadline_s=ASK_S)
    assert {answer.ended for answer in answers.values()} == {Ended.NOT_RUN}


async def how_it_ended(connect: SshConnector, host: Host) -> str:
    """Return how one whole session ended: the kind of the error, or how its one question ended."""
    async with over_by(SWEEP_CONNECT_S + ASK_S):
        try:
            async with connect(host) as session:
                return str((await session.ask([ECHO], deadline_s=ASK_S))["echo"].ended)
        except RemoteError as error:
            return type(error).__name__


@pytest.mark.parametrize("direction", ["freeze_down", "freeze_up"])
async def test_a_wire_that_freezes_at_any_byte(direction: str, practice: StartPractice, connector: MakeConnector) -> None:
    """From the first byte to the last and in both directions, so that no stage is left out for want of an idea."""
    running = await practice()
    port, connect = running.host.port or 22, connector(connect_deadline_s=SWEEP_CONNECT_S)
    async with Forwarder(port) as wire:
        assert await how_it_ended(connect, replace(running.host, port=wire.address)) == "exited"
    whole = len(wire.down if direction == "freeze_down" else wire.up)
    points = [whole * at // (STEPS - 1) for at in range(STEPS)]
    ends = set()
    for first in range(0, STEPS, AT_ONCE):
        async with contextlib.AsyncExitStack() as wires:
            hosts = []
            for point in points[first : first + AT_ONCE]:
                wire = await wires.enter_async_context(Forwarder(port, **{direction: point}))
                hosts.append(replace(running.host, port=wire.address))
            ends |= set(await asyncio.gather(*(how_it_ended(connect, host) for host in hosts)))
    assert ends >= {"DeadlineExceeded", "not_run", "exited"}, "each part of a session was frozen"
    assert ends <= {"DeadlineExceeded", "not_run", "lost", "exited"}
