"""First contact by paramiko: the keys that a host proves to hold; no user name and no proof is sent."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from inventory.errors import Text
from inventory.host import Host
from remote.errors import ConnectFailed, DeadlineExceeded
from remote.ssh_errors import reason_of
from remote.ssh_library import asyncssh
from remote.ssh_options import host_key_kinds
from remote.threaded.library import paramiko
from remote.threaded.session import Line
from remote.threaded.transport import CountedIntake, Transport, Wire
from remote.ways import Way


async def keys_of(host: Host, way: Way, deadline_s: float) -> tuple[bytes, ...]:
    """Return the wire form of each key that the host offers, one of each kind that it has; raises as `offered_keys` does."""
    kinds = host_key_kinds(host.ssh.old_algorithms).values()
    try:
        async with asyncio.timeout(deadline_s):
            answers = [await _key_of(host, way, algorithms) for algorithms in kinds]
    except TimeoutError as error:
        raise DeadlineExceeded(host.name, deadline_s) from error
    if keys := tuple(answer for answer in answers if isinstance(answer, bytes)):
        return keys
    reasons = dict.fromkeys(answer for answer in answers if isinstance(answer, str))
    raise ConnectFailed(host.name, "; ".join(reasons) or Text("the host offers no kind of key that is accepted"))


async def _key_of(host: Host, way: Way, algorithms: Sequence[str]) -> bytes | str | None:
    """Return the key that the host proves with these algorithms; None if it has none; else what went wrong."""
    shown: list[bytes] = []

    def seen(key: bytes) -> None:
        shown.append(key)
        raise asyncssh.HostKeyNotVerifiable("seen")

    try:
        intake = CountedIntake(way)
        transport = Transport(Wire(await way.socket(), intake), seen, algorithms, host.ssh.old_algorithms)
    except OSError as error:
        return reason_of(error)
    line = Line(transport, intake)
    try:
        await line.worker.call(transport.start_client)
    except paramiko.ssh_exception.IncompatiblePeer as error:
        return None if "host key" in str(error) else str(error)
    except (paramiko.SSHException, asyncssh.Error, EOFError, OSError) as error:
        return shown[0] if shown else line.why() or reason_of(error)
    finally:
        await line.close()
    return None
