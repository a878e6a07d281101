"""A run that is killed at any moment: what was acknowledged is kept, the rest is interrupted, `resume` does it."""

from __future__ import annotations

import asyncio
import os
import random
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from diagnostics.library import Library
from runner.desk import Desk
from runner.observer import Silent
from runner.outcome import Outcome, RunState
from runner.record import RunRecord
from tests.runner.fleet import ActingConnect, fleet, inventory_of
from tests.runner.killed_run import ACTS, CONCURRENCY
from tests.runner.killer import Killer, Told, finished

pytestmark = pytest.mark.long

SOAK = bool(os.environ.get("LONGARM_SOAK"))
KILLS = 1000 if SOAK else 50
STEPS = 10_000 if SOAK else 40
SEED = 20261122
TOO_SOON_OR_TOO_LATE = {None: 1.1, RunState.ENDED: 0.9}
"""By what the span of the moments is changed: a machine is not as fast later as it was when the runs were timed."""


def check_what_is_left(home: Path, told: Told, library: Library) -> RunState | None:
    """Hold what a killed run left against what it had told; then do the rest and deliver the report, twice."""
    with Desk.open(home, write=False) as reader:
        runs = reader.runs()
        assert len(runs) <= 1
        if not runs:
            assert not told.hosts
            with Desk.open(home, write=True) as desk:  # whatever there is of the home, it can be used
                assert desk.runs() == ()
            return None
        left = reader.record(runs[0].run)
        assert runs[0].coverage == left.coverage
    assert set(told.hosts) <= set(finished(left))
    assert len(set(finished(left)) - set(told.hosts)) <= CONCURRENCY
    assert left.coverage.targeted == len(ACTS)
    assert left.state is RunState.ENDED or (left.state is RunState.INTERRUPTED and told.run is None)

    with Desk.open(home, write=True, actor="boris") as desk:
        record = desk.record(left.run)
        assert record == left
        if left.state is RunState.INTERRUPTED:
            connect = ActingConnect(ACTS)
            inventory = inventory_of(fleet(*ACTS))
            record = asyncio.run(
                desk.resume(left.run, inventory=inventory, library=library, connect=connect, observer=Silent())
            )
            assert connect.connected == [host for host in ACTS if host not in finished(left)]
            assert [host for host in record.hosts if host.host in finished(left)] == [
                host for host in left.hosts if host.host in finished(left)
            ]
        check_the_end(desk, record, library)
    with closing(sqlite3.connect(home / "longarm.db")) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    return left.state


def check_the_end(desk: Desk, record: RunRecord, library: Library) -> None:
    outcomes = [host.outcome for host in record.hosts]
    cycle = [Outcome.UNREACHABLE, Outcome.INCOMPLETE, Outcome.INCOMPLETE, Outcome.FINDINGS, Outcome.OK]
    assert (record.state, outcomes) == (RunState.ENDED, cycle * 4)
    assert all(replayed.same for replayed in desk.replay(record.run, library=library))
    (row,) = desk.outbox()
    for attempt in (b"first", b"second"):
        row = desk.outbox_rendered(row.id, f"{record.run}.html", attempt)
        desk.case_attach(row.case, row.filename, desk.outbox_data(row.id), "text/html", True, "")
        desk.outbox_sent(row.id)
    assert [(file.filename, file.size_bytes) for file in desk.case_attachments("DEMO-1")] == [(f"{record.run}.html", 5)]


def test_a_run_killed_at_any_moment_keeps_what_was_acknowledged(
    killer: Killer, template: Path, scratch: Path, library: Library
) -> None:
    def home_for(number: int, name: str) -> Path:
        home = scratch / f"{name}-{number}"
        if number % 4:  # every fourth also makes its home, and may be killed at that
            shutil.copytree(template, home)
        return home

    wholes = [killer.order(home_for(number, "whole"), seed=number).took_s for number in range(4)]
    spans_s = [wholes[0], *[max(wholes[1:])] * 3]  # who makes its home takes several times as long
    moments, states = random.Random(SEED), list[RunState | None]()
    while len(states) < KILLS or (states.count(RunState.INTERRUPTED) < KILLS // 4 and len(states) < 10 * KILLS):
        number = len(states)
        home, kind = home_for(number, "home"), number % 4
        told = killer.order(home, seed=number, kill_after_s=moments.uniform(0, spans_s[kind]))
        states.append(check_what_is_left(home, told, library))
        spans_s[kind] *= TOO_SOON_OR_TOO_LATE.get(states[-1], 1)
        shutil.rmtree(home)
    assert states.count(RunState.INTERRUPTED) >= KILLS // 4, "the moments did not fall into the run"


def test_a_run_killed_around_each_step_to_the_disk_keeps_what_was_acknowledged(
    killer: Killer, template: Path, scratch: Path, library: Library
) -> None:
    most = killer.order(scratch / "whole", seed=0).steps
    states = list[RunState | None]()
    for step in random.Random(SEED).sample(range(1, most + 1), min(STEPS, most)):
        home = scratch / f"home-{step}"
        if step % 4:
            shutil.copytree(template, home)
        told = killer.order(home, seed=0, kill_at=step)
        states.append(check_what_is_left(home, told, library))
        shutil.rmtree(home)
    assert states.count(RunState.INTERRUPTED) >= len(states) // 2


def test_a_run_that_is_not_killed_leaves_nothing_to_do(killer: Killer, scratch: Path, library: Library) -> None:
    told = killer.order(scratch / "home", seed=1)
    assert (told.status, sorted(told.hosts)) == (0, list(ACTS))
    assert told.run is not None
    assert check_what_is_left(scratch / "home", told, library) is RunState.ENDED
