"""Transfers on a bad day: full and read-only disks, connections cut, files that change, servers that lie or hang."""

from __future__ import annotations

import asyncio
import gc
import os
import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from inventory.host import CredentialReference, Host, SshLibrary
from remote.errors import DeadlineExceeded
from remote.files import Destination, Reason, TransferFailed
from remote.files.local_files import Sink
from remote.local import open_local
from remote.question import Privilege
from remote.session import Session
from remote.ssh_library import asyncssh
from remote.ssh_session import SshSession
from remote.threaded.session import ThreadedSession
from tests.remote.reaching import Reach
from tests.remote.servers import Keys, MakeConnector, StartPractice, serving, sshd_command
from tests.remote.shells import HERE


def cut(session: Session) -> None:
    """Let the connection go as a line does that is cut."""
    assert isinstance(session, SshSession | ThreadedSession)
    (session._line if isinstance(session, ThreadedSession) else session._connection).abort()


DEADLINE_S = 60.0
DATA = os.urandom(1_600_000)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture(scope="module")
def small_disks(tmp_path_factory: pytest.TempPathFactory, host_key: Keys, user_key: Keys) -> Iterator[tuple[int, Path]]:
    """Start an sshd that sees a disk of 1 MiB in `full`, one that cannot be written in `frozen`; return its port and the
    folder of both."""
    if os.geteuid() != 0:
        pytest.skip("mounts disks of its own: needs root")
    folder = tmp_path_factory.mktemp("disks")
    for name in ("full", "frozen"):
        (folder / name).mkdir()
    port, command = sshd_command(folder, host_key, user_key, Subsystem="sftp internal-sftp")
    mounts = 'mount -t tmpfs -o size=1m none "$1/full" && mount -t tmpfs -o ro none "$1/frozen" && shift && exec "$@"'
    with serving(["unshare", "-m", "sh", "-c", mounts, "sh", str(folder), *command, "-e"], b"Server listening", folder / "log"):
        yield port, folder


@pytest.mark.server
@pytest.mark.parametrize("privilege", [Privilege.USER, Privilege.ROOT])  # root's are carried by commands
async def test_a_full_disk_and_a_frozen_one_are_said_in_words(
    small_disks: tuple[int, Path], reference: CredentialReference, connector: MakeConnector, privilege: Privilege
) -> None:
    port, folder = small_disks
    async with connector()(Host(name="node", address="127.0.0.1", port=port, credential=reference)) as session:
        with pytest.raises(TransferFailed, match="no space is left on the host") as full:
            await session.put(DATA, Destination(path=f"{folder}/full/x", privilege=privilege), deadline_s=DEADLINE_S)
        with pytest.raises(TransferFailed, match="read-only") as frozen:
            await session.put(DATA, Destination(path=f"{folder}/frozen/x", privilege=privilege), deadline_s=DEADLINE_S)
        assert full.value.part is None, "what is full is not kept so"
        transfer = await session.put(b"small", Destination(path=f"{folder}/full/y", privilege=privilege), deadline_s=DEADLINE_S)
    assert (frozen.value.reason, transfer.size_bytes) == (Reason.READ_ONLY, 5)


class Cut(Exception):
    """What a caller's progress raises."""


@pytest.mark.server
@pytest.mark.parametrize("kind", ["openssh", "dropbear"])
async def test_a_put_that_lost_its_connection_goes_on_over_another(
    kind: str, request: pytest.FixtureRequest, reference: CredentialReference, connector: MakeConnector, tmp_path: Path
) -> None:
    host = Host(name="node", address="127.0.0.1", port=request.getfixturevalue(f"{kind}_port"), credential=reference)
    target, connect = Destination(path=str(tmp_path / "file")), connector()
    async with connect(host) as session:

        def progress(done: int, _: int) -> None:
            if done > 1_000_000:
                cut(session)

        with pytest.raises(TransferFailed) as lost:
            await session.put(DATA, target, deadline_s=DEADLINE_S, progress=progress)
    assert lost.value.reason is Reason.LOST and lost.value.part is not None
    assert not (tmp_path / "file").exists()
    async with connect(host) as session:
        transfer = await session.put(DATA, target, deadline_s=DEADLINE_S, resume=lost.value.part)
    assert transfer.resumed_at > 1_000_000
    assert Path(target.path).read_bytes() == DATA  # noqa: ASYNC240 (a test's own file)


@pytest.mark.server
async def test_a_get_that_lost_its_connection_goes_on_over_another(
    openssh_port: int, reference: CredentialReference, connector: MakeConnector, tmp_path: Path
) -> None:
    (tmp_path / "log").write_bytes(DATA)
    host, connect = Host(name="node", address="127.0.0.1", port=openssh_port, credential=reference), connector()
    async with connect(host) as session:
        with pytest.raises(TransferFailed) as lost:
            await session.get(
                str(tmp_path / "log"),
                tmp_path / "mine",
                max_bytes=10**7,
                deadline_s=DEADLINE_S,
                progress=lambda *_: cut(session),
            )
    async with connect(host) as session:
        transfer = await session.get(
            str(tmp_path / "log"), tmp_path / "mine", max_bytes=10**7, deadline_s=DEADLINE_S, resume=lost.value.part
        )
    assert transfer.resumed_at == 1024 * 1024
    assert (tmp_path / "mine").read_bytes() == DATA


async def test_a_caller_that_stops_a_put_leaves_nothing(tmp_path: Path) -> None:
    def stop(*_: int) -> None:
        raise Cut

    async with open_local(HERE) as session:
        with pytest.raises(Cut):
            await session.put(DATA, Destination(path=str(tmp_path / "file")), deadline_s=DEADLINE_S, progress=stop)
    assert names(tmp_path) == []


@pytest.mark.parametrize("moment", ["open", "add"])
async def test_a_get_that_is_cancelled_while_its_file_is_opened_or_written_leaves_nothing(
    moment: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A thread goes on: what it opened was open for ever, and what it wrote to was closed under it."""
    begun, go, works = threading.Event(), threading.Event(), getattr(Sink, moment)

    def slow(*given: object, **named: object) -> None:
        begun.set()
        go.wait(DEADLINE_S)
        works(*given, **named)

    monkeypatch.setattr(Sink, moment, slow)
    (tmp_path / "log").write_bytes(DATA)
    async with open_local(HERE) as session:
        get = session.get(str(tmp_path / "log"), tmp_path / "mine", max_bytes=10**7, deadline_s=DEADLINE_S)
        getting = asyncio.create_task(get)
        await asyncio.to_thread(begun.wait, DEADLINE_S)
        getting.cancel()
        done, _ = await asyncio.wait([getting], timeout=0.2)
        go.set()
        with pytest.raises(asyncio.CancelledError):
            await getting
    assert not done and names(tmp_path) == ["log"]
    opened = [str(one.readlink()) for one in Path("/proc/self/fd").iterdir() if one.is_symlink()]  # noqa: ASYNC240 (likewise)
    assert not [path for path in opened if str(tmp_path) in path]


@pytest.mark.parametrize(("change", "reason"), [("grow", None), ("shrink", Reason.SHRANK), ("edit", Reason.DIFFERS)])
async def test_a_file_that_changes_while_it_is_read(change: str, reason: Reason | None, tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_bytes(DATA)

    def changed(*_: int) -> None:
        with log.open("r+b") as file:
            match change:
                case "grow":
                    file.seek(0, os.SEEK_END)
                    file.write(b"more" * 1000)
                case "shrink":
                    file.truncate(1_200_000)
                case _:
                    file.write(bytes(100))

    async with open_local(HERE) as session:
        work = session.get(str(log), tmp_path / "mine", max_bytes=10**7, deadline_s=DEADLINE_S, progress=changed)
        if reason is None:
            assert (await work).size_bytes == len(DATA)
            assert (tmp_path / "mine").read_bytes() == DATA
        else:
            with pytest.raises(TransferFailed) as failed:
                await work
            assert failed.value.reason is reason
            assert names(tmp_path) == ["log"]


@pytest.fixture
def without_digests(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Give the host no program that makes a SHA-256."""
    folder = tmp_path_factory.mktemp("bin")
    for tool in (
        "sh",
        "cat",
        "dd",
        "head",
        "wc",
        "mkdir",
        "rmdir",
        "chmod",
        "sync",
        "mv",
        "rm",
        "ls",
        "id",
        "stat",
        "sleep",
        "printf",
    ):
        (folder / tool).symlink_to(shutil.which(tool) or "")
    monkeypatch.setenv("PATH", str(folder))


@pytest.mark.usefixtures("without_digests")
async def test_a_host_without_a_program_for_digests_is_read_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with open_local(HERE) as session:
        monkeypatch.setattr("remote.bundle.script.runner", _runner_without_sbin())
        put = await session.put(DATA, Destination(path=str(tmp_path / "file")), deadline_s=DEADLINE_S)
        got = await session.get(str(tmp_path / "file"), tmp_path / "mine", max_bytes=10**7, deadline_s=DEADLINE_S)
    assert (put.compared_by, got.compared_by) == ("reading back", "reading back")
    assert (tmp_path / "mine").read_bytes() == DATA


def _runner_without_sbin() -> Callable[[], str]:
    from remote.bundle.script import runner

    text = runner().replace(":/usr/local/sbin:/usr/sbin:/sbin", "")
    return lambda: text


# --- SFTP servers that are none ------------------------------------------------------------------------------------


class Lying(asyncssh.SFTPServer):
    """Gives more than it was asked for, and other bytes."""

    def read(self, file_obj: object, offset: int, size: int) -> bytes:
        return b"x" * (size + 10_000)


class Failing(asyncssh.SFTPServer):
    """Has one word for everything."""

    def read(self, file_obj: object, offset: int, size: int) -> bytes:
        raise asyncssh.SFTPFailure("Failure")

    def write(self, file_obj: object, offset: int, data: bytes) -> int:
        raise asyncssh.SFTPFailure("Failure")


class Hanging(asyncssh.SFTPServer):
    """Answers too late."""

    async def read(self, file_obj: object, offset: int, size: int) -> bytes:
        await asyncio.sleep(6)  # long after the deadline, and no longer: the test waits for the server's end
        return b""


async def got(session: Session, tmp_path: Path, deadline_s: float = DEADLINE_S) -> str:
    """Return why a file of the host did not come, or how it was carried: inside fabric nobody says that."""
    (tmp_path / "log").write_bytes(DATA)
    try:
        transfer = await session.get(str(tmp_path / "log"), tmp_path / "mine", max_bytes=10**7, deadline_s=deadline_s)
    except (TransferFailed, DeadlineExceeded) as failed:
        assert not (tmp_path / "mine").exists()
        return failed.reason if isinstance(failed, TransferFailed) else Reason.TIMED_OUT
    assert (tmp_path / "mine").read_bytes() == DATA
    return "" if transfer is None else transfer.carried_by


@pytest.mark.fabric_too
@pytest.mark.parametrize(
    ("server", "deadline_s", "comes_to"),
    [(Lying, DEADLINE_S, Reason.DIFFERS), (Failing, DEADLINE_S, "exec"), (Hanging, 3.0, Reason.TIMED_OUT)],
)
async def test_an_sftp_server_that_is_none(
    server: type[asyncssh.SFTPServer],
    deadline_s: float,
    comes_to: str,
    practice: StartPractice,
    connector: MakeConnector,
    reach: Reach,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    running = await practice(sftp_factory=server)
    async with connector()(running.host) as session:
        came_to = await got(session, tmp_path, deadline_s)
    carried = "" if reach.fabric else "exec"
    # by paramiko files are carried by commands, whatever the server's SFTP is
    assert came_to == (carried if comes_to == "exec" or reach.library is SshLibrary.PARAMIKO else comes_to)
    await asyncio.sleep(0.05)
    gc.collect()  # a task that ended with an error says so when it is collected
    assert "never retrieved" not in caplog.text


@pytest.mark.fabric_too
async def test_a_put_over_an_sftp_server_that_fails_goes_on_by_commands(
    practice: StartPractice, connector: MakeConnector, tmp_path: Path, reach: Reach
) -> None:
    running = await practice(sftp_factory=Failing)
    async with connector()(running.host) as session:
        transfer = await session.put(DATA, Destination(path=str(tmp_path / "file")), deadline_s=DEADLINE_S)
    assert reach.fabric or transfer.carried_by == "exec"
    assert (tmp_path / "file").read_bytes() == DATA
