"""What a practice Windows host does with our commands and files: it plays those as they were written down, and keeps these.

Nothing of a script is run: it writes what powershell.exe would for the lines that the script is made to say.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import re
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from remote.command import Value
from remote.lab.windows.detached import Detacher, Said
from remote.lab.windows.machine import Killed, Machine
from remote.windows.bundle import quote
from remote.windows.lines import LineWriter

_FOREVER_S = 3600.0
_FLOOD_S = 0.02
"""Between two rounds of a flood: nobody holds a practice host back, and it keeps what nobody takes."""
_PIECE = 49152


@dataclass(frozen=True, slots=True, kw_only=True)
class Ran:
    """How one command goes on a practice host."""

    stdout: str = ""
    stderr: str = ""
    exit_status: int = 0
    seconds: float = 0.0
    """How long it takes; its lines come one after the other meanwhile. Only of a detached one."""
    by_exit: bool = False
    """The script calls `exit` itself: its last line does not tell the status."""
    hangs: bool = False
    """It ends only when it is ended."""
    floods: bool = False
    """It says its stdout again and again."""
    dies: bool = False
    """Its process is killed: there is no last line."""
    raw_stderr: bytes = b""
    """What powershell.exe itself writes there."""


Played: TypeAlias = "Ran | Callable[[str], Ran]"
"""A command, or what makes one of the script with its variables in front."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wrote:
    """A piece of what a process writes; the last one has its exit status."""

    stdout: bytes = b""
    stderr: bytes = b""
    exit_status: int | None = None


class Works:
    """The commands that a practice host knows, by the text of their scripts, and its files, by their paths."""

    def __init__(
        self,
        commands: Mapping[str, Played] | None = None,
        files: dict[str, bytes] | None = None,
        machine: Machine | None = None,
    ) -> None:
        self.commands = commands or {}
        self.machine = machine or Machine(files={} if files is None else files)
        self.files = self.machine.files
        self._detacher = Detacher(self.machine, self._detached)
        self.ran: list[str] = []
        """The scripts that were run, in order: a test counts that none came twice."""
        self.failing: dict[str, str] = {}
        """What is said of a path, line by line, instead of doing anything with it: `failed 0x80070070 IOException`."""

    async def done(
        self, work: str, values: Mapping[str, Value], writer: LineWriter, stdin: AsyncIterator[bytes]
    ) -> AsyncIterator[Wrote]:
        """Yield what the process writes."""
        if values.get("LaNeedsAdmin") and not writer.admin:
            writer.add("denied")
            yield Wrote(stdout=writer.written(), exit_status=0)
            return
        if (said := self.failing.get(str(values.get("LaPath")))) is not None:
            for line in said.splitlines():
                writer.add(line)
            yield Wrote(stdout=writer.written(), exit_status=0)
            return
        match work:
            case "command":
                async for wrote in self._command(await _with_given(values, stdin), writer):
                    yield wrote
            case "start" | "collect" | "drop":
                try:
                    async for lines in self._detacher.told(work, values, writer, stdin):
                        yield Wrote(stdout=lines)
                except Killed:
                    yield Wrote(exit_status=1)
                yield Wrote(exit_status=0)
            case "get":
                yield Wrote(stdout=self._got(values, writer), exit_status=0)
            case "put":
                yield Wrote(stdout=await self._put(values, writer, stdin), exit_status=0)
            case "forget":
                self.files.pop(str(values["LaPart"]), None)
                writer.add("part 0")
                yield Wrote(stdout=writer.written(), exit_status=0)
            case _:
                part = self.files.get(str(values["LaPart"]))
                writer.add("stopped part_lost" if part is None else f"part {len(part)}")
                yield Wrote(stdout=writer.written(), exit_status=0)

    async def _command(self, script: str, writer: LineWriter) -> AsyncIterator[Wrote]:
        writer.add("begin")
        ran = self._ran(script)
        yield Wrote(stdout=writer.take(), stderr=ran.raw_stderr)
        while True:
            for stream, text in (("out", ran.stdout), ("err", ran.stderr)):
                for line in text.splitlines(keepends=True):
                    writer.add(f"{stream} {_packed(line)}")
            yield Wrote(stdout=writer.take())
            if not ran.floods:
                break
            await asyncio.sleep(_FLOOD_S)
        if ran.hangs:
            await asyncio.sleep(_FOREVER_S)
        if not ran.dies:
            writer.add("ended -" if ran.by_exit else f"ended {ran.exit_status}")
        yield Wrote(stdout=writer.take(), exit_status=ran.exit_status % 2**32)

    async def _detached(self, name: str, stdin: AsyncIterator[bytes], values: Mapping[str, Value]) -> AsyncIterator[Said]:
        """Yield what a detached command says; that it begins, and that it ends, are its effects on the host."""
        script = await _with_given(values, stdin)
        self.machine.effects.append(f"begin {name}")
        ran = self._ran(script)
        pieces = ran.stdout.splitlines(keepends=True) if ran.seconds else [ran.stdout]
        for piece in pieces or [""]:
            await asyncio.sleep(ran.seconds / max(1, len(pieces)))
            yield Said(stdout=piece.encode())
        yield Said(stderr=ran.stderr.encode())
        if ran.hangs:
            await asyncio.sleep(_FOREVER_S)
        self.machine.effects.append(f"end {name}")
        yield Said(exit_status=ran.exit_status)

    def _ran(self, script: str) -> Ran:
        """Return how a command goes that is run now."""
        played = next((one for text, one in self.commands.items() if script.endswith(text)), _UNKNOWN)
        self.ran.append(script)
        return played if isinstance(played, Ran) else played(script)

    def _got(self, values: Mapping[str, Value], writer: LineWriter) -> bytes:
        data, at, most = self.files.get(str(values["LaPath"])), int(str(values["LaAt"])), int(str(values["LaMost"]))
        if data is None:
            writer.add("failed 0x80070002 FileNotFoundException")
            return writer.written()
        writer.add(f"size {len(data)}")
        if len(data) > most:
            writer.add("stopped too_large")
            return writer.written()
        for begin in range(at, len(data), _PIECE):
            writer.add(f"piece {base64.b64encode(data[begin : begin + _PIECE]).decode()}")
        writer.add(f"whole {len(data)} {hashlib.sha256(data).hexdigest()}")
        return writer.written()

    async def _put(self, values: Mapping[str, Value], writer: LineWriter, stdin: AsyncIterator[bytes]) -> bytes:
        path, part, size = str(values["LaPath"]), str(values["LaPart"]), int(str(values["LaSize"]))
        data = bytearray(self.files.get(part, b"")[: int(str(values["LaAt"]))])
        async for line in stdin:
            if line == b".":
                break
            data += base64.b64decode(line)
            self.files[part] = bytes(data)
        if len(data) < size:
            writer.add(f"part {len(data)}")
            return writer.written()
        self.files.pop(part, None)
        if hashlib.sha256(data).hexdigest() != values["LaDigest"]:
            writer.add("stopped differs")
            return writer.written()
        self.files[path] = bytes(data)
        writer.add(f"whole {size} {values['LaDigest']}")
        return writer.written()


_UNKNOWN = Ran(stderr="ParserError: this practice host does not know the command\n", exit_status=1)


async def _with_given(values: Mapping[str, Value], stdin: AsyncIterator[bytes]) -> str:
    """Return the script of a command with what it reads behind it assigned as well."""
    assigned = [f"${name} = {quote((await _given(stdin)).decode())}\n" for name in str(values["LaSecrets"]).split()]
    if values["LaReads"]:
        assigned.append(f"$stdin = [Convert]::FromBase64String('{base64.b64encode(await _given(stdin)).decode()}')\n")
    return "".join(assigned) + str(values["LaScript"])


async def _given(stdin: AsyncIterator[bytes]) -> bytes:
    text = b""
    async for line in stdin:
        if line == b".":
            break
        text += line
    return base64.b64decode(text)


def assigned(script: str) -> Mapping[str, str]:
    """Return the variables in front of a script, as they are written."""
    return dict(re.findall(r"^\$([a-z][a-z0-9_]*) = (.*)$", script, re.MULTILINE))


def _packed(text: str) -> str:
    return base64.b64encode(text.encode()).decode()
