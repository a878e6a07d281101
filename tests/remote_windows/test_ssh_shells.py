"""Windows by SSH with nothing of ours on the way: OpenSSH's sshd, and a real shell that reads our one command line."""

from __future__ import annotations

import asyncio
import getpass
import shlex
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from inventory.host import CredentialReference, Platform, SshLibrary, SshSettings, Transport
from remote.answer import Ended
from remote.breaker import Breaker
from remote.command import Command
from remote.credentials import CredentialStore
from remote.files import Destination
from remote.host_keys import HostKey
from remote.known_hosts import KnownHosts
from remote.lab.windows.replies import FROM_STDIN, Captured
from remote.lab.windows.ssh import Shell, WindowsShells
from remote.lab.windows.works import Works
from remote.lasting import LastingConnect
from remote.session import Session
from remote.ssh import SshConnector
from remote.ssh_library import asyncssh
from tests.remote.hostility import Forwarder
from tests.remote.servers import Keys, serving, sshd_command
from tests.remote_windows.conftest import host_at, ssh_session
from tests.remote_windows.played import ANSWERS, CAPPED, CASES, COMMANDS, RESULTS

pytestmark = [pytest.mark.server, pytest.mark.xdist_group("ssh_shells")]
DEADLINE_S = 60.0  # far above what any of this takes: only a hang reaches it
LIBRARIES = pytest.mark.parametrize("library", [SshLibrary.ASYNCSSH, SshLibrary.PARAMIKO])
BASH = pytest.mark.parametrize("sshd", ["bash"], indirect=True)
TRIED = [one for one in RESULTS if one.script in ("exit 3", "$stdin.Length") or "name" in one.variables]
"""Commands with a status of their own, input, and secrets behind the script; each is a process."""


@dataclass(frozen=True, slots=True)
class Sshd:
    """A real sshd, the folder of what stands for powershell.exe behind it, and the user's key."""

    port: int
    folder: Path
    host_key: HostKey
    user_key: Path

    @property
    def started(self) -> list[str]:
        return (self.folder / "started").read_text().splitlines()

    def goes_wrong(self, mishap: str) -> None:
        for name in ("taken", "waits", "started"):
            (self.folder / name).unlink(missing_ok=True)
        (self.folder / "mishap").write_text(mishap)

    @asynccontextmanager
    async def session(self, library: SshLibrary, folder: Path, port: int | None = None) -> AsyncIterator[Session]:
        """Yield a session that outlives its connection, as those of the desk do."""
        known = KnownHosts(folder / "known_hosts")
        known.add("win1", self.host_key)
        connect = LastingConnect(SshConnector(known_hosts=known, credentials=CredentialStore(), breaker=Breaker()))
        reference = CredentialReference(name="ops", user=getpass.getuser(), key=str(self.user_key))
        settings = SshSettings(library=library)
        host = host_at(
            port or self.port, transport=Transport.SSH, ssh=settings, credential=reference, platform=Platform.WINDOWS
        )
        async with connect(host) as session:
            yield session


def keys(folder: Path, name: str) -> tuple[Keys, HostKey]:
    key = asyncssh.generate_private_key("ssh-ed25519")
    path = folder / name
    path.touch(mode=0o600)
    key.write_private_key(path)
    return Keys(path=path, public=key.export_public_key().decode().strip()), HostKey.of(key.public_data)


@pytest.fixture(scope="module")
def sshd(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, repository: Path) -> Iterator[Sshd]:
    """Start sshd with a default shell as OpenSSH for Windows has one: it is given our command line behind `-c`."""
    folder = tmp_path_factory.mktemp("sshd")
    (host, host_key), (user, _) = keys(folder, "host"), keys(folder, "user")
    (home := folder / "windows").mkdir()
    program = home / "powershell.exe"
    words = shlex.join([sys.executable, "-m", "tests.remote_windows.stand_in", str(home)])
    program.write_text(f'#!/bin/sh\ncd {shlex.quote(str(repository))} && exec {words} "$@"\n')
    program.chmod(0o755)
    force = f'PATH={home}:$PATH exec {request.param} -c "$SSH_ORIGINAL_COMMAND"'
    port, command = sshd_command(folder, host, user, ForceCommand=force, PasswordAuthentication="no")
    with serving([*command, "-e"], b"Server listening", folder / "log"):
        yield Sshd(port, home, host_key, user.path)


@pytest.mark.parametrize(
    ("sshd", "library"),
    [("bash", SshLibrary.ASYNCSSH), ("bash", SshLibrary.PARAMIKO), ("dash", SshLibrary.ASYNCSSH)],
    indirect=["sshd"],
)
async def test_a_real_shell_reads_our_line_as_it_is_meant(sshd: Sshd, library: SshLibrary, tmp_path: Path) -> None:
    sshd.goes_wrong("cut 99999999")
    async with sshd.session(library, tmp_path) as session:
        answers = await session.ask([*CASES, CAPPED], deadline_s=DEADLINE_S)
        assert {one.id: answers[one.id] for one, wanted in CASES.items() if answers[one.id].stdout != wanted.stdout} == {}
        assert {answers[one.id].ended for one in CASES} == {Ended.EXITED} and answers[CAPPED.id].ended is Ended.CAPPED
        for command in TRIED:
            result, wanted = await session.run(command, deadline_s=DEADLINE_S), RESULTS[command]
            assert (result.ended, result.exit_status) == (wanted.ended, wanted.exit_status), command.script
            assert (result.stdout, result.stderr) == (wanted.stdout, wanted.stderr), command.script
        await session.put(data := bytes(range(256)) * 600, Destination(path=r"C:\Temp\a file"), deadline_s=DEADLINE_S)
        await session.get("C:/Temp/a file", tmp_path / "mine", max_bytes=10**6, deadline_s=DEADLINE_S)
        assert (tmp_path / "mine").read_bytes() == data
    assert set(sshd.started) == {FROM_STDIN} and len(sshd.started) == len(TRIED) + 3


@BASH
@LIBRARIES
async def test_what_is_cut_short_is_lost_though_the_status_is_well(sshd: Sshd, library: SshLibrary, tmp_path: Path) -> None:
    async with sshd.session(library, tmp_path) as session:
        sshd.goes_wrong("cut 800")
        answers = await session.ask(list(CASES), deadline_s=DEADLINE_S)
        assert {one.ended for one in answers.values()} == {Ended.EXITED, Ended.LOST}
        assert all(answers[one.id].stdout == wanted.stdout for one, wanted in CASES.items() if answers[one.id].stdout)
        sshd.goes_wrong("cut 90")
        result = await session.run(Command(script="'out'"), deadline_s=DEADLINE_S)
        assert (result.ended, result.exit_status) == (Ended.LOST, None) and len(sshd.started) == 1


@BASH
@LIBRARIES
async def test_a_connection_that_drops_in_the_middle(sshd: Sshd, library: SshLibrary, tmp_path: Path) -> None:
    """What only reads is asked again over another one; a command is not, and nobody knows how it ended."""
    async with Forwarder(sshd.port) as wire, sshd.session(library, tmp_path, wire.address) as session:

        async def drops() -> None:
            while not (sshd.folder / "waits").exists():  # noqa: ASYNC110 (another process makes it)
                await asyncio.sleep(0.02)
            wire.reset()

        sshd.goes_wrong("wait 800")
        answers, _ = await asyncio.gather(session.ask(list(CASES), deadline_s=DEADLINE_S), drops())
        assert {one.id: answers[one.id] for one, wanted in CASES.items() if answers[one.id].stdout != wanted.stdout} == {}
        assert session.facts.dropped and session.facts.asked_again and len(sshd.started) == 2
        sshd.goes_wrong("wait 90")
        result, _ = await asyncio.gather(session.run(Command(script="'out'"), deadline_s=DEADLINE_S), drops())
        assert (result.ended, result.exit_status) == (Ended.LOST, None) and len(sshd.started) == 1
        assert (await session.run(Command(script="'out'"), deadline_s=DEADLINE_S)).stdout == b"out\n"


class LateStatus(WindowsShells):
    """A default shell whose server tells how a program ended once nobody waits for its words any more, as sshd may."""

    async def __call__(self, process: asyncssh.SSHServerProcess[bytes]) -> None:
        play = self.program.played(process.command or "", "", _stdin(process))
        assert play is not None
        async for wrote in play:
            process.stdout.write(wrote.stdout)
            if wrote.exit_status is not None:
                process.stdout.write_eof()
                await asyncio.sleep(0.3)
                process.exit(wrote.exit_status)
                return


async def _stdin(process: asyncssh.SSHServerProcess[bytes]) -> AsyncIterator[bytes]:
    while piece := await process.stdin.read(65536):
        yield piece


@LIBRARIES
async def test_a_status_that_comes_behind_the_end_of_the_words_is_waited_for(library: SshLibrary, tmp_path: Path) -> None:
    plays = LateStatus(Captured(answers=ANSWERS, works=Works(COMMANDS)), Shell.BASH)
    async with ssh_session(Shell.BASH, library, tmp_path, plays=plays) as session:
        result = await session.run(Command(script="exit 3"), deadline_s=DEADLINE_S)
    assert (result.ended, result.exit_status) == (Ended.EXITED, 3)
