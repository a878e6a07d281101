"""What every store promises; a second implementation is one more parameter of the fixture."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from diagnostics.verdict import Severity
from runner.outcome import Outcome, RunState
from runner.store.blobs import digest_of
from runner.store.changes import (
    Belonging,
    EndHost,
    Erase,
    HostStates,
    Journalled,
    Prune,
    Recover,
    Rendered,
    ResumeRun,
    Sampled,
    SendFailed,
    Sent,
    TakeLease,
)
from runner.store.errors import HostLeased, StoreDamaged, StoreFailed, StoreReadOnly
from runner.store.opening import make_home
from runner.store.port import Store
from runner.store.rows import Event, OutboxState
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
    assert (whole.journal, whole.samples) == (tuple(lines), (rows.sample(0),)), "what was seen first stays"


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
