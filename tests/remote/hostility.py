"""What hostile servers, wires that freeze and the checks that nothing stays behind are made of."""

from __future__ import annotations

import asyncio
import contextlib
import math
import socket
import struct
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from inventory.host import CredentialReference, Host
from remote.accepting import accepting
from tests.conftest import SOAK
from tests.remote.servers import PracticeServer, no_more_tasks, on_loopback

ENOUGH_S = 30.0  # what only a hang reaches, on a machine that is doing much else
LATE_S = 2.0
"""How long after a deadline of ours everything must be over (T26)."""
_TICK_S = 0.05
STILL_S = 1.0
"""How long the event loop may be blocked at a stretch; where the machine has other work, time that it took is not counted."""
KbdIntChallenge = bool | tuple[str, str, str, Sequence[tuple[str, bool]]]
GOOD = "the-right-one"
"""The password that challengers take."""
Stage = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def threads() -> set[str]:
    return {thread.name for thread in threading.enumerate() if not thread.name.startswith("asyncio_")}


@dataclass(slots=True)
class Pulse:
    """The ticks of an event loop: how many there were, and the longest that none came for want of the loop."""

    ticks: int = 0
    longest_s: float = 0.0

    async def beat(self) -> None:
        """Tick until cancelled."""
        while True:
            began = time.monotonic(), _waited_s()
            try:
                await asyncio.sleep(_TICK_S)
            finally:  # also what blocked the loop until the very end
                self.longest_s = max(self.longest_s, time.monotonic() - began[0] - (0 if SOAK else _waited_s() - began[1]))
            self.ticks += 1


def _waited_s() -> float:
    """Return how long this thread has waited for a processor that others had, by the kernel's account."""
    return int(Path(f"/proc/self/task/{threading.get_native_id()}/schedstat").read_text().split()[1]) / 1e9


@contextlib.asynccontextmanager
async def over_by(deadline_s: float) -> AsyncIterator[None]:
    """Assert that what is inside ends at most LATE_S after `deadline_s`, and blocks the event loop for STILL_S at the most.

    Counted in ticks of the event loop, which a busy machine makes longer, not more: it is our logic that is tested. In a soak,
    on a still machine, by the clock too.
    """
    pulse, began = Pulse(), time.monotonic()
    clock = asyncio.create_task(pulse.beat())
    try:
        async with asyncio.timeout(4 * ENOUGH_S):
            yield
    finally:
        took_s = time.monotonic() - began
        await asyncio.sleep(0)
        clock.cancel()
        await asyncio.wait([clock])
    assert pulse.ticks * _TICK_S <= deadline_s + LATE_S
    assert pulse.longest_s <= STILL_S, "the loop was blocked"
    assert not SOAK or took_s <= deadline_s + LATE_S


@contextlib.asynccontextmanager
async def hostile(stage: Stage, reference: CredentialReference) -> AsyncIterator[Host]:
    """Serve one stage of hostility on loopback; every connection is gone at the end."""
    async with on_loopback(stage) as port:
        yield Host(name="node", address="127.0.0.1", port=port, credential=reference)
    await no_more_tasks()


async def until_gone(reader: asyncio.StreamReader) -> None:
    """Read and ignore until the client has left."""
    while await reader.read(65536):
        pass


def packet(kind: int, payload: bytes) -> bytes:
    """Return an unencrypted SSH packet (RFC 4253 6)."""
    body = bytes([kind]) + payload
    padding = 4 + -(len(body) + 9) % 8
    return (len(body) + 1 + padding).to_bytes(4, "big") + bytes([padding]) + body + bytes(padding)


def plain_messages(sent: bytes) -> list[int]:
    """Return the kinds of all messages in what one side sent before it encrypted (RFC 4253); nothing may follow them."""
    _, newline, rest = sent.partition(b"\r\n")
    kinds = []
    while newline and rest:
        length = int.from_bytes(rest[:4], "big")
        assert 4 + length <= len(rest), "that is no packet"
        kinds.append(rest[5])
        rest = rest[4 + length :]
    return kinds


class Forwarder:
    """A wire in between that can be cut or frozen, at any moment or after so many bytes, and counts what passes.

    `down` is what the host sends, `up` what we send.
    """

    def __init__(self, port: int, *, freeze_down: float = math.inf, freeze_up: float = math.inf) -> None:
        self.port = port
        self.down, self.up = bytearray(), bytearray()
        self.frozen, self.over = asyncio.Event(), asyncio.Event()
        self.writers: list[asyncio.StreamWriter] = []
        self._freeze_down, self._freeze_up = freeze_down, freeze_up

    async def __aenter__(self) -> Forwarder:
        listener = socket.create_server(("127.0.0.1", 0))
        self.address = listener.getsockname()[1]
        self._accepting = accepting(listener, self._carry)
        self.take_no_more = await self._accepting.__aenter__()
        return self

    async def __aexit__(self, *_: object) -> None:
        self.over.set()
        self.cut()
        await self._accepting.__aexit__(None, None, None)

    def cut(self) -> None:
        """Drop both ends, as a cable does that is pulled."""
        for writer in self.writers:
            writer.transport.abort()

    def reset(self) -> None:
        """Drop both ends at once, as a firewall does that has forgotten them: each gets a RST."""
        for writer in self.writers:
            opened = writer.get_extra_info("socket")
            if opened.fileno() >= 0:
                opened.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.cut()

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self.port)
        self.writers += [writer, far_writer]
        try:
            up = self._copy(reader, far_writer, self.up, self._freeze_up)
            await asyncio.gather(up, self._copy(far_reader, writer, self.down, self._freeze_down))
        finally:
            far_writer.transport.abort()

    async def _copy(
        self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, passed: bytearray, freeze_after: float
    ) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await source.read(65536):
                room = 0 if self.frozen.is_set() else int(min(freeze_after - len(passed), len(data)))
                passed += data[:room]
                sink.write(data[:room])
                if room < len(data):
                    await self.over.wait()
                await sink.drain()


class Challenger(PracticeServer):
    """Asks for the password by keyboard-interactive, with prompts of a test's choosing."""

    prompts: tuple[tuple[str, bool], ...] = (("Password: ", False),)
    endless = False

    def kbdint_auth_supported(self) -> bool:
        return True

    def get_kbdint_challenge(self, username: str, lang: str, submethods: str) -> KbdIntChallenge:
        return "", "", "", list(self.prompts)

    def validate_kbdint_response(self, username: str, responses: Sequence[str]) -> KbdIntChallenge:
        self.seen.passwords += responses
        return ("", "", "", list(self.prompts)) if self.endless else list(responses) == [GOOD]


class Endless(Challenger):
    """Asks nothing, without end."""

    prompts = ()
    endless = True


class Greedy(Challenger):
    """Asks for the password without end."""

    endless = True
