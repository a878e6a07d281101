"""The lock of a home: one process writes; it is the kernel's lock, so it is gone when the process is.

A service that holds it lends it to the processes that it forks (`lend`): they write in turns, and what takes things away
does so alone.
"""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from datetime import datetime
from pathlib import Path
from typing import Self

from runner.store.errors import Holder, RunBusy, StoreBusy, StoreInUse
from runner.store.link import told


class HomeLock:
    """The exclusive lock on `<home>/lock`, held from `take` to `release`."""

    alone = True
    """Nobody else writes: what nobody names may be taken away."""

    def __init__(self, home: Path, descriptor: int) -> None:
        self.home, self._descriptor = home, descriptor

    @classmethod
    def take(cls, home: Path, holder: Holder) -> Self:
        """Return the lock, or raise StoreBusy with who holds it."""
        descriptor = os.open(home / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            _take(home, descriptor)
            os.ftruncate(descriptor, 0)
            words = {"pid": holder.pid, "command": holder.command, "since": holder.since.isoformat()}
            os.pwrite(descriptor, json.dumps(words).encode() + b"\n", 0)
        except BaseException:
            os.close(descriptor)
            raise
        return cls(home, descriptor)

    def release(self) -> None:
        """Let the next one write; the file stays, since removing it would let two hold two locks of one name."""
        os.ftruncate(self._descriptor, 0)
        os.close(self._descriptor)


class LentLock:
    """A share in the lock that a service holds; `alone` it is the only share."""

    def __init__(self, descriptor: int, *, alone: bool) -> None:
        self._descriptor, self.alone = descriptor, alone

    @classmethod
    def take(cls, home: Path, *, alone: bool) -> Self:
        """Return a share, or raise StoreBusy where one that is alone stands against it."""
        descriptor = os.open(home / "writers", os.O_RDONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
        if not _locked(descriptor, fcntl.LOCK_EX if alone else fcntl.LOCK_SH):
            os.close(descriptor)
            raise StoreBusy(home, None)
        return cls(descriptor, alone=alone)

    def release(self) -> None:
        """Give the share back."""
        os.close(self._descriptor)


_LENT: set[Path] = set()


def lend(lock: HomeLock) -> None:
    """Let this process, and all that it forks, write to the home of `lock`, which is held until all of them have ended."""
    _LENT.add(lock.home)


def to_write(home: Path, holder: Holder, *, alone: bool) -> HomeLock | LentLock:
    """Return the lock under which this process writes to a home; `alone`: with nobody beside it. Raises StoreBusy."""
    return LentLock.take(home, alone=alone) if home in _LENT else HomeLock.take(home, holder)


def turn(home: Path) -> AbstractContextManager[None]:
    """Return what keeps other writers out of a transaction and the files it names, where a home has several.

    SQLite before 3.51.3 can damage a database that several connections write to or checkpoint at one moment.
    """
    return _one_at_a_time(home / "turn") if home in _LENT else nullcontext()


def one_delivers(home: Path) -> AbstractContextManager[None]:
    """Wait until nobody else sends what cases are to get, and keep others waiting until left."""
    return _one_at_a_time(home / "delivering")


@contextmanager
def _one_at_a_time(path: Path) -> Iterator[None]:
    descriptor = os.open(path, os.O_RDONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


@contextmanager
def run_held(home: Path, run: str) -> Iterator[None]:
    """Say that a run is on its way in this process; raises RunBusy where it is in another."""
    path = home / "running" / run
    with told(home):
        path.parent.mkdir(mode=0o700, exist_ok=True)
        descriptor = _taken(path)
    if descriptor is None:
        raise RunBusy(home, run)
    try:
        yield
    finally:
        path.unlink(missing_ok=True)  # while it is held: who opened it before finds that it is gone, and takes the next
        os.close(descriptor)


def forget_runs(home: Path) -> None:
    """Remove what killed processes left of their runs' locks; the caller is the only one that writes to the home."""
    for path in (home / "running").glob("*"):
        path.unlink()


def on_its_way(home: Path, run: str) -> bool:
    """Tell whether a process carries a run out right now."""
    try:
        descriptor = os.open(home / "running" / run, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        return not _locked(descriptor, fcntl.LOCK_SH)
    finally:
        os.close(descriptor)


def _taken(path: Path) -> int | None:
    """Return a descriptor that holds the lock of a file which is still there by its name, None where another does."""
    while True:
        descriptor = os.open(path, os.O_RDONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
        if not _locked(descriptor, fcntl.LOCK_EX):
            if not _locked(descriptor, fcntl.LOCK_SH):
                os.close(descriptor)
                return None
            os.close(descriptor)
            time.sleep(0.001)  # only readers stood in the way
            continue
        try:
            same = os.path.samestat(os.fstat(descriptor), path.stat())
        except FileNotFoundError:
            same = False
        if same:
            return descriptor
        os.close(descriptor)


def held(home: Path) -> bool:
    """Tell whether a process holds the lock of this home right now."""
    try:
        descriptor = os.open(home / "lock", os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        return not _locked(descriptor, fcntl.LOCK_SH)
    finally:
        os.close(descriptor)


@contextmanager
def blobs_unread(home: Path) -> Iterator[None]:
    """Keep what reads every blob out while some are removed; raises StoreInUse while somebody reads them."""
    with _blobs(home, fcntl.LOCK_EX):
        yield


@contextmanager
def blobs_kept(home: Path) -> Iterator[None]:
    """Keep every blob in its place; raises StoreInUse while some are removed."""
    with _blobs(home, fcntl.LOCK_SH):
        yield


@contextmanager
def _blobs(home: Path, kind: int) -> Iterator[None]:
    descriptor = os.open(home / "blobs", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        if not _locked(descriptor, kind):
            raise StoreInUse(home)
        yield
    finally:
        os.close(descriptor)


def _take(home: Path, descriptor: int) -> None:
    while not _locked(descriptor, fcntl.LOCK_EX):
        if not _locked(descriptor, fcntl.LOCK_SH):
            raise StoreBusy(home, _holder(descriptor))
        fcntl.flock(descriptor, fcntl.LOCK_UN)
        time.sleep(0.001)  # only readers stood in the way: each looks for some microseconds (`held`)


def _locked(descriptor: int, kind: int) -> bool:
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _holder(descriptor: int) -> Holder | None:
    """Return what the holder wrote about itself; None in the instant before it has."""
    try:
        words = json.loads(os.pread(descriptor, 4096, 0))
        return Holder(pid=int(words["pid"]), command=str(words["command"]), since=datetime.fromisoformat(words["since"]))
    except (ValueError, KeyError, TypeError):
        return None
