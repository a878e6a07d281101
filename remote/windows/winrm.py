"""WinRM: one logged-in connection to a Windows host, spoken by pywinrm in a thread of the session's own.

pywinrm blocks, so each session has a thread, and there are at most so many at once; the event loop only waits, and frees the
thread at the deadline by cutting the connection under it.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
import time
from collections.abc import AsyncIterator, Callable
from concurrent.futures import CancelledError
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace
from socket import socket
from typing import Final

from winrm.exceptions import AuthenticationError

from inventory.host import Host, Transport
from remote.breaker import Breaker, Turn
from remote.credentials import Credential, CredentialStore
from remote.errors import ConnectFailed, CredentialBlocked, RemoteError
from remote.hearing import hearing
from remote.known_hosts import KnownHosts, Trust
from remote.patience import patience
from remote.session import Session, SessionFacts
from remote.threaded.worker import Home, Worker
from remote.ways import Way
from remote.windows.doors import authentication, door_to, facts_of
from remote.windows.launch import Ending, Launch, Listener
from remote.windows.messages import Messages
from remote.windows.session import WindowsSession
from remote.windows.shell import TIDY_S, Carriage, Speaker
from remote.windows.troubles import ACCESS_DENIED, ACCESS_DENIED_HRESULT, CutOff, NotPinned, trouble_of
from remote.windows.trust import pinned
from remote.windows.winrm_errors import Attempt, connect_error, is_refusal
from remote.windows.wire import Wire

THREADS: Final = 32
_OVERTIME_S: Final = 0.4
"""After the deadline, until the thread is freed: most often it has ended by itself, with the connection still of use."""
_STUCK_S: Final = 0.4
"""After a connection was cut, until its thread is not waited for any more: no cut ends what asks a KDC that says nothing."""
_LEAVING_S: Final = 2.0
_DENIED: Final = frozenset({ACCESS_DENIED, ACCESS_DENIED_HRESULT})
_log = logging.getLogger(__name__)


class WinrmSession(WindowsSession):
    """An open WinRM connection to one host, as the `Session` protocol wants it."""

    has_variables = True

    def __init__(self, host: Host, line: Line, facts: SessionFacts) -> None:
        self.host, self.facts, self._line = host, facts, line
        self.piped = host.transport is Transport.PSRP

    @property
    def dropped(self) -> bool:
        """Tell whether the connection is gone for good; one that is only lost is made anew, unless the host refuses that."""
        return self._line.wire.over or bool(self.refused)

    @property
    def renewable(self) -> bool:
        """Tell whether another connection may take its place: no login that was refused is offered again."""
        return super().renewable and not self.refused

    @property
    def refused(self) -> str:
        """Return why the host lets us in no more; empty: it did not refuse us."""
        refusal = self._line.wire.refusal
        return "" if refusal is None else str(trouble_of(refusal).reason)

    @property
    def calls(self) -> int:
        """Return how many HTTP requests there were, those of logins too."""
        return self._line.wire.calls

    async def carry(self, launched: Launch, listener: Listener, *, deadline_s: float) -> Ending:
        """Start something in a shell of its own, and delete that afterwards.

        Who is denied a shell of cmd, as users are who are no administrators, goes on by the endpoint of PowerShell.
        """
        end = time.monotonic() + deadline_s
        if not self.piped:
            ending = await self._line.carry(launched, listener, deadline_s)
            if ending.begun or ending.number not in _DENIED:
                return ending
            self.piped = True
            self.facts = replace(self.facts, transport=Transport.PSRP.value, instead_of=self.facts.transport)
        return await self._line.carry(launched, listener, max(0.0, end - time.monotonic()), piped=True)


class Line:
    """The connection with its thread; `log_in` is how it is made anew."""

    def __init__(self, host: Host, credential: Credential, breaker: Breaker, way: Way, trust: Trust) -> None:
        self.host, self.credential, self.auth = host, credential, authentication(host, credential)
        self.known = tuple(key.fingerprint for key in pinned(trust))
        self._breaker, self._way = breaker, way
        self._loop, self._home = asyncio.get_running_loop(), Home()
        self.wire = Wire(door_to(host, credential, self.auth, trust, self._socket), hearing().heard)
        self.wire.renew = self._renew
        self.worker = Worker(f"winrm {host.name}")
        self._stuck = False
        """Whether its thread waits for what no cut ends."""

    def _socket(self) -> socket:
        try:
            return self._home.result_of(self._way.socket())
        except CancelledError as error:
            raise CutOff from error

    def _cut(self, *, for_good: bool = False) -> None:
        self.wire.cut(for_good=for_good)
        self._home.leave()

    async def open(self, deadline_s: float) -> None:
        """Connect and log in; raises what the wire does. Waiting for other hosts' verdicts is not this host's time."""
        began = time.monotonic()
        self.wire.end = began + deadline_s
        await self._within(deadline_s, self.wire.connect)
        left_s = deadline_s - (time.monotonic() - began)
        with patience().standing_still():
            turn = await self._take_turn()
        self.wire.end = time.monotonic() + left_s
        await self._within(left_s, self._logged_in, turn)

    async def _within(self, deadline_s: float, function: Callable[..., None], *arguments: object) -> None:
        timer = self._loop.call_later(max(0.0, deadline_s), self._cut)
        try:
            async with asyncio.timeout(deadline_s + _STUCK_S) as limit:
                await self.worker.call(function, *arguments)
        except TimeoutError as error:
            if not limit.expired():
                raise
            self._stuck = True
            raise CutOff from error
        finally:
            timer.cancel()

    async def _take_turn(self) -> Turn | None:
        return await self._breaker.turn(self.host, self.credential) if self.auth.by_password else None

    def _logged_in(self, turn: Turn | None) -> None:
        """Log in, in the thread, and tell the breaker how that ended."""
        self.wire.proof_sent = False
        try:
            self.wire.log_in()
        except BaseException as error:
            self._loop.call_soon_threadsafe(self._ended, turn, error)
            raise
        self._loop.call_soon_threadsafe(self._ended, turn, None)

    def _ended(self, turn: Turn | None, error: BaseException | None) -> None:
        refused = error is not None and is_refusal(error)
        if turn is None:
            if error is None:
                self._breaker.accepted(self.credential)
            elif refused:
                self._breaker.rejected(self.credential)
        elif error is None:
            turn.accepted()
        elif not self.wire.proof_sent:
            turn.unused()
        elif refused:
            turn.rejected()
        else:
            turn.unanswered()

    def _renew(self) -> None:
        """Make the connection anew, in the thread; what was refused once is refused without a connection."""
        if self.wire.refusal is not None:
            raise self.wire.refusal
        try:
            self._made_anew()
        except (AuthenticationError, NotPinned, ssl.SSLCertVerificationError, CredentialBlocked) as error:
            self.wire.refusal = error
            raise

    def _made_anew(self) -> None:
        taken = list[Turn | None]()

        async def take() -> None:
            taken.append(await self._take_turn())

        def give_back() -> None:
            for turn in filter(None, taken):
                turn.unused()

        try:
            self._home.result_of(take())
        except CancelledError as error:  # the turn may have come just then
            self._loop.call_soon_threadsafe(give_back)
            raise CutOff from error
        (turn,) = taken
        try:
            self.wire.connect()
        except BaseException:
            if turn is not None:
                self._loop.call_soon_threadsafe(turn.unused)
            raise
        self._logged_in(turn)

    async def carry(self, launched: Launch, listener: Listener, deadline_s: float, *, piped: bool = False) -> Ending:
        """Return how something ended that is started in a shell; whoever is cancelled leaves the tidying to the thread."""
        if not piped:
            return await self._carry(Messages(self.wire), launched, listener, deadline_s)
        from remote.windows.psrp_messages import DEFAULT, OurOwn, Pipelines

        endpoint = self.host.winrm.endpoint or DEFAULT
        pipelines = Pipelines(self.wire, launched, most=listener.most, endpoint=endpoint)
        try:
            ending = await self._carry(pipelines, replace(launched, stdin=None), listener, deadline_s)
        except OurOwn as fault:
            raise fault.error from None
        return replace(ending, begun=False) if pipelines.refused else ending

    async def _carry(self, messages: Speaker, launched: Launch, listener: Listener, deadline_s: float) -> Ending:
        carriage = Carriage(
            wire=self.wire,
            messages=messages,
            launch=launched,
            listener=listener,
            end=time.monotonic() + deadline_s,
            answers=hearing().answers,
        )

        def cut() -> None:
            if not carriage.tidying:
                self._cut()

        timers = [
            self._loop.call_later(deadline_s + _OVERTIME_S, cut),
            self._loop.call_later(deadline_s + _OVERTIME_S + TIDY_S, lambda: self._cut(for_good=True)),
        ]
        try:
            async with asyncio.timeout(deadline_s + _OVERTIME_S + TIDY_S + _STUCK_S) as limit:
                return await self.worker.call(carriage.carry)
        except asyncio.CancelledError:
            cut()
            raise
        except TimeoutError:
            if not limit.expired():
                raise
            self._stuck = True
            return carriage.given_up()
        finally:
            for timer in timers:
                timer.cancel()

    async def close(self) -> None:
        """End the thread and the connection, whatever the host does; what is still being tidied up has a moment for it."""
        try:
            async with asyncio.timeout(0 if self._stuck else _LEAVING_S):
                await self.worker.call(self.wire.close_session)
        except TimeoutError:
            _log.warning("%s: what was under way did not end in time", self.host.name)
        finally:
            self._cut(for_good=True)
            self.worker.leave()


class WinrmConnector:
    """Opens WinRM sessions: trusts what the inventory and the enrolled certificates say, offers what the store resolves."""

    def __init__(
        self,
        *,
        known_hosts: KnownHosts,
        credentials: CredentialStore,
        breaker: Breaker,
        way_to: Callable[[Host], AbstractAsyncContextManager[Way]],
        connect_deadline_s: float = 15.0,
        threads: int = THREADS,
    ) -> None:
        self._known_hosts, self._credentials, self._breaker = known_hosts, credentials, breaker
        self._way_to, self._connect_deadline_s = way_to, connect_deadline_s
        self._room = asyncio.Semaphore(threads)

    @asynccontextmanager
    async def __call__(self, host: Host) -> AsyncIterator[Session]:
        """Connect, verify the host and log in, or raise a RemoteError; leaving closes the connection and never raises."""
        trust = self._known_hosts.trust(host)
        credential = await self._credentials.resolve(host)
        self._breaker.check(host, credential)
        async with self._way_to(host) as way, self._thread():
            line = Line(host, credential, self._breaker, way, trust)
            try:
                await self._open(line, way)
                yield WinrmSession(host, line, facts_of(line.host, line.wire, line.auth, credential, way.between))
            finally:
                await line.close()

    @asynccontextmanager
    async def _thread(self) -> AsyncIterator[None]:
        with patience().standing_still():
            await self._room.acquire()
        try:
            yield
        finally:
            self._room.release()

    async def _open(self, line: Line, way: Way) -> None:
        try:
            await line.open(self._connect_deadline_s)
        except RemoteError:
            raise
        except Exception as error:
            attempt = Attempt(
                host=line.host,
                credential=line.credential,
                auth=line.auth,
                wire=line.wire,
                deadline_s=self._connect_deadline_s,
                known=line.known,
            )
            refusal = connect_error(error, attempt)
            if isinstance(refusal, ConnectFailed) and not line.wire.reached:
                refusal = await way.failure(refusal)
            raise refusal from error
