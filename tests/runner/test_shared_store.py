"""Several processes that a service has forked write to one store: nothing is lost, nothing of another's run is ended."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

from runner.desk import Desk
from runner.outcome import RunState
from runner.store.changes import Recover
from runner.store.lock import run_held
from runner.store.opening import database, make_home
from runner.store.sql import open_store
from tests.runner.conftest import NOW, Rows

WRITERS, CASES = 4, 25
_SERVICE = """
import os, sys
from pathlib import Path
from runner.desk import Desk, keep_desk
home, writers, cases = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
with keep_desk(home):
    for number in range(writers):
        if os.fork() == 0:
            with Desk.open(home, write=True) as desk:
                for case in range(cases):
                    same = f"what all of them attach as number {case}".encode()
                    desk.case_attach(f"CASE-{number}", f"{case}.txt", same, "text/plain", True, "")
            os._exit(0)
    codes = [os.waitstatus_to_exitcode(os.wait()[1]) for _ in range(writers)]
    print(codes)
"""


def test_writers_of_one_service_take_turns_and_lose_nothing(tmp_path: Path) -> None:
    home = tmp_path / "home"
    words = [sys.executable, "-c", _SERVICE, str(home), str(WRITERS), str(CASES)]
    done = subprocess.run(words, capture_output=True, text=True, check=True, timeout=300, env=os.environ)
    assert done.stdout.strip() == str([0] * WRITERS), done.stderr
    with closing(sqlite3.connect(database(home))) as connection:
        counts = connection.execute("SELECT case_ref, count(*) FROM case_attachment GROUP BY case_ref").fetchall()
        assert counts == [(f"CASE-{number}", CASES) for number in range(WRITERS)]
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    assert not list((home / "blobs" / "new").iterdir())


def test_what_is_on_its_way_elsewhere_is_not_called_interrupted(tmp_path: Path, rows: Rows) -> None:
    home = tmp_path / "home"
    make_home(home)
    alive, dead = "20261130-050000-00000a", "20261130-050000-00000b"
    with closing(open_store(home, write=True)) as store, run_held(home, alive):
        for run in (alive, dead):
            store.write(rows.begin(run=run), [b"content"]).result()
        store.write(Recover(at=NOW, actor="olga", home=home)).result()
        with Desk.open(home, write=False) as desk:
            assert {row.run: row.state for row in desk.runs()} == {alive: RunState.RUNNING, dead: RunState.INTERRUPTED}
    with Desk.open(home, write=False) as desk:  # its process is gone by now, and nobody has written that down
        assert {row.run: row.state for row in desk.runs()} == dict.fromkeys((alive, dead), RunState.INTERRUPTED)
