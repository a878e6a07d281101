"""What our scripts do on a practice Windows host with the record of detached commands: places.ps1, said in Python.

The files are the same, so are the words in them, and so is the order in which anything is written.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from itertools import chain
from typing import Final, TypeVar

from remote.lab.windows.machine import TOPS, USER_SID, Machine, Process, Trouble

T = TypeVar("T")

_FENCE: Final = re.compile(rb"longarm-fence/1 (\d{1,18})\n((?:[^\n]+\n)*)end\n")
_CLAIM: Final = re.compile(rb"(\d+) (\S+) (\d+) (\d+)\n")
_END: Final = re.compile(rb"(done|late) (-|-?\d{1,10}) (\d{1,15}) (-?\d{1,15} -?\d{1,15}) ([\d ]*)\. *\n")
_POLL_S: Final = 0.01
MOST_NOTES: Final = 24


@dataclass(slots=True, kw_only=True)
class Stands:
    """How a command stands, in the words of the heading."""

    state: str
    reason: str
    status: str = "-"
    ms: str = "0"
    cuts: str = "0 0"
    pids: str = ""
    why: str = ""
    place: str = "-"
    folder: str = ""
    token: str = "0"  # noqa: S105 (of a lease)
    boot: str = ""
    most: int = 0
    tail: int = 0


@dataclass(slots=True)
class Places:
    """The places of one user, as one process of ours sees them."""

    machine: Machine
    process: Process
    grace_s: float
    admin: bool
    seen: int = 0
    dropped: int = 0
    notes: dict[str, list[str]] = field(default_factory=dict)
    """Of each fence."""
    new: list[str] = field(default_factory=list)
    gone: list[tuple[str, str]] = field(default_factory=list)
    made: list[str] = field(default_factory=list)
    again: bool = False
    why: str = ""
    _locks: list[str] = field(default_factory=list)

    @property
    def all(self) -> list[str]:
        """Return them in their order."""
        return [f"{top}\\longarm" + ("" if self.admin else f"-{USER_SID}") for top in TOPS]

    def kind(self, place: str) -> str:
        """Return what a place is."""
        if place in self.machine.theirs:
            return "theirs"
        if place not in self.machine.folders:
            return "absent"
        return "open" if place in self.machine.open_to_others else "ours"

    async def lock(self, place: str) -> bool:
        """Hold a place; tell whether its lock could be made."""
        path = f"{place}\\lock"
        while True:
            try:
                if not self.machine.is_held(path):
                    self.machine.write(path, b"")
                    self.machine.hold(path, self.process)
                    self._locks.append(place)
                    return True
            except Trouble:
                return False
            await asyncio.sleep(_POLL_S)
            await self.machine.step(self.process, "waits for a lock")

    def unlock(self) -> None:
        """Let all go; the files go with it."""
        for place in self._locks:
            self.machine.let_go(f"{place}\\lock")
            self.machine.files.pop(f"{place}\\lock", None)
        self._locks.clear()

    async def lock_all(self) -> None:
        """Hold every place that there is and that takes a file."""
        while True:
            tried = [place for place in self.all if self.kind(place) == "ours"]
            for place in tried:
                await self.lock(place)
            await self.machine.step(self.process, "holds the places")
            if not [place for place in self.all if self.kind(place) == "ours" and place not in tried]:
                return
            self.unlock()

    def read_fences(self) -> bool:
        """Read them all; tell whether all could be understood."""
        self.seen, self.dropped, self.notes, self.new = 0, 0, {}, []
        for place in self.all:
            kind = self.kind(place)
            if kind == "open":
                self.why = f"{place}: open to others"
                return False
            if kind != "ours":
                continue
            path = next((f"{place}\\{name}" for name in ("fence", "fence.new") if f"{place}\\{name}" in self.machine.files), "")
            found = _FENCE.fullmatch(self.machine.files.get(path, b"longarm-fence/1 0\nend\n"))
            if found is None and path.endswith("fence"):
                self.why = f"{path}: cannot be read"
                return False
            if found is not None:
                self.seen = max(self.seen, int(found[1]))
                lines = found[2].decode().splitlines()
                self.notes[place] = [line for line in lines if not line.startswith("dropped ")]
                lost = (line.split(" ") for line in lines if line.startswith("dropped "))
                self.dropped = max([self.dropped, *(int(up) for _, up, boot in lost if boot == self.machine.boot)])
        self.why = ""
        return True

    def note(self, name: str) -> list[str]:
        """Return the words on a command: how it ended, if a fence knows."""
        lines = chain(*self.notes.values(), self.new)
        found = [line.split(" ") for line in lines if line.startswith(f"{name} ")]
        ended = [words for words in found if words[3] != "claimed"]
        return ended[-1] if ended else found[-1] if found else []

    def over(self, name: str) -> bool:
        """Tell whether a fence knows how it ended."""
        return len(words := self.note(name)) > 3 and words[3] != "claimed"

    def add_note(self, name: str, rest: str) -> None:
        """Put down a new line for a command."""
        self.new.append(f"{name} {rest}")

    async def save_fence(self, place: str) -> None:
        """Put the fence into a place: its own lines, and the new ones."""
        new = {line.split(" ")[0] for line in self.new}
        own = [line for line in self.notes.get(place, []) if line.split(" ")[0] not in new]
        if len(own) + len(self.new) > MOST_NOTES:
            self.dropped = int(self.machine.up_s)
        lost = [f"dropped {self.dropped} {self.machine.boot}"] if self.dropped else []
        text = "\n".join([f"longarm-fence/1 {self.seen}", *[*own, *self.new][-MOST_NOTES:], *lost, "end"]) + "\n"
        self.machine.write(f"{place}\\fence.new", text.encode())
        await self.machine.step(self.process, "fence.new is written")
        self.machine.delete(f"{place}\\fence")
        await self.machine.step(self.process, "the fence is out of the way")
        self.machine.move(f"{place}\\fence.new", f"{place}\\fence")
        await self.machine.step(self.process, "the fence is in its place")

    async def somewhere(self, work: Callable[[str], Awaitable[None]]) -> str:
        """Do something in the first place that lets it be done, and return that place; empty, and why, where none does.

        One that has to be made first is made, and held first (`again`).
        """
        troubles = []
        for place in self.all:
            try:
                if self.kind(place) == "absent":
                    self.machine.make(place)
                    self.made.append(place)
                    self.again = True
                    await self.machine.step(self.process, "a place is made")
                    return ""
                if self.kind(place) != "ours":
                    troubles.append(f"{place}: not a folder of ours alone")
                elif place not in self._locks:
                    troubles.append(f"{place}: cannot be written to")
                else:
                    await work(place)
                    return place
            except Trouble as error:
                troubles.append(f"{place}: {error.number}")
        self.why = ", ".join(troubles)
        return ""

    async def holding(self, work: Callable[[], Awaitable[T]]) -> T:
        """Return what some work brings that is done with all places held, which they still are then."""
        while True:
            await self.lock_all()
            self.again, self.gone = False, []
            brought = await work()
            if not self.again:
                return brought
            self.unlock()

    def leave(self) -> None:
        """Let all go, and take away the places that were made for nothing."""
        self.unlock()
        for place in self.made:
            if not self.machine.names(place) and not [path for path in self.machine.files if path.startswith(f"{place}\\")]:
                self.machine.folders.pop(place, None)

    def find(self, name: str) -> str:
        """Return the place where the folder of a command is; empty where it is nowhere."""
        found = (place for place in self.all if f"{place}\\c-{name}" in self.machine.folders and self.kind(place) == "ours")
        return next(found, "")

    def stands(self, state: str, reason: str, why: str = "") -> Stands:
        """Return how a command stands that has no folder."""
        return Stands(state=state, reason=reason, why=why, boot=self.machine.boot)

    async def judge(self, place: str, name: str, *, twice: bool = False) -> Stands:
        """Return how the command stands that has a folder in a place."""
        files, folder = self.machine.files, f"{place}\\c-{name}"
        found = self.stands("unknown", "gone")
        found.place, found.folder = place, folder
        if claim := _CLAIM.fullmatch(files.get(f"{folder}\\claim", b"")):
            found.token, found.boot, found.most, found.tail = claim[1].decode(), claim[2].decode(), int(claim[3]), int(claim[4])
        same = found.boot == self.machine.boot
        runs = any(self.machine.is_held(f"{folder}\\{one}") for one in ("live", "runs"))
        await self.machine.step(self.process, "waits: who runs was looked at")
        begun = files.get(f"{folder}\\begun")
        if end := _END.fullmatch(files.get(f"{folder}\\rc", b"")):
            found.ms, found.cuts, found.pids = end[3].decode(), end[4].decode(), end[5].decode().strip()
            done = end[1] == b"done"
            found.state, found.reason = ("done", "-") if done else ("failed", "late")
            found.status = end[2].decode() if done else "-"
        elif folder not in self.machine.folders:
            return found
        elif begun == b"void":
            found.state, found.reason = "failed", "not_begun"
        elif runs:
            found.state, found.reason = "running", "-"
        elif begun is not None and not twice:
            return await self.judge(place, name, twice=True)
        elif begun is not None:
            found.state, found.reason = "interrupted", "killed" if same else "rebooted"
        elif same and 0 <= self.machine.clock() - self.machine.folders[folder] < self.grace_s:
            found.state, found.reason = "running", "-"
        else:
            found.state, found.reason = "failed", "not_begun"
        return found

    async def settle(self, place: str, name: str) -> Stands:
        """Return the same for good: one that never began is kept from it."""
        found = await self.judge(place, name)
        if found.reason != "not_begun":
            return found
        try:
            self.machine.write(f"{found.folder}\\void", b"void")
            await self.machine.step(self.process, "void is written")
            self.machine.move(f"{found.folder}\\void", f"{found.folder}\\begun")
        except Trouble:
            pass
        await self.machine.step(self.process, "it is void")
        return await self.judge(place, name)

    async def waited(self, place: str, name: str, seconds: float) -> Stands:
        """Return how a command stands, once it has ended or so many seconds have passed."""
        end = self.machine.clock() + seconds
        while (found := await self.judge(place, name)).state == "running" and self.machine.clock() < end:
            await asyncio.sleep(_POLL_S)
            await self.machine.step(self.process, "waits for its end")
        return found

    def remembered(self, name: str) -> Stands | None:
        """Return how a command stands that only the fences know."""
        words = self.note(name)
        if len(words) < 6:
            return None
        if words[3] == "claimed":
            return self.stands("unknown", "gone")
        found = self.stands(words[3], words[4])
        found.status = words[5]
        return found

    async def close(self, name: str) -> None:
        """Note how a command ended, and that its folder can go; not of one that runs."""
        if not (place := self.find(name)):
            return
        if not self.over(name):
            found = await self.settle(place, name)
            if found.state == "running":
                return
            self.add_note(name, f"{found.token} {found.boot} {found.state} {found.reason} {found.status}")
        self.gone.append((place, name))

    async def remove_closed(self) -> None:
        """Remove the folders of commands whose ends are in the fence."""
        for place, name in self.gone:
            if f"{place}\\c-{name}\\task" in self.machine.files:
                self.machine.registered.discard(f"longarm-{name}")
            moved = f"{place}\\x-{name}"
            try:
                self.machine.move_folder(f"{place}\\c-{name}", moved)
            except Trouble:
                continue
            await self.machine.step(self.process, "a folder is out of the way")
            self.machine.remove(moved)
            await self.machine.step(self.process, "a folder is removed")

    def sweep(self) -> None:
        """Remove what is left of folders that were being removed."""
        for place in self.all:
            for name in self.machine.names(place) if self.kind(place) == "ours" else ():
                if name.startswith("x-"):
                    self.machine.remove(f"{place}\\{name}")
