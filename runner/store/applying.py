"""What each change does to the tables: found by the class of the change."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from typing import Any

from runner.store import leases, plain
from runner.store.changes import (
    BeginByHand,
    BeginRun,
    Change,
    EndHost,
    EndRun,
    Journalled,
    Note,
    Recover,
    ResumeRun,
    Sampled,
    TakeLease,
)
from runner.store.link import Link


def apply(link: Link, change: Change) -> None:
    """Do what a change says, within the transaction that is open."""
    if (of_a_run := _OF_A_RUN.get(type(change))) is not None:
        of_a_run(link.plain, change)
    else:
        from runner.store.seldom import apply_seldom  # SQLAlchemy, which a run that owes nothing can do without

        apply_seldom(link, change)


_OF_A_RUN: dict[type[Change], Callable[[sqlite3.Connection, Any], None]] = {
    BeginRun: plain.begin_run,
    ResumeRun: plain.resume_run,
    EndHost: plain.end_host,
    EndRun: plain.end_run,
    TakeLease: leases.take,
    BeginByHand: leases.begin_by_hand,
    Journalled: plain.journalled,
    Sampled: plain.sampled,
    Recover: plain.recover,
    Note: plain.note,
}
