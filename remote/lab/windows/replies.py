"""What a practice Windows host does with a command: a bundle is answered from captures, any other command is not known."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from remote.answer import Answer
from remote.lab.windows.shells import Running, Said
from remote.windows.bundle import VARIABLE, command_line, read_head, unpack
from remote.windows.lines import write_lines

_FROM_VARIABLE, _FROM_STDIN = command_line(on_stdin=False), command_line(on_stdin=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Captured:
    """A program of a practice host: it knows our bundle, and answers what was captured; nothing of a script is run."""

    answers: Mapping[str, Answer] = field(hash=False)
    version: str = "5.1.20348.2849"
    """Of PowerShell."""
    admin: bool = True

    async def __call__(self, running: Running) -> Said | None:
        """Return what the host says to a bundle; None for any other command."""
        match running.asked.line:
            case line if line == _FROM_VARIABLE:
                packed = running.asked.environment.get(VARIABLE, "")
            case line if line == _FROM_STDIN:
                packed = (await _whole(running)).decode("ascii", "replace")
            case _:
                return None
        try:
            nonce, questions = read_head(unpack(packed))
        except ValueError as error:
            return Said(stderr=f"{error}\r\n".encode(), exit_status=1)
        return Said(stdout=write_lines(questions, nonce, self.answers, version=self.version, admin=self.admin))


async def _whole(running: Running) -> bytes:
    """Return all that is sent to a command on stdin."""
    sent = bytearray()
    while (piece := await running.stdin.get()) is not None:
        sent += piece
    return bytes(sent)
