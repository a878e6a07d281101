"""Commands by hand beside repairs and beside each other, on real shells: who has a host, and who is told what."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from console.repairing import tell_by_hand
from console.settings import Settings
from inventory.errors import UsageError
from remote.command import Command
from remote.question import Privilege
from reports.language import language
from reports.render import Audience, Format, render
from reports.summary import next_commands
from runner import by_hand
from runner.desk import Desk
from runner.observer import Silent
from runner.outcome import KEPT_OFF, FailOn, Outcome, RunKind, exit_code
from runner.record import HostRecord, RunRecord
from runner.request import TaskRequest
from runner.store.errors import ChangesFrozen
from runner.store.rows import Scope
from runner.tasks import CommandTask, Held, TerminalTask
from tests.reports.test_formats import SCHEMA
from tests.runner.repairs import Bench, hosts_folder
from tests.runner.test_undoing import SET, put, repaired

SLOW = SET.replace(
    'run: echo new >"$HOME/set"',
    'run: touch "$HOME/began"; until [ -e "$HOME/go" ]; do sleep 0.05; done; echo new >"$HOME/set"',
)
HAND = 'echo hand >>"$HOME/effects"'


@pytest.fixture
def bench() -> Iterator[Bench]:
    with hosts_folder() as folder:
        yield Bench(folder)


@pytest.fixture
def desk(home: Path) -> Iterator[Desk]:
    with Desk.open(home, write=True, actor="anna") as opened:
        yield opened


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait for no turn."""
    monkeypatch.setattr(by_hand, "TURN_S", 0.0)


def command(bench: Bench, script: str, actor: str = "ivan", deadline_s: int = 120, **more: object) -> TaskRequest:
    task = CommandTask(command=Command(script=script, deadline_s=deadline_s))
    request = TaskRequest(selection=bench.selection("db-1"), task=task, case=None, actor=actor)
    return replace(request, **more)  # type: ignore[arg-type]  # a test's own mixture


async def by(desk: Desk, bench: Bench, request: TaskRequest) -> RunRecord:
    return await desk.carry_out(request, connect=bench.connect, observer=Silent())


async def repairing(desk: Desk, bench: Bench, text: str = SLOW, **more: object) -> RunRecord:
    request = bench.asking("db-1", playbook=bench.playbook(text), **more)
    return await desk.repair(request, connect=bench.connect, observer=Silent())


async def there(bench: Bench, name: str) -> None:
    end = time.monotonic() + 120
    while not (bench.home("db-1") / name).exists():
        assert time.monotonic() < end, name
        await asyncio.sleep(0.02)


def only(record: RunRecord) -> HostRecord:
    (host,) = record.hosts
    return host


def code(record: RunRecord) -> int:
    kept_off = any(host.error_kind in KEPT_OFF for host in record.hosts)
    return exit_code([host.outcome for host in record.hosts], record.worst, FailOn.WARNING, kept_off=kept_off)


def beside_a_repair(home: Path, bench: Bench, *requests: TaskRequest) -> tuple[RunRecord, list[RunRecord]]:
    """Return a repair, as it is afterwards, and what was done while it was in mid-step."""

    async def both(desk: Desk) -> tuple[RunRecord, list[RunRecord]]:
        run = asyncio.create_task(repairing(desk, bench))
        try:
            await there(bench, "began")
            done = [await by(desk, bench, request) for request in requests]
        finally:
            put(bench, "db-1", "go", "")
            record = await run
        return desk.record(record.run), done

    put(bench, "db-1", "set", "old\n")
    with Desk.open(home, write=True, actor="anna") as desk:
        return asyncio.run(both(desk))


def test_a_command_is_kept_off_a_host_that_a_run_changes_and_told_whose_it_is(home: Path, bench: Bench) -> None:
    repair, (record,) = beside_a_repair(home, bench, command(bench, HAND))
    host = only(record)
    assert (host.outcome, host.error_kind, code(record)) == (Outcome.REFUSED, "HostLeased", 5)
    assert str(host.error).startswith(f"db-1 is being changed by run {repair.run} of anna since ")
    assert str(host.error).endswith(" s): set-it")
    assert str(host.hint) == "what only looks: --read-only; all the same: --beside REASON"
    assert next_commands(record, language("en"))[0].command == "longarm run leases"
    assert bench.effects("db-1") == ["set"]
    assert only(repair).repair is not None and only(repair).repair.by_hand == ()  # type: ignore[union-attr]  # it is one


def test_who_says_that_they_only_look_is_kept_off_by_nobody_and_keeps_nobody_off(home: Path, bench: Bench) -> None:
    repair, (record,) = beside_a_repair(home, bench, command(bench, "cat $HOME/effects; echo seen", read_only=True))
    assert (only(record).outcome, record.read_only, record.beside) == (Outcome.OK, True, "")
    assert only(repair).repair.by_hand == ()  # type: ignore[union-attr]
    with Desk.open(home, write=False) as desk:
        (began,) = [row.detail for row in desk.audit(record.run) if row.action == "run.started"]
    assert began == "read-only: cat $HOME/effects; echo seen"
    assert "Read-only: whoever asked said that it only looks" in text_of(record)


def test_what_was_not_begun_is_not_told_as_done(home: Path, bench: Bench) -> None:
    script = Command(script=HAND, deadline_s=120, privilege=Privilege.ROOT)
    denied = replace(command(bench, "", beside="it burns"), task=CommandTask(command=script))
    repair, (record,) = beside_a_repair(home, bench, denied)
    assert (only(record).outcome, only(record).error_kind, bench.effects("db-1")) == (Outcome.REFUSED, "", ["set"])
    assert only(repair).repair.by_hand == ()  # type: ignore[union-attr]


def test_with_a_reason_a_command_goes_beside_a_run_and_all_of_it_is_on_record(home: Path, bench: Bench) -> None:
    repair, (record,) = beside_a_repair(home, bench, command(bench, HAND, beside="the shop is down"))
    assert (only(record).outcome, record.beside, bench.effects("db-1")) == (Outcome.OK, "the shop is down", ["hand", "set"])
    with Desk.open(home, write=False) as desk:
        (row,) = [row for row in desk.audit(record.run) if row.action == "host.beside"]
    assert (row.actor, row.customers) == ("ivan", ("acme",))
    assert f"db-1 is being changed by run {repair.run} of anna" in row.detail
    assert row.detail.endswith("; beside it: the shop is down")
    assert "Reason to go beside what has a host: the shop is down" in text_of(record)
    (hand,) = only(repair).repair.by_hand  # type: ignore[union-attr]
    assert (hand.run, hand.actor, hand.what, hand.beside) == (record.run, "ivan", f"host run: {HAND}", "the shop is down")
    told = text_of(repair)
    assert "by hand, ivan, " in told and f"(run {record.run}; why: the shop is down)" in told
    assert not any("rollback" in one.command for one in next_commands(repair, language("en"))), "somebody has to look first"


def test_without_a_need_for_it_a_reason_is_noted_nowhere_but_in_its_run(desk: Desk, bench: Bench) -> None:
    record = asyncio.run(by(desk, bench, command(bench, HAND, beside="to be sure")))
    assert [row for row in desk.audit(record.run) if row.action == "host.beside"] == []
    with pytest.raises(UsageError, match="needs no reason"):
        command(bench, HAND, beside="to be sure", read_only=True)


def text_of(record: RunRecord) -> str:
    return render(record, audience=Audience.INTERNAL, language="en", format=Format.TEXT).decode()


def while_at_work(desk: Desk, bench: Bench, request: TaskRequest, then: Callable[[], Awaitable[None]]) -> RunRecord:
    """Do something while a command by hand is at work on the host, which ends afterwards."""

    async def both() -> RunRecord:
        run = asyncio.create_task(by(desk, bench, request))
        try:
            await there(bench, "hand")
            await then()
        finally:
            put(bench, "db-1", "go", "")
        return await run

    bench.home("db-1")
    return asyncio.run(both())


WAITS = (
    'echo begin >>"$HOME/effects"; touch "$HOME/hand"; until [ -e "$HOME/go" ]; do sleep 0.05; done; echo end >>"$HOME/effects"'
)


@pytest.mark.usefixtures("impatient")
def test_a_repair_does_not_begin_where_somebody_works_by_hand(desk: Desk, bench: Bench) -> None:
    async def tried() -> None:
        record = await repairing(desk, bench)
        host = only(record)
        (leased,) = desk.leases()
        assert [one.kind for one in desk.leased()] == [RunKind.COMMAND]
        assert (host.outcome, host.error_kind, code(record)) == (Outcome.REFUSED, "HostInHand", 5)
        assert str(host.error).startswith("ivan works on db-1 by hand since ")
        assert str(host.error).endswith(f" s), run {leased.run}: {leased.reason}")
        assert (leased.host, leased.actor, leased.reason[:22]) == ("db-1", "ivan", "host run: echo begin >")
        assert host.repair is not None and host.repair.steps == ()
        assert next_commands(record, language("en"))[0].command == "longarm run leases"
        planned = await repairing(desk, bench, only_plan=True)
        assert only(planned).outcome is not Outcome.REFUSED, "a plan only looks"

    put(bench, "db-1", "set", "old\n")
    while_at_work(desk, bench, command(bench, WAITS), tried)
    assert desk.leases() == ()
    assert only(asyncio.run(repairing(desk, bench))).error_kind != "HostInHand"
    assert bench.effects("db-1") == ["begin", "end", "set"]


@pytest.mark.usefixtures("impatient")
def test_with_a_reason_a_repair_begins_beside_somebody_and_tells_so(desk: Desk, bench: Bench) -> None:
    async def tried() -> None:
        record = await repairing(desk, bench, SET, beside="ivan is on the phone")
        assert only(record).repair.steps != ()  # type: ignore[union-attr]
        assert [row.detail[-20:] for row in desk.audit(record.run) if row.action == "host.beside"] == ["ivan is on the phone"]
        assert (record.beside, [hand.actor for hand in only(record).repair.by_hand]) == (  # type: ignore[union-attr]
            "ivan is on the phone",
            ["ivan"],
        )

    put(bench, "db-1", "set", "old\n")
    while_at_work(desk, bench, command(bench, WAITS), tried)
    assert bench.effects("db-1") == ["begin", "set", "end"]


@pytest.mark.usefixtures("impatient")
def test_of_two_people_one_works_on_a_host_by_hand_but_nobody_is_in_their_own_way(desk: Desk, bench: Bench) -> None:
    async def tried() -> None:
        other = await by(desk, bench, command(bench, HAND, "olga"))
        assert (only(other).outcome, only(other).error_kind) == (Outcome.REFUSED, "HostInHand")
        assert only(await by(desk, bench, command(bench, "uptime", "olga", read_only=True))).outcome is Outcome.OK
        assert only(await by(desk, bench, command(bench, HAND, "ivan"))).outcome is Outcome.OK

    while_at_work(desk, bench, command(bench, WAITS), tried)
    assert bench.effects("db-1") == ["begin", "hand", "end"]


@pytest.mark.usefixtures("impatient")
def test_a_terminal_has_its_host_until_it_is_closed(desk: Desk, bench: Bench) -> None:
    async def hold(*_: object) -> Held:
        put(bench, "db-1", "hand", "")
        await there(bench, "go")
        return Held()

    async def tried() -> None:
        record = await repairing(desk, bench)
        assert str(only(record).error).endswith(": host shell")

    put(bench, "db-1", "set", "old\n")
    shell = replace(command(bench, ""), task=TerminalTask(hold=hold))
    assert only(while_at_work(desk, bench, shell, tried)).outcome is Outcome.OK
    assert only(asyncio.run(repairing(desk, bench))).error_kind != "HostInHand"
    assert bench.effects("db-1") == ["set"]


def test_who_only_looks_is_kept_off_by_a_hold_and_by_a_freeze_all_the_same(desk: Desk, bench: Bench) -> None:
    """Those are the rules of others, and are not lifted by one's own word."""
    looks = command(bench, HAND, read_only=True)
    desk.hold(bench.selection("db-1").hosts, reason="a demonstration")
    assert only(asyncio.run(by(desk, bench, looks))).error_kind == "HostHeld"
    desk.freeze(Scope.DESK, None, reason="an audit")
    with pytest.raises(ChangesFrozen):
        asyncio.run(by(desk, bench, looks))
    assert bench.effects("db-1") == []


# Since


def undone(desk: Desk, bench: Bench, run: str, **more: object) -> RunRecord:
    request = bench.asking("db-1", playbook=bench.playbook(SET), **more)
    return asyncio.run(desk.roll_back(run, request, connect=bench.connect, observer=Silent()))


def test_what_was_done_by_hand_since_is_named_and_nothing_is_undone_over_it(home: Path, bench: Bench) -> None:
    before = command(bench, 'echo early >>"$HOME/effects"')
    with Desk.open(home, write=True, actor="anna") as desk:
        asyncio.run(by(desk, bench, before))
    first = repaired(home, bench, "db-1")
    with Desk.open(home, write=True, actor="anna") as desk:
        asyncio.run(by(desk, bench, command(bench, "cat $HOME/set", read_only=True)))
        assert f"longarm run rollback {first.run} db-1" in [
            one.command for one in next_commands(desk.record(first.run), language("en"))
        ]
        hand = asyncio.run(by(desk, bench, command(bench, HAND)))
        kept_off = undone(desk, bench, first.run)
        refused, (command_, *_) = only(kept_off), next_commands(kept_off, language("en"))
        assert command_.command == f"longarm run rollback {first.run} db-1 --beside REASON"
        assert (refused.outcome, refused.error_kind) == (Outcome.REFUSED, "WorkedByHand")
        told = f"ivan has worked on db-1 by hand since run {first.run} began there, at "
        assert str(refused.error).startswith(told) and str(refused.error).endswith(f" UTC in run {hand.run}: host run: {HAND}")
        assert str(refused.hint) == f"longarm run rollback {first.run} db-1 --beside REASON"
        record = desk.record(first.run)
        assert not any("rollback" in one.command for one in next_commands(record, language("en"))), "it is not offered"
        assert [one.run for one in only(record).repair.by_hand] == [hand.run]  # type: ignore[union-attr]
        assert bench.effects("db-1") == ["early", "set", "hand"]
        planned = only(undone(desk, bench, first.run, only_plan=True))
        assert str(planned.hint) == f"longarm run rollback {first.run} db-1 --plan --beside REASON"
        done = undone(desk, bench, first.run, beside="looked at it")
        assert only(done).outcome is not Outcome.REFUSED
        (row,) = [row for row in desk.audit(done.run) if row.action == "host.beside"]
        assert told in row.detail and row.detail.endswith("; beside it: looked at it")
    assert bench.effects("db-1") == ["early", "set", "hand", "back to old"]


def test_the_report_of_a_repair_tells_what_was_done_by_hand_since_but_to_no_customer(
    home: Path, bench: Bench, capsys: pytest.CaptureFixture[str]
) -> None:
    first = repaired(home, bench, "db-1")
    with Desk.open(home, write=True, actor="anna") as desk:
        hand = asyncio.run(by(desk, bench, command(bench, HAND)))
        record = desk.record(first.run)
    document = json.loads(render(record, audience=Audience.INTERNAL, language="en", format=Format.JSON))
    Draft202012Validator(SCHEMA).validate(document)
    (told,) = document["hosts"][0]["repair"]["by_hand"]
    assert (told["run"], told["actor"], told["kind"], told["beside"]) == (hand.run, "ivan", "command", None)
    assert told["until"] > told["since"]
    many = replace(only(record), repair=replace(only(record).repair, by_hand=only(record).repair.by_hand * 7))  # type: ignore[type-var, union-attr]
    document = json.loads(render(replace(record, hosts=(many,)), audience=Audience.INTERNAL, language="en", format=Format.JSON))
    Draft202012Validator(SCHEMA).validate(document)
    repair = document["hosts"][0]["repair"]
    assert (len(repair["by_hand"]), repair["by_hand_before"]) == (5, 2)
    tell_by_hand(Settings(home=home), replace(record, hosts=(many,)), ["db-1"])
    err = capsys.readouterr().err
    assert (err.count("since then ivan has worked on it by hand"), "by hand before that: 2" in err) == (5, True)
    for format_ in (Format.TEXT, Format.HTML):
        page = render(record, audience=Audience.INTERNAL, language="ru", format=format_).decode()
        assert "вручную, ivan, " in page and hand.run in page
        assert "ivan" not in render(record, audience=Audience.CUSTOMER, language="ru", format=format_).decode()
