"""What all parts of the desk stand on: one open home, changes that are written to it, and who did what."""

from __future__ import annotations

import os
import pwd
import sys
from datetime import UTC, datetime
from pathlib import Path

from inventory.secret import MASKER
from runner.host_run import Clock
from runner.store.changes import Change
from runner.store.lock import HomeLock
from runner.store.port import Store
from runner.store.rows import AuditRow


class DeskBase:
    """One open home: its store, the lock if it is open to write, whose name goes into the audit."""

    def __init__(self, home: Path, store: Store, lock: HomeLock | None, actor: str, clock: Clock) -> None:
        self.home, self.actor = home, actor
        self._store, self._lock, self._clock = store, lock, clock

    def audit(self, run: str | None = None) -> tuple[AuditRow, ...]:
        """Return who did what, oldest first."""
        return self._store.audit(run)

    def _write(self, change: Change, *blobs: bytes) -> None:
        self._store.write(change, blobs).result()

    def _audited(self, action: str, run: str | None, case: str, customers: tuple[str, ...], digest: str) -> AuditRow:
        return AuditRow(
            at=self._clock(),
            actor=self.actor,
            action=action,
            run=run,
            case=case,
            customers=customers,
            digests=(digest,),
        )


def login_name() -> str:
    """Return the name of the account that runs this process: the actor where nobody names one."""
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return str(os.getuid())


def command_line() -> str:
    """Return the command that this process runs, without secrets and not long: who holds a home is named by it."""
    return MASKER.text(" ".join([Path(sys.argv[0]).name, *sys.argv[1:]]))[:200]


def utc_now() -> datetime:
    """Return the time, as the desk tells it where nobody gives it another clock."""
    return datetime.now(UTC)
