"""What a store holds, its audit tells of: a line that is gone is found, also where the whole chain was made anew without it."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from runner.desk import Desk
from runner.outcome import RunState
from runner.places import ERASURES
from runner.store.audit_log import AuditLine, Head, chained
from runner.store.blobs import digest_of
from runner.store.changes import (
    AskApproval,
    BeginRun,
    Belonging,
    DecideApproval,
    EndRun,
    Freeze,
    Hold,
    Muting,
    Note,
    Prune,
    Recover,
    RemoveHolds,
    Sent,
    Unfreeze,
)
from runner.store.encoding import kept, line_columns
from runner.store.opening import database, make_home
from runner.store.rows import ApprovalRow, ApprovalState, MuteState
from runner.store.sql import open_store
from runner.store.verifying import verify

if TYPE_CHECKING:
    from tests.runner.conftest import Rows

RUNS = [f"20261122-1047{number:02}-7f3a9c" for number in range(7)]


@pytest.fixture
def told(home: Path, rows: Rows) -> Path:
    """Return a home in which one of everything was done that leaves more than its line."""
    make_home(home)
    ended, cut, gone, declined, void, broken, shared = RUNS
    with closing(open_store(home, write=True)) as store:
        for run in RUNS:
            request = {"concurrency": 5, "break_glass": "the shop is down" if run == broken else ""}
            hosts = (rows.host(0, run), rows.host(1, run, customer="zeta")) if run == shared else (rows.ended(0, run=run),)
            begin = BeginRun(run=rows.run(run, request=request), hosts=hosts, audit=rows.audit(run=run))
            store.write(begin, [b"content", b"evidence"]).result()
            if run == broken:
                store.write(Note(audit=rows.audit("approval.glass_broken", run=run))).result()
            if run not in (cut, gone):
                owed = (rows.owed(run),) if run == ended else ()
                end = EndRun(
                    run=run, state=RunState.ENDED, ended_at=rows.now, audit=rows.audit("run.ended", run=run), outbox=owed
                )
                store.write(end).result()
        interrupted = rows.audit("run.interrupted", run=cut)
        store.write(EndRun(run=cut, state=RunState.INTERRUPTED, ended_at=None, audit=interrupted)).result()
        store.write(Recover(at=rows.now, actor="anna")).result()
        for run, state in ((ended, ApprovalState.APPROVED), (declined, ApprovalState.DECLINED), (void, ApprovalState.VOID)):
            waits = ApprovalRow(run=run, asked_by="anna", bound={}, expires_at=rows.now + timedelta(hours=1))
            store.write(AskApproval(approval=waits, audit=rows.audit("approval.asked", run=run))).result()
            audit = rows.audit(f"approval.{state.value}", run=run)
            decided = DecideApproval(approval=replace(waits, state=state), was=ApprovalState.WAITING, audit=audit)
            store.write(decided).result()
        store.write(Sent(id=1, audit=rows.audit("report.sent", run=ended, at=rows.now + timedelta(minutes=1)))).result()
        store.write(rows.attach(), [b"<html>"]).result()
        store.write(Hold(holds=(rows.hold(), rows.hold(host="db-1")), audit=rows.audit("hold.added", run=None))).result()
        store.write(RemoveHolds(ids=(1,), audit=rows.audit("hold.removed", run=None))).result()
        store.write(Freeze(freeze=rows.freeze(), audit=rows.audit("freeze.added", run=None))).result()
        store.write(Unfreeze(ids=(1,), audit=rows.audit("freeze.removed", run=None))).result()
        for wave, muted in enumerate((MuteState.MUTED, MuteState.UNMUTED, MuteState.FAILED)):
            audit = rows.audit(f"monitoring.{muted.value}", run=ended)
            store.write(Muting(mute=rows.mute(run=ended, wave=wave, state=muted), audit=audit)).result()
        later = rows.audit("store.pruned", run=None, at=rows.now + timedelta(minutes=2))
        store.write(Prune(runs=(ended,), orphans=(), audit=later)).result()
        store.finish()
    with Desk.open(home, write=True, actor="anna") as desk:
        desk.erase(Belonging(customer="zeta"))
    assert verify(home).problems == ()
    return home


def lines_of(home: Path) -> tuple[AuditLine, ...]:
    with closing(open_store(home, write=False)) as store:
        return store.audit_lines()


def remade(home: Path, without: int) -> None:
    """Make the chain anew, as somebody could who may write to the store, without one of its lines."""
    head, made = Head(), []
    for line in lines_of(home):
        if line.number != without:
            made.append(chained(head, line.row))
            head = Head(number=made[-1].number, digest=made[-1].digest)
    with closing(sqlite3.connect(database(home))) as connection:
        connection.execute("DELETE FROM audit")
        for line in made:
            columns = kept(line_columns(line))
            names, marks = ", ".join(columns), ", ".join("?" for _ in columns)
            connection.execute(f"INSERT INTO audit ({names}) VALUES ({marks})", [*columns.values()])
        connection.execute("UPDATE audit_head SET number = ?, digest = ?", (head.number, head.digest))
        connection.commit()


def test_a_line_that_is_gone_is_found_although_the_chain_was_made_anew(told: Path, tmp_path: Path) -> None:
    with closing(sqlite3.connect(database(told))) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    before, lines = database(told).read_bytes(), lines_of(told)
    assert len({line.row.action for line in lines}) == 20
    for line in lines:
        remade(told, without=line.number)
        (problem,) = verify(told).problems
        named = "run.interrupted" if line.row.action == "run.recovered" else line.row.action
        assert f"“{named}”" in str(problem) or named == "case.attached", named
        with closing(sqlite3.connect(database(told))) as connection:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        database(told).write_bytes(before)
    assert verify(told).problems == ()


def test_a_log_that_is_gone_with_its_last_line_is_found(told: Path) -> None:
    with closing(sqlite3.connect(database(told))) as connection:
        connection.execute("DELETE FROM audit")
        connection.execute("DELETE FROM audit_head")
        connection.commit()
    found = [str(problem) for problem in verify(told).problems]
    assert len([one for one in found if "“run.started”" in one]) == len(RUNS)
    assert "report.html on case DEMO-1: the audit has no line of it" in found


def test_a_backup_without_a_line_is_not_whole(told: Path, tmp_path: Path) -> None:
    remade(told, without=next(line.number for line in lines_of(told) if line.row.action == "run.ended"))
    with Desk.open(told, write=False) as desk:
        desk.backup(tmp_path / "kept.tar")
    looked = Desk.verify_backup(tmp_path / "other", tmp_path / "kept.tar")
    assert [str(one) for one in looked.found.problems] == [f"run {RUNS[0]}: the audit has no line “run.ended” of it"]


def test_an_erasure_that_was_cut_off_before_it_was_done_is_no_line_that_is_gone(told: Path, rows: Rows) -> None:
    """It is written beside the store first; whose data is there still was not erased."""
    path = told / ERASURES
    other = json.dumps({"at": rows.now.isoformat(), "digest": digest_of(b"customer:acme")})
    path.write_text(f"{path.read_text()}{other}\n")
    assert verify(told).problems == ()
    other = json.dumps({"at": rows.now.isoformat(), "digest": digest_of(b"customer:beta")})
    path.write_text(f"{path.read_text()}{other}\n")
    assert [str(problem) for problem in verify(told).problems] == [
        "what was done at 2026-11-22 10:47:55 UTC: the audit has no line “store.erased” of it"
    ]
    path.write_text(f"{path.read_text()}x\n")
    assert "is not the record of an erasure" in str(verify(told).problems[0])
