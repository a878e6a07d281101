"""Who goes on, waits and is waited for where people work by hand: repairs that were cut off, turns, processes that are gone."""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import Future
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from console.aftermath import code_of
from inventory.host import Host
from inventory.secret import MASKER, Secret
from playbooks.testing import FakeOperator
from remote.answer import Answer
from remote.question import Question
from runner import by_hand, repairing
from runner.desk import Desk
from runner.gate import counts
from runner.hands import SessionHands
from runner.observer import Observer, Silent
from runner.outcome import FailOn, Outcome, RunKind, RunState
from runner.record import RunRecord
from runner.request import RestRequest, TaskRequest
from runner.store.changes import BeginByHand, Change, TakeLease
from runner.store.rows import HandRow, Scope
from runner.store.sql import SqlStore, open_store
from runner.tasks import Held, TerminalTask
from tests.runner.conftest import Rows
from tests.runner.fleet import inventory_of
from tests.runner.repairs import Bench
from tests.runner.test_by_hand import (
    HAND,
    SLOW,
    WAITS,
    by,
    command,
    only,
    there,
    undone,
    while_at_work,
)
from tests.runner.test_by_hand import bench as bench
from tests.runner.test_by_hand import desk as desk
from tests.runner.test_by_hand import impatient as impatient
from tests.runner.test_by_hand import (
    repairing as repaired_by,
)
from tests.runner.test_repair import StoppingOnce
from tests.runner.test_undoing import SET, put, repaired

REASON = "hunter2-knows"


def going_on(desk: Desk, bench: Bench, run: str, text: str, beside: str = "", observer: Observer | None = None) -> Any:
    return desk.resume_repair(
        run,
        RestRequest(
            inventory=inventory_of(bench.selection("db-1")),
            library=bench.library,
            playbook=bench.playbook(text),
            secrets={},
            operator=FakeOperator(),
            beside=beside,
        ),
        connect=bench.connect,
        observer=observer or Silent(),
    )


def stopped_in_mid_step(desk: Desk, bench: Bench) -> RunRecord:
    """Begin a repair of db-1 and return how it stands once it was stopped while its step was under way."""
    request = bench.asking("db-1", playbook=bench.playbook(SLOW))
    stopping = StoppingOnce(desk, bench.home("db-1") / "began")
    return asyncio.run(desk.repair(request, connect=bench.connect, observer=stopping))


def audited(desk: Desk, run: str, action: str) -> list[str]:
    return [row.detail for row in desk.audit(run) if row.action == action]


@pytest.mark.usefixtures("impatient")
def test_a_repair_that_was_cut_off_in_mid_step_goes_on_where_nobody_works_by_hand_unless_somebody_says_why(
    home: Path, bench: Bench
) -> None:
    put_ = partial(put, bench, "db-1")
    put_("set", "old\n")
    with Desk.open(home, write=True, actor="anna") as desk:
        stopped = stopped_in_mid_step(desk, bench)
        assert only(stopped).outcome is Outcome.INTERRUPTED
        refused = only(asyncio.run(by(desk, bench, command(bench, HAND))))
        assert (refused.error_kind, bench.effects("db-1")) == ("HostLeased", []), "what was begun there may be at it still"

        async def tried() -> None:
            kept_off = await going_on(desk, bench, stopped.run, SLOW)
            host = only(kept_off)
            assert (host.outcome, host.error_kind) == (Outcome.INTERRUPTED, "HostInHand"), "it can go on later"
            assert (kept_off.state, code_of(kept_off, FailOn.WARNING)) == (RunState.INTERRUPTED, 5)
            assert code_of(stopped, FailOn.WARNING) == 130, "that was cut off"
            assert {lease.run for lease in desk.leases()} > {stopped.run}, "what was begun there stays its own"
            put_("go", "")
            MASKER.learn(Secret("hunter2"))
            record = await going_on(desk, bench, stopped.run, SLOW, beside=REASON)
            assert (only(record).outcome, record.beside) == (Outcome.FINDINGS, "***-knows")
            assert desk.record(stopped.run).beside == "***-knows"
            put_("leave", "")

        lasting = WAITS.replace("$HOME/go", "$HOME/leave")
        while_at_work(desk, bench, command(bench, lasting, beside="to see what is wrong"), tried)
        assert audited(desk, stopped.run, "run.resumed") == ["", "beside: ***-knows"]
        (beside,) = audited(desk, stopped.run, "host.beside")
        assert beside.startswith("ivan works on db-1 by hand since ") and beside.endswith("; beside it: ***-knows")
    assert sorted(bench.effects("db-1")) == ["begin", "end", "set"]


@pytest.mark.parametrize("stop", ["HostHeld", "ChangesFrozen"])
def test_a_repair_that_had_begun_is_not_given_up_where_something_keeps_it_off_as_it_goes_on(
    home: Path, bench: Bench, stop: str
) -> None:
    """Told as refused or not begun it would have been over: its lease given back, its rest never done, or all done again."""
    put(bench, "db-1", "set", "old\n")
    with Desk.open(home, write=True, actor="anna") as desk:
        stopped = stopped_in_mid_step(desk, bench)
        put(bench, "db-1", "go", "")

        class Meanwhile(Silent):
            def run_started(self, run: str, hosts: Sequence[Host]) -> None:
                if stop == "HostHeld":
                    desk.hold(hosts, reason="a demonstration")
                else:
                    desk.freeze(Scope.DESK, None, reason="an audit")

        kept_off = asyncio.run(going_on(desk, bench, stopped.run, SLOW, observer=Meanwhile()))
        assert (only(kept_off).outcome, only(kept_off).error_kind) == (Outcome.INTERRUPTED, stop)
        assert (kept_off.state, code_of(kept_off, FailOn.WARNING)) == (RunState.INTERRUPTED, 5)
        assert [lease.run for lease in desk.leases()] == [stopped.run]
        if stop == "HostHeld":
            desk.remove_holds(["db-1"])
        else:
            desk.unfreeze(Scope.DESK, None)
        record = asyncio.run(going_on(desk, bench, stopped.run, SLOW))
        assert (only(record).outcome, record.state, desk.leases()) == (Outcome.FINDINGS, RunState.ENDED, ())
    assert bench.effects("db-1") == ["set"]


def test_a_repair_that_was_cut_off_as_it_asked_does_not_begin_beside_an_open_shell(home: Path, bench: Bench) -> None:
    """It has the lease still, and nothing of it is on its way: whoever opened a shell since has the host."""
    mark = bench.home("db-1") / "mark"
    mark.unlink()
    os.mkfifo(mark)  # a question that hangs
    put(bench, "db-1", "set", "old\n")

    async def hold(*_: object) -> Held:
        put(bench, "db-1", "hand", "")
        await there(bench, "go")
        return Held()

    with Desk.open(home, write=True, actor="anna") as desk:
        asked = cast("Path", SimpleNamespace(exists=lambda: bool(desk.leases())))
        request = bench.asking("db-1", playbook=bench.playbook(SET))
        stopped = asyncio.run(desk.repair(request, connect=bench.connect, observer=StoppingOnce(desk, asked)))
        assert (only(stopped).outcome, [lease.run for lease in desk.leases()]) == (Outcome.INTERRUPTED, [stopped.run])
        mark.unlink()
        put(bench, "db-1", "mark", "bad\n")

        async def tried() -> None:
            host = only(await going_on(desk, bench, stopped.run, SET))
            assert (host.outcome, host.error_kind, bench.effects("db-1")) == (Outcome.REFUSED, "HostInHand", [])

        shell = replace(command(bench, ""), task=TerminalTask(hold=hold))
        assert only(while_at_work(desk, bench, shell, tried)).outcome is Outcome.OK
    assert bench.effects("db-1") == []


# Turns

SHORT = 'echo begin >>"$HOME/effects"; touch "$HOME/hand"; sleep 0.4; echo end >>"$HOME/effects"'


class Waits:
    """How often each host run found somebody else at work and waited on."""

    def __init__(self) -> None:
        self.times = Counter[object]()

    async def for_others(self, count: int, times: int = 2) -> None:
        """Return once so many have waited so often."""
        while sum(often >= times for often in self.times.values()) < count:  # noqa: ASYNC110 (a look is no event)
            await asyncio.sleep(0.02)


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> Waits:
    """Let turns be waited for as long as a busy machine takes for them, and count how often somebody did."""
    taken, soon_over = Waits(), by_hand._soon_over

    def look(hand: HandRow) -> bool:
        taken.times[asyncio.current_task()] += 1
        return soon_over(hand)

    monkeypatch.setattr(by_hand, "_soon_over", look)
    monkeypatch.setattr(by_hand, "TURN_S", 300.0)
    return taken


@pytest.mark.usefixtures("waits")
def test_short_commands_of_two_people_take_turns(desk: Desk, bench: Bench) -> None:
    """Neither has to try again for what is over in a moment."""

    async def both() -> list[RunRecord]:
        return await asyncio.gather(*(by(desk, bench, command(bench, SHORT, actor)) for actor in ("ivan", "olga")))

    bench.home("db-1")
    assert [only(record).outcome for record in asyncio.run(both())] == [Outcome.OK, Outcome.OK]
    assert bench.effects("db-1") == ["begin", "end"] * 2


def test_a_repair_waits_for_a_short_command_without_a_write_and_within_its_own_deadline(
    desk: Desk, bench: Bench, monkeypatch: pytest.MonkeyPatch, waits: Waits
) -> None:
    tries, left_s, waited_s = list[Change](), list[float](), list[float]()
    written, asked = SqlStore.write, SessionHands.ask

    def write(self: SqlStore, change: Change, blobs: Iterable[bytes] = ()) -> Future[None]:
        tries.append(change)
        return written(self, change, blobs)

    async def ask(self: SessionHands, questions: tuple[Question, ...], *, deadline_s: float) -> Mapping[str, Answer]:
        left_s.append(deadline_s)
        return await asked(self, questions, deadline_s=deadline_s)

    monkeypatch.setattr(SqlStore, "write", write)
    monkeypatch.setattr(SessionHands, "ask", ask)

    async def tried() -> None:
        run = asyncio.create_task(repaired_by(desk, bench, SET, host_deadline_s=300.0))
        now = asyncio.get_running_loop().time
        await waits.for_others(1)
        began, tried_before = now(), len(tries)
        await waits.for_others(1, times=5)
        assert not run.done() and len(tries) == tried_before
        waited_s.append(now() - began)
        put(bench, "db-1", "go", "")
        assert only(await run).error_kind != "HostInHand"

    put(bench, "db-1", "set", "old\n")
    while_at_work(desk, bench, command(bench, WAITS), tried)
    assert len([change for change in tries if isinstance(change, TakeLease)]) in (2, 3), "one is refused, and one has it"
    assert left_s[0] <= 300 - waited_s[0], "what was waited is not added to its deadline"
    assert bench.effects("db-1") == ["begin", "end", "set"]


@pytest.mark.parametrize(("stop", "outcome"), [("HostHeld", Outcome.REFUSED), ("ChangesFrozen", Outcome.NOT_STARTED)])
def test_whoever_has_waited_for_a_turn_is_kept_off_by_what_came_meanwhile(
    desk: Desk, bench: Bench, stop: str, outcome: Outcome, waits: Waits
) -> None:
    async def tried() -> None:
        waiting = [asyncio.create_task(repaired_by(desk, bench, SET))]
        waiting.append(asyncio.create_task(by(desk, bench, command(bench, HAND, "olga"))))
        await waits.for_others(2)
        assert not any(one.done() for one in waiting)
        if stop == "HostHeld":
            desk.hold(bench.selection("db-1").hosts, reason="a demonstration")
        else:
            desk.freeze(Scope.DESK, None, reason="an audit")
        put(bench, "db-1", "go", "")
        hosts = [only(await one) for one in waiting]
        assert [(host.outcome, host.error_kind) for host in hosts] == [(outcome, stop)] * 2
        assert hosts[0].repair is not None
        assert hosts[0].repair.flags == (("held",) if stop == "HostHeld" else ())

    while_at_work(desk, bench, command(bench, WAITS), tried)
    assert bench.effects("db-1") == ["begin", "end"]


def test_who_worked_by_hand_while_a_turn_was_waited_for_is_seen_before_anything_is_undone(
    home: Path, bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = repaired(home, bench, "db-1")
    with Desk.open(home, write=True, actor="anna") as desk:

        async def in_turn(*waiting: Any) -> None:
            monkeypatch.undo()
            await by(desk, bench, command(bench, HAND))
            await by_hand.in_turn(*waiting)

        monkeypatch.setattr(repairing, "in_turn", in_turn)
        assert only(undone(desk, bench, first.run)).error_kind == "WorkedByHand"
        assert desk.leases() == ()
    assert bench.effects("db-1") == ["set", "hand"]


def test_a_shell_whose_process_was_killed_keeps_nobody_off(desk: Desk, bench: Bench) -> None:
    """It is found as somebody else would be refused, not only as the home is opened."""
    now, run = datetime.now(UTC), "20261130-000000-000000"
    row: dict[str, Any] = {"run": run, "host": "db-1", "customer": "acme", "actor": "ivan", "what": "host shell"}
    row |= {"kind": RunKind.TERMINAL, "since": now, "until": now, "outcome": None, "beside": ""}
    with closing(open_store(desk.home, write=True, alone=False)) as store:
        store.write(Rows().begin(run=run, started_at=now, actor="ivan"))
        store.write(BeginByHand(hand=HandRow(**row), position=1)).result()
    assert [lease.run for lease in desk.leases()] == [run]
    put(bench, "db-1", "set", "old\n")
    record = asyncio.run(repaired_by(desk, bench, SET))
    assert only(record).error_kind == "" and bench.effects("db-1") == ["set"]
    assert audited(desk, run, "run.recovered") == [""]
    assert only(record).repair.by_hand == ()  # type: ignore[union-attr]  # it was over before that looked


def test_a_command_whose_end_nobody_saw_has_its_host_for_what_comes_before_it_too(desk: Desk, bench: Bench) -> None:
    async def tried() -> None:
        with closing(open_store(desk.home, write=False)) as store:
            (hand,) = store.at_work(datetime.now(UTC))
        lasts = hand.until - hand.since
        assert timedelta(seconds=20 + 40) < lasts <= timedelta(seconds=20 + 45 + 5), "to have root, and to end it"

    while_at_work(desk, bench, command(bench, WAITS, deadline_s=20), tried)


# Of other customers


def across(bench: Bench, request: TaskRequest) -> TaskRequest:
    """Return a request for a host of another customer too."""
    mine, theirs = bench.selection("db-1", "db-2").hosts
    return replace(request, selection=replace(request.selection, hosts=(mine, replace(theirs, customer="zeta"))))


@pytest.mark.usefixtures("impatient")
def test_a_run_tells_nothing_of_a_command_that_was_about_hosts_of_others_too(home: Path, bench: Bench) -> None:
    """Whoever reads the one may not be allowed to look at the other: they are told who, when and that it was a command."""
    done = [repaired(home, bench, "db-1").run]
    put(bench, "db-2", "go", "")

    async def tried() -> None:
        refused = only(await repaired_by(opened, bench, SET))
        assert str(refused.error).startswith("ivan works on db-1 by hand since ")
        assert str(refused.error).endswith(" s): host run")
        assert str(refused.hint) == "all the same: --beside REASON"
        beside = await repaired_by(opened, bench, SET, beside="ivan is on the phone")
        (detail,) = audited(opened, beside.run, "host.beside")
        assert detail.endswith(" s): host run; beside it: ivan is on the phone")
        done.append(beside.run)

    with Desk.open(home, write=True, actor="anna") as opened:
        hand = while_at_work(opened, bench, across(bench, command(bench, WAITS)), tried)
        (told,) = only(opened.record(done[0])).repair.by_hand  # type: ignore[union-attr]
        assert (told.actor, told.run, told.what, told.beside) == ("ivan", "", "host run", "")
        refused = only(undone(opened, bench, done[1]))
        assert str(refused.error).endswith(" UTC: host run") and hand.run not in str(refused.error)


@pytest.mark.parametrize("kind", ["HostHeld", "HostLeased", "HostInHand"])
def test_a_host_that_others_have_has_not_ended_badly(kind: str) -> None:
    """It is nothing that the repair does to hosts: `--max-failed` is about that."""
    assert not counts(Outcome.REFUSED, kind)
    assert counts(Outcome.REFUSED, "HostKeyRefused") and counts(Outcome.FAILED, "")
