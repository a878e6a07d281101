"""What a practice Windows host does with a command: ours are answered from captures, others are not known."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field

from remote.answer import Answer
from remote.lab.windows.shells import Running, Said
from remote.lab.windows.works import Works, Wrote
from remote.windows.bundle import VARIABLE, command_line, read_head, read_work, unpack
from remote.windows.lines import LineWriter, write_lines

FROM_VARIABLE, FROM_STDIN = command_line(on_stdin=False), command_line(on_stdin=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Captured:
    """A program of a practice host: it knows our scripts, and answers what was captured; nothing of a script is run."""

    answers: Mapping[str, Answer] = field(hash=False)
    version: str = "5.1.20348.2849"
    """Of PowerShell."""
    admin: bool = True
    works: Works = field(default_factory=Works, hash=False)
    """What else it can be told to do."""

    async def __call__(self, running: Running) -> Said | None:
        """Return how a command ended, having written what it says; None for one that is not ours."""
        variable = running.asked.environment.get(VARIABLE, "")
        if (play := self.played(running.asked.line, variable, _pieces(running))) is None:
            return None
        async for wrote in play:
            running.write("stdout", wrote.stdout)
            running.write("stderr", wrote.stderr)
            if wrote.exit_status is not None:
                return Said(exit_status=wrote.exit_status)
        return Said(exit_status=1)

    def played(self, line: str, variable: str, stdin: AsyncIterator[bytes]) -> AsyncIterator[Wrote] | None:
        """Return what one process writes that is started so; None for a command line that is not ours."""
        return self._play(line, variable, _lines(stdin)) if line in (FROM_VARIABLE, FROM_STDIN) else None

    async def _play(self, line: str, packed: str, stdin: AsyncIterator[bytes]) -> AsyncIterator[Wrote]:
        if line == FROM_STDIN:
            packed = ""
            async for part in stdin:
                if part in (b".", b""):
                    break
                packed += part.decode("ascii", "replace")
        try:
            script = unpack(packed)
            nonce, work, values = read_work(script)
        except ValueError as error:
            yield Wrote(stderr=f"{error}\r\n".encode(), exit_status=1)
            return
        if work == "ask":
            _, questions = read_head(script)
            lines = write_lines(questions, nonce, self.answers, version=self.version, admin=self.admin)
            yield Wrote(stdout=lines, exit_status=0)
            return
        async for wrote in self.works.done(work, values, LineWriter(nonce, self.version, self.admin), stdin):
            yield wrote


async def _pieces(running: Running) -> AsyncIterator[bytes]:
    while (piece := await running.stdin.get()) is not None:
        yield piece


async def _lines(pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Yield the lines that come in pieces, the last one without its end too."""
    held = b""
    async for piece in pieces:
        *lines, held = (held + piece).split(b"\n")
        for line in lines:
            yield line
    if held:
        yield held
