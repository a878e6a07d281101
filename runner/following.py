"""Look on at a run that another process carries out, as its observers there do; or at one that has ended."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from diagnostics.formats import decode_diagnosis
from inventory.host import Host
from runner.observer import Observer
from runner.outcome import RunState
from runner.record import HostRecord
from runner.recording import Kept, host_record
from runner.store.port import WholeRun
from runner.store.rows import HostRow


def follow(look: Callable[[], tuple[WholeRun, RunState]], observer: Observer, wait: Callable[[], None]) -> None:
    """Tell an observer of each host of a run once it has ended, until the run is not on its way any more.

    `look` returns the run as it is now, `wait` lets some time pass between two looks.
    """
    whole, state = look()
    observer.run_started(whole.run.run, [Host(name=row.host, address=row.address) for row in whole.hosts])
    told: set[int] = set()
    while True:
        for row, record in _ended(whole, state, told):
            told.add(row.position)
            observer.host_ended(record)
        if state is not RunState.RUNNING:
            return
        wait()
        whole, state = look()


def _ended(whole: WholeRun, state: RunState, told: set[int]) -> Iterator[tuple[HostRow, HostRecord]]:
    for row in whole.hosts:
        if row.outcome is not None and row.position not in told:
            diagnosis = decode_diagnosis(row.diagnosis) if row.diagnosis is not None else None
            yield row, host_record(row, Kept(diagnosis=diagnosis), state)
