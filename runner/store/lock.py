"""The lock of a home: one process writes; it is the kernel's lock, so it is gone when the process is."""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Self

from runner.store.errors import Holder, StoreBusy, StoreInUse


class HomeLock:
    """The exclusive lock on `<home>/lock`, held from `take` to `release`."""

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
