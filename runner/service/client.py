"""The client's side: reach the service of a home, let it carry a command out, be its eyes and hands meanwhile."""

from __future__ import annotations

import os
import selectors
import socket
import struct
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final, Protocol

from inventory.version import VERSION
from runner.service.address import other_home, refuse_strangers
from runner.service.call import Want
from runner.service.errors import NotListening, OtherProtocol, ServiceBusy, ServiceLost
from runner.service.peers import peer_of
from runner.service.request import Request
from runner.service.wire import PIECE_BYTES, PROTOCOL, BadFrame, Frame, Frames, Kind, in_words, packed

_PATIENCE_S: Final = 30.0
"""Until the service greets us."""


class Ends(Protocol):
    """The streams, the terminal and the files of whoever calls."""

    alarm: int
    """A descriptor on which Ctrl-C (`interrupt`) and a new size of the terminal (`resize`) can be seen."""

    def alarms(self) -> Iterator[bytes]:
        """Yield the frames that those who rang it mean."""

    def show(self, kind: Kind, data: bytes) -> None:
        """Write a piece of stdout, stderr or what goes to the terminal."""

    def give(self, what: Want) -> int | None:
        """Get the terminal ready for what is wanted and return where to read it, None where there is nothing to read."""

    def keep(self, number: int, data: bytes) -> None:
        """Write a piece of a file that the request named; an empty one begins it."""


class Client:
    """One conversation with a service."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection, self._frames = connection, Frames()

    @classmethod
    def reach(cls, path: Path, home: Path | None) -> Client:
        """Return a conversation with the service that listens on a socket.

        Raises NotListening, StrangeSocket (`home`: whose owner it has to be), OtherProtocol.
        """
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("ll", int(_PATIENCE_S), 0))
            connection.connect(os.fspath(path))  # it waits its turn where many come at once; one that does not block would not
            connection.settimeout(_PATIENCE_S)
            refuse_strangers(path, peer_of(connection), home)
            client = cls(connection)
            client._greet(path, home)
        except BadFrame:
            connection.close()
            raise OtherProtocol(VERSION, "?") from None
        except OSError as error:
            connection.close()
            raise NotListening(str(path), error.strerror or str(error)) from error
        except BaseException:
            connection.close()
            raise
        return client

    def _greet(self, path: Path, home: Path | None) -> None:
        self._send(in_words(Kind.HELLO, protocol=PROTOCOL, version=VERSION))
        hello = self._next(Kind.HELLO).words()
        if hello.get("protocol") != PROTOCOL:
            raise OtherProtocol(VERSION, str(hello.get("version")))
        if home is not None and hello.get("home") not in (None, str(home)):
            raise other_home(path, str(hello["home"]), home)

    def run(self, request: Request, ends: Ends) -> int:
        """Let the service carry a command out and return how it ended: an exit code, or the negative number of a signal.

        Raises ServiceBusy, ServiceLost.
        """
        with self._connection:
            try:
                self._send(in_words(Kind.REQUEST, **request.words()))
                self._next(Kind.SEND_FILES)
                for path in request.reads:
                    self._send_file(Path(path))
                return self._carried(ends)
            except (BadFrame, OSError):
                raise ServiceLost from None
            finally:
                ends.give(Want.NOTHING)

    def _carried(self, ends: Ends) -> int:
        self._connection.settimeout(None)
        with selectors.DefaultSelector() as selector:
            selector.register(self._connection, selectors.EVENT_READ)
            selector.register(ends.alarm, selectors.EVENT_READ)
            given, what = None, Want.NOTHING
            waiting = list(self._frames.take(b""))
            while True:
                for frame in waiting:
                    if frame.kind is Kind.ENDED:
                        return int(frame.words()["code"])
                    if frame.kind is Kind.WANT:
                        if given is not None:
                            selector.unregister(given)
                        what = Want(frame.words()["what"])
                        given = self._asked(selector, ends, what)
                    elif frame.kind is Kind.WRITTEN:
                        ends.keep(int.from_bytes(frame.payload[:2]), frame.payload[2:])
                    else:
                        ends.show(frame.kind, frame.payload)
                waiting = []
                for key, _ in selector.select():
                    if key.fileobj is self._connection:
                        waiting = self._heard()
                    elif key.fd == ends.alarm:
                        for frame_bytes in ends.alarms():
                            self._send(frame_bytes)
                    elif not self._passed_on(key.fd, once=what in (Want.LINE, Want.SECRET)):
                        selector.unregister(key.fd)
                        given = ends.give(Want.NOTHING)

    def _asked(self, selector: selectors.BaseSelector, ends: Ends, what: Want) -> int | None:
        given = ends.give(what)
        if given is not None:
            try:
                selector.register(given, selectors.EVENT_READ)
            except PermissionError:  # a regular file is always ready, and no selector takes it
                while self._passed_on(given):  # to its end
                    continue
                return None
        elif what is not Want.NOTHING:
            self._send(packed(Kind.INPUT_END))
        return given

    def _passed_on(self, given: int, *, once: bool = False) -> bool:
        """Pass on what was typed, and tell whether more is to come; of a terminal that is a line."""
        try:
            data = os.read(given, PIECE_BYTES)
        except OSError:
            data = b""
        self._send(packed(Kind.INPUT, data) if data else packed(Kind.INPUT_END))
        return bool(data) and not once

    def _send_file(self, path: Path) -> None:
        """Send a file; one that cannot be read is not there for the service either."""
        with suppress(OSError), path.open("rb") as file:
            self._send(packed(Kind.FILE))  # it is there, though it may be empty
            while data := file.read(PIECE_BYTES):
                self._send(packed(Kind.FILE, data))
        self._send(packed(Kind.FILE_END))

    def _heard(self) -> list[Frame]:
        data = self._connection.recv(PIECE_BYTES)
        if not data:
            raise ServiceLost
        return list(self._frames.take(data))

    def _next(self, kind: Kind) -> Frame:
        frames = self._frames.take(b"")
        while (frame := next(frames, None)) is None:
            data = self._connection.recv(PIECE_BYTES)
            if not data:
                raise ServiceLost
            frames = self._frames.take(data)
        if frame.kind is Kind.BUSY:
            raise ServiceBusy
        if frame.kind is not kind:
            raise BadFrame(f"{frame.kind.name} in place of {kind.name}")
        return frame

    def _send(self, data: bytes) -> None:
        with suppress(BrokenPipeError, ConnectionResetError):  # what it said last can still be read
            self._connection.sendall(data)
