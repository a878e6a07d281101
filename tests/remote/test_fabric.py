"""fabric over sessions: what a function of L3 may expect, and what fabric by itself would give away."""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from inventory.host import CredentialReference
from inventory.secret import MASKER, Secret
from remote.credentials import CredentialStore
from remote.errors import DeadlineExceeded
from remote.fabric_connection import NotOffered, Unfinished, fabric_connection, with_fabric
from remote.files import Reason, TransferFailed
from remote.session import Session
from tests.remote.servers import MakeConnector, StartPractice, as_nobody
from tests.remote.test_sudo_hostile import CANARY, FAKES, Fisher, Process, Script, honest, with_sudo_password  # noqa: F401 (a fixture)

import fabric  # isort: skip
import invoke  # isort: skip

DEADLINE_S = 60.0
PASSWORD = "s3cret-of-sudo"


@pytest.fixture(
    params=[
        "local",
        "asyncssh",
        pytest.param("openssh", marks=pytest.mark.server),
        pytest.param("dropbear", marks=pytest.mark.server),
        pytest.param("jumped", marks=pytest.mark.server),
        pytest.param("paramiko", marks=pytest.mark.server),
    ]
)
def session(request: pytest.FixtureRequest) -> Session:
    found: Session = request.getfixturevalue(f"{request.param}_session")
    return found


async def used(session: Session, function: Callable[[fabric.Connection], Any], **more: Any) -> Any:
    return await with_fabric(session, function, **{"deadline_s": DEADLINE_S, **more})


async def test_it_is_fabrics_connection_and_runs_as_fabric_says(session: Session) -> None:
    def function(connection: fabric.Connection) -> None:
        assert isinstance(connection, fabric.Connection)
        with connection.cd("/usr"), connection.prefix("x=5"):
            done = connection.run('pwd; echo "$x $VALUE" >&2', env={"VALUE": "a'b $(id) `id`"})
        assert isinstance(done, fabric.Result) and done.ok
        assert (done.stdout, done.stderr, done.exited) == ("/usr\n", "5 a'b $(id) `id`\n", 0)
        assert done.connection is connection
        assert connection.run("exit 3", warn=True).exited == 3
        with pytest.raises(invoke.exceptions.UnexpectedExit) as failed:
            connection.run("echo out; echo why >&2; exit 4")
        assert (failed.value.result.exited, failed.value.result.stderr) == (4, "why\n")

    await used(session, function)


async def test_files_go_the_way_of_the_session(session: Session, tmp_path: Path) -> None:
    (tmp_path / "mine").write_bytes(bytes(range(256)))

    def function(connection: fabric.Connection) -> None:
        connection.put(str(tmp_path / "mine"), f"{tmp_path}/theirs")
        connection.get(f"{tmp_path}/theirs", str(tmp_path / "back"))
        with pytest.raises(TransferFailed) as missing:
            connection.get(f"{tmp_path}/none", str(tmp_path / "none"))
        assert missing.value.reason is Reason.MISSING
        with pytest.raises(NotOffered):
            connection.get("/etc/passwd")  # into a name that the host would choose

    await used(session, function)
    assert (tmp_path / "back").read_bytes() == bytes(range(256))


async def test_a_command_past_its_timeout_is_ended_on_the_host(session: Session) -> None:
    def function(connection: fabric.Connection) -> None:
        for timeout in (1, 9, 30):  # until this machine has begun by then
            with pytest.raises(invoke.exceptions.CommandTimedOut) as late:
                connection.run("echo begun; sleep 3600", timeout=timeout)
            if late.value.result.stdout:
                break
        assert late.value.result.stdout == "begun\n"

    await used(session, function)


async def test_a_flood_ends_at_the_cap_and_is_no_success(local_session: Session) -> None:
    def function(connection: fabric.Connection) -> None:
        with pytest.raises(Unfinished) as capped:
            connection.run("yes", warn=True)
        assert len(capped.value.result.stdout) <= 10_000

    await used(local_session, function, max_bytes=10_000)


async def test_a_function_is_over_at_its_deadline_whatever_it_waits_for(local_session: Session) -> None:
    ended = threading.Event()

    def function(connection: fabric.Connection) -> None:
        try:
            connection.run("sleep 3600")
        finally:
            ended.set()

    with pytest.raises(DeadlineExceeded):
        await used(local_session, function, deadline_s=0.5)
    assert await asyncio.to_thread(ended.wait, DEADLINE_S)


async def test_a_function_that_calls_nobody_does_not_hold_up_its_deadline(local_session: Session) -> None:
    going_on = threading.Event()
    with pytest.raises(DeadlineExceeded):
        await used(local_session, lambda _: going_on.wait(DEADLINE_S), deadline_s=0.2)
    going_on.set()


async def test_what_a_function_returns_and_raises_comes_back(local_session: Session) -> None:
    assert await used(local_session, lambda connection: connection.run("echo 5").stdout) == "5\n"
    with pytest.raises(ZeroDivisionError):
        await used(local_session, lambda _: 1 // 0)


async def test_no_more_than_so_many_functions_run_at_once(local_session: Session) -> None:
    running, most, lock = 0, 0, threading.Lock()

    def function(_: fabric.Connection) -> None:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        time.sleep(0.05)
        with lock:
            running -= 1

    await asyncio.gather(*(used(local_session, function) for _ in range(40)))
    assert 1 < most <= 16


async def test_in_the_event_loops_own_thread_it_says_so_instead_of_waiting_for_itself(local_session: Session) -> None:
    connection = fabric_connection(local_session, deadline_s=DEADLINE_S)
    with pytest.raises(RuntimeError, match="other threads"):
        connection.run("true")


@pytest.mark.parametrize(
    "use",
    [
        lambda c: c.run("true", pty=True),
        lambda c: c.run("true", asynchronous=True),
        lambda c: c.run("true", disown=True),
        lambda c: c.run("true", watchers=[invoke.watchers.Responder("assword", PASSWORD)]),
        lambda c: c.sudo("true", password=PASSWORD),
        lambda c: c.sudo("true", user="postgres"),
        lambda c: c.shell(),
        lambda c: c.sftp(),
        lambda c: c.create_session(),
        lambda c: c.open_gateway(),
        lambda c: c.forward_local(80),
        lambda c: c.forward_remote(80),
        lambda c: c.put("x"),
    ],
)
async def test_what_would_need_a_connection_of_its_own_is_refused(
    local_session: Session, use: Callable[[fabric.Connection], object]
) -> None:
    with pytest.raises(NotOffered):
        await used(local_session, use)


async def test_names_of_variables_are_names(local_session: Session) -> None:
    with pytest.raises(ValueError, match="name of a variable"):
        await used(local_session, lambda c: c.run("true", env={"X=1; id; Y": "z"}))


# --- what fabric by itself would give away -------------------------------------------------------------------------


@pytest.mark.usefixtures("planted")
async def test_no_configuration_of_fabrics_or_ssh_is_read(local_session: Session) -> None:
    def function(connection: fabric.Connection) -> None:
        assert connection.ssh_config.get("user") is None and connection.gateway is None
        assert connection.config.sudo.password is None
        assert not connection.forward_agent and connection.client is None
        assert connection.run("echo plain").stdout == "plain\n"

    await used(local_session, function)


@pytest.fixture
def planted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Plant configurations where fabric and ssh look for them."""
    (tmp_path / ".ssh").mkdir()
    (tmp_path / ".ssh" / "config").write_text("Host *\n  User evil\n  ProxyJump evil.example\n  ForwardAgent yes\n")
    (tmp_path / ".fabric.yaml").write_text(f"sudo: {{password: {PASSWORD}}}\nrun: {{echo: true}}\n")
    (tmp_path / "fabric.yaml").write_text(f"sudo: {{password: {PASSWORD}}}\n")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("FABRIC_SUDO_PASSWORD", PASSWORD)
    monkeypatch.chdir(tmp_path)


HOSTILE_SUDOS = {
    "fixed prompt": 'printf "[sudo] password: " >&2',
    "on stdout": 'printf "[sudo] password: "',
    "twice": 'printf "[sudo] password: [sudo] password: " >&2',
    "localized": 'printf "Passwort: " >&2',
    "after a lecture": 'printf "We trust you have received the usual lecture\\n[sudo] password for you: " >&2',
}


@pytest.fixture(params=HOSTILE_SUDOS)
def hostile_path(request: pytest.FixtureRequest) -> Iterator[str]:
    """Return a PATH whose sudo asks in its own words, reads what it can get, and tells it to everybody."""
    with tempfile.TemporaryDirectory(dir="/tmp") as name:
        folder = Path(name)
        folder.chmod(0o755)
        for tool in ("sh", "id", "cat", "head", "dd", "sleep", "env", "printf"):
            (folder / tool).symlink_to(shutil.which(tool) or "")
        (folder / "sudo").write_text(
            f'#!/bin/sh\n{HOSTILE_SUDOS[request.param]}\nIFS= read -r got\necho "got:$got"\necho "got:$got" >&2\nexit 1\n'
        )
        (folder / "sudo").chmod(0o755)
        yield name


@pytest.mark.skipif(os.geteuid() != 0, reason="becomes nobody, which only root can")
async def test_a_hostile_sudo_gets_no_password_by_printing_a_prompt(
    hostile_path: str,
    practice: StartPractice,
    connector: MakeConnector,
    with_sudo_password: CredentialReference,  # noqa: F811
) -> None:
    running = await practice(process=as_nobody(hostile_path), credential=with_sudo_password)

    def function(connection: fabric.Connection) -> str:
        said = connection.run("sudo -k true", warn=True)
        with pytest.raises((Unfinished, invoke.exceptions.UnexpectedExit)) as refused:
            connection.sudo("id -u")
        return f"{said.stdout}{said.stderr}{refused.value!r}{getattr(refused.value, 'result', '')!r}"

    async with connector()(running.host) as session:
        assert CANARY not in await used(session, function)


@pytest.mark.parametrize("fake", FAKES)
async def test_a_host_that_plays_sudo_falsely_gets_no_password_through_fabric(
    fake: str,
    practice: StartPractice,
    connector: MakeConnector,
    with_sudo_password: CredentialReference,  # noqa: F811
) -> None:
    fisher = Fisher(FAKES[fake])
    fisher.then = fisher.leave
    running = await practice(process=fisher, credential=with_sudo_password)

    def function(connection: fabric.Connection) -> None:
        with pytest.raises(Unfinished):
            connection.sudo("id -u", warn=True)

    async with connector()(running.host) as session:
        await used(session, function)
    assert fisher.sent.is_set()
    assert CANARY.encode() not in fisher.got


async def repeats_it(process: Process, script: Script) -> None:
    """Take the password as sudo would, and tell it in sudo's words."""
    got = (await process.stdin.readline()).decode().strip().removeprefix("=")
    marks = script.mark(4, "sudone", "1") + script.mark(5, "done", "5")
    process.stderr.write(f"\nsudo: incorrect password attempt with {got}\n".encode() + marks)
    process.stdout.write(marks)


async def test_a_host_that_repeats_the_password_does_not_tell_it_to_the_function(
    practice: StartPractice,
    connector: MakeConnector,
    with_sudo_password: CredentialReference,  # noqa: F811
    caplog: pytest.LogCaptureFixture,
) -> None:
    fisher = Fisher(honest, repeats_it)
    running = await practice(process=fisher, credential=with_sudo_password)

    def function(connection: fabric.Connection) -> str:
        with pytest.raises(Unfinished) as refused:
            connection.sudo("id -u", warn=True)
        return f"{refused.value} {refused.value.result!r}"

    with caplog.at_level(logging.DEBUG):
        async with connector(credentials=CredentialStore())(running.host) as session:
            said = await used(session, function)
    assert "incorrect password attempt with ***" in said
    assert CANARY not in said + caplog.text


async def test_what_a_command_prints_of_a_secret_does_not_come_out(local_session: Session) -> None:
    MASKER.learn(Secret(CANARY))
    done = await used(local_session, lambda c: c.run(f"echo a {CANARY}; echo b {CANARY} >&2"))
    assert (done.stdout, done.stderr) == ("a ***\n", "b ***\n")


async def test_a_secret_that_the_cap_cut_does_not_come_out_in_part(local_session: Session) -> None:
    MASKER.learn(Secret(CANARY))

    def function(connection: fabric.Connection) -> str:
        with pytest.raises(Unfinished) as capped:
            connection.run(f"printf %0490d 0; printf {CANARY}; printf %02000d 0")
        return repr(capped.value.result.stdout)

    said = await used(local_session, function, max_bytes=1000)  # the head ends after ten bytes of it
    assert CANARY[:10] not in said and "***" in said


@pytest.mark.parametrize("prompt", ["[sudo] password: ", "longarm-00000000: ", "Password:"])
async def test_a_hostile_command_gets_no_password_by_printing_a_prompt(prompt: str, openssh_session: Session) -> None:
    def function(connection: fabric.Connection) -> fabric.Result:
        return connection.run(f"printf '{prompt}' >&2; IFS= read -r got; echo \"got:$got\"", warn=True)

    assert (await used(openssh_session, function)).stdout == "got:\n"


@pytest.mark.skipif(os.geteuid() != 0, reason="sudo as root needs nobody's word")
async def test_root_is_the_sessions_root(local_session: Session) -> None:
    assert (await used(local_session, lambda c: c.sudo("id -u"))).stdout == "0\n"


async def test_a_function_that_would_end_the_program_fails_alone(local_session: Session) -> None:
    """An event loop stops at SystemExit, and with it the run on all other hosts."""
    with pytest.raises(RuntimeError, match=r"the function would end the program: SystemExit\(7\)"):
        await used(local_session, lambda _: sys.exit(7))
