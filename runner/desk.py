"""The desk: what every front end calls; nothing else touches the store."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Self

from inventory.errors import Text
from runner.desk_base import command_line, login_name, utc_now
from runner.desk_cases import CaseDesk, NoSuchCase
from runner.desk_keeping import KeepingDesk
from runner.desk_runs import EvidencePruned, Replayed, RunDesk
from runner.host_run import Clock
from runner.store.changes import Recover
from runner.store.errors import Holder, StoreInUse
from runner.store.lock import HomeLock
from runner.store.opening import make_home

__all__ = ["ROLES_ADVISORY", "Desk", "EvidencePruned", "NoSuchCase", "Replayed", "login_name"]

ROLES_ADVISORY = Text("roles are advisory: whoever can write to this home can do everything that longarm can")
"""Said wherever roles are shown: in process there is nobody who could enforce them."""


class Desk(RunDesk, CaseDesk, KeepingDesk):
    """One home, open for reading or for writing; made by `Desk.open`."""

    @classmethod
    @contextmanager
    def open(cls, home: Path, *, write: bool, actor: str | None = None, clock: Clock | None = None) -> Iterator[Self]:
        """Open a home: to write, with its lock (else StoreBusy), or to read, which nobody can block.

        Opening to write makes the home where there is none, brings its store up to date, and marks
        runs whose process is gone as interrupted. A home that does not exist reads as empty.
        """
        from runner.store.sql import open_store  # SQLAlchemy takes 0.2 s: `longarm --help` does without

        clock, actor, home = clock or utc_now, actor or login_name(), home.absolute()
        lock = None
        if write:
            make_home(home)
            lock = HomeLock.take(home, Holder(pid=os.getpid(), command=command_line(), since=clock()))
        try:
            store = open_store(home, write=write)
            try:
                if write:
                    store.write(Recover(at=clock(), actor=actor)).result()
                    with suppress(StoreInUse):  # somebody reads what is doomed: the next opening sees to it
                        store.finish()
                yield cls(home, store, lock, actor, clock)
            finally:
                store.close()
        finally:
            if lock is not None:
                lock.release()
