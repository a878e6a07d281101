"""The background process of the lab: a server for each practice host, SSH or WS-Management, all in one event loop.

It is started by `remote.lab.keeper` with the path of a plan, writes one line of JSON with the
ports it got to stdout as soon as every host listens, and runs until it is told to end.
"""

from __future__ import annotations

import asyncio
import json
import signal
import socket
import sys
from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncssh

from inventory.host import Platform
from remote.answer import Answer
from remote.lab.replies import reply_to
from remote.lab.scenarios import Behaviour, Scenario, scenarios
from remote.lab.shell import AT_ONCE, run

LOOPBACK = "127.0.0.1"
_BACKLOG = 128


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedHost:
    """One practice host: its name, its scenario, the private key it proves itself with, and the world of its shell."""

    name: str
    scenario: str
    key: str
    """The key itself; of a Windows host the file with its key and certificate."""
    world: str = ""
    """The file of what its real shell sees; empty: it answers from captures."""


class Login(asyncssh.SSHServer):
    """Takes the one key that was made for this lab, for any user name; passwords are not offered."""

    def password_auth_supported(self) -> bool:
        """Offer no passwords."""
        return False

    def kbdint_auth_supported(self) -> bool:
        """Offer no questions either."""
        return False


async def serve(hosts: Sequence[PlannedHost], authorized_keys: str, trainee: str, staying: AsyncExitStack) -> dict[str, int]:
    """Start every practice host and return their ports by name; the servers live as long as the loop, or `staying`.

    `trainee` is the file with the certificate that Windows hosts let in.
    """
    authorized = asyncssh.import_authorized_keys(authorized_keys)
    slots = asyncio.Semaphore(AT_ONCE)
    ports = {}
    for host in hosts:
        scenario = scenarios()[host.scenario]
        if scenario.platform is Platform.WINDOWS:
            ports[host.name] = await staying.enter_async_context(windows(scenario, Path(host.key), Path(trainee)))
            continue
        listening = reserved_port()
        ports[host.name] = int(listening.getsockname()[1])
        if scenario.behaviour is Behaviour.CLOSED:
            _KEPT.append(listening)  # bound and never listening: whoever calls is turned away, and nobody else gets the port
            continue
        await asyncssh.listen(
            sock=listening,
            server_factory=Login,
            server_host_keys=[asyncssh.import_private_key(host.key)],
            authorized_client_keys=authorized,
            process_factory=practising_in_shell(Path(host.world), slots) if host.world else practising(scenario.answers()),
            line_editor=False,
            encoding=None,
            backlog=_BACKLOG,
            sftp_factory=None,
            allow_scp=False,
            agent_forwarding=False,
            x11_forwarding=False,
        )
    return ports


_KEPT: list[socket.socket] = []


def windows(scenario: Scenario, own: Path, trainee: Path) -> AbstractAsyncContextManager[int]:
    """Return what lets a practice Windows host listen, and gives its port: HTTPS, and the trainee's certificate."""
    from remote.lab.certificates import server_side
    from remote.lab.windows.everyday import Everyday
    from remote.lab.windows.faults import ENGLISH
    from remote.lab.windows.host import WindowsHost
    from remote.lab.windows.login import Doors
    from remote.lab.windows.replies import Captured

    answers = Everyday(scenario.answers(), scenario.powershell)
    captured = Captured(answers=answers, version=scenario.powershell, admin=scenario.root)
    host = WindowsHost(captured, doors=Doors(schemes=("certificate",)), language=scenario.language or ENGLISH)
    return host.listening(server_side(own, trainee))


def reserved_port() -> socket.socket:
    """Return a socket bound to a free port of the loopback interface, not listening yet."""
    bound = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    bound.setblocking(False)
    bound.bind((LOOPBACK, 0))
    return bound


def practising(answers: Mapping[str, Answer]) -> asyncssh.SSHServerProcessFactory[bytes]:
    """Return what handles a command on a host that gives these answers."""

    async def handle(process: asyncssh.SSHServerProcess[bytes]) -> None:
        try:
            process.exit(await reply_to(process, answers))
        except (asyncssh.Error, OSError):
            process.close()  # the caller left: nobody is owed an answer

    return handle


def practising_in_shell(world: Path, slots: asyncio.Semaphore) -> asyncssh.SSHServerProcessFactory[bytes]:
    """Return what handles a command on a host with a real shell."""

    async def handle(process: asyncssh.SSHServerProcess[bytes]) -> None:
        try:
            process.exit(await run(process, world, slots))
        except (asyncssh.Error, OSError):
            process.close()  # as above

    return handle


async def main(planned: Mapping[str, Any]) -> None:
    """Serve the hosts of a plan until SIGTERM or SIGINT."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    hosts = [PlannedHost(**host) for host in planned["hosts"]]
    async with AsyncExitStack() as staying:
        ports = await serve(hosts, planned["authorized_keys"], planned["trainee"], staying)
        sys.stdout.write(json.dumps(ports) + "\n")
        sys.stdout.flush()
        await stop.wait()


if __name__ == "__main__":
    asyncio.run(main(json.loads(Path(sys.argv[1]).read_text())))
