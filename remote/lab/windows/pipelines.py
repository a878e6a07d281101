"""What an endpoint of PowerShell on a practice Windows host does with our scripts: they are answered from captures."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass

from remote.lab.windows.replies import Captured
from remote.lab.windows.runspaces import Call, Piped, Told
from remote.windows.bundle import fixed, in_runspace, read_head, read_work, unpack
from remote.windows.lines import write_lines

_PIECE = 64 * 1024
"""Bytes of lines that leave together (lines.ps1)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CapturedPipelines:
    """A program of an endpoint: the bundle as the runspace runs it, and the script that starts a process for all else."""

    captured: Captured

    async def __call__(self, piped: Piped) -> Told | None:
        """Return how a pipeline ended, having written what it says; None for one that is not ours."""
        match piped.calls:
            case [Call(is_script=True) as call] if call.text == fixed("psrp"):
                return await self._process(call, piped)
            case [Call(is_script=True) as call] if call.text == in_runspace():
                return self._asked(str(call.argument(None) or ""))
        return None

    def _asked(self, packed: str) -> Told | None:
        try:
            script = unpack(packed)
            nonce, work, values = read_work(script)
        except ValueError:
            return None
        if work != "ask" or values.get("LaPiped") is not True:
            return None
        _, questions = read_head(script)
        known = self.captured
        lines = write_lines(questions, nonce, known.answers, version=known.version, admin=known.admin)
        return Told(output=[lines[at : at + _PIECE].decode() for at in range(0, len(lines), _PIECE)])

    async def _process(self, call: Call, piped: Piped) -> Told | None:
        file, arguments, _, value = (str(given or "") for _, given in call.arguments)
        play = self.captured.played(f"{file} {arguments}", value, _bytes(piped.objects()))
        if play is None:
            return None
        piped.write("\n")
        async for wrote in play:
            for line in _lines(wrote.stdout):
                piped.write(line)
            if wrote.stderr:
                piped.warn(wrote.stderr.decode("utf-8", "replace"))
            if wrote.exit_status is not None:
                return Told(output=[(wrote.exit_status + 2**31) % 2**32 - 2**31])
        return Told(output=[1])


def _lines(data: bytes) -> list[str]:
    return data.decode("ascii", "replace").splitlines(keepends=True)


async def _bytes(objects: AsyncIterator[object]) -> AsyncIterator[bytes]:
    async for one in objects:
        yield str(one).encode()
