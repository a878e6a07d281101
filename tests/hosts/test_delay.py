"""The faults of the lab themselves: a line that is said to be long is, and what is under way on it lives on."""

from __future__ import annotations

import socket
import time

import pytest

from tests.hosts.faults import FAULTS
from tests.hosts.realhosts import RealLab, inside

pytestmark = pytest.mark.hosts


def test_a_long_line_delays_what_is_under_way_and_loses_nothing_of_it(lab: RealLab) -> None:
    """Both ways of the line are waited for, and it is as short as before afterwards."""
    cause, mend = FAULTS["delay"]
    with inside(lab.desk):
        wire = socket.create_connection((lab.hosts["box1"].address, 22), 20)
    with wire, wire.makefile("rb") as read:
        assert read.readline().startswith(b"SSH-2.0-")
        cause(lab, "box1")
        try:
            began = time.monotonic()
            wire.sendall(b"SSH-2.0-longarm_test\r\n" + bytes(4))  # which is no packet: the server leaves
            wire.shutdown(socket.SHUT_WR)
            while read.read(65536):
                pass
            assert time.monotonic() - began >= 1.4
        finally:
            mend(lab, "box1")
    with inside(lab.desk):
        socket.create_connection((lab.hosts["box1"].address, 22), 20).close()
