"""Homes, rows and a small library for the tests of the runner."""

from __future__ import annotations

import asyncio
import os
import tempfile
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from diagnostics.library import Library
from diagnostics.verdict import Severity
from inventory.errors import Text
from runner.desk import Desk
from runner.outcome import Outcome, RunState
from runner.store.blobs import digest_of
from runner.store.changes import Attach, BeginRun, EndRun
from runner.store.opening import make_home
from runner.store.rows import (
    AttachmentRow,
    AuditRow,
    Event,
    FreezeRow,
    HoldRow,
    HostRow,
    JournalRow,
    LeaseRow,
    MuteRow,
    MuteState,
    OutboxRow,
    OutboxState,
    RunRow,
    SampleRow,
    Scope,
    StateRow,
)
from runner.store.sql import open_store
from tests.runner.fleet import small_library
from tests.runner.killer import Killer, fork_server
from tests.stopped_clock import HastyClock, StoppedClock

NOW = datetime(2026, 11, 22, 10, 47, 55, 123456, tzinfo=UTC)


class Rows:
    """Makes rows that differ only in what a test says."""

    now = NOW

    def run(self, run: str = "20261122-104755-7f3a9c", **values: Any) -> RunRow:
        row: dict[str, Any] = {
            "run": run,
            "playbook": "standard",
            "title": {"en": "Standard", "ru": "Обычная"},
            "maintenance": "preventive",
            "expression": "site=berlin",
            "actor": "anna",
            "case": "DEMO-1",
            "customers": ("acme",),
            "state": RunState.RUNNING,
            "checks": ("fs-space",),
            "request": {"concurrency": 5, "run_deadline_s": None},
            "versions": {"longarm": "0.1.0"},
            "content_digest": digest_of(b"content"),
            "started_at": NOW,
        }
        return RunRow(**{**row, **values})

    def host(self, position: int = 0, run: str = "20261122-104755-7f3a9c", **values: Any) -> HostRow:
        row: dict[str, Any] = {
            "run": run,
            "position": position,
            "host": f"db-{position}",
            "address": f"192.0.2.{position}",
            "site": "berlin",
            "customer": "acme",
            "platform": "linux",
            "transport": "ssh",
        }
        return HostRow(**{**row, **values})

    def ended(self, position: int = 0, **values: Any) -> HostRow:
        row: dict[str, Any] = {
            "outcome": Outcome.FINDINGS,
            "error": Text("{what} broke", what="a thing"),
            "hint": Text("mend it"),
            "error_kind": "ConnectionLost",
            "started_at": NOW,
            "ended_at": NOW + timedelta(seconds=2),
            "evidence_digest": digest_of(b"evidence"),
            "diagnosis_digest": digest_of(b"diagnosis"),
            "diagnosis": b"diagnosis",
            "denied_root": "sudo: a password is required",
        }
        return self.host(position, **{**row, **values})

    def audit(self, action: str = "run.started", **values: Any) -> AuditRow:
        return AuditRow(**{"at": NOW, "actor": "anna", "action": action, "run": "20261122-104755-7f3a9c", **values})

    def begin(self, hosts: int = 2, run: str = "20261122-104755-7f3a9c", **values: Any) -> BeginRun:
        targets = tuple(self.host(position, run) for position in range(hosts))
        return BeginRun(run=self.run(run, **values), hosts=targets, audit=self.audit(run=run))

    def end(self, run: str = "20261122-104755-7f3a9c", **values: Any) -> EndRun:
        row = {"state": RunState.ENDED, "ended_at": NOW + timedelta(seconds=9), "audit": self.audit("run.ended", run=run)}
        return EndRun(run=run, **{**row, **values})

    def owed(self, run: str = "20261122-104755-7f3a9c", **values: Any) -> OutboxRow:
        row: dict[str, Any] = {
            "id": 0,
            "run": run,
            "case": "DEMO-1",
            "kind": "diagnose",
            "audience": "internal",
            "language": "en",
            "state": OutboxState.PENDING,
            "actor": "anna",
            "customers": ("acme",),
            "created_at": NOW,
        }
        return OutboxRow(**{**row, **values})

    def state(self, **values: Any) -> StateRow:
        row: dict[str, Any] = {
            "host": "db-0",
            "check": "fs-space",
            "subject": "mount=/",
            "severity": Severity.WARNING,
            "since": NOW,
            "run": "20261122-104755-7f3a9c",
            "customer": "acme",
        }
        return StateRow(**{**row, **values})

    def line(self, position: int, event: Event, *, key: str, run: str = "20261122-104755-7f3a9c", **values: Any) -> JournalRow:
        return JournalRow(run=run, position=position, event=event, key=key, at=NOW, **values)

    def sample(self, number: int, **values: Any) -> SampleRow:
        row: dict[str, Any] = {
            "run": "20261122-104755-7f3a9c",
            "position": 0,
            "number": number,
            "at": NOW,
            "evidence_digest": digest_of(b"evidence"),
            "diagnosis_digest": digest_of(b"diagnosis"),
            "diagnosis": b"diagnosis",
        }
        return SampleRow(**{**row, **values})

    def lease(self, **values: Any) -> LeaseRow:
        row: dict[str, Any] = {
            "host": "db-0",
            "token": 1,
            "run": "20261122-104755-7f3a9c",
            "actor": "anna",
            "reason": "mend",
            "customer": "acme",
            "since": NOW,
        }
        return LeaseRow(**{**row, **values})

    def hold(self, **values: Any) -> HoldRow:
        row: dict[str, Any] = {
            "id": 0,
            "host": "db-0",
            "customer": "acme",
            "site": "berlin",
            "actor": "anna",
            "reason": "a demonstration",
            "since": NOW,
            "until": NOW + timedelta(hours=8),
        }
        return HoldRow(**{**row, **values})

    def freeze(self, **values: Any) -> FreezeRow:
        row: dict[str, Any] = {
            "id": 0,
            "scope": Scope.DESK,
            "name": None,
            "actor": "anna",
            "reason": "an audit",
            "since": NOW,
            "until": NOW + timedelta(hours=8),
        }
        return FreezeRow(**{**row, **values})

    def mute(self, **values: Any) -> MuteRow:
        row: dict[str, Any] = {
            "run": "20261122-104755-7f3a9c",
            "wave": 0,
            "hook": "alerts",
            "state": MuteState.MUTED,
            "since": NOW,
            "until": NOW + timedelta(hours=1),
        }
        return MuteRow(**{**row, **values})

    def attach(self, data: bytes = b"<html>", **values: Any) -> Attach:
        row: dict[str, Any] = {
            "case": "DEMO-1",
            "filename": "report.html",
            "digest": digest_of(data),
            "media_type": "text/html",
            "size_bytes": len(data),
            "internal": True,
            "comment": "диагностика",
            "actor": "anna",
            "customer": "acme",
            "attached_at": NOW,
        }
        attachment = AttachmentRow(**{**row, **values})
        audit = self.audit("case.attached", case=attachment.case, digests=(attachment.digest,))
        return Attach(attachment=attachment, audit=audit)


@pytest.fixture
def rows() -> Rows:
    """Return a maker of rows."""
    return Rows()


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Return where a home may be made."""
    return tmp_path / "home"


@pytest.fixture
def made(home: Path) -> Path:
    """Return a home with a store in it."""
    make_home(home)
    open_store(home, write=True).close()
    return home


@pytest.fixture
def mode() -> Callable[[Path], int]:
    """Return a function that tells the permission bits of a path."""
    return lambda path: path.stat().st_mode & 0o777


@pytest.fixture(scope="session")
def library(tmp_path_factory: pytest.TempPathFactory) -> Library:
    """Return a library of two checks (`clock-off`, `disk-full`) and three probes."""
    return small_library(tmp_path_factory.mktemp("library"))


@pytest.fixture(scope="module")
def killer() -> Iterator[Killer]:
    """Return what carries out orders in children that are killed."""
    with fork_server() as killer:
        yield killer


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a home with an empty store, to copy."""
    home = tmp_path_factory.mktemp("template") / "home"
    with Desk.open(home, write=True):
        return home


@pytest.fixture
def scratch(tmp_path: Path) -> Iterator[Path]:
    """Return a folder in memory where there is one: a killed process loses no page cache, so nothing is lost by it."""
    memory = Path("/dev/shm")
    if not os.access(memory, os.W_OK):
        yield tmp_path
        return
    with tempfile.TemporaryDirectory(dir=memory) as folder:
        yield Path(folder)


@pytest.fixture
async def stopped_clock() -> StoppedClock:
    """Return the clock of the test's loop, which stands still."""
    return StoppedClock(asyncio.get_running_loop())


@pytest.fixture
async def hasty_clock() -> HastyClock:
    """Return the clock of the test's loop, which can leap."""
    return HastyClock(asyncio.get_running_loop())
