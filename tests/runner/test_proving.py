"""The proof of a repair: after its time to settle, as often as the playbook says, and every sample has to say the same."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import closing
from pathlib import Path

import pytest

from playbooks.verdicts import Fix
from runner import repairing
from runner.desk import Desk
from runner.hands import LoopClock
from runner.observer import Silent
from runner.outcome import Outcome
from runner.record import RunRecord
from runner.store.sql import open_store
from tests.runner.repairs import MEND, Bench, hosts_folder

PROVED = MEND.replace("verify: [mark-bad]", "verify: {checks: [mark-bad], settle: 45s, samples: 3, every: 20s}")


@pytest.fixture
def bench() -> Iterator[Bench]:
    with hosts_folder() as folder:
        yield Bench(folder)


def passing(monkeypatch: pytest.MonkeyPatch, happens: Callable[[], Awaitable[None]]) -> list[float]:
    """Let the desk's clock wait for nothing but for what happens meanwhile; return for how long it was to wait, each time."""
    waited: list[float] = []

    class Passing(LoopClock):
        async def sleep(self, seconds: float) -> None:
            waited.append(seconds)
            await happens()

    monkeypatch.setattr(repairing, "LoopClock", Passing)
    return waited


def proved(home: Path, bench: Bench, monkeypatch: pytest.MonkeyPatch, words: Sequence[str]) -> tuple[RunRecord, list[float]]:
    """Return a repair, and for how long it waited before each sample; `words` is what the host's mark is at each."""
    next_word = iter(words)

    async def happens() -> None:
        bench.mark("db-1", next(next_word))

    waited = passing(monkeypatch, happens)
    with Desk.open(home, write=True, actor="anna") as desk:
        request = bench.asking("db-1", playbook=bench.playbook(PROVED))
        return asyncio.run(desk.repair(request, connect=bench.connect, observer=Silent())), waited


@pytest.mark.parametrize(
    ("words", "fix", "outcome"),
    [
        (("good", "good", "good"), Fix.FIXED, Outcome.OK),
        (("good", "bad", "good"), Fix.UNCHANGED, Outcome.FINDINGS),
        (("bad", "good", "good"), Fix.UNCHANGED, Outcome.FINDINGS),
        (("good", "good", "bad"), Fix.UNCHANGED, Outcome.FINDINGS),
        (("good", "?", "good"), Fix.VISIBILITY_LOST, Outcome.INCOMPLETE),
    ],
)
def test_each_sample_is_taken_after_its_wait_and_what_flaps_is_not_fixed(
    home: Path, bench: Bench, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], fix: Fix, outcome: Outcome
) -> None:
    record, waited = proved(home, bench, monkeypatch, words)
    (host,) = record.hosts
    assert host.repair is not None
    assert waited == [45.0, 20.0, 20.0]
    assert (record.worst is None) == (fix is not Fix.UNCHANGED), "what counts for the exit code"
    assert ([one.fix for one in host.repair.verdicts], host.repair.samples, host.outcome) == ([fix], 3, outcome)
    with closing(open_store(home, write=False)) as store:
        whole = store.run(record.run)
        assert whole is not None
        asked = [store.blob(sample.evidence_digest) for sample in whole.samples]
    assert [sample.number for sample in whole.samples] == [0, 1, 2, 3] and len(set(asked)) == 4
    assert record.hosts == read_again(home, record.run).hosts


def read_again(home: Path, run: str) -> RunRecord:
    with Desk.open(home, write=False) as desk:
        return desk.record(run)


def test_time_to_settle_is_waited_for_by_the_clock_of_the_loop() -> None:
    async def waited() -> float:
        clock = LoopClock()
        before = clock.now_s()
        await clock.sleep(0.05)
        return clock.now_s() - before

    assert asyncio.run(waited()) >= 0.05
