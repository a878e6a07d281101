r"""What comes back of a command on Windows: its lines, and what its own deadline and caps make of it.

    \n LA1 NONCE SEQUENCE BYTES begin \n
    \n LA1 NONCE SEQUENCE BYTES out|err BASE64 \n
    \n LA1 NONCE SEQUENCE BYTES denied \n
    \n LA1 NONCE SEQUENCE BYTES ended STATUS \n

STATUS is `-` where the script itself called `exit`: the transport tells the status then.
"""

from __future__ import annotations

import base64
import re
import time
from typing import Final

from remote.answer import Ended
from remote.command import Command, CommandResult
from remote.windows.launch import Ending
from remote.windows.lines import NO_ADMIN, Lines

_PART: Final = re.compile(r"(?P<stream>out|err) (?P<text>[A-Za-z0-9+/]*={0,2})")
_ENDED: Final = re.compile(r"ended (?P<status>-|-?\d{1,10})")
_ERRORS: Final = 64 * 1024
_LONGEST: Final = 4 * 1024 * 1024


class CommandReader(Lines):
    """Reads what comes back of one command."""

    def __init__(self, command: Command, nonce: str) -> None:
        super().__init__(nonce, most=4 * command.max_bytes + 4 * _ERRORS, longest=_LONGEST)
        self.command = command
        self._began_at: float | None = None
        self._streams = {"out": bytearray(), "err": bytearray()}
        self._cut = {"out": 0, "err": 0}
        self._caps = {"out": command.max_bytes, "err": _ERRORS}
        self._denied = self._over = False
        self._status: int | None = None

    @property
    def due(self) -> float:
        """Return when the command's own deadline passes; it runs from when the script began."""
        return float("inf") if self._began_at is None else self._began_at + self.command.deadline_s

    def take(self, text: str) -> bool:
        """Take a line."""
        if match := _PART.fullmatch(text):
            return self._part(match)
        if match := _ENDED.fullmatch(text):
            self._over = True
            self._status = None if match["status"] == "-" else int(match["status"])
            self.done = self._status is not None
        elif text == "begin":
            self._began_at = time.monotonic()
        elif text == "denied":
            self._denied = self.done = True
        else:
            return False
        return True

    def _part(self, match: re.Match[str]) -> bool:
        name = match["stream"]
        try:
            data = base64.b64decode(match["text"], validate=True)
        except ValueError:
            return False
        kept = self._streams[name]
        room = max(0, self._caps[name] - len(kept))
        kept += data[:room]
        self._cut[name] += len(data) - min(len(data), room)
        if self._cut["out"]:
            self.done = True  # the rest is not waited for: it is ended
        return True

    def finish(self, ending: Ending) -> CommandResult:
        """Return how the command ended; success is what its own lines say, never an exit status alone."""
        ended, status, why = self._outcome(ending)
        return CommandResult(
            ended=ended,
            exit_status=status,
            stdout=bytes(self._streams["out"]),
            stderr=bytes(self._streams["err"]),
            stdout_cut=-1 if self._cut["out"] else 0,
            stderr_cut=self._cut["err"],
            as_root=bool(self.admin) and ended is not Ended.NOT_RUN,
            duration_ms=0 if self._began_at is None else int((time.monotonic() - self._began_at) * 1000),
            why=why,
            denied=NO_ADMIN if self._denied else "",
        )

    def _outcome(self, ending: Ending) -> tuple[Ended, int | None, str]:
        if self._denied:
            return Ended.NOT_RUN, None, NO_ADMIN
        if not ending.begun:
            return Ended.NOT_RUN, None, self.words(ending.why)
        if self.torn:
            return Ended.LOST, None, "a part of what it said was lost on the way"
        if self._cut["out"]:
            return Ended.CAPPED, None, ""
        if self._over:
            status = ending.status if self._status is None else self._status
            return (Ended.LOST, None, self.words(ending.why)) if status is None else (Ended.EXITED, signed(status), "")
        if time.monotonic() >= self.due:
            return Ended.TIMED_OUT, None, ""
        if self._began_at is not None and ending.status and not ending.why:
            return Ended.EXITED, signed(ending.status), ""  # it was killed, and that is no success
        return Ended.LOST, None, self.words(ending.why)


def signed(status: int) -> int:
    """Return an exit status as Windows' own programs show it: 32 bits with a sign.

    >>> signed(3221225794), signed(3), signed(-5)
    (-1073741502, 3, -5)
    """
    return (status + 2**31) % 2**32 - 2**31
