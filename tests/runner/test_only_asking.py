"""Repairs that cannot go on: their hosts are asked how the last steps ended, and are free for others."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from inventory.host import Selection
from inventory.inventory import Inventory
from playbooks.results import Effect, HostChange, StepResult, StepState
from reports.language import language
from reports.render import Audience, Format, render
from reports.summary import verdict_sentences
from runner import only_asking
from runner.desk import Desk
from runner.desk_base import utc_now
from runner.journal import StoreJournal, intent_of, left_open
from runner.observer import Silent
from runner.outcome import Outcome, RunState
from runner.record import RunRecord
from runner.request import NotResumable
from runner.store.rows import Scope
from runner.store.sql import open_store
from tests.runner.breaking import WAITING, BreakingBench, repaired, resumed
from tests.runner.fleet import inventory_of
from tests.runner.repairs import hosts_folder


@pytest.fixture
def bench() -> Iterator[BreakingBench]:
    with hosts_folder() as folder:
        yield BreakingBench(folder)


def cut_off(desk: Desk, bench: BreakingBench, *hosts: str, **values: Any) -> RunRecord:
    """Return a repair that was cut off in its first step on the first of its hosts."""
    bench.breaks[hosts[0]] = TimeoutError()
    record = repaired(desk, bench, bench.asking(*hosts, playbook=bench.playbook(WAITING), **values))
    bench.breaks.clear()
    assert (record.state, record.hosts[0].outcome) == (RunState.INTERRUPTED, Outcome.INTERRUPTED)
    return record


def asked(desk: Desk, bench: BreakingBench, run: str, *hosts: str, inventory: Inventory | None = None) -> RunRecord:
    there = inventory or inventory_of(bench.selection(*hosts))
    return asyncio.run(desk.only_ask(run, inventory=there, connect=bench.connect, observer=Silent()))


def test_where_the_playbook_is_another_one_the_hosts_are_asked_and_free_without_it(home: Path, bench: BreakingBench) -> None:
    newer = WAITING + "# the next release of the same playbook\n"
    with Desk.open(home, write=True, actor="anna") as desk:
        run = cut_off(desk, bench, "db-1", "db-2", concurrency=1, max_failed="0", case="DEMO-1").run
        (bench.home("db-1") / "go").touch()
        with pytest.raises(NotResumable) as refused:
            resumed(desk, bench, run, newer, "db-1")
        assert str(refused.value.hint).endswith(f": longarm run resume {run} --only-ask")
        (other,) = repaired(desk, bench, bench.asking("db-1", playbook=bench.playbook(newer))).hosts
        assert other.error_kind == "HostLeased" and str(other.hint).endswith(f": longarm run resume {run} --only-ask")
        desk.hold(bench.selection("db-1").hosts, reason="a demonstration")
        desk.freeze(Scope.DESK, None, reason="an audit")  # neither keeps off who only looks
        record = asked(desk, bench, run, "db-1", "db-2")
        desk.remove_holds(["db-1"])
        desk.unfreeze(Scope.DESK, None)
        first, second = record.hosts
        assert first.repair is not None
        assert (record.state, first.outcome, first.error_kind, len(record.deliveries)) == (
            RunState.ENDED,
            Outcome.FAILED,
            "OnlyAsked",
            1,
        )
        assert [(step.name, step.state, step.exit_status) for step in first.repair.steps] == [
            ("Note the effect", StepState.CHANGED, 0)
        ]
        assert (first.repair.change, first.repair.left_open, first.diagnosis is not None) == (HostChange.PARTLY, (), True)
        assert (second.outcome, second.error_kind) == (Outcome.NOT_STARTED, "OnlyAsked")
        told = " ".join(verdict_sentences(record, language("en")))
        assert "On 1 host nobody looked afterwards: what was done there is not proved." in told
        assert "no finding" not in told, "there was one"
        assert (desk.leases(), bench.effects("db-1"), bench.effects("db-2")) == ((), ["one"], [])
        assert desk.record(run) == record
        for audience in Audience:
            assert render(record, audience=audience, language="ru", format=Format.TEXT)
        with pytest.raises(NotResumable, match="has ended"):
            asked(desk, bench, run, "db-1")
        (bench.home("db-1") / "go").unlink()
        assert bench.besides_the_fence("db-1") == []
        (bench.home("db-1") / "go").touch()
        (again,) = repaired(desk, bench, bench.asking("db-1", playbook=bench.playbook(newer))).hosts
    assert (again.outcome, bench.effects("db-1")) == (Outcome.OK, ["one", "one", "two"])


def test_where_a_host_is_another_customers_by_now_it_is_asked_all_the_same(home: Path, bench: BreakingBench) -> None:
    (host,) = bench.selection("db-1").hosts
    moved = inventory_of(Selection(expression="db-1", hosts=(replace(host, customer="zeta"),)))
    with Desk.open(home, write=True, actor="anna") as desk:
        run = cut_off(desk, bench, "db-1").run
        (bench.home("db-1") / "go").touch()
        with pytest.raises(NotResumable, match="belonged to acme") as refused:
            resumed(desk, bench, run, WAITING, inventory=moved)
        assert str(refused.value.hint).endswith(f": longarm run resume {run} --only-ask")
        (ended,) = asked(desk, bench, run, inventory=moved).hosts
        assert (ended.outcome, ended.customer, desk.leases()) == (Outcome.FAILED, "acme", ())


def test_a_step_that_is_at_work_still_keeps_its_host(home: Path, bench: BreakingBench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(only_asking, "WAITS_S", 10.0)
    with Desk.open(home, write=True, actor="anna") as desk:
        run = cut_off(desk, bench, "db-1").run
        record = asked(desk, bench, run, "db-1")
        (host,) = record.hosts
        assert host.repair is not None
        assert (record.state, host.outcome, host.repair.left_open) == (
            RunState.INTERRUPTED,
            Outcome.INTERRUPTED,
            ("Note the effect",),
        )
        assert str(host.error) == "“Note the effect” is at work there still"
        assert [lease.host for lease in desk.leases()] == ["db-1"]
        (bench.home("db-1") / "go").touch()
        whole = resumed(desk, bench, run, WAITING, "db-1")  # nothing was given up by asking
    assert (whole.hosts[0].outcome, bench.effects("db-1")) == (Outcome.OK, ["one", "two"])


def test_a_host_that_does_not_answer_stays_the_runs_own_until_the_inventory_lets_go_of_it(
    home: Path, bench: BreakingBench
) -> None:
    with Desk.open(home, write=True, actor="anna") as desk:
        run = cut_off(desk, bench, "db-1").run
        (bench.home("db-1") / "go").touch()
        bench.down.add("db-1")
        away = asked(desk, bench, run, "db-1")
        assert (away.state, away.hosts[0].outcome, away.hosts[0].error_kind) == (
            RunState.INTERRUPTED,
            Outcome.INTERRUPTED,
            "ConnectFailed",
        )
        assert [lease.host for lease in desk.leases()] == ["db-1"]
        gone = asked(desk, bench, run, "db-9")
        (host,) = gone.hosts
        assert host.repair is not None
        assert (gone.state, host.outcome, host.repair.change) == (RunState.ENDED, Outcome.UNKNOWN, HostChange.UNKNOWN)
        assert (host.repair.unsettled, desk.leases()) == (True, ())
        assert (
            "and nobody has seen its end"
            in render(gone, audience=Audience.INTERNAL, language="en", format=Format.TEXT).decode()
        )


def test_where_root_cannot_be_had_to_ask_nobody_says_that_nothing_was_begun(home: Path, bench: BreakingBench) -> None:
    with Desk.open(home, write=True, actor="anna") as desk:
        run = cut_off(desk, bench, "db-1").run
        (bench.home("db-1") / "go").touch()
        bench.denies = "sudo: a password is required"
        (host,) = asked(desk, bench, run, "db-1").hosts
        assert (host.outcome, str(host.error)) == (
            Outcome.INTERRUPTED,
            "root could not be had: sudo: a password is required",
        )
        (host,) = resumed(desk, bench, run, WAITING, "db-1").hosts
        assert host.repair is not None
        assert (host.outcome, host.repair.change) == (Outcome.UNKNOWN, HostChange.UNKNOWN)
        assert str(host.error) == "step “Note the effect”: root could not be had: sudo: a password is required"


def test_a_host_that_is_gone_as_its_repair_goes_on_is_not_told_as_not_begun(home: Path, bench: BreakingBench) -> None:
    with Desk.open(home, write=True, actor="anna") as desk:
        run = cut_off(desk, bench, "db-1").run
        (bench.home("db-1") / "go").touch()
        (host,) = resumed(desk, bench, run, WAITING, "db-9").hosts
    assert host.repair is not None
    assert (host.outcome, host.repair.change) == (Outcome.UNKNOWN, HostChange.UNKNOWN)


def test_a_host_that_only_others_see_is_not_gone(home: Path, bench: BreakingBench) -> None:
    first, second = bench.selection("db-1", "db-2").hosts
    moved = inventory_of(Selection(expression="all", hosts=(replace(first, customer="zeta"), second)))
    seen = (moved.of_customer("acme"), moved.where(lambda host: host.name == "db-2"), inventory_of(bench.selection("db-2")))
    with Desk.open(home, write=True, actor="anna") as desk:
        run = cut_off(desk, bench, "db-1", "db-2", concurrency=1, max_failed="0").run
        (bench.home("db-2") / "go").touch()
        for narrowed in (*seen[:2], seen[2].beside(moved)):
            for record in (
                asked(desk, bench, run, inventory=narrowed),
                resumed(desk, bench, run, WAITING, inventory=narrowed),
            ):
                host = record.hosts[0]
                assert host.repair is not None
                assert (record.state, host.outcome, host.error_kind) == (
                    RunState.INTERRUPTED,
                    Outcome.INTERRUPTED,
                    "HostHidden",
                )
                assert (host.repair.change, [lease.host for lease in desk.leases()]) == (HostChange.UNKNOWN, ["db-1"])
        (again,) = repaired(desk, bench, bench.asking("db-1", playbook=bench.playbook(WAITING))).hosts
        assert again.error_kind == "HostLeased", "its step is at work there"
        (bench.home("db-1") / "go").touch()
        ended = asked(desk, bench, run, inventory=moved)
        assert (ended.state, ended.hosts[0].outcome, desk.leases()) == (RunState.ENDED, Outcome.FAILED, ())
    assert bench.effects("db-1") == ["one"]


def _ended(home: Path, run: str, state: StepState, effect: Effect) -> None:
    """Keep how the first step ended on the first host, as a process does that is killed before it keeps how the host did."""
    with closing(open_store(home, write=True)) as store:
        journal = StoreJournal(store, run, 0, utc_now)
        asyncio.run(_kept(journal, StepResult(key="s1", name="Note the effect", action="run", state=state, effect=effect)))


async def _kept(journal: StoreJournal, result: StepResult) -> None:
    await journal.end(result)
    await journal.settled()


@pytest.mark.parametrize("there", [True, False], ids=["there", "gone"])
@pytest.mark.parametrize("goes_on", [True, False], ids=["resume", "only-ask"])
def test_what_is_on_disk_as_unknown_is_not_told_as_known(home: Path, bench: BreakingBench, there: bool, goes_on: bool) -> None:
    with Desk.open(home, write=True, actor="anna") as desk:
        run = cut_off(desk, bench, "db-1").run
    (bench.home("db-1") / "go").touch()
    _ended(home, run, StepState.UNKNOWN, Effect.MAYBE)
    name = "db-1" if there else "db-9"
    with Desk.open(home, write=True, actor="anna") as desk:
        record = resumed(desk, bench, run, WAITING, name) if goes_on else asked(desk, bench, run, name)
        (host,) = record.hosts
        assert host.repair is not None
        assert (record.state, host.outcome, host.error_kind, host.repair.change) == (
            RunState.ENDED,
            Outcome.UNKNOWN,
            "StepUnknown",
            HostChange.UNKNOWN,
        )


def test_a_host_that_is_gone_once_a_step_had_changed_it_is_not_told_as_not_begun(home: Path, bench: BreakingBench) -> None:
    with Desk.open(home, write=True, actor="anna") as desk:
        run = cut_off(desk, bench, "db-1").run
    (bench.home("db-1") / "go").touch()
    _ended(home, run, StepState.CHANGED, Effect.CHANGED)
    with Desk.open(home, write=True, actor="anna") as desk:
        (host,) = resumed(desk, bench, run, WAITING, "db-9").hosts
        assert host.repair is not None
        assert (host.outcome, host.repair.change, desk.leases()) == (Outcome.FAILED, HostChange.PARTLY, ())
        assert str(host.error) == "not asked: the inventory does not know this host any more"


def test_an_attempt_before_one_that_never_came_may_have_changed_the_host(home: Path, bench: BreakingBench) -> None:
    bench.before["db-1"] = TimeoutError()
    with Desk.open(home, write=True, actor="anna") as desk:
        run = repaired(desk, bench, bench.asking("db-1", playbook=bench.playbook(WAITING))).run
    bench.before.clear()
    with closing(open_store(home, write=True)) as store:
        whole = store.run(run)
        assert whole is not None
        intent = replace(intent_of(left_open(whole.journal)[0]), attempt=2, touched=True)
        asyncio.run(StoreJournal(store, run, 0, utc_now).intend(intent))
    with Desk.open(home, write=True, actor="anna") as desk:
        (host,) = asked(desk, bench, run, "db-1").hosts
        assert host.repair is not None
        assert (host.outcome, host.repair.change) == (Outcome.FAILED, HostChange.PARTLY)
        assert [step.effect for step in host.repair.steps] == [Effect.MAYBE]


def _as_kept(*, sends: dict[str, str] | None) -> Callable[[dict[str, Any]], dict[str, Any]]:
    def kept(request: dict[str, Any]) -> dict[str, Any]:
        return {key: value for key, value in {**request, "sends": sends}.items() if key != "sends" or sends is not None}

    return kept


@pytest.mark.parametrize(
    ("arrives", "sends", "outcome", "change"),
    [
        (True, {"s1": "user"}, Outcome.FAILED, HostChange.PARTLY),
        (True, None, Outcome.FAILED, HostChange.PARTLY),
        (False, {"s1": "user"}, Outcome.FAILED, HostChange.UNCHANGED),
        (False, None, Outcome.UNKNOWN, HostChange.UNKNOWN),
        (False, {}, Outcome.UNKNOWN, HostChange.UNKNOWN),
    ],
    ids=["ended", "ended, earlier release", "never arrived", "never arrived, earlier release", "on the controller"],
)
def test_what_a_host_does_not_know_was_not_begun_only_where_it_would_know(
    home: Path, bench: BreakingBench, arrives: bool, sends: dict[str, str] | None, outcome: Outcome, change: HostChange
) -> None:
    with Desk.open(home, write=True, actor="anna") as desk:
        (bench.breaks if arrives else bench.before)["db-1"] = TimeoutError()
        run = repaired(desk, bench, bench.asking("db-1", playbook=bench.playbook(WAITING))).run
    bench.breaks.clear()
    bench.before.clear()
    (bench.home("db-1") / "go").touch()
    with closing(sqlite3.connect(home / "longarm.db")) as store, store:
        (request,) = store.execute("SELECT request FROM run WHERE id = ?", (run,)).fetchone()
        assert json.loads(request)["sends"] == {"s1": "user", "s2": "user"}
        store.execute("UPDATE run SET request = ?", (json.dumps(_as_kept(sends=sends)(json.loads(request))),))
    with Desk.open(home, write=True, actor="anna") as desk:
        (host,) = asked(desk, bench, run, "db-1").hosts
        assert host.repair is not None
        assert (host.outcome, host.repair.change, desk.leases()) == (outcome, change, ())
        told = [one.split()[1] for one in _commands(desk.record(run))]
        assert ("diagnose" in told) is (change is HostChange.UNKNOWN), "a person looks"
    assert bench.effects("db-1") == (["one"] if arrives else [])


def _commands(record: RunRecord) -> list[str]:
    from reports.summary import next_commands

    return [one.command for one in next_commands(record, language("en"))]


def test_another_machine_of_that_name_is_not_asked_what_this_one_did(home: Path, bench: BreakingBench) -> None:
    with Desk.open(home, write=True, actor="anna") as desk:
        run = cut_off(desk, bench, "db-1").run
        (bench.home("db-1") / "go").touch()
        (host,) = bench.selection("db-1").hosts
        there = inventory_of(Selection(expression="db-1", hosts=(replace(host, address="10.9.9.9"),)))
        connected = len(bench.connected)
        with pytest.raises(NotResumable, match=f"^db-1 is not what run {run} began with: it is reached at another address"):
            asked(desk, bench, run, "db-1", inventory=there)
        assert len(bench.connected) == connected and [lease.host for lease in desk.leases()] == ["db-1"]
        assert asked(desk, bench, run, "db-1").state is RunState.ENDED
