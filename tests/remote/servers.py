"""What the tests of sessions start: an asyncssh server in this process, programs beside it, and what they saw."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import shutil
import signal
import socket
import ssl
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from threading import Thread

from inventory.host import Host, SshLibrary
from remote.accepting import Serve, accepting
from remote.host_keys import HostKey
from remote.ssh import SshConnector
from remote.ssh_library import asyncssh

SBIN = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
NOBODY = 65534
MakeConnector = Callable[..., SshConnector]
MakeKey = Callable[[str], "Keys"]
Process = Callable[["asyncssh.SSHServerProcess[bytes]"], object]


@dataclass(slots=True, kw_only=True)
class Keys:
    """A key pair on disk and its public half as a line."""

    path: Path
    public: str


def known_key(keys: Keys, *, revoked: bool = False) -> HostKey:
    """Return the public half as the trust store holds it."""
    return HostKey.of(asyncssh.import_public_key(keys.public).public_data, revoked=revoked)


def by_paramiko(host: Host) -> Host:
    """Return the host as an inventory has it that says `ssh_library: paramiko`, the hosts on its way too."""
    way = None if host.via is None else by_paramiko(host.via)
    return replace(host, ssh=replace(host.ssh, library=SshLibrary.PARAMIKO), via=way)


def free_port() -> int:
    """Return a loopback port that nothing listens on now, below those that the system gives to connections of other tests."""
    given = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    chance = random.SystemRandom()  # each test begins with the same seed of the other one
    while True:
        with contextlib.suppress(OSError), socket.socket() as listener:
            listener.bind(("127.0.0.1", chance.randrange(given // 2, given)))
            return int(listener.getsockname()[1])


async def no_more_tasks() -> None:
    """Wait until this task is the only one; AssertionError with what is still there after 20 s."""
    if others := asyncio.all_tasks() - {asyncio.current_task()}:
        _, pending = await asyncio.wait(others, timeout=20)
        assert not pending, pending
        await no_more_tasks()


@contextlib.asynccontextmanager
async def on_loopback(serve: Serve, tls: ssl.SSLContext | None = None) -> AsyncIterator[int]:
    """Serve on a free port of the loopback interface, and yield it; every connection is gone at the end."""
    listener = socket.create_server(("127.0.0.1", 0))
    async with accepting(listener, serve, tls=tls):
        yield listener.getsockname()[1]


@dataclass(slots=True, kw_only=True)
class Seen:
    """What a server was shown: every proof that reached it."""

    users: list[str] = field(default_factory=list)
    keys: list[str] = field(default_factory=list)
    passwords: list[str] = field(default_factory=list)
    connections: list[asyncssh.SSHServerConnection] = field(default_factory=list)
    over: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when the test has ended: what hangs on purpose waits for it."""


class PracticeServer(asyncssh.SSHServer):
    """Lets in one key and one password, and notes everything it was shown."""

    def __init__(self, seen: Seen, accepts: str, password: str | None) -> None:
        self.seen, self.accepts, self.password = seen, accepts, password

    def connection_made(self, conn: asyncssh.SSHServerConnection) -> None:
        self.connection = conn
        self.seen.connections.append(conn)

    def begin_auth(self, username: str) -> bool:
        self.seen.users.append(username)
        return True

    def public_key_auth_supported(self) -> bool:
        return bool(self.accepts)

    def validate_public_key(self, username: str, key: asyncssh.SSHKey) -> bool:
        self.seen.keys.append(key.get_fingerprint())
        return bool(self.accepts) and key == asyncssh.import_public_key(self.accepts)

    def password_auth_supported(self) -> bool:
        return self.password is not None

    def validate_password(self, username: str, password: str) -> bool:
        self.seen.passwords.append(password)
        return password == self.password


async def run_a_shell(process: asyncssh.SSHServerProcess[bytes]) -> None:
    """Run what the client asks for with the real shell, both streams apart."""
    await _run(process, "/bin/sh", "-c", process.command or "exec /bin/sh")


def as_nobody(path: str) -> Process:
    """Return what runs a client's command as a user without any rights, with a PATH of the test's (needs root)."""
    become = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", "env", "-i", f"PATH={path}"]
    return behind(*become, "/bin/sh")


def behind(*shell: str) -> Process:
    """Return what runs a client's command by the words of a shell, with all that stands before it."""

    async def run(process: asyncssh.SSHServerProcess[bytes]) -> None:
        await _run(process, *shell, "-c", process.command or "exec /bin/sh")

    return run


def instead(*shell: str) -> Process:
    """Return what runs a shell of the test's own, whatever the client asks for, as a login shell may."""

    async def run(process: asyncssh.SSHServerProcess[bytes]) -> None:
        await _run(process, *shell)

    return run


async def _run(process: asyncssh.SSHServerProcess[bytes], *command: str) -> None:
    """Do as sshd does: a session of its own, and a client that leaves is the end of stdin, not a signal."""
    pipe = asyncio.subprocess.PIPE
    shell = await asyncio.create_subprocess_exec(
        *command, stdin=pipe, stdout=pipe, stderr=pipe, cwd="/", start_new_session=True
    )
    assert shell.stdin is not None and shell.stdout is not None and shell.stderr is not None
    feeding = asyncio.create_task(_feed(process.stdin, shell.stdin))
    try:
        await asyncio.gather(_copy(shell.stdout, process.stdout), _copy(shell.stderr, process.stderr))
        status = await shell.wait()
        if not process.is_closing():
            process.exit(status if status >= 0 else 255)
    finally:
        feeding.cancel()
        await asyncio.wait([feeding])
        if shell.returncode is None:
            os.killpg(shell.pid, signal.SIGKILL)
            await shell.wait()
        shell._transport.close()  # type: ignore[attr-defined]  # what left its group may hold the pipes: collected, they would be unclosed


async def _feed(source: asyncssh.SSHReader[bytes], sink: asyncio.StreamWriter) -> None:
    """Pass on what the client sends, and the end of it, which a client that hangs up sends too."""
    try:
        while data := await source.read(65536):
            sink.write(data)
            await sink.drain()
    except (ConnectionError, asyncssh.Error):
        pass
    finally:
        sink.close()


async def _copy(source: asyncio.StreamReader, sink: asyncssh.SSHWriter[bytes]) -> None:
    """Pass on what the command prints, and read on when nobody listens any more."""
    gone = False
    while data := await source.read(65536):
        try:
            if not gone:
                sink.write(data)
                await sink.drain()
        except (ConnectionError, asyncssh.Error):
            gone = True


@dataclass(slots=True, kw_only=True)
class Practice:
    """A running asyncssh server: where it is and what it has seen."""

    host: Host
    seen: Seen
    server: asyncssh.SSHAcceptor

    async def end(self) -> None:
        """End the server with its connections: what stands in between may not have closed them yet."""
        self.seen.over.set()
        self.server.close()
        await self.server.wait_closed()
        for connection in self.seen.connections:
            connection.abort()
            await connection.wait_closed()


StartPractice = Callable[..., Awaitable[Practice]]


def sshd_command(folder: Path, host_key: Keys, user_key: Keys, **settings: str) -> tuple[int, list[str]]:
    """Return a port and what starts OpenSSH's sshd on it, in the foreground, for whoever holds the user's key."""
    (folder / "authorized_keys").write_text(user_key.public + "\n")
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)  # sshd insists on it
    port = free_port()
    all_settings = {
        "ListenAddress": f"127.0.0.1:{port}",
        "HostKey": host_key.path,
        "AuthorizedKeysFile": folder / "authorized_keys",
        "PidFile": "none",
        "StrictModes": "no",
        "UsePAM": "no",
        **settings,
    }
    (folder / "sshd_config").write_text("".join(f"{name} {value}\n" for name, value in all_settings.items()))
    sshd = shutil.which("sshd", path=SBIN)
    assert sshd is not None
    return port, [sshd, "-D", "-f", str(folder / "sshd_config")]


@contextlib.contextmanager
def serving(command: list[str], ready: bytes, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Run a server until it says on stderr that it is ready; end it, by pid, at the end."""
    with log.open("wb") as kept, subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE) as process:
        assert process.stderr is not None
        try:
            for line in process.stderr:
                kept.write(line)
                if ready in line:
                    break
            else:
                raise AssertionError(f"{command[0]} did not start: {log.read_text()}")
            yield process
        finally:
            process.terminate()
            process.stderr.close()
            process.wait(timeout=10)


@contextlib.contextmanager
def tinysshd(folder: Path, user_key: Keys) -> Iterator[int]:
    """Serve tinysshd, one process for each connection, where `~` of root is a folder of ours."""
    keys, home = folder / "keys", folder / "home"
    subprocess.run(["tinysshd-makekey", keys], check=True, capture_output=True)
    (home / ".ssh").mkdir(parents=True, mode=0o700)
    (home / ".ssh" / "authorized_keys").write_text(user_key.public + "\n")
    (home / ".ssh" / "authorized_keys").chmod(0o600)
    script = 'mount --bind "$1" /root && exec "$2" -- "$3"'
    server = shutil.which("tinysshd", path=SBIN) or ""
    started: list[subprocess.Popen[bytes]] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            while True:
                try:
                    wire, _ = listener.accept()
                except OSError:
                    return
                with wire:
                    command = ["unshare", "-m", "bash", "-c", script, "bash", str(home), server, str(keys)]
                    started.append(
                        subprocess.Popen(command, stdin=wire.fileno(), stdout=wire.fileno(), stderr=subprocess.DEVNULL)
                    )

        thread = Thread(target=serve)
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join(10)
            for process in started:
                process.kill()
                process.wait(10)
