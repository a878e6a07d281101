"""What waits for a slow client keeps its order, and no more room on the disk than may wait."""

from __future__ import annotations

import os
import random
import socket
from pathlib import Path

import pytest

from runner.service.outgoing import Outgoing

MOST, LARGEST = 600_000, 50_000


@pytest.mark.parametrize("seed", range(8))
def test_who_reads_slowly_and_for_ever_gets_all_in_order_from_a_file_of_one_size(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    outgoing, sent, got = Outgoing(tmp_path, most=MOST, largest=LARGEST), bytearray(), bytearray()
    ours, theirs = socket.socketpair()
    with ours, theirs:
        for one in (ours, theirs):
            one.setblocking(False)
        while len(sent) < 12 * MOST:
            piece = chance.randbytes(chance.randrange(1, LARGEST))
            if outgoing.waiting <= MOST:
                outgoing.put(piece)
                sent += piece
            outgoing.send(ours)
            assert os.fstat(outgoing._file.fileno()).st_size <= MOST + LARGEST
            if outgoing.waiting > chance.randrange(MOST):
                got += read(theirs, chance.randrange(1, 2 * LARGEST))
        while outgoing.waiting or len(got) < len(sent):
            outgoing.send(ours)
            got += read(theirs, LARGEST)
    outgoing._file.close()
    assert got == sent


def read(theirs: socket.socket, most: int) -> bytes:
    try:
        return theirs.recv(most)
    except BlockingIOError:
        return b""
