"""The service: it holds the home, listens, and gives each client an attendant; it reads nothing that clients send."""

from __future__ import annotations

import gc
import os
import selectors
import shutil
import signal
import socket
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from inventory.errors import Text
from inventory.version import VERSION
from runner.service.address import Address, listening
from runner.service.attendant import Post, Work, attend
from runner.service.peers import Peer, peer_of
from runner.service.wire import PROTOCOL, Kind, in_words, packed

_LATE_S: Final = 5.0
"""That attendants have on top of the grace of their commands."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What the service carries out at once, and how long it waits when it is to end."""

    clients: int = 128
    of_one_user: int = 32
    grace_s: float = 60.0


class Service:
    """Serves one home until it is told to end."""

    def __init__(self, home: Path, address: Address, work: Work, limits: Limits, told: Callable[[Text], None]) -> None:
        self._home, self._address, self._work, self._limits, self._told = home, address, work, limits, told
        self._attendants: dict[int, Peer] = {}
        self._spools = home / "service"

    def serve(self, ready: Callable[[], None]) -> None:
        """Listen until SIGTERM or SIGINT, then let everything that is on its way come to a safe point.

        The caller holds the lock of the home and has lent it; `ready` is called once clients are answered.
        """
        shutil.rmtree(self._spools, ignore_errors=True)
        self._spools.mkdir(mode=0o700)
        life, self._alive = os.pipe2(os.O_CLOEXEC)
        self._post = Post(home=self._home, spools=self._spools, work=self._work, life=life, grace_s=self._limits.grace_s)
        with listening(self._address) as door, selectors.DefaultSelector() as selector:
            self._door = door
            door.setblocking(False)
            self._alarm, self._wakeup = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
            signal.set_wakeup_fd(self._wakeup, warn_on_full_buffer=False)
            for number in (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT):
                signal.signal(number, lambda *_: None)
            selector.register(door, selectors.EVENT_READ)
            selector.register(self._alarm, selectors.EVENT_READ)
            gc.freeze()  # what is loaded is shared with every process that is forked, as long as nobody touches it
            ready()
            self._serve(selector)
            door.close()
            with suppress(FileNotFoundError):
                self._address.path.unlink()
            self._drain(selector)

    def _serve(self, selector: selectors.BaseSelector) -> None:
        while True:
            for key, _ in selector.select():
                if key.fileobj is self._door:
                    self._welcome()
                elif {signal.SIGTERM, signal.SIGINT} & set(self._alarms()):
                    selector.unregister(self._door)
                    return
            self._reap()

    def _drain(self, selector: selectors.BaseSelector) -> None:
        """Tell everybody to come to a safe point, and wait for that within the limit."""
        if self._attendants:
            self._told(Text("no new work; on its way: {count}", count=len(self._attendants)))
        for pid in self._attendants:
            os.kill(pid, signal.SIGTERM)
        until = time.monotonic() + self._limits.grace_s + _LATE_S
        self._reap()  # whoever ended before: nothing tells of them again
        while self._attendants and (left := until - time.monotonic()) > 0:
            if selector.select(left):
                self._alarms()
            self._reap()
        for pid in self._attendants:
            os.kill(pid, signal.SIGKILL)

    def _alarms(self) -> bytes:
        with suppress(BlockingIOError):
            return os.read(self._alarm, 4096)
        return b""

    def _reap(self) -> None:
        while self._attendants:
            pid, _ = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                return
            self._attendants.pop(pid, None)

    def _welcome(self) -> None:
        try:
            connection, _ = self._door.accept()
        except OSError:  # it is gone already, or there are no descriptors left: others go on
            return
        with connection:
            peer = peer_of(connection)
            users = Counter(one.uid for one in self._attendants.values())
            if len(self._attendants) >= self._limits.clients or users[peer.uid] >= self._limits.of_one_user:
                self._refuse(connection)
                return
            try:
                pid = os.fork()
            except OSError:  # no process or no memory for it: the client is told, and others go on
                self._refuse(connection)
                return
            if pid == 0:
                self._attend(connection, peer)
            self._attendants[pid] = peer

    def _refuse(self, connection: socket.socket) -> None:
        connection.setblocking(False)
        with suppress(OSError):
            connection.send(in_words(Kind.HELLO, protocol=PROTOCOL, version=VERSION) + packed(Kind.BUSY))

    def _attend(self, connection: socket.socket, peer: Peer) -> None:
        """Be the attendant of one client, and never come back."""
        code = 1
        try:
            signal.set_wakeup_fd(-1)
            for number in (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT):
                signal.signal(number, signal.SIG_DFL)
            os.setpgid(0, 0)  # Ctrl-C at the service is the service's to understand
            self._door.close()
            for descriptor in (self._alive, self._alarm, self._wakeup):
                os.close(descriptor)
            attend(connection, peer, self._post)
            code = 0
        except BaseException:  # noqa: BLE001 - nothing of this process goes back into the service
            import traceback

            traceback.print_exc()
        finally:
            os._exit(code)
