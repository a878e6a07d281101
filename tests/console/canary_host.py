"""Forty hosts that know the secret they were shown, and say it: what the canary tests let longarm loose on."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from unicodedata import normalize

from remote.host_keys import HostKey
from remote.known_hosts import KnownHosts
from remote.ssh_library import asyncssh
from tests.remote.servers import _run as run_command
from tests.wires import WIRES

_SHAPES = (
    "Tr0ub4dor&{}", "it's {} o'clock", 'say "{}" twice', "pässwörd-{}", "пароль-{}", "$HOME`id`{}", "a  b {}",
    "C:\\x{}\\new", "{{{{ {} }}}}", "%s{}%d", "<b>{}</b>", "x{}" + "y" * 120, "p/w=+{}", "k{}!", "dots...{}",
    "-oProxyCommand={}", "#{} comment", "!{}!", "*{}?", "\\'{}\\'", "\\u0041{}", "&amp;{}", "密码{}", "ключ и {}",
    "{}==", "~{}", "'{}'", '"{}"', "${{{}}}", "a;b|c&{}", "(){}[]", "https://u:p{}@h/", "Bearer {}", "{}\\", "null{}",
    "0x{}", "e\u0301{}", "back`tick{}", "per%20cent{}", "new\\nline{}",
)  # fmt: skip
CANARIES = tuple(shape.format(f"c4nary{n:02}") for n, shape in enumerate(_SHAPES))
"""Forty secrets of every shape that people choose, each with a word of its own in it."""


def name_of(number: int) -> str:
    """Return the name of a host, which is also that of its user and its credential."""
    return f"canary-{number:02}"


class Server(asyncssh.SSHServer):
    """Lets each user in with the canary of theirs, or, where `refusing`, says in its banner what it was shown."""

    def __init__(self, *, refusing: bool, key: asyncssh.SSHKey) -> None:
        self.refusing, self.key = refusing, key
        self.connection: asyncssh.SSHServerConnection

    def connection_made(self, conn: asyncssh.SSHServerConnection) -> None:
        self.connection = conn

    def password_auth_supported(self) -> bool:
        return True

    def public_key_auth_supported(self) -> bool:
        return True

    def validate_public_key(self, username: str, key: asyncssh.SSHKey) -> bool:
        return key == self.key

    def validate_password(self, username: str, password: str) -> bool:
        if self.refusing:
            self.connection.send_auth_banner(f"no {password}, {username}\r\n")
            return False
        return password == normalize("NFKC", CANARIES[int(username.rpartition("-")[2])])  # as the client sends it (RFC 4013)


Shell = Callable[[str], list[str]]
"""Gives the words that start a user's shell; the command to run follows them."""


def a_shell(user: str) -> list[str]:
    """Return the shell of a user who is who runs the tests."""
    return ["/bin/sh", "-c"]


async def _run(process: asyncssh.SSHServerProcess[bytes], echo: Path, shell: Shell) -> None:
    """Run what is asked for in a real shell that finds the secret, in every form, in a file named by SAYS."""
    user = str(process.get_extra_info("username"))
    leaving = asyncio.create_task(_leave(process, user)) if (echo / "cut").exists() else None
    environ = (f"PATH={os.environ['PATH']}", f"SAYS={echo / user}")
    try:
        await run_command(process, "env", "-i", *environ, *shell(user), process.command or "exit")
    finally:
        if leaving is not None:
            leaving.cancel()


async def _leave(process: asyncssh.SSHServerProcess[bytes], user: str) -> None:
    """End the connection after a moment, with the secret in the reason."""
    await asyncio.sleep(2)
    connection = process.channel.get_connection()
    connection.disconnect(asyncssh.DISC_BY_APPLICATION, f"gone with {CANARIES[int(user.rpartition('-')[2])]}")


@asynccontextmanager
async def canary_hosts(
    home: Path, *, refusing: bool = False, key: asyncssh.SSHKey | None = None, shell: Shell = a_shell
) -> AsyncIterator[int]:
    """Serve the hosts on loopback and return their port; `home` knows their key, `home`/../echo holds what they say."""
    echo = home.parent / "echo"
    echo.mkdir(exist_ok=True)
    for number, canary in enumerate(CANARIES):
        spelt = dict.fromkeys((canary, normalize("NFKC", canary)))
        (echo / name_of(number)).write_text("".join(f"{w}: {write(one)}\n" for one in spelt for w, write in WIRES.items()))
    host_key = asyncssh.generate_private_key("ssh-ed25519")
    login = key or asyncssh.generate_private_key("ssh-ed25519")
    server = await asyncssh.listen(
        "127.0.0.1",
        0,
        server_factory=lambda: Server(refusing=refusing, key=login.convert_to_public()),
        server_host_keys=[host_key],
        process_factory=lambda process: _run(process, echo, shell),
        encoding=None,
    )
    known = KnownHosts(home / "known_hosts")
    for number in range(len(CANARIES)):
        known.add(name_of(number), HostKey.of(host_key.public_data))
    try:
        yield server.get_port()
    finally:
        server.close()
        await server.wait_closed()
