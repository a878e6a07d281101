"""`longarm host shell`: our terminal joined to one on a host, over the same way and by the same trust as everything else.

What the host sends goes to the terminal as it is: that is what a terminal is for. Whatever happens, ours is put back.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import select
import signal
import sys
import termios
import time
import tty
from collections.abc import Iterator
from dataclasses import dataclass, replace

from console.diagnosing import case_named
from console.getting import one_host
from console.inventories import known_inventory
from console.permits import refuse_this_machine
from console.reasons import reason_given
from console.served import awaiting
from console.settings import Settings
from console.tasking import do_task
from console.terminal import tell
from inventory.errors import Text, UsageError
from remote.session import Session
from remote.terminal import Screen, Terminal
from runner.casts import Cast
from runner.desk import login_name
from runner.request import TaskRequest
from runner.tasks import STOPPED, Held, TerminalTask

_OPENING_S = 20.0
_PIECE = 64 * 1024
_NEW_LINES = b"\r\n"


def open_shell(
    settings: Settings, target: str, *, case: str | None, read_only: bool, beside: str | None, deadline_s: float
) -> int:
    """Hold a terminal on a host until it ends, and return the run's exit code; recorded where it is for a case."""
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise UsageError(Text("a terminal needs a terminal"), Text("for single commands: longarm host run"))
    selection, case = one_host(known_inventory(settings).select(target)), case_named(case)
    refuse_this_machine(selection.hosts)
    if case is not None:
        tell(settings, Text("recorded for case {case}: what the screen shows, known secrets masked", case=case))
    tell(settings, Text("to leave a host that hangs: Enter, then ~ and ."))

    async def hold(session: Session, left_s: float) -> Held:
        return await _hold(session, left_s, recorded=case is not None)

    request = TaskRequest(
        selection=selection,
        task=TerminalTask(hold=hold),
        case=case,
        actor=login_name(),
        concurrency=1,
        host_deadline_s=deadline_s,
        languages=(settings.language,),
        read_only=read_only,
        beside=reason_given(beside, "--beside"),
    )
    return do_task(replace(settings, verbosity=min(settings.verbosity, -1)), request)[1]


async def _hold(session: Session, left_s: float, *, recorded: bool) -> Held:
    """Join both terminals until one of them ends, for `left_s` seconds, or until the run is stopped: what was shown is kept."""
    screen, began = _screen(), time.monotonic()
    far = await session.terminal(screen, deadline_s=min(_OPENING_S, left_s))
    cast = Cast(screen.columns, screen.rows, screen.kind, began_s=int(time.time())) if recorded else None
    joined = _Joined(far, cast, began)
    late = stopped = False
    try:
        with awaiting("raw"), raw_terminal(), joined.listening():
            async with asyncio.timeout(left_s):
                await joined.carry()
    except TimeoutError:
        late = True
    except asyncio.CancelledError:
        task = asyncio.current_task()
        assert task is not None
        task.uncancel()
        stopped = True
    finally:
        far.close()
    took_s = time.monotonic() - began
    data = cast.data(took_s) if cast else b""
    lost = STOPPED if stopped else "" if joined.left else far.why
    return Held(lost=lost, late=late, cast=data, took_ms=round(took_s * 1000))


def _screen() -> Screen:
    columns, rows = os.get_terminal_size(sys.stdin.fileno())  # COLUMNS may be of another window
    return Screen(kind=os.environ.get("TERM", "xterm"), columns=columns, rows=rows)


@contextlib.contextmanager
def raw_terminal() -> Iterator[None]:
    """Hand every key on as it is typed; afterwards the terminal is as it was, whatever ended this."""
    fd = sys.stdin.fileno()
    before, blocking = termios.tcgetattr(fd), os.get_blocking(fd)
    tty.setraw(fd, termios.TCSADRAIN)
    try:
        yield
    finally:
        os.set_blocking(fd, blocking)  # uvloop reads only what does not block, and our shell has the same terminal
        with contextlib.suppress(termios.error):  # it is gone
            termios.tcsetattr(fd, termios.TCSADRAIN, before)


@dataclass(slots=True)
class _Joined:
    """Both directions between our terminal and the far one."""

    far: Terminal
    cast: Cast | None
    began: float
    left: bool = False
    """Somebody left by `~.`, or our terminal is gone."""
    _escapes: Escapes | None = None

    @contextlib.contextmanager
    def listening(self) -> Iterator[None]:
        """Pass on what is typed, and changes of the window."""
        loop, fd = asyncio.get_running_loop(), sys.stdin.fileno()
        self._escapes = Escapes()
        loop.add_reader(fd, self._typed, fd)
        loop.add_signal_handler(signal.SIGWINCH, self._resized)
        loop.add_signal_handler(signal.SIGHUP, self._leave)
        try:
            yield
        finally:
            loop.remove_reader(fd)
            loop.remove_signal_handler(signal.SIGWINCH)
            loop.remove_signal_handler(signal.SIGHUP)

    async def carry(self) -> None:
        """Show what the host sends until there is no more, or somebody has left."""
        while not self.left and (piece := await self.far.read()) is not None:
            data = piece[1]
            if self.cast is not None:
                self.cast.shown(time.monotonic() - self.began, data)
            self._show(data)

    def _show(self, data: bytes) -> None:
        view = memoryview(data)
        try:
            while view:
                view = view[_written(sys.stdout.fileno(), view) :]
        except OSError:  # somebody has closed the window
            self._leave()

    def _typed(self, fd: int) -> None:
        try:
            data = os.read(fd, _PIECE)
        except OSError:
            data = b""
        assert self._escapes is not None
        passed, leaves = self._escapes.take(data)
        if passed:
            self.far.write(passed)
        if leaves or not data:
            self._leave()

    def _leave(self) -> None:
        self.left = True
        self.far.close()

    def _resized(self) -> None:
        screen = _screen()
        self.far.resize(screen.columns, screen.rows)
        if self.cast is not None:
            self.cast.resized(time.monotonic() - self.began, screen.columns, screen.rows)


def _written(fd: int, data: memoryview) -> int:
    """Write what the terminal takes and return how much; what shares it with stdin may not block, and then is waited for."""
    while True:
        try:
            return os.write(fd, data)
        except BlockingIOError:
            select.select([], [fd], [])


class Escapes:
    r"""Finds `~.` at the beginning of a line among what is typed; `~~` is one tilde.

    >>> escapes = Escapes()
    >>> escapes.take(b"~x\r~"), escapes.take(b"."), escapes.take(b"ls ~.\r~~")
    ((b'~x\r', False), (b'', True), (b'ls ~.\r~', False))
    """

    def __init__(self) -> None:
        self._at_start, self._tilde = True, False

    def take(self, data: bytes) -> tuple[bytes, bool]:
        """Return what is passed on, and whether somebody wants to leave."""
        passed = bytearray()
        for byte in data:
            if self._tilde:
                self._tilde = False
                if byte == ord("."):
                    return bytes(passed), True
                if byte != ord("~"):
                    passed.append(ord("~"))
            elif self._at_start and byte == ord("~"):
                self._tilde = True
                continue
            passed.append(byte)
            self._at_start = byte in _NEW_LINES
        return bytes(passed), False
