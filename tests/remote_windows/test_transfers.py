"""Files to and from Windows that are cut off, go on, do not fit, or are not what they should be."""

from __future__ import annotations

import asyncio
import errno
import hashlib
import os
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import spnego

from inventory.host import SshLibrary, Transport
from inventory.secret import Secret
from remote.answer import Ended
from remote.command import Command
from remote.files import Destination, Part, Reason, TransferFailed
from remote.files.local_files import Sink
from remote.lab.windows.host import WindowsHost
from remote.lab.windows.mishaps import Mishaps
from remote.lab.windows.replies import Captured
from remote.lab.windows.shells import Limits
from remote.lab.windows.ssh import Shell
from remote.lab.windows.works import Works
from remote.session import Session
from remote.windows.negotiation import BadSeal, ByPassword
from remote.windows.sealing import content_type, opened, sealed
from tests.remote_windows.conftest import MakeConnector, enough_for, host_at, practice, ssh_session
from tests.remote_windows.played import ANSWERS, CASES, COMMANDS

pytestmark = pytest.mark.usefixtures("ntlm_accounts")
DATA = bytes(range(256)) * 4000  # a MiB: eleven messages
THERE = r"C:\Temp\big.bin"


@asynccontextmanager
async def connected(make: MakeConnector, host: WindowsHost, transport: Transport = Transport.WINRM) -> AsyncIterator[Session]:
    async with host.listening() as port, make()(host_at(port, transport=transport)) as session:
        yield session
    assert not host.service.shells.open


def practiced(mishaps: Mishaps | None = None, limits: Limits | None = None) -> tuple[WindowsHost, Works]:
    works = Works(COMMANDS)
    return practice(mishaps, limits, program=Captured(answers=ANSWERS, works=works)), works


async def test_a_put_that_is_cut_off_goes_on_where_it_was(connector: MakeConnector) -> None:
    host, works = practiced()
    async with connected(connector, host) as session:
        deadline_s = await enough_for(session)
        host.mishaps.hang.add(len(host.seen.messages) + 8)
        with pytest.raises(TransferFailed) as failed:
            await session.put(DATA, Destination(path=THERE), deadline_s=deadline_s)
        assert failed.value.reason is Reason.TIMED_OUT and failed.value.part is not None
        assert THERE not in works.files, "never half a file under its name"
        arrived = len(works.files[failed.value.part.name])
        assert 0 < arrived < len(DATA)
        seen: list[int] = []
        put = await session.put(
            DATA, Destination(path=THERE), deadline_s=20, resume=failed.value.part, progress=lambda at, _: seen.append(at)
        )
        assert put.resumed_at == arrived and seen[0] > arrived
        assert works.files == {THERE: DATA}


async def test_a_get_that_is_cut_off_goes_on_where_it_was(connector: MakeConnector, tmp_path: Path) -> None:
    host, works = practiced()
    works.files[THERE] = DATA
    async with connected(connector, host) as session:
        deadline_s = await enough_for(session)
        host.mishaps.hang.add(len(host.seen.messages) + 6)
        with pytest.raises(TransferFailed) as failed:
            await session.get(THERE, tmp_path / "mine", max_bytes=2**21, deadline_s=deadline_s)
        part = failed.value.part
        assert part is not None and 0 < Path(part.name).stat().st_size < len(DATA)  # noqa: ASYNC240
        host.mishaps.hang.add(len(host.seen.messages) + 1)
        with pytest.raises(TransferFailed) as again:
            await session.get(THERE, tmp_path / "mine", max_bytes=2**21, deadline_s=1.0, resume=part)
        assert again.value.part == part, "cut off before the host said a word of it: nothing of it is lost"
        got = await session.get(THERE, tmp_path / "mine", max_bytes=2**21, deadline_s=20, resume=part)
        assert got.resumed_at > 0 and (tmp_path / "mine").read_bytes() == DATA


@pytest.mark.parametrize("moment", ["open", "finish"])
async def test_a_get_that_is_cancelled_at_its_file_here_leaves_nothing_open(
    moment: str, connector: MakeConnector, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, go, works = threading.Event(), threading.Event(), getattr(Sink, moment)

    def slow(*given: object, **named: object) -> None:
        begun.set()
        go.wait(60)
        works(*given, **named)

    monkeypatch.setattr(Sink, moment, slow)
    host, practised = practiced()
    practised.files[THERE] = DATA
    async with connected(connector, host) as session:
        get = session.get(THERE, tmp_path / "mine", max_bytes=2**21, deadline_s=60)
        getting = asyncio.create_task(get)
        await asyncio.to_thread(begun.wait, 60)
        getting.cancel()
        done, _ = await asyncio.wait([getting], timeout=0.1)
        go.set()
        with pytest.raises(asyncio.CancelledError):
            await getting
    assert not done and not (tmp_path / ".mine.part").exists()
    still_open = [str(one.readlink()) for one in Path("/proc/self/fd").iterdir() if one.is_symlink()]  # noqa: ASYNC240
    assert not [path for path in still_open if str(tmp_path) in path]


async def test_what_had_arrived_stays_where_going_on_with_it_is_stopped_here(
    connector: MakeConnector, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object) -> None:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    host, practised = practiced()
    practised.files[THERE] = DATA
    part = tmp_path / ".mine.part"
    part.write_bytes(DATA[:1000])
    async with connected(connector, host) as session:
        monkeypatch.setattr(Sink, "finish", fails)
        with pytest.raises(OSError, match="Too many open files"):
            resume = Part(name=str(part), size_bytes=len(DATA))
            await session.get(THERE, tmp_path / "mine", max_bytes=2**21, deadline_s=60, resume=resume)
    assert part.read_bytes() == DATA, "what came meanwhile too"


@pytest.mark.parametrize("transport", [Transport.WINRM, Transport.PSRP])
@pytest.mark.parametrize("at", [3, 4, 5, 7])
async def test_a_get_of_which_an_answer_is_lost_is_gone_on_with(
    at: int, transport: Transport, connector: MakeConnector, tmp_path: Path
) -> None:
    """A host says each thing once: what was lost is in none of the answers that follow."""
    host, works = practiced(Mishaps(drop_after={at}))
    works.files[THERE] = DATA
    async with connected(connector, host, transport) as session:
        got = await session.get(THERE, tmp_path / "mine", max_bytes=2**21, deadline_s=60)
        assert got.digest == hashlib.sha256(DATA).hexdigest() and (tmp_path / "mine").read_bytes() == DATA


@pytest.mark.parametrize("transport", [Transport.WINRM, Transport.PSRP])
@pytest.mark.parametrize("kind", [RuntimeError, ValueError, OSError])
async def test_whoever_stops_a_put_leaves_nothing_behind(
    kind: type[Exception], transport: Transport, connector: MakeConnector
) -> None:
    host, works = practiced()

    def stop(arrived: int, whole: int) -> None:
        if arrived > whole // 2:
            raise kind("enough")

    async with connected(connector, host, transport) as session:
        with pytest.raises(kind, match="enough"):
            await session.put(DATA, Destination(path=THERE), deadline_s=20, progress=stop)
        assert works.files == {}


LIBRARIES = pytest.mark.parametrize("library", [SshLibrary.ASYNCSSH, SshLibrary.PARAMIKO])


@LIBRARIES
async def test_whoever_stops_a_put_by_ssh_does_not_wait_for_its_deadline(library: SshLibrary, tmp_path: Path) -> None:
    works = Works(COMMANDS)

    def stop(arrived: int, whole: int) -> None:
        if arrived > whole // 2:
            raise RuntimeError("enough")

    async with asyncio.timeout(60), ssh_session(Shell.BASH, library, tmp_path, works=works) as session:
        with pytest.raises(RuntimeError, match="enough"):
            await session.put(DATA, Destination(path=THERE), deadline_s=3600, progress=stop)
        assert THERE not in works.files
        assert (await session.run(Command(script="'out'"), deadline_s=60)).stdout == b"out\n"


@LIBRARIES
async def test_a_host_that_was_left_for_what_it_sent_is_not_connected_to_again(
    library: SshLibrary, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with ssh_session(Shell.BASH, library, tmp_path) as session:
        assert session.renewable
        monkeypatch.setattr("remote.windows.ssh._UNASKED", -(2**40))  # its first byte is too many
        answers = await session.ask(list(CASES), deadline_s=60)
        assert {answer.ended for answer in answers.values()} <= {Ended.LOST, Ended.NOT_RUN}
        assert session.dropped and not session.renewable


async def test_what_a_host_says_of_a_file_is_told_by_its_number(connector: MakeConnector, tmp_path: Path) -> None:
    host, works = practiced()
    told = {
        "failed 0x80070070 IOException": Reason.NO_SPACE,
        "failed 0x80070005 UnauthorizedAccessException": Reason.NO_PERMISSION,
        "failed 0x80070020 IOException": Reason.OTHER,
        "stopped no_folder": Reason.NO_FOLDER,
        "stopped differs": Reason.DIFFERS,
        "stopped whatever": Reason.OTHER,
        f"whole 5 {hashlib.sha256(b'other').hexdigest()}": Reason.DIFFERS,
        "whole five": Reason.LOST,
        "denied": Reason.DENIED,
    }
    async with connected(connector, host) as session:
        for line, reason in told.items():
            works.failing[THERE] = line
            with pytest.raises(TransferFailed) as put:
                await session.put(b"data", Destination(path=THERE), deadline_s=20)
            with pytest.raises(TransferFailed) as got:
                await session.get(THERE, tmp_path / "mine", max_bytes=100, deadline_s=20)
            assert put.value.reason is reason and got.value.reason in {reason, Reason.DIFFERS}
    assert not (tmp_path / "mine").exists()


@pytest.mark.parametrize(
    "lines",
    [
        ["size 10", "piece QUJDREVGR0hJSktMTU5P"],  # more than announced
        ["piece QUJD"],  # nothing announced
        ["size 99999999999"],
        ["size 3", "piece QUJD", f"whole 3 {hashlib.sha256(b'xyz').hexdigest()}"],
        ["size 3", "piece ****"],
    ],
)
async def test_a_host_that_lies_about_a_file_leaves_nothing_here(
    lines: list[str], connector: MakeConnector, tmp_path: Path
) -> None:
    host, works = practiced()
    works.failing[THERE] = "\n".join(lines)
    async with connected(connector, host) as session:
        with pytest.raises(TransferFailed):
            await session.get(THERE, tmp_path / "mine", max_bytes=1000, deadline_s=5)
    left = [path.name for path in tmp_path.iterdir() if "mine" in path.name]  # noqa: ASYNC240
    assert left in ([], [".mine.part"])


async def test_hosts_with_small_envelopes_are_given_pieces_that_fit(connector: MakeConnector, tmp_path: Path) -> None:
    host, works = practiced(limits=Limits(max_envelope_bytes=150 * 1024))
    async with connected(connector, host) as session:
        await session.put(DATA, Destination(path=THERE), deadline_s=20)
        assert works.files[THERE] == DATA
        long = Command(script="'out'", stdin=bytes(2**20))
        assert (await session.run(long, deadline_s=20)).succeeded
        answers = await session.ask(list(CASES), deadline_s=20)
        assert {answer.ended for answer in answers.values()} == {Ended.EXITED}


def test_credssp_seals_in_pieces_and_opens_nothing_else() -> None:
    """No host of the lab speaks it: pyspnego's own other half does."""
    client = ByPassword("credssp", "vagrant", Secret("Пароль of the lab"), "win1", None)
    server = spnego.server(protocol="credssp")
    token = client.step(None)
    while not (client.complete and server.complete):
        answer = server.step(token)
        token = client.step(answer) if answer else None
    message = bytes(range(256)) * 200
    assert "x-multi-encrypted" in content_type(client, len(message))
    body = sealed(client, message)
    pieces = body.split(b"--Encrypted Boundary\r\n\tContent-Type: application/octet-stream\r\n")[1:]
    plain = b""
    for piece in pieces:
        payload = piece.split(b"--Encrypted Boundary")[0]
        size = int.from_bytes(payload[:4], "little")
        plain += server.unwrap_winrm(payload[4 : 4 + size], payload[4 + size :])
    assert plain == message
    with pytest.raises(BadSeal):
        opened(client, content_type(client, 5), body[:-40])


async def test_two_sessions_do_not_share_a_seal(connector: MakeConnector) -> None:
    host, _ = practiced()
    async with host.listening() as port:
        connect = connector()
        async with connect(host_at(port)) as first, connect(host_at(port)) as second:
            both = await asyncio.gather(first.ask(list(CASES), deadline_s=20), second.ask(list(CASES), deadline_s=20))
    assert all(answer.ended is Ended.EXITED for answers in both for answer in answers.values())
