"""What follows a run: its own result stands first, whatever becomes of the reports that others wait for."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing

from tests.console.conftest import Console


def test_a_damaged_run_hides_no_later_result(practice: Callable[..., Console]) -> None:
    console = practice("--hosts", "2")
    assert console("diagnose", "lab-web-01", "--case", "OLD-1").code == 0
    with closing(sqlite3.connect(console.home / "longarm.db")) as store, store:
        store.execute("UPDATE outbox SET state = 'pending', digest = '', filename = ''")
    for blob in (console.home / "blobs").glob("??/*"):
        blob.unlink()
    later = console("diagnose", "lab-db-01", "--case", "NEW-1")
    assert later.code == 1, later.err
    assert "1 targeted = 1 seen" in later.out
    assert "not on case OLD-1 yet: evidence" in later.err
    (step,) = {line.partition("longarm ")[2] for line in later.err.splitlines() if "case deliver" in line}
    assert console(*step.split()).code == 7  # a command that there is: the report still waits
    assert later.err.index("report: ") > later.err.index("to case NEW-1")
