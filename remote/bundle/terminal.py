"""A terminal beside a bundle, for what asks for a password, or works, nowhere else: doas, sudo under `requiretty`, an old su.

Answers never pass through it, so they stay as they are to the byte. On the host the bundle offers the ends of four pipes: one
of its processes holds them, says its pid and waits. In the terminal a shell of the same user takes them over from
`/proc/PID/fd`, ends that process, says MARK, and starts the tool with them as stdin, stdout and stderr; the terminal is only
where the tool asks. What is said after MARK counts as its question if it is nothing else than that; then the password goes
out, once. The fourth pipe tells the bundle how the tool ended.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, TypeAlias

from inventory.host import BecomeMethod
from remote.bundle.elevation import HUSH_S, SU_PROMPT, Elevation, Want
from remote.bundle.frames import Stream
from remote.errors import RemoteError

if TYPE_CHECKING:
    from remote.bundle.wire import Wire

OpenTerminal: TypeAlias = Callable[[str], Awaitable["Wire"]]
"""Starts a command of `sh` in a terminal of its own, which does not echo; raises RemoteError where none is to be had."""
Give: TypeAlias = Callable[[], Awaitable[bytes]]
"""Returns the line with the password, or the one that is sent instead of it."""

_MOST_HEARD = 8192
_START_S = 8.0
_SETTING = (
    "PATH=/usr/bin:/bin:/usr/local/bin:/run/wrappers/bin LC_ALL=C; export PATH LC_ALL; stty -echo 2>/dev/null; "
    'trap "" HUP; exec 5<"/proc/$1/fd/0" 6>"/proc/$1/fd/1" 7>"/proc/$1/fd/2" 8>"/proc/$1/fd/4" || exit; kill -KILL "$1"; '
)
_TAKEN = "<&5 >&6 2>&7 5<&- 6>&- 7>&- 8>&-"


def terminal_command(elevation: Elevation, pid: int) -> str:
    """Return what a login shell of any kind (sh, csh, fish) starts in the terminal to become the other user.

    >>> terminal_command(Elevation(terminal=True), 17).endswith("' sh 17 'root'")
    True
    """
    from remote.bundle.script import SEEK_SU, quote

    shell, to = f"echo {elevation.token}; exec /bin/sh", "" if elevation.to_root else ' -u "$2"'
    match elevation.become.method:
        case BecomeMethod.DOAS:  # -L: it leaves no ticket, as `persist` would
            tool = f'doas{to} /bin/sh -c "{shell}" {_TAKEN}; echo "$?" >&8; doas -L 2>/dev/null'
        case BecomeMethod.SU:  # it asks on its stdin, so only its shell has the pipes
            tool = f'{SEEK_SU}"$la_x/su" -s /bin/sh -c "echo {elevation.token} >&6; exec /bin/sh {_TAKEN}" "$2"; echo "$?" >&8'
        case _:
            tool = f'sudo -k -p "{elevation.prompt}"{to} -- /bin/sh -c "{shell}" {_TAKEN}; echo "$?" >&8'
    script = f"{_SETTING}echo {elevation.mark}; {tool}"
    return f"exec /bin/sh -c '{script}' sh {pid} {quote(elevation.become.user)}"


class TerminalTalk:
    """What is said in one terminal, from its opening to its end."""

    def __init__(self, elevation: Elevation, give: Give) -> None:
        self._elevation, self._give = elevation, give
        self._typed = b""

    async def _next(self, terminal: Wire, heard: bytes, wants: Want | None) -> tuple[Stream, bytes] | None:
        """Return what is said next; None also where nothing follows what asks for else, or the tool was never begun."""
        begun = self._elevation.mark.encode() in heard
        try:
            async with asyncio.timeout(HUSH_S if wants is Want.ELSE else None if begun else _START_S):
                return await terminal.read()
        except TimeoutError:
            if wants is Want.ELSE:
                self._elevation.stop()
            return None

    async def hold(self, open_terminal: OpenTerminal, pid: int) -> bool:
        """Open the terminal and give the tool what it asks for; tell whether it came as far as to start it."""
        try:
            terminal = await open_terminal(terminal_command(self._elevation, pid))
        except RemoteError as error:
            self._elevation.no_terminal = str(error.text)
            return False
        heard, wants, self._elevation.talking = b"", None, True
        try:
            while (piece := await self._next(terminal, heard, wants)) is not None:
                heard = (heard + piece[1])[-_MOST_HEARD:]
                wants = hears(self._elevation, heard)
                if wants is Want.PASSWORD:
                    line = await self._give()
                    terminal.write(line)
                    self._typed = line.strip()
                    if self._elevation.refused is not None:
                        break
                if wants is Want.STOP:
                    self._elevation.stop()
                    break
        finally:
            said = _after_mark(self._elevation, heard)
            self._elevation.heard = (said.replace(self._typed, b"***") if self._typed else said).decode(errors="replace")
            self._elevation.talking = False
            terminal.close()
        if self._elevation.mark.encode() in heard:
            return True
        self._elevation.no_terminal = "what was to run in it did not begin"
        return False


def hears(elevation: Elevation, heard: bytes) -> Want | None:
    """Return what the tool wants, given all that was said in the terminal."""
    said = _after_mark(elevation, heard)
    if not elevation.sent and _is_prompt(elevation, said):
        return Want.PASSWORD
    if elevation.sent and elevation.asks_again(said):
        return Want.STOP
    return Want.ELSE if elevation.asks_else(said) else None


def _after_mark(elevation: Elevation, heard: bytes) -> bytes:
    return heard.replace(b"\r\n", b"\n").partition(elevation.mark.encode() + b"\n")[2]


def _is_prompt(elevation: Elevation, said: bytes) -> bool:
    match elevation.become.method:
        case BecomeMethod.DOAS:
            user = re.escape(elevation.login[:32].encode())
            return re.fullmatch(rb"\r?doas \(" + user + rb"@[^\s()]{0,32}\) password: ", said) is not None
        case BecomeMethod.SU:
            return said == SU_PROMPT.encode()
        case _:
            return elevation.is_asked(said)
