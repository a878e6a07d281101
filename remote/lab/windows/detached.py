"""Detached commands on a practice Windows host: start.ps1, collect.ps1, drop.ps1 and supervise.ps1, said in Python.

What they do is what the values of the scripts say, of the one that comes and of the ones that it carries; nothing else is known
of a command. Its effect is what `Works` has for its script.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

from remote.command import Value
from remote.lab.windows.machine import Killed, Machine, Process, Trouble, Win32
from remote.lab.windows.places import Places, Stands
from remote.windows.bundle import read_work, unpack
from remote.windows.lines import LineWriter

_PIECE: Final = 49152
_TICK_S: Final = 0.01
_LAUNCHED: Final = b"launched\n"
_LONG_S: Final = 600
_SWEPT_S: Final = 6 * 24 * 3600
"""As collect.ps1 says it: when a fence that lost lines is no proof any more, and when what nobody asked for may be gone."""
KILLED: Final = 1
"""The exit status of a process that somebody ends by taskkill."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """What a command says at once, or how it ended."""

    stdout: bytes = b""
    stderr: bytes = b""
    exit_status: int | None = None


Runs = Callable[[str, AsyncIterator[bytes], Mapping[str, Value]], AsyncIterator[Said]]
"""Runs a command: its id, what its process reads behind its script, the values of that script."""


@dataclass(slots=True)
class Detacher:
    """The scripts about detached commands on one host."""

    machine: Machine
    runs: Runs
    pipes: dict[str, bytes] = field(default_factory=dict)

    async def told(
        self, work: str, values: Mapping[str, Value], writer: LineWriter, stdin: AsyncIterator[bytes]
    ) -> AsyncIterator[bytes]:
        """Yield what the process of one of the scripts writes; raises Killed where it is ended."""
        process = self.machine.begins(Process(work))
        places = Places(self.machine, process, float(_number(values, "LaGrace")), writer.admin)
        writer.add("begin")
        yield writer.take()
        try:
            match work:
                case "start":
                    behind = await _behind(stdin, _number(values, "LaGives"))
                    async for piece in self._start(places, values, behind, writer):
                        yield piece
                case "collect":
                    self._answer(values, writer, await _collected(places, values))
                case _:
                    await _dropped(places, values, writer)
        finally:
            places.leave()
            self.machine.ended(process)
        writer.add("ended 0")
        yield writer.take()

    async def _start(
        self, places: Places, values: Mapping[str, Value], behind: bytes, writer: LineWriter
    ) -> AsyncIterator[bytes]:
        name = str(values["LaId"])
        word, rest = await places.holding(lambda: _admitted(places, values))
        if word == "known":
            place = places.find(name)
            found = await places.settle(place, name) if place and not places.over(name) else places.remembered(name)
            assert found is not None
        elif word == "launched":
            places.unlock()
            writer.add(f"out {_packed(_LAUNCHED)}")
            yield writer.take()
            found = await self._launched(places, values, rest, behind)
        else:
            found = places.stands("fenced", "-", rest) if word == "fenced" else places.stands("failed", word, rest)
        places.unlock()
        self._answer(values, writer, found)

    async def _launched(self, places: Places, values: Mapping[str, Value], place: str, behind: bytes) -> Stands:
        machine, name = self.machine, str(values["LaId"])
        folder, pipe = f"{place}\\c-{name}", f"pipe-{len(self.pipes)}" if behind else ""
        if pipe:
            self.pipes[pipe] = behind
        digest = hashlib.sha256(str(values["LaJob"]).encode()).digest()
        try:
            await machine.step(places.process, "it is about to be launched")
            if not await self._detached(places, values, folder, pipe, digest):
                return await _refused(places, values, place)
            await machine.step(places.process, "it is launched")
            end = machine.clock() + places.grace_s
            while pipe and pipe in self.pipes and machine.clock() < end:
                await asyncio.sleep(_TICK_S)
                await machine.step(places.process, "waits for who fetches what is behind it")
        finally:
            self.pipes.pop(pipe, None)
        found = await places.waited(place, name, float(_number(values, "LaWait")))
        if found.reason != "not_begun":
            return found
        return await places.holding(lambda: places.settle(place, name))

    async def _detached(self, places: Places, values: Mapping[str, Value], folder: str, pipe: str, digest: bytes) -> bool:
        machine = self.machine
        supervisor = Process("supervise")

        def launch(by: str) -> None:
            line = f"{by} powershell.exe {values['LaOptions']}{folder} {pipe} {base64.b64encode(digest).decode()}"
            machine.launch(line, supervisor, lambda: self._supervise(supervisor, folder, pipe, digest))

        if machine.wmi:
            launch("WMI")
            return True
        machine.write(f"{folder}\\task", b"")
        may = machine.tasks or (machine.system_tasks and bool(values["LaNeedsAdmin"]))
        places.why = f"Win32_Process.Create: {Win32.ACCESS_DENIED}" + ("" if may else ", task: 0x80070005")
        if may:
            machine.registered.add(f"longarm-{values['LaId']}")
            launch("task" if machine.tasks else "task of SYSTEM")
        return may

    async def _supervise(self, process: Process, folder: str, pipe: str, digest: bytes) -> None:
        machine = self.machine
        job = machine.files.get(f"{folder}\\job")
        if job is None or hashlib.sha256(job).digest() != digest:
            return
        _, work, values = read_work(job.decode())
        assert work == "supervise"
        assert machine.hold(f"{folder}\\live", process), "nobody else has the job"
        await machine.step(process, "it lives")
        machine.delete(f"{folder}\\job")
        if f"{folder}\\task" in machine.files:
            machine.delete(f"{folder}\\task")
            machine.registered.discard(f"longarm-{values['LaId']}")
        await machine.step(process, "the job is read")
        if pipe and pipe not in self.pipes:
            return
        await _Watch(self, process, folder, values).through(self.pipes.pop(pipe, b""))

    def _answer(self, values: Mapping[str, Value], writer: LineWriter, found: Stands) -> None:
        """Tell how a command stands, and what there is of its output."""
        files = self.machine.files
        heading = [
            f"state {found.state}",
            f"reason {found.reason}",
            f"status {found.status}",
            f"ms {found.ms}",
            f"cuts {found.cuts}",
            f"boot {self.machine.boot}",
            f"place {found.place}",
            *([f"pids {found.pids}"] if found.pids else []),
            *([f"why {found.why}"] if found.why else []),
        ]
        out = err = b""
        if found.folder:
            out = _kept(files, found, "out", found.most, found.tail)
            err = _kept(files, found, "err", _number(values, "LaMostErr"), _number(values, "LaTailErr"))
            heading.append(f"sizes {len(out)} {len(err)}")
            if _number(values, "LaOutFrom") > 0 and found.state != "running":
                heading.append(f"sum {hashlib.sha256(out).hexdigest()}")
        told = "\n".join(heading) + "\n\n"
        writer.add(f"out {_packed(told.encode())}")
        begin = _number(values, "LaOutFrom")
        for stream, data in (
            ("out", out[begin : begin + _number(values, "LaPiece")]),
            ("err", err[_number(values, "LaErrFrom") :]),
        ):
            for at in range(0, len(data), _PIECE):
                writer.add(f"{stream} {_packed(data[at : at + _PIECE])}")


async def _admitted(places: Places, values: Mapping[str, Value]) -> tuple[str, str]:
    """Return how far a start comes, under the lock: a word, and what belongs to it."""
    name, token = str(values["LaId"]), _number(values, "LaToken")
    if not places.read_fences():
        return "no_place", places.why
    if places.find(name) or places.note(name):
        return "known", ""
    if token < places.seen:
        return "fenced", str(places.seen)
    if busy := await _busy(places):
        return "busy", busy
    for one in str(values["LaForget"]).split():
        await places.close(one)
    places.sweep()
    places.seen = max(places.seen, token)
    places.add_note(name, f"{token} {places.machine.boot} claimed - -")

    async def claim(place: str) -> None:
        await _claim(places, place, values)

    if not (place := await places.somewhere(claim)):
        return "no_place", places.why
    await places.remove_closed()
    return "launched", place


async def _busy(places: Places) -> str:
    for place in places.all:
        for folder in places.machine.names(place) if places.kind(place) == "ours" else ():
            name = folder.removeprefix("c-")
            if name == folder or places.over(name) or f"{place}\\{folder}\\rc" in places.machine.files:
                continue
            if (await places.settle(place, name)).state == "running":
                return name
    return ""


async def _claim(places: Places, place: str, values: Mapping[str, Value]) -> None:
    machine, folder = places.machine, f"{place}\\c-{values['LaId']}"
    claim = f"{values['LaToken']} {machine.boot} {values['LaMost']} {values['LaTail']}\n"
    try:
        machine.make(folder)
        await machine.step(places.process, "its folder is made")
        for name, text in (("claim", claim), ("rc.new", " " * 511 + "\n"), ("job", str(values["LaJob"]))):
            machine.write(f"{folder}\\{name}", text.encode(), new=True)
            await machine.step(places.process, f"{name} is written")
        await places.save_fence(place)
    except Trouble:
        machine.remove(folder)
        raise


async def _refused(places: Places, values: Mapping[str, Value], place: str) -> Stands:
    """Return how it stands that nothing could start."""
    name, why = str(values["LaId"]), places.why

    async def refused() -> Stands:
        found = await places.settle(place, name)
        if found.reason != "not_begun" or not places.read_fences():
            return found
        places.add_note(name, f"{values['LaToken']} {places.machine.boot} failed no_tool -")
        if not await places.somewhere(places.save_fence):
            return found
        places.gone = [(place, name)]
        await places.remove_closed()
        return places.stands("failed", "no_tool", why)

    places.grace_s = 0.0
    return await places.holding(refused)


async def _collected(places: Places, values: Mapping[str, Value]) -> Stands:
    name = str(values["LaId"])

    def found() -> str:
        return places.find(name) if places.read_fences() and not places.over(name) else ""

    if place := found():
        standing = await places.waited(place, name, float(_number(values, "LaWait")))
        if standing.reason not in ("not_begun", "gone"):
            return standing

    async def for_good() -> Stands:
        if place := found():
            return await places.settle(place, name)
        if not places.read_fences():
            return places.stands("unknown", "unreadable", places.why)
        return places.remembered(name) or await _withdrawn(places, name, _number(values, "LaAge"))

    standing = await places.holding(for_good)
    places.unlock()
    return standing


async def _withdrawn(places: Places, name: str, age_s: int) -> Stands:
    up_s = places.machine.up_s
    lost = age_s >= _LONG_S and up_s - age_s <= places.dropped
    if age_s < 0 or up_s <= age_s + 1 or age_s >= _SWEPT_S or lost:
        return places.stands("unknown", "not_known")
    places.add_note(name, f"0 {places.machine.boot} failed not_started -")
    if await places.somewhere(places.save_fence):
        return places.stands("failed", "not_started")
    return places.stands("unknown", "unreadable", places.why)


async def _dropped(places: Places, values: Mapping[str, Value], writer: LineWriter) -> None:
    names = str(values["LaForget"]).split()

    async def read() -> bool:
        if not places.read_fences():
            return False
        for name in names:
            await places.close(name)
        if places.gone and await places.somewhere(places.save_fence):
            await places.remove_closed()
        return True

    if not await places.holding(read):
        return
    places.unlock()
    left = "\n".join(name for name in names if not places.find(name)) + "\n"
    writer.add(f"out {_packed(left.encode())}")


class _Watch:
    """The supervisor of one command."""

    def __init__(self, detacher: Detacher, process: Process, folder: str, values: Mapping[str, Value]) -> None:
        self.detacher, self.machine, self.process, self.folder, self.values = (
            detacher,
            detacher.machine,
            process,
            folder,
            values,
        )
        self.child = Process("command")
        self.status: int | None = None
        self.streams = {
            "out": _Stream(self.machine, f"{folder}\\out", _number(values, "LaMost"), _number(values, "LaTail")),
            "err": _Stream(self.machine, f"{folder}\\err", _number(values, "LaMostErr"), _number(values, "LaTailErr")),
        }

    async def through(self, behind: bytes) -> None:
        """Let the command run, and keep what it says until it has ended."""
        machine = self.machine
        await machine.step(self.process, "the command is started")
        machine.spawn(self.child, lambda: self._command(behind))
        began, begun, late = machine.clock(), False, False
        while self.child in machine.living("command"):
            await asyncio.sleep(_TICK_S)
            await machine.step(self.process, "the command runs")
            if not begun and f"{self.folder}\\begun" in machine.files:
                began, begun = machine.clock(), True
            if machine.clock() - began > _number(self.values, "LaDeadline" if begun else "LaGrace"):
                late = True
                machine.kill(self.child)
        await machine.step(self.process, "the command has ended")
        cuts = [stream.close() for stream in self.streams.values()]
        if f"{self.folder}\\begun" not in machine.files:
            return
        status = KILLED if self.status is None else self.status
        ms = int((machine.clock() - began) * 1000)
        text = f"late - {ms} {cuts[0]} {cuts[1]} ." if late else f"done {status} {ms} {cuts[0]} {cuts[1]} ."
        while not await self._ends(text.ljust(511).encode() + b"\n"):
            await asyncio.sleep(_TICK_S)
            await machine.step(self.process, "waits for who looks at rc.new")
        await machine.step(self.process, "rc is in its place")

    async def _ends(self, text: bytes) -> bool:
        """Write how the command ended; tell whether nobody else had the file open."""
        try:
            self.machine.write(f"{self.folder}\\rc.new", text)
            await self.machine.step(self.process, "rc.new is written")
            self.machine.move(f"{self.folder}\\rc.new", f"{self.folder}\\rc")
        except Trouble as error:
            if error.number is not Win32.SHARING:
                raise
            return False
        return True

    async def _command(self, behind: bytes) -> None:
        machine = self.machine
        _, work, values = read_work(unpack("".join(str(self.values["LaChild"]).split("\n")).removesuffix(".")))
        assert work == "detached"
        await machine.step(self.child, "its script is read")
        machine.hold(f"{self.folder}\\runs", self.child)
        await machine.step(self.child, "it is about to begin")
        if f"{self.folder}\\begun" in machine.files:
            return
        machine.write(f"{self.folder}\\begun", b"", new=True)
        await machine.step(self.child, "it begins")
        name = str(self.values["LaId"])
        async for said in self.detacher.runs(name, _lines(behind), values):
            await machine.step(self.child, "it says something")
            if self.process in machine.living("supervise"):
                self.streams["out"].add(said.stdout)
                self.streams["err"].add(said.stderr)
            if said.exit_status is not None:
                self.status = said.exit_status


class _Stream:
    """What is kept of a stream: its head as it comes and, once it is too much, its last bytes."""

    def __init__(self, machine: Machine, path: str, most: int, tail: int) -> None:
        self.machine, self.path, self.most, self.tail = machine, path, most, tail
        self.said, self.last, self.full = 0, b"", False
        machine.write(path, b"", new=True)

    def add(self, data: bytes) -> None:
        """Keep what came."""
        room = max(0, self.most - len(self.machine.files[self.path]))
        self.said += len(data)
        self.last = (self.last + data)[-self.tail :]
        if room and not self.full:
            try:
                self.machine.append(self.path, data[:room])
            except Trouble:
                self.full = True

    def close(self) -> int:
        """Return how much was dropped; -1: nobody knows."""
        if self.full:
            return -1
        if self.said > self.most:
            try:
                self.machine.write(f"{self.path}.tail", self.last, new=True)
            except Trouble:
                self.machine.delete(f"{self.path}.tail")
                return -1
        return max(0, self.said - self.most)


def _kept(files: Mapping[str, bytes], found: Stands, stream: str, most: int, tail: int) -> bytes:
    head, end = files.get(f"{found.folder}\\{stream}", b""), files.get(f"{found.folder}\\{stream}.tail")
    if end is None and found.state != "running":
        return head[:most]
    return head[: most - tail] + (end or b"")


async def _behind(stdin: AsyncIterator[bytes], count: int) -> bytes:
    """Return the lines behind a script, as many as end with a dot; raises Killed where they do not come whole."""
    lines = []
    while count:
        line = await anext(stdin, None)
        if line is None:
            raise Killed
        lines.append(line)
        count -= line == b"."
    return b"".join(line + b"\n" for line in lines)


async def _lines(data: bytes) -> AsyncIterator[bytes]:
    for line in data.splitlines():
        yield line


def _packed(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _number(values: Mapping[str, Value], name: str) -> int:
    return int(str(values[name]))
