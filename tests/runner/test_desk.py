"""The desk over scripted fleets: what is on disk when, what is kept, what is asked again."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from diagnostics.library import Library
from diagnostics.verdict import Severity, Verdict
from inventory.errors import UsageError
from inventory.host import Host, Platform, Selection
from inventory.inventory import Inventory
from inventory.secret import MASKER, Secret
from inventory.walls import CaseOfOthers
from remote.answer import Answer, Ended, answered
from remote.errors import ConnectFailed, ConnectionLost
from remote.hearing import Hearing
from remote.lasting import DROPS_ALL
from remote.question import Question
from remote.session import Session
from remote.shell_session import ShellSession
from runner.desk import Desk
from runner.observer import Silent
from runner.outcome import Outcome, RunState
from runner.record import HostRecord, RunRecord
from runner.request import NoSuchRun, NotResumable
from runner.store.applying import apply
from runner.store.changes import Change, EndHost
from runner.store.errors import StoreBusy, StoreFailed, StoreReadOnly
from runner.store.link import Link
from tests.runner.fleet import DENIED, FULL, LOST, OK, PROBES, Act, ActingConnect, asking, fleet, inventory_of
from tests.stopped_clock import StoppedClock

MOTD = PROBES[2]


class Clock:
    """A clock that ticks a second at each look."""

    def __init__(self) -> None:
        self.now = datetime(2026, 11, 22, 10, 47, 55, tzinfo=UTC)

    def __call__(self) -> datetime:
        self.now += timedelta(seconds=1)
        return self.now


class Watching(Silent):
    """An observer that calls a function at each host's end."""

    def __init__(self, ended: Callable[[HostRecord], None]) -> None:
        self._ended = ended

    def host_ended(self, record: HostRecord) -> None:
        self._ended(record)


def stopping(desk: Desk, after: int, times: int = 1) -> Watching:
    seen = list[str]()

    def ended(record: HostRecord) -> None:
        seen.append(record.host)
        if len(seen) == after:
            for _ in range(times):
                desk.stop()

    return Watching(ended)


@pytest.fixture
def desk(home: Path) -> Iterator[Desk]:
    with Desk.open(home, write=True, actor="anna", clock=Clock()) as desk:
        yield desk


def outcomes(record: RunRecord) -> dict[str, Outcome]:
    return {host.host: host.outcome for host in record.hosts}


def files_with(home: Path, secret: bytes) -> list[Path]:
    return [path for path in home.rglob("*") if path.is_file() and secret in path.read_bytes()]


async def diagnose(desk: Desk, library: Library, acts: dict[str, Act], **values: object) -> RunRecord:
    return await desk.diagnose(asking(library, fleet(*acts), **values), connect=ActingConnect(acts), observer=Silent())


async def test_a_run_is_recorded_with_who_what_where_and_why(desk: Desk, library: Library) -> None:
    acts = {"a": Act(), "b": Act(FULL), "c": Act({**OK, "clock": DENIED}), "d": Act(refuses=ConnectFailed("d", "no route"))}
    record = await diagnose(desk, library, acts, languages=("en", "ru"))
    assert [host.outcome for host in record.hosts] == [Outcome.OK, Outcome.FINDINGS, Outcome.INCOMPLETE, Outcome.UNREACHABLE]
    assert (record.actor, record.case, record.customers, record.expression) == ("anna", "DEMO-1", ("acme",), "all")
    assert (record.state, record.checks, record.worst) == (RunState.ENDED, tuple(library.checks), Severity.CRITICAL)
    assert set(record.versions) == {"longarm", "library", "playbook", "bundle", "python"}
    assert set(record.content.checks) == set(library.checks)
    full, denied = record.hosts[1:3]
    assert full.session["user"] == "tester"
    assert [note.question for note in full.answers] == ["clock", "disk"]
    assert full.quotes["b/disk-full/mount=/"][0].lines[0] == "/ 99%"
    assert denied.denied_root == "sudo: a password is required"
    assert [(delivery.case, delivery.language, delivery.state) for delivery in record.deliveries] == [
        ("DEMO-1", "en", "pending"),
        ("DEMO-1", "ru", "pending"),
    ]
    assert [row.action for row in desk.audit(record.run)] == ["run.started", "run.ended"]
    assert all(row.actor == "anna" and row.customers == ("acme",) and row.digests for row in desk.audit(record.run))


async def test_a_run_without_a_case_owes_no_report(desk: Desk, library: Library) -> None:
    assert (await diagnose(desk, library, {"a": Act()}, case=None)).deliveries == ()


async def test_the_record_is_read_back_as_it_was_handed_out(desk: Desk, home: Path, library: Library) -> None:
    record = await diagnose(desk, library, {"a": Act(), "b": Act(FULL), "c": Act(breaks=ConnectionLost("c", "reset"))})
    with Desk.open(home, write=False) as reader:
        for name in (record.run, record.run[:15], record.run[-6:]):
            assert reader.record(name) == record
        (summary,) = reader.runs(5)
    assert (summary.run, summary.state, summary.coverage) == (record.run, RunState.ENDED, record.coverage)


async def test_a_run_that_is_not_there_or_not_unique_is_said(desk: Desk, library: Library) -> None:
    for _ in range(2):
        await diagnose(desk, library, {"a": Act()})
    for part, count in (("nonsense", 0), ("", 0), ("20261122", 2)):
        with pytest.raises(NoSuchRun) as refused:
            desk.record(part)
        assert len(refused.value.candidates) == count


async def test_everything_is_on_disk_before_the_first_connection_and_before_it_is_told(
    desk: Desk, home: Path, library: Library
) -> None:
    with Desk.open(home, write=False) as reader:
        acts = {"a": Act(), "b": Act(FULL)}
        connect = ActingConnect(acts)
        seen = list[tuple[str, int, Outcome]]()

        def ended(record: HostRecord) -> None:
            run = reader.record(reader.runs(1)[0].run)
            seen.append((record.host, len(run.hosts), outcomes(run)[record.host]))
            assert run.state is RunState.RUNNING
            assert outcomes(run)["b"] in (Outcome.UNKNOWN, Outcome.FINDINGS)

        class Looking(ActingConnect):
            def __call__(self, host: Host):  # type: ignore[no-untyped-def]
                assert len(reader.record(reader.runs(1)[0].run).hosts) == 2
                return connect(host)

        request = asking(library, fleet(*acts), concurrency=1)
        record = await desk.diagnose(request, connect=Looking(acts), observer=Watching(ended))
    assert outcomes(record) == {"a": Outcome.OK, "b": Outcome.FINDINGS}
    assert seen == [("a", 2, Outcome.OK), ("b", 2, Outcome.FINDINGS)]


async def test_a_run_that_ends_while_it_is_looked_at_is_not_told_to_have_lost_its_process(
    desk: Desk, home: Path, library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Desk.open(home, write=False) as reader:
        seen = list[RunState]()

        def ended(_: HostRecord) -> None:
            run = reader.runs(1)[0].run
            looks: list[Callable[[], RunState]] = [lambda: reader.runs(1)[0].state, lambda: reader.record(run).state]
            for look in looks:
                once = iter([True])
                with monkeypatch.context() as patch:  # there is a process when the first look is taken, and none a moment later
                    patch.setattr("runner.desk_looking.on_its_way", lambda *_, once=once: next(once, False))
                    seen.append(look())

        await desk.diagnose(asking(library, fleet("a")), connect=ActingConnect({"a": Act()}), observer=Watching(ended))
    assert seen == [RunState.RUNNING, RunState.RUNNING]


async def test_a_stopped_run_is_resumed_where_it_stopped(desk: Desk, library: Library) -> None:
    acts = {"a": Act(FULL), "b": Act(), "c": Act(), "d": Act()}
    request = asking(library, fleet(*acts), concurrency=1)
    stopped = await desk.diagnose(request, connect=ActingConnect(acts), observer=stopping(desk, after=2))
    assert list(outcomes(stopped).values()) == [Outcome.FINDINGS, Outcome.OK, Outcome.NOT_STARTED, Outcome.NOT_STARTED]
    assert (stopped.state, stopped.ended_at, stopped.deliveries) == (RunState.INTERRUPTED, None, ())
    assert [host.host for host in stopped.hosts if host.ended_at is None] == ["c", "d"]

    connect = ActingConnect(acts)
    record = await desk.resume(
        stopped.run[-6:], inventory=inventory_of(request.selection), library=library, connect=connect, observer=Silent()
    )
    assert connect.connected == ["c", "d"]
    assert record.hosts[:2] == stopped.hosts[:2]
    assert (record.state, set(outcomes(record).values())) == (RunState.ENDED, {Outcome.FINDINGS, Outcome.OK})
    assert len(record.deliveries) == 1
    assert record == desk.record(record.run)
    assert [row.action for row in desk.audit(record.run)] == ["run.started", "run.interrupted", "run.resumed", "run.ended"]
    with pytest.raises(NotResumable, match="has ended"):
        await desk.resume(
            record.run, inventory=inventory_of(request.selection), library=library, connect=connect, observer=Silent()
        )


async def test_hosts_in_flight_are_interrupted_and_asked_again(desk: Desk, library: Library) -> None:
    acts = {"a": Act(), "b": Act(hangs=True), "c": Act(silent=True)}
    request = asking(library, fleet(*acts))
    stopped = await desk.diagnose(request, connect=ActingConnect(acts), observer=stopping(desk, after=1))
    assert outcomes(stopped) == {"a": Outcome.OK, "b": Outcome.INTERRUPTED, "c": Outcome.INTERRUPTED}
    connect = ActingConnect(dict.fromkeys(acts, Act()))
    record = await desk.resume(
        stopped.run, inventory=inventory_of(request.selection), library=library, connect=connect, observer=Silent()
    )
    assert connect.connected == ["b", "c"]
    assert set(outcomes(record).values()) == {Outcome.OK}


async def test_a_case_of_one_customer_gets_nothing_of_another(desk: Desk, library: Library) -> None:
    acme = asking(library, fleet("a"))
    await desk.diagnose(acme, connect=ActingConnect({"a": Act()}), observer=Silent())
    (host,) = fleet("z").hosts
    zeta = asking(library, Selection(expression="z", hosts=(replace(host, customer="Zeta"),)))
    connect = ActingConnect({"z": Act()})
    with pytest.raises(CaseOfOthers, match="the case DEMO-1 is of another customer: acme"):
        await desk.diagnose(zeta, connect=connect, observer=Silent())
    assert connect.connected == [] and len(desk.runs()) == 1
    await desk.diagnose(replace(zeta, across_customers=True), connect=connect, observer=Silent())
    await desk.diagnose(replace(zeta, case="DEMO-2"), connect=connect, observer=Silent())
    of_nobody = Selection(expression="z", hosts=(replace(host, customer=None),))
    await desk.diagnose(replace(zeta, selection=of_nobody), connect=connect, observer=Silent())
    assert len(desk.runs()) == 4


async def test_a_host_that_changed_its_customer_is_not_in_the_rest_of_a_run(desk: Desk, library: Library) -> None:
    acts = {"a": Act(), "b": Act()}
    request = asking(library, fleet(*acts), concurrency=1)
    stopped = await desk.diagnose(request, connect=ActingConnect(acts), observer=stopping(desk, after=1))
    hosts = {host.name: replace(host, customer="Zeta") for host in request.selection.hosts}
    connect = ActingConnect(acts)
    with pytest.raises(NotResumable, match=f"b belonged to acme when run {stopped.run} began, and now to Zeta"):
        await desk.resume(stopped.run, inventory=Inventory(hosts=hosts), library=library, connect=connect, observer=Silent())
    assert connect.connected == []


async def test_thresholds_are_looked_at_again_before_a_run_goes_on(desk: Desk, library: Library) -> None:
    acts = {"a": Act(), "b": Act()}
    request = asking(library, fleet(*acts), concurrency=1)
    stopped = await desk.diagnose(request, connect=ActingConnect(acts), observer=stopping(desk, after=1))
    changed = inventory_of(fleet("b", vars={"thresholds": {"disk-full": {"no_such": 1}}}))
    connect = ActingConnect(acts)
    with pytest.raises(UsageError, match="thresholds of host b"):
        await desk.resume(stopped.run, inventory=changed, library=library, connect=connect, observer=Silent())
    assert connect.connected == []


async def test_a_host_that_left_the_inventory_is_accounted_for(desk: Desk, library: Library) -> None:
    acts = {"a": Act(), "b": Act(), "c": Act()}
    request = asking(library, fleet(*acts), concurrency=1)
    stopped = await desk.diagnose(request, connect=ActingConnect(acts), observer=stopping(desk, after=1))
    moved = fleet("c", port=2222)
    record = await desk.resume(
        stopped.run,
        inventory=inventory_of(replace(moved, hosts=(replace(moved.hosts[0], address="198.51.100.9"),))),
        library=library,
        connect=ActingConnect(acts),
        observer=Silent(),
    )
    assert outcomes(record) == {"a": Outcome.OK, "b": Outcome.NOT_STARTED, "c": Outcome.OK}
    assert "does not know this host any more" in str(record.hosts[1].error)
    assert record.hosts[2].address == "198.51.100.9"
    assert record.state is RunState.ENDED


async def test_another_library_at_the_resumption_is_said(desk: Desk, library: Library) -> None:
    acts = {"a": Act(), "b": Act()}
    request = asking(library, fleet(*acts), concurrency=1)
    stopped = await desk.diagnose(request, connect=ActingConnect(acts), observer=stopping(desk, after=1))
    newer = replace(library, digest="e" * 64)
    inventory = inventory_of(request.selection)
    record = await desk.resume(stopped.run, inventory=inventory, library=newer, connect=ActingConnect(acts), observer=Silent())
    assert (record.versions["library"], record.versions["library, resumed"]) == ("d" * 64, "e" * 64)
    assert "library" in desk.audit(record.run)[-2].detail
    contexts = [desk.evidence(host.evidence_digest or "")[1].library_digest[0] for host in record.hosts]
    assert contexts == ["d", "e"]
    assert [(replayed.same, replayed.library_changed) for replayed in desk.replay(record.run, library=library)] == [
        (True, False),
        (True, True),
    ]


async def test_what_a_resumption_lacks_is_named(desk: Desk, library: Library) -> None:
    acts = {"a": Act(), "b": Act()}
    request = asking(library, fleet(*acts), concurrency=1, extra_probes=(MOTD,))
    stopped = await desk.diagnose(request, connect=ActingConnect(acts), observer=stopping(desk, after=1))
    for poorer, words in (
        (replace(library, checks={}), "checks that are not here: clock-off, disk-full"),
        (replace(library, probes={}), "probes that are not here: motd"),
    ):
        with pytest.raises(NotResumable, match=words):
            await desk.resume(
                stopped.run,
                inventory=inventory_of(request.selection),
                library=poorer,
                connect=ActingConnect(acts),
                observer=Silent(),
            )


async def test_a_second_stop_leaves_at_once_and_the_rest_can_be_resumed(home: Path, library: Library) -> None:
    acts = {"a": Act(), "b": Act(hangs=True), "c": Act()}
    request = asking(library, fleet(*acts), concurrency=2)
    with Desk.open(home, write=True) as desk, pytest.raises(asyncio.CancelledError):
        await desk.diagnose(request, connect=ActingConnect(acts), observer=stopping(desk, after=1, times=2))
    with Desk.open(home, write=False) as reader:
        left = reader.record(reader.runs(1)[0].run)
        assert (left.state, outcomes(left)) == (
            RunState.INTERRUPTED,
            {"a": Outcome.OK, "b": Outcome.INTERRUPTED, "c": Outcome.INTERRUPTED},
        )
        assert reader.runs(1)[0].coverage == left.coverage
    with Desk.open(home, write=True) as desk:
        record = await desk.resume(
            left.run,
            inventory=inventory_of(request.selection),
            library=library,
            connect=ActingConnect({**acts, "b": Act()}),
            observer=Silent(),
        )
        assert set(outcomes(record).values()) == {Outcome.OK}


async def test_a_cancelled_diagnosis_accounts_for_all_before_it_goes(desk: Desk, library: Library) -> None:
    acts = {"a": Act(hangs=True), "b": Act()}
    connect = ActingConnect(acts)
    begun = asyncio.Event()

    class Begun(Silent):
        def host_started(self, host: Host, hearing: Hearing) -> None:
            begun.set()

    request = asking(library, fleet(*acts), concurrency=1)
    task = asyncio.create_task(desk.diagnose(request, connect=connect, observer=Begun()))
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    record = desk.record(desk.runs(1)[0].run)
    assert record.state is RunState.INTERRUPTED
    assert outcomes(record) == {"a": Outcome.INTERRUPTED, "b": Outcome.NOT_STARTED}


async def test_the_deadline_of_a_run_ends_it_with_every_host_accounted_for(
    desk: Desk, library: Library, stopped_clock: StoppedClock
) -> None:
    acts = {"a": Act(), "b": Act(hangs=True), "c": Act()}
    connect = ActingConnect(acts, all_hang=lambda: stopped_clock.leap(9))
    request = asking(library, fleet(*acts), concurrency=1, run_deadline_s=9)
    record = await desk.diagnose(request, connect=connect, observer=Silent())
    assert outcomes(record) == {"a": Outcome.OK, "b": Outcome.TIMED_OUT, "c": Outcome.NOT_STARTED}
    assert record.state is RunState.ENDED
    assert "deadline" in str(record.hosts[2].error)


async def test_at_most_so_many_hosts_at_once(desk: Desk, library: Library) -> None:
    acts = {f"h{number}": Act() for number in range(30)}
    connect = ActingConnect(acts)
    await desk.diagnose(asking(library, fleet(*acts), concurrency=7), connect=connect, observer=Silent())
    assert connect._fake.most_open <= 7
    assert connect.connected == list(acts)


@pytest.mark.parametrize(
    ("answer", "outcome"),
    [
        (OK["motd"], Outcome.OK),
        (answered(b"", exit_status=3), Outcome.INCOMPLETE),  # a status that nobody declared says nothing
        (Answer(ended=Ended.EXITED, exit_status=None), Outcome.INCOMPLETE),
        (LOST, Outcome.INCOMPLETE),
        (Answer(ended=Ended.CAPPED, exit_status=None, stdout=b"much"), Outcome.INCOMPLETE),
    ],
)
async def test_a_run_of_probes_alone_is_complete_if_all_were_answered(
    desk: Desk, library: Library, answer: Answer, outcome: Outcome
) -> None:
    record = await diagnose(desk, library, {"a": Act({"motd": answer})}, checks=(), extra_probes=(MOTD,))
    assert outcomes(record) == {"a": outcome}
    assert list(desk.answers(record.run)) == [("a", "motd", answer)]


async def test_a_host_that_nothing_is_for_is_not_green(desk: Desk, library: Library) -> None:
    request = asking(library, fleet("a", platform=Platform.MACOS))
    record = await desk.diagnose(request, connect=ActingConnect({"a": Act()}), observer=Silent())
    assert outcomes(record) == {"a": Outcome.INCOMPLETE}
    assert "no check or probe is for macos" in str(record.hosts[0].error)


async def test_partial_evidence_is_kept_and_judged(desk: Desk, library: Library, stopped_clock: StoppedClock) -> None:
    acts = {"a": Act({"disk": FULL["disk"], "clock": LOST}), "b": Act(silent=True)}
    connect = ActingConnect(acts, all_hang=lambda: stopped_clock.leap(9))
    record = await desk.diagnose(asking(library, fleet(*acts), host_deadline_s=9), connect=connect, observer=Silent())
    partly, late = record.hosts
    assert (partly.outcome, late.outcome) == (Outcome.INCOMPLETE, Outcome.TIMED_OUT)
    assert {note.question: note.ended for note in partly.answers} == {"disk": Ended.EXITED, "clock": Ended.LOST}
    assert partly.diagnosis is not None
    assert [result.verdict for result in partly.diagnosis.results] == [Verdict.UNKNOWN, Verdict.FINDING]
    assert {note.ended for note in late.answers} == {Ended.LOST}
    assert late.session["user"] == "tester"


async def test_a_connection_that_dropped_is_on_record(desk: Desk, library: Library) -> None:
    MASKER.learn(Secret("hunter2 of the host"))
    gone = replace(LOST, why="closed by the host: hunter2 of the host")
    record = await diagnose(desk, library, {"drops": Act({**OK, "clock": gone}, drops=True), "well": Act()})
    drops, well = record.hosts
    assert drops.session["dropped"] == "closed by the host: ***"
    assert drops.session["asked_again"] == "clock" and drops.session["not_renewed"] == DROPS_ALL
    assert drops.outcome is Outcome.INCOMPLETE
    assert not {"dropped", "asked_again", "not_renewed"} & well.session.keys()


NOT_RUN = Answer(ended=Ended.NOT_RUN, exit_status=None, why="the host closed the streams early")


async def test_root_that_was_not_asked_for_another_reason_was_not_denied(desk: Desk, library: Library) -> None:
    as_user = replace(OK["disk"], denied="sudo: a password is required")
    acts = {"cut": Act({**OK, "clock": NOT_RUN}), "as-user": Act({**OK, "disk": as_user})}
    record = await diagnose(desk, library, acts)
    assert [host.denied_root for host in record.hosts] == ["", "sudo: a password is required"]
    assert [host.outcome for host in record.hosts] == [Outcome.INCOMPLETE, Outcome.OK]
    assert ("as-user", "disk", as_user) in list(desk.answers(record.run))


@pytest.mark.parametrize(
    ("answer", "outcome"), [(NOT_RUN, Outcome.TIMED_OUT), (LOST, Outcome.TIMED_OUT), (DENIED, Outcome.INCOMPLETE)]
)
async def test_a_host_that_hangs_before_the_first_question_timed_out(
    desk: Desk, library: Library, answer: Answer, outcome: Outcome, stopped_clock: StoppedClock
) -> None:
    class Hung(ActingConnect):
        @asynccontextmanager
        async def __call__(self, host: Host) -> AsyncIterator[Session]:
            async with super().__call__(host) as session:
                yield Late(session, {"disk": OK["disk"], "clock": answer}, stopped_clock)

    request = asking(library, fleet("a"), host_deadline_s=9)
    record = await desk.diagnose(request, connect=Hung({"a": Act()}), observer=Silent())
    assert outcomes(record) == {"a": outcome}


class Late(ShellSession):
    """A session whose answers come as its deadline passes."""

    def __init__(self, session: Session, answers: Mapping[str, Answer], clock: StoppedClock) -> None:
        self.host, self.facts, self._answers, self._clock = session.host, session.facts, answers, clock

    async def ask(self, questions: Sequence[Question], *, deadline_s: float) -> Mapping[str, Answer]:
        self._clock.leap(round(deadline_s))
        return self._answers


async def test_evidence_survives_a_fault_of_the_judge(desk: Desk, library: Library, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("runner.diagnosing.diagnose", lambda *_: 1 // 0)
    record = await diagnose(desk, library, {"a": Act()})
    assert (record.hosts[0].outcome, record.hosts[0].error_kind) == (Outcome.FAILED, "ZeroDivisionError")
    assert [question for _, question, _ in desk.answers(record.run)] == ["clock", "disk"]
    assert record == desk.record(record.run)


async def test_what_is_kept_is_redacted_and_masked(desk: Desk, home: Path, library: Library) -> None:
    secret = "K4nar1envogel"
    MASKER.learn(Secret(secret))
    acts = {
        "a": Act({**OK, "clock": answered(b"0\n", stderr=b"key=T0psecret!\n")}),
        "b": Act({**OK, "disk": answered(secret.encode())}),
        "c": Act(refuses=ConnectFailed("c", f"proxy refused {secret}")),
        "d": Act({**OK, "clock": replace(DENIED, why=f"sudo: {secret}", denied=f"sudo: {secret}")}),
    }
    record = await diagnose(desk, library, acts)
    desk.outbox_failed(desk.outbox()[0].id, f"401 for {secret}")
    for digest in [host.evidence_digest for host in record.hosts if host.evidence_digest]:
        evidence = repr(desk.evidence(digest))
        assert secret not in evidence
        assert "T0psecret" not in evidence
    assert secret not in repr(desk.record(record.run))
    assert secret not in repr(record)
    assert not files_with(home, secret.encode())


async def test_the_next_run_knows_what_the_last_completed_one_found(desk: Desk, library: Library) -> None:
    first = await diagnose(desk, library, {"a": Act(FULL), "b": Act()})
    second = await diagnose(desk, library, {"a": Act(FULL), "b": Act()})
    _, context = desk.evidence(second.hosts[0].evidence_digest or "")
    (earlier,) = context.earlier
    found = first.hosts[0].diagnosis
    assert found is not None
    assert (earlier.check, earlier.key, earlier.severity) == ("disk-full", "mount=/", Severity.CRITICAL)
    again = second.hosts[0].diagnosis
    assert again is not None
    assert found.findings[0].since == again.findings[0].since == earlier.since

    await diagnose(desk, library, {"a": Act()})
    fourth = await diagnose(desk, library, {"a": Act(FULL)})
    assert desk.evidence(fourth.hosts[0].evidence_digest or "")[1].earlier == ()


async def test_an_interrupted_run_leaves_no_state(desk: Desk, library: Library) -> None:
    acts = {"a": Act(FULL), "b": Act()}
    request = asking(library, fleet(*acts), concurrency=1)
    stopped = await desk.diagnose(request, connect=ActingConnect(acts), observer=stopping(desk, after=1))
    record = await diagnose(desk, library, {"a": Act()})
    assert desk.evidence(record.hosts[0].evidence_digest or "")[1].earlier == ()
    await desk.resume(
        stopped.run, inventory=inventory_of(request.selection), library=library, connect=ActingConnect(acts), observer=Silent()
    )
    record = await diagnose(desk, library, {"a": Act()})
    assert desk.evidence(record.hosts[0].evidence_digest or "")[1].earlier == ()  # that look was older than the clear one


async def test_thresholds_of_the_host_go_before_those_of_the_playbook(desk: Desk, library: Library) -> None:
    request = asking(library, fleet("a", "b"))
    tolerant = replace(request.selection.hosts[0], vars={"thresholds": {"disk-full": {"critical": 100, "warning": 100}}})
    request = replace(
        request,
        selection=replace(request.selection, hosts=(tolerant, request.selection.hosts[1])),
        playbook=replace(request.playbook, thresholds={"disk-full": {"critical": 99}}),
    )
    record = await desk.diagnose(request, connect=ActingConnect({"a": Act(FULL), "b": Act(FULL)}), observer=Silent())
    severities = [[finding.severity for finding in host.diagnosis.findings] for host in record.hosts if host.diagnosis]
    assert severities == [[], [Severity.WARNING]]
    assert all(replayed.same for replayed in desk.replay(record.run, library=library))


@pytest.mark.parametrize(
    "thresholds", ["many", {"disk-full": 3}, {"no-such-check": {"warning": 1}}, {"disk-full": {"no_such": 1}}]
)
async def test_thresholds_that_mean_nothing_are_refused_before_anything_is_asked(
    desk: Desk, library: Library, thresholds: object
) -> None:
    request = asking(library, fleet("a", vars={"thresholds": thresholds}))
    connect = ActingConnect({"a": Act()})
    with pytest.raises(UsageError, match="thresholds of host a"):
        await desk.diagnose(request, connect=connect, observer=Silent())
    assert (desk.runs(), connect.connected) == ((), [])


def test_what_cannot_be_meant_is_refused(library: Library) -> None:
    for values in ({"concurrency": 0}, {"host_deadline_s": 0}, {"run_deadline_s": -1}, {"checks": ()}):
        with pytest.raises(UsageError):
            asking(library, fleet("a"), **values)


async def test_an_unknown_check_is_refused(desk: Desk, library: Library) -> None:
    with pytest.raises(UsageError, match="no-such-check"):
        await diagnose(desk, library, {"a": Act()}, checks=("no-such-check",))
    assert desk.runs() == ()


async def test_a_store_that_fails_ends_the_run_and_keeps_what_was_acknowledged(
    home: Path, library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    acts = {f"h{number}": Act(FULL) for number in range(12)} | {"hangs": Act(hangs=True)}
    told = list[str]()
    with Desk.open(home, write=True) as desk:
        broke = list[Change]()

        def failing(link: Link, change: Change) -> None:
            if broke or (isinstance(change, EndHost) and change.host.host == "h7"):
                broke.append(change)
                raise OSError(28, "No space left on device")
            apply(link, change)

        monkeypatch.setattr(desk._store._writer, "_apply", failing)  # type: ignore[attr-defined]
        request = asking(library, fleet(*reversed(acts)), concurrency=3)
        with pytest.raises(StoreFailed, match="No space left on device"):
            await desk.diagnose(
                request, connect=ActingConnect(acts), observer=Watching(lambda record: told.append(record.host))
            )
    with Desk.open(home, write=False) as reader:
        left = reader.record(reader.runs(1)[0].run)
    assert left.state is RunState.INTERRUPTED
    assert sorted(told) == sorted(host for host, outcome in outcomes(left).items() if outcome is Outcome.FINDINGS)
    assert 0 < len(told) < 12


async def test_one_process_writes_and_others_read(desk: Desk, home: Path, library: Library) -> None:
    with pytest.raises(StoreBusy), Desk.open(home, write=True):
        pass
    record = await diagnose(desk, library, {"a": Act()})
    with Desk.open(home, write=False) as reader:
        assert reader.record(record.run) == record
        with pytest.raises(StoreReadOnly):
            reader.outbox_failed(reader.outbox()[0].id, "no")


def test_a_home_that_was_never_used_reads_as_empty(home: Path) -> None:
    with Desk.open(home, write=False) as reader:
        assert (reader.runs(), reader.outbox(), reader.cases(), reader.audit()) == ((), (), (), ())
    assert not home.exists()


async def test_a_report_goes_from_the_outbox_to_the_case_once(desk: Desk, library: Library) -> None:
    record = await diagnose(desk, library, {"a": Act()})
    (row,) = desk.outbox("pending")
    for data in (b"<html>one</html>", b"<html>two</html>"):
        row = desk.outbox_rendered(row.id, f"{record.run}.html", data)
    assert desk.outbox_data(row.id) == b"<html>one</html>"
    for _ in range(2):
        digest = desk.case_attach(
            row.case, row.filename, desk.outbox_data(row.id), "text/html", True, "diagnosis", customer="acme"
        )
        row = desk.outbox_sent(row.id)
    assert (digest, desk.attachment(digest)) == (row.digest, b"<html>one</html>")
    assert desk.case("DEMO-1") == desk.cases()[0]
    (attachment,) = desk.case_attachments("DEMO-1")
    assert (attachment.digest, attachment.internal, attachment.actor) == (digest, True, "anna")
    (delivery,) = desk.record(record.run).deliveries
    assert (delivery.state, delivery.digest, delivery.attempts) == ("sent", digest, 1)
    with pytest.raises(LookupError):
        desk.outbox_sent(99)
    with pytest.raises(LookupError):
        desk.outbox_data(99)


def test_importing_the_desk_is_cheap(repository: Path) -> None:
    heavy = ("sqlalchemy", "alembic", "cel", "asyncssh", "jc", "jinja2", "hypothesis")
    script = f"import sys, runner.desk; print([name for name in {heavy!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", script], cwd=repository, capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


_WITHOUT_A_CASE = """
import asyncio, sys
from pathlib import Path
from runner.desk import Desk
from runner.observer import Silent
from tests.runner.fleet import FULL, Act, ActingConnect, asking, fleet, small_library
acts, library = {"a": Act(), "b": Act(FULL)}, small_library(Path(sys.argv[2]))
for _ in range(2):
    with Desk.open(Path(sys.argv[1]), write=True) as desk:
        request = asking(library, fleet(*acts), case=None)
        record = asyncio.run(desk.diagnose(request, connect=ActingConnect(acts), observer=Silent()))
        owed = desk.outbox()
print(record.state, len(record.hosts), len(owed), "sqlalchemy" in sys.modules)
"""


def test_a_run_that_owes_nothing_needs_no_sqlalchemy(repository: Path, home: Path, tmp_path: Path) -> None:
    """It takes a tenth of a second to load, and every host would wait for it."""
    with Desk.open(home, write=True):
        pass
    (tmp_path / "library").mkdir()
    script = [sys.executable, "-c", _WITHOUT_A_CASE, str(home), str(tmp_path / "library")]
    done = subprocess.run(script, cwd=repository, capture_output=True, text=True, check=False)
    assert done.stdout == "ended 2 0 False\n", done.stderr
