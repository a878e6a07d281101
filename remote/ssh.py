"""SSH: one verified, logged-in connection to a host, by the library that it needs.

Every wait is inside a deadline of ours (asyncssh's defaults still hung after 45 s on 5 of 7 hostile servers:
measured), and the transport is gone when the context is left, whatever the host does.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, TypeAlias, TypeVar

from inventory.errors import Text
from inventory.host import METHODS, Host, Platform, SshLibrary
from inventory.ssh_settings import allowed_line
from remote.become_password import BecomePassword
from remote.breaker import Breaker
from remote.brief_session import BriefSession
from remote.credentials import CredentialStore
from remote.errors import AuthenticationRefused, ConnectFailed, CredentialUnusable, DeadlineExceeded, RemoteError
from remote.jumps import Gate, Jumps
from remote.known_hosts import KnownHosts
from remote.one_time_codes import Codes, Place
from remote.proxies import Proxies
from remote.rotation import Announced, Rotation, rotation
from remote.session import Session, SessionFacts
from remote.ssh_errors import connect_error
from remote.ssh_facts import negotiated
from remote.ssh_intake import Intake
from remote.ssh_library import asyncssh
from remote.ssh_login import Login
from remote.ssh_options import PORT, login_options
from remote.ssh_quirks import takes_one_command
from remote.ssh_session import SshSession
from remote.used_codes import UsedCodes
from remote.ways import Way

if TYPE_CHECKING:
    from remote.threaded.session import Line

T = TypeVar("T")
Entering: TypeAlias = AbstractAsyncContextManager[T]
Open: TypeAlias = Callable[[Host], Entering[T]]

_LEAVING_S = 1.0
_PASSED_ON = 2**50
"""Bytes that may come over a connection which others go through: each of these has an allowance of its own."""
_MOST_LINES = 32
"""How many sessions by paramiko there are at once: each has threads. Gates are not counted: hosts wait for them."""


class SshConnector:
    """Opens SSH sessions: trusts what `known_hosts` holds under the inventory's name, offers what the store resolves."""

    def __init__(
        self,
        *,
        known_hosts: KnownHosts,
        credentials: CredentialStore,
        breaker: Breaker,
        codes: Codes | None = None,
        connect_deadline_s: float = 15.0,
    ) -> None:
        self._known_hosts, self._credentials, self._breaker = known_hosts, credentials, breaker
        self._codes = codes or Codes(UsedCodes())
        self._connect_deadline_s = connect_deadline_s
        self._jumps = Jumps(self._jump, Proxies(credentials, breaker))
        self._lines = asyncio.Semaphore(_MOST_LINES)

    @asynccontextmanager
    async def __call__(self, host: Host) -> AsyncIterator[Session]:
        """Connect, verify the host and log in, or raise a RemoteError; leaving closes the connection and never raises."""
        async with AsyncExitStack() as stack:
            yield await self._entered(stack, host, self._usual_session, self._threaded_session)

    async def _entered(self, stack: AsyncExitStack, host: Host, usual: Open[T], threaded: Callable[..., Entering[T]]) -> T:
        """Return what a context gives, of the library that the inventory names for the host."""
        instead_of = ""
        if host.ssh.library is not SshLibrary.PARAMIKO:
            try:
                return await stack.enter_async_context(usual(host))
            except ConnectFailed as error:
                if host.ssh.library is not SshLibrary.EITHER or not error.not_spoken:
                    raise
                instead_of = str(error)
        return await stack.enter_async_context(threaded(host, instead_of))

    @asynccontextmanager
    async def _session(self, host: Host) -> AsyncIterator[Session]:
        async with self._logged_in(host) as (login, intake, connection):
            if host.platform is Platform.WINDOWS:
                from remote.windows.by_asyncssh import windows_session

                yield windows_session(host, connection, intake, facts_of(login, connection, intake))
                return
            become_password = BecomePassword.of(host, login.credential, self._breaker)
            session = SshSession(host, connection, intake, facts_of(login, connection, intake), become_password)
            try:
                yield session
            finally:
                await session.leave()

    @asynccontextmanager
    async def _usual_session(self, host: Host) -> AsyncIterator[Session]:
        async with self._session(host) as session:
            if not isinstance(session, SshSession) or not takes_one_command(session.version):
                yield session
                return
            brief = BriefSession(session, self._session)
            try:
                yield brief
            finally:
                await brief.leave()

    @asynccontextmanager
    async def _threaded_session(self, host: Host, instead_of: str) -> AsyncIterator[Session]:
        from remote.threaded.connector import facts_of as threaded_facts
        from remote.threaded.session import ThreadedSession

        async with self._line(host, Place(self._lines)) as (login, line):
            if host.platform is Platform.WINDOWS:
                from remote.threaded.session import windows_session

                yield windows_session(host, line, threaded_facts(login, line, instead_of))
                return
            become_password = BecomePassword.of(host, login.credential, self._breaker)
            yield ThreadedSession(host, line, threaded_facts(login, line, instead_of), become_password)

    def way_to(self, host: Host) -> AbstractAsyncContextManager[Way]:
        """Return the context of the way to a host; entering raises JumpFailed."""
        return self._jumps.way_to(host)

    async def rotation(self, host: Host) -> Rotation:
        """Log in and return which keys the host has beside those that are known; raises TellsNoKeys or what `__call__` does."""
        announced = Announced()
        async with self._logged_in(host, announced) as (login, _, _):
            assert login.proof is not None
            return rotation(login.trust, login.proof, await announced.keys(host, self._connect_deadline_s))

    @asynccontextmanager
    async def _jump(self, host: Host) -> AsyncIterator[Gate]:
        async with AsyncExitStack() as stack:
            yield await self._entered(stack, host, self._gate, self._threaded_gate)

    @asynccontextmanager
    async def _gate(self, host: Host) -> AsyncIterator[Gate]:
        async with self._logged_in(host) as (_, intake, connection):
            intake.allow(_PASSED_ON)
            yield SshGate(connection)

    @asynccontextmanager
    async def _threaded_gate(self, host: Host, _: str) -> AsyncIterator[Gate]:
        from remote.threaded.session import ThreadedGate

        async with self._line(host, Place(None)) as (_login, line):
            line.intake.allow(_PASSED_ON)
            yield ThreadedGate(line)

    @asynccontextmanager
    async def _begun(self, host: Host) -> AsyncIterator[tuple[Login, Way, Place]]:
        """Yield the login to a host that is still to be made, the way there, and its place among those that want a code."""
        trust = self._known_hosts.trust(host)
        credential = await self._credentials.resolve(host)
        self._breaker.check(host, credential)
        async with self._jumps.way_to(host) as way, self._codes.place(credential.otp) as place:
            yield Login(host, credential, trust, self._breaker, self._codes), way, place

    @asynccontextmanager
    async def _line(self, host: Host, room: Place) -> AsyncIterator[tuple[Login, Line]]:
        """Yield a connection by paramiko that is logged in, made once there is room for it."""
        from remote.threaded.connector import logged_in

        async with self._begun(host) as (login, way, place):
            options_for(login)  # raises for a user that no host can have
            await room.take()
            try:
                line = await logged_in(login, way, self._connect_deadline_s)
                try:
                    await login.close()
                    place.leave()
                    yield login, line
                finally:
                    await line.close()
            finally:
                await login.close()
                room.leave()

    @asynccontextmanager
    async def _logged_in(
        self, host: Host, announced: Announced | None = None
    ) -> AsyncIterator[tuple[Login, Intake, asyncssh.SSHClientConnection]]:
        async with self._begun(host) as (login, way, place):
            intake = Intake(way)
            try:
                connection = await self._log_in(login, intake, announced)
            except BaseException:
                await login.close()
                raise
            try:
                await login.close()
                place.leave()
                yield login, intake, connection
            finally:
                await hang_up(connection)

    async def _log_in(self, login: Login, intake: Intake, announced: Announced | None) -> asyncssh.SSHClientConnection:
        options = options_for(login)
        if announced is not None:
            options = asyncssh.SSHClientConnectionOptions(options, server_host_keys_handler=announced)
        try:
            async with asyncio.timeout(self._connect_deadline_s) as login.deadline:
                connection = await asyncssh.connect(
                    login.host.address,
                    login.host.port or PORT,
                    options=options,
                    tunnel=intake,
                    client_factory=lambda: login,
                )
        except Exception as error:
            if isinstance(error, TimeoutError) and login.deadline is not None and login.deadline.expired():
                refusal: RemoteError = self._too_slow(login)
            else:
                refusal = connect_error(error, login)
            if isinstance(refusal, AuthenticationRefused):
                login.rejected()
            if isinstance(refusal, ConnectFailed) and not login.greeted:
                refusal = await intake.way.failure(refusal)
            raise refusal from error
        login.accepted()
        return connection

    def _too_slow(self, login: Login) -> ConnectFailed | DeadlineExceeded:
        if login.reached:
            return DeadlineExceeded(login.host.name, self._connect_deadline_s)
        reason = Text("no answer within {deadline_s} s", deadline_s=f"{self._connect_deadline_s:g}")
        return ConnectFailed(login.host.name, reason)


class SshGate:
    """A connection of asyncssh that others go through."""

    def __init__(self, connection: asyncssh.SSHClientConnection) -> None:
        self._connection = connection

    def is_closed(self) -> bool:
        """Tell whether nothing goes through it any more."""
        return self._connection.is_closed()

    def way_to(self, host: Host) -> Way:
        """Return the way through it."""
        from remote.tunnels import Tunnel

        return Tunnel(host, self._connection)


def options_for(login: Login) -> asyncssh.SSHClientConnectionOptions:
    """Return the shared options of all logins like this one, or raise CredentialUnusable for a user no host can have."""
    credential, authorities = login.credential, bool(login.trust.authorities)
    try:
        return login_options(
            credential.user,
            methods=tuple(dict.fromkeys((*credential.methods, *METHODS))),
            known_types=login.trust.key_types,
            certificates=authorities,
            old=login.host.ssh.old_algorithms,
        )
    except ValueError as error:  # RFC 4013 forbids some characters
        reason = Text("not a user name: {reason}", reason=str(error))
        raise CredentialUnusable(login.host.name, credential.name, reason) from error


def facts_of(login: Login, connection: asyncssh.SSHClientConnection, intake: Intake) -> SessionFacts:
    """Return who we are on the host, how it proved itself and what was negotiated."""
    return SessionFacts(
        transport="ssh",
        user=login.credential.user,
        credential=login.credential.name if login.tried else "",
        proofs=", ".join(login.tried),
        via=login.host.via.name if login.host.via else "",
        proxy=intake.way.between,
        host_key=login.proof.key.fingerprint if login.proof is not None else "",
        host_certificate=login.proof.told if login.proof is not None else "",
        algorithms=negotiated(connection),
        allowed=allowed_line(login.host.ssh.old_algorithms),
        once=login.once,
    )


async def hang_up(connection: asyncssh.SSHClientConnection) -> None:
    """Close the connection for good, also when cancelled; never raises for what the host does, and never waits for it."""
    connection.close()
    try:
        async with asyncio.timeout(_LEAVING_S):
            await connection.wait_closed()
    except TimeoutError:
        pass
    finally:
        connection.abort()
