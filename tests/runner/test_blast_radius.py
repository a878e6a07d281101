"""T24 whole: a repair over a large fleet that breaks some of it stops at its limit, by what the hosts themselves have seen.

10,000 hosts under LONGARM_SOAK=1, else 300. A host is the fake of the seam; desk, leases, journal and store are the real ones.
"""

from __future__ import annotations

import asyncio
import os
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from inventory.host import Host
from playbooks.model import Playbook
from remote.answer import Ended, answered
from remote.command import CommandResult
from remote.errors import ConnectFailed
from remote.hearing import Hearing
from remote.session import Session
from remote.testing import FakeConnect, FakeHost, Fault
from runner.desk import Desk
from runner.observer import Silent
from runner.outcome import Outcome
from runner.record import HostRecord
from runner.spread import BAD, allowed, wave_sizes
from tests.runner.repairs import Bench

SOAK = bool(os.environ.get("LONGARM_SOAK"))
HOSTS = 10_000 if SOAK else 300
CONCURRENCY = 50
ONE_STEP = """
playbook: mend
title: {en: Mend the mark, ru: Исправить отметку}
kind: repair
maintenance: corrective
platforms: [linux]
tier: L2
risk: reversible
fixes: [mark-bad]
steps:
  - {name: Change it, run: change it, retry: never, deadline: 1h}
verify: [mark-bad]
"""
WELL = CommandResult(ended=Ended.EXITED, exit_status=0)
ILL = CommandResult(ended=Ended.EXITED, exit_status=1, stderr=b"broken\n")


@dataclass
class Fleet(Silent):
    """Hosts of which some are broken by the change, are gone, or are rebooted in the midst of it; it watches the run."""

    ills: dict[str, str]
    names: tuple[str, ...]
    script: str
    most_bad: int
    random: random.Random
    hosts: dict[str, FakeHost] = field(init=False)
    begun: list[str] = field(default_factory=list)
    over: set[str] = field(default_factory=set)
    bad: int = 0
    at_the_stop: tuple[int, int] | None = None
    """How many hosts had begun, and were on their way, when one more than allowed was seen to have ended badly."""

    def __post_init__(self) -> None:
        self.hosts = {name: self.host(self.ills.get(name, "")) for name in self.names}

    def host(self, ill: str) -> FakeHost:
        """Return a host that is ill in this way."""
        return FakeHost(
            answers={"mark": answered(b"bad\n"), "longarm.kernel": answered(b"Linux\n")},
            results={self.script: ILL if ill == "breaks" else WELL},
            faults={self.script: [Fault.REBOOT]} if ill == "reboots" else {},
            refuses=ConnectFailed("host", "no route") if ill == "gone" else None,
        )

    @asynccontextmanager
    async def connect(self, host: Host) -> AsyncIterator[Session]:
        """Open a session, a few turns of the loop later."""
        for _ in range(self.random.randrange(5)):
            await asyncio.sleep(0)
        async with FakeConnect({host.name: self.hosts[host.name]})(host) as session:
            yield session

    def host_started(self, host: Host, hearing: Hearing) -> None:
        """Note it."""
        self.begun.append(host.name)

    def host_ended(self, record: HostRecord) -> None:
        """Note it, and the moment in which it was one too many."""
        if record.outcome is Outcome.NOT_STARTED:
            return
        on_its_way = len(self.begun) - len(self.over)
        self.over.add(record.host)
        self.bad += record.outcome in BAD
        if self.bad > self.most_bad and self.at_the_stop is None:
            self.at_the_stop = len(self.begun), on_its_way

    @property
    def changed(self) -> list[str]:
        """Return the hosts that know of a change."""
        return [name for name, host in self.hosts.items() if host.ran]


@pytest.fixture
def playbook(tmp_path: Path) -> tuple[Bench, Playbook]:
    bench = Bench(tmp_path)
    return bench, bench.playbook(ONE_STEP)


@pytest.mark.timeout(1200 if SOAK else 120)
@pytest.mark.parametrize(("share", "limit"), [(0.03, "1%"), (0.03, "5"), (1.0, "0"), (1.0, "2%"), (0.03, "50%")])
def test_a_change_spreads_to_what_is_allowed_and_what_is_on_its_way(
    home: Path, playbook: tuple[Bench, Playbook], share: float, limit: str
) -> None:
    bench, book = playbook
    chance = random.Random(f"{share} {limit}")
    names = tuple(f"h{number:05}" for number in range(HOSTS))
    most_bad = allowed(limit, HOSTS)
    assert most_bad is not None
    ills = {name: chance.choice(("breaks", "gone", "reboots")) for name in names if chance.random() < share}
    fleet = Fleet(ills=ills, names=names, script=str(book.steps[0].values["run"].text), most_bad=most_bad, random=chance)
    batch = ("1", "10%", "rest")
    spread = {"concurrency": CONCURRENCY, "batch": batch, "max_failed": limit}
    asked = bench.asking(*names, playbook=book, host_deadline_s=3600.0, **spread)  # a machine that stands still is no fault
    with Desk.open(home, write=True, actor="anna") as desk:
        record = asyncio.run(desk.repair(asked, connect=fleet.connect, observer=fleet))
    outcomes = {host.host: host.outcome for host in record.hosts}
    assert tuple(outcomes) == names, "every host is accounted for, once"
    assert {name for name, outcome in outcomes.items() if outcome is Outcome.NOT_STARTED} == set(names) - set(fleet.begun)
    assert sum(outcome in BAD for outcome in outcomes.values()) == fleet.bad
    assert all(len(host.ran) <= 1 for host in fleet.hosts.values()), "no host is changed twice"
    assert set(fleet.changed) == {name for name in fleet.begun if ills.get(name) != "gone"}, "by what the hosts have seen"
    if fleet.at_the_stop is None:
        assert (len(fleet.begun), fleet.bad) == (HOSTS, len(ills)) and len(ills) <= most_bad
        return
    begun, on_its_way = fleet.at_the_stop
    assert len(fleet.begun) == begun, "nothing begins after the one too many"
    assert most_bad < fleet.bad <= most_bad + on_its_way <= most_bad + CONCURRENCY
    if share == 1.0:
        assert len(fleet.begun) <= max(wave_sizes(batch, HOSTS)[0], most_bad + CONCURRENCY)
