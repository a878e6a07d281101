"""Repairs on real shells: asked before, done once, asked again, and told as it was."""

from __future__ import annotations

import asyncio
import json
import shlex
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from jsonschema import Draft202012Validator

from diagnostics.signed import LibraryRefused
from inventory.errors import UsageError
from inventory.host import Host
from playbooks.results import HostChange, StepState
from playbooks.testing import FakeOperator
from playbooks.verdicts import Fix
from remote.detached import DetachedCommand, Standing, State
from remote.hearing import Hearing
from remote.local import LocalSession
from remote.session import Session
from reports.language import language
from reports.render import Audience, Format, render
from reports.repairs import FIXES
from reports.summary import next_commands
from runner.desk import Desk
from runner.desk_stops import StopDesk
from runner.observer import Silent
from runner.outcome import KEPT_OFF, FailOn, Outcome, RunKind, RunState, exit_code
from runner.record import RunRecord
from runner.request import Agreed, NotResumable, RepairRequest, RestRequest
from runner.store.changes import Journalled, TakeLease
from runner.store.errors import ChangesFrozen, HostHeld
from runner.store.opening import make_home
from runner.store.rows import ApprovalState, Event, Scope
from runner.store.sql import open_store
from tests.reports.test_formats import SCHEMA, whole
from tests.runner.conftest import NOW
from tests.runner.fleet import inventory_of
from tests.runner.repairs import MEND, Bench, hosts_folder

if TYPE_CHECKING:
    from tests.runner.conftest import Rows


@pytest.fixture
def bench() -> Iterator[Bench]:
    with hosts_folder() as folder:
        yield Bench(folder)


def repaired(home: Path, bench: Bench, request: RepairRequest) -> RunRecord:
    with Desk.open(home, write=True, actor="anna") as desk:
        record = asyncio.run(desk.repair(request, connect=bench.connect, observer=Silent()))
        assert desk.record(record.run) == record
        assert desk.leases() == ()
    return record


def test_a_step_that_may_fail_hides_none_that_may_not(home: Path, bench: Bench) -> None:
    text = MEND.replace(
        "    retry: never\n    deadline: 100s\n  - name: {", "    retry: never\n    on_failure: continue\n  - name: {", 1
    )
    text = text.replace('echo "one" >>"$HOME/effects"', "exit 3").replace("echo written", "exit 4")
    record = repaired(home, bench, bench.asking("a", playbook=bench.playbook(text)))
    (host,) = record.hosts
    assert (host.outcome, str(host.error)) == (Outcome.FAILED, "step “Write the mark”: it ended with status 4")


def test_a_host_on_which_nobody_could_see_whether_a_step_is_needed_is_not_well(home: Path, bench: Bench) -> None:
    """It may be gone on behind it, and what the checks see may be mended; what the step was for is as it was."""
    unseen = "    plan: exit 2\n    retry: idempotent\n    on_failure: continue\n    deadline: 100s\n  - name: {"
    text = MEND.replace("    retry: never\n    deadline: 100s\n  - name: {", unseen, 1)
    record = repaired(home, bench, bench.asking("a", playbook=bench.playbook(text)))
    (host,) = record.hosts
    assert host.repair is not None
    assert [step.state for step in host.repair.steps] == [StepState.UNDECIDED, StepState.CHANGED]
    assert [one.fix for one in host.repair.verdicts] == [Fix.FIXED] and host.repair.change is HostChange.PARTLY
    assert host.outcome is Outcome.INCOMPLETE and str(host.error).startswith("step “Note the effect”: ")
    taken_back = MEND.replace("    retry: never\n    deadline: 100s\n  - name: {", unseen, 1).replace(
        "verify: [mark-bad]", "verify: {checks: [mark-bad], on_failure: roll_back}"
    )
    taken_back = taken_back.replace('echo "$word" >"$HOME/mark"; ', "").replace(
        "    retry: never\n", "    retry: never\n    rollback: [{run: 'true'}]\n"
    )
    record = repaired(home, bench, bench.asking("b", playbook=bench.playbook(taken_back)))
    (host,) = record.hosts
    assert host.repair is not None and host.repair.change is HostChange.ROLLED_BACK
    assert host.outcome is Outcome.INCOMPLETE


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
    assert bench.besides_the_fence("db-1") == []


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


class ClaimingSession(LocalSession):
    """A host that says of every step that it was done, in the supervisor's own words, and does none (T28)."""

    async def start(self, detached: DetachedCommand, *, wait_s: int, deadline_s: float) -> Standing:
        said = b"written\nrestart host\nstate done\nstatus 0\n"
        return Standing(id=detached.id, state=State.DONE, exit_status=0, stdout=said, whole=True)


class ClaimingBench(Bench):
    """Hosts that claim."""

    @asynccontextmanager
    async def connect(self, host: Host) -> AsyncIterator[Session]:
        """Open a session to such a host."""
        session = ClaimingSession(host, shell=self.shell(host.name))
        try:
            yield session
        finally:
            await session.leave()


def test_a_host_that_claims_success_is_not_believed_but_looked_at(home: Path) -> None:
    with hosts_folder() as folder:
        bench = ClaimingBench(folder)
        bench.home("db-1")
        record = repaired(home, bench, bench.asking("db-1"))
    (host,) = record.hosts
    assert host.repair is not None and [step.state for step in host.repair.steps] == [StepState.CHANGED] * 2
    assert (host.outcome, [one.fix for one in host.repair.verdicts]) == (Outcome.FINDINGS, [Fix.UNCHANGED])


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


def test_a_plan_that_mends_nothing_is_handed_over_and_one_by_force_goes_on_by_force(home: Path, bench: Bench) -> None:
    idle = bench.playbook(MEND.replace("    retry: never", "    unless: 'true'\n    retry: never"))
    record = repaired(home, bench, bench.asking("db-1", only_plan=True, playbook=idle))
    first = next_commands(record, language("en"))[0]
    assert first.command == f"longarm report render {record.run} --to {record.run}.html" and first.why.endswith(
        "hand it over to L3"
    )
    forced = repaired(home, bench, bench.asking("db-1", only_plan=True, forced="it's so"))
    first = next_commands(forced, language("en"))[0]
    assert first.why == "do it" and shlex.split(first.command)[-2:] == ["--force", "it's so"]


def test_a_plan_breaks_no_glass(home: Path, bench: Bench) -> None:
    record = repaired(home, bench, bench.asking("db-1", only_plan=True, break_glass="the shop is down"))
    assert record.repair is not None
    assert record.repair.break_glass == ""
    with Desk.open(home, write=False) as desk:
        assert "approval.glass_broken" not in [row.action for row in desk.audit()]


def test_glass_is_broken_once_the_repair_really_begins(home: Path, bench: Bench) -> None:
    asks = MEND.replace("steps:\n", "steps:\n  - ask: {question: {en: Sure?, ru: Точно?}, answer: {type: string}}\n")
    asked = bench.asking("db-1", playbook=bench.playbook(asks), operator=FakeOperator(present=False), break_glass="it is down")
    with pytest.raises(UsageError, match="asks somebody"):
        repaired(home, bench, asked)
    run = repaired(home, bench, bench.asking("db-1", break_glass="it is down")).run
    with Desk.open(home, write=False) as desk:
        found = [(row.action, row.run) for row in desk.audit() if row.action in ("approval.glass_broken", "run.started")]
    assert found == [("approval.glass_broken", run), ("run.started", run)]


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
    title = {"en": "Write the mark", "ru": "Записать отметку"}[code]
    assert f"<b>{title}</b>" in page and f"    {title}  " in text
    for word in FIXES.values():
        if word.template != "new":
            assert tongue.say(word) in page
            assert tongue.say(word) in text
    assert tongue.plural("{some} of {n} finding is fixed.", "{some} of {n} findings are fixed.", 3, some=1) in page
    assert record.versions["playbook"] in page


@pytest.mark.parametrize("code", ["en", "ru"])
@pytest.mark.parametrize("kind", [Format.HTML, Format.TEXT])
def test_a_customer_reads_what_was_done_and_both_sides_but_no_words_of_the_desk(
    home: Path, bench: Bench, code: str, kind: Format
) -> None:
    bench.down.add("db-3")
    bench.mark("db-2", "good")
    asking = bench.asking("db-1", "db-2", "db-3", forced="boris insists", case="RT-1", break_glass="anna: db-1 is down")
    record = repaired(home, bench, asking)
    assert record.repair is not None
    told = replace(
        record, repair=replace(record.repair, agreed=Agreed(run="r", asked_by="olga", approved_by="ivan", at=NOW, reason="ok"))
    )
    page = render(told, audience=Audience.CUSTOMER, language=code, format=kind).decode()
    title = {"en": "Write the mark", "ru": "Записать отметку"}[code]
    tongue = language(code)
    general = (
        "It was urgent: the work began without the second engineer who otherwise looks at it beforehand.",
        "A second engineer looked at it beforehand and approved it on {at}.",
        "It was done on purpose also where nothing of the kind was found.",
        "it could not be reached",
    )
    for sentence in (*general, "the mark is bad" if code == "en" else "отметка: bad", title, "RT-1", "acme"):
        assert tongue.say(sentence, at=NOW) in page, sentence
    assert tongue.plural("{some} of {n} finding is fixed.", "{some} of {n} findings are fixed.", 1, some=1) in page
    for name in ("anna", "boris", "olga", "ivan", "insists", "db-1", "db-2", "db-3", "$HOME", "127.0.0.1"):
        assert name not in page, name


def test_a_host_that_another_run_has_is_refused_and_the_others_go_on(home: Path, bench: Bench, rows: Rows) -> None:
    """That run was cut off, and nobody has asked the host yet how its command ended: it may still be running."""
    make_home(home)
    with closing(open_store(home, write=True)) as store:
        store.write(rows.begin(hosts=1))
        store.write(TakeLease(lease=rows.lease(token=7)))
        store.write(Journalled(line=rows.line(0, Event.INTENT, key="s1"))).result()
    with Desk.open(home, write=True, actor="anna", clock=lambda: rows.now + timedelta(hours=2.5)) as desk:
        record = asyncio.run(desk.repair(bench.asking("db-0", "db-1"), connect=bench.connect, observer=Silent()))
        (leased,) = desk.leased()
        assert (leased.lease.run, leased.lease.actor, leased.lease.reason) == (rows.run().run, "anna", "mend")
        assert (leased.age, leased.state) == (timedelta(hours=2.5), RunState.INTERRUPTED)
    refused, done = record.hosts
    assert (refused.outcome, refused.error_kind, done.outcome) == (Outcome.REFUSED, "HostLeased", Outcome.OK)
    said = f"db-0 is being changed by run {rows.run().run} of anna since 2026-11-22 10:47:55 UTC (2 h): mend"
    assert str(refused.error) == said
    assert (bench.effects("db-0"), bench.effects("db-1")) == ([], ["one", "two"])
    assert exit_code([host.outcome for host in record.hosts], None, FailOn.WARNING, kept_off=True) == 5


TOUCH = (
    MEND.split("steps:")[0].replace("playbook: mend", "playbook: touch")
    + """steps:
  - {name: Touch, python: 'f.py:f'}
verify: [mark-bad]
"""
)


def touched(home: Path, bench: Bench, code: str, text: str = TOUCH) -> RunRecord:
    """Return what became of a repair of db-1 by a function."""
    (bench.folder / "f.py").write_text(f"def f(connection):\n    {code}\n")
    return repaired(home, bench, bench.asking("db-1", playbook=bench.playbook(text)))


def conflicting(text: str, other: str) -> str:
    """Return a playbook that names another one with which it conflicts."""
    return text.replace("needs:", f"conflicts: [{other}]\nneeds:")


@pytest.mark.parametrize("says", ["mend", "touch"])
def test_a_repair_is_kept_off_where_nobody_knows_how_one_ended_that_it_conflicts_with(
    home: Path, bench: Bench, says: str
) -> None:
    """Either of both may name the other; nobody saw the end of the first, so it may still be at work on its host."""
    first = touched(home, bench, "raise TimeoutError", conflicting(TOUCH, "mend") if says == "touch" else TOUCH)
    assert (first.hosts[0].outcome, first.hosts[0].repair.change) == (Outcome.UNKNOWN, HostChange.UNKNOWN)  # type: ignore[union-attr]
    playbook = bench.playbook(conflicting(MEND, "touch") if says == "mend" else MEND)
    refused, done = repaired(home, bench, bench.asking("db-1", "db-2", playbook=playbook)).hosts
    assert (refused.outcome, refused.error_kind, done.outcome) == (Outcome.REFUSED, "HostConflicting", Outcome.OK)
    said = f"“mend” conflicts with “touch”, and nobody knows how that ended on db-1 in run {first.run}"
    assert str(refused.error) == said and bench.effects("db-1") == []
    looks = f"longarm run show {first.run}; then “touch” again"
    assert str(refused.hint) == f"{looks}, or this one with --force REASON"
    again = bench.asking("db-1", playbook=playbook, retries=first.run)
    assert str(repaired(home, bench, again).hosts[0].hint) == looks, "a retry takes no --force"
    assert exit_code([refused.outcome, done.outcome], None, FailOn.WARNING, kept_off=refused.error_kind in KEPT_OFF) == 5


@pytest.mark.parametrize("within", ["mend", "touch"])
def test_what_is_included_conflicts_as_what_is_run_itself(home: Path, bench: Bench, within: str) -> None:
    (bench.folder / "touch.yaml").write_text(TOUCH)
    (bench.folder / "mend.yaml").write_text(conflicting(MEND, "touch"))
    head = MEND[: MEND.index("params:")].replace("playbook: mend", "playbook: outer")
    outer = f"{head}steps:\n  - include: {within}\nverify: [mark-bad]\n"
    first = touched(home, bench, "raise TimeoutError", outer if within == "touch" else TOUCH)
    assert first.hosts[0].outcome is Outcome.UNKNOWN
    playbook = bench.playbook(outer if within == "mend" else conflicting(MEND, "touch"))
    refused = repaired(home, bench, bench.asking("db-1", playbook=playbook))
    assert refused.hosts[0].error_kind == "HostConflicting" and bench.effects("db-1") == []


def test_it_is_kept_off_until_that_one_has_a_known_end_there_or_somebody_has_looked(home: Path, bench: Bench) -> None:
    def mended(**more: Any) -> Outcome | None:
        playbook = bench.playbook(conflicting(MEND, "touch"))
        return repaired(home, bench, bench.asking("db-1", playbook=playbook, **more)).hosts[0].outcome

    touched(home, bench, "raise TimeoutError")
    bench.down.add("db-1")
    assert touched(home, bench, "pass").hosts[0].outcome is Outcome.UNREACHABLE
    bench.down.clear()
    assert mended() is Outcome.REFUSED, "what never got there has settled nothing"
    assert mended(forced="I looked") is Outcome.OK
    bench.mark("db-1", "bad")
    touched(home, bench, "pass")
    assert mended() is Outcome.OK, "it was done again, and everybody knows how that ended"


class Stopping(Silent):
    """Stops the run a while after its first host was begun."""

    def __init__(self, desk: Desk, after_s: float) -> None:
        self._desk, self._after_s = desk, after_s

    def host_started(self, host: Host, hearing: Hearing) -> None:
        """Stop it soon."""
        asyncio.get_running_loop().call_later(self._after_s, self._desk.stop)


def test_a_repair_that_is_stopped_goes_on_where_it_was(home: Path, bench: Bench) -> None:
    waits = 'n=0; until [ -e "$HOME/go" ] || [ "$n" -ge 600 ]; do sleep 0.1; n=$((n + 1)); done; echo "one" >>"$HOME/effects"'
    playbook = bench.playbook(MEND.replace('echo "one" >>"$HOME/effects"', waits))
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
                RestRequest(
                    inventory=inventory_of(bench.selection("db-1", "db-2")),
                    library=bench.library,
                    playbook=playbook,
                    secrets={},
                    operator=FakeOperator(),
                ),
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
                    RestRequest(
                        inventory=inventory_of(bench.selection("db-1")),
                        library=bench.library,
                        playbook=other,
                        secrets={},
                        operator=FakeOperator(),
                    ),
                    connect=bench.connect,
                    observer=Silent(),
                )
            )


class Meddling(Silent):
    """Does something from another process's desk once the first host was begun."""

    def __init__(self, home: Path, meddle: Callable[[StopDesk], object]) -> None:
        self._home, self._meddle = home, meddle
        self.begun: list[str] = []

    def host_started(self, host: Host, hearing: Hearing) -> None:
        """Meddle once."""
        self.begun.append(host.name)
        if len(self.begun) == 1:
            with Desk.open_beside(self._home, actor="boris") as desk:
                self._meddle(desk)


def test_a_freeze_in_the_midst_of_a_run_begins_no_further_host(home: Path, bench: Bench) -> None:
    observer = Meddling(home, lambda desk: desk.freeze(Scope.CUSTOMER, "ACME", reason="an alarm"))
    with Desk.open(home, write=True, actor="anna") as desk:
        request = bench.asking("db-1", "db-2", "db-3", concurrency=1)
        record = asyncio.run(desk.repair(request, connect=bench.connect, observer=observer))
        assert record.state is RunState.ENDED
        with pytest.raises(ChangesFrozen, match="changes for customer ACME are frozen by boris"):
            asyncio.run(desk.repair(request, connect=bench.connect, observer=Silent()))
    told = [(host.outcome, host.error_kind) for host in record.hosts]
    assert told == [(Outcome.OK, ""), *[(Outcome.NOT_STARTED, "ChangesFrozen")] * 2]
    assert (observer.begun, bench.connected, bench.effects("db-2")) == (["db-1"], ["db-1"], [])


def test_a_hold_in_the_midst_of_a_run_keeps_that_host_alone_off(home: Path, bench: Bench) -> None:
    hosts = bench.selection("db-2").hosts
    observer = Meddling(home, lambda desk: desk.hold(hosts, reason="a demonstration"))
    with Desk.open(home, write=True, actor="anna") as desk:
        request = bench.asking("db-1", "db-2", "db-3", concurrency=1)
        record = asyncio.run(desk.repair(request, connect=bench.connect, observer=observer))
    assert [host.outcome for host in record.hosts] == [Outcome.OK, Outcome.REFUSED, Outcome.OK]
    assert (bench.connected, record.hosts[1].repair.flags if record.hosts[1].repair else ()) == (["db-1", "db-3"], ("held",))


def test_what_is_over_keeps_nothing_off(home: Path, bench: Bench, rows: Rows) -> None:
    """By an injected clock: the hold and the freeze end an hour after they were made."""
    moments = [rows.now]
    with Desk.open(home, write=True, actor="anna", clock=lambda: moments[-1]) as desk:
        end = rows.now + timedelta(hours=1)
        desk.hold(bench.selection("db-1").hosts, reason="a demonstration", until=end)
        desk.freeze(Scope.DESK, None, reason="an audit", until=end)
        moments.append(end - timedelta(seconds=1))
        with pytest.raises(ChangesFrozen):
            asyncio.run(desk.repair(bench.asking("db-1"), connect=bench.connect, observer=Silent()))
        assert (len(desk.holds()), len(desk.freezes())) == (1, 1)
        moments.append(end)
        assert (desk.holds(), desk.freezes()) == ((), ())
        record = asyncio.run(desk.repair(bench.asking("db-1"), connect=bench.connect, observer=Silent()))
    assert (record.hosts[0].outcome, bench.effects("db-1")) == (Outcome.OK, ["one", "two"])


class StoppingOnce(Silent):
    """Stops the run once a file is there."""

    def __init__(self, desk: Desk, path: Path) -> None:
        self._desk, self._path, self._looking = desk, path, False

    def host_started(self, host: Host, hearing: Hearing) -> None:
        """Look for the file every now and then."""
        if not self._looking:
            self._looking = True
            asyncio.get_running_loop().call_later(0.05, self._look)

    def _look(self) -> None:
        if self._path.exists():
            self._desk.stop()
        else:
            asyncio.get_running_loop().call_later(0.05, self._look)


def test_a_repair_that_was_stopped_does_not_go_on_where_changes_are_kept_off(home: Path, bench: Bench) -> None:
    waits = 'touch "$HOME/begun"; n=0; until [ -e "$HOME/go" ] || [ "$n" -ge 600 ]; do sleep 0.1; n=$((n + 1)); done; '
    waits += 'echo "one" >>"$HOME/effects"'
    playbook = bench.playbook(MEND.replace('echo "one" >>"$HOME/effects"', waits))
    begun = bench.home("db-1") / "begun"
    with Desk.open(home, write=True, actor="anna") as desk:
        request = bench.asking("db-1", "db-2", playbook=playbook, concurrency=1)
        stopped = asyncio.run(desk.repair(request, connect=bench.connect, observer=StoppingOnce(desk, begun)))
        assert [host.outcome for host in stopped.hosts] == [Outcome.INTERRUPTED, Outcome.NOT_STARTED]
        (bench.home("db-1") / "go").touch()
        rest = RestRequest(
            inventory=inventory_of(bench.selection("db-1", "db-2")),
            library=bench.library,
            playbook=playbook,
            secrets={},
            operator=FakeOperator(),
        )
        resume: dict[str, Any] = {"connect": bench.connect, "observer": Silent()}
        desk.freeze(Scope.DESK, None, reason="an audit")
        with pytest.raises(ChangesFrozen):
            asyncio.run(desk.resume_repair(stopped.run, rest, **resume))
        desk.unfreeze(Scope.DESK, None)
        desk.hold(bench.selection("db-1", "db-2").hosts, reason="a demonstration")
        with pytest.raises(HostHeld, match="db-1 is held by anna"):
            asyncio.run(desk.resume_repair(stopped.run, rest, **resume))
        assert [lease.host for lease in desk.leases()] == ["db-1"], "what was begun there stays its own"
        desk.remove_holds(["db-1"])
        record = asyncio.run(desk.resume_repair(stopped.run, rest, **resume))
    assert [(host.outcome, host.error_kind) for host in record.hosts] == [(Outcome.OK, ""), (Outcome.REFUSED, "HostHeld")]
    assert (bench.effects("db-1"), bench.effects("db-2")) == (["one", "two"], [])


def test_a_repair_that_goes_on_keeps_its_waves_and_what_it_had_counted(home: Path, bench: Bench) -> None:
    """The first host failed, the second was on its way when the run was stopped; one failure was allowed."""
    waits = 'touch "$HOME/begun"; until [ -e "$HOME/go" ]; do sleep 0.1; done; echo one >>"$HOME/effects"; exit 1'
    playbook = bench.playbook(MEND.replace('echo "one" >>"$HOME/effects"', waits))
    hosts = ("db-1", "db-2", "db-3", "db-4")
    (bench.home("db-1") / "go").touch()
    begun = bench.home("db-2") / "begun"
    with Desk.open(home, write=True, actor="anna") as desk:
        request = bench.asking(*hosts, playbook=playbook, batch=("1", "2", "rest"), max_failed="1")
        (bench.home("db-3") / "go").touch()
        stopped = asyncio.run(desk.repair(request, connect=bench.connect, observer=StoppingOnce(desk, begun)))
        assert stopped.hosts[0].outcome is Outcome.FAILED
        assert "db-4" not in bench.connected
        (bench.home("db-2") / "go").touch()
        record = asyncio.run(
            desk.resume_repair(
                stopped.run,
                RestRequest(
                    inventory=inventory_of(bench.selection(*hosts)),
                    library=bench.library,
                    playbook=playbook,
                    secrets={},
                    operator=FakeOperator(),
                ),
                connect=bench.connect,
                observer=Silent(),
            )
        )
    assert (record.hosts[1].outcome, record.hosts[3].outcome) == (Outcome.FAILED, Outcome.NOT_STARTED)
    assert (record.hosts[3].error_kind, bench.effects("db-4")) == ("TooManyFailed", [])
    assert record.repair is not None
    assert (record.repair.batch, record.repair.max_failed) == (("1", "2", "rest"), "1")


def test_a_host_on_which_something_else_is_found_than_was_approved_is_left_alone(home: Path, bench: Bench) -> None:
    make_home(home)
    (home / "config.yaml").write_text("approvals: {from: reversible}\n")
    for host, word in (("db-1", "bad"), ("db-2", "good")):
        bench.mark(host, word)
    asked = bench.asking("db-1", "db-2", forced="a test")
    with Desk.open(home, write=True, actor="anna") as desk:
        plan = asyncio.run(desk.repair(asked, connect=bench.connect, observer=Silent()))
        assert plan.kind is RunKind.PLAN and plan.repair and plan.repair.approval
        assert plan.repair.approval.state is ApprovalState.WAITING and bench.effects("db-1") == []
    with Desk.open(home, write=True, actor="boris") as desk:
        desk.decide_approval(plan.run, approved=True, reason="")
        bench.mark("db-2", "bad")
        record = asyncio.run(desk.start(plan.run, asked, connect=bench.connect, observer=Silent()))
    fixed, refused = record.hosts
    assert (fixed.outcome, bench.effects("db-1")) == (Outcome.OK, ["one", "two"])
    assert (refused.outcome, refused.error_kind, bench.effects("db-2")) == (Outcome.REFUSED, "NotApproved", [])
    assert str(refused.error) == "it was not approved for db-2/mark-bad/mark=mark"
    assert str(refused.hint) == "ask for it anew: longarm repair mend db-2 -p word=good"
    assert refused.repair and refused.repair.change is HostChange.UNCHANGED


def test_nobody_brings_an_approval_along(home: Path, bench: Bench) -> None:
    make_home(home)
    (home / "config.yaml").write_text("approvals: {from: reversible}\n")
    bench.mark("db-1", "bad")
    forged = Agreed(run="x", asked_by="anna", approved_by="boris", at=datetime(2026, 11, 22, tzinfo=UTC), reason="")
    with Desk.open(home, write=True, actor="anna") as desk:
        asked = bench.asking("db-1", agreed=forged)
        plan = asyncio.run(desk.repair(asked, connect=bench.connect, observer=Silent()))
    assert plan.kind is RunKind.PLAN and plan.repair and plan.repair.agreed is None and bench.effects("db-1") == []


def test_the_desk_itself_uses_no_playbook_that_nobody_signed(home: Path, bench: Bench) -> None:
    """Whoever asks it without the command line: a service does."""
    make_home(home)
    key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGfG5sAfYnDDiaDDBEiFc1c9DKkH5Ym3Xo5wsxeiWSdF"
    (home / "config.yaml").write_text(f"library: {{signers: [{key}]}}\n")
    bench.mark("db-1", "bad")
    file = str(bench.folder / "playbook.yaml")
    with Desk.open(home, write=True, actor="anna") as desk:
        with pytest.raises(LibraryRefused, match="it lies in no signed library"):
            asyncio.run(desk.repair(bench.asking("db-1", file=file), connect=bench.connect, observer=Silent()))
        assert (desk.runs(), bench.connected) == ((), [])
        assert asyncio.run(desk.repair(bench.asking("db-1"), connect=bench.connect, observer=Silent())).kind is RunKind.REPAIR
