"""One logged-in SSH connection to a host with `sh`, by asyncssh: the bundle asked over one exec of it, and a terminal."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from inventory.host import Host
from remote.answer import Answer, not_started
from remote.become_password import BecomePassword
from remote.becoming import Becoming
from remote.bundle.elevation import Elevation
from remote.bundle.exchange import BundleExchange
from remote.bundle.wire import COMMAND, drive
from remote.errors import DeadlineExceeded
from remote.question import Privilege, Question
from remote.session import SessionFacts
from remote.shell_session import EXEC_PAUSES_S, ShellSession
from remote.ssh_ahead import ShellAhead
from remote.ssh_errors import reason_of
from remote.ssh_intake import Intake
from remote.ssh_library import asyncssh
from remote.ssh_wire import WINDOW, SshTerminal, SshWire
from remote.terminal import NoTerminal, Screen, Terminal

if TYPE_CHECKING:
    from remote.detached import DetachedCommand, Standing
    from remote.files.carriers import Carrier
    from remote.files.steps import Steps

_QUIET = {asyncssh.PTY_ECHO: 0, asyncssh.PTY_ONLCR: 0}
_UNASKED = 1024 * 1024
"""Bytes beside the answers that a host may send while it is asked; the answers count twice, for what SSH wraps them in.
Words for debugging cost 0.16 s of CPU per MiB (measured), on the one loop of all hosts. What fills a window and was not looked
at yet is none of them."""


class SshSession(ShellSession):
    """An open SSH connection to one host, as the `Session` protocol wants it."""

    def __init__(
        self,
        host: Host,
        connection: asyncssh.SSHClientConnection,
        intake: Intake,
        facts: SessionFacts,
        become_password: BecomePassword | None,
    ) -> None:
        self.host, self.facts = host, facts
        self._connection, self._intake, self._become_password = connection, intake, become_password
        self._becoming = Becoming(
            become=host.become, login=facts.user, passwords=become_password, open_terminal=self._open_terminal
        )
        self._ahead = ShellAhead(lambda: self._exec_once(b"", f"cd /; {COMMAND}"))  # who waits keeps no filesystem busy

    async def start(self, detached: DetachedCommand, *, wait_s: int, deadline_s: float) -> Standing:
        """Return how a command stands that was started detached, as the `Session` protocol says; more will be asked then."""
        self._ahead.wanted = self._is_openssh
        return await super().start(detached, wait_s=wait_s, deadline_s=deadline_s)

    async def leave(self) -> None:
        """Give up what was opened for questions that did not come."""
        await self._ahead.leave()

    async def ask(self, questions: Sequence[Question], *, deadline_s: float) -> Mapping[str, Answer]:
        """Return exactly one answer for each question, asked as one script on the stdin of one `sh`."""
        return await self._becoming.ask(questions, self._ask_once, deadline_s)

    async def _ask_once(self, questions: Sequence[Question], elevation: Elevation, deadline_s: float) -> dict[str, Answer]:
        end = time.monotonic() + deadline_s
        exchange = BundleExchange(questions, elevation=elevation)
        self._intake.allow(_UNASKED + 2 * WINDOW, for_output=2 * exchange.receive_limit)
        early = self._is_openssh and not self.dropped
        try:
            async with asyncio.timeout(deadline_s):
                if (ready := await self._ahead.take()) is not None:
                    ready.write(exchange.script)
                wire = ready or await self._exec(exchange.script if early else b"")
        except TimeoutError:
            return exchange.finish(not_started(deadline_s), cut=early)
        except (asyncssh.Error, OSError) as error:
            refused = isinstance(error, asyncssh.ChannelOpenError) and not self.dropped
            return exchange.finish(f"the host did not start a command: {reason_of(error)}", cut=early and not refused)
        if not elevation.terminal:  # which is one more beside the shell
            self._ahead.begin()
        left_s = max(0.0, end - time.monotonic())
        return await drive(
            exchange,
            wire,
            deadline_s=left_s,
            passwords=self._become_password,
            open_terminal=self._open_terminal,
            sent=early or ready is not None,
        )

    @property
    def _is_openssh(self) -> bool:
        """Whether the server takes data behind a request that it has not answered yet, which saves a round trip.

        OpenSSH drops it where it refuses the request; dropbear 2022.83 then ends the whole connection.
        """
        return self.version.startswith("SSH-2.0-OpenSSH_")

    @property
    def version(self) -> str:
        """Return what the server announces itself as: hostile text."""
        return str(self._connection.get_extra_info("server_version"))

    async def _open_terminal(self, command: str) -> SshWire:
        wire = SshWire()
        try:
            await self._connection.create_session(
                lambda: wire, command, encoding=None, term_type="dumb", term_modes=_QUIET, window=WINDOW
            )
        except (asyncssh.Error, OSError) as error:
            raise NoTerminal(self.host.name, reason_of(error)) from error
        except asyncio.CancelledError:
            wire.close()
            raise
        return wire

    @property
    def dropped(self) -> bool:
        """Tell whether the connection is gone."""
        return self._connection.is_closed()

    @property
    def renewable(self) -> bool:
        """Tell whether another connection may take its place, as the `Session` protocol says."""
        refused = self._become_password is not None and self._become_password.refused
        return not (refused or self.facts.once or self._intake.flooded)

    async def _carrier(self, steps: Steps) -> Carrier | None:
        """Return SFTP for what the login user does himself, where the host has it."""
        if steps.privilege is not Privilege.USER:
            return None
        from remote.files.sftp import SftpCarrier

        return await SftpCarrier.open(self._connection, self._intake, steps)

    async def terminal(self, screen: Screen, *, deadline_s: float) -> Terminal:
        """Return a terminal with the user's login shell, as the `Session` protocol says."""
        wire = SshTerminal(lambda: self._intake.allow(_UNASKED))
        self._intake.allow(_UNASKED)
        size = (screen.columns, screen.rows)
        try:
            async with asyncio.timeout(deadline_s):
                await self._connection.create_session(lambda: wire, encoding=None, term_type=screen.kind, term_size=size)
        except TimeoutError as error:
            raise DeadlineExceeded(self.host.name, deadline_s) from error
        except (asyncssh.Error, OSError) as error:
            raise NoTerminal(self.host.name, reason_of(error)) from error
        return wire

    async def _exec(self, opening: bytes) -> SshWire:
        """Return a wire to a shell, which reads `opening` first; a refusal is not taken for the last word."""
        for pause_s in EXEC_PAUSES_S:
            try:
                return await self._exec_once(opening)
            except asyncssh.ChannelOpenError:
                await asyncio.sleep(0)  # what has ended the connection is told in this turn of the loop
                if self.dropped:
                    raise
                await asyncio.sleep(pause_s)
        return await self._exec_once(opening)

    async def _exec_once(self, opening: bytes, command: str = COMMAND) -> SshWire:
        wire = SshWire(opening, self._intake.said)
        try:
            await self._connection.create_session(lambda: wire, command, encoding=None, window=WINDOW)
        except asyncio.CancelledError:
            wire.close()
            raise
        return wire
