"""Repairs that are undone, on real shells: offered or done as the playbook says, once, by what was read before the change."""

from __future__ import annotations

import asyncio
import gc
import json
import os
import sqlite3
import threading
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, closing
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from bench.journal import RUN, begun
from diagnostics.parsing import whole as whole_answer
from diagnostics.probe import Facts
from inventory.errors import UsageError
from inventory.host import Host
from inventory.secret import MASKER, Secret
from playbooks.items import UNKNOWN
from playbooks.ports import Intent
from playbooks.results import HostChange, StepResult, StepState
from playbooks.scenario_files import load_scenarios, scenarios_of
from playbooks.scenario_writing import Recording
from playbooks.scenarios import run_scenario
from playbooks.testing import FakeOperator
from playbooks.verdicts import Fix
from remote.answer import Answer
from remote.errors import ConnectFailed
from remote.local import LocalSession
from remote.question import Question
from remote.session import Session
from reports.language import language
from reports.render import Audience, Format, render
from reports.summary import next_commands
from runner.desk import Desk
from runner.journal import StoreJournal
from runner.observer import Silent
from runner.outcome import KEPT_OFF, FailOn, Outcome, RunKind, RunState, exit_code
from runner.record import RunRecord
from runner.repair_recording import host_repair, run_repair
from runner.repairing import Repairing
from runner.request import NotResumable, RestRequest
from runner.store.opening import make_home
from runner.store.rows import Event
from runner.store.sql import open_store
from runner.undoing import NothingToUndo, check_undoable
from tests.conftest import SOAK
from tests.reports.test_formats import SCHEMA, whole
from tests.runner.fleet import inventory_of
from tests.runner.repairs import PROBE, Bench, hosts_folder

SET = """
playbook: set-it
title: {en: Set it, ru: Настроить}
kind: repair
maintenance: corrective
platforms: [linux]
tier: L2
risk: reversible
fixes: [mark-bad]
needs: [mark]
params:
  word: {type: string, default: bad}
steps:
  - name: See what is set
    run: cat "$HOME/set"
    retry: read
    register: {name: was, parse: text}
  - name: {en: Set it anew, ru: Настроить заново}
    run: echo new >"$HOME/set"; echo "$word" >"$HOME/mark"; echo set >>"$HOME/effects"
    rollback:
      - name: Set it back
        vars: {before: results.was.value, mark: facts.mark.state}
        run: echo "$before" >"$HOME/set"; echo "$mark" >"$HOME/mark"; echo "back to $before" >>"$HOME/effects"
  - name: Hear that it is right
    run: '[ ! -e "$HOME/no" ]'
    retry: read
verify: [mark-bad]
"""
TAKES_BACK = SET.replace("verify: [mark-bad]", "verify: {checks: [mark-bad], on_failure: roll_back}")


@pytest.fixture
def bench() -> Iterator[Bench]:
    with hosts_folder() as folder:
        yield Bench(folder)


def put(bench: Bench, host: str, name: str, text: str) -> Path:
    """Write a file into the home of a host, as its user has it."""
    path = bench.home(host) / name
    path.write_text(text)
    if os.geteuid() == 0:
        os.chown(path, bench.user, bench.user)
    return path


def repaired(home: Path, bench: Bench, *hosts: str, text: str = SET, **params: str) -> RunRecord:
    for host in hosts:
        if not (bench.home(host) / "set").exists():
            put(bench, host, "set", "old\n")
    request = bench.asking(*hosts, playbook=bench.playbook(text), **({"params": params} if params else {}))
    with Desk.open(home, write=True, actor="anna") as desk:
        return asyncio.run(desk.repair(request, connect=bench.connect, observer=Silent()))


def undone(home: Path, bench: Bench, run: str, *hosts: str, text: str = SET, actor: str = "anna") -> RunRecord:
    request = bench.asking(*hosts, playbook=bench.playbook(text), actor=actor)
    with Desk.open(home, write=True, actor=actor) as desk:
        record = asyncio.run(desk.roll_back(run, request, connect=bench.connect, observer=Silent()))
        assert desk.record(record.run) == record
        assert desk.leases() == ()
    return record


def planned(home: Path, bench: Bench, run: str, *hosts: str, text: str = SET) -> RunRecord:
    request = bench.asking(*hosts, playbook=bench.playbook(text), only_plan=True)
    with Desk.open(home, write=True, actor="anna") as desk:
        record = asyncio.run(desk.roll_back(run, request, connect=bench.connect, observer=Silent()))
        assert desk.record(record.run) == record
    return record


def left_on(home: Path, bench: Bench, host: str) -> list[object]:
    """Return what is there of a host, and the leases that were ever taken."""
    with closing(open_store(home, write=False)) as store:
        lease = store.lease(host)
    return [*sorted((path.name, path.read_bytes()) for path in bench.home(host).rglob("*") if path.is_file()), lease]


def check_plan_in_words(record: RunRecord, first: str, code: str) -> None:
    """Hold every format of the plan of an undoing against what it has to say."""
    tongue = language(code)
    document = json.loads(render(record, audience=Audience.INTERNAL, language=code, format=Format.JSON))
    Draft202012Validator(whole(SCHEMA)).validate(document)
    plans = document["hosts"][0]["repair"]["plans"]
    assert [(one["key"], one["undoes"], one["stays"]) for one in plans] == [
        ("s3", "Hear that it is right", True),
        ("s2.r1", "Set it anew", False),
    ]
    sentence = tongue.plural(
        "Nothing was changed: this is what would be undone of run {run} on {some} of {n} host.",
        "Nothing was changed: this is what would be undone of run {run} on {some} of {n} hosts.",
        1,
        some=1,
        run=first,
    )
    named = {"en": "Set it anew", "ru": "Настроить заново"}[code]
    for kind in (Format.TEXT, Format.HTML):
        page = render(record, audience=Audience.INTERNAL, language=code, format=kind).decode()
        assert sentence in page and tongue.say("undo “{step}”: {name}", step=named, name="Set it back") in page
        assert tongue.say("cannot be undone") in page and tongue.say("the playbook says nothing that undoes it") in page
        customers = render(record, audience=Audience.CUSTOMER, language=code, format=kind).decode()
        assert sentence in customers and "db-1" not in customers


def test_a_plan_tells_what_would_be_undone_and_what_stays_and_changes_nothing(home: Path, bench: Bench) -> None:
    text = SET.replace("run: '[ ! -e \"$HOME/no\" ]'\n    retry: read", 'run: echo told >>"$HOME/effects"')
    first = repaired(home, bench, "db-1", text=text)
    before = left_on(home, bench, "db-1")
    record = planned(home, bench, first.run, "db-1", text=text)
    assert left_on(home, bench, "db-1") == before, "and no lease was taken"
    (host,) = record.hosts
    assert record.kind is RunKind.PLAN and record.repair is not None and host.repair is not None
    assert (record.repair.undoes, record.repair.planned, host.repair.change) == (first.run, True, HostChange.UNCHANGED)
    assert [(one.key, one.undoes, one.stays) for one in host.repair.plans] == [
        ("s3", "Hear that it is right", True),
        ("s2.r1", "Set it anew", False),
    ]
    assert dict(host.repair.plans[1].variables) == {"before": "old", "mark": "bad"}
    assert f"longarm run rollback {first.run} db-1" in [one.command for one in next_commands(record, language("en"))]
    for code in ("en", "ru"):
        check_plan_in_words(record, first.run, code)
    done = undone(home, bench, first.run, "db-1", text=text)
    assert done.hosts[0].repair is not None and [one.key for one in done.hosts[0].repair.undone] == ["s2.r1"]


def test_a_plan_of_undoing_says_where_it_would_be_refused(home: Path, bench: Bench) -> None:
    first = repaired(home, bench, "db-1", "db-2")
    later = repaired(home, bench, "db-1")
    record = planned(home, bench, first.run, "db-1", "db-2")
    assert [(host.outcome, host.error_kind) for host in record.hosts] == [
        (Outcome.REFUSED, "WorkedOnSince"),
        (Outcome.FINDINGS, ""),
    ]
    assert f"longarm run rollback {first.run} db-2" in [one.command for one in next_commands(record, language("en"))]
    undone(home, bench, later.run, "db-1")
    undone(home, bench, first.run, "db-2")
    with Desk.open(home, write=False) as desk:
        assert desk.record(first.run).hosts[1].repair is not None
        assert desk.record(later.run).hosts[0].repair is not None
    alone = planned(home, bench, first.run, "db-2")
    assert alone.hosts[0].error_kind == "WorkedOnSince"
    assert not any("rollback" in one.command for one in next_commands(alone, language("en")))
    assert any(one.command.startswith("longarm run show ") for one in next_commands(alone, language("en"))[:-1])


def test_why_nothing_can_be_undone_is_told_host_by_host(home: Path, bench: Bench) -> None:
    put(bench, "db-1", "set", "old\n")
    bench.mark("db-1", "good")  # nothing to do
    taken_back = repaired(home, bench, "db-1", "db-2", text=TAKES_BACK)
    for ask in (undone, planned):
        with pytest.raises(NothingToUndo) as raised:
            ask(home, bench, taken_back.run, "db-1", "db-2", "db-3", text=TAKES_BACK)
        assert str(raised.value) == (
            f"nothing that run {taken_back.run} did there can be undone: db-1: nothing was changed there; "
            "db-2: undoing it was begun by the run itself; db-3: it was none of its hosts"
        )


def test_what_was_not_proved_is_offered_and_undone_afterwards_once(home: Path, bench: Bench) -> None:
    first = repaired(home, bench, "db-1", "db-2")
    assert [(host.outcome, host.repair and host.repair.undoable) for host in first.hosts] == [
        (Outcome.FINDINGS, ("Set it anew",)),
        (Outcome.FINDINGS, ("Set it anew",)),
    ]
    assert f"longarm run rollback {first.run} db-1,db-2" in [one.command for one in next_commands(first, language("en"))]
    record = undone(home, bench, first.run, "db-1")
    (host,) = record.hosts
    assert (bench.home("db-1") / "set").read_text() == "old\n"
    assert bench.effects("db-1") == ["set", "back to old"] and bench.effects("db-2") == ["set"]
    assert host.repair is not None and record.repair is not None
    assert (record.repair.undoes, host.outcome, host.repair.change) == (first.run, Outcome.FINDINGS, HostChange.ROLLED_BACK)
    assert host.repair.steps == () and [(one.key, one.state) for one in host.repair.undone] == [("s2.r1", StepState.CHANGED)]
    assert [one.fix for one in host.repair.verdicts] == [Fix.UNCHANGED]
    with Desk.open(home, write=False) as desk:
        again = desk.record(first.run)
        assert [row.detail for row in desk.audit(record.run) if row.action == "run.started"] == [f"set-it: undoes {first.run}"]
    assert [host.repair and host.repair.since for host in again.hosts] == [record.run, None]
    assert f"longarm run rollback {first.run} db-2" in [one.command for one in next_commands(again, language("en"))]
    second = undone(home, bench, first.run, "db-1", "db-2")
    assert [host.outcome for host in second.hosts] == [Outcome.REFUSED, Outcome.FINDINGS]
    assert str(second.hosts[0].error) == f"run {record.run} has worked on db-1 since run {first.run}"
    assert bench.effects("db-1") == ["set", "back to old"] and bench.effects("db-2") == ["set", "back to old"]
    leads_to(second, record)


def leads_to(refused: RunRecord, since: RunRecord) -> None:
    """Assert that what comes next after a refusal is the run that has worked there since: to try again is refused again."""
    told = [one.command for one in next_commands(refused, language("en"))]
    assert f"longarm run show {since.run}" in told and not any("rollback" in one for one in told)


def test_what_a_loop_did_is_undone_by_its_items_although_what_was_read_is_understood_otherwise_by_now(
    home: Path, bench: Bench
) -> None:
    """A newer parser makes another list of the same evidence."""
    first = repaired(home, bench, "db-1", text=EACH)
    understood_otherwise(bench)
    plans = planned(home, bench, first.run, "db-1", text=EACH).hosts[0].repair
    items = [{"item": "bad-last"}, {"item": "middle"}, {"item": "bad"}]
    assert plans is not None and [plan.variables for plan in plans.plans] == items
    undone(home, bench, first.run, "db-1", text=EACH)
    assert bench.effects("db-1")[3:] == ["undid bad-last", "undid middle", "undid bad"]


EACH = (
    SET.partition("steps:")[0]
    + """steps:
  - name: Do it
    run: echo "did $item" >>"$HOME/effects"
    loop: '[facts.mark.state, "middle", facts.mark.state + "-last"]'
    rollback: [{name: Undo it, run: 'echo "undid $item" >>"$HOME/effects"'}]
verify: [mark-bad]
"""
)


def understood_otherwise(bench: Bench) -> None:
    """Let a newer parser make other facts of the same evidence."""

    def newer(answer: Answer) -> Facts:
        return {"state": "worse", "at": whole_answer("mark", answer)}

    bench.library = replace(bench.library, probes={PROBE.id: replace(PROBE, parse=newer)})


def test_a_loop_that_was_stopped_goes_on_by_the_list_on_disk_and_is_undone_by_it(
    home: Path, bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    playbook, intend = bench.playbook(EACH), StoreJournal.intend
    with Desk.open(home, write=True, actor="anna") as desk:

        async def stopping(journal: StoreJournal, intent: Intent) -> None:
            await intend(journal, intent)
            if intent.key == "s1.i2":
                desk.stop()

        with monkeypatch.context() as patched:
            patched.setattr(StoreJournal, "intend", stopping)
            request = bench.asking("db-1", playbook=playbook)
            stopped = asyncio.run(desk.repair(request, connect=bench.connect, observer=Silent()))
        assert stopped.state is RunState.INTERRUPTED
        understood_otherwise(bench)
        rest = RestRequest(
            inventory=inventory_of(bench.selection("db-1")),
            library=bench.library,
            playbook=playbook,
            secrets={},
            operator=FakeOperator(),
        )
        resuming = desk.resume_repair(stopped.run, rest, connect=bench.connect, observer=Silent())
        record = asyncio.run(resuming)
    assert record.hosts[0].repair is not None and record.hosts[0].repair.undoable == ("Do it",)
    assert bench.effects("db-1") == ["did bad", "did middle", "did bad-last"]
    with closing(open_store(home, write=False)) as store:
        kept = store.run(stopped.run)
    assert kept is not None
    lists = [(line.event, line.key, line.data["items"]) for line in kept.journal if line.data["items"]]
    assert lists == [(Event.INTENT, "s1.i1", {"s1": 3, "s1.i1": "bad", "s1.i2": "middle", "s1.i3": "bad-last"})]
    undone(home, bench, stopped.run, "db-1", text=EACH)
    assert bench.effects("db-1")[3:] == ["undid bad-last", "undid middle", "undid bad"]


def test_undoing_is_not_offered_where_it_would_be_refused_since_items_were_not_kept(home: Path, bench: Bench) -> None:
    first = repaired(home, bench, "db-1", text=EACH)
    with closing(open_store(home, write=False)) as store:
        kept = store.run(first.run)
    assert kept is not None and kept.run.request["undo_by_item"] == ["s1"]
    assert host_repair(kept.run, kept.hosts[0], kept.journal, []).undoable == ("Do it",)
    earlier = [replace(line, data={name: one for name, one in line.data.items() if name != "items"}) for line in kept.journal]
    old = replace(kept.run, request={name: one for name, one in kept.run.request.items() if name != "undo_by_item"})
    for run in (kept.run, old):
        assert host_repair(run, kept.hosts[0], earlier, []).undoable == ()
        with pytest.raises(NothingToUndo, match="db-1: for which item of its loop “Do it” was done there is not kept"):
            check_undoable(replace(kept, run=run, journal=tuple(earlier)), bench.playbook(EACH), bench.selection("db-1").hosts)
    unnamed = replace(kept.run, request={**kept.run.request, "undo_by_item": []})
    assert host_repair(unnamed, kept.hosts[0], earlier, []).undoable == ("Do it",), "what undoes it names no item"


def test_an_undoing_that_longarm_itself_refuses_is_told_as_that(
    home: Path, bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("_forms", "_packed_forms"):
        monkeypatch.setattr(MASKER, name, getattr(MASKER, name))
    MASKER.learn(Secret("a-token-that-was-set"))
    put(bench, "db-1", "set", "a-token-that-was-set\n")
    first = repaired(home, bench, "db-1")
    record = undone(home, bench, first.run, "db-1")
    (host,) = record.hosts
    assert host.repair is not None and (host.repair.change, host.repair.undone) == (HostChange.UNCHANGED, ())
    assert (host.outcome, host.error_kind) == (Outcome.REFUSED, "UndoingRefused")
    assert str(host.error) == "what it needs was masked as a secret, and is not kept"
    assert exit_code([host.outcome], None, FailOn.WARNING, kept_off=host.error_kind in KEPT_OFF) == 5
    assert bench.effects("db-1") == ["set"]


async def test_a_journal_keeps_no_secret_of_an_item_nor_of_a_name_of_a_value(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("_forms", "_packed_forms"):
        monkeypatch.setattr(MASKER, name, getattr(MASKER, name))
    MASKER.learn(Secret("hunter2hunter2"))
    make_home(home)
    with closing(open_store(home, write=True)) as store:
        begun(store, 1)
        journal = StoreJournal(store, RUN, 0, lambda: datetime.now(UTC))
        hidden = {"s1": 3, "s1.i1": {"hunter2hunter2": 1}, "s1.i2": ["x hunter2hunter2"], "s1.i3": "plain"}
        await journal.intend(Intent(key="s1.i1", ident="a.s1.i1.1", attempt=1, items=hidden))
        end = StepResult(key="s1.i1", name="A", action="python", state=StepState.OK, items=hidden)
        await journal.end(replace(end, data={"value": {"hunter2hunter2": "x"}}))
        await journal.settled()
        whole_run = store.run(RUN)
    assert whole_run is not None and not [line for line in whole_run.journal if "hunter2" in json.dumps(dict(line.data))]
    assert [line.data["items"] for line in whole_run.journal] == [{"s1": 3, "s1.i3": "plain"}] * 2
    assert whole_run.journal[1].data["data"] == {"value": {"***": "x"}}
    assert StoreJournal(store, RUN, 0, lambda: datetime.now(UTC), whole_run.journal).listed("s1") == [UNKNOWN, UNKNOWN, "plain"]


def test_a_plan_and_what_had_nothing_to_do_are_told_only_what_came_after_them(home: Path, bench: Bench) -> None:
    first = repaired(home, bench, "db-1", word="good")
    plan = planned(home, bench, first.run, "db-1")
    idle = repaired(home, bench, "db-1", word="good")
    assert [one.hosts[0].repair and one.hosts[0].repair.since for one in (first, plan, idle)] == [None, None, None]
    undoing = undone(home, bench, first.run, "db-1")
    with Desk.open(home, write=False) as desk:
        hosts = [desk.record(one.run).hosts[0] for one in (first, plan, idle, undoing)]
    assert [host.repair and host.repair.since for host in hosts] == [undoing.run] * 3 + [None]


def test_what_was_undone_is_shown_where_nothing_proves_it(home: Path, bench: Bench) -> None:
    text = SET.replace("kind: repair", "kind: patch").replace("fixes: [mark-bad]\n", "").replace("verify: [mark-bad]\n", "")
    first = repaired(home, bench, "db-1", text=text)
    record = undone(home, bench, first.run, "db-1", text=text)
    for kind in (Format.TEXT, Format.HTML):
        assert "undo: Set it back" in render(record, audience=Audience.INTERNAL, language="en", format=kind).decode()


def test_where_a_step_stops_the_playbook_what_was_done_before_can_be_undone(home: Path, bench: Bench) -> None:
    put(bench, "db-1", "no", "")
    first = repaired(home, bench, "db-1", word="good")
    (host,) = first.hosts
    assert (host.outcome, host.repair and host.repair.change) == (Outcome.FAILED, HostChange.PARTLY)
    record = undone(home, bench, first.run, "db-1")
    assert record.hosts[0].repair is not None
    assert record.hosts[0].repair.change is HostChange.ROLLED_BACK
    assert [one.fix for one in record.hosts[0].repair.verdicts] == [Fix.NEW], "the finding is there again, and said to be"
    assert (bench.home("db-1") / "mark").read_text() == "bad\n", "facts are those with which the repair began"


def test_a_playbook_that_says_so_takes_back_what_is_not_proved(home: Path, bench: Bench) -> None:
    record = repaired(home, bench, "db-1", text=TAKES_BACK)
    (host,) = record.hosts
    assert host.repair is not None
    assert (host.outcome, host.repair.change) == (Outcome.FINDINGS, HostChange.ROLLED_BACK)
    assert bench.effects("db-1") == ["set", "back to old"]
    assert [one.fix for one in host.repair.verdicts] == [Fix.UNCHANGED]
    assert (host.repair.samples, host.repair.undoable) == (1, ())
    proved = repaired(home, bench, "db-2", text=TAKES_BACK, word="good")
    assert proved.hosts[0].repair is not None
    assert (proved.hosts[0].outcome, proved.hosts[0].repair.change) == (Outcome.OK, HostChange.CHANGED)
    assert bench.effects("db-2") == ["set"]
    blind = repaired(home, bench, "db-3", text=TAKES_BACK, word="?")
    assert blind.hosts[0].outcome is Outcome.INCOMPLETE
    assert bench.effects("db-3") == ["set"], "what cannot be seen is not undone by itself, but offered"
    assert f"longarm run rollback {blind.run} db-3" in [one.command for one in next_commands(blind, language("en"))]


def test_a_recording_has_the_proof_and_what_was_taken_back_and_replays_whole(home: Path, bench: Bench) -> None:
    told = list[Recording]()
    for host, word in (("db-1", "bad"), ("db-2", "good")):
        put(bench, host, "set", "old\n")
        playbook = bench.playbook(TAKES_BACK.replace("{checks:", "{samples: 2, every: 1s, checks:"))
        request = bench.asking(host, playbook=playbook, params={"word": word}, recorded=told.append)
        with Desk.open(home, write=True, actor="anna") as desk:
            asyncio.run(desk.repair(request, connect=bench.connect, observer=Silent()))
    folder = bench.folder / "scenarios"
    (folder / "evidence").mkdir(parents=True)
    for name, data in (pair for one in told for pair in one.evidence.items()):
        (folder / name).write_bytes(data)
        assert b"db-1" not in data and b"db-2" not in data
    file, text = scenarios_of(bench.folder / "playbook.yaml"), "".join(one.scenario for one in told)
    file.write_text(text)
    taken_back, proved = load_scenarios(file, playbook, bench.library)
    assert (taken_back.expected.undone, taken_back.expected.change) == ({"s2.r1": "changed"}, "rolled_back")
    assert [len(one.after) for one in (taken_back, proved)] == [2, 2]
    assert [one.expected.verdicts for one in (taken_back, proved)] == [{"mark-bad": "unchanged"}, {"mark-bad": "fixed"}]
    results = [run_scenario(one, playbook, bench.library) for one in (taken_back, proved)]
    assert [(one.problems, one.faults) for one in results] == [((), 12), ((), 6)], "the undoing is made to fail too"
    file.write_text(text.replace("s2.r1: changed", "s2.r1: failed").replace("mark-bad: fixed", "mark-bad: unchanged"))
    results = [run_scenario(one, playbook, bench.library) for one in load_scenarios(file, playbook, bench.library)]
    assert [len(one.problems) for one in results] == [1, 1], "and what it expects is what is looked at"


def cut_off(home: Path, run: str) -> None:
    """Let a run have lost its process right before its hosts' ends were on disk."""
    with closing(sqlite3.connect(home / "longarm.db")) as store:
        store.execute("UPDATE run SET state = 'interrupted', ended_at = NULL WHERE id = ?", (run,))
        store.execute("UPDATE host_run SET outcome = 'interrupted', change = NULL WHERE run = ?", (run,))
        store.commit()


def resumed(
    home: Path, bench: Bench, run: str, *hosts: str, text: str = SET, operator: FakeOperator | None = None
) -> tuple[RunRecord, list[str]]:
    """Go on with a run; return its record and the questions that were asked for it."""
    asked: list[str] = []

    class Asking(LocalSession):
        async def ask(self, questions: Sequence[Question], *, deadline_s: float) -> Mapping[str, Answer]:
            asked.extend(question.id for question in questions)
            return await super().ask(questions, deadline_s=deadline_s)

    @asynccontextmanager
    async def connect(host: Host) -> AsyncIterator[Session]:
        session = Asking(host, shell=bench.shell(host.name))
        try:
            yield session
        finally:
            await session.leave()

    with Desk.open(home, write=True, actor="anna") as desk:
        rest = desk.resume_repair(
            run,
            RestRequest(
                inventory=inventory_of(bench.selection(*hosts)),
                library=bench.library,
                playbook=bench.playbook(text),
                secrets={},
                operator=operator or FakeOperator(),
            ),
            connect=connect,
            observer=Silent(),
        )
        return asyncio.run(rest), asked


def test_what_was_asked_once_it_was_taken_back_is_not_asked_again_where_the_run_goes_on(home: Path, bench: Bench) -> None:
    first = repaired(home, bench, "db-1", text=TAKES_BACK)
    cut_off(home, first.run)
    bench.mark("db-1", "good")  # what somebody else did since is not what the repair came to
    record, asked = resumed(home, bench, first.run, "db-1", text=TAKES_BACK)
    (host,) = record.hosts
    assert host.repair is not None and first.hosts[0].diagnosis is not None
    assert "mark" not in asked and host.diagnosis == first.hosts[0].diagnosis
    assert (host.outcome, host.repair.change) == (Outcome.FINDINGS, HostChange.ROLLED_BACK)
    assert bench.effects("db-1") == ["set", "back to old"]
    with closing(open_store(home, write=False)) as store:
        kept = store.run(first.run)
    assert kept is not None and [sample.number for sample in kept.samples] == [0, 1, 2]


def test_an_answer_that_is_kept_is_not_asked_for_again_where_the_run_goes_on(home: Path, bench: Bench) -> None:
    ask = "steps:\n  - ask: {question: {en: Sure?, ru: Точно?}, answer: {type: string}}\n    name: Sure\n"
    text = SET.replace("steps:\n", ask)
    put(bench, "db-1", "set", "old\n")
    request = bench.asking("db-1", playbook=bench.playbook(text), operator=FakeOperator({"s1": ["yes"]}))
    with Desk.open(home, write=True, actor="anna") as desk:
        first = asyncio.run(desk.repair(request, connect=bench.connect, observer=Silent()))
    cut_off(home, first.run)
    record, _ = resumed(home, bench, first.run, "db-1", text=text, operator=FakeOperator(present=False))
    (host,) = record.hosts
    assert host.repair is not None and host.repair.steps[0].data == {"answer": "yes"}
    assert bench.effects("db-1") == ["set"]
    with closing(sqlite3.connect(home / "longarm.db")) as store:
        store.execute("DELETE FROM journal WHERE run = ?", (first.run,))
        store.commit()
    cut_off(home, first.run)
    with pytest.raises(UsageError, match="step “Sure” asks somebody, and nobody is there"):
        resumed(home, bench, first.run, "db-1", text=text, operator=FakeOperator(present=False))


def test_what_was_proved_is_undone_only_where_its_host_is_named(home: Path, bench: Bench) -> None:
    first = repaired(home, bench, "db-1", word="good")
    assert not any("rollback" in one.command for one in next_commands(first, language("en")))
    record = undone(home, bench, first.run, "db-1")
    assert bench.effects("db-1") == ["set", "back to old"]
    assert record.hosts[0].repair is not None and [one.fix for one in record.hosts[0].repair.verdicts] == [Fix.NEW]


def test_where_another_run_has_worked_since_nothing_is_undone(home: Path, bench: Bench) -> None:
    first = repaired(home, bench, "db-1")
    later = repaired(home, bench, "db-1")
    record = undone(home, bench, first.run, "db-1")
    assert (record.hosts[0].outcome, record.hosts[0].error_kind) == (Outcome.REFUSED, "WorkedOnSince")
    leads_to(record, later)
    assert bench.effects("db-1") == ["set", "set"]
    undone(home, bench, later.run, "db-1")
    assert bench.effects("db-1") == ["set", "set", "back to new"]


def test_a_run_that_had_nothing_to_do_there_keeps_nothing_from_being_undone(home: Path, bench: Bench) -> None:
    first = repaired(home, bench, "db-1", word="good")
    idle = repaired(home, bench, "db-1", word="good")
    assert idle.hosts[0].repair is not None and idle.hosts[0].repair.steps == ()
    assert undone(home, bench, first.run, "db-1").hosts[0].outcome is not Outcome.REFUSED
    assert bench.effects("db-1") == ["set", "back to old"]


def test_what_was_to_undo_is_not_tried_again_by_doing_it_anew(home: Path, bench: Bench) -> None:
    first = repaired(home, bench, "db-1")
    bench.down.add("db-1")
    failed = undone(home, bench, first.run, "db-1")
    commands = [one.command for one in next_commands(failed, language("en"))]
    assert f"longarm run rollback {first.run} db-1" in commands and not any("retry" in one for one in commands)
    bench.down.clear()
    request = bench.asking("db-1", playbook=bench.playbook(SET), retries=failed.run)
    with Desk.open(home, write=True, actor="anna") as desk, pytest.raises(NotResumable, match="undone by another one"):
        asyncio.run(desk.repair(request, connect=bench.connect, observer=Silent()))
    assert bench.effects("db-1") == ["set"]


def test_no_more_hosts_at_once_are_tried_again_or_undone_than_were_repaired(home: Path, bench: Bench) -> None:
    book = bench.playbook(SET)
    for host in ("db-1", "db-2"):
        put(bench, host, "set", "old\n")
    with Desk.open(home, write=True, actor="anna") as desk:
        plan = bench.asking("db-1", "db-2", playbook=book, concurrency=1, only_plan=True)
        told = asyncio.run(desk.repair(plan, connect=bench.connect, observer=Silent()))
        first = asyncio.run(desk.repair(replace(plan, only_plan=False), connect=bench.connect, observer=Silent()))
        again = bench.asking("db-1", "db-2", playbook=book, retries=first.run)
        assert again.concurrency > 1
        retried = asyncio.run(desk.repair(again, connect=bench.connect, observer=Silent()))
    back = undone(home, bench, retried.run, "db-1", "db-2")
    assert [run.repair and run.repair.concurrency for run in (told, first, retried, back)] == [1] * 4
    (does,) = [one.command for one in next_commands(told, language("en")) if one.why == "do it"]
    assert "--concurrency 1" in does


def test_what_was_pruned_is_not_undone_with_empty_values(home: Path, bench: Bench) -> None:
    first = repaired(home, bench, "db-1")
    with Desk.open(home, write=True, actor="anna") as desk:
        desk.prune(desk.prunable(older_than=None, keep=0, cases=True))
        assert [host.repair and host.repair.undoable for host in desk.record(first.run).hosts] == [()]
    with pytest.raises(NothingToUndo, match="was pruned"):
        undone(home, bench, first.run, "db-1")


def test_a_host_that_could_not_be_reached_or_was_lost_before_anything_began_is_tried_again(
    home: Path, bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def lost(*_: object) -> None:
        raise ConnectFailed("db-1", "it is gone")

    first = repaired(home, bench, "db-1")
    bench.down.add("db-1")
    assert undone(home, bench, first.run, "db-1").hosts[0].outcome is Outcome.UNREACHABLE
    bench.down.clear()
    with monkeypatch.context() as patched:
        patched.setattr(Repairing, "_sample", lost)  # it had the lease by then
        assert undone(home, bench, first.run, "db-1").hosts[0].outcome is Outcome.UNREACHABLE
    assert undone(home, bench, first.run, "db-1").hosts[0].outcome is Outcome.FINDINGS
    assert bench.effects("db-1") == ["set", "back to old"]


def test_only_what_was_done_by_the_same_playbook_and_has_ended_is_undone(home: Path, bench: Bench) -> None:
    first = repaired(home, bench, "db-1")
    with pytest.raises(NotResumable, match="is not what run"):
        undone(home, bench, first.run, "db-1", text=SET + "# another\n")
    with pytest.raises(NothingToUndo, match="db-2"):
        undone(home, bench, first.run, "db-2")
    done = undone(home, bench, first.run, "db-1")
    with pytest.raises(NotResumable, match="no repair that could be undone"):
        undone(home, bench, done.run, "db-1")
    taken_back = repaired(home, bench, "db-3", text=TAKES_BACK)
    with pytest.raises(NothingToUndo):
        undone(home, bench, taken_back.run, "db-3", text=TAKES_BACK)
    assert bench.effects("db-1") == ["set", "back to old"] and bench.effects("db-3") == ["set", "back to old"]
    fourth = repaired(home, bench, "db-4")
    (moved,) = bench.selection("db-4").hosts
    theirs = bench.asking("db-4", playbook=bench.playbook(SET))
    theirs = replace(theirs, selection=replace(theirs.selection, hosts=(replace(moved, customer="zeta"),)))
    with Desk.open(home, write=True, actor="anna") as desk, pytest.raises(NotResumable, match="db-4 belonged to acme"):
        asyncio.run(desk.roll_back(fourth.run, theirs, connect=bench.connect, observer=Silent()))


def test_an_undoing_that_fails_says_so_and_touches_nothing_more(home: Path, bench: Bench) -> None:
    text = SET.replace('run: echo "$before"', 'run: exit 3; echo "$before"')
    first = repaired(home, bench, "db-1", text=text)
    record = undone(home, bench, first.run, "db-1", text=text)
    (host,) = record.hosts
    assert host.repair is not None
    assert (host.outcome, host.repair.change) == (Outcome.FAILED, HostChange.PARTLY)
    assert str(host.error) == "step “Set it back”: it ended with status 3"


@pytest.mark.parametrize("code", ["en", "ru"])
def test_reports_tell_what_was_undone_and_what_stands(home: Path, bench: Bench, code: str) -> None:
    first = repaired(home, bench, "db-1")
    record, tongue = undone(home, bench, first.run, "db-1"), language(code)
    document = json.loads(render(record, audience=Audience.INTERNAL, language=code, format=Format.JSON))
    Draft202012Validator(whole(SCHEMA)).validate(document)
    assert (document["repair"]["undoes"], document["hosts"][0]["repair"]["undone"][0]["key"]) == (first.run, "s2.r1")
    sentence = tongue.plural(
        "What run {run} did is undone on {some} of {n} host.",
        "What run {run} did is undone on {some} of {n} hosts.",
        1,
        some=1,
        run=first.run,
    )
    for kind in (Format.TEXT, Format.HTML):
        page = render(record, audience=Audience.INTERNAL, language=code, format=kind).decode()
        assert sentence in page and tongue.say("there still") in page
        customers = render(record, audience=Audience.CUSTOMER, language=code, format=kind).decode()
        assert sentence in customers and "db-1" not in customers
    offer = render(first, audience=Audience.INTERNAL, language=code, format=Format.HTML).decode()
    assert f"longarm run rollback {first.run} db-1" in offer
    assert tongue.say("can be undone: {steps}", steps={"en": "Set it anew", "ru": "Настроить заново"}[code]) in offer


def test_a_run_that_an_earlier_release_kept_is_read_and_has_nothing_to_undo(home: Path, bench: Bench) -> None:
    """Its journal and what was asked for lack what has been kept since; its report stays what it was, byte by byte."""
    first = repaired(home, bench, "db-1")
    with closing(open_store(home, write=False)) as store:
        kept = store.run(first.run)
    assert kept is not None
    since = {"undo", "undo_by_item", "undoes", "not_while"}
    old = replace(kept.run, request={name: value for name, value in kept.run.request.items() if name not in since})
    lines = [replace(line, data={name: value for name, value in line.data.items() if name != "sent"}) for line in kept.journal]
    told = host_repair(old, kept.hosts[0], lines, [])
    assert (told.undoable, told.change, [step.sent for step in told.steps]) == ((), HostChange.CHANGED, [0, 0, 0])
    assert run_repair(replace(kept, run=old), [told]).undoes == ""
    with pytest.raises(NothingToUndo):
        check_undoable(replace(kept, run=old, journal=tuple(lines)), bench.playbook(SET), bench.selection("db-1").hosts)
    with Desk.open(home, write=False) as desk:
        again = desk.record(first.run)
    for kind in Format:
        pages = [render(one, audience=Audience.INTERNAL, language="en", format=kind) for one in (first, again)]
        assert pages[0] == pages[1]


def test_repairs_that_follow_each_other_leave_no_descriptor_and_no_thread(home: Path, bench: Bench) -> None:
    def held() -> tuple[int, int]:
        gc.collect()
        return len(list(Path("/proc/self/fd").iterdir())), threading.active_count()

    rounds = 300 if SOAK else 4
    repaired(home, bench, "db-1")
    before = held()
    for _ in range(rounds):
        undone(home, bench, repaired(home, bench, "db-1").run, "db-1")
    assert held() == before
    assert len(bench.effects("db-1")) == 1 + 2 * rounds
