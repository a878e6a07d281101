"""How much room a host takes in the store."""

from __future__ import annotations

import asyncio
from pathlib import Path

from diagnostics.formats import decode_evidence
from diagnostics.library import load_library
from inventory.host import Host, Selection
from remote.testing import FakeConnect, FakeHost
from runner.desk import Desk
from runner.observer import Silent
from runner.outcome import Outcome
from tests.runner.fleet import asking

HOSTS = 100
MOST_BYTES_A_HOST = 15 * 1024


def test_a_healthy_debian_takes_little_room(home: Path, repository: Path) -> None:
    """All checks over the capture of a healthy Debian 12; each host's evidence is its own (its name and times are in it)."""
    capture = repository / "tests" / "data" / "captures" / "scenario-healthy.evidence"
    evidence, _ = decode_evidence(capture.read_bytes())
    library = load_library()
    hosts = tuple(Host(name=f"host-{number:03}", address=f"192.0.2.{number}") for number in range(HOSTS))
    answers = {probe: evidence.answers[probe] for probe in library.probes if probe in evidence.answers}
    assert len(answers) >= 10
    connect = FakeConnect({host.name: FakeHost(answers=answers) for host in hosts})
    checks = tuple(check for check, what in library.checks.items() if set(what.needs) <= set(answers))
    request = asking(library, Selection(expression="all", hosts=hosts), checks=checks, case=None)
    with Desk.open(home, write=True) as desk:
        record = asyncio.run(desk.diagnose(request, connect=connect, observer=Silent()))
        assert record.coverage.counts[Outcome.OK] == HOSTS
    blobs = [path for path in (home / "blobs").rglob("*") if path.is_file()]
    assert len(blobs) == HOSTS + 1  # and the words of the checks, once
    taken = sum(path.stat().st_size for path in [home / "longarm.db", *blobs])
    assert taken / HOSTS <= MOST_BYTES_A_HOST
