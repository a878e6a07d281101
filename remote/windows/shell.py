"""One command of a Windows host from Create to Delete: started at most once, heard within a deadline, tidied up in any case."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, Protocol, TypeVar

from remote.windows.launch import Ending, Launch, Listener
from remote.windows.troubles import BUSY, SHELL_NOT_FOUND, TAKES_NO_MORE, TROUBLES, Kind, Trouble, trouble_of
from remote.windows.wire import Wire

T = TypeVar("T")

TIDY_S: Final = 1.2
"""What ending and deleting may take after the deadline."""
_TIDY_IN_TIME_S: Final = 5.0
"""What they may take while the deadline has not passed."""
_FIRST_TRY: Final = 0.6
"""The share of that for the first attempt: a connection that hangs must leave time for another one."""
_LONGEST_WAIT_S = 20.0
_SILENCE_S = 10.0
"""How long after that a host says nothing on a connection that is well: it answers that there was nothing to be had in time."""
_SPARE_S: Final = 0.2
"""Of the deadline, for the way of the last answer."""
_MOST_MENDED: Final = 5
"""How often a connection is made anew for one command."""
_PAUSES_S: Final = (0.5, 1.0, 2.0, 4.0)
"""Between attempts where the host had no room; nothing was begun then."""
_BUSY_S: Final = 5.0
_CAUGHT: Final = tuple(kind for kind, _ in TROUBLES)
_log = logging.getLogger(__name__)


class Troubled(Exception):
    """A call went wrong."""

    def __init__(self, trouble: Trouble) -> None:
        self.trouble = trouble
        super().__init__(str(trouble.reason))


class Speaker(Protocol):
    """The messages of one kind of shells, in pywinrm's words; `wait_s` is how long the host may take for the next one."""

    wait_s: float
    shells: list[str]
    """The shells that may be there and have to be deleted, as far as they can be named."""

    @property
    def named(self) -> str:
        """Return the id of a command whose start was not answered, by which it can be heard; empty where the host gives ids."""

    def created(self, variables: dict[str, str]) -> str:
        """Return the id of a new shell."""

    def started(self, shell: str, line: str) -> str:
        """Return the id of a command that has been started."""

    def send_command_input(self, shell_id: str, command_id: str, stdin_input: bytes, end: bool = False) -> None:
        """Give a command something to read."""

    def get_command_output_raw(self, shell_id: str, command_id: str) -> tuple[bytes, bytes, int | None, bool]:
        """Return what it said since, its exit status (None: it did not say), and whether it is over."""

    def cleanup_command(self, shell_id: str, command_id: str) -> None:
        """End a command."""

    def close_shell(self, shell_id: str, close_session: bool = True) -> None:
        """Delete a shell."""


@dataclass(slots=True)
class Carriage:
    """Carries one command; called in the session's thread."""

    wire: Wire
    messages: Speaker
    launch: Launch
    listener: Listener
    end: float
    """On the clock."""
    answers: Callable[[], None]
    """Called when the host's script runs."""
    tidying: bool = field(default=False, init=False)
    """Whether it ends what it began: it has a time of its own for that, and a late cut would only cost it a connection."""
    _shell: str | None = field(default=None, init=False)
    _command: str | None = field(default=None, init=False)
    _status: int | None = field(default=None, init=False)
    _ended: bool = field(default=False, init=False)
    _begun: bool = field(default=False, init=False)
    _unheard: bool = field(default=False, init=False)
    """Whether its start was not answered, and nothing has been heard of it since."""
    _mended: int = field(default=0, init=False)
    _went: str = field(default="", init=False)

    def carry(self) -> Ending:
        """Return how it ended; raises nothing that the host does."""
        self.wire.end = self.end + _SPARE_S
        why, number, left = "", 0, False
        try:
            self._start()
            self._send()
            why = self._hear()
            left = why != ""
        except Troubled as error:
            why, number, left = str(error), error.trouble.number, error.trouble.kind is not Kind.ANSWERED
            self._lost(error)
        finally:
            self.tidying = True
            self._tidy()
        return Ending(begun=self._begun, status=self._status, why=why, number=number, left=left, went=self._went)

    def given_up(self) -> Ending:
        """Return how it stands for whoever cannot wait for its thread any longer, which sends nothing more by then."""
        return Ending(begun=self._begun, why="the deadline passed", left=True, went=self._went)

    def _lost(self, error: Troubled) -> None:
        """Note the first trouble that an answer may have got lost with: what a host has once said, it does not say again."""
        if error.trouble.loses:
            self._went = self._went or str(error)

    def _start(self) -> None:
        for pause_s in (*_PAUSES_S, None):
            try:
                if self._shell is None:
                    self._shell = self._created()
                self._started(self._shell)
            except Troubled as error:
                answered = error.trouble.kind is Kind.ANSWERED
                self._begun = self._begun and not answered
                if not answered or not error.trouble.of_room or pause_s is None or self._left() < pause_s:
                    raise
                self._tidy()  # a shell counts what was ever started in it: the next one begins anew
                self.wire.end = self.end + _SPARE_S
                time.sleep(pause_s)
            else:
                return

    def _created(self) -> str:
        """Return a new shell, tried twice: a connection that died unused shows only now, and a shell runs nothing."""
        try:
            return self._call(lambda: self.messages.created(dict(self.launch.variables)))
        except Troubled as error:
            self._mend(error)
        return self._call(lambda: self.messages.created(dict(self.launch.variables)))

    def _started(self, shell: str) -> None:
        """Start the command, once; whether one runs whose answer was lost shows when it is heard, if it can be named."""
        self._connect()  # without a connection nothing is sent, so nothing is begun
        self._begun = True  # until the host says that it did not
        try:
            self._command = self._call(lambda: self.messages.started(shell, self.launch.line))
        except Troubled as error:
            if not self.messages.named:
                raise
            self._mend(error)
            self._command, self._unheard = self.messages.named, True

    def _send(self) -> None:
        """Give it what it reads, the last piece with the end; what it does not want any more is not sent."""
        waiting: bytes | None = None
        try:
            for piece in self.launch.stdin or ():
                if waiting is not None:
                    self._sent(waiting, end=False)
                waiting = piece
            if waiting is not None:
                self._sent(waiting, end=True)
        except Troubled as error:
            if error.trouble.number not in TAKES_NO_MORE:
                raise

    def _sent(self, piece: bytes, *, end: bool) -> None:
        """Send a piece of stdin, once: whether one whose answer was lost has arrived, nobody knows."""
        for last in (False, False, True):
            try:
                self._call(lambda: self.messages.send_command_input(self._shell or "", self._command or "", piece, end=end))
            except Troubled as error:
                if error.trouble.number != BUSY or last or self._left() < _BUSY_S:
                    raise
                time.sleep(_BUSY_S)
            else:
                return

    def _hear(self) -> str:
        """Receive until everything has been said, and return why it was left otherwise."""
        while not (self._ended or self.listener.done):
            if self._left() <= 0 or time.monotonic() >= self.listener.due:
                return "the deadline passed"
            if self.listener.overfull:
                return "the host sent more than all caps together"
            try:
                stdout, stderr, status, self._ended = self._call(
                    lambda: self.messages.get_command_output_raw(self._shell or "", self._command or "")
                )
            except Troubled as error:
                self._not_heard(error)
                continue
            self._unheard = False
            self.listener.feed(stdout)
            if self.listener.begun:
                self.answers()
            self.listener.feed_stderr(stderr)
            self._status = status % 2**32 if self._ended and status is not None else None
        return ""

    def _not_heard(self, error: Troubled) -> None:
        """Return if it is to be asked again, over a new connection where the old one is gone; else raise."""
        never_came = self._unheard and error.trouble.number == SHELL_NOT_FOUND
        if error.trouble.kind is Kind.WAITS or never_came:
            self._unheard = False
        if never_came and self._shell is not None:
            self._started(self._shell)
        elif error.trouble.kind is not Kind.WAITS:
            self._mend(error)

    def _mend(self, error: Troubled) -> None:
        """Make a new connection, since a shell outlives the old one; raise the error where that is of no use."""
        self._lost(error)
        self._mended += 1
        if error.trouble.kind is not Kind.DROPPED or self._left() <= 0 or self._mended > _MOST_MENDED:
            raise error
        self.wire.close_session()
        try:
            self._connect()
        except Troubled as another:
            raise error from another

    def _connect(self) -> None:
        if self.wire.connected:
            return
        try:
            self.wire.renew()
        except _CAUGHT as error:
            raise Troubled(trouble_of(error)) from error

    def _call(self, call: Callable[[], T]) -> T:
        own_s = self.listener.due - time.monotonic()
        self.messages.wait_s = max(0.05, min(_LONGEST_WAIT_S, self._left(), own_s))
        self.wire.silence_s = self.messages.wait_s + _SILENCE_S
        try:
            return call()
        except _CAUGHT as error:
            raise Troubled(trouble_of(error)) from error

    def _left(self) -> float:
        return self.end - time.monotonic()

    def _tidy(self) -> None:
        """End the command, unless it has, and delete the shells; once more where that fails, over a new connection."""
        budget_s = max(TIDY_S, min(_TIDY_IN_TIME_S, self._left()))
        began = time.monotonic()
        for share in (_FIRST_TRY, 1.0):
            self.wire.end = began + share * budget_s
            self.messages.wait_s = budget_s
            self.wire.mend()
            try:
                self._delete()
            except _CAUGHT as error:
                trouble = trouble_of(error)
                if share == 1.0 or trouble.kind is Kind.REFUSED or self.wire.over:
                    _log.warning("a shell was left on the host, which ends it itself when it is idle: %s", trouble.reason)
                    break
                if trouble.kind is not Kind.ANSWERED:
                    self.wire.close_session()
            else:
                break
        self._shell = self._command = None

    def _delete(self) -> None:
        """Delete what may be there; that ends what runs in it too, where a signal is not answered, or not sent, being late."""
        late = self._left() <= 0
        while self.messages.shells:
            shell, command = self.messages.shells[-1], self._command
            if command and shell == self._shell and not (self._ended or self.listener.done or late):
                self._command = None
                self._terminate(shell, command)
            try:
                self.messages.close_shell(shell, close_session=False)
            except _CAUGHT as error:
                if trouble_of(error).number != SHELL_NOT_FOUND:
                    raise
            self.messages.shells.pop()

    def _terminate(self, shell: str, command: str) -> None:
        try:
            self.messages.cleanup_command(shell, command)
        except _CAUGHT as error:
            if trouble_of(error).kind is Kind.DROPPED:
                raise
