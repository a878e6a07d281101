"""A repair that goes on looks at the host as it is now where nothing was begun, and proves anew what more was done to."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from playbooks.readiness import Passed
from playbooks.results import HostChange, StepState
from playbooks.testing import FakeOperator
from playbooks.verdicts import Fix
from runner import repairing
from runner.desk import Desk
from runner.hands import LoopClock
from runner.observer import Silent
from runner.outcome import Outcome, RunState
from runner.record import RunRecord
from runner.repair_planning import passed_of
from runner.request import NotResumable, RepairRequest, RestRequest
from runner.store.port import WholeRun
from runner.store.rows import Event, JournalRow
from runner.store.sql import open_store
from tests.runner.breaking import BreakingBench
from tests.runner.conftest import Rows
from tests.runner.fleet import inventory_of
from tests.runner.repairs import MEND, Bench, hosts_folder

WAIT = """
  - name: Wait for the users
    wait_for: {script: '[ -e "$HOME/go" ]'}
    deadline: 100s
    every: 3s
"""
WAITING, SETTLING, BETWEEN = 3.0, 5.0, 7.0
"""How long the repairs here sleep, so that each sleep tells which one it is."""
HEAD = MEND.partition("steps:")[0] + "steps:\n"


@pytest.fixture
def bench() -> Iterator[Bench]:
    with hosts_folder() as folder:
        yield Bench(folder)


@pytest.fixture
def stops_at(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Desk, float]]:
    """Of each desk, at which sleep its run is stopped, once; other sleeps are over at once."""
    stops: list[tuple[Desk, float]] = []

    class Stopping(LoopClock):
        slept_s = 0.0

        def now_s(self) -> float:
            return super().now_s() + self.slept_s

        async def sleep(self, seconds: float) -> None:
            if stops and stops[0][1] == seconds:
                stops.pop(0)[0].stop()
                await asyncio.Event().wait()  # it is cancelled
            self.slept_s += seconds
            await asyncio.sleep(0)

    monkeypatch.setattr(repairing, "LoopClock", Stopping)
    return stops


def repaired(desk: Desk, bench: Bench, request: RepairRequest) -> RunRecord:
    return asyncio.run(desk.repair(request, connect=bench.connect, observer=Silent()))


def resumed(desk: Desk, bench: Bench, run: str, text: str) -> RunRecord:
    rest = RestRequest(
        inventory=inventory_of(bench.selection("db-1")),
        library=bench.library,
        playbook=bench.playbook(text),
        secrets={},
        operator=FakeOperator(),
    )
    return asyncio.run(desk.resume_repair(run, rest, connect=bench.connect, observer=Silent()))


def stopped_at(desk: Desk, bench: Bench, stops: list[tuple[Desk, float]], sleep: float, text: str, forced: str = "") -> str:
    """Return the run of a repair that was stopped at a sleep."""
    stops.append((desk, sleep))
    record = repaired(desk, bench, bench.asking("db-1", playbook=bench.playbook(text), forced=forced))
    assert (record.state, record.hosts[0].outcome, stops) == (RunState.INTERRUPTED, Outcome.INTERRUPTED, [])
    return record.run


def test_where_nothing_was_begun_the_host_is_looked_at_as_it_is_now(
    home: Path, bench: Bench, stops_at: list[tuple[Desk, float]]
) -> None:
    text = MEND.replace("steps:\n", f"steps:{WAIT}")
    with Desk.open(home, write=True, actor="anna") as desk:
        run = stopped_at(desk, bench, stops_at, WAITING, text)
        bench.mark("db-1", "good")  # by somebody else
        (bench.home("db-1") / "go").touch()
        (host,) = resumed(desk, bench, run, text).hosts
        assert host.repair is not None and host.repair.before is not None
        assert (host.outcome, host.repair.change, bench.effects("db-1")) == (Outcome.OK, HostChange.UNCHANGED, [])
        assert str(host.error) == "nothing was done: there is no finding that it is for (mark-bad)"
        assert (host.repair.before.findings, host.repair.verdicts) == ((), ())
    with Desk.open(home, write=True) as desk:
        found = desk.verify()
        assert (found.problems, found.orphans) == ((), 0), "what was seen before is not left on the disk"


def test_where_nothing_was_begun_what_a_condition_kept_off_is_decided_anew(
    home: Path, bench: Bench, stops_at: list[tuple[Desk, float]]
) -> None:
    text = HEAD + "  - {name: Note, when: facts.mark.state == 'worse', run: 'echo worse >>\"$HOME/effects\"'}"
    text += f"{WAIT}verify: [mark-bad]\n"
    with Desk.open(home, write=True, actor="anna") as desk:
        run = stopped_at(desk, bench, stops_at, WAITING, text, forced="the customer wants it")
        bench.mark("db-1", "worse")
        (bench.home("db-1") / "go").touch()
        (host,) = resumed(desk, bench, run, text).hosts
    assert (bench.effects("db-1"), host.outcome) == (["worse"], Outcome.OK)


def test_what_was_kept_off_at_first_and_begun_later_is_not_told_as_left_out(
    home: Path, stops_at: list[tuple[Desk, float]]
) -> None:
    note = "touch $HOME/at-it; until [ -e $HOME/over ]; do sleep 0.1; done; echo worse >>$HOME/effects"
    text = f"{HEAD}  - {{name: Note, when: facts.mark.state == 'worse', run: '{note}'}}{WAIT}verify: [mark-bad]\n"
    with hosts_folder() as folder, Desk.open(home, write=True, actor="anna") as desk:
        bench = BreakingBench(folder)
        run = stopped_at(desk, bench, stops_at, WAITING, text, forced="the customer wants it")
        bench.mark("db-1", "worse")
        (bench.home("db-1") / "go").touch()
        bench.breaks["db-1"] = RuntimeError("a fault of ours")
        (host,) = resumed(desk, bench, run, text).hosts
        assert host.repair is not None and (bench.home("db-1") / "at-it").exists()
        assert (host.outcome, host.repair.change, host.repair.left_open) == (Outcome.INTERRUPTED, HostChange.UNKNOWN, ("Note",))
        assert [step.name for step in host.repair.steps] == []
        other = repaired(desk, bench, bench.asking("db-1", forced="in a hurry"))
        assert [one.error_kind for one in other.hosts] == ["HostLeased"]
        bench.breaks.clear()
        (bench.home("db-1") / "over").touch()
        (host,) = resumed(desk, bench, run, text).hosts
        assert host.repair is not None and host.repair.change is HostChange.CHANGED
        assert [step.state for step in host.repair.steps] == [StepState.CHANGED, StepState.OK]
        assert bench.effects("db-1") == ["worse"]


def test_what_was_only_left_out_is_come_to_again_and_what_was_answered_is_not(rows: Rows, bench: Bench) -> None:
    left_out, answered = (
        rows.line(0, Event.END, key=key, data={"action": action}) for key, action in (("s1", "run"), ("s2", "ask"))
    )
    begun = rows.line(0, Event.INTENT, key="s1", data={})
    hosts = bench.selection("db-0").hosts

    def passed(*lines: JournalRow) -> Passed:
        (one,) = passed_of(WholeRun(run=rows.run(), hosts=(rows.host(),), outbox=(), journal=lines), hosts)
        return one

    assert passed(left_out, answered) == Passed(begun=frozenset({"s2"}), ended=frozenset({"s2"}))
    assert passed(left_out, answered, begun) == Passed(begun=frozenset({"s1", "s2"}), ended=frozenset({"s2"}))
    assert passed(left_out, begun, left_out).ended == {"s1"}


@pytest.mark.parametrize("held", [True, False], ids=["held", "down"])
def test_where_a_step_was_only_left_out_nothing_was_begun(
    home: Path, bench: Bench, stops_at: list[tuple[Desk, float]], held: bool
) -> None:
    text = HEAD + "  - {name: Note, when: facts.mark.state == 'worse', run: 'echo worse >>\"$HOME/effects\"'}"
    text += f"{WAIT}verify: [mark-bad]\n"
    with Desk.open(home, write=True, actor="anna") as desk:
        run = stopped_at(desk, bench, stops_at, WAITING, text)
        if held:
            desk.hold(bench.selection("db-1").hosts, reason="a demonstration")
        else:
            bench.down.add("db-1")
        record = resumed(desk, bench, run, text)
        (host,) = record.hosts
        assert host.repair is not None and [step.name for step in host.repair.steps] == ["Note"]
        ended = (Outcome.REFUSED, "HostHeld") if held else (Outcome.UNREACHABLE, "ConnectFailed")
        assert (record.state, host.outcome, host.error_kind) == (RunState.ENDED, *ended)
        assert (host.repair.change, desk.leases()) == (HostChange.UNCHANGED, ())


def test_where_another_run_has_worked_since_a_repair_does_not_go_on(
    home: Path, bench: Bench, stops_at: list[tuple[Desk, float]]
) -> None:
    text = f"{HEAD}  - {{name: Stop it, run: 'echo stopped >>\"$HOME/effects\"'}}{WAIT}"
    text += "  - {name: Replace it, run: 'echo replaced >>\"$HOME/effects\"'}\nverify: [mark-bad]\n"
    with Desk.open(home, write=True, actor="anna") as desk:
        run = stopped_at(desk, bench, stops_at, WAITING, text)
        other = repaired(desk, bench, bench.asking("db-1", playbook=bench.playbook(MEND.replace("mend", "other", 1))))
        assert other.hosts[0].outcome is Outcome.OK
        (bench.home("db-1") / "go").touch()
        record = resumed(desk, bench, run, text)
        (host,) = record.hosts
        assert host.repair is not None
        assert (record.state, host.outcome, host.error_kind) == (RunState.ENDED, Outcome.REFUSED, "WorkedOnSince")
        assert str(host.error) == f"run {other.run} has worked on db-1 since run {run}"
        assert str(host.hint) == "begin a run of its own: longarm repair mend db-1 -p word=good"
        assert (host.repair.change, desk.leases()) == (HostChange.PARTLY, ())
    assert bench.effects("db-1") == ["stopped", "one", "two"]


TWICE = """
  - name: Prepare
    run: echo {first} >"$HOME/mark"; echo prepared >>"$HOME/effects"
    rollback: [{{name: Unprepare, run: 'echo unprepared >>"$HOME/effects"'}}]
  - name: Wait for the users
    wait_for: {{script: '[ -e "$HOME/go" ]'}}
    deadline: 100s
    every: 99s
  - name: Mend it
    run: echo {second} >"$HOME/mark"; echo mended >>"$HOME/effects"
    rollback: [{{name: Unmend, run: 'echo unmended >>"$HOME/effects"'}}]
verify: {{checks: [mark-bad], settle: 5s, samples: 2, every: 7s, on_failure: roll_back}}
"""


@pytest.mark.parametrize(
    ("first", "second", "fix", "effects"),
    [
        ("bad", "good", Fix.FIXED, ["prepared", "mended"]),
        ("good", "bad", Fix.UNCHANGED, ["prepared", "mended", "unmended", "unprepared"]),
    ],
)
@pytest.mark.parametrize("again", [False, True], ids=["once", "stopped again"])
def test_what_was_seen_before_the_last_step_proves_nothing(
    home: Path,
    bench: Bench,
    stops_at: list[tuple[Desk, float]],
    first: str,
    second: str,
    fix: Fix,
    effects: list[str],
    again: bool,
) -> None:
    text = HEAD + TWICE.format(first=first, second=second)
    with Desk.open(home, write=True, actor="anna") as desk:
        run = stopped_at(desk, bench, stops_at, BETWEEN, text)  # its wait was in vain, and one sample is on disk
        assert bench.effects("db-1") == ["prepared"]
        (bench.home("db-1") / "go").touch()
        if again:
            stops_at.append((desk, SETTLING))  # the steps are done by now, and nothing was asked since
            assert resumed(desk, bench, run, text).state is RunState.INTERRUPTED
        (host,) = resumed(desk, bench, run, text).hosts
    assert host.repair is not None
    assert ([one.fix for one in host.repair.verdicts], host.repair.samples) == ([fix], 2)
    assert bench.effects("db-1") == effects
    with closing(open_store(home, write=False)) as store:
        kept = store.run(run)
    assert kept is not None
    last_end = max(line.at for line in kept.journal if ".r" not in line.key)
    assert all(sample.at >= last_end for sample in kept.samples if sample.number > 0)


def test_what_a_repair_needs_to_go_on_is_not_pruned_unless_it_is_named(
    home: Path, bench: Bench, stops_at: list[tuple[Desk, float]]
) -> None:
    text = f"{HEAD}  - {{name: Stop it, run: 'echo stopped >>\"$HOME/effects\"; echo old', register: {{name: was}}}}{WAIT}"
    text += '  - {name: Start it, vars: {dir: results.was.stdout}, run: \'printf "started %s" "$dir" >>"$HOME/effects"\'}\n'
    with Desk.open(home, write=True, actor="anna") as desk:
        runs = [stopped_at(desk, bench, stops_at, WAITING, f"{text}verify: [mark-bad]\n") for _ in range(2)]
        plan = desk.prunable(older_than=None, keep=0)
        assert (plan.found.runs, plan.found.kept_to_go_on) == ((), 2)
        desk.prune(plan)
        (bench.home("db-1") / "go").touch()
        (host,) = resumed(desk, bench, runs[1], f"{text}verify: [mark-bad]\n").hosts
        assert (host.outcome, bench.effects("db-1")) == (Outcome.FINDINGS, ["stopped", "stopped", "started old"])
        desk.prune(desk.prunable(older_than=None, keep=0, runs=runs[:1]))
        with pytest.raises(NotResumable, match="on db-1 before was pruned") as refused:
            resumed(desk, bench, runs[0], f"{text}verify: [mark-bad]\n")
        assert str(refused.value.hint).endswith(f": longarm run resume {runs[0]} --only-ask")
        there = inventory_of(bench.selection("db-1"))
        record = asyncio.run(desk.only_ask(runs[0], inventory=there, connect=bench.connect, observer=Silent()))
        assert (record.state, record.hosts[0].outcome, desk.leases()) == (RunState.ENDED, Outcome.FAILED, ())
        assert desk.verify().problems == ()
