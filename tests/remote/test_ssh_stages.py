"""Hosts that hang, babble or flood at each stage of a session (T26): over in time, and nothing of it stays behind."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import socket
import struct
import time
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path
from typing import Any, TypeAlias

import pytest

from inventory.host import CredentialReference, Host, SecretReference
from remote.accepting import accepting
from remote.answer import Ended
from remote.command import Command
from remote.detached import START, DetachedCommand, State
from remote.enrol import offered_keys
from remote.errors import AuthenticationRefused, ConnectFailed, ConnectionLost, DeadlineExceeded, RemoteError
from remote.files import Destination
from remote.question import Question
from remote.session import Session
from remote.ssh import SshConnector
from remote.ssh_library import asyncssh
from remote.terminal import Screen
from tests.conftest import SOAK
from tests.remote.hostility import (
    ENOUGH_S,
    GOOD,
    STILL_S,
    Challenger,
    Endless,
    Forwarder,
    Greedy,
    KbdIntChallenge,
    Stage,
    hostile,
    over_by,
    packet,
    until_gone,
)
from tests.remote.reaching import Reach
from tests.remote.servers import Keys, MakeConnector, PracticeServer, Process, StartPractice, behind, run_a_shell

pytestmark = pytest.mark.usefixtures("nothing_stays")
CONNECT_S, ASK_S = 0.7, 1.0
SWEEP_CONNECT_S = 2.5
STEPS, AT_ONCE, SLICE = (360 if SOAK else 24), 12, 6
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


@pytest.mark.parametrize("of_the_loop", [False, True])
async def test_a_loop_that_is_blocked_is_not_taken_for_one_that_is_in_time(of_the_loop: bool) -> None:
    """Blocked as a whole there is no tick to count: that is what the longest gap is for."""
    with pytest.raises(AssertionError, match="blocked") if of_the_loop else contextlib.nullcontext():
        async with over_by(CONNECT_S):
            await asyncio.sleep(0)
            time.sleep(STILL_S + 0.5) if of_the_loop else await asyncio.sleep(STILL_S + 0.5)  # noqa: ASYNC251 (what is tested)


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


class NeverAsks(Challenger):
    async def get_kbdint_challenge(  # type: ignore[override]
        self, username: str, lang: str, submethods: str
    ) -> KbdIntChallenge:
        await self.seen.over.wait()
        return False


class NeverJudges(Challenger):
    async def validate_kbdint_response(self, username: str, responses: Sequence[str]) -> KbdIntChallenge:  # type: ignore[override]
        await self.seen.over.wait()
        return True


@pytest.mark.parametrize(
    ("server", "ends"),
    [
        (Endless, AuthenticationRefused),
        (Greedy, AuthenticationRefused),
        (NeverAsks, DeadlineExceeded),
        (NeverJudges, DeadlineExceeded),
    ],
)
async def test_questions_at_a_login_without_end_or_answer_end_in_time(
    server: type[PracticeServer],
    ends: type[RemoteError],
    practice: StartPractice,
    connector: MakeConnector,
    reference: CredentialReference,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("GOOD_PASSWORD", GOOD)
    password = replace(reference, key=None, password=SecretReference(kind="env", value="GOOD_PASSWORD"))
    running = await practice(accepts="", server=server, credential=password)
    deadline_s = CONNECT_S if ends is DeadlineExceeded else ENOUGH_S
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
        if knows_a_key:
            await reader.read(5)
            writer.write(struct.pack(">I", len(keys)) + keys)
        await until_gone(reader)

    listening = socket.create_server(path := str(tmp_path / "agent"), family=socket.AF_UNIX)
    monkeypatch.setenv("SSH_AUTH_SOCK", path)
    running = await practice(credential=CredentialReference(name="agent", user="anna", agent=True))
    async with accepting(listening, agent), over_by(CONNECT_S):
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


async def closes_without_status(process: asyncssh.SSHServerProcess[bytes]) -> None:
    process.stdout.write(b"some words of no frame\n")
    process.close()


async def says_success_and_nothing_else(process: asyncssh.SSHServerProcess[bytes]) -> None:
    process.exit(0)


async def cuts_the_connection(process: asyncssh.SSHServerProcess[bytes]) -> None:
    process.channel.get_connection().abort()


HANG = [is_silent, takes_nothing, drips, ends_its_streams_and_stays]
END = [closes_without_status, says_success_and_nothing_else, cuts_the_connection]


@pytest.mark.fabric_too
@pytest.mark.parametrize("process", [*HANG, *END])
async def test_a_command_that_hangs_or_ends_without_an_answer_ends_in_time(
    process: Process, practice: StartPractice, connector: MakeConnector
) -> None:
    running = await practice(process=process)
    long = Question(id="long", script="true " + "x" * 500_000)  # more than any window takes
    async with over_by(ASK_S), connector()(running.host) as session:
        answers = await session.ask([ECHO, long], deadline_s=ASK_S)
    assert {answer.ended for answer in answers.values()} <= (
        {Ended.NOT_RUN} if process in HANG else {Ended.NOT_RUN, Ended.LOST}
    )
    assert {answer.exit_status for answer in answers.values()} == {None}


@pytest.mark.fabric_too
async def test_leaving_a_host_that_does_not_let_go_ends_in_time(practice: StartPractice, connector: MakeConnector) -> None:
    """Nothing of a close gets through, neither ours nor the host's."""
    running = await practice()
    async with contextlib.AsyncExitStack() as leaving:
        wire = await leaving.enter_async_context(Forwarder(running.host.port or 22))
        opened = connector()(replace(running.host, port=wire.address))
        session = await opened.__aenter__()
        leaving.push_async_exit(opened)
        assert (await session.ask([ECHO], deadline_s=ENOUGH_S))["echo"].stdout == b"here\n"
        wire.frozen.set()
        async with over_by(0):
            await leaving.aclose()


@dataclass(frozen=True, slots=True)
class Trial:
    """One session over one wire: what it does leaves its effects in a folder of its own."""

    folder: Path
    deadline_s: float

    @classmethod
    def in_new(cls, folder: Path, deadline_s: float) -> Trial:
        folder.mkdir()
        return cls(folder, deadline_s)

    @property
    def log(self) -> Path:
        """Return the file that a command adds a line to each time it runs."""
        return self.folder / "log"

    def command(self) -> Command:
        return Command(script='echo ran >>"$log"; echo here', variables={"log": str(self.log)})

    def is_sound(self, ended: str) -> None:
        """Assert that nothing ran twice, that no file is there in part, and that what is said to be done is done."""
        ran = self.log.read_text().splitlines() if self.log.exists() else []
        assert len(ran) <= 1
        for name in ("put", "got"):
            if (file := self.folder / name).exists():
                assert file.read_bytes() == FILE, "whole or not at all"
        if ended == "exited":
            assert ran == ["ran"] or [one.name for one in self.folder.iterdir()] in (["put"], ["got"])


async def asks(session: Session, trial: Trial) -> str:
    trial.log.write_text("ran\n")
    return str((await session.ask([ECHO], deadline_s=trial.deadline_s))["echo"].ended)


async def runs(session: Session, trial: Trial) -> str:
    result = await session.run(trial.command(), deadline_s=trial.deadline_s)
    assert result.succeeded == (result.ended is Ended.EXITED) and (not result.succeeded or result.stdout == b"here\n")
    return str(result.ended)


async def puts(session: Session, trial: Trial) -> str:
    await session.put(FILE, Destination(path=str(trial.folder / "put")), deadline_s=trial.deadline_s)
    return "exited"


async def gets(session: Session, trial: Trial) -> str:
    await session.get(str(trial.folder.parent / "file"), trial.folder / "got", max_bytes=len(FILE), deadline_s=trial.deadline_s)
    return "exited"


async def starts_and_collects(session: Session, trial: Trial) -> str:
    detached = DetachedCommand(id=f"wire-{trial.folder.name}", token=1, command=trial.command())
    standing = await session.start(detached, wait_s=0, deadline_s=trial.deadline_s)
    for _ in range(20):
        if standing.state is not State.RUNNING or session.dropped:
            break
        standing = await session.collect(detached.id, START, wait_s=1, deadline_s=trial.deadline_s)
    return "exited" if standing.succeeded else str(standing.state)


async def has_a_terminal(session: Session, trial: Trial) -> str:
    """A person has no deadline: what is tested is that it opens in time, and that leaving it does not take long."""
    terminal = await session.terminal(Screen(kind="dumb", columns=80, rows=24), deadline_s=trial.deadline_s)
    try:
        terminal.write(f"echo ran >>{trial.log}; echo here; exit\n".encode())
        async with asyncio.timeout(trial.deadline_s):
            while await terminal.read():
                pass
        return "exited" if trial.log.exists() else "lost"
    except TimeoutError:
        return "lost"
    finally:
        terminal.close()


async def has_a_function(session: Session, trial: Trial) -> str:
    """What a function of L3 does by fabric: it ends as it should, or fails with a word of ours."""

    def function(connection: Any) -> str:
        connection.put(BytesIO(FILE), f"{trial.folder}/put")
        connection.get(f"{trial.folder.parent}/file", str(trial.folder / "got"))
        try:
            return "exited" if connection.run(f"echo ran >>{trial.log}; echo here").stdout == "here\n" else "wrong"
        except Unfinished as error:
            return str(error.result.ended)

    from remote.fabric_connection import Unfinished, with_fabric

    return await with_fabric(session, function, deadline_s=trial.deadline_s)


SessionWork: TypeAlias = "Callable[[Session, Trial], Coroutine[None, None, str]]"
FILE = random.Random(3).randbytes(20_000)
NOTHING_SAID = {"DeadlineExceeded", "ConnectionLost", "not_run", "lost", "exited"}
ENDS: dict[SessionWork, set[str]] = {
    asks: NOTHING_SAID - {"ConnectionLost"},
    runs: NOTHING_SAID,
    puts: NOTHING_SAID | {"TransferFailed"},
    gets: NOTHING_SAID | {"TransferFailed"},
    starts_and_collects: NOTHING_SAID | {"unanswered", "running"},
    has_a_terminal: NOTHING_SAID | {"NoTerminal"},
    has_a_function: NOTHING_SAID | {"TransferFailed"},
}
"""What a session does, with the ways in which it may end."""


async def how_it_ended(connect: SshConnector, host: Host, work: SessionWork, folder: Path, deadline_s: float = ASK_S) -> str:
    """Return how one whole session ended: the kind of the error, or what its work says."""
    trial = Trial.in_new(folder, deadline_s)
    async with over_by(SWEEP_CONNECT_S + deadline_s * (1 + (work in (starts_and_collects, has_a_terminal)))):
        try:
            async with connect(host) as session:
                ended = await work(session, trial)
        except RemoteError as error:
            ended = type(error).__name__
    trial.is_sound(ended)
    return ended


def with_places(folder: Path) -> Process:
    """Return what runs a client's command where the places of detached commands are folders of the test's."""
    mounts = ["mount --make-rprivate /"]
    for name, place in (("lib", "/var/lib"), ("root", "/root"), ("run", "/run")):
        (folder / name).mkdir(parents=True)
        mounts.append(f"mount --bind {folder / name} {place}")
    return behind("unshare", "-m", "/bin/sh", "-c", f'{"; ".join(mounts)}; exec /bin/sh "$@"', "sh")


def frozen_points(direction: str, work: SessionWork, logged_in: int, whole: int) -> list[int]:
    """Return after how many bytes wires freeze: all through the session, or a few moments of what follows the login."""
    if SOAK or work is asks:
        # no two sessions are of the same length: their packets are padded at random, so the last wire has room for any
        return [*(whole * at // (STEPS - 1) for at in range(STEPS - 1)), whole + 1024]
    chance = random.Random(f"{direction} {work.__name__}")
    return sorted(chance.sample(range(logged_in, whole), SLICE))


SWEEPS = [(direction, work) for work in ENDS for direction in ("freeze_down", "freeze_up")]


@pytest.mark.parametrize(
    ("direction", "work"),
    SWEEPS,
    ids=[direction if work is asks else f"{direction}-{work.__name__}" for direction, work in SWEEPS],
)
async def test_a_wire_that_freezes_at_any_byte(
    direction: str, work: SessionWork, practice: StartPractice, connector: MakeConnector, tmp_path: Path
) -> None:
    """From the first byte to the last and in both directions, so that no stage is left out for want of an idea."""
    if work is starts_and_collects and os.geteuid() != 0:
        pytest.skip("needs root for a mount namespace with places of its own")

    async def server(name: str) -> Host:
        """Each session that starts something has a host of its own: one thing runs there at a time."""
        process = with_places(tmp_path / f"places-{name}") if work is starts_and_collects else run_a_shell
        return (await practice(process=process)).host

    (tmp_path / "file").write_bytes(FILE)
    host, connect = await server("whole"), connector(connect_deadline_s=SWEEP_CONNECT_S)
    async with Forwarder(host.port or 22) as wire:
        passed = wire.down if direction == "freeze_down" else wire.up
        async with connect(replace(host, port=wire.address)):
            logged_in = len(passed)
    async with Forwarder(host.port or 22) as wire:
        placed = replace(host, port=wire.address)
        assert await how_it_ended(connect, placed, work, tmp_path / "whole", ENOUGH_S) == "exited"
    points = frozen_points(direction, work, logged_in, len(wire.down if direction == "freeze_down" else wire.up))
    ends = set()
    for first in range(0, len(points), AT_ONCE):
        async with contextlib.AsyncExitStack() as wires:
            sessions = []
            for number, point in enumerate(points[first : first + AT_ONCE], first):
                at = await server(str(number)) if work is starts_and_collects else host
                wire = await wires.enter_async_context(Forwarder(at.port or 22, **{direction: point}))
                placed = replace(at, port=wire.address)
                sessions.append(how_it_ended(connect, placed, work, tmp_path / f"session-{number}"))
            ends |= set(await asyncio.gather(*sessions))
    if work is asks:
        assert ends >= {"DeadlineExceeded", "not_run", "exited"}, "each part of a session was frozen"
    assert ends - {"exited"}, "the wires did freeze"
    assert ends <= ENDS[work]
