"""Connecting and logging in by paramiko, within one deadline."""

from __future__ import annotations

import asyncio
from typing import Any, cast

from inventory.errors import Text
from inventory.ssh_settings import allowed_line
from remote.errors import AuthenticationRefused, ConnectFailed, DeadlineExceeded, RemoteError
from remote.keepalive import watch_over
from remote.session import SessionFacts
from remote.ssh_facts import negotiated
from remote.ssh_login import Login
from remote.ssh_options import host_key_algorithms
from remote.threaded.errors import threaded_error
from remote.threaded.library import paramiko
from remote.threaded.login import prove
from remote.threaded.peer import Peer
from remote.threaded.session import Line
from remote.threaded.transport import CountedIntake, Transport, Wire
from remote.ways import Way


async def logged_in(login: Login, way: Way, deadline_s: float) -> Line:
    """Return a connection that is logged in, or raise a RemoteError; whoever has it closes it."""
    opening = _Opening(login, way)
    try:
        async with asyncio.timeout(deadline_s) as login.deadline:
            return await opening.line()
    except BaseException as error:
        await opening.close()
        if not isinstance(error, Exception):
            raise
        refusal = _refusal(error, login, opening, deadline_s)
        if isinstance(refusal, AuthenticationRefused):
            login.rejected()
        if isinstance(refusal, ConnectFailed) and not login.greeted:
            refusal = await way.failure(refusal)
        raise refusal from error


def _refusal(error: Exception, login: Login, opening: _Opening, deadline_s: float) -> RemoteError:
    if isinstance(error, TimeoutError) and login.deadline is not None and login.deadline.expired():
        if login.reached:
            return DeadlineExceeded(login.host.name, deadline_s)
        return ConnectFailed(login.host.name, Text("no answer within {deadline_s} s", deadline_s=f"{deadline_s:g}"))
    return threaded_error(opening.flooded or error, login)


class _Opening:
    def __init__(self, login: Login, way: Way) -> None:
        self._login, self._way = login, way
        self._line: Line | None = None

    @property
    def flooded(self) -> Exception | None:
        """Return what is to be said of a host that sent too much."""
        return self._line.transport.wire.flooded if self._line is not None else None

    async def line(self) -> Line:
        """Connect, verify the host, and log in."""
        login, intake = self._login, CountedIntake(self._way)
        wire = await self._way.socket()
        watch_over(wire)
        login.reached = True
        old, authorities = login.host.ssh.old_algorithms, bool(login.trust.authorities)
        algorithms = host_key_algorithms(login.trust.key_types, old, certificates=authorities)
        transport = Transport(Wire(wire, intake), login.verified, algorithms, old)
        self._line, peer = Line(transport, intake), Peer(transport)
        login.connection = cast("Any", peer)
        await self._line.worker.call(transport.start_client)
        await prove(transport, peer, login, self._line.worker, self._line.home)
        login.accepted()
        return self._line

    async def close(self) -> None:
        """Cut what stands of the connection."""
        if self._line is not None:
            await self._line.close()


def facts_of(login: Login, line: Line, instead_of: str) -> SessionFacts:
    """Return who we are on the host, how it proved itself, what was negotiated, and by which library and why."""
    library = f"paramiko {paramiko.__version__}" + (f" (asyncssh: {instead_of})" if instead_of else "")
    return SessionFacts(
        transport="ssh",
        user=login.credential.user,
        credential=login.credential.name if login.tried else "",
        proofs=", ".join(login.tried),
        via=login.host.via.name if login.host.via else "",
        proxy=line.intake.way.between,
        host_key=login.proof.key.fingerprint if login.proof is not None else "",
        host_certificate=login.proof.told if login.proof is not None else "",
        algorithms=(*negotiated(login.connection), ("library", library)) if login.connection is not None else (),
        allowed=allowed_line(login.host.ssh.old_algorithms),
        once=login.once,
    )
