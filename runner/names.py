"""Names of runs, cases, customers and owners of holds, for completion, by plain SQL: opening a desk takes half a second."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from runner.store.opening import SCHEMAS, database, schema_of

_RUNS = "SELECT id FROM run ORDER BY started_at DESC, id DESC LIMIT ?"
_APPROVALS = """
SELECT approval.run FROM approval JOIN run ON run.id = approval.run WHERE approval.state = ?
ORDER BY run.started_at DESC, run.id DESC LIMIT ?
"""
_OWNERS = "SELECT DISTINCT actor FROM hold WHERE removed_at IS NULL ORDER BY actor LIMIT ?"
_CASES = """
SELECT ref FROM (
    SELECT ref, opened_at AS at FROM support_case
    UNION ALL SELECT case_ref, started_at FROM run WHERE case_ref IS NOT NULL
) GROUP BY ref ORDER BY max(at) DESC LIMIT ?
"""
_CUSTOMERS = "SELECT DISTINCT customer FROM host_run WHERE customer IS NOT NULL AND customer != '' ORDER BY customer LIMIT ?"


def latest_runs(home: Path, most: int = 100) -> tuple[str, ...]:
    """Return the ids of the latest runs, newest first; none where there is no store of this version."""
    return _names(home, _RUNS, most)


def runs_of_approval(home: Path, state: str, most: int = 100) -> tuple[str, ...]:
    """Return the ids of the plans whose approval stands so, newest first; none where there is no store of this version."""
    return _names(home, _APPROVALS, state, most)


def owners_of_holds(home: Path, most: int = 1000) -> tuple[str, ...]:
    """Return who has holds that nobody has removed, by name; none where there is no store of this version."""
    return _names(home, _OWNERS, most)


def latest_cases(home: Path, most: int = 100) -> tuple[str, ...]:
    """Return the cases that had something last, newest first; none where there is no store of this version."""
    return _names(home, _CASES, most)


def customers_met(home: Path, most: int = 1000) -> tuple[str, ...]:
    """Return the customers whose hosts were in a run, by name; none where there is no store of this version."""
    return _names(home, _CUSTOMERS, most)


def _names(home: Path, query: str, *params: str | int) -> tuple[str, ...]:
    if schema_of(home) != SCHEMAS[-1]:
        return ()
    try:
        with closing(sqlite3.connect(f"{database(home).as_uri()}?mode=ro", uri=True)) as connection:
            return tuple(str(name) for (name,) in connection.execute(query, params))
    except sqlite3.Error:  # busy or broken: whoever opens it says so
        return ()
