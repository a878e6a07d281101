"""Root by a password over every transport: each host has a user, a shadow file and sudo rules of its own (mount namespace)."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from inventory.host import (
    Become,
    BecomeMethod,
    CredentialReference,
    Host,
    SecretReference,
    SshLibrary,
    SshSettings,
    Transport,
)
from inventory.secret import Masker, Secret
from remote.answer import Answer, Ended
from remote.become_password import BecomePassword
from remote.breaker import Breaker
from remote.credentials import Credential, CredentialStore
from remote.local import LocalConnector, LocalSession
from remote.question import Privilege, Question
from remote.session import Session
from remote.testing import FakeHost, FakeSession
from tests.remote.servers import SBIN, Keys, MakeConnector, StartPractice, behind, free_port, serving

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root for a mount namespace with users of its own")
USER, UID, PASSWORD = "longarm-test", 64999, "Пароль 1"
HOME = "/mnt/home"
FILES = ("passwd", "group", "shadow", "sudoers", "doas.conf")
PASSWD = "root:x:0:0:root:/root:/bin/sh\nsshd:x:105:65534::/run/sshd:/usr/sbin/nologin\n"
SSHD = """ListenAddress 127.0.0.1:{port}
HostKey {key}
AuthorizedKeysFile %h/.ssh/authorized_keys
PidFile none
StrictModes no
UsePAM no
PasswordAuthentication no
"""
WHO = Question(id="who", script="id -u", privilege=Privilege.ROOT)
ME = Question(id="me", script="id -u")
ODD = bytes((0, 1, 3, 4, 10, 13, 10, 17, 19, 26, 28, 127, 255))
"""What a terminal would do something with."""
BINARY = Question(
    id="binary",
    script=f"""odd='{"".join(f"{chr(92)}{byte:03o}" for byte in ODD)}'
i=0; while [ $i -lt 1000 ]; do printf "$odd"; i=$((i + 1)); done; printf "$odd" >&2""",
    privilege=Privilege.ROOT,
)
EITHER = Question(id="either", script="id -u", privilege=Privilege.PREFER_ROOT)
REJECTED = "the password for sudo was rejected: Sorry, try again.; sudo: no password was provided; "
REJECTED += "sudo: 1 incorrect password attempt"
AGAIN = "sudo asks for a password: sudo did not take the password on this host before"
OpenWith = Callable[..., AbstractAsyncContextManager[Session]]
"""Opens a session to a host where USER may become root by PASSWORD, with the password that is to be sent, and by sudo unless
a method is named."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SudoHost:
    """The files of a machine where USER may become root by PASSWORD."""

    folder: Path

    @property
    def prepare(self) -> str:
        """Return the shell commands that put them in place, in a mount namespace of their own."""
        steps = ["mount --make-rprivate /", "mount -t tmpfs run /run", "mkdir -m 755 /run/sshd", "mount -t tmpfs home /mnt"]
        steps += ["mkdir /mnt/up /mnt/work"]
        steps += ["mount -t overlay etc -o lowerdir=/etc,upperdir=/mnt/up,workdir=/mnt/work /etc"]
        steps += [f"cp -p {self.folder}/{name} /etc/{name}" for name in FILES]
        steps += [f"mkdir -m 755 {HOME}", f"mkdir -m 700 {HOME}/.ssh", f"cp {self.folder}/authorized_keys {HOME}/.ssh"]
        steps += [f"chown -R {UID}:{UID} {HOME}"]
        return " && ".join(steps)

    def starting(self, *command: str) -> list[str]:
        """Return what starts a command there."""
        return ["unshare", "-m", "/bin/sh", "-c", f"{self.prepare} && exec {shlex.join(command)}"]


@pytest.fixture(scope="module")
def sudo_host(tmp_path_factory: pytest.TempPathFactory, user_key: Keys) -> SudoHost:
    folder = tmp_path_factory.mktemp("sudo")
    hashed = subprocess.run(["openssl", "passwd", "-6", "-stdin"], input=PASSWORD.encode(), capture_output=True, check=True)
    files = {
        "passwd": f"{PASSWD}{USER}:x:{UID}:{UID}::{HOME}:/bin/sh\n",
        "group": f"root:x:0:\nshadow:x:42:\nnogroup:x:65534:\n{USER}:x:{UID}:\n",
        "shadow": "".join(f"{name}:{hashed.stdout.decode().strip()}:19000:0:99999:7:::\n" for name in ("root", USER)),
        "sudoers": f"{USER} ALL=(ALL) ALL\n",
        "doas.conf": f"permit {USER}\n",
        "authorized_keys": user_key.public + "\n",
    }
    for name, text in files.items():
        (folder / name).write_text(text)
        (folder / name).chmod(0o440 if name in {"sudoers", "shadow"} else 0o644)
    return SudoHost(folder=folder)


def as_user(*command: str) -> list[str]:
    return ["setpriv", f"--reuid={UID}", f"--regid={UID}", "--clear-groups", "env", "-i", f"PATH={SBIN}", *command]


@pytest.fixture
def over_ssh(connector: MakeConnector, user_key: Keys, monkeypatch: pytest.MonkeyPatch) -> Callable[[Host], OpenWith]:
    """Return a function that gives the way to a host where sshd, or what plays it, lets USER in."""
    reference = CredentialReference(
        name="ops", user=USER, key=str(user_key.path), become_password=SecretReference(kind="env", value="SUDO_PASSWORD")
    )

    def to(host: Host) -> OpenWith:
        def opened(password: str, method: BecomeMethod = BecomeMethod.SUDO) -> AbstractAsyncContextManager[Session]:
            monkeypatch.setenv("SUDO_PASSWORD", password)
            return connector()(replace(host, credential=reference, become=Become(method=method)))

        return opened

    return to


@pytest.fixture
def fake() -> OpenWith:
    @asynccontextmanager
    async def opened(password: str) -> AsyncGenerator[Session]:
        root, user = (Answer(ended=Ended.EXITED, exit_status=0, stdout=b"%d\n" % uid) for uid in (0, UID))
        root = replace(root, as_root=True)
        refused = Answer(ended=Ended.NOT_RUN, exit_status=None, why=REJECTED, denied=REJECTED)
        right, wrong = {WHO.id: root, EITHER.id: root}, {WHO.id: refused, EITHER.id: replace(user, denied=REJECTED)}
        script = FakeHost(answers={ME.id: user} | (right if password == PASSWORD else wrong))
        yield FakeSession(Host(name="node", address="192.0.2.1"), script)
        script.answers = {}

    return opened


@pytest.fixture
def local(sudo_host: SudoHost) -> OpenWith:
    @asynccontextmanager
    async def opened(password: str) -> AsyncGenerator[Session]:
        here = Host(name="here", address="127.0.0.1", transport=Transport.LOCAL)
        credential = Credential(name="ops", user=USER, become_password=Secret(password))
        shell = sudo_host.starting(*as_user("/bin/sh"))
        session = LocalSession(here, shell=shell, passwords=BecomePassword.of(here, credential, Breaker()))
        yield session
        await session.leave()

    return opened


@pytest.fixture
async def asyncssh(practice: StartPractice, sudo_host: SudoHost, over_ssh: Callable[[Host], OpenWith]) -> OpenWith:
    shell = sudo_host.starting(*as_user("/bin/sh"))
    return over_ssh((await practice(process=behind(*shell))).host)


@pytest.fixture
def openssh(openssh_with_sudo: Host, over_ssh: Callable[[Host], OpenWith]) -> OpenWith:
    return over_ssh(openssh_with_sudo)


@pytest.fixture
def paramiko(openssh_with_sudo: Host, over_ssh: Callable[[Host], OpenWith]) -> OpenWith:
    """Return it by the other library."""
    return over_ssh(replace(openssh_with_sudo, ssh=SshSettings(library=SshLibrary.PARAMIKO)))


@pytest.fixture
def dropbear(dropbear_with_sudo: Host, over_ssh: Callable[[Host], OpenWith]) -> OpenWith:
    return over_ssh(dropbear_with_sudo)


@pytest.fixture(scope="module")
def openssh_with_sudo(sudo_host: SudoHost, host_key: Keys) -> Iterator[Host]:
    port, config = free_port(), sudo_host.folder / "sshd_config"
    config.write_text(SSHD.format(port=port, key=host_key.path))
    command = sudo_host.starting(program("sshd"), "-D", "-e", "-f", str(config))
    with serving(command, b"Server listening", sudo_host.folder / "sshd.log"):
        yield Host(name="node", address="127.0.0.1", port=port)


@pytest.fixture(scope="module")
def dropbear_with_sudo(sudo_host: SudoHost, host_key: Keys) -> Iterator[Host]:
    """Start dropbear where /bin/sh is busybox, also for root."""
    port, key = free_port(), sudo_host.folder / "dropbear_key"
    subprocess.run(["dropbearconvert", "openssh", "dropbear", host_key.path, key], check=True, capture_output=True)
    dropbear = [program("dropbear"), "-F", "-E", "-p", f"127.0.0.1:{port}", "-r", str(key), "-P", f"{key}.pid"]
    script = f"mount --bind {program('busybox')} /bin/sh && exec {shlex.join(dropbear)}"
    with serving(sudo_host.starting("/bin/bash", "-c", script), b"Not backgrounding", sudo_host.folder / "dropbear.log"):
        yield Host(name="node", address="127.0.0.1", port=port)


def program(name: str) -> str:
    found = shutil.which(name, path=SBIN)
    assert found is not None
    return found


SENDING = (
    "local",
    "asyncssh",
    pytest.param("openssh", marks=pytest.mark.server),
    pytest.param("dropbear", marks=pytest.mark.server),
    pytest.param("paramiko", marks=pytest.mark.server),
)
"""Every session that gives sudo its password: all but the fake."""


@pytest.fixture(params=("fake", *SENDING))
def open_with(request: pytest.FixtureRequest) -> OpenWith:
    found: OpenWith = request.getfixturevalue(request.param)
    return found


async def test_sudo_takes_the_password(open_with: OpenWith) -> None:
    async with open_with(PASSWORD) as session:
        for _ in range(2):  # what it took once may be sent for the next command too
            answers = await session.ask([ME, WHO, EITHER], deadline_s=60)
            assert [answer.stdout for answer in answers.values()] == [b"%d\n" % UID, b"0\n", b"0\n"]
            assert [answer.as_root for answer in answers.values()] == [False, True, True]
            assert {answer.denied for answer in answers.values()} == {""}


async def test_a_wrong_password_costs_the_root_questions_alone(open_with: OpenWith) -> None:
    async with open_with("not the one") as session:
        answers = await session.ask([ME, WHO, EITHER], deadline_s=60)
    assert (answers["who"].ended, answers["who"].exit_status) == (Ended.NOT_RUN, None)
    assert [answers[name].stdout for name in ("me", "either")] == [b"%d\n" % UID] * 2
    assert {answers[name].denied for name in ("who", "either")} == {REJECTED}
    assert not any(answer.as_root for answer in answers.values())


@pytest.mark.parametrize("open_with", SENDING, indirect=True)
async def test_what_sudo_did_not_take_is_not_sent_to_this_host_again(open_with: OpenWith) -> None:
    async with open_with("not the one") as session:
        await session.ask([WHO], deadline_s=60)
        again = await session.ask([WHO], deadline_s=60)
    assert again["who"].denied == AGAIN


METHODS = [
    (server, method)
    for server in ("asyncssh", "openssh", "dropbear", "paramiko")
    for method in (BecomeMethod.SU, BecomeMethod.DOAS)
    if (server, method) != ("asyncssh", BecomeMethod.DOAS)  # a server in this process has no terminal of the kernel's
]


@pytest.fixture(params=METHODS, ids=lambda pair: f"{pair[0]} {pair[1]}")
def by_method(request: pytest.FixtureRequest) -> tuple[OpenWith, BecomeMethod]:
    server, method = request.param
    return request.getfixturevalue(server), method


@pytest.mark.server
async def test_doas_and_su_keep_the_same_contract(by_method: tuple[OpenWith, BecomeMethod]) -> None:
    open_with, method = by_method
    async with open_with(PASSWORD, method) as session:
        for _ in range(2):
            answers = await session.ask([ME, WHO, EITHER, BINARY], deadline_s=60)
            assert {answer.denied for answer in answers.values()} == {""}
            assert [answers[name].stdout for name in ("me", "who", "either")] == [b"%d\n" % UID, b"0\n", b"0\n"]
            assert (answers["binary"].stdout, answers["binary"].stderr) == (ODD * 1000, ODD)
    async with open_with("not the one", method) as session:
        answers = await session.ask([ME, WHO, EITHER], deadline_s=60)
        again = await session.ask([WHO], deadline_s=60)
    assert answers["who"].denied.startswith(f"the password for {method.value} was rejected: ")
    assert [answers[name].stdout for name in ("me", "either")] == [b"%d\n" % UID] * 2
    assert again["who"].denied == AGAIN.replace("sudo", method.value)


# --- whose password this machine is given -------------------------------------------------------------------------


async def denied_here(user: str, password: str, monkeypatch: pytest.MonkeyPatch, sudo_host: SudoHost) -> str:
    """Return why a question as root was not asked on this machine, where we are USER."""
    monkeypatch.setenv("SUDO_PASSWORD", password)
    monkeypatch.setattr("remote.local.os.geteuid", lambda: UID)
    monkeypatch.setattr("remote.local._user", lambda: USER)
    monkeypatch.setattr("remote.local.SHELL", tuple(sudo_host.starting(*as_user("/bin/sh"))))
    reference = CredentialReference(
        name="ops",
        user=user,
        key="/nowhere/id",
        passphrase=SecretReference(kind="env", value="NO_SUCH_VARIABLE"),
        become_password=SecretReference(kind="env", value="SUDO_PASSWORD"),
    )
    host = Host(name="here", address="here", transport=Transport.LOCAL, credential=reference)
    connect = LocalConnector(credentials=CredentialStore(masker=Masker()), breaker=Breaker())
    async with connect(host) as session:
        return (await session.ask([WHO], deadline_s=60))["who"].denied


async def test_this_machine_is_given_the_password_without_a_login(monkeypatch: pytest.MonkeyPatch, sudo_host: SudoHost) -> None:
    assert await denied_here(USER, PASSWORD, monkeypatch, sudo_host) == ""
    assert await denied_here(USER, "not the one", monkeypatch, sudo_host) == REJECTED


async def test_the_password_of_another_user_stays_with_us(monkeypatch: pytest.MonkeyPatch, sudo_host: SudoHost) -> None:
    why = await denied_here("anna", PASSWORD, monkeypatch, sudo_host)
    assert why == f"sudo asks for a password: credential ops is for another user than {USER}"
