"""What an attendant passes on between a command and its client, and in which order."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from runner.service.attendant import Post, attend
from runner.service.call import Call, Want
from runner.service.peers import peer_of
from runner.service.request import Request, Stream
from runner.service.wire import PIECE_BYTES, PROTOCOL, Frame, Frames, Kind, in_words, packed

TIMES = 5
PROMPT = b"Secret: "
REQUEST = Request(
    arguments=(),
    folder="/",
    environ={},
    stdin=Stream.TERMINAL,
    stdout=Stream.TERMINAL,
    stderr=Stream.TERMINAL,
    terminal=True,
    columns=80,
    rows=24,
    reads=(),
    writes=(),
)


def asks_for_secrets(call: Call) -> int:
    """Ask as the command line does, one after the other, and each time before the attendant has looked."""
    for _ in range(TIMES):
        os.kill(os.getppid(), signal.SIGSTOP)
        os.write(1, b"\n")
        call.want(Want.NOTHING)
        call.want(Want.SECRET)
        os.write(1, PROMPT)
        os.kill(os.getppid(), signal.SIGCONT)
        os.read(0, 100)
    return 0


def serve(connection: socket.socket) -> None:
    """Be the attendant of the one client, in a process of its own: the command stops it."""
    alive, _ours = os.pipe()
    with tempfile.TemporaryDirectory() as home:
        post = Post(home=Path(home), spools=Path(home), work=asks_for_secrets, life=alive, grace_s=1)
        attend(connection, peer_of(connection), post)


def frames(connection: socket.socket) -> Iterator[Frame]:
    arriving = Frames()
    while data := connection.recv(PIECE_BYTES):
        yield from arriving.take(data)


def test_a_prompt_for_a_secret_is_shown_when_the_terminal_knows_that_it_is_one() -> None:
    ours, theirs = socket.socketpair()
    ours.settimeout(60)
    wanted, asked = "", []
    words = [sys.executable, "-m", "tests.runner.test_attendant", str(theirs.fileno())]
    with ours, subprocess.Popen(words, pass_fds=[theirs.fileno()]) as process:
        theirs.close()
        ours.sendall(in_words(Kind.HELLO, protocol=PROTOCOL, version="1") + in_words(Kind.REQUEST, **REQUEST.words()))
        for frame in frames(ours):
            if frame.kind is Kind.WANT:
                wanted = frame.words()["what"]
            elif frame.kind is Kind.TERMINAL and PROMPT in frame.payload:
                asked.append(wanted)
                ours.sendall(packed(Kind.INPUT, b"typed\n"))
        assert process.wait(60) == 0
    assert asked == [Want.SECRET] * TIMES


if __name__ == "__main__":
    serve(socket.socket(fileno=int(sys.argv[1])))
