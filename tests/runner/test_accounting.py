"""Rule 1: whatever hosts, networks and our own faults do, every host is accounted for and nothing unseen is green."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from diagnostics.library import Library
from inventory.errors import Text
from inventory.host import Host
from remote.answer import Answer, Ended, answered
from remote.errors import (
    AuthenticationRefused,
    ConnectFailed,
    ConnectionLost,
    CredentialBlocked,
    CredentialUnusable,
    DeadlineExceeded,
    HostKeyRefused,
    RemoteError,
)
from remote.hearing import Hearing
from remote.testing import UnscriptedQuestion
from runner.desk import Desk
from runner.observer import Silent
from runner.outcome import Outcome, RunState
from runner.record import HostRecord, RunRecord
from runner.request import DiagnoseRequest
from tests.runner.fleet import FULL, LOST, OK, Act, ActingConnect, asking, fleet
from tests.stopped_clock import StoppedClock

SOAK = bool(os.environ.get("LONGARM_SOAK"))
H = "some-host"
REFUSALS: list[tuple[Exception, Outcome]] = [
    (ConnectFailed(H, "no route"), Outcome.UNREACHABLE),
    (HostKeyRefused(H, offered=("SHA256:a",)), Outcome.REFUSED),
    (AuthenticationRefused(H, user="ops", tried=("publickey",)), Outcome.REFUSED),
    (CredentialUnusable(H, "ops", Text("no such file")), Outcome.REFUSED),
    (CredentialBlocked(H, "ops", 3), Outcome.REFUSED),
    (DeadlineExceeded(H, 3), Outcome.TIMED_OUT),
    (TimeoutError("slow"), Outcome.TIMED_OUT),
    (ConnectionLost(H, "reset"), Outcome.FAILED),
    (RemoteError(H, Text("something new")), Outcome.FAILED),
    (RuntimeError("a fault of ours"), Outcome.FAILED),
    (UnicodeDecodeError("utf-8", b"\xff", 0, 1, "bad"), Outcome.FAILED),
    (BaseExceptionGroup("several", [ValueError("one")]), Outcome.FAILED),  # type: ignore[list-item]
]

ANSWERS = {
    "disk": [OK["disk"], FULL["disk"]],
    "clock": [OK["clock"], answered(b"9\n")],
}
UNSEEN = [
    LOST,
    answered(b"nonsense"),
    answered(b""),
    answered(b"/ 12%\n0\n", exit_status=1),
    Answer(ended=Ended.EXITED, exit_status=None, stdout=b"/ 12%\n"),
    Answer(ended=Ended.TIMED_OUT, exit_status=None, stdout=b"/ 12%\n"),
    Answer(ended=Ended.CAPPED, exit_status=None, stdout=b"/ 12%\n"),
    Answer(ended=Ended.NOT_RUN, exit_status=None, why="sudo: a password is required"),
]

answers = st.fixed_dictionaries({name: st.sampled_from([*good, *UNSEEN]) for name, good in ANSWERS.items()})
acts = st.one_of(
    st.builds(Act, answers=answers),
    st.just(Act(answers=OK)),
    st.builds(Act, refuses=st.sampled_from([error for error, _ in REFUSALS])),
    st.builds(Act, breaks=st.sampled_from([error for error, _ in REFUSALS])),
    st.just(Act(hangs=True)),
    st.just(Act(silent=True)),
    st.just(Act(forgets=True)),
)


def expected(act: Act) -> set[Outcome]:
    """Return how a host that acts so may end, judged without the code under test."""
    if act.refuses is not None:
        return {next(outcome for error, outcome in REFUSALS if error is act.refuses)}
    if act.breaks is not None:
        return {next(outcome for error, outcome in REFUSALS if error is act.breaks)}
    if act.hangs or act.silent:
        return {Outcome.TIMED_OUT}
    if act.forgets:
        return {Outcome.FAILED}
    if any(act.answers[name] not in good for name, good in ANSWERS.items()):
        return {Outcome.INCOMPLETE}
    return {Outcome.OK} if act.answers in (OK, {name: OK[name] for name in ANSWERS}) else {Outcome.FINDINGS}


class Meddler:
    """An observer that stops the run after so many hosts, and raises at every event."""

    def __init__(self, desk: Desk, stop_after: int | None) -> None:
        self.desk, self.stop_after = desk, stop_after
        self.started, self.ended = list[str](), list[str]()
        self.stopped = False

    def run_started(self, *_: object) -> None:
        self._meddle()

    def host_started(self, host: Host, hearing: Hearing) -> None:
        self.started.append(host.name)
        raise RuntimeError("host_started")

    def host_ended(self, record: HostRecord) -> None:
        self.ended.append(record.host)
        self._meddle()

    def run_ended(self, *_: object) -> None:
        raise RuntimeError("run_ended")

    def _meddle(self) -> None:
        if self.stop_after is not None and len(self.ended) >= self.stop_after and not self.stopped:
            self.stopped = True
            self.desk.stop()
        raise RuntimeError("meddling")


@contextmanager
def opened(home: Path) -> Iterator[Desk]:
    with Desk.open(home, write=True, actor="anna") as desk:
        yield desk


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    with opened(tmp_path_factory.mktemp("accounting") / "home") as desk:
        yield desk


def named(acting: list[Act]) -> dict[str, Act]:
    return {f"host-{number}": act for number, act in enumerate(acting)}


async def diagnosed(
    desk: Desk, request: DiagnoseRequest, acts: dict[str, Act], observer: Meddler
) -> tuple[ActingConnect, RunRecord]:
    """Return how a run ended in which a deadline passes whenever nobody is left whom it does not concern."""
    clock = StoppedClock(asyncio.get_running_loop())
    connect = ActingConnect(acts, all_hang=lambda: clock.leap(1))
    return connect, await desk.diagnose(request, connect=connect, observer=observer)


@settings(max_examples=2000 if SOAK else 60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    acting=st.lists(acts, min_size=1, max_size=8),
    concurrency=st.integers(1, 4),
    stop_after=st.one_of(st.none(), st.integers(0, 6)),
)
@example(acting=[Act(hangs=True)] * 3, concurrency=2, stop_after=0)
@example(acting=[Act()] * 6, concurrency=1, stop_after=3)
@pytest.mark.filterwarnings("ignore:.*never awaited")
def test_every_host_is_accounted_for_and_nothing_unseen_is_green(
    desk: Desk, library: Library, acting: list[Act], concurrency: int, stop_after: int | None
) -> None:
    fleet_of = named(acting)
    meddler = Meddler(desk, stop_after)
    request = asking(library, fleet(*fleet_of), concurrency=concurrency, host_deadline_s=1, languages=("en", "ru"))
    connect, record = asyncio.run(diagnosed(desk, request, fleet_of, meddler))

    outcomes = {host.host: host.outcome for host in record.hosts}
    assert list(outcomes) == list(fleet_of)
    assert record.coverage.targeted == sum(record.coverage.counts.values()) == len(acting)
    assert meddler.started == list(fleet_of)[: len(meddler.started)]
    assert connect.connected == [host for host in meddler.started if host in connect.connected]
    assert sorted(meddler.ended) == sorted(fleet_of)
    for host, outcome in outcomes.items():
        allowed = expected(fleet_of[host])
        if meddler.stopped:
            allowed = allowed | {Outcome.INTERRUPTED if host in meddler.started else Outcome.NOT_STARTED}
        assert outcome in allowed, host
        if host not in meddler.started:
            assert outcome is Outcome.NOT_STARTED
    for ended in record.hosts:
        assert ended.error is not None or ended.diagnosis is not None
        if ended.outcome.seen:
            assert ended.diagnosis is not None
            assert all(result.complete for result in ended.diagnosis.results)
            assert all(note.ended is Ended.EXITED and note.exit_status == 0 for note in ended.answers)

    unfinished = {Outcome.INTERRUPTED, Outcome.NOT_STARTED} & set(outcomes.values())
    assert record.state is (RunState.INTERRUPTED if unfinished else RunState.ENDED)
    assert len(record.deliveries) == (0 if unfinished else 2)
    assert desk.record(record.run) == record
    assert all(replayed.same for replayed in desk.replay(record.run, library=library))


@pytest.mark.parametrize(("error", "outcome"), REFUSALS, ids=lambda value: type(value).__name__)
def test_each_error_has_its_outcome_and_its_class_name(
    desk: Desk, library: Library, error: Exception, outcome: Outcome
) -> None:
    for act in (Act(refuses=error), Act(breaks=error)):
        record = asyncio.run(
            desk.diagnose(
                asking(library, fleet("a", "b")), connect=ActingConnect({"a": act, "b": Act()}), observer=Meddler(desk, None)
            )
        )
        failed, fine = record.hosts
        assert (failed.outcome, fine.outcome) == (outcome, Outcome.OK)
        assert failed.error_kind == ("DeadlineExceeded" if isinstance(error, TimeoutError) else type(error).__name__)
        assert failed.error is not None


def test_every_remote_error_has_a_row() -> None:
    from runner.host_run import OUTCOMES

    def tree(kind: type[RemoteError]) -> Iterator[type[RemoteError]]:
        for below in kind.__subclasses__():
            yield below
            yield from tree(below)

    rows = [kind for kind, _ in OUTCOMES]
    own = {kind for kind in tree(RemoteError) if kind.__module__ == "remote.errors"}
    assert own <= set(rows)
    for earlier, kind in enumerate(rows):
        assert not any(issubclass(kind, before) for before in rows[:earlier]), f"{kind} is never reached"


def test_a_question_that_was_not_scripted_ends_the_run(desk: Desk, library: Library) -> None:
    """What every test of a run rests on: nothing here eats a BaseException."""
    acts = {"a": Act(), "b": Act({"disk": OK["disk"]}), "c": Act()}
    with pytest.raises(UnscriptedQuestion):
        asyncio.run(desk.diagnose(asking(library, fleet(*acts)), connect=ActingConnect(acts), observer=Silent()))


def test_a_stop_as_a_host_begins_interrupts_it(desk: Desk, library: Library) -> None:
    class Hasty(Silent):
        def host_started(self, host: Host, hearing: Hearing) -> None:
            desk.stop()

    acts = {"a": Act(hangs=True), "b": Act()}
    request = asking(library, fleet(*acts), concurrency=1)
    record = asyncio.run(desk.diagnose(request, connect=ActingConnect(acts), observer=Hasty()))
    assert [host.outcome for host in record.hosts] == [Outcome.INTERRUPTED, Outcome.NOT_STARTED]
