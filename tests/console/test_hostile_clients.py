"""Clients that mean harm, or are broken: the service stays up, small, and there for others."""

from __future__ import annotations

import os
import random
import socket
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from runner.service.attendant import _Listening
from runner.service.request import Request, Stream
from runner.service.wire import LIMITS, PIECE_BYTES, PROTOCOL, Frame, Frames, Kind, in_words, packed
from tests.conftest import SOAK
from tests.console.conftest import Console, serving
from tests.forked import Forked

pytestmark = pytest.mark.xdist_group("hostile_clients")
SEEDS = 2000 if SOAK else 150
CROWD = 1000
OF_ONE_USER = 40
HOSTS = 6000
LARGEST_KIB = 24 * 1024
"""Of memory that the process of one client has for itself, whatever the client does."""


class Desk:
    """A service with a big inventory, and how much memory it had before anybody came."""

    def __init__(self, console: Console, pid: int) -> None:
        self.console, self.pid = console, pid
        self.before_kib = rss_kib(pid)

    def connected(self) -> socket.socket:
        client = socket.socket(socket.AF_UNIX)
        client.connect(str(self.console.home / "desk.sock"))
        client.settimeout(60)
        return client

    def well(self) -> None:
        """Assert that the service serves, and is no larger than it was."""
        done = self.console("inventory", "list", "host-00001", "-o", "name")
        assert (done.code, done.out) == (0, "host-00001\n"), done.err
        assert rss_kib(self.pid) < self.before_kib + 4096

    def attendants(self) -> list[int]:
        return [int(word) for word in Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()]

    def only(self) -> int:
        """Return the attendant of the one client that there is, once it has been forked."""
        until = time.monotonic() + 60
        while len(found := self.attendants()) != 1:
            assert time.monotonic() < until, found
            time.sleep(0.01)
        return found[0]

    def deserted(self) -> None:
        """Wait until every attendant has ended: its client is gone."""
        until = time.monotonic() + 60
        while self.attendants():
            assert time.monotonic() < until
            time.sleep(0.05)


def own_kib(pid: int) -> int:
    """Return how much memory a process has for itself, shared with nobody."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except ProcessLookupError:  # it has ended
        return 0
    return sum(int(line.split()[1]) for line in lines if line.startswith("Private_"))


def rss_kib(pid: int) -> int:
    """Return how much memory a process has, shared or not: what it shares with those that it forked counts too."""
    (line,) = (line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("VmRSS:"))
    return int(line.split()[1])


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory, forked: Forked) -> Iterator[Desk]:
    console = Console(tmp_path_factory.mktemp("hostile") / "home", forked)
    console.inventory("hosts:\n" + "".join(f"  host-{number:05}: {{site: berlin}}\n" for number in range(HOSTS)))
    with serving(console, "--of-one-user", str(OF_ONE_USER)) as process:
        assert console("inventory", "list").code == 0
        yield Desk(console, process.pid)


def request(*arguments: str, **rest: Any) -> bytes:
    values: dict[str, Any] = {
        "arguments": arguments,
        "folder": "/",
        "environ": {},
        "stdin": Stream.OTHER,
        "stdout": Stream.OTHER,
        "stderr": Stream.OTHER,
        "terminal": False,
        "columns": 80,
        "rows": 24,
        "reads": (),
        "writes": (),
    }
    return in_words(Kind.REQUEST, **Request(**{**values, **rest}).words())


HELLO = in_words(Kind.HELLO, protocol=PROTOCOL, version="1")


def heard(client: socket.socket) -> list[Frame]:
    """Return everything that the service says until it closes."""
    frames, found = Frames(), []
    try:
        while data := client.recv(PIECE_BYTES):
            found += list(frames.take(data))
    except ConnectionResetError:
        pass
    return found


def hostile(rng: random.Random) -> bytes:
    """Return a conversation with something wrong in it."""
    said = bytearray(HELLO + request(rng.choice(["run list", "--help", "inventory list"]).split()[0], "list"))
    said += b"".join(packed(kind, rng.randbytes(min(LIMITS[kind], rng.randrange(80)))) for kind in rng.choices([*Kind], k=3))
    match rng.randrange(5):
        case 0:
            return rng.randbytes(rng.randrange(1, 4000))
        case 1:
            return bytes(said[: rng.randrange(len(said))])
        case 2:
            for _ in range(rng.randrange(1, 8)):
                said[rng.randrange(len(said))] = rng.randrange(256)
        case 3:
            at = rng.randrange(len(said))
            said[at:at] = rng.randbytes(rng.randrange(1, 50))
        case 4:
            said += struct.pack(">BI", rng.randrange(256), rng.randrange(2**32)) + rng.randbytes(100)
    return bytes(said)


def test_what_means_nothing_ends_one_conversation_and_nothing_else(desk: Desk) -> None:
    rng = random.Random(6)
    for _ in range(SEEDS):
        with desk.connected() as client:
            try:
                client.sendall(hostile(rng))
                client.shutdown(socket.SHUT_WR)
            except (BrokenPipeError, ConnectionResetError):
                pass
            if rng.random() < 0.5:
                heard(client)
    desk.deserted()
    desk.well()
    assert not list((desk.console.home / "service").iterdir())


@pytest.mark.parametrize(
    "said",
    [
        request("run", "list"),  # no greeting
        HELLO + HELLO,
        HELLO + packed(Kind.INTERRUPT),
        HELLO + packed(Kind.REQUEST, b"[" * 100_000),
        HELLO + packed(Kind.REQUEST, b"{}"),
        HELLO + in_words(Kind.REQUEST, arguments="run list"),
        HELLO + request("run\0list"),
        HELLO + request("run", "list", folder="/../../etc"),
        HELLO + request("run", "list", reads=("/../../etc/shadow",)),
        HELLO + request("run", "list", folder="/a" * 200),  # deeper than what can be removed again
        HELLO + request("run", "list", reads=("/\ud800",)),
        HELLO + request("run", "list", columns=10**9),
        HELLO + request("run", "list", stdin="pty"),
        HELLO + packed(Kind.REQUEST, b'{"arguments":["run","list"],"folder":"/","environ":["LD_PRELOAD"]}'),
        HELLO + struct.pack(">BI", Kind.REQUEST, 2**31),
        HELLO + struct.pack(">BI", 0, 0),
    ],
)
def test_a_request_that_is_none_is_carried_out_by_nobody(desk: Desk, said: bytes) -> None:
    with desk.connected() as client:
        client.sendall(said)
        assert [frame.kind for frame in heard(client)] in ([], [Kind.HELLO])
    desk.well()


def test_who_speaks_a_byte_at_a_time_is_let_go(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("runner.service.attendant._IDLE_S", 0.5)
    near, far = socket.socketpair()

    def speak() -> None:
        for byte in HELLO + request("run", "list"):
            try:
                far.sendall(bytes([byte]))
            except OSError:  # nobody listens any more
                return
            time.sleep(0.01)

    speaking = threading.Thread(target=speak)
    with near, far:
        speaking.start()
        with pytest.raises(TimeoutError):
            _Listening(near, Frames()).request(tmp_path, tmp_path)
        near.close()
        speaking.join()


def test_a_thousand_connections_are_taken_by_a_few_processes(desk: Desk) -> None:
    crowd = []
    try:
        for number in range(CROWD):
            client = desk.connected()
            with suppress(BrokenPipeError):  # it was turned away before it could speak
                client.sendall(HELLO[: number % len(HELLO)])  # half a greeting at most
            crowd.append(client)
        assert len(desk.attendants()) == OF_ONE_USER
        refused = desk.console("run", "list")
        assert (refused.code, "as much as it may" in refused.err) == (7, True)
        assert max(map(own_kib, desk.attendants())) < LARGEST_KIB
        turned_away = crowd[OF_ONE_USER + 1 :]
        assert {Kind.BUSY} == {heard(client)[-1].kind for client in turned_away[:50]}
    finally:
        for client in crowd:
            client.close()
    desk.deserted()
    desk.well()


def test_a_client_that_reads_nothing_holds_nobody_up(desk: Desk) -> None:
    desk.deserted()
    with desk.connected() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.sendall(HELLO + request("inventory", "list", "--json"))
        attendant = desk.only()
        until = time.monotonic() + 60
        while not worked(attendant):
            assert time.monotonic() < until, "the command waits for its reader"
            time.sleep(0.05)
        assert own_kib(attendant) < LARGEST_KIB
        desk.well()
        frames = heard(client)
    assert frames[-1].words() == {"code": 0}
    out = b"".join(frame.payload for frame in frames if frame.kind is Kind.OUT)
    assert out == desk.console("inventory", "list", "--json").out.encode()


def worked(attendant: int) -> bool:
    """Tell whether the process that an attendant has for its command has come and gone."""
    descriptors = [os.fspath(path.readlink()) for path in Path(f"/proc/{attendant}/fd").iterdir()]
    began = any("pipe:" in name for name in descriptors) and any("eventpoll" in name for name in descriptors)
    return began and not Path(f"/proc/{attendant}/task/{attendant}/children").read_text().strip()


def test_what_nobody_asked_for_is_dropped(desk: Desk) -> None:
    with desk.connected() as client:
        client.sendall(HELLO + request("secret", "set", "one"))
        piece = packed(Kind.INPUT, bytes(PIECE_BYTES))
        largest = 0
        try:
            for _ in range(512):  # 32 MiB, of which a secret takes a few KiB
                client.sendall(piece)
                largest = max([largest, *map(own_kib, desk.attendants())])
        except (BrokenPipeError, ConnectionResetError):
            pass
        frames = heard(client)
    assert frames[-1].kind is Kind.ENDED
    assert largest < LARGEST_KIB
    desk.well()


def test_files_beyond_the_limit_are_not_taken(desk: Desk) -> None:
    with desk.connected() as client:
        client.sendall(HELLO + request("store", "verify", "/big", reads=("/big",)))
        piece = packed(Kind.FILE, bytes(PIECE_BYTES))
        with pytest.raises((BrokenPipeError, ConnectionResetError)):
            for _ in range(64 * 1024 * 1024 // PIECE_BYTES + 64):
                client.sendall(piece)
    desk.deserted()
    assert not list((desk.console.home / "service").iterdir())
    desk.well()
