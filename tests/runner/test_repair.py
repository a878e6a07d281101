"""Repairs on real shells: asked before, done once, asked again, and told as it was."""

from __future__ import annotations

import asyncio
import json
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from jsonschema import Draft202012Validator

from inventory.host import Host
from playbooks.results import HostChange, StepState
from playbooks.testing import FakeOperator
from playbooks.verdicts import Fix
from reports.language import language
from reports.render import Audience, Format, render
from reports.repairs import FIXES
from runner.desk import Desk
from runner.observer import Silent
from runner.outcome import FailOn, Outcome, RunKind, RunState, exit_code
from runner.record import RunRecord
from runner.request import NotResumable, RepairRequest
from runner.store.changes import Journalled, TakeLease
from runner.store.opening import make_home
from runner.store.rows import Event
from runner.store.sql import open_store
from tests.reports.test_formats import SCHEMA, whole
from tests.runner.fleet import inventory_of
from tests.runner.repairs import MEND, Bench

if TYPE_CHECKING:
    from tests.runner.conftest import Rows


@pytest.fixture
def bench() -> Iterator[Bench]:
    with tempfile.TemporaryDirectory() as folder:
        yield Bench(Path(folder))


def repaired(home: Path, bench: Bench, request: RepairRequest) -> RunRecord:
    with Desk.open(home, write=True, actor="anna") as desk:
        record = asyncio.run(desk.repair(request, connect=bench.connect, observer=Silent()))
        assert desk.record(record.run) == record
        assert desk.leases() == ()
    return record


def test_a_repair_is_proved_by_the_same_questions(home: Path, bench: Bench) -> None:
    record = repaired(home, bench, bench.asking("db-1", case="DEMO-1"))
    (host,) = record.hosts
    assert (record.state, record.kind, host.outcome, host.error) == (RunState.ENDED, RunKind.REPAIR, Outcome.OK, None)
    assert bench.effects("db-1") == ["one", "two"]
    repair = host.repair
    assert repair is not None
    assert (repair.change, repair.samples, [one.fix for one in repair.verdicts]) == (HostChange.CHANGED, 1, [Fix.FIXED])
    assert [(step.name, step.state, step.stdout) for step in repair.steps] == [
        ("Note the effect", StepState.CHANGED, b""),
        ("Write the mark", StepState.CHANGED, b"written\n"),
    ]
    assert repair.verdicts[0].before is not None
    assert repair.before is not None
    assert [quote.lines for quotes in repair.before_quotes.values() for quote in quotes] == [("bad",)]
    assert record.repair is not None
    assert record.repair.params == {"word": "good"}
    assert [delivery.kind for delivery in record.deliveries] == ["repair"]
    left = [path.name for path in bench.home("db-1").rglob("*") if path.is_file() and path.name not in ("mark", "effects")]
    assert left == ["fence"], "nothing but the fence file stays on a host"


def test_without_a_finding_nothing_is_done(home: Path, bench: Bench) -> None:
    bench.mark("db-1", "good")
    record = repaired(home, bench, bench.asking("db-1"))
    (host,) = record.hosts
    assert host.repair is not None
    assert (host.outcome, host.repair.change, bench.effects("db-1")) == (Outcome.OK, HostChange.UNCHANGED, [])
    assert str(host.error) == "nothing was done: there is no finding that it is for (mark-bad)"
    forced = repaired(home, bench, bench.asking("db-1", forced="the customer wants it"))
    assert bench.effects("db-1") == ["one", "two"]
    assert forced.hosts[0].repair is not None
    assert "forced" in forced.hosts[0].repair.flags


def test_what_cannot_be_seen_is_not_repaired(home: Path, bench: Bench) -> None:
    bench.mark("db-1", "?")
    record = repaired(home, bench, bench.asking("db-1"))
    assert (record.hosts[0].outcome, bench.effects("db-1")) == (Outcome.INCOMPLETE, [])


def test_a_repair_that_does_not_help_says_so(home: Path, bench: Bench) -> None:
    playbook = bench.playbook(MEND.replace("default: good", "default: bad"))
    record = repaired(home, bench, bench.asking("db-1", playbook=playbook))
    (host,) = record.hosts
    assert host.repair is not None
    assert (host.outcome, host.repair.change) == (Outcome.FINDINGS, HostChange.CHANGED)
    assert [one.fix for one in host.repair.verdicts] == [Fix.UNCHANGED]


def test_a_repair_that_blinds_says_so(home: Path, bench: Bench) -> None:
    playbook = bench.playbook(MEND.replace("default: good", "default: '?'"))
    record = repaired(home, bench, bench.asking("db-1", playbook=playbook))
    assert record.hosts[0].repair is not None
    assert (record.hosts[0].outcome, [one.fix for one in record.hosts[0].repair.verdicts]) == (
        Outcome.INCOMPLETE,
        [Fix.VISIBILITY_LOST],
    )


def test_every_host_is_accounted_for_whatever_becomes_of_it(home: Path, bench: Bench) -> None:
    playbook = bench.playbook(MEND.replace('echo "one" >>"$HOME/effects"', 'echo one >>"$HOME/effects"; [ ! -e "$HOME/no" ]'))
    (bench.home("db-2") / "no").touch()
    bench.mark("db-3", "good")
    bench.down.add("db-4")
    record = repaired(home, bench, bench.asking("db-1", "db-2", "db-3", "db-4", playbook=playbook))
    told = {host.host: (host.outcome, host.repair.change if host.repair else None) for host in record.hosts}
    assert told == {
        "db-1": (Outcome.OK, HostChange.CHANGED),
        "db-2": (Outcome.FAILED, HostChange.PARTLY),
        "db-3": (Outcome.OK, HostChange.UNCHANGED),
        "db-4": (Outcome.UNREACHABLE, HostChange.UNCHANGED),
    }
    assert record.repair is not None
    assert sum(record.repair.changes.values()) == 4
    assert bench.effects("db-2") == ["one"]


def test_a_plan_changes_nothing_and_says_what_it_would_do(home: Path, bench: Bench) -> None:
    record = repaired(home, bench, bench.asking("db-1", only_plan=True))
    (host,) = record.hosts
    assert (record.kind, host.outcome, bench.effects("db-1")) == (RunKind.PLAN, Outcome.FINDINGS, [])
    assert host.repair is not None
    assert host.repair.change is HostChange.UNCHANGED
    assert [(plan.name, plan.forecast.changes) for plan in host.repair.plans] == [
        ("Note the effect", None),
        ("Write the mark", None),
    ]
    assert not list(bench.home("db-1").rglob("fence"))


@pytest.mark.parametrize("code", ["en", "ru"])
def test_the_report_of_a_repair_holds_to_its_schema_and_shows_both_sides(home: Path, bench: Bench, code: str) -> None:
    """Here, since what it is made from is here: a real repair with a verdict of each kind, and what was left alone."""
    playbook = bench.playbook(MEND.replace('echo "$word" >"$HOME/mark"', 'cp "$HOME/next" "$HOME/mark" || rm "$HOME/mark"'))
    for host, following in {"db-1": "good", "db-2": "bad", "db-3": None, "db-4": "good"}.items():
        if following is not None:
            (bench.home(host) / "next").write_text(f"{following}\n")
        bench.home(host)
    bench.mark("db-4", "good")
    record = repaired(home, bench, bench.asking("db-1", "db-2", "db-3", "db-4", playbook=playbook))
    document = json.loads(render(record, audience=Audience.INTERNAL, language=code, format=Format.JSON))
    Draft202012Validator(whole(SCHEMA)).validate(document)
    fixes = [[one["fix"] for one in host["repair"]["verdicts"]] for host in document["hosts"]]
    assert fixes == [["fixed"], ["unchanged"], ["visibility_lost"], []]
    page = render(record, audience=Audience.INTERNAL, language=code, format=Format.HTML).decode()
    text = render(record, audience=Audience.INTERNAL, language=code, format=Format.TEXT).decode()
    tongue = language(code)
    for word in FIXES.values():
        if word.template != "new":
            assert tongue.say(word) in page
            assert tongue.say(word) in text
    assert tongue.plural("{some} of {n} finding is fixed.", "{some} of {n} findings are fixed.", 3, some=1) in page
    assert record.versions["playbook"] in page


def test_a_host_that_another_run_has_is_refused_and_the_others_go_on(home: Path, bench: Bench, rows: Rows) -> None:
    """That run was cut off, and nobody has asked the host yet how its command ended: it may still be running."""
    make_home(home)
    with closing(open_store(home, write=True)) as store:
        store.write(rows.begin(hosts=1))
        store.write(TakeLease(lease=rows.lease(token=7)))
        store.write(Journalled(line=rows.line(0, Event.INTENT, key="s1"))).result()
    with Desk.open(home, write=True, actor="anna") as desk:
        record = asyncio.run(desk.repair(bench.asking("db-0", "db-1"), connect=bench.connect, observer=Silent()))
        assert [lease.run for lease in desk.leases()] == [rows.run().run]
    refused, done = record.hosts
    assert (refused.outcome, refused.error_kind, done.outcome) == (Outcome.REFUSED, "HostLeased", Outcome.OK)
    assert str(refused.error) == f"db-0 is being changed by run {rows.run().run} of anna since 2026-11-22 10:47:55 UTC: mend"
    assert (bench.effects("db-0"), bench.effects("db-1")) == ([], ["one", "two"])
    assert exit_code([host.outcome for host in record.hosts], None, FailOn.WARNING, leased=True) == 5


class Stopping(Silent):
    """Stops the run a while after its first host was begun."""

    def __init__(self, desk: Desk, after_s: float) -> None:
        self._desk, self._after_s = desk, after_s

    def host_started(self, host: Host) -> None:
        """Stop it soon."""
        asyncio.get_running_loop().call_later(self._after_s, self._desk.stop)


def test_a_repair_that_is_stopped_goes_on_where_it_was(home: Path, bench: Bench) -> None:
    waits = 'n=0; until [ -e "$HOME/go" ] || [ "$n" -ge 600 ]; do sleep 0.1; n=$((n + 1)); done; echo "one" >>"$HOME/effects"'
    playbook = bench.playbook(MEND.replace('echo "one" >>"$HOME/effects"', waits).replace("deadline: 20s", "deadline: 100s"))
    with Desk.open(home, write=True, actor="anna") as desk:
        request = bench.asking("db-1", "db-2", playbook=playbook, concurrency=1, case="DEMO-1")
        stopped = asyncio.run(desk.repair(request, connect=bench.connect, observer=Stopping(desk, 5.0)))
        first, second = stopped.hosts
        assert (stopped.state, first.outcome, second.outcome) == (
            RunState.INTERRUPTED,
            Outcome.INTERRUPTED,
            Outcome.NOT_STARTED,
        )
        assert first.repair is not None
        assert (first.repair.change, first.repair.left_open) == (HostChange.UNKNOWN, ("Note the effect",))
        assert ([lease.host for lease in desk.leases()], stopped.deliveries) == (["db-1"], ())
        for name in ("db-1", "db-2"):
            (bench.home(name) / "go").touch()
        record = asyncio.run(
            desk.resume_repair(
                stopped.run,
                inventory=inventory_of(bench.selection("db-1", "db-2")),
                library=bench.library,
                playbook=playbook,
                secrets={},
                operator=FakeOperator(),
                connect=bench.connect,
                observer=Silent(),
            )
        )
        assert [bench.effects(name) for name in ("db-1", "db-2")] == [["one", "two"]] * 2
        assert [(host.outcome, host.repair.change if host.repair else None) for host in record.hosts] == [
            (Outcome.OK, HostChange.CHANGED)
        ] * 2
        assert (desk.leases(), len(record.deliveries)) == ((), 1)
        other = bench.playbook(MEND)
        with pytest.raises(NotResumable, match="has ended"):
            asyncio.run(
                desk.resume_repair(
                    stopped.run,
                    inventory=inventory_of(bench.selection("db-1")),
                    library=bench.library,
                    playbook=other,
                    secrets={},
                    operator=FakeOperator(),
                    connect=bench.connect,
                    observer=Silent(),
                )
            )
