"""Killed at each step to the disk of a delivered run, a backup, a restoration, a prune and an erasure: every one of them."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from diagnostics.library import Library
from runner.desk import Desk
from runner.observer import Silent
from runner.outcome import RunState
from runner.record import RunRecord
from runner.store import opening
from runner.store.changes import Belonging
from runner.store.errors import NothingBelongs, StoreNotEmpty
from tests.runner.fleet import ActingConnect, asking, fleet, inventory_of
from tests.runner.killed_run import ACTS, FIVE, deliver_all
from tests.runner.killer import Killer, Told, finished
from tests.runner.test_keeping import everything

pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def used(tmp_path_factory: pytest.TempPathFactory, library: Library) -> Path:
    """Return a home with a run of five hosts, delivered to its case, and another run for none; to copy."""
    home = tmp_path_factory.mktemp("used") / "home"
    with Desk.open(home, write=True, actor="anna") as desk:
        for case in ("DEMO-1", None):
            request = asking(library, fleet(*FIVE), case=case)
            record = asyncio.run(desk.diagnose(request, connect=ActingConnect(ACTS), observer=Silent()))
            (home / "reports").mkdir(mode=0o700, exist_ok=True)
            (home / "reports" / f"{record.run}.html").write_text(f"of {case}")
        deliver_all(desk)
    return home


@pytest.fixture(scope="module")
def backup(used: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a backup of the used home."""
    path = tmp_path_factory.mktemp("backup") / "kept.tar"
    with Desk.open(used, write=False) as desk:
        desk.backup(path)
    return path


def killed_at_each_step(killer: Killer, scratch: Path, like: Path | None, **order: str | int) -> Iterator[tuple[Path, Told]]:
    """Yield the home that each kill left, made like another one, and what was told before."""
    for step in range(1, steps(killer, scratch, like, **order) + 1):
        home = scratch / f"home-{step}"
        if like is not None:
            shutil.copytree(like, home)
        told = killer.order(home, kill_at=step, **order)
        assert told.status == -9, "it was not killed"
        yield home, told
        shutil.rmtree(home, ignore_errors=True)


def steps(killer: Killer, scratch: Path, like: Path | None, **order: str | int) -> int:
    """Return how many steps the whole job takes."""
    if like is not None:
        shutil.copytree(like, scratch / "whole")
    whole = killer.order(scratch / "whole", **order)
    assert (whole.status, whole.steps > 0, whole.past) == (0, True, [])
    shutil.rmtree(scratch / "whole")
    (scratch / "kept.tar").unlink(missing_ok=True)
    return whole.steps


def test_a_delivered_run_killed_at_any_step_is_there_once(
    killer: Killer, template: Path, scratch: Path, library: Library
) -> None:
    for home, told in killed_at_each_step(killer, scratch, template, job="deliver", seed=0):
        with Desk.open(home, write=True) as desk:
            if not desk.runs():
                assert not told.hosts
                continue
            record = desk.record(desk.runs()[0].run)
            assert set(told.hosts) <= set(finished(record))
            assert len(set(finished(record)) - set(told.hosts)) <= 1
            if record.state is RunState.INTERRUPTED:
                inventory, connect = inventory_of(fleet(*FIVE)), ActingConnect(ACTS)
                asyncio.run(desk.resume(record.run, inventory=inventory, library=library, connect=connect, observer=Silent()))
            deliver_all(desk)
            check_one_delivery(desk, desk.record(record.run))
            assert desk.verify().problems == ()


def check_one_delivery(desk: Desk, record: RunRecord) -> None:
    assert len(record.hosts) == len(finished(record)) == len(FIVE)
    (row,), (file,) = desk.outbox(), desk.case_attachments("DEMO-1")
    assert (row.state, row.digest) == ("sent", file.digest)
    actions = [entry.action for entry in desk.audit(record.run)]
    assert (actions.count("report.sent"), actions.count("run.ended")) == (1, 1)
    assert [entry.action for entry in desk.audit()].count("case.attached") == 1


def test_a_backup_killed_at_any_step_is_whole_or_not_there(killer: Killer, used: Path, scratch: Path) -> None:
    path = scratch / "kept.tar"
    for home, _ in killed_at_each_step(killer, scratch, used, job="backup", backup=str(path)):
        with Desk.open(home, write=False) as desk:
            if not path.exists():
                desk.backup(path)
                assert not path.with_name("kept.tar.part").exists()
            assert desk.verify().problems == ()
            runs = desk.runs()
        Desk.restore(scratch / "restored", path)
        with Desk.open(scratch / "restored", write=False) as desk:
            assert desk.runs() == runs
        shutil.rmtree(scratch / "restored")
        path.unlink()
        shutil.rmtree(path.with_name("kept.tar.part"), ignore_errors=True)  # the next backup to this name would, too


def test_a_restoration_killed_at_any_step_is_whole_or_not_begun(
    killer: Killer, used: Path, backup: Path, scratch: Path
) -> None:
    with Desk.open(used, write=False) as desk:
        runs = desk.runs()
    for home, _ in killed_at_each_step(killer, scratch, None, job="restore", backup=str(backup)):
        if opening.schema_of(home) is None:
            Desk.restore(home, backup)
        else:
            with pytest.raises(StoreNotEmpty):
                Desk.restore(home, backup)
        with Desk.open(home, write=True) as desk:
            assert desk.runs() == runs
            found = desk.verify()
            assert (found.problems, found.orphans) == ((), 0)
            assert [row.action for row in desk.audit()].count("store.restored") == 1
        assert not (home / "restoring").exists()


def test_a_prune_killed_at_any_step_is_finished_or_not_begun(
    killer: Killer, used: Path, scratch: Path, library: Library
) -> None:
    begun = 0
    for home, _ in killed_at_each_step(killer, scratch, used, job="prune"):
        with Desk.open(home, write=True) as desk:
            found = desk.verify()
            assert (found.problems, found.orphans) == ((), 0)
            pruned = found.pruned > 0
            begun += pruned
            assert [row.action for row in desk.audit()].count("store.pruned") == pruned
            for run in desk.runs():
                assert {replayed.same for replayed in desk.replay(run.run, library=library)} == {None if pruned else True}
            assert desk.prunable(older_than=None, keep=0, cases=True).nothing == pruned
    assert begun


def test_an_erasure_killed_at_any_step_is_finished_or_not_begun(killer: Killer, used: Path, scratch: Path) -> None:
    begun = 0
    for home, _ in killed_at_each_step(killer, scratch, used, job="erase"):
        with Desk.open(home, write=True) as desk:
            found = desk.verify()
            assert (found.problems, found.orphans) == ((), 0)
            erased = len(desk.runs()) == 1
            begun += erased
            assert [row.action for row in desk.audit()].count("store.erased") == erased
            assert (b"DEMO-1" in everything(home)) != erased
            if erased:
                with pytest.raises(NothingBelongs):
                    desk.erase(Belonging(case="DEMO-1"))
        assert len(list((home / "reports").iterdir())) == (1 if erased else 2)
    assert begun
