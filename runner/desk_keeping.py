"""The keeping of the store at the desk: back up, restore, verify, prune, erase."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from inventory.errors import Text
from runner.desk_base import DeskBase, command_line, login_name, utc_now
from runner.host_run import Clock
from runner.roles import Action
from runner.store.aside import remove_abandoned
from runner.store.audit_log import Head, continues, exported, read_whole
from runner.store.blobs import digest_of
from runner.store.changes import Belonging, Erase, Prune
from runner.store.erasures import ERASED, RESTORED, Erasure, erasures_elsewhere, erasures_in, record_erasures
from runner.store.errors import Holder, NothingBelongs, StoreFailed
from runner.store.lock import to_write
from runner.store.opening import make_home
from runner.store.port import Erasable, PrunePlan
from runner.store.rows import AuditRow
from runner.store.verified import Undone, Verification
from runner.store.verifying import Progress, silent, verify

if TYPE_CHECKING:
    from runner.store.backup import Backup, BackupVerification


class KeepingDesk(DeskBase):
    """What keeps the store whole, small, and free of what was to be forgotten."""

    def backup(self, to: Path, progress: Progress = silent) -> Backup:
        """Write a backup of this moment to a new file and return it; what writes goes on meanwhile."""
        from runner.store.backup import back_up

        self._may(Action.BACKUP)
        return back_up(self.home, to, self._clock(), progress)

    @staticmethod
    def restore(
        home: Path,
        backup: Path,
        *,
        undo_erasures: bool = False,
        erasures_of: Sequence[Path] = (),
        actor: str | None = None,
        clock: Clock | None = None,
        progress: Progress = silent,
    ) -> tuple[Backup, tuple[Undone, ...]]:
        """Make the store of a home that has none yet of a backup, verified, and return the backup.

        What this home, and those in `erasures_of`, recorded as erased since it was taken is not brought back: raises
        ErasuresUndone, unless `undo_erasures`; then what was brought back is returned too. Raises UsageError where one of
        `erasures_of` is no home.
        """
        from runner.store.backup import restore

        now, home = (clock or utc_now)(), home.absolute()
        make_home(home)
        lock = to_write(home, Holder(pid=os.getpid(), command=command_line(), since=now), alone=True)
        try:
            audit = AuditRow(at=now, actor=actor or login_name(), action=RESTORED)
            return restore(home, backup, audit, progress, erasures=_erasures(home, erasures_of), undo=undo_erasures)
        finally:
            lock.release()

    @staticmethod
    def verify_backup(
        home: Path, backup: Path, *, erasures_of: Sequence[Path] = (), progress: Progress = silent
    ) -> BackupVerification:
        """Return whether a backup is whole, and which erasures restoring it would undo; nothing is restored."""
        from runner.store.backup import verify_backup

        return verify_backup(home.absolute(), backup, _erasures(home, erasures_of), progress)

    def verify(self, progress: Progress = silent, *, audit: str | None = None) -> Verification:
        """Return whether everything that is kept is whole, and with `audit` whether its log still holds what was exported.

        Raises AuditBroken for what is no exported log, or one that was changed.
        """
        self._may(Action.VERIFY)
        head = None if audit is None else read_whole(audit)
        found = verify(self.home, progress)
        if head is None or self._continues(head):
            return found
        wrong = Text(
            "the audit does not hold what was exported of it: line {number} is gone, or another one", number=head.number
        )
        return replace(found, problems=(*found.problems, wrong))

    def audit_exported(self) -> str:
        """Return the whole audit log as lines of JSON, each with its digests, the last one saying where it ends."""
        self._may(Action.AUDIT)
        return "".join(f"{line}\n" for line in exported(self._store.audit_lines()))

    def _continues(self, exported: Head) -> bool:
        """Tell whether the log still holds what was exported; one that cannot be read has been told of already."""
        try:
            return continues(self._store.audit_lines(), exported)
        except StoreFailed:
            return True

    def prunable(self, *, older_than: timedelta | None, keep: int, cases: bool = False, runs: Sequence[str] = ()) -> PrunePlan:
        """Return what pruning would remove: evidence of runs begun longer ago, but of the newest `keep`.

        Runs for a case stay unless `cases`, and so do those that can go on; of `runs`, where any are named, all goes, and of
        no others. Reports, attachments and findings always stay.
        """
        self._may(Action.PRUNE)
        before = None if older_than is None else self._clock() - older_than
        found = self._store.prunable(before=before, keep=keep, cases=cases, named=runs)
        orphans = self._store.orphans()
        return PrunePlan(found=found, orphans=orphans, bytes=self._store.blob_bytes((*found.evidence, *orphans)))

    def prune(self, plan: PrunePlan) -> None:
        """Remove what the plan says; the runs say so from then on."""
        self._may(Action.PRUNE)
        found = plan.found
        detail = f"runs {len(found.runs)}, hosts {found.hosts}, orphans {len(plan.orphans)}: {' '.join(found.runs)}"
        audit = AuditRow(at=self._clock(), actor=self.actor, action="store.pruned", detail=detail)
        self._write(Prune(runs=found.runs, orphans=plan.orphans, audit=audit))
        self._store.finish()

    def erasable(self, belonging: Belonging) -> Erasable:
        """Return what belongs to a customer or a case; raises NothingBelongs."""
        self._may(Action.ERASE)
        found = self._store.erasable(belonging)
        if found.nothing:
            raise NothingBelongs(self.home, belonging.customer, belonging.case)
        return found

    def erase(self, belonging: Belonging) -> Erasable:
        """Erase what belongs to a customer or a case, to the last byte in this home, and return how much that was.

        The audit keeps who, when and how much, with a digest by which those who know the name can find the entry.
        """
        found = self.erasable(belonging)
        digest = digest_of(belonging.named.encode())
        audit = AuditRow(at=self._clock(), actor=self.actor, action=ERASED, digests=(digest,), detail=found.counts)
        earlier = (row for row in self._store.audit(None) if row.action == audit.action)  # by a version without the file
        record_erasures(self.home, (Erasure(at=row.at, digest=row.digests[0]) for row in (*earlier, audit)))
        self._write(Erase(belonging=belonging, audit=audit))
        self._store.finish()
        remove_abandoned(self.home)
        return found


def _erasures(home: Path, others: Sequence[Path]) -> tuple[Erasure, ...]:
    return (*erasures_in(home), *(erasure for other in others for erasure in erasures_elsewhere(other)))
