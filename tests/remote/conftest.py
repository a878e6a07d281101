"""Real servers on loopback for the tests of sessions: asyncssh in this process, OpenSSH and dropbear beside it."""

from __future__ import annotations

import gc
import getpass
import os
import secrets
import shutil
import subprocess
import tempfile
import threading
import time
from collections.abc import AsyncIterator, Iterable, Iterator
from pathlib import Path
from zlib import crc32

import pytest

from inventory.host import CredentialReference, Host, Transport
from inventory.secret import Masker
from remote.breaker import Breaker
from remote.credentials import CredentialStore
from remote.enrol import offered_keys
from remote.host_keys import HostKey
from remote.known_hosts import KnownHosts
from remote.local import LocalSession, open_local
from remote.session import Session
from remote.ssh import SshConnector
from remote.ssh_library import asyncssh
from tests.conftest import SOAK
from tests.remote.bastion import practice_bastion
from tests.remote.hostility import open_files, threads
from tests.remote.reaching import (
    REACHES,
    SHELL_REACHES,
    Asked,
    AskedOverSsh,
    Reach,
    Reaching,
    WithShell,
    the_bastion,
)
from tests.remote.servers import (
    SBIN,
    Keys,
    MakeConnector,
    MakeKey,
    Practice,
    PracticeServer,
    Process,
    Seen,
    StartPractice,
    by_paramiko,
    free_port,
    known_key,
    no_more_tasks,
    run_a_shell,
    serving,
    sshd_command,
    tinysshd,
)
from tests.remote.shells import HERE, SHELLS, gone, marked


@pytest.fixture(scope="session")
def make_key(tmp_path_factory: pytest.TempPathFactory) -> MakeKey:
    """Return a function that makes a fresh key pair of a kind (`ed25519`, `ecdsa`, `rsa`)."""
    kinds = {"ed25519": "ssh-ed25519", "ecdsa": "ecdsa-sha2-nistp256", "rsa": "ssh-rsa"}

    def make(kind: str) -> Keys:
        key = asyncssh.generate_private_key(kinds[kind], comment="a test key")
        path = tmp_path_factory.mktemp("keys") / f"id_{kind}"
        path.touch(mode=0o600)
        key.write_private_key(path)
        key.write_public_key(path.with_suffix(".pub"))
        return Keys(path=path, public=key.export_public_key().decode().strip())

    return make


@pytest.fixture(scope="session")
def user_key(make_key: MakeKey) -> Keys:
    """Return the key that every test server lets in."""
    return make_key("ed25519")


@pytest.fixture(scope="session")
def host_key(make_key: MakeKey) -> Keys:
    """Return the key that every test server proves itself with, unless a test says otherwise."""
    return make_key("ed25519")


@pytest.fixture
def reference(user_key: Keys) -> CredentialReference:
    """Return a reference to the user's key."""
    return CredentialReference(name="test", user=getpass.getuser(), key=str(user_key.path))


CORPORA = (
    "test_ssh_trust",
    "test_ssh_stages",
    "test_ssh_floods",
    "test_ssh_hostile",
    "test_sudo_hostile",
    "test_becoming_hostile",
    "test_files_hostile",
    "test_bundle_cuts",
    "test_login_shells",
)
"""Modules whose tests hold whichever way a host is reached, save those marked `asyncssh_only`."""
BY_A_SHELL = ("test_bundle_hosts", "test_bundle_starved")
"""Modules whose tests concern a shell of their own, here or behind a server."""
BY_BOTH = (*CORPORA, "test_ssh_login", "test_sudo_contract")
"""Modules whose tests hold for both SSH libraries."""


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Let what holds for every way of reaching a host be tested by each."""
    module = metafunc.module.__name__.rpartition(".")[2]
    only = metafunc.definition.get_closest_marker("asyncssh_only")
    if module in BY_BOTH and "reach" in metafunc.fixturenames and only is None:
        in_fabric = metafunc.definition.get_closest_marker("fabric_too") is not None
        ways = [name for name, reach in REACHES.items() if (in_fabric or not reach.fabric)]
        names = ways if module in CORPORA else ["asyncssh", "paramiko"]
        metafunc.parametrize("reach", [_reached(name) for name in names], indirect=True)
    elif module in BY_A_SHELL and "reach" in metafunc.fixturenames:
        in_fabric = metafunc.definition.get_closest_marker("fabric_too") is not None
        names = [name for name, reach in SHELL_REACHES.items() if in_fabric or not reach.fabric]
        metafunc.parametrize("reach", [_reached(name) for name in names], indirect=True)


def _reached(name: str) -> object:
    marks = [pytest.mark.server] if name in REACHES and REACHES[name].bastion == "sshd" else []
    return pytest.param(name, marks=marks, id=name)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Keep of each module a share of what is reached in other ways than the usual one, of each way at least one test, always
    the same; all of it in a soak."""
    if SOAK:
        return
    by_way: dict[tuple[Path, str], list[pytest.Item]] = {}
    for item in items:
        if (way := _way_of(item)) is not None:
            by_way.setdefault((item.path, way.name), []).append(item)
    left_out = {item for those in by_way.values() for item in _left_out(those)}
    config.hook.pytest_deselected(items=list(left_out))
    items[:] = [item for item in items if item not in left_out]


def _left_out(items: list[pytest.Item]) -> list[pytest.Item]:
    """Return which of a module's tests by one way are for a soak only."""
    drawn = {item: crc32(item.nodeid.encode()) for item in items}
    way = _way_of(items[0])
    assert way is not None
    kept = {item for item, number in drawn.items() if number % way.one_in == 0} or {min(drawn, key=drawn.__getitem__)}
    return [item for item in items if item not in kept]


def _way_of(item: pytest.Item) -> Reach | None:
    spec = getattr(item, "callspec", None)
    name = "" if spec is None else str(spec.params.get("reach"))
    return (SHELL_REACHES if item.path.stem in BY_A_SHELL else REACHES).get(name)


@pytest.fixture
def reach(request: pytest.FixtureRequest) -> Reach:
    """Return how the connectors of a test come to hosts."""
    name = getattr(request, "param", "asyncssh")
    return REACHES.get(name) or SHELL_REACHES[name]


@pytest.fixture
def bastion(reach: Reach, request: pytest.FixtureRequest, reference: CredentialReference) -> Host | None:
    """Return the host in front of all others, None where there is none."""
    if not reach.bastion:
        return None
    stock = reach.bastion == "sshd"
    port = request.getfixturevalue("stock_sshd")[0] if stock else request.getfixturevalue("practice_port")
    return the_bastion(reach, port, reference)


@pytest.fixture(scope="session")
def practice_port(tmp_path_factory: pytest.TempPathFactory, host_key: Keys, user_key: Keys) -> Iterator[int]:
    """Start asyncssh's server as a host that others are reached through; return its port."""
    with practice_bastion(tmp_path_factory.mktemp("bastion"), host_key, user_key) as port:
        yield port


@pytest.fixture
def connector(tmp_path: Path, host_key: Keys, reach: Reach, bastion: Host | None) -> MakeConnector:
    """Return a function that makes a connector trusting `known` (default: the host key) for the hosts named."""

    def make(*names: str, known: tuple[HostKey, ...] | None = None, **options: object) -> SshConnector:
        trusted = KnownHosts(tmp_path / "trust" / "known_hosts")
        for name in names or ("node",):
            trusted.add(name, *((known_key(host_key),) if known is None else known))
        if bastion is not None:
            trusted.add(bastion.name, known_key(host_key))
        given: dict[str, object] = {
            "known_hosts": trusted,
            "credentials": CredentialStore(masker=Masker()),
            "breaker": Breaker(),
            "connect_deadline_s": 20.0,
        }
        return Reaching(reach, bastion, **(given | options))

    return make


@pytest.fixture
def with_shell(reach: Reach, practice: StartPractice, connector: MakeConnector) -> WithShell:
    """Return a function that gives a host whose shell is those words, here or behind a server, as a test's `reach` says."""

    def start(*shell: str) -> Asked:
        return LocalSession(HERE, shell=shell) if reach.local else AskedOverSsh(shell, practice, connector)

    return start


@pytest.fixture
def agent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Start an SSH agent that holds nothing; end it, by pid."""
    socket = tmp_path / "agent"
    with subprocess.Popen(["ssh-agent", "-D", "-a", str(socket)], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        monkeypatch.setenv("SSH_AUTH_SOCK", str(socket))
        yield socket
        process.terminate()


# --- an asyncssh server in this process, with a real /bin/sh behind it ---------------------------------------------


@pytest.fixture
async def practice(host_key: Keys, user_key: Keys, reference: CredentialReference) -> AsyncIterator[StartPractice]:
    """Return a coroutine function that starts an asyncssh server; it ends with the test."""
    started: list[Practice] = []

    async def start(
        *,
        keys: tuple[Keys, ...] = (),
        accepts: str | None = None,
        password: str | None = None,
        process: Process = run_a_shell,
        name: str = "node",
        credential: CredentialReference | None = None,
        server: type[PracticeServer] = PracticeServer,
        **options: object,
    ) -> Practice:
        seen = Seen()
        listening = await asyncssh.listen(
            "127.0.0.1",
            0,
            server_factory=lambda: server(seen, user_key.public if accepts is None else accepts, password),
            server_host_keys=[str(key.path) for key in keys or (host_key,)],
            process_factory=process,
            encoding=None,
            **options,
        )
        host = Host(name=name, address="127.0.0.1", port=listening.get_port(), credential=credential or reference)
        started.append(Practice(host=host, seen=seen, server=listening))
        return started[-1]

    yield start
    for running in started:
        await running.end()
    await no_more_tasks()


@pytest.fixture
async def asyncssh_session(practice: StartPractice, connector: MakeConnector) -> AsyncIterator[Session]:
    """Return a session to the asyncssh server."""
    running = await practice()
    async with connector()(running.host) as session:
        yield session


# --- OpenSSH -------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def openssh_port(tmp_path_factory: pytest.TempPathFactory, host_key: Keys, user_key: Keys) -> Iterator[int]:
    """Start OpenSSH's sshd on loopback and return its port."""
    folder = tmp_path_factory.mktemp("sshd")
    settings = {"PasswordAuthentication": "no", "PrintMotd": "no", "MaxStartups": "600", "Subsystem": "sftp internal-sftp"}
    port, command = sshd_command(folder, host_key, user_key, **settings)
    with serving([*command, "-e"], b"Server listening", folder / "log"):
        yield port


@pytest.fixture
async def openssh_session(
    openssh_port: int, reference: CredentialReference, connector: MakeConnector
) -> AsyncIterator[Session]:
    """Return a session to OpenSSH."""
    async with connector()(Host(name="node", address="127.0.0.1", port=openssh_port, credential=reference)) as session:
        yield session


@pytest.fixture(scope="session")
def stock_sshd(tmp_path_factory: pytest.TempPathFactory, host_key: Keys, user_key: Keys) -> Iterator[tuple[int, Path]]:
    """Start an sshd with the limits that it comes with: MaxStartups 10:30:100, MaxSessions 10. Its port and its log."""
    folder = tmp_path_factory.mktemp("bastion")
    port, command = sshd_command(folder, host_key, user_key)
    log = folder / "log"
    with subprocess.Popen([*command, "-E", str(log)]) as process:
        try:
            end = time.monotonic() + 30
            while not (log.exists() and b"Server listening" in log.read_bytes()):
                assert process.poll() is None and time.monotonic() < end
                time.sleep(0.02)
            yield port, log
        finally:
            process.terminate()


# --- dropbear, with busybox as /bin/sh -----------------------------------------------------------------------------


@pytest.fixture(scope="session")
def dropbear_port(tmp_path_factory: pytest.TempPathFactory, host_key: Keys, user_key: Keys) -> Iterator[int]:
    """Start dropbear in a mount namespace of its own, where `~` is a folder of ours, /bin/sh is busybox
    and no SFTP server can be started."""
    if os.geteuid() != 0:
        pytest.skip("dropbear reads ~/.ssh of a real user: needs root for a mount namespace")
    folder, port = tmp_path_factory.mktemp("dropbear"), free_port()
    home = folder / "home"
    (home / ".ssh").mkdir(parents=True, mode=0o700)
    home.chmod(0o700)
    (home / ".ssh" / "authorized_keys").write_text(user_key.public + "\n")
    (home / ".ssh" / "authorized_keys").chmod(0o600)
    key = folder / "host_key"
    subprocess.run(["dropbearconvert", "openssh", "dropbear", host_key.path, key], check=True, capture_output=True)
    hidden = '[ ! -e /usr/lib/sftp-server ] || mount --bind /dev/null "$(readlink -f /usr/lib/sftp-server)"'
    script = (
        hidden
        + ' && mount --bind "$1" "$HOME" && mount --bind "$2" /bin/sh && exec "$3" -F -E -p "127.0.0.1:$4" -r "$5" -P "$6"'
    )
    busybox, dropbear = shutil.which("busybox", path=SBIN), shutil.which("dropbear", path=SBIN)
    words = [home, busybox, dropbear, port, key, folder / "pid"]
    command = ["env", "HOME=/root", "unshare", "-m", "/bin/bash", "-c", script, "bash", *map(str, words)]
    with serving(command, b"Not backgrounding", folder / "log"):
        yield port


@pytest.fixture
async def dropbear_session(
    dropbear_port: int, reference: CredentialReference, connector: MakeConnector
) -> AsyncIterator[Session]:
    """Return a session to dropbear on busybox."""
    async with connector()(Host(name="node", address="127.0.0.1", port=dropbear_port, credential=reference)) as session:
        yield session


# --- tinyssh -------------------------------------------------------------------------------------------------------


@pytest.fixture
async def tinysshd_session(
    tmp_path_factory: pytest.TempPathFactory, user_key: Keys, reference: CredentialReference, connector: MakeConnector
) -> AsyncIterator[Session]:
    """Return a session to tinyssh, which has no SFTP server."""
    if os.geteuid() != 0:
        pytest.skip("tinysshd reads ~/.ssh of a real user: needs root for a mount namespace")
    with tinysshd(tmp_path_factory.mktemp("tinysshd"), user_key) as port:
        host = Host(name="node", address="127.0.0.1", port=port, credential=reference)
        (offered,) = await offered_keys(host)
        async with connector(known=(offered.key,))(host) as session:
            yield session


# --- dropbear behind OpenSSH ---------------------------------------------------------------------------------------


@pytest.fixture
async def jumped_session(
    openssh_port: int, dropbear_port: int, reference: CredentialReference, connector: MakeConnector
) -> AsyncIterator[Session]:
    """Return a session to dropbear on busybox through OpenSSH."""
    gate = Host(name="gate", address="127.0.0.1", port=openssh_port, credential=reference)
    host = Host(name="node", address="127.0.0.1", port=dropbear_port, credential=reference, via=gate)
    async with connector("gate", "node")(host) as session:
        yield session


# --- the same by paramiko ------------------------------------------------------------------------------------------


@pytest.fixture
async def paramiko_session(
    openssh_port: int, reference: CredentialReference, connector: MakeConnector
) -> AsyncIterator[Session]:
    """Return a session by paramiko to OpenSSH."""
    host = by_paramiko(Host(name="node", address="127.0.0.1", port=openssh_port, credential=reference))
    async with connector()(host) as session:
        yield session


@pytest.fixture
async def paramiko_dropbear_session(
    dropbear_port: int, reference: CredentialReference, connector: MakeConnector
) -> AsyncIterator[Session]:
    """Return a session by paramiko to dropbear on busybox."""
    host = by_paramiko(Host(name="node", address="127.0.0.1", port=dropbear_port, credential=reference))
    async with connector()(host) as session:
        yield session


@pytest.fixture
async def paramiko_jumped_session(
    openssh_port: int, dropbear_port: int, reference: CredentialReference, connector: MakeConnector
) -> AsyncIterator[Session]:
    """Return a session to dropbear on busybox through OpenSSH, both by paramiko."""
    gate = Host(name="gate", address="127.0.0.1", port=openssh_port, credential=reference)
    host = by_paramiko(Host(name="node", address="127.0.0.1", port=dropbear_port, credential=reference, via=gate))
    async with connector("gate", "node")(host) as session:
        yield session


# --- this machine --------------------------------------------------------------------------------------------------


@pytest.fixture
async def local_session() -> AsyncIterator[Session]:
    """Return a session to this machine without a network."""
    async with open_local(Host(name="here", address="127.0.0.1", transport=Transport.LOCAL)) as session:
        yield session


@pytest.fixture
def everybodys() -> Iterator[Path]:
    """Return a folder that every user may enter; pytest's own is closed to others whenever another run of it begins."""
    with tempfile.TemporaryDirectory(prefix="longarm-test-") as name:
        Path(name).chmod(0o755)
        yield Path(name)


# --- what is left behind -------------------------------------------------------------------------------------------


@pytest.fixture
def nothing_stays(bastion: Host | None) -> Iterator[None]:
    """Compare open files and threads before and after everything a test started has ended, save the bastion."""
    gc.collect()  # what earlier tests left to the collector would be missing afterwards
    before = open_files(), threads()
    yield
    for thread in threading.enumerate():
        if thread.name.startswith(("longarm channel", "asyncio-waitpid")):
            thread.join(2)  # paramiko looks every 0.1 s whether a line is gone; a practice host's shell ends after it
    assert (open_files(), threads()) == before


@pytest.fixture(scope="session")
def applets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with busybox under all its names, and nothing else."""
    folder = tmp_path_factory.mktemp("applets")
    busybox = shutil.which("busybox")
    assert busybox
    subprocess.run([busybox, "--install", "-s", str(folder)], check=True)
    return folder


@pytest.fixture(params=SHELLS)
async def session(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, applets: Path
) -> AsyncIterator[LocalSession]:
    if request.param == "ash":
        monkeypatch.setenv("PATH", str(applets))
        opened = LocalSession(HERE, shell=(str(applets / "sh"),))
    else:
        opened = LocalSession(HERE, shell=SHELLS[request.param])
    yield opened
    await opened.leave()


@pytest.fixture
def mark() -> Iterable[str]:
    name = secrets.token_hex(8)
    yield name
    assert gone(name), marked(name)
