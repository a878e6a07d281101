"""Repairs that are cut off in the middle of a step: their runs go on and ask the hosts, nobody else begins anew."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from console.aftermath import code_of
from console.repairing import NothingToRetry, _again
from playbooks.params import settled_params
from playbooks.results import HostChange
from reports.language import language
from reports.summary import next_commands
from runner.desk import Desk
from runner.observer import Silent
from runner.outcome import FailOn, Outcome, RunState
from runner.store import applying
from runner.store.changes import Journalled
from runner.store.plain import journalled
from runner.store.rows import Event
from runner.store.sql import open_store
from tests.runner.breaking import WAITING, BreakingBench, repaired, resumed
from tests.runner.fleet import inventory_of
from tests.runner.repairs import MEND, hosts_folder


@pytest.fixture
def bench() -> Iterator[BreakingBench]:
    with hosts_folder() as folder:
        yield BreakingBench(folder)


@pytest.mark.parametrize(
    ("error", "kind"),
    [(TimeoutError(), "DeadlineExceeded"), (RuntimeError("a fault of ours"), "RuntimeError")],
    ids=["deadline", "fault"],
)
def test_what_is_cut_off_in_mid_step_is_gone_on_with_and_done_once(
    home: Path, bench: BreakingBench, error: Exception, kind: str
) -> None:
    bench.breaks["db-1"] = error
    with Desk.open(home, write=True, actor="anna") as desk:
        record = repaired(desk, bench, bench.asking("db-1", playbook=bench.playbook(WAITING), case="DEMO-1"))
        (host,) = record.hosts
        assert host.repair is not None
        assert (record.state, host.outcome, host.error_kind) == (RunState.INTERRUPTED, Outcome.INTERRUPTED, kind)
        assert (host.repair.change, host.repair.left_open) == (HostChange.UNKNOWN, ("Note the effect",))
        assert ([lease.host for lease in desk.leases()], record.deliveries) == (["db-1"], ())
        assert str(host.hint) == f"longarm run resume {record.run}"
        told = [one.command for one in next_commands(record, language("en"))]
        assert told == [f"longarm run {word} {record.run}" for word in ("resume", "show")], "nothing of it is begun anew"
        assert code_of(record, FailOn.WARNING) == 3, "nobody has stopped it"
        with pytest.raises(NothingToRetry, match="nobody knows how a step") as refused:
            _again(record, ["interrupted"], inventory_of(bench.selection("db-1")))
        assert str(refused.value.hint) == f"longarm run resume {record.run}"
        bench.breaks.clear()
        (other,) = repaired(desk, bench, bench.asking("db-1", playbook=bench.playbook(WAITING), retries=record.run)).hosts
        assert (other.outcome, other.error_kind) == (Outcome.REFUSED, "HostLeased")
        (bench.home("db-1") / "go").touch()
        whole = resumed(desk, bench, record.run, WAITING, "db-1")
        assert (whole.state, whole.hosts[0].outcome, desk.leases()) == (RunState.ENDED, Outcome.OK, ())
    assert bench.effects("db-1") == ["one", "two"]
    (bench.home("db-1") / "go").unlink()
    assert bench.besides_the_fence("db-1") == [], "nor is its record left there"


def test_what_is_cut_off_in_mid_step_is_left_out_where_others_are_tried_again(home: Path, bench: BreakingBench) -> None:
    bench.breaks["db-1"] = TimeoutError()
    bench.down.add("db-2")
    with Desk.open(home, write=True, actor="anna") as desk:
        record = repaired(desk, bench, bench.asking("db-1", "db-2", playbook=bench.playbook(WAITING)))
        (bench.home("db-1") / "go").touch()
    again = _again(record, ["interrupted", "unreachable"], inventory_of(bench.selection("db-1", "db-2")))
    assert [host.name for host in again.hosts] == ["db-2"]
    assert f"longarm run retry {record.run} --only unreachable" in [
        one.command for one in next_commands(record, language("en"))
    ]


def test_a_step_whose_end_could_not_be_kept_is_open_and_its_host_is_asked_how_it_ended(
    home: Path, bench: BreakingBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(plain: sqlite3.Connection, change: Journalled) -> None:
        if (change.line.event, change.line.key) == (Event.END, "s2"):
            raise sqlite3.OperationalError("database or disk is full")
        journalled(plain, change)

    with Desk.open(home, write=True, actor="anna") as desk:
        with monkeypatch.context() as patch:
            patch.setitem(applying._OF_A_RUN, Journalled, full)
            record = repaired(desk, bench, bench.asking("db-1"))
        (host,) = record.hosts
        assert host.repair is not None
        assert (record.state, host.outcome, host.error_kind) == (RunState.INTERRUPTED, Outcome.INTERRUPTED, "StoreFailed")
        assert (host.repair.change, host.repair.left_open) == (HostChange.UNKNOWN, ("Write the mark",))
        assert [lease.host for lease in desk.leases()] == ["db-1"]
        whole = resumed(desk, bench, record.run, MEND, "db-1")
        assert (whole.state, whole.hosts[0].outcome, desk.leases()) == (RunState.ENDED, Outcome.OK, ())
    assert bench.effects("db-1") == ["one", "two"]


def test_what_is_cut_off_in_mid_step_counts_as_a_host_that_ended_badly(home: Path, bench: BreakingBench) -> None:
    bench.breaks["db-1"] = TimeoutError()
    with Desk.open(home, write=True, actor="anna") as desk:
        asked = bench.asking("db-1", "db-2", playbook=bench.playbook(WAITING), concurrency=1, max_failed="0")
        first, second = repaired(desk, bench, asked).hosts
        (bench.home("db-1") / "go").touch()
    assert (first.outcome, second.outcome, second.error_kind) == (Outcome.INTERRUPTED, Outcome.NOT_STARTED, "TooManyFailed")


@pytest.mark.parametrize("only_asks", [False, True], ids=["resume", "only-ask"])
def test_what_was_found_on_hosts_that_had_ended_is_known_once_the_run_has(
    home: Path, bench: BreakingBench, only_asks: bool
) -> None:
    book, inventory = bench.playbook(WAITING), inventory_of(bench.selection("db-1", "db-2"))
    bench.breaks["db-1"] = TimeoutError()
    (bench.home("db-2") / "go").touch()
    with Desk.open(home, write=True, actor="anna") as desk:
        asked = bench.asking("db-1", "db-2", playbook=book, params=settled_params(book.params, {"word": "bad"}))
        record = repaired(desk, bench, asked)
        assert [host.outcome for host in record.hosts] == [Outcome.INTERRUPTED, Outcome.FINDINGS]
        (bench.home("db-1") / "go").touch()
        bench.breaks.clear()
        if only_asks:
            whole = asyncio.run(desk.only_ask(record.run, inventory=inventory, connect=bench.connect, observer=Silent()))
        else:
            whole = resumed(desk, bench, record.run, WAITING, inventory=inventory)
        assert whole.state is RunState.ENDED
    with closing(open_store(home, write=False)) as store:
        known = {(row.host, row.check) for row in store.states(["db-1", "db-2"])}
    assert known == {("db-2", "mark-bad"), *(() if only_asks else {("db-1", "mark-bad")})}


def test_a_host_that_is_not_reached_as_its_repair_goes_on_is_gone_on_with_later(home: Path, bench: BreakingBench) -> None:
    bench.breaks["db-1"] = TimeoutError()
    with Desk.open(home, write=True, actor="anna") as desk:
        run = repaired(desk, bench, bench.asking("db-1", playbook=bench.playbook(WAITING))).run
        (bench.home("db-1") / "go").touch()
        bench.breaks.clear()
        bench.down.add("db-1")
        record = resumed(desk, bench, run, WAITING, "db-1")
        assert (record.state, record.hosts[0].outcome, record.hosts[0].error_kind) == (
            RunState.INTERRUPTED,
            Outcome.INTERRUPTED,
            "ConnectFailed",
        )
        assert [lease.host for lease in desk.leases()] == ["db-1"]
        bench.down.clear()
        assert resumed(desk, bench, run, WAITING, "db-1").hosts[0].outcome is Outcome.OK
    assert bench.effects("db-1") == ["one", "two"]
