"""What every session to a Windows host must do, whatever carries it and however it logs in."""

from __future__ import annotations

import getpass
import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import cast

import pytest

from inventory.host import SshLibrary, Transport, WinrmAuth, WinrmSettings
from remote.answer import Answer, Ended
from remote.breaker import Breaker
from remote.command import Command
from remote.credentials import CredentialStore
from remote.files import Destination, Reason, TransferFailed
from remote.known_hosts import KnownHosts
from remote.lab.windows.login import Rights
from remote.lab.windows.replies import FROM_STDIN, Captured
from remote.lab.windows.shells import Asked, Running, Said
from remote.lab.windows.ssh import Shell, WindowsShells
from remote.lab.windows.works import Works
from remote.question import Privilege, Question
from remote.session import Session
from remote.ssh_library import asyncssh
from remote.terminal import NoTerminal, Screen
from remote.windows.winrm import WinrmConnector
from tests.remote.realm import REALM, Realm
from tests.remote_lab.windows_hosts import PASSWORD, USER
from tests.remote_windows.certificates import Authority
from tests.remote_windows.clixml_shapes import SHAPES
from tests.remote_windows.conftest import (
    NEEDS_KDC,
    SETTINGS,
    LetsIn,
    MakeConnector,
    by_password,
    connected,
    direct,
    enough_for,
    host_at,
    named,
    practice,
    ssh_session,
)
from tests.remote_windows.played import (
    ANSWERS,
    CAPPED,
    CASES,
    COMMANDS,
    DIES,
    FLOODS,
    HANGS,
    HUNG,
    RESULTS,
    SPEAKS_CLIXML,
    UNKNOWN,
)

DEADLINE_S = 60.0  # far above what any of this takes: only a hang reaches it
ALL_BYTES = bytes(range(256)) * 600
REALM_USER = f"{getpass.getuser()}@{REALM}"

pytestmark = pytest.mark.usefixtures("ntlm_accounts")


BY_SSH = {
    "ssh_cmd": (Shell.CMD, SshLibrary.ASYNCSSH),
    "ssh_powershell": (Shell.POWERSHELL, SshLibrary.ASYNCSSH),
    "ssh_bash": (Shell.BASH, SshLibrary.ASYNCSSH),
    "ssh_by_paramiko": (Shell.POWERSHELL, SshLibrary.PARAMIKO),
}


BY_PSRP = {
    "psrp_http": (SETTINGS["winrm_ntlm_http"], Transport.PSRP, Rights.ADMIN),
    "psrp_https": (SETTINGS["winrm_basic_https"], Transport.PSRP, Rights.ADMIN),
    "psrp_after_a_denial": (SETTINGS["winrm_ntlm_http"], Transport.WINRM, Rights.REMOTE),
}


BY_TICKETS = {"winrm_kerberos_http": Transport.WINRM, "psrp_kerberos_http": Transport.PSRP}


@asynccontextmanager
async def by_tickets(realm: Realm, transport: Transport, folder: Path) -> AsyncIterator[Session]:
    """Yield a session with tickets of a real KDC, which has a password for them."""
    host, known = practice(), KnownHosts(folder / "known_hosts")
    connect = WinrmConnector(known_hosts=known, credentials=CredentialStore(), breaker=Breaker(), way_to=direct)
    settings = WinrmSettings(scheme="http", auth=WinrmAuth.KERBEROS)
    async with host.listening() as port:
        async with connect(named(host_at(port, settings, transport=transport), by_password(realm))) as session:
            yield session
        assert not host.service.shells.open, "every shell is deleted"


@pytest.fixture(params=[*SETTINGS, *BY_PSRP, *BY_SSH, *(pytest.param(name, marks=NEEDS_KDC) for name in BY_TICKETS)])
async def session(
    request: pytest.FixtureRequest, connector: MakeConnector, authority: Authority, tmp_path: Path
) -> AsyncIterator[Session]:
    if request.param in BY_SSH:
        async with ssh_session(*BY_SSH[request.param], tmp_path) as session:
            yield session
        return
    if request.param in BY_TICKETS:
        async with by_tickets(request.getfixturevalue("kerberos"), BY_TICKETS[request.param], tmp_path) as session:
            yield session
        return
    settings, transport, rights = BY_PSRP.get(request.param) or (SETTINGS[request.param], Transport.WINRM, Rights.ADMIN)
    https = settings.scheme != "http"
    paper = authority.certified("win", "win1", "127.0.0.1")
    host = practice(certificate=paper.der if https else b"", rights={USER: rights})
    if https:
        settings = WinrmSettings(auth=settings.auth, ca=str(authority.file))
    async with host.listening(authority.server_context(paper) if https else None) as port:
        async with connector()(host_at(port, settings, transport=transport)) as session:
            yield session
        assert not host.service.shells.open, "every shell is deleted"


def same(answer: Answer, expected: Answer) -> bool:
    """Compare what a question means to bring back; time and privilege are the host's matter."""
    parts = ("ended", "exit_status", "stdout", "stderr", "stdout_cut", "stderr_cut")
    return all(getattr(answer, part) == getattr(expected, part) for part in parts)


def files_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.is_file() and path.name not in {"ntlm-users", "known_hosts"})


async def test_every_question_has_exactly_its_own_answer(session: Session) -> None:
    answers = await session.ask([*CASES, HUNG, CAPPED], deadline_s=DEADLINE_S)
    assert list(answers) == [question.id for question in (*CASES, HUNG, CAPPED)]
    assert {one.id: answers[one.id] for one, expected in CASES.items() if not same(answers[one.id], expected)} == {}
    assert (answers[HUNG.id].ended, answers[HUNG.id].exit_status) == (Ended.TIMED_OUT, None)
    assert (answers[CAPPED.id].ended, answers[CAPPED.id].stdout_cut) == (Ended.CAPPED, 900)
    assert all(answers[question.id].as_root for question in CASES)


async def test_what_no_powershell_is_and_what_the_host_does_not_know_is_not_answered(session: Session) -> None:
    unix = Question(id="unix", script="uname")
    strange = Question(id="strange", script="Get-Strange", shell="powershell")
    answers = await session.ask([unix, strange], deadline_s=DEADLINE_S)
    assert (answers["unix"].ended, answers["unix"].why) == (Ended.NOT_RUN, "not a shell of this transport: sh")
    assert (answers["strange"].ended, answers["strange"].exit_status) == (Ended.LOST, None)
    assert await session.ask([], deadline_s=DEADLINE_S) == {}


async def test_more_questions_than_a_variable_holds(session: Session) -> None:
    padded = [replace(one, script=hashlib.shake_256(one.id.encode()).hexdigest(5000)) for one in CASES]
    answers = await session.ask(padded, deadline_s=DEADLINE_S)
    assert all(same(answers[one.id], expected) for one, expected in CASES.items())


async def test_a_command_brings_back_what_it_did(session: Session) -> None:
    results = {command: await session.run(command, deadline_s=DEADLINE_S) for command in RESULTS}
    assert {command.script: results[command] for command, want in RESULTS.items() if not same(results[command], want)} == {}
    assert all(result.succeeded is (result.exit_status == 0) for result in results.values())


async def test_a_command_that_fails_in_its_own_way_is_no_success(session: Session) -> None:
    late = await session.run(HANGS, deadline_s=DEADLINE_S)
    assert (late.ended, late.exit_status, late.stdout) == (Ended.TIMED_OUT, None, b"before\n")
    flood = await session.run(FLOODS, deadline_s=DEADLINE_S)
    assert (flood.ended, flood.exit_status, len(flood.stdout)) == (Ended.CAPPED, None, FLOODS.max_bytes)
    assert flood.stdout.startswith(b"longarm\n") and flood.stdout_cut != 0
    died = await session.run(DIES, deadline_s=DEADLINE_S)
    assert (died.ended, died.exit_status, died.stdout) == (Ended.EXITED, -1, b"before\n")
    unknown = await session.run(UNKNOWN, deadline_s=DEADLINE_S)
    assert (unknown.ended, unknown.exit_status, unknown.why) == (Ended.EXITED, 1, "")
    nul = await session.run(Command(script="'a\0b'"), deadline_s=DEADLINE_S)
    assert nul.ended is Ended.NOT_RUN
    assert not any(one.succeeded for one in (late, flood, died, unknown, nul))


async def test_what_powershell_says_of_itself_is_told_in_the_words_of_its_errors(session: Session) -> None:
    told = {name: await session.run(one, deadline_s=DEADLINE_S) for name, one in SPEAKS_CLIXML.items()}
    assert {one.ended for one in told.values()} == {Ended.LOST}, "its exit status is 0, and it said no end"
    words = {name: " ".join(said.split()) for name, (_, said) in SHAPES.items()}
    assert {name: one.why for name, one in told.items() if words[name] not in one.why or "Preparing" in one.why} == {}
    assert not any("Objs" in one.why or "CLIXML" in one.why for one in told.values())


async def test_the_deadline_of_the_call_loses_a_command(session: Session) -> None:
    hangs = Command(script=HANGS.script, deadline_s=3600)
    result = await session.run(hangs, deadline_s=await enough_for(session))
    assert (result.ended, result.exit_status, result.stdout) == (Ended.LOST, None, b"before\n")
    assert (await session.run(Command(script="'out'"), deadline_s=DEADLINE_S)).succeeded, "the session is still of use"


async def test_a_file_comes_back_as_it_was_put(session: Session, tmp_path: Path) -> None:
    there, seen = r"C:\Temp\a file.bin", list[tuple[int, int]]()
    put = await session.put(ALL_BYTES, Destination(path=there), deadline_s=DEADLINE_S, progress=lambda *step: seen.append(step))
    got = await session.get("C:/Temp/a file.bin", tmp_path / "mine", max_bytes=10**6, deadline_s=DEADLINE_S)
    assert put.digest == got.digest == hashlib.sha256(ALL_BYTES).hexdigest()
    assert (tmp_path / "mine").read_bytes() == ALL_BYTES
    assert seen[-1] == (len(ALL_BYTES), len(ALL_BYTES)) and len(seen) > 2
    assert files_in(tmp_path) == ["mine"]


async def test_a_file_that_cannot_be_got_says_why_and_leaves_nothing(session: Session, tmp_path: Path) -> None:
    await session.put(ALL_BYTES, Destination(path=r"C:\long"), deadline_s=DEADLINE_S)
    reasons = []
    for path in (r"C:\none", r"C:\long", "relative", r"\\other\share\x", r"C:\a\..\b", r"C:\con", r"C:\x:stream", "C:\\x\0"):
        with pytest.raises(TransferFailed) as failed:
            await session.get(path, tmp_path / "mine", max_bytes=100, deadline_s=DEADLINE_S)
        reasons.append(failed.value.reason)
    assert reasons == [Reason.MISSING, Reason.TOO_LARGE, *[Reason.OTHER] * 6]
    assert files_in(tmp_path) == []


async def test_an_administrator_is_told_from_a_user(session: Session) -> None:
    question = Question(id="words", script="x", shell="powershell", privilege=Privilege.ROOT)
    assert (await session.ask([question], deadline_s=DEADLINE_S))["words"].as_root


async def test_there_is_no_terminal(session: Session) -> None:
    with pytest.raises(NoTerminal):
        await session.terminal(Screen(kind="xterm", columns=80, rows=24), deadline_s=DEADLINE_S)


def test_a_session_tells_who_it_is(session: Session) -> None:
    facts = session.facts
    assert facts.user == (REALM_USER if facts.proofs == "kerberos" else USER) and facts.credential == "ops" and facts.proofs
    assert facts.transport in {"winrm", "psrp", "ssh"}
    assert dict(facts.algorithms)
    assert not session.dropped


@dataclass(frozen=True, slots=True, kw_only=True)
class Noting(Captured):
    """Notes how each command was asked for."""

    seen: list[Asked] = field(default_factory=list, hash=False)

    async def __call__(self, running: Running) -> Said | None:
        self.seen.append(running.asked)
        return await Captured.__call__(self, running)


async def test_what_a_shell_writes_is_asked_for_in_utf_8(connector: MakeConnector) -> None:
    """Else a Windows in Russian answers in code page 866."""
    program = Noting(answers=ANSWERS, works=Works(COMMANDS))
    async with connected(connector, practice(program=program)) as session:
        await session.ask(list(CASES), deadline_s=DEADLINE_S)
        await session.run(Command(script="'out'"), deadline_s=DEADLINE_S)
    assert [asked.code_page for asked in program.seen] == [65001, 65001]


@pytest.mark.parametrize("way", BY_SSH)
async def test_by_ssh_no_terminal_is_asked_for_and_no_profile_is_loaded(way: str, tmp_path: Path) -> None:
    shell, library = BY_SSH[way]
    plays = WindowsShells(Captured(answers=ANSWERS, works=Works(COMMANDS)), shell)
    async with ssh_session(shell, library, tmp_path, plays=plays) as session:
        answers = await session.ask(list(CASES), deadline_s=DEADLINE_S)
        assert (await session.run(Command(script="'out'"), deadline_s=DEADLINE_S)).stdout == b"out\n"
    assert all(same(answers[one.id], expected) for one, expected in CASES.items()), "what a default shell says is not in it"
    assert plays.started == [FROM_STDIN] * 2
    assert {" -NoProfile ", " -NonInteractive "} <= {f" {word} " for word in FROM_STDIN.split()}


async def test_a_terminal_is_refused_by_a_practice_host_too(tmp_path: Path) -> None:
    plays = WindowsShells(Captured(answers=ANSWERS, works=Works(COMMANDS)), Shell.POWERSHELL)
    server = await asyncssh.listen(
        "127.0.0.1",
        0,
        server_factory=LetsIn,
        server_host_keys=[asyncssh.generate_private_key("ssh-ed25519")],
        process_factory=plays,
        encoding=None,
    )
    way = asyncssh.connect(
        "127.0.0.1", server.get_port(), username=USER, password=PASSWORD, known_hosts=None, config=None, agent_path=None
    )
    async with server, way as connection:
        done = await connection.run(FROM_STDIN, term_type="xterm", encoding=None, stdin=asyncssh.DEVNULL)
    assert done.exit_status == 1 and b"not recognized" in cast("bytes", done.stderr)
