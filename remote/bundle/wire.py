"""The one loop that carries a bundle over a wire, whatever the wire is made of."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Protocol

from remote.answer import Answer, no_end
from remote.bundle.elevation import Elevation, Verdict, Want
from remote.bundle.exchange import BundleExchange
from remote.bundle.frames import Stream
from remote.errors import RemoteError
from remote.hearing import hearing

if TYPE_CHECKING:
    from remote.bundle.terminal import OpenTerminal

_LAST_WORDS_S = 2.0
COMMAND = "exec /bin/sh"
"""What to execute on the host: understood alike by sh, csh and fish login shells; the script follows on stdin."""


class Wire(Protocol):
    """Both directions of one `/bin/sh` that runs on the host."""

    @property
    def why(self) -> str:
        """Return why the wire ended (hostile text), empty while it is open or when it ended in order."""

    def write(self, data: bytes) -> None:
        """Queue bytes for stdin; never blocks, never raises: a wire that is gone shows in `read`."""

    async def read(self) -> tuple[Stream, bytes] | None:
        """Return the next piece as it arrived, or None once nothing more can come.

        Safe to cancel (nothing is lost), never raises for what happens on the network. Unread pieces
        are held back at the source: a wire keeps at most a few hundred KiB.
        """

    def close(self) -> None:
        """Close stdin and give up the streams; the host then kills what still runs. Idempotent, never raises."""


class Offer(Protocol):
    """A password for sudo or su that may be sent once."""

    @property
    def password(self) -> str:
        """Return the password itself."""

    def ended(self, verdict: Verdict) -> None:
        """Take how it ended, perhaps more than once: the first verdict holds."""


class Passwords(Protocol):
    """Where the password for sudo or su comes from."""

    async def offer(self) -> Offer:
        """Return it when it may be sent, or raise RemoteError if it may not."""


async def drive(
    exchange: BundleExchange,
    wire: Wire,
    *,
    deadline_s: float,
    passwords: Passwords | None = None,
    open_terminal: OpenTerminal | None = None,
    sent: bool = False,
) -> dict[str, Answer]:
    """Return exactly one answer for each question of `exchange`; the wire is closed afterwards. `sent`: its script has gone.

    Ends at the final frames, when the wire ends, when a question is past its deadline and the host's
    watchdog does not act, when the host sends more than it may, or after `deadline_s`.
    """
    sudo = _Asking(exchange, wire, passwords, open_terminal)
    try:
        if not sent:
            wire.write(exchange.script)
        why, cut = await _carry(exchange, wire, time.monotonic() + deadline_s, deadline_s, sudo)
        await sudo.hear_out()
        return exchange.finish(why, cut=cut)
    finally:
        wire.close()
        await sudo.leave()


async def _carry(exchange: BundleExchange, wire: Wire, end: float, deadline_s: float, sudo: _Asking) -> tuple[str, bool]:
    """Feed what arrives until there is a reason to stop, and return it (empty: everything is accounted for).

    And whether more may have been on its way: not where the host ended both streams in order.
    """
    listening = hearing()
    while not exchange.complete:
        await sudo.serve(end)
        now = time.monotonic()
        if now >= end:
            return no_end(deadline_s), True
        if (late := exchange.overdue(now)) is not None:
            return f"given up: {late} was past its deadline and the host did not end it", True
        if exchange.overfull:
            return "the host sent more than all caps together", True
        if line := exchange.nudge(now):
            wire.write(line)
        try:
            async with asyncio.timeout(min(end, exchange.due) - now):
                piece = await wire.read()
        except TimeoutError:
            continue
        if piece is None:
            return wire.why or "the host closed the streams early", bool(wire.why)
        stream, data = piece
        if stream == "stdout":
            exchange.feed_stdout(data)
        else:
            exchange.feed_stderr(data)
        if not listening.answering and exchange.begun:
            listening.answers()
        if pause_s := exchange.breath_s():
            await asyncio.sleep(pause_s)
    return "", False


class _Asking:
    """Gives sudo or su on the host what it waits for."""

    def __init__(
        self, exchange: BundleExchange, wire: Wire, passwords: Passwords | None, open_terminal: OpenTerminal | None
    ) -> None:
        self._exchange, self._wire, self._passwords, self._open = exchange, wire, passwords, open_terminal
        self._offer: Offer | None = None
        self._terminal: asyncio.Task[None] | None = None

    async def serve(self, end: float) -> None:
        """Send what is wanted now; the password's turn is awaited until `end` at the most."""
        elevation, line = self._exchange.elevation, b""
        match self._exchange.wants(time.monotonic()):
            case Want.PASSWORD:
                line = await self._password(elevation, end)
            case Want.TERMINAL:
                self._terminal = asyncio.create_task(self._talk(end))
            case Want.GO:
                line = elevation.go()
            case Want.STOP | Want.ELSE:
                line = elevation.stop()
        if line:
            self._wire.write(line)
            self._exchange.answered_sudo()
        if (verdict := self._exchange.password_verdict) is not None:
            self.tell(verdict)  # at once: other hosts wait for it

    async def _talk(self, end: float) -> None:
        """Talk in a terminal beside; where it ends without the other user's shell, the offer on the host is withdrawn."""
        from remote.bundle.terminal import TerminalTalk

        elevation = self._exchange.elevation
        assert self._open is not None and elevation.pid is not None  # elevation.terminal says so

        async def give() -> bytes:
            line = (await self._password(elevation, end)).removeprefix(b"=")
            self._exchange.answered_sudo()
            return line

        if not await TerminalTalk(elevation, give).hold(self._open, elevation.pid):
            self._wire.write(elevation.stop())

    async def hear_out(self) -> None:
        """Wait for the end of a terminal whose tool has ended: how may be known on the host before its words are here."""
        if self._terminal is not None and self._exchange.denied:
            await asyncio.wait([self._terminal], timeout=_LAST_WORDS_S)

    async def leave(self) -> None:
        """Close the terminal, if there is one, and say of a password what is known of it, be it nothing."""
        if self._terminal is not None:
            self._terminal.cancel()
            await asyncio.wait([self._terminal])
        self.tell(self._exchange.password_verdict or Verdict.UNANSWERED)

    async def _password(self, elevation: Elevation, end: float) -> bytes:
        if self._passwords is None:
            return elevation.keep("")
        try:
            async with asyncio.timeout(max(0.0, end - time.monotonic())):
                self._offer = await self._passwords.offer()
        except RemoteError as kept:
            return elevation.keep(str(kept))
        except TimeoutError:
            return elevation.keep("no verdict of other hosts on it came in time")
        return elevation.password(self._offer.password)

    def tell(self, verdict: Verdict) -> None:
        """Say how the password ended, if one was taken."""
        if self._offer is not None:
            self._offer.ended(verdict)
            self._offer = None
