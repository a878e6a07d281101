"""What an endpoint of PowerShell on a practice Windows host does with our scripts: they are answered from captures."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass

from remote.lab.windows.replies import Captured
from remote.lab.windows.runspaces import Call, Piped, Told
from remote.windows.bundle import fixed, read_head, read_work
from remote.windows.lines import write_lines


@dataclass(frozen=True, slots=True, kw_only=True)
class CapturedPipelines:
    """A program of an endpoint: the bundle as the runspace runs it, and the script that starts a process for all else."""

    captured: Captured

    async def __call__(self, piped: Piped) -> Told | None:
        """Return how a pipeline ended, having written what it says; None for one that is not ours."""
        match piped.calls:
            case [Call(is_script=True) as call] if call.text == fixed("psrp"):
                return await self._process(call, piped)
            case [Call(is_script=True) as call]:
                return self._asked(call.text)
        return None

    def _asked(self, script: str) -> Told | None:
        try:
            nonce, work, values = read_work(script)
        except ValueError:
            return None
        if work != "ask" or values.get("LaPiped") is not True:
            return None
        _, questions = read_head(script)
        known = self.captured
        lines = write_lines(questions, nonce, known.answers, version=known.version, admin=known.admin)
        return Told(output=_lines(lines))

    async def _process(self, call: Call, piped: Piped) -> Told | None:
        file, arguments, _, value = (str(given or "") for _, given in call.arguments)
        play = self.captured.played(f"{file} {arguments}", value, _bytes(piped.objects()))
        if play is None:
            return None
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
