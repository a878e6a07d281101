"""What a practice Windows host is beside its shells: files, processes that outlive shells, boots; and what goes wrong.

One process runs at a time, and another may at each `step`: there a test kills one, or lets the host reboot.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any, Final, TypeAlias

PROGRAM_DATA, SYSTEM_TEMP, USER_TEMP = "C:\\ProgramData", "C:\\Windows\\Temp", "C:\\Users\\vagrant\\AppData\\Local\\Temp"
TOPS: Final = (PROGRAM_DATA, SYSTEM_TEMP, USER_TEMP)
USER_SID: Final = "S-1-5-21-1004336348-1177238915-682003330-1001"
_LONG_UP_S: Final = 40 * 86400.0


class Win32(IntEnum):
    """Numbers of errors, as Windows counts them."""

    ACCESS_DENIED = 5
    WRITE_PROTECT = 19
    SHARING = 32
    EXISTS = 80
    DISK_FULL = 112


class Trouble(Exception):
    """What Windows refuses."""

    def __init__(self, number: Win32) -> None:
        self.number = number
        super().__init__(number.name)


class Killed(BaseException):
    """A process is ended where it stands; a BaseException, so that nothing that it would catch keeps it alive."""


@dataclass(slots=True, eq=False)
class Process:
    """One process; what it has open and nobody else may open is closed when it ends, however that is."""

    kind: str
    """`start`, `collect`, `drop`, `supervise` or `command`: what it does of ours."""
    task: asyncio.Task[Any] | None = None


Mishap: TypeAlias = Callable[[str, str], bool]
"""Told of each step, whose process takes it and which it is; True: that process is killed there."""


@dataclass(slots=True, kw_only=True)
class Machine:
    """A host's disk, processes and clock."""

    files: dict[str, bytes] = field(default_factory=dict)
    folders: dict[str, float] = field(default_factory=dict)
    """When each was made."""
    theirs: set[str] = field(default_factory=set)
    """Places that somebody else has made."""
    open_to_others: set[str] = field(default_factory=set)
    """Places of ours that others may write to."""
    read_only: set[str] = field(default_factory=set)
    """Tops of places where nothing can be written."""
    room: dict[str, int] = field(default_factory=dict)
    """Bytes that are left at the tops of places; not there: as many as it takes."""
    wmi: bool = True
    """Whether WMI starts processes."""
    tasks: bool = True
    """Whether the user may have scheduled tasks."""
    system_tasks: bool = True
    """Whether SYSTEM may."""
    registered: set[str] = field(default_factory=set)
    """Tasks that are registered now."""
    launches_after_s: float = 0.0
    """How long a process of WMI or of a task takes until it runs."""
    mishap: Mishap = lambda _process, _step: False
    lines: list[str] = field(default_factory=list)
    """What each process that outlives its shell has on its command line."""
    written: list[tuple[str, bytes]] = field(default_factory=list)
    """All that was ever written to files, also for a moment."""
    effects: list[str] = field(default_factory=list)
    """`begin ID` and `end ID`, as commands that change something leave them: a test counts that none came twice."""
    clock: Callable[[], float] = time.time
    _held: dict[str, Process] = field(default_factory=dict)
    _alive: set[Process] = field(default_factory=set)
    _booted_at: float = field(default_factory=lambda: time.time() - _LONG_UP_S)

    @property
    def boot(self) -> str:
        """Return LastBootUpTime as our scripts write it."""
        return time.strftime("%Y%m%d%H%M%S", time.gmtime(self._booted_at))

    @property
    def up_s(self) -> float:
        """Return for how long the host has been up."""
        return self.clock() - self._booted_at

    def reboot(self) -> None:
        """End every process, and be another boot."""
        for process in list(self._alive):
            self.kill(process)
        self._held.clear()
        self._booted_at = max(self.clock(), self._booted_at + 1)

    def living(self, kind: str) -> list[Process]:
        """Return the processes of a kind."""
        return [process for process in self._alive if process.kind == kind]

    def kill(self, process: Process) -> None:
        """End a process; what it has started lives on."""
        self.ended(process)
        if process.task is not None:
            process.task.cancel()

    def begins(self, process: Process) -> Process:
        """Return a process that lives from now on."""
        self._alive.add(process)
        return process

    def ended(self, process: Process) -> None:
        """Close what a process has open."""
        self._alive.discard(process)
        self._held = {path: one for path, one in self._held.items() if one is not process}

    def launch(self, line: str, process: Process, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Start a process that belongs to no shell."""
        self.lines.append(line)
        self.spawn(process, work, after_s=self.launches_after_s)

    def spawn(self, process: Process, work: Callable[[], Coroutine[Any, Any, None]], *, after_s: float = 0.0) -> None:
        """Start a process."""

        async def run() -> None:
            try:
                await asyncio.sleep(after_s)
                await work()
            except (Killed, Trouble):
                return
            finally:
                self.ended(process)

        self.begins(process)
        process.task = asyncio.create_task(run())

    async def step(self, process: Process, name: str) -> None:
        """Let others run, and die if that is to be."""
        await asyncio.sleep(0)
        if process not in self._alive or self.mishap(process.kind, name):
            self.ended(process)
            raise Killed
        await asyncio.sleep(0)

    def hold(self, path: str, process: Process) -> bool:
        """Open a file that nobody else may open meanwhile; tell whether nobody else has."""
        if self._held.get(path, process) is not process:
            return False
        self.files.setdefault(path, b"")
        self._held[path] = process
        return True

    def let_go(self, path: str) -> None:
        """Close such a file."""
        self._held.pop(path, None)

    def is_held(self, path: str) -> bool:
        """Tell whether somebody has it open."""
        return path in self._held

    def write(self, path: str, data: bytes, *, new: bool = False) -> None:
        """Write a file whole; raises Trouble, and what fitted is there then."""
        if new and path in self.files:
            raise Trouble(Win32.EXISTS)
        if path in self._held:
            raise Trouble(Win32.SHARING)
        if path not in self.files:
            self._may_make(path)
        there = len(self.files.get(path, b""))
        kept = self.files[path] = data[: there + self._taken(path, max(0, len(data) - there))]
        self.written.append((path, kept))
        if len(kept) < len(data):
            raise Trouble(Win32.DISK_FULL)

    def append(self, path: str, data: bytes) -> None:
        """Add to a file what fits; raises Trouble where that is not all."""
        kept = data[: self._taken(path, len(data))]
        self.files[path] = self.files.get(path, b"") + kept
        if len(kept) < len(data):
            raise Trouble(Win32.DISK_FULL)

    def move(self, path: str, to: str) -> None:
        """Give a file another name that nobody has."""
        if to in self.files:
            raise Trouble(Win32.EXISTS)
        if path in self._held:
            raise Trouble(Win32.SHARING)
        self.files[to] = self.files.pop(path)

    def make(self, folder: str) -> None:
        """Make a folder, if it is not there."""
        self._may_make(folder)
        self.folders.setdefault(folder, self.clock())

    def move_folder(self, folder: str, to: str) -> None:
        """Give a folder another name; raises Trouble where somebody has a file in it open."""
        inside = [path for path in self.files if path.startswith(f"{folder}\\")]
        if any(path in self._held for path in inside):
            raise Trouble(Win32.ACCESS_DENIED)
        for path in inside:
            self.files[to + path.removeprefix(folder)] = self.files.pop(path)
        self.folders[to] = self.folders.pop(folder)

    def remove(self, folder: str) -> None:
        """Remove a folder with all that is in it."""
        for path in [path for path in self.files if path.startswith(f"{folder}\\")]:
            self.delete(path)
        self.folders.pop(folder, None)

    def delete(self, path: str) -> None:
        """Remove a file, if it is there; its room is free again."""
        freed = len(self.files.pop(path, b""))
        if (top := self._top(path)) in self.room:
            self.room[top] += freed

    def names(self, folder: str) -> list[str]:
        """Return the names of the folders in a folder."""
        return sorted(path[len(folder) + 1 :] for path in self.folders if path.rpartition("\\")[0] == folder)

    def remains(self) -> list[str]:
        """Return what is left in all places."""
        return sorted(path for path in (*self.files, *self.folders) if "\\longarm" in path)

    def _top(self, path: str) -> str:
        return next((top for top in TOPS if path.startswith(f"{top}\\")), "")

    def _may_make(self, path: str) -> None:
        if self._top(path) in self.read_only:
            raise Trouble(Win32.WRITE_PROTECT)
        if self.room.get(self._top(path), 1) <= 0:
            raise Trouble(Win32.DISK_FULL)

    def _taken(self, path: str, size: int) -> int:
        """Return how much of so many bytes fits, and take it."""
        top = self._top(path)
        if top not in self.room:
            return size
        fits = min(size, self.room[top])
        self.room[top] -= fits
        return fits
