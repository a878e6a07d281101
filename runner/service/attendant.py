"""One process for each client: it reads what the client sends, lets a process of its own carry the command out, and passes on.

The service itself reads nothing from clients, and what goes wrong here is one client's. A client that goes away takes nothing
with it: what it began goes on to its end.
"""

from __future__ import annotations

import os
import selectors
import shutil
import signal
import socket
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeAlias

from inventory.version import VERSION
from runner.service.call import Call, Want
from runner.service.outgoing import MOST_BYTES, Outgoing
from runner.service.peers import Peer
from runner.service.request import MOST_FILE_BYTES, Request
from runner.service.streams import UNWRITTEN, Streams
from runner.service.wire import PIECE_BYTES, PROTOCOL, BadFrame, Frame, Frames, Kind, in_pieces, in_words, packed

Work: TypeAlias = Callable[[Call], int]
"""What carries a command out, in a process of its own: returns its exit code."""

_IDLE_S: Final = 10.0
"""After which a client that has not said what it wants, or says nothing while it sends files, is let go."""
_FILES_S: Final = 600.0
_PARTING_S: Final = 2.0
"""That a client has to read the end of it when the service ends."""
_READY = selectors.EVENT_READ


@dataclass(frozen=True, slots=True, kw_only=True)
class Post:
    """Where an attendant stands: the home, what carries commands out, how it sees that the service is gone."""

    home: Path
    spools: Path
    work: Work
    life: int
    """A pipe whose other end only the service has."""
    grace_s: float
    """That a command has to come to a safe point when the service is to end."""


def attend(connection: socket.socket, peer: Peer, post: Post) -> None:
    """Serve one client to its end; the calling process has nothing else to do."""
    spool = Path(tempfile.mkdtemp(dir=post.spools.resolve()))
    try:
        with connection:
            frames = Frames()
            try:
                request = _Listening(connection, frames).request(spool, post.home)
            except (BadFrame, OSError):
                return
            call = Call(request=request, peer=peer, home=post.home, spool=spool, wanting=-1)
            _Attendance(connection, frames, call, post).last()
    finally:
        shutil.rmtree(spool, ignore_errors=True)


class _Listening:
    """The part of a conversation in which only the client has something to say."""

    def __init__(self, connection: socket.socket, frames: Frames) -> None:
        self._connection, self._frames = connection, self._arriving(frames)
        self._until = time.monotonic() + _IDLE_S

    def request(self, spool: Path, home: Path) -> Request:
        """Return what a client asks for, once its files lie in the spool; raises BadFrame."""
        hello = self._next(Kind.HELLO).words()
        self._connection.sendall(in_words(Kind.HELLO, protocol=PROTOCOL, version=VERSION, home=str(home)))
        if hello.get("protocol") != PROTOCOL:
            raise BadFrame("another protocol")
        request = Request.of(self._next(Kind.REQUEST).words())
        self._until = time.monotonic() + _FILES_S
        self._connection.sendall(packed(Kind.SEND_FILES))
        left = MOST_FILE_BYTES
        for path in request.reads:
            left -= self._file(spool / path.lstrip("/"), left)
        for place in request.writes:
            if place.possible:
                kept = spool / place.path.lstrip("/")
                kept.parent.mkdir(parents=True, exist_ok=True)
                if place.exists:
                    kept.touch()
                    os.utime(kept, ns=UNWRITTEN)
        (spool / request.folder.lstrip("/")).mkdir(parents=True, exist_ok=True)
        return request

    def _file(self, path: Path, most: int) -> int:
        """Keep a file that the client sends, unless it says at once that there is none; return how long it is."""
        size, file = 0, None
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            while (frame := self._next(Kind.FILE, Kind.FILE_END)).kind is Kind.FILE:
                size += len(frame.payload)
                if size > most:
                    raise BadFrame("too much in files")
                file = file or path.open("wb")
                file.write(frame.payload)
        finally:
            if file is not None:
                file.close()
        return size

    def _next(self, *kinds: Kind) -> Frame:
        frame = next(self._frames, None)
        if frame is None or frame.kind not in kinds:
            raise BadFrame("something else was to come")
        return frame

    def _arriving(self, frames: Frames) -> Iterator[Frame]:
        while data := self._received():
            yield from frames.take(data)

    def _received(self) -> bytes:
        """Return what comes next; raises OSError for a client that is silent, or speaks a byte at a time, for too long."""
        left_s = self._until - time.monotonic()
        if left_s <= 0:
            raise TimeoutError
        self._connection.settimeout(min(left_s, _IDLE_S))
        return self._connection.recv(PIECE_BYTES)


class _Attendance:
    """A command on its way, and its client as long as there is one."""

    def __init__(self, connection: socket.socket, frames: Frames, call: Call, post: Post) -> None:
        self._connection, self._frames, self._call, self._post = connection, frames, call, post
        self._outgoing = Outgoing(call.spool)
        self._here = True
        self._want = Want.NOTHING
        self._killed_at: float | None = None
        self._ended: int | None = None
        self._selector = selectors.DefaultSelector()
        connection.setblocking(False)

    def last(self) -> None:
        """Carry the command out, and pass on between it and the client until both have ended."""
        alarm = _signals()
        self._streams = Streams.opened(self._call.request)
        mine = (self._connection.fileno(), self._post.life, alarm, self._selector.fileno())
        self._worker = self._streams.start(self._call, self._post.work, shut=mine)
        self._watch(alarm, lambda: self._alarmed(alarm))
        self._watch(self._post.life, self._orphaned)
        for descriptor, kind in self._streams.outputs:
            self._watch(descriptor, lambda descriptor=descriptor, kind=kind: self._passed(descriptor, kind))  # type: ignore[misc]
        self._watch(self._streams.wants, self._wanted)
        self._spoken(b"")  # what came together with the request
        while self._ended is None:
            self._turn()
        self._finish(self._ended)
        until = time.monotonic() + _PARTING_S
        while self._here and self._outgoing.waiting and (self._killed_at is None or time.monotonic() < until):
            self._turn()

    def _turn(self) -> None:
        if self._here:
            writing = bool(self._outgoing.waiting)
            reading = not self._streams.full
            events = (selectors.EVENT_WRITE if writing else 0) | (selectors.EVENT_READ if reading else 0)
            self._attend_to(events)
        for key, events in self._selector.select(self._patience()):
            if key.data != self._spoken_to:
                key.data()
                continue
            if events & selectors.EVENT_WRITE:
                self._send()
            if events & selectors.EVENT_READ and self._here:
                self._spoken_to()
        self._streams.type()
        if self._killed_at is not None and time.monotonic() > self._killed_at:
            self._kill()
        self._reap()

    def _attend_to(self, events: int) -> None:
        known = self._connection in self._selector.get_map()
        if events and known:
            self._selector.modify(self._connection, events, self._spoken_to)
        elif events:
            self._selector.register(self._connection, events, self._spoken_to)
        elif known:
            self._selector.unregister(self._connection)

    def _patience(self) -> float | None:
        if self._streams.full:
            return 0.05  # the command takes what was typed at its own pace
        return None if self._killed_at is None else 0.2

    def _watch(self, descriptor: int, then: Callable[[], None]) -> None:
        self._selector.register(descriptor, _READY, then)

    def _alarmed(self, alarm: int) -> None:
        if signal.SIGTERM in os.read(alarm, 64) and self._killed_at is None:
            self._killed_at = time.monotonic() + self._post.grace_s
            self._signal(signal.SIGTERM)

    def _orphaned(self) -> None:
        """End with the service: what it left is recovered by its next start."""
        self._selector.unregister(self._post.life)
        self._leave()
        self._kill()

    def _signal(self, number: int) -> None:
        """Send the command a signal; once it has ended, its id may be somebody else's."""
        if self._ended is None:
            os.kill(self._worker, number)

    def _kill(self) -> None:
        """Kill the command with all that it has begun."""
        if self._ended is None:
            try:
                os.killpg(self._worker, signal.SIGKILL)
            except ProcessLookupError:  # it was forked just now, and leads no group yet
                os.kill(self._worker, signal.SIGKILL)

    def _reap(self) -> None:
        if self._ended is None:
            pid, status = os.waitpid(self._worker, os.WNOHANG)
            self._ended = os.waitstatus_to_exitcode(status) if pid else None

    # From the command to the client

    def _passed(self, descriptor: int, kind: Kind) -> None:
        try:
            data = os.read(descriptor, PIECE_BYTES)
        except BlockingIOError:
            return
        except OSError:  # the last process has closed its terminal
            data = b""
        if not data:
            self._selector.unregister(descriptor)
            return
        self._wanted()  # that was said before: whoever sees the prompt of a secret types without echo
        self._say(packed(kind, data))

    def _wanted(self) -> None:
        try:
            said = os.read(self._streams.wants, 4096)
        except BlockingIOError:
            return
        if not said:
            with suppress(KeyError):
                self._selector.unregister(self._streams.wants)
            return
        self._want = Want(said.decode().split()[-1])
        if self._here:
            self._say(in_words(Kind.WANT, what=self._want))
        else:
            self._nobody_answers()

    def _finish(self, code: int) -> None:
        """Say what is left to be said: the rest of the streams, the files, the end."""
        for descriptor, kind in self._streams.outputs:
            for data in self._streams.rest(descriptor):
                self._say(packed(kind, data))
        for number, place in enumerate(self._call.request.writes):
            if (file := self._streams.written(self._call.spool / place.path.lstrip("/"), place)) is not None:
                with file:
                    self._say(packed(Kind.WRITTEN, number.to_bytes(2)))
                    while data := file.read(PIECE_BYTES):
                        self._say(in_pieces(Kind.WRITTEN, data, number.to_bytes(2)))
        shutil.rmtree(self._call.spool, ignore_errors=True)  # before the client is told: it may look for what it left here
        self._say(in_words(Kind.ENDED, code=code))

    def _say(self, data: bytes) -> None:
        if self._here:
            self._outgoing.put(data)
            self._send()
            if self._outgoing.waiting > MOST_BYTES:
                self._leave()

    def _send(self) -> None:
        try:
            self._outgoing.send(self._connection)
        except OSError:
            self._leave()

    # From the client to the command

    def _spoken_to(self) -> None:
        try:
            data = self._connection.recv(PIECE_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if data:
            self._spoken(data)
        else:
            self._leave()

    def _spoken(self, data: bytes) -> None:
        try:
            for frame in self._frames.take(data):
                self._heard(frame)
        except BadFrame:
            self._leave()

    def _heard(self, frame: Frame) -> None:
        if frame.kind is Kind.INPUT:
            self._typed(frame.payload)
        elif frame.kind is Kind.INPUT_END:
            self._nobody_answers()
        elif frame.kind is Kind.INTERRUPT:
            self._signal(signal.SIGINT)
        elif frame.kind is Kind.RESIZE:
            words = frame.words()
            self._streams.resize(words.get("columns"), words.get("rows"))
        else:
            raise BadFrame(f"{frame.kind.name} now")

    def _typed(self, data: bytes) -> None:
        if self._want is Want.NOTHING:  # the answer came too late
            return
        self._streams.take(data, to_terminal=self._want is Want.SECRET)
        if self._want in (Want.LINE, Want.SECRET) and b"\n" in data:
            self._want = Want.NOTHING

    def _nobody_answers(self) -> None:
        """Let who waits for an answer see that there is none; who holds a terminal, that it is gone."""
        if self._want is Want.RAW:
            self._signal(signal.SIGHUP)
        elif self._want is not Want.NOTHING:
            self._streams.end(to_terminal=self._want is Want.SECRET)
        self._want = Want.NOTHING

    def _leave(self) -> None:
        """Go on without the client: what it began is carried out, and what it would have read is dropped."""
        if self._here:
            self._here = False
            if self._connection in self._selector.get_map():
                self._selector.unregister(self._connection)
            self._connection.close()
            if self._ended is None:
                self._nobody_answers()


def _signals() -> int:
    """Return a descriptor on which the numbers of arriving signals can be read."""
    reading, writing = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
    for number in (signal.SIGCHLD, signal.SIGTERM):
        signal.signal(number, lambda *_: None)
    return reading
