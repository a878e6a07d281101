"""The steps of a transfer that the host's `sh` takes, within one deadline; what went wrong is told as TransferFailed."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Final, Protocol

from inventory.host import Host
from remote.answer import Ended
from remote.command import Command, CommandResult, Value
from remote.files.transfer import Reason, TransferFailed
from remote.question import Privilege

NO_DIGEST: Final = 70
"""How digest.sh ends where the host has no program for it."""
STATUSES: Final[Mapping[int, Reason]] = {
    21: Reason.MISSING,
    22: Reason.NO_FOLDER,
    23: Reason.IS_DIRECTORY,
    24: Reason.NOT_REGULAR,
    25: Reason.NO_PERMISSION,
    26: Reason.OPEN_TO_OTHERS,
    27: Reason.PART_LOST,
    28: Reason.DIFFERS,
    31: Reason.LED_ELSEWHERE,
}
"""How the scripts of this folder end where something stands in the way."""
_SAID: Final[tuple[tuple[bytes, Reason], ...]] = (
    (b"No space left on device", Reason.NO_SPACE),
    (b"Disk quota exceeded", Reason.QUOTA),
    (b"File too large", Reason.QUOTA),
    (b"Read-only file system", Reason.READ_ONLY),
    (b"Permission denied", Reason.NO_PERMISSION),
    (b"Operation not permitted", Reason.NO_PERMISSION),
    (b"Is a directory", Reason.IS_DIRECTORY),
    (b"No such file or directory", Reason.MISSING),
    (b"nonexistent directory", Reason.NO_FOLDER),
    (b"Directory nonexistent", Reason.NO_FOLDER),
)
"""What strerror(3) says in the C locale, which every script runs in, and dash of its own."""
_ENDED: Final[Mapping[Ended, Reason]] = {
    Ended.TIMED_OUT: Reason.TIMED_OUT,
    Ended.LOST: Reason.LOST,
    Ended.CAPPED: Reason.OTHER,
    Ended.NOT_RUN: Reason.LOST,
}


_CALLS: Final = {"digest": ("digest <", "| digest"), "part": ("in_part\n", "in_folder\n")}


class Runs(Protocol):
    """What of a session the steps need."""

    host: Host

    async def run(self, command: Command, *, deadline_s: float) -> CommandResult:
        """Return how a command ended."""


class Steps:
    """What is done on one host for one file."""

    def __init__(self, session: Runs, path: str, privilege: Privilege, deadline_s: float) -> None:
        self.path, self.privilege = path, privilege
        self.session, self._end = session, time.monotonic() + deadline_s

    @property
    def left_s(self) -> float:
        """Return the seconds that are left, at least 0."""
        return max(0.0, self._end - time.monotonic())

    async def run(self, script: str, *, stdin: bytes | None = None, max_bytes: int = 4096, **variables: Value) -> CommandResult:
        """Return what one step brought back: it succeeded, or ended with NO_DIGEST; else raises TransferFailed."""
        left_s = self.left_s
        if left_s <= 0:
            raise self.failed(Reason.TIMED_OUT)
        command = Command(
            script=text(script),
            variables=variables,
            stdin=stdin,
            deadline_s=max(1, math.ceil(left_s)),
            max_bytes=max_bytes,
            privilege=self.privilege,
        )
        result = await self.session.run(command, deadline_s=left_s)
        if result.succeeded or (result.ended is Ended.EXITED and result.exit_status == NO_DIGEST):
            return result
        raise self.failed(*self._why(result))

    def failed(self, reason: Reason, detail: str = "") -> TransferFailed:
        """Return the error that this file did not arrive."""
        return TransferFailed(self.session.host.name, self.path, reason, detail)

    def _why(self, result: CommandResult) -> tuple[Reason, str]:
        if result.denied:
            return Reason.DENIED, result.denied
        if result.ended is not Ended.EXITED:
            late = result.ended is Ended.LOST and self.left_s <= 0
            return Reason.TIMED_OUT if late else _ENDED[result.ended], result.why
        if reason := STATUSES.get(result.exit_status or 0):
            return reason, ""
        return reason_said(result.stderr)


def reason_said(stderr: bytes) -> tuple[Reason, str]:
    """Return which failure a program told of, and its words where they are none that we know; hostile text.

    >>> reason_said(b"cat: write error: No space left on device\\n")
    (<Reason.NO_SPACE: 'no_space'>, '')
    """
    for words, reason in _SAID:
        if words in stderr:
            return reason, ""
    return Reason.OTHER, stderr.decode(errors="replace").strip()[:300]


@cache
def text(name: str) -> str:
    """Return a script of this folder, with what it calls of digest.sh and part.sh in front."""
    script = _read(name)
    called = [other for other, calls in _CALLS.items() if other != name and any(call in script for call in calls)]
    return "".join((*map(_read, called), script))


def _read(name: str) -> str:
    return (Path(__file__).parent / f"{name}.sh").read_text(encoding="utf-8")
