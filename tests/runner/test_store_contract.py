"""What every store promises; a second implementation is one more parameter of the fixture."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from diagnostics.verdict import Severity
from inventory.errors import Text
from runner.outcome import Outcome, RunKind, RunState
from runner.store.blobs import digest_of
from runner.store.changes import (
    AskApproval,
    BeginByHand,
    Belonging,
    DecideApproval,
    EndHost,
    Erase,
    Freeze,
    Hold,
    HostStates,
    Journalled,
    Muting,
    Prune,
    Recover,
    RemoveHolds,
    Rendered,
    ResumeRun,
    Sampled,
    SendFailed,
    Sent,
    TakeLease,
    Unfreeze,
)
from runner.store.errors import HostInHand, HostLeased, NotApproved, StoreDamaged, StoreFailed, StoreReadOnly
from runner.store.opening import make_home
from runner.store.port import Store
from runner.store.rows import HAND, ApprovalRow, ApprovalState, AuditRow, Event, HandRow, MuteRow, MuteState, OutboxState, Scope
from runner.store.sql import open_store

if TYPE_CHECKING:
    from tests.runner.conftest import Rows

RUN = "20261122-104755-7f3a9c"
Opening = Callable[[bool], AbstractContextManager[Store]]


@pytest.fixture(params=["sqlite"])
def opening(request: pytest.FixtureRequest, home: Path) -> Opening:
    """Return a function that opens the store under test: True to write."""
    assert request.param == "sqlite"
    make_home(home)

    @contextmanager
    def sqlite(write: bool) -> Iterator[Store]:
        with closing(open_store(home, write=write)) as store:
            yield store

    return sqlite


@pytest.fixture
def store(opening: Opening) -> Iterator[Store]:
    with opening(True) as store:
        yield store


def test_an_empty_store_has_nothing(store: Store) -> None:
    assert (store.runs(10), store.run(RUN), store.run_ids("2"), store.states(["a"])) == ((), None, (), ())
    assert (store.outbox(), store.outbox_row(1), store.cases(), store.attachments("x"), store.audit()) == ((), None, (), (), ())


def test_a_run_comes_back_as_it_was_begun(store: Store, rows: Rows) -> None:
    begin = rows.begin(hosts=3)
    store.write(begin, [b"content"]).result()
    whole = store.run(RUN)
    assert whole is not None
    assert (whole.run, whole.hosts, whole.outbox) == (begin.run, begin.hosts, ())
    assert store.blob(begin.run.content_digest) == b"content"
    assert store.audit(RUN) == (begin.audit,) == store.audit()


def test_a_host_comes_back_as_it_ended(store: Store, rows: Rows) -> None:
    store.write(rows.begin(hosts=3))
    store.write(EndHost(host=rows.ended(1)), [b"evidence"]).result()
    whole = store.run(RUN)
    assert whole is not None
    assert whole.hosts == (rows.host(0), rows.ended(1), rows.host(2))
    assert str(whole.hosts[1].error) == "a thing broke"
    assert store.blob(rows.ended(1).evidence_digest or "") == b"evidence"
    assert store.runs(1)[0].counts == {None: 2, Outcome.FINDINGS: 1}


def test_runs_are_listed_newest_first(store: Store, rows: Rows) -> None:
    for second in range(5):
        started_at = rows.now + timedelta(seconds=second)
        store.write(rows.begin(run=f"20261122-10475{second}-aaaaa{second}", started_at=started_at)).result()
    assert [counted.run.run[-1] for counted in store.runs(3)] == ["4", "3", "2"]


@pytest.mark.parametrize(
    ("part", "found"),
    [(RUN, 1), ("20261122", 2), ("7f3a9c", 1), ("1047", 0), ("%", 0), ("20261122-10475_", 0), ("", 2)],
)
def test_runs_are_found_by_either_end(store: Store, rows: Rows, part: str, found: int) -> None:
    for run in (RUN, "20261122-104756-000000"):
        store.write(rows.begin(run=run)).result()
    assert len(store.run_ids(part)) == found


def test_the_end_of_a_run_owes_its_reports_once(store: Store, rows: Rows) -> None:
    store.write(rows.begin())
    end = rows.end(outbox=(rows.owed(), rows.owed(language="ru")))
    store.write(end).result()
    store.write(end).result()
    whole = store.run(RUN)
    assert whole is not None
    assert (whole.run.state, whole.run.ended_at) == (RunState.ENDED, end.ended_at)
    assert [replace(row, id=0) for row in whole.outbox] == [rows.owed(), rows.owed(language="ru")]
    assert store.outbox() == store.outbox(OutboxState.PENDING) == whole.outbox


def test_a_failed_change_has_no_effect_and_the_next_one_works(store: Store, rows: Rows) -> None:
    store.write(rows.begin()).result()
    with pytest.raises(StoreFailed):
        store.write(rows.begin()).result()  # the id is taken
    store.write(EndHost(host=rows.ended(0))).result()
    assert len(store.audit()) == 1


def test_a_bad_change_takes_no_other_with_it(store: Store, rows: Rows) -> None:
    store.write(rows.begin(hosts=100)).result()
    good = [store.write(EndHost(host=rows.ended(position))) for position in range(50)]
    bad = store.write(rows.begin())
    good += [store.write(EndHost(host=rows.ended(position))) for position in range(50, 100)]
    assert isinstance(bad.exception(), StoreFailed)
    assert [future.result() for future in good] == [None] * 100
    assert store.runs(1)[0].counts == {Outcome.FINDINGS: 100}


def test_a_fault_of_ours_reaches_the_caller_and_the_writer_lives(store: Store, rows: Rows) -> None:
    naive = replace(rows.ended(0), ended_at=rows.now.replace(tzinfo=None))
    assert store.write(EndHost(host=naive)).exception() is not None
    store.write(rows.begin()).result()


def test_interrupted_runs_are_recovered_with_every_host_accounted_for(store: Store, rows: Rows) -> None:
    store.write(rows.begin(hosts=3))
    store.write(EndHost(host=rows.ended(1)))
    other = "20261122-104756-000000"
    store.write(rows.begin(run=other))
    store.write(rows.end(run=other))
    store.write(Recover(at=rows.now, actor="boris")).result()
    whole = store.run(RUN)
    assert whole is not None
    assert whole.run.state is RunState.INTERRUPTED
    assert [host.outcome for host in whole.hosts] == [Outcome.INTERRUPTED, Outcome.FINDINGS, Outcome.INTERRUPTED]
    ended = store.run(other)
    assert ended is not None
    assert ended.run.state is RunState.ENDED
    assert [row.action for row in store.audit(RUN)] == ["run.started", "run.recovered"]


def test_a_resumed_run_runs_again(store: Store, rows: Rows) -> None:
    store.write(rows.begin(hosts=2))
    store.write(EndHost(host=rows.ended(0)))
    store.write(Recover(at=rows.now, actor="boris"))
    moved = rows.host(1, address="198.51.100.7")
    run = rows.run(versions={"longarm": "0.2.0"})
    store.write(ResumeRun(run=run, hosts=(moved,), audit=rows.audit("run.resumed"))).result()
    whole = store.run(RUN)
    assert whole is not None
    assert (whole.run, whole.hosts) == (run, (rows.ended(0), moved))


def test_states_are_those_of_the_last_completed_run(store: Store, rows: Rows) -> None:
    store.write(rows.begin())
    inode = rows.state(check="fs-inodes", severity=Severity.CRITICAL)
    first = HostStates(host="db-0", ended_at=rows.now, checks=("fs-space", "fs-inodes"), states=(rows.state(), inode))
    store.write(rows.end(states=(first,))).result()
    assert set(store.states(["db-0", "db-1"])) == {rows.state(), inode}

    again = "20261122-104756-000000"
    store.write(rows.begin(run=again))
    clear = HostStates(host="db-0", ended_at=rows.now + timedelta(hours=1), checks=("fs-space",), states=())
    store.write(rows.end(run=again, states=(clear,))).result()
    assert store.states(["db-0"]) == (inode,)  # cleared; what could not be seen stays


def test_a_check_that_saw_a_part_keeps_the_state_of_the_rest(store: Store, rows: Rows) -> None:
    store.write(rows.begin())
    var = rows.state(subject="mount=/var")
    first = HostStates(host="db-0", ended_at=rows.now, checks=("fs-space",), states=(rows.state(), var))
    store.write(rows.end(states=(first,)))
    worse = rows.state(severity=Severity.CRITICAL)
    store.write(rows.end(states=(HostStates(host="db-0", ended_at=rows.now, checks=(), states=(worse,)),))).result()
    assert set(store.states(["db-0"])) == {worse, var}


def test_an_older_look_does_not_overwrite_a_newer_one(store: Store, rows: Rows) -> None:
    newer = "20261122-104756-000000"
    store.write(rows.begin())
    store.write(rows.begin(run=newer))
    store.write(EndHost(host=rows.ended(0, run=newer, ended_at=rows.now + timedelta(hours=1))))
    seen = HostStates(host="db-0", ended_at=rows.now + timedelta(hours=1), checks=("fs-space",), states=())
    store.write(rows.end(run=newer, states=(seen,)))
    old = HostStates(host="db-0", ended_at=rows.now, checks=("fs-space",), states=(rows.state(),))
    store.write(rows.end(states=(old,))).result()
    assert store.states(["db-0"]) == ()


def test_states_of_many_hosts_are_found(store: Store, rows: Rows) -> None:
    store.write(rows.begin())
    names = [f"h{number}" for number in range(1200)]
    states = tuple(
        HostStates(host=name, ended_at=rows.now, checks=("fs-space",), states=(rows.state(host=name),)) for name in names
    )
    store.write(rows.end(states=states)).result()
    assert len(store.states(names)) == 1200


@pytest.fixture
def owed(store: Store, rows: Rows) -> int:
    store.write(rows.begin())
    store.write(rows.end(outbox=(rows.owed(),))).result()
    return store.outbox()[0].id


def test_the_first_rendering_stands(store: Store, owed: int) -> None:
    for data in (b"first", b"second"):
        store.write(Rendered(id=owed, filename="report.html", digest=digest_of(data)), [data]).result()
    (row,) = store.outbox(OutboxState.RENDERED)
    assert store.blob(row.digest) == b"first"


def test_what_was_sent_stays_sent(store: Store, rows: Rows, owed: int) -> None:
    store.write(SendFailed(id=owed, error="503"))
    store.write(Rendered(id=owed, filename="report.html", digest=digest_of(b"first")), [b"first"])
    store.write(SendFailed(id=owed, error="504")).result()
    assert [(row.error, row.attempts, row.digest) for row in store.outbox(OutboxState.FAILED)] == [
        ("504", 2, digest_of(b"first"))
    ]
    sent = Sent(id=owed, audit=rows.audit("report.sent", at=rows.now + timedelta(seconds=60)))
    store.write(sent)
    store.write(sent)
    store.write(SendFailed(id=owed, error="late")).result()
    row = store.outbox_row(owed)
    assert row is not None
    assert (row.state, row.attempts, row.error, row.sent_at) == (OutboxState.SENT, 3, "", sent.audit.at)
    assert [entry.action for entry in store.audit()].count("report.sent") == 1


def test_a_file_is_attached_once(store: Store, rows: Rows) -> None:
    for _ in range(3):
        store.write(rows.attach(), [b"<html>"]).result()
    store.write(rows.attach(b"other"), [b"other"]).result()
    assert store.attachments("DEMO-1") == (rows.attach().attachment, rows.attach(b"other").attachment)
    (case,) = store.cases()
    assert (case.ref, case.attachments, case.customer) == ("DEMO-1", 2, "acme")
    assert len(store.audit()) == 2


def test_a_case_has_the_customers_of_its_runs_and_files(store: Store, rows: Rows) -> None:
    assert store.customers("DEMO-1") == ()
    store.write(rows.attach()).result()
    assert store.customers("DEMO-1") == ("acme",)
    begin = rows.begin(hosts=3)
    hosts = tuple(replace(host, customer=customer) for host, customer in zip(begin.hosts, ("zeta", None, "beta"), strict=True))
    store.write(replace(begin, hosts=hosts), [b"content"]).result()
    assert store.customers("DEMO-1") == ("acme", "beta", "zeta") and store.customers("DEMO-2") == ()


def test_a_kept_blob_is_verified(store: Store) -> None:
    for digest in (digest_of(b"never kept"), "../../etc/passwd", ""):
        with pytest.raises(StoreDamaged):
            store.blob(digest)


def test_a_reader_is_not_blocked_by_a_writer_and_sees_only_what_is_acknowledged(opening: Opening, rows: Rows) -> None:
    with opening(True) as writer, opening(False) as reader:
        assert reader.runs(1) == ()
        pending = [writer.write(rows.begin(hosts=200))]
        for position in range(200):
            pending.append(writer.write(EndHost(host=rows.ended(position)), [b"evidence %d" % position]))
            assert sum(sum(counted.counts.values()) for counted in reader.runs(1)) in (0, 200)
        for future in pending:
            future.result()
        assert reader.runs(1)[0].counts == {Outcome.FINDINGS: 200}


def test_a_reader_refuses_to_write(opening: Opening, rows: Rows) -> None:
    with opening(True):
        pass
    with opening(False) as reader, pytest.raises(StoreReadOnly):
        reader.write(rows.begin())


def test_what_was_acknowledged_is_there_after_reopening(opening: Opening, rows: Rows) -> None:
    with opening(True) as store:
        store.write(rows.begin())
        store.write(EndHost(host=rows.ended(0)), [b"evidence"])  # closing writes what was handed over
    with opening(False) as store:
        whole = store.run(RUN)
        assert whole is not None
        assert whole.hosts[0] == rows.ended(0)
    with opening(True) as store:
        assert store.blob(digest_of(b"evidence")) == b"evidence"


def test_a_journal_comes_back_in_the_order_in_which_it_was_written(store: Store, rows: Rows) -> None:
    store.write(rows.begin(hosts=2))
    lines = [
        rows.line(0, Event.INTENT, key="s1", data={"ident": "a", "attempt": 1, "diff": ["+x"]}),
        rows.line(1, Event.INTENT, key="s1"),
        rows.line(0, Event.END, key="s1", stdout=b"\x00said" * 1000, stderr=b"\xff"),
    ]
    for line in lines:
        store.write(Journalled(line=line))
    store.write(Sampled(sample=rows.sample(0)), [b"evidence"])
    store.write(Sampled(sample=rows.sample(0, diagnosis=b"another"))).result()
    whole = store.run(RUN)
    assert whole is not None
    assert (whole.journal, whole.samples) == (tuple(lines), (rows.sample(0, diagnosis=b"another"),)), "what was seen last"


def test_lines_of_a_journal_come_back_with_their_scripts(store: Store, rows: Rows) -> None:
    lines = [
        rows.line(at, Event.PLAN, key="s1", script=script) for at, script in enumerate(("echo é \udcff", "", "echo é \udcff"))
    ]
    store.write(rows.begin(hosts=3))
    for line in lines:
        store.write(Journalled(line=line))
    store.write(rows.end()).result()
    whole = store.run(RUN)
    assert whole is not None and whole.journal == tuple(lines)


def test_one_run_at_a_time_has_the_lease_of_a_host(store: Store, rows: Rows) -> None:
    other = "20261122-104756-000000"
    store.write(rows.begin())
    store.write(rows.begin(run=other)).result()
    store.write(TakeLease(lease=rows.lease(token=7))).result()
    with pytest.raises(HostLeased) as refused:
        store.write(TakeLease(lease=rows.lease(run=other, token=9))).result()
    assert refused.value.holder == rows.lease(token=7)
    assert store.leases() == (rows.lease(token=7),)
    store.write(TakeLease(lease=rows.lease(token=3))).result()  # the same run, resumed: its old process is fenced
    assert store.lease("db-0") == rows.lease(token=8)
    store.write(EndHost(host=rows.ended(0))).result()
    assert (store.leases(), store.lease("db-0")) == ((), rows.lease(token=8, held=False))
    store.write(TakeLease(lease=rows.lease(run=other, token=8))).result()
    assert store.lease("db-0") == rows.lease(run=other, token=9)


@pytest.mark.parametrize("is_open", [True, False])
def test_the_lease_of_a_run_that_was_cut_off_is_taken_over_where_nothing_is_open(
    store: Store, rows: Rows, is_open: bool
) -> None:
    other = "20261122-104756-000000"
    store.write(rows.begin())
    store.write(TakeLease(lease=rows.lease(token=7)))
    store.write(Journalled(line=rows.line(0, Event.INTENT, key="s1")))
    if not is_open:
        store.write(Journalled(line=rows.line(0, Event.END, key="s1")))
    store.write(Recover(at=rows.now, actor="anna"))
    store.write(rows.begin(run=other)).result()
    taking = store.write(TakeLease(lease=rows.lease(run=other, token=8)))
    if is_open:
        assert isinstance(taking.exception(), HostLeased)
    else:
        taking.result()
        assert store.lease("db-0") == rows.lease(run=other, token=8)


IVANS, OLGAS = "20261122-104756-000001", "20261122-104756-000002"


def beside(rows: Rows, run: str, actor: str, reason: str) -> AuditRow:
    return rows.audit("host.beside", run=run, actor=actor, detail=reason, customers=("acme",), case="DEMO-1")


def by_hand(rows: Rows, run: str = IVANS, actor: str = "ivan", why: str = "", **values: Any) -> BeginByHand:
    row: dict[str, Any] = {
        "run": run,
        "host": "db-0",
        "customer": "acme",
        "actor": actor,
        "kind": RunKind.COMMAND,
        "what": "host run: uptime",
        "since": rows.now,
        "until": rows.now + timedelta(seconds=60),
        "outcome": None,
        "beside": "",
    }
    return BeginByHand(hand=HandRow(**{**row, **values}), position=0, beside=beside(rows, run, actor, why) if why else None)


def test_a_host_is_one_runs_or_one_persons(store: Store, rows: Rows) -> None:
    for run, actor in ((RUN, "anna"), (IVANS, "ivan"), (OLGAS, "olga")):
        store.write(rows.begin(run=run, actor=actor)).result()
    store.write(by_hand(rows)).result()
    assert store.at_work(rows.now) == store.at_work(rows.now, "db-0") == (by_hand(rows).hand,)
    assert store.at_work(rows.now, "db-1") == ()
    for change in (by_hand(rows, OLGAS, "olga"), TakeLease(lease=rows.lease(token=7))):
        with pytest.raises(HostInHand) as refused:
            store.write(change).result()
        assert refused.value.hand == by_hand(rows).hand
    assert store.lease("db-0") is None
    store.write(Journalled(line=rows.line(0, Event.END, key=HAND, run=IVANS))).result()
    assert store.at_work(rows.now) == ()
    store.write(TakeLease(lease=rows.lease(token=7))).result()
    with pytest.raises(HostLeased):
        store.write(by_hand(rows, OLGAS, "olga")).result()
    store.write(by_hand(rows, OLGAS, "olga", "it burns")).result()
    (row,) = [row for row in store.audit(OLGAS) if row.action == "host.beside"]
    assert (row.actor, row.case, row.detail.endswith("; beside it: it burns")) == ("olga", "DEMO-1", True)
    evas = OLGAS[:-1] + "5"
    store.write(rows.begin(run=evas, actor="eva")).result()
    store.write(by_hand(rows, evas, "eva", "all three of us")).result()
    (row,) = [row for row in store.audit(evas) if row.action == "host.beside"]
    assert f"is being changed by run {RUN}" in row.detail and f"olga works on db-0 by hand since {rows.now:%Y}" in row.detail
    store.write(Journalled(line=rows.line(0, Event.END, key=HAND, run=evas))).result()
    with pytest.raises(HostInHand):  # that run goes on: it has its lease, and has somebody beside it
        store.write(TakeLease(lease=rows.lease(token=7))).result()
    store.write(TakeLease(lease=rows.lease(token=7), beside=beside(rows, RUN, "anna", "olga knows"))).result()
    assert store.lease("db-0") == rows.lease(token=8)
    assert [row.detail[-10:] for row in store.audit(RUN) if row.action == "host.beside"] == ["olga knows"]


@pytest.mark.parametrize("outcome", [Outcome.UNKNOWN, Outcome.FAILED, Outcome.TIMED_OUT, None])
@pytest.mark.parametrize("seen", [False, True])
def test_what_nobody_saw_end_has_its_host_until_its_deadline_and_no_longer(
    store: Store, rows: Rows, outcome: Outcome | None, seen: bool
) -> None:
    store.write(rows.begin())
    store.write(rows.begin(run=IVANS, actor="ivan"))
    store.write(by_hand(rows)).result()
    if seen:
        store.write(Journalled(line=rows.line(0, Event.END, key=HAND, run=IVANS)))
    gone = Recover(at=rows.now, actor="anna") if outcome is None else EndHost(host=rows.ended(0, run=IVANS, outcome=outcome))
    store.write(gone).result()
    for after_s, there in ((0, not seen), (59, not seen), (60, False)):
        now = rows.now + timedelta(seconds=after_s)
        assert bool(store.at_work(now)) is there
        taking = store.write(TakeLease(lease=rows.lease(run=IVANS[:-1] + "9", since=now)))
        assert isinstance(taking.exception(), HostInHand) is there, after_s


def test_what_was_done_by_hand_is_told_since_a_run_began_on_its_host(store: Store, rows: Rows) -> None:
    early, late = rows.now - timedelta(hours=1), rows.now + timedelta(hours=1)
    between = rows.now + timedelta(minutes=1)
    store.write(rows.begin())
    for run, since in ((IVANS, early), (OLGAS[:-1] + "4", between), (OLGAS, late)):
        store.write(rows.begin(run=run, started_at=since))
        store.write(by_hand(rows, run, since=since, until=since))
        store.write(EndHost(host=rows.ended(0, run=run, ended_at=since))).result()
    store.write(rows.begin(run=OLGAS[:-1] + "3", started_at=early))
    store.write(by_hand(rows, OLGAS[:-1] + "3", since=early, until=early + timedelta(minutes=1)))
    store.write(EndHost(host=rows.ended(0, run=OLGAS[:-1] + "3", outcome=Outcome.INTERRUPTED, ended_at=None)))
    store.write(Sampled(sample=rows.sample(0)))
    store.write(Sampled(sample=rows.sample(1, at=late + timedelta(hours=1))))
    store.write(Journalled(line=replace(rows.line(0, Event.INTENT, key="s1"), at=between + timedelta(minutes=1)))).result()
    assert [hand.run for hand in store.by_hand_since("db-0", RUN)] == [OLGAS[:-1] + "4", OLGAS], "it has looked before"
    assert store.by_hand_since("db-1", RUN) == ()
    assert store.worked_since("db-0", RUN) is None, "that is about repairs"
    store.write(EndHost(host=rows.ended(0, run=IVANS, ended_at=late))).result()
    told = [hand.run for hand in store.by_hand_since("db-0", RUN)]
    assert told == [IVANS, OLGAS[:-1] + "4", OLGAS], "what went on beside it counts"


def test_what_came_after_a_repair_is_known_though_the_clock_was_stepped_back(store: Store, rows: Rows) -> None:
    back = rows.now - timedelta(hours=1)

    def steps(run: str, at: datetime) -> None:
        for event in (Event.INTENT, Event.END):
            store.write(Journalled(line=replace(rows.line(0, event, key="s1", run=run), at=at)))

    store.write(rows.begin())
    store.write(Sampled(sample=rows.sample(0)))
    steps(RUN, rows.now)
    store.write(rows.begin(run=IVANS, started_at=back))
    store.write(by_hand(rows, since=back, until=back))
    store.write(EndHost(host=rows.ended(0, run=IVANS, ended_at=back)))
    store.write(rows.begin(run=OLGAS, started_at=back))
    steps(OLGAS, back)
    store.write(rows.end()).result()
    assert (store.worked_since("db-0", RUN), store.worked_since("db-0", OLGAS)) == (OLGAS, None)
    assert store.worked_since("db-0", RUN, OLGAS) is None
    assert [hand.run for hand in store.by_hand_since("db-0", RUN)] == [IVANS]


def test_a_shell_that_was_cut_off_beside_a_repair_is_told(store: Store, rows: Rows) -> None:
    """Nobody knows when it ended: at the latest as that was found."""
    early, later = rows.now - timedelta(hours=1), rows.now + timedelta(minutes=5)
    store.write(rows.begin(run=IVANS, started_at=early))
    store.write(by_hand(rows, kind=RunKind.TERMINAL, what="host shell", since=early, until=early))
    store.write(rows.begin())
    store.write(Sampled(sample=rows.sample(0))).result()
    store.write(Recover(at=later, actor="anna")).result()
    assert store.at_work(later) == (), "it ended with its connection"
    (told,) = store.by_hand_since("db-0", RUN)
    assert (told.run, told.until, told.outcome) == (IVANS, later, Outcome.INTERRUPTED)


def test_what_was_pruned_or_erased_of_a_repair_is_gone(store: Store, rows: Rows) -> None:
    store.write(rows.begin(hosts=1))
    store.write(TakeLease(lease=rows.lease(token=7)))
    store.write(Journalled(line=rows.line(0, Event.END, key="s1", stdout=b"said")))
    store.write(Sampled(sample=rows.sample(0)), [b"evidence"])
    store.write(rows.end()).result()
    found = store.prunable(before=None, keep=0, cases=True)
    assert (found.runs, found.hosts, found.evidence) == ((RUN,), 1, (digest_of(b"evidence"),))
    store.write(Prune(runs=(RUN,), orphans=(), audit=rows.audit("store.pruned"))).result()
    whole = store.run(RUN)
    assert whole is not None
    assert [line.stdout for line in whole.journal] == [b""]
    assert [sample.pruned_at for sample in whole.samples] == [rows.now]
    store.write(Erase(belonging=Belonging(customer="acme"), audit=rows.audit("store.erased", run=None))).result()
    assert (store.run(RUN), store.lease("db-0")) == (None, None)


@pytest.mark.parametrize("kind", RunKind)
def test_what_can_go_on_is_pruned_only_by_name(store: Store, rows: Rows, kind: RunKind) -> None:
    store.write(rows.begin(hosts=1, case=None, request={**rows.run().request, "kind": kind.value}))
    store.write(EndHost(host=rows.ended(0)), [b"evidence"]).result()
    for named in ((), (RUN,)):
        assert store.prunable(before=None, keep=0, cases=True, named=named).runs == (), "it is on its way"
    store.write(rows.end(state=RunState.INTERRUPTED, ended_at=None)).result()
    found = store.prunable(before=None, keep=0, cases=True)
    assert (found.runs, found.kept_to_go_on) == (((), 1) if kind.resumable else ((RUN,), 0))
    by_name = store.prunable(before=rows.now, keep=9, cases=False, named=(RUN,))
    assert (by_name.runs, by_name.hosts, by_name.kept_to_go_on) == ((RUN,), 1, 0)
    store.write(rows.end()).result()
    assert store.prunable(before=None, keep=0, cases=True).runs == (RUN,)


def test_holds_and_freezes_stay_once_they_are_removed(store: Store, rows: Rows) -> None:
    holds = tuple(rows.hold(host=f"db-{number}") for number in range(2))
    store.write(Hold(holds=holds, audit=rows.audit("hold.added", run=None)))
    store.write(Freeze(freeze=rows.freeze(until=None), audit=rows.audit("freeze.added", run=None))).result()
    first, second = store.holds()
    (frozen,) = store.freezes()
    assert (replace(first, id=0), replace(second, id=0), replace(frozen, id=0)) == (*holds, rows.freeze(until=None))
    assert (store.holds(["db-1", "db-9"]), store.holds([])) == ((second,), ())
    later = rows.now + timedelta(hours=1)
    audit = rows.audit("hold.removed", run=None, at=later, actor="boris")
    for change in (RemoveHolds(ids=(first.id,), audit=audit), Unfreeze(ids=(frozen.id,), audit=audit)):
        store.write(change).result()
        store.write(replace(change, audit=replace(audit, actor="clara"))).result()
    gone: dict[str, Any] = {"removed_at": later, "removed_by": "boris"}
    assert (store.holds(), store.holds(past=True)) == ((second,), (replace(first, **gone), second))
    assert (store.freezes(), store.freezes(past=True)) == ((), (replace(frozen, **gone),))
    assert [row.action for row in store.audit()][:2] == ["hold.added", "freeze.added"]


def test_holds_of_many_hosts_are_found(store: Store, rows: Rows) -> None:
    holds = tuple(rows.hold(host=f"db-{number}") for number in range(1200))
    store.write(Hold(holds=holds, audit=rows.audit("hold.added", run=None))).result()
    assert [row.host for row in store.holds([row.host for row in holds])] == [row.host for row in holds]


@pytest.mark.parametrize("after_s", [-1, 0, 1])
def test_what_is_over_by_itself_counts_until_that_very_moment(rows: Rows, after_s: int) -> None:
    until = rows.now + timedelta(hours=1)
    moment = until + timedelta(seconds=after_s)
    assert rows.hold(until=until).counts(moment) is rows.freeze(until=until).counts(moment) is (after_s < 0)
    assert rows.hold(until=None).counts(moment)
    assert not rows.hold(until=None, removed_at=rows.now).counts(moment)


def mutes_of(store: Store) -> tuple[MuteRow, ...]:
    whole = store.run(RUN)
    assert whole is not None
    return whole.mutes


def test_what_was_muted_is_known_until_it_is_unmuted(store: Store, rows: Rows) -> None:
    store.write(rows.begin())
    store.write(Muting(mute=rows.mute(state=MuteState.MUTING), audit=rows.audit("monitoring.muting"))).result()
    assert mutes_of(store) == (rows.mute(state=MuteState.MUTING),)
    store.write(Muting(mute=rows.mute(hook="other", state=MuteState.FAILED, error=Text("{what} is down", what="it"))))
    store.write(Muting(mute=rows.mute(reference="silence-1"))).result()
    assert store.left_muted() == (), "its run sees to it itself"
    store.write(Recover(at=rows.now, actor="anna")).result()
    assert store.left_muted() == (rows.mute(reference="silence-1"),)
    store.write(Muting(mute=rows.mute(state=MuteState.UNMUTED))).result()
    assert (store.left_muted(), [mute.state for mute in mutes_of(store)]) == ((), [MuteState.UNMUTED, MuteState.FAILED])
    assert [str(mute.error) for mute in mutes_of(store) if mute.error] == ["it is down"]


def test_what_a_customer_held_or_froze_is_erased_with_the_rest(store: Store, rows: Rows) -> None:
    store.write(Hold(holds=(rows.hold(), rows.hold(host="x", customer=None)), audit=rows.audit("hold.added", run=None)))
    for scope, name in ((Scope.CUSTOMER, "acme"), (Scope.SITE, "acme"), (Scope.DESK, None)):
        store.write(Freeze(freeze=rows.freeze(scope=scope, name=name), audit=rows.audit("freeze.added", run=None))).result()
    assert store.erasable(Belonging(customer="acme")).stops == 2
    assert store.erasable(Belonging(case="DEMO-1")).nothing
    store.write(Erase(belonging=Belonging(customer="acme"), audit=rows.audit("store.erased", run=None))).result()
    assert ([row.host for row in store.holds()], [row.scope for row in store.freezes()]) == (["x"], [Scope.SITE, Scope.DESK])


def test_an_approval_is_decided_once_used_once_and_goes_with_its_run(store: Store, rows: Rows) -> None:
    plan, repair = "20261122-110000-aaaaaa", "20261122-120000-bbbbbb"
    store.write(rows.begin(run=plan), [b"content"]).result()
    row = ApprovalRow(run=plan, asked_by="anna", bound={"playbook": "a" * 64}, expires_at=rows.now + timedelta(hours=4))
    store.write(AskApproval(approval=row, audit=rows.audit("approval.asked", run=plan))).result()
    whole = store.run(plan)
    assert whole is not None and whole.approval == row and store.approvals([plan, "x"]) == (row,)
    with pytest.raises(NotApproved, match="was not approved, or was begun already"):
        store.write(replace(rows.begin(run=repair), approved=plan)).result()
    assert store.run(repair) is None
    approved = replace(row, state=ApprovalState.APPROVED, decided_by="boris", decided_at=rows.now, reason="seen")
    decide = DecideApproval(approval=approved, was=ApprovalState.WAITING, audit=rows.audit("approval.approved", run=plan))
    store.write(decide).result()
    with pytest.raises(NotApproved, match="somebody was first"):
        store.write(decide).result()
    assert [one.action for one in store.audit(plan)] == ["run.started", "approval.asked", "approval.approved"]
    store.write(replace(rows.begin(run=repair), approved=plan)).result()
    assert store.approvals([plan]) == (replace(approved, state=ApprovalState.BEGUN, begun_as=repair),)
    with pytest.raises(NotApproved, match="begun already"):
        store.write(replace(rows.begin(run="20261122-130000-cccccc"), approved=plan)).result()
    void = replace(row, state=ApprovalState.VOID, void=Text("{what} differs", what="it"))
    store.write(DecideApproval(approval=void, was=ApprovalState.BEGUN, audit=rows.audit("approval.void", run=plan))).result()
    assert store.approvals([plan])[0].void == Text("{what} differs", what="it")
    store.write(Erase(belonging=Belonging(customer="acme"), audit=rows.audit("store.erased", run=None))).result()
    assert store.approvals([plan]) == ()
