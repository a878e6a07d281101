"""Places of a run: a host that hangs without a word gives its place to the next one, within a bound, and loses nothing."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime

import pytest

from inventory.host import Host
from remote.hearing import Hearing, hearing
from remote.session import Session
from remote.testing import FakeSession
from runner.fan_out import ASIDE_EACH, MOST_ASIDE, SILENCE_S, FanOut, Limits
from runner.host_run import HostRun
from runner.outcome import Outcome
from tests.stopped_clock import HastyClock

FAR_S = 60.0
"""A deadline that only a host reaches which never got what it waits for."""


def names(kind: str, count: int) -> list[str]:
    return [f"{kind}{number:02}" for number in range(count)]


@dataclass(slots=True)
class Hosts:
    """Hosts by what their names begin with: `hang` connects when released, `work` answers then, `good` ends at once."""

    released: asyncio.Event = field(default_factory=asyncio.Event)
    open: set[str] = field(default_factory=set)
    most_open: int = 0
    begun: list[str] = field(default_factory=list)
    runs: list[HostRun[str]] = field(default_factory=list)

    @asynccontextmanager
    async def connect(self, host: Host) -> AsyncIterator[Session]:
        self.open.add(host.name)
        self.most_open = max(self.most_open, len(self.open))
        try:
            if host.name.startswith("hang"):
                await self.released.wait()
            yield FakeSession(host, {})
        finally:
            self.open.discard(host.name)

    async def job(self, session: Session, _: float) -> str:
        if session.host.name.startswith("work"):
            hearing().answers()
            await self.released.wait()
        return session.host.name

    async def ended(self, run: HostRun[str]) -> None:
        self.runs.append(run)

    def over(self, hosts: Sequence[str], **limits: float) -> FanOut[str]:
        given = {"concurrency": 2, "host_deadline_s": FAR_S, "silence_s": 0.001} | limits
        return FanOut(
            [Host(name=name, address="192.0.2.1") for name in hosts],
            self.job,
            self.connect,
            limits=Limits(**given),  # type: ignore[arg-type] # a test's own mixture
            clock=lambda: datetime.now(UTC),
            started=lambda host, _: self.begun.append(host.name),
            ended=self.ended,
        )

    def values(self) -> list[str]:
        return sorted(run.value or "" for run in self.runs)


class Looks:
    """How long hosts were found to be silent whose places might be given up, in the order of the looks."""

    def __init__(self) -> None:
        self.silences = list[float]()

    async def more(self, count: int) -> None:
        """Return once so many more have been taken."""
        enough = len(self.silences) + count
        await until(lambda: len(self.silences) >= enough)


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> Looks:
    taken, silent_for_s = Looks(), Hearing.silent_for_s

    def look(self: Hearing) -> float:
        taken.silences.append(silence_s := silent_for_s(self))
        return silence_s

    monkeypatch.setattr(Hearing, "silent_for_s", look)
    return taken


async def until(true: object) -> None:
    """Return once what a function tells is true."""
    while not true():  # type: ignore[operator]  # noqa: ASYNC110 (a count somewhere is no event)
        await asyncio.sleep(0.001)


async def test_good_hosts_do_not_wait_for_more_silent_ones_than_there_are_places() -> None:
    hosts, order = Hosts(), [*names("hang", 5), *names("good", 20)]
    driving = asyncio.create_task(hosts.over(order).drive())
    await until(lambda: {run.value for run in hosts.runs} == {*names("good", 20)})
    assert hosts.open == {*names("hang", 5)}, "they are still waited for"
    hosts.released.set()
    await driving
    assert hosts.values() == sorted(order), "and lost nothing by it"
    assert hosts.begun == order


async def test_no_more_are_waited_for_than_the_bound_says(looks: Looks) -> None:
    hosts, order = Hosts(), [*names("hang", 40), "good00"]
    limits = Limits(concurrency=2, host_deadline_s=FAR_S)
    driving = asyncio.create_task(hosts.over(order).drive())
    await until(lambda: len(hosts.open) == 2 + limits.aside)
    await looks.more(20)
    assert len(hosts.open) == 2 + limits.aside == 2 + 2 * ASIDE_EACH
    hosts.released.set()
    await driving
    assert (hosts.values(), hosts.most_open) == (sorted(order), 8)
    assert Limits(concurrency=1000, host_deadline_s=1).aside == MOST_ASIDE


async def test_a_host_that_answers_keeps_its_place(looks: Looks) -> None:
    hosts, order = Hosts(), [*names("work", 2), *names("good", 3)]
    driving = asyncio.create_task(hosts.over(order).drive())
    await until(lambda: len(looks.silences) >= 4)  # before each is asked, and after
    await asyncio.sleep(0.1)
    assert hosts.begun == names("work", 2)
    hosts.released.set()
    await driving
    assert (hosts.values(), hosts.most_open) == (sorted(order), 2)


async def test_a_silent_host_keeps_its_deadline_wherever_it_waits(hasty_clock: HastyClock) -> None:
    hosts, order = Hosts(), [*names("hang", 12), "good00"]
    driving = asyncio.create_task(hosts.over(order).drive())
    await until(lambda: len(hosts.open) == 8)
    hasty_clock.leap(FAR_S)
    await until(lambda: hosts.begun == order and len(hosts.runs) == 9 and len(hosts.open) == 4)
    hasty_clock.leap(FAR_S)
    await driving
    assert [run.host.name for run in hosts.runs if run.outcome is Outcome.TIMED_OUT] == names("hang", 12)
    assert len(hosts.runs) == len(order)


async def test_stopping_accounts_for_those_aside_too() -> None:
    hosts, order = Hosts(), [*names("hang", 5), *names("good", 1), *names("hangs", 40)]
    fan_out = hosts.over(order)
    driving = asyncio.create_task(fan_out.drive())
    await until(lambda: len(hosts.open) == 8)
    fan_out.stop()
    await driving
    outcomes = [run.outcome for run in hosts.runs]
    assert (len(outcomes), outcomes.count(Outcome.INTERRUPTED), outcomes.count(None)) == (46, 8, 1)
    assert not hosts.open


async def test_the_runs_own_deadline_ends_those_aside_too(hasty_clock: HastyClock) -> None:
    hosts, order = Hosts(), names("hang", 20)
    driving = asyncio.create_task(hosts.over(order, host_deadline_s=2 * FAR_S, run_deadline_s=FAR_S).drive())
    await until(lambda: len(hosts.open) == 8)
    hasty_clock.leap(FAR_S)
    await driving
    outcomes = [run.outcome for run in hosts.runs]
    assert (outcomes.count(Outcome.TIMED_OUT), outcomes.count(Outcome.NOT_STARTED)) == (8, 12)


async def test_what_cannot_be_recorded_of_one_aside_ends_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    hosts, order = Hosts(), [*names("hang", 4), *names("good", 2)]

    async def full(self: Hosts, run: HostRun[str]) -> None:
        self.runs.append(run)
        if run.value in names("good", 2):
            return
        raise OSError("the disk is full")

    monkeypatch.setattr(Hosts, "ended", full)
    driving = asyncio.create_task(hosts.over(order).drive())
    await until(lambda: len(hosts.runs) == 2)
    hosts.released.set()
    with pytest.raises(OSError, match="full"):
        await driving
    assert not hosts.open


def test_silence_is_counted_from_the_last_word_until_the_first_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr("remote.hearing.time.monotonic", lambda: now[0])
    heard = Hearing()
    now[0] += 5
    assert heard.silent_for_s() == 5
    heard.heard(1)
    now[0] += SILENCE_S
    assert heard.silent_for_s() == SILENCE_S
    heard.answers()
    now[0] += 100
    assert heard.silent_for_s() == 0
