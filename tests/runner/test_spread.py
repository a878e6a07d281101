"""How far a changing run spreads (T24): waves one after the other, and no further host once too many have ended badly."""

from __future__ import annotations

import asyncio
import os
import random
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from inventory.errors import UsageError
from inventory.host import Host
from remote.errors import ConnectFailed
from remote.hearing import Hearing
from remote.session import Session
from remote.testing import FakeConnect, FakeHost
from runner.diagnosing import Judged
from runner.fan_out import Limits
from runner.host_run import Clock, HostRun
from runner.observer import Silent
from runner.outcome import Outcome, RunState
from runner.recording import Kept, host_record
from runner.run import FleetRun, Plan
from runner.spread import BAD, allowed, batch_of, in_waves, limit_of, wave_sizes
from runner.store.changes import BeginRun
from runner.store.opening import make_home
from runner.store.rows import HostRow
from runner.store.sql import open_store

if TYPE_CHECKING:
    from tests.runner.conftest import Rows

SOAK = bool(os.environ.get("LONGARM_SOAK"))
HOSTS = 10_000 if SOAK else 600
FAULTS = (Outcome.FAILED, Outcome.UNREACHABLE, Outcome.REFUSED, Outcome.TIMED_OUT, Outcome.UNKNOWN)


@dataclass
class Changes:
    """Hosts that are changed for a few turns of the loop each; `faults` says how those end that do not end well."""

    faults: dict[str, Outcome]
    random: random.Random
    waves: dict[str, int]
    """By host."""
    most_bad: int | None
    begun: list[str] = field(default_factory=list)
    changed: set[str] = field(default_factory=set)
    in_flight: set[str] = field(default_factory=set)
    left: Counter[int] = field(init=False)
    """By wave: hosts that are not over."""
    bad: int = 0
    most_in_flight: int = 0
    at_the_stop: tuple[int, int] | None = None
    """How many hosts were begun, and were on their way, in the moment in which one more than allowed had ended badly."""

    def __post_init__(self) -> None:
        self.left = Counter(self.waves.values())

    @property
    def clock(self) -> Clock:
        """Return the clock of the run."""
        return lambda: datetime(2026, 11, 30, tzinfo=UTC)

    def began(self, host: str) -> None:
        """Note that a host begins: all hosts of the waves before it are over."""
        self.begun.append(host)
        self.in_flight.add(host)
        assert not any(self.left[wave] for wave in range(self.waves[host]))
        self.most_in_flight = max(self.most_in_flight, len(self.in_flight))

    async def ask(self, session: Session, left_s: float) -> Outcome:
        """Change a host."""
        for _ in range(self.random.randrange(4)):
            await asyncio.sleep(0)
        self.changed.add(session.host.name)
        for _ in range(self.random.randrange(6)):
            await asyncio.sleep(0)
        return self.faults.get(session.host.name, Outcome.OK)

    def judge(self, target: HostRow, ended: HostRun[Outcome]) -> Judged:
        """Return how a host ended."""
        row = replace(target, outcome=ended.value or ended.outcome, error=ended.error, error_kind=ended.error_kind)
        on_its_way = len(self.in_flight)
        self.in_flight.discard(target.host)
        self.left[self.waves[target.host]] -= 1
        self.bad += row.outcome in BAD
        if self.most_bad is not None and self.bad > self.most_bad and self.at_the_stop is None:
            self.at_the_stop = len(self.begun), on_its_way
        return Judged(row=row, record=host_record(row, Kept(), RunState.RUNNING))


class Watching(Silent):
    """Tells the hosts that one of them begins."""

    def __init__(self, changes: Changes) -> None:
        self._changes = changes

    def host_started(self, host: Host, hearing: Hearing) -> None:
        """Note it."""
        self._changes.began(host.name)


@dataclass(frozen=True)
class Spread:
    """How a run was to spread."""

    total: int
    concurrency: int
    batch: tuple[str, ...]
    limit: str | None


def spread_of(seed: int, **faults: Any) -> tuple[Spread, Changes]:
    """Return a run by its seed: its size, waves, limit, and which of its hosts end badly."""
    chance = random.Random(seed)
    total = chance.randint(2, HOSTS)
    batch = batch_of(chance.choice(["rest", "1,rest", "1,10%,rest", "3,25%,rest", "7", "10%", "1,2,50%"]))
    limit = chance.choice([None, "0", "1", "5", "2%", "10%"])
    spread = Spread(total=total, concurrency=chance.choice([1, 2, 10, 50]), batch=batch, limit=limit)
    share = faults.get("share", chance.choice([0.0, 0.03, 0.2, 1.0]))
    names = [f"h{number}" for number in range(total)]
    bad = {name: chance.choice(FAULTS) for name in names if chance.random() < share}
    waves = [wave for wave, size in enumerate(wave_sizes(batch, total)) for _ in range(size)]
    limits = allowed(limit, total)
    return spread, Changes(faults=bad, random=chance, waves=dict(zip(names, waves, strict=True)), most_bad=limits)


def driven(home: Path, rows: Rows, spread: Spread, changes: Changes) -> FleetRun:
    """Return the run once it has ended."""
    hosts = tuple(Host(name=name, address="192.0.2.1") for name in changes.waves)
    fake = FakeConnect({host.name: FakeHost() for host in hosts})

    @asynccontextmanager
    async def connect(host: Host) -> AsyncIterator[Session]:
        if changes.faults.get(host.name) is Outcome.UNREACHABLE:
            await asyncio.sleep(0)
            raise ConnectFailed(host.name, "no route")
        async with fake(host) as session:
            yield session

    request = {"kind": "repair", "concurrency": spread.concurrency, "run_deadline_s": None}
    targets = tuple(rows.host(position, host=host.name) for position, host in enumerate(hosts))
    plan = Plan(
        begin=BeginRun(run=rows.run(request=request, case=None), hosts=targets, audit=rows.audit()),
        hosts=hosts,
        per_host=changes,
        limits=Limits(concurrency=spread.concurrency, host_deadline_s=60),
        languages=("en",),
        content=b"content",
        waves=in_waves(hosts, {row.host: row.position for row in targets}, spread.batch, spread.total),
        allowed=changes.most_bad,
    )
    make_home(home)
    with closing(open_store(home, write=True)) as store:
        run = FleetRun(plan, store, connect, Watching(changes), lambda _: None)
        asyncio.run(run.drive())
        whole = store.run(run.id)
        assert whole is not None
        assert {row.host: row.outcome for row in whole.hosts} == {name: one.outcome for name, one in run.records.items()}
    return run


@pytest.mark.parametrize("seed", range(200 if SOAK else 25))
def test_a_run_spreads_no_further_than_it_may(scratch: Path, rows: Rows, seed: int) -> None:
    """Changed and badly ended hosts ≤ allowed + in flight; nothing begins after the moment in which that is known."""
    spread, changes = spread_of(seed)
    run = driven(scratch / "home", rows, spread, changes)
    outcomes = [record.outcome for record in run.records.values()]
    assert len(outcomes) == spread.total
    assert changes.most_in_flight <= spread.concurrency
    assert outcomes.count(Outcome.NOT_STARTED) == spread.total - len(changes.begun)
    assert len(changes.changed) <= len(changes.begun)
    if changes.at_the_stop is None:
        assert len(changes.begun) == spread.total, f"{spread}: nothing stood in the way"
        return
    begun, on_its_way = changes.at_the_stop
    assert changes.most_bad is not None
    assert len(changes.begun) == begun, f"{spread}: begun after it was to stop"
    assert changes.most_bad < changes.bad <= changes.most_bad + on_its_way <= changes.most_bad + spread.concurrency
    told = {record.error_kind for record in run.records.values() if record.outcome is Outcome.NOT_STARTED}
    assert told <= {"TooManyFailed"}


@pytest.mark.parametrize("seed", range(1000, 1040 if SOAK else 1008))
def test_a_change_that_breaks_every_host_stays_within_the_canary_the_limit_and_what_is_in_flight(
    scratch: Path, rows: Rows, seed: int
) -> None:
    spread, changes = spread_of(seed, share=1.0)
    run = driven(scratch / "home", rows, spread, changes)
    canary, concurrency = wave_sizes(spread.batch, spread.total)[0], spread.concurrency
    if changes.most_bad is not None:
        assert len(changes.changed) <= min(spread.total, canary + changes.most_bad + concurrency)
        assert len(changes.begun) <= max(canary, changes.most_bad + concurrency)
    assert len(run.records) == spread.total


def test_the_limit_is_exact_where_one_host_is_changed_at_a_time(scratch: Path, rows: Rows) -> None:
    names = [f"h{number}" for number in range(20)]
    bad = dict.fromkeys(names[3:], Outcome.FAILED)
    changes = Changes(faults=bad, random=random.Random(1), waves=dict.fromkeys(names, 0), most_bad=2)
    run = driven(scratch / "home", rows, Spread(total=20, concurrency=1, batch=(), limit="2"), changes)
    assert (changes.begun, changes.bad) == (names[:6], 3)
    said = {str(record.error) for record in run.records.values() if record.outcome is Outcome.NOT_STARTED}
    assert said == {"not begun: 3 hosts have ended badly, 2 were allowed to"}


@pytest.mark.parametrize("text", ["", "0", "0%", "101%", "rest,1", "1,,2", "-1", "1.5", "ten", "1%0"])
def test_what_is_no_size_of_a_wave_is_told(text: str) -> None:
    with pytest.raises(UsageError, match="is no size of a wave"):
        batch_of(text)


@pytest.mark.parametrize("text", ["", "-1", "0%", "200%", "few"])
def test_what_is_no_limit_is_told(text: str) -> None:
    with pytest.raises(UsageError, match="neither a number of hosts nor a share"):
        limit_of(text)
