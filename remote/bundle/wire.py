"""The one loop that carries a bundle over a wire, whatever the wire is made of."""

from __future__ import annotations

import asyncio
import time
from typing import Protocol

from remote.answer import Answer
from remote.bundle.exchange import BundleExchange
from remote.bundle.frames import Stream

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


async def drive(exchange: BundleExchange, wire: Wire, *, deadline_s: float) -> dict[str, Answer]:
    """Return exactly one answer for each question of `exchange`; the wire is closed afterwards.

    Ends at the final frames, when the wire ends, when a question is past its deadline and the host's
    watchdog does not act, when the host sends more than it may, or after `deadline_s`.
    """
    try:
        wire.write(exchange.script)
        return exchange.finish(await _carry(exchange, wire, time.monotonic() + deadline_s, deadline_s))
    finally:
        wire.close()


async def _carry(exchange: BundleExchange, wire: Wire, end: float, deadline_s: float) -> str:
    """Feed what arrives until there is a reason to stop, and return it (empty: everything is accounted for)."""
    while not exchange.complete:
        now = time.monotonic()
        if now >= end:
            return f"no end after {deadline_s:g} s"
        if (late := exchange.overdue(now)) is not None:
            return f"given up: {late} was past its deadline and the host did not end it"
        if exchange.overfull:
            return "the host sent more than all caps together"
        try:
            async with asyncio.timeout(min(end, exchange.due) - now):
                piece = await wire.read()
        except TimeoutError:
            continue
        if piece is None:
            return wire.why or "the host closed the streams early"
        stream, data = piece
        if stream == "stdout":
            exchange.feed_stdout(data)
        else:
            exchange.feed_stderr(data)
    return ""
