"""A connection by paramiko: opened, asked, gone through, closed; each wait is inside a deadline of ours."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import cast

from inventory.errors import Text
from inventory.host import Host
from remote.answer import Answer, not_started
from remote.become_password import BecomePassword
from remote.becoming import Becoming
from remote.bundle.elevation import Elevation
from remote.bundle.exchange import BundleExchange
from remote.bundle.wire import COMMAND, drive
from remote.errors import ConnectFailed, DeadlineExceeded, JumpFailed
from remote.question import Question
from remote.session import SessionFacts
from remote.shell_session import EXEC_PAUSES_S, ShellSession
from remote.ssh_errors import reason_of
from remote.ssh_options import PORT
from remote.terminal import NoTerminal, Screen, Terminal
from remote.threaded.library import paramiko
from remote.threaded.transport import CountedIntake, Transport
from remote.threaded.wire import WINDOW, ThreadedTerminal, ThreadedWire
from remote.threaded.worker import Home, Worker, in_a_thread, start
from remote.ways import SocketWay, Way
from remote.windows.ssh import NotStarted, WindowsSshSession

_UNASKED = 1024 * 1024
"""Bytes beside the answers that a host may send while it is asked, as for asyncssh."""
_LEAVING_S = 2.0
_OPENING_S = 60.0
_LOOK_S = 1.0
"""How often whoever waits for a channel looks whether it is over."""
"""After which a thread gives up that waits for a gate's channel: whoever wanted it has its own, shorter deadline."""
_TICK_S = 0.01
_PIECE = 32 * 1024


class Line:
    """A connection with its threads, from its socket to its end."""

    def __init__(self, transport: Transport, intake: CountedIntake) -> None:
        self.transport, self.intake = transport, intake
        self.worker, self.home = Worker("ssh"), Home()
        self._threads: list[threading.Thread] = [transport, self.worker.thread]
        self._wire: ThreadedWire | None = None

    async def command(self, command: str = COMMAND) -> ThreadedWire:
        """Return a wire to a command on the host, a shell; raise paramiko's or the system's error."""
        if self._wire is not None:  # its channel is closed by the same worker, before
            self._wire.close()
        self._wire = ThreadedWire(await self._exec(command), self.worker, self.why)
        self._threads = [*(thread for thread in self._threads if thread.is_alive()), self._wire.thread]
        return self._wire

    async def _exec(self, command: str) -> paramiko.Channel:
        """Return the channel of a shell, which reads; a refusal is not taken for the last word."""
        for pause_s in EXEC_PAUSES_S:
            try:
                return await self.worker.call(self._opened, command)
            except paramiko.SSHException:
                if not self.transport.is_active():
                    raise
                await asyncio.sleep(pause_s)
        return await self.worker.call(self._opened, command)

    async def terminal(self, command: str) -> ThreadedWire:
        """Return a wire to a terminal in which a command runs; raise paramiko's or the system's error."""
        channel = await self.worker.call(lambda: self._opened(command, terminal=True))
        wire = ThreadedWire(channel, self.worker, self.why)
        self._threads.append(wire.thread)
        return wire

    def why(self) -> str:
        """Return why the connection has ended, hostile text; empty while it stands."""
        error = self.transport.wire.flooded or self.transport.get_exception()
        if error is None and self.transport.is_active():
            return ""
        return reason_of(None if isinstance(error, EOFError) else error)

    def _opened(self, command: str = COMMAND, *, terminal: bool = False) -> paramiko.Channel:
        channel = self.transport.open_session(window_size=WINDOW)
        if terminal:
            channel.get_pty("dumb")
        channel.exec_command(command)
        return channel

    async def screen(self, screen: Screen, taken: Callable[[], None]) -> ThreadedTerminal:
        """Return a terminal with a login shell; raise paramiko's or the system's error."""
        channel = await self.worker.call(lambda: self._shell(screen))
        self._wire = terminal = ThreadedTerminal(channel, self.worker, taken, self.why)
        self._threads.append(terminal.thread)
        return terminal

    def _shell(self, screen: Screen) -> paramiko.Channel:
        channel = self.transport.open_session(window_size=WINDOW)
        channel.get_pty(screen.kind, screen.columns, screen.rows)
        channel.invoke_shell()
        return channel

    def abort(self) -> None:
        """Cut the connection: whoever waits for it goes on."""
        self.home.leave()
        self.transport.wire.close()
        self.transport.close()
        if self._wire is not None:
            self._wire.close()
        self.worker.leave()

    async def close(self) -> None:
        """Cut the connection and see its threads end; never raises for what the host does."""
        self.abort()
        end = time.monotonic() + _LEAVING_S
        while any(thread.is_alive() for thread in self._threads) and time.monotonic() < end:  # noqa: ASYNC110
            await asyncio.sleep(_TICK_S)  # threads end without telling the loop


class ThreadedSession(ShellSession):
    """An open SSH connection to one host, as the `Session` protocol wants it."""

    def __init__(self, host: Host, line: Line, facts: SessionFacts, become_password: BecomePassword | None) -> None:
        self.host, self.facts = host, facts
        self._line, self._become_password = line, become_password
        self._becoming = Becoming(
            become=host.become, login=facts.user, passwords=become_password, open_terminal=self._open_terminal
        )

    async def ask(self, questions: Sequence[Question], *, deadline_s: float) -> Mapping[str, Answer]:
        """Return exactly one answer for each question, asked as one script on the stdin of one `sh`."""
        return await self._becoming.ask(questions, self._ask_once, deadline_s)

    async def _ask_once(self, questions: Sequence[Question], elevation: Elevation, deadline_s: float) -> dict[str, Answer]:
        end = time.monotonic() + deadline_s
        exchange = BundleExchange(questions, elevation=elevation)
        self._line.intake.allow(_UNASKED + 2 * exchange.receive_limit)
        try:
            async with asyncio.timeout(deadline_s):
                wire = await self._line.command()
        except TimeoutError:
            self._line.abort()  # paramiko waits for the host's word on a command without end
            return exchange.finish(not_started(deadline_s))
        except (paramiko.SSHException, EOFError, OSError) as error:
            return exchange.finish(f"the host did not start a command: {self._why(error)}")
        left_s = max(0.0, end - time.monotonic())
        return await drive(
            exchange, wire, deadline_s=left_s, passwords=self._become_password, open_terminal=self._open_terminal
        )

    async def _open_terminal(self, command: str) -> ThreadedWire:
        try:
            return await self._line.terminal(command)
        except (paramiko.SSHException, EOFError, OSError) as error:
            raise NoTerminal(self.host.name, self._why(error)) from error

    @property
    def dropped(self) -> bool:
        """Tell whether the connection is gone."""
        return not self._line.transport.is_active()

    @property
    def renewable(self) -> bool:
        """Tell whether another connection may take its place, as the `Session` protocol says."""
        refused = self._become_password is not None and self._become_password.refused
        return not (refused or self.facts.once or self._line.intake.flooded)

    async def terminal(self, screen: Screen, *, deadline_s: float) -> Terminal:
        """Return a terminal with the user's login shell, as the `Session` protocol says."""
        self._line.intake.allow(_UNASKED)
        try:
            async with asyncio.timeout(deadline_s):
                return await self._line.screen(screen, lambda: self._line.intake.allow(_UNASKED))
        except TimeoutError as error:
            self._line.abort()
            raise DeadlineExceeded(self.host.name, deadline_s) from error
        except (paramiko.SSHException, EOFError, OSError) as error:
            raise NoTerminal(self.host.name, self._why(error)) from error

    def _why(self, error: BaseException) -> str:
        return reason_of(self._line.transport.wire.flooded or error)


def windows_session(host: Host, line: Line, facts: SessionFacts) -> WindowsSshSession:
    """Return a session to a Windows host."""

    async def begun(command: str) -> ThreadedWire:
        try:
            return await line.command(command)
        except (paramiko.SSHException, EOFError, OSError) as error:
            raise NotStarted(reason_of(line.transport.wire.flooded or error)) from error

    return WindowsSshSession(
        host,
        facts,
        start=begun,
        allow=line.intake.allow,
        is_closed=lambda: not line.transport.is_active(),
        is_flooded=lambda: line.intake.flooded,
        abort=line.abort,
    )


class ThreadedGate:
    """A connection of paramiko that others go through."""

    def __init__(self, line: Line) -> None:
        self._line = line

    def is_closed(self) -> bool:
        """Tell whether nothing goes through it any more."""
        return not self._line.transport.is_active()

    def way_to(self, host: Host) -> Way:
        """Return the way through it."""
        return ThreadedTunnel(host, self._line.transport)


class ThreadedTunnel(SocketWay):
    """The way to one host through a connection of paramiko to another: a channel, carried to a socket by two threads."""

    between = ""

    def __init__(self, host: Host, through: Transport) -> None:
        self._host, self._through = host, through
        self._bridges: list[_Bridge] = []

    async def socket(self) -> socket.socket:
        """Return a channel as a socket; raise JumpFailed if the host in between cannot or would not make one."""
        goal = (self._host.address, self._host.port or PORT)
        try:
            opening = partial(self._through.open_channel, timeout=_OPENING_S)
            channel = await in_a_thread("channel", opening, "direct-tcpip", goal, ("127.0.0.1", 0))
        except (paramiko.SSHException, EOFError, OSError) as error:
            assert self._host.via is not None
            raise JumpFailed(self._host.name, self._host.via.name, Text("{reason}", reason=_reason(error))) from error
        ours, theirs = socket.socketpair()
        bridge = _Bridge(theirs, channel)
        self._bridges.append(bridge)
        start("channel up", bridge.up)
        start("channel down", bridge.down)
        ours.setblocking(False)
        return ours

    async def failure(self, error: ConnectFailed) -> ConnectFailed:
        """Return the error as it is: the host in between is told of by itself."""
        return error

    async def close(self) -> None:
        """Let the channels and their sockets be closed."""
        for bridge in self._bridges:
            bridge.hang_up()


def _reason(error: Exception) -> str:
    return error.text if isinstance(error, paramiko.ChannelException) else reason_of(error)


class _Bridge:
    """A channel carried to a socket by two threads, of which one alone sends on the channel and closes it.

    Closed by another, it was sent data after its end, which a server takes for a fault and hangs up on everybody who goes
    through the connection (OpenSSH: data for a nonexistent channel).
    """

    def __init__(self, end: socket.socket, channel: paramiko.Channel) -> None:
        self._end, self._channel = end, channel
        self._lock, self._threads, self._over = threading.Lock(), 2, False
        channel.settimeout(_LOOK_S)

    def up(self) -> None:
        """Carry what the socket says to the channel, and close that in the end."""
        try:
            while not self._over and (data := self._end.recv(_PIECE)):
                self._send(data)
        except (OSError, EOFError, paramiko.SSHException):
            pass  # one of the two is gone: so is the other
        finally:
            with suppress(OSError, EOFError, paramiko.SSHException):  # it is closed
                self._channel.close()
            self._leave()

    def down(self) -> None:
        """Carry what the channel says to the socket."""
        try:
            while data := self._received():
                self._end.sendall(data)
        except (OSError, EOFError, paramiko.SSHException):
            pass  # likewise
        finally:
            self._leave()

    def hang_up(self) -> None:
        """Let both threads end: the socket is shut down, and closed once nobody uses it."""
        with self._lock:
            self._over = True
            if self._threads:
                with suppress(OSError):  # it is not connected any more
                    self._end.shutdown(socket.SHUT_RDWR)

    def _send(self, data: bytes) -> None:
        while data and not self._over:
            with suppress(TimeoutError):  # the other side takes nothing just now
                data = data[self._channel.send(data) :]

    def _received(self) -> bytes:
        while True:
            with suppress(TimeoutError):
                return cast("bytes", self._channel.recv(_PIECE))

    def _leave(self) -> None:
        self.hang_up()
        with self._lock:
            self._threads -= 1
            if not self._threads:
                self._end.close()
