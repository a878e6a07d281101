"""The desk: what every front end calls; nothing else touches the store."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Self

from inventory.errors import Text
from runner.callers import whoever_asks
from runner.desk_base import command_line, login_name, utc_now
from runner.desk_cases import CaseDesk, NoSuchCase
from runner.desk_keeping import KeepingDesk
from runner.desk_looking import EvidencePruned, Replayed
from runner.desk_runs import RunDesk
from runner.desk_stops import StopDesk
from runner.host_run import Clock
from runner.roles import Caller
from runner.store.changes import Recover
from runner.store.errors import MAKE_ROOM, Holder, StoreBusy, StoreFailed, StoreInUse, StoreTooOld
from runner.store.lock import HomeLock, forget_runs, lend, to_write
from runner.store.opening import SCHEMAS, known_schema, make_home
from runner.store.port import Store

_log = logging.getLogger(__name__)
__all__ = ["ROLES_ADVISORY", "Desk", "EvidencePruned", "NoSuchCase", "Replayed", "login_name"]

ROLES_ADVISORY = Text("roles are advisory: whoever can write to this home can do everything that longarm can")
"""Said wherever roles are shown: in process there is nobody who could enforce them."""


@contextmanager
def keep_desk(home: Path) -> Iterator[None]:
    """Hold a home for this process and all that it forks: they open its desk together, and nobody else does (StoreBusy).

    Its store is brought up to date, and what a killed service has left running is interrupted.
    """
    make_home(home)
    lock = HomeLock.take(home, Holder(pid=os.getpid(), command=command_line(), since=utc_now()))
    lend(lock)
    try:
        with Desk.open(home, write=True, alone=True):
            pass  # opening it is all
        yield
    finally:
        lock.release()


class Desk(RunDesk, CaseDesk, KeepingDesk):
    """One home, open for reading or for writing; made by `Desk.open`."""

    @classmethod
    @contextmanager
    def open(
        cls,
        home: Path,
        *,
        write: bool,
        alone: bool = False,
        actor: str | None = None,
        caller: Caller | None = None,
        clock: Clock | None = None,
    ) -> Iterator[Self]:
        """Open a home: to write, with its lock (else StoreBusy), or to read, which nobody can block.

        Opening to write makes the home where there is none, brings its store up to date, and marks
        runs whose process is gone as interrupted. A home that does not exist reads as empty.
        What the desk does is done for `caller`, by default for whoever asks, or in the name of `actor`.
        In a service others may write too; `alone`: nobody else does, which what takes things away asks for.
        """
        from runner.store.sql import open_store  # SQLAlchemy takes 0.2 s: `longarm --help` does without

        clock, home = clock or utc_now, home.absolute()
        asks = partial(_caller, actor, caller)
        lock = None
        if write:
            make_home(home)
            lock = to_write(home, Holder(pid=os.getpid(), command=command_line(), since=clock()), alone=alone)
        try:
            store = open_store(home, write=write, alone=lock is not None and lock.alone)
            try:
                if lock is not None:
                    store.write(Recover(at=clock(), actor=asks().name, home=home)).result()
                    if lock.alone:
                        forget_runs(home)
                        _finish(store)
                yield cls(home, store, lock, asks, clock)
            finally:
                store.close()
        finally:
            if lock is not None:
                lock.release()

    @classmethod
    @contextmanager
    def open_beside(cls, home: Path, *, actor: str | None = None, clock: Clock | None = None) -> Iterator[StopDesk]:
        """Open a home to write what stops changes, also while another process has a run on its way: that is when it counts.

        The database lets one transaction in after the other; nothing else is done without the lock of the home.
        """
        with ExitStack() as stack:
            try:
                desk: StopDesk = stack.enter_context(cls.open(home, write=True, actor=actor, clock=clock))
            except StoreBusy:
                desk = stack.enter_context(_beside(home.absolute(), partial(_caller, actor), clock or utc_now))
            yield desk


def _finish(store: Store) -> None:
    """Take off the disk what is doomed; while somebody reads it, or there is no room for that, later openings see to it.

    Whoever would make room, stop changes or ask hosts how their steps ended has to get in.
    """
    try:
        store.finish()
    except StoreInUse:
        pass
    except StoreFailed as failed:
        if failed.hint != MAKE_ROOM:
            raise
        _log.warning("what was pruned or erased is not off the disk yet: %s", failed.text)


def _caller(actor: str | None, caller: Caller | None = None) -> Caller:
    """Return `caller`, or else whoever asks, in the name of `actor` if there is one."""
    if caller is not None:
        return caller
    return whoever_asks() if actor is None else replace(whoever_asks(), name=actor)


@contextmanager
def _beside(home: Path, asks: Callable[[], Caller], clock: Clock) -> Iterator[StopDesk]:
    from runner.store.sql import open_store

    if (found := known_schema(home)) != SCHEMAS[-1]:
        raise StoreTooOld(home, found or "-", SCHEMAS[-1])
    with closing(open_store(home, write=True, alone=False)) as store:
        yield StopDesk(home, store, None, asks, clock)
