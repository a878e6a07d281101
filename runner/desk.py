"""The desk: what every front end calls; nothing else touches the store."""

from __future__ import annotations

import asyncio
import os
import pwd
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Self, TypeVar

from diagnostics.context import Context
from diagnostics.diagnose import diagnose
from diagnostics.evidence import Evidence
from diagnostics.formats import decode_content, decode_diagnosis, decode_evidence, encode_diagnosis
from diagnostics.library import Library
from inventory.errors import LongarmError, Text
from inventory.inventory import Inventory
from inventory.secret import MASKER
from remote.answer import Answer
from remote.session import Connect
from runner.host_run import Clock
from runner.observer import Guarded, Observer
from runner.outcome import RunState
from runner.planning import plan_of, plan_of_rest
from runner.record import HostRecord, RunRecord, RunSummary
from runner.recording import Kept, host_record, run_record, run_summary
from runner.request import DiagnoseRequest, NoSuchRun
from runner.run import DiagnosticRun, Plan
from runner.store.blobs import digest_of
from runner.store.changes import Attach, Belonging, Change, Erase, Prune, Recover, Rendered, SendFailed, Sent
from runner.store.erasures import Erasure, erasures_in, record_erasures
from runner.store.errors import Holder, NothingBelongs, StoreInUse
from runner.store.lock import HomeLock, held
from runner.store.opening import make_home
from runner.store.port import Erasable, PrunePlan, Store, WholeRun
from runner.store.rows import AttachmentRow, AuditRow, CaseRow, HostRow, OutboxRow, OutboxState
from runner.store.verified import Undone, Verification
from runner.store.verifying import Progress, silent, verify

if TYPE_CHECKING:
    from runner.store.backup import Backup, BackupVerification

T = TypeVar("T")

ROLES_ADVISORY = Text("roles are advisory: whoever can write to this home can do everything that longarm can")
"""Said wherever roles are shown: in process there is nobody who could enforce them."""


class EvidencePruned(LongarmError):
    """The answers of a run are gone: they were pruned."""

    def __init__(self, run: str, at: datetime) -> None:
        self.run, self.at = run, at
        text = Text("the evidence of run {run} was pruned on {day}", run=run, day=f"{at:%Y-%m-%d}")
        super().__init__(text, Text("longarm run show {run}", run=run))


class NoSuchCase(LongarmError):
    """The built-in case system has no case of this name."""

    def __init__(self, ref: str) -> None:
        self.ref = ref
        super().__init__(Text("there is no case “{ref}”", ref=ref), Text("longarm case list"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Replayed:
    """What judging a host's stored evidence again gave, compared with the stored diagnosis to the byte."""

    host: str
    same: bool | None
    """None: the evidence was pruned, so nobody can tell."""
    library_changed: bool
    """The library that judged now is not the one that judged then: a difference is expected, not a fault."""


class Desk:
    """One home, open for reading or for writing; made by `Desk.open`."""

    def __init__(self, home: Path, store: Store, lock: HomeLock | None, actor: str, clock: Clock) -> None:
        self.home, self.actor = home, actor
        self._store, self._lock, self._clock = store, lock, clock
        self._running: tuple[DiagnosticRun, asyncio.Task[None]] | None = None

    @classmethod
    @contextmanager
    def open(cls, home: Path, *, write: bool, actor: str | None = None, clock: Clock | None = None) -> Iterator[Self]:
        """Open a home: to write, with its lock (else StoreBusy), or to read, which nobody can block.

        Opening to write makes the home where there is none, brings its store up to date, and marks
        runs whose process is gone as interrupted. A home that does not exist reads as empty.
        """
        from runner.store.sql import open_store  # SQLAlchemy takes 0.2 s: `longarm --help` does without

        clock, actor, home = clock or _utc_now, actor or login_name(), home.absolute()
        lock = None
        if write:
            make_home(home)
            lock = HomeLock.take(home, Holder(pid=os.getpid(), command=_command(), since=clock()))
        try:
            store = open_store(home, write=write)
            try:
                if write:
                    store.write(Recover(at=clock(), actor=actor)).result()
                    with suppress(StoreInUse):  # somebody reads what is doomed: the next opening sees to it
                        store.finish()
                yield cls(home, store, lock, actor, clock)
            finally:
                store.close()
        finally:
            if lock is not None:
                lock.release()

    # Runs

    async def diagnose(self, request: DiagnoseRequest, *, connect: Connect, observer: Observer) -> RunRecord:
        """Diagnose hosts and return the record, which is on disk, as is the report it owes its case.

        Being cancelled is like `stop`: every host is accounted for before the cancellation goes on.
        """
        return await self._drive(plan_of(request, self._store, self._clock), connect, Guarded(observer))

    async def resume(
        self, run: str, *, inventory: Inventory, library: Library, connect: Connect, observer: Observer
    ) -> RunRecord:
        """Ask the unfinished hosts of an interrupted run and return the record of the whole run.

        Raises NotResumable for a run that has ended, or that needs checks or probes that `library` lacks.
        """
        whole = self._whole(run)
        plan = plan_of_rest(whole, inventory, library, self._store, self._clock, self.actor)
        return await self._drive(plan, connect, Guarded(observer))

    def stop(self) -> None:
        """Stop the run that is on its way: no further host is begun, those in flight are interrupted.

        A second call leaves at once, without accounting; the run can be resumed either way.
        """
        if self._running is not None:
            run, task = self._running
            if run.stopped:
                task.cancel()
            run.stop()

    def runs(self, limit: int = 20) -> tuple[RunSummary, ...]:
        """Return the newest runs, newest first."""
        runs, gone = self._look(lambda: self._store.runs(limit))
        return tuple(run_summary(counted, _state(counted.run.state, gone)) for counted in runs)

    def record(self, run: str) -> RunRecord:
        """Return the record of a run by its id, or by a unique beginning or end of it; raises NoSuchRun."""
        whole, gone = self._look(lambda: self._whole(run))
        state = _state(whole.run.state, gone)
        return self._record(whole, state, (host_record(row, self._kept(row), state) for row in whole.hosts))

    def answers(self, run: str) -> Iterator[tuple[str, str, Answer]]:
        """Yield host, question and answer of everything that was kept of a run, in inventory order; raises EvidencePruned."""
        whole = self._whole(run)
        if pruned := [row.pruned_at for row in whole.hosts if row.pruned_at is not None]:
            raise EvidencePruned(whole.run.run, min(pruned))
        for row in whole.hosts:
            if row.evidence_digest is not None:
                evidence, _ = self.evidence(row.evidence_digest)
                yield from ((row.host, question, answer) for question, answer in evidence.answers.items())

    def evidence(self, digest: str) -> tuple[Evidence, Context]:
        """Return kept evidence, verified, with everything else that its verdict depended on; raises StoreDamaged."""
        return decode_evidence(self._store.blob(digest))

    def replay(self, run: str, *, library: Library) -> tuple[Replayed, ...]:
        """Judge the stored evidence of a run again and return, by host, whether the same bytes came out."""
        return tuple(self._replayed(row, library) for row in self._whole(run).hosts if row.diagnosis is not None)

    def audit(self, run: str | None = None) -> tuple[AuditRow, ...]:
        """Return who did what, oldest first."""
        return self._store.audit(run)

    # The outbox: what `reports.cases.delivery` sends

    def outbox(self, state: OutboxState | str | None = None) -> tuple[OutboxRow, ...]:
        """Return the reports that cases are to get or have got, oldest first."""
        return self._store.outbox(None if state is None else OutboxState(state))

    def outbox_rendered(self, row: int, filename: str, data: bytes) -> OutboxRow:
        """Keep the rendered report of a row and return the row as it stands: the first rendering is the one that counts."""
        self._write(Rendered(id=row, filename=filename, digest=digest_of(data)), data)
        return self._outbox_row(row)

    def outbox_data(self, row: int) -> bytes:
        """Return the bytes that were rendered for a row, verified."""
        return self._store.blob(self._outbox_row(row).digest)

    def outbox_sent(self, row: int) -> OutboxRow:
        """Note that the case has the report; a second time changes nothing."""
        entry = self._outbox_row(row)
        self._write(Sent(id=row, audit=self._audited("report.sent", entry.run, entry.case, entry.customers, entry.digest)))
        return self._outbox_row(row)

    def outbox_failed(self, row: int, error: str) -> OutboxRow:
        """Note that an attempt failed, and why; a row that was sent stays sent."""
        self._write(SendFailed(id=row, error=MASKER.text(error)))
        return self._outbox_row(row)

    # The built-in case system

    def cases(self) -> tuple[CaseRow, ...]:
        """Return the cases, oldest first."""
        return self._store.cases()

    def case(self, ref: str) -> CaseRow:
        """Return one case; raises NoSuchCase."""
        for case in self._store.cases():
            if case.ref == ref:
                return case
        raise NoSuchCase(ref)

    def case_attach(
        self,
        ref: str,
        filename: str,
        data: bytes,
        media_type: str,
        internal: bool,
        comment: str,
        *,
        customer: str | None = None,
    ) -> str:
        """Put a file on a case, which is opened if it is new, and return its digest; the same file again changes nothing."""
        now, digest = self._clock(), digest_of(data)
        attachment = AttachmentRow(
            case=ref,
            filename=filename,
            digest=digest,
            media_type=media_type,
            size_bytes=len(data),
            internal=internal,
            comment=comment,
            actor=self.actor,
            customer=customer,
            attached_at=now,
        )
        customers = (customer,) if customer else ()
        self._write(Attach(attachment=attachment, audit=self._audited("case.attached", None, ref, customers, digest)), data)
        return digest

    def case_attachments(self, ref: str) -> tuple[AttachmentRow, ...]:
        """Return the files on a case, in the order they came."""
        return self._store.attachments(ref)

    def attachment(self, digest: str) -> bytes:
        """Return the bytes of an attachment, verified."""
        return self._store.blob(digest)

    # Keeping house

    def backup(self, to: Path, progress: Progress = silent) -> Backup:
        """Write a backup of this moment to a new file and return it; what writes goes on meanwhile."""
        from runner.store.backup import back_up

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
        ErasuresUndone, unless `undo_erasures`; then what was brought back is returned too.
        """
        from runner.store.backup import restore

        now, home = (clock or _utc_now)(), home.absolute()
        make_home(home)
        lock = HomeLock.take(home, Holder(pid=os.getpid(), command=_command(), since=now))
        try:
            audit = AuditRow(at=now, actor=actor or login_name(), action="store.restored")
            return restore(home, backup, audit, progress, erasures=_erasures(home, *erasures_of), undo=undo_erasures)
        finally:
            lock.release()

    @staticmethod
    def verify_backup(
        home: Path, backup: Path, *, erasures_of: Sequence[Path] = (), progress: Progress = silent
    ) -> BackupVerification:
        """Return whether a backup is whole, and which erasures restoring it would undo; nothing is restored."""
        from runner.store.backup import verify_backup

        return verify_backup(backup, _erasures(home, *erasures_of), progress)

    def verify(self, progress: Progress = silent) -> Verification:
        """Return whether everything that is kept is whole."""
        return verify(self.home, progress)

    def prunable(self, *, older_than: timedelta | None, keep: int, cases: bool = False) -> PrunePlan:
        """Return what pruning would remove: evidence of runs begun longer ago, but of the newest `keep`.

        Runs for a case stay unless `cases`; reports, attachments and findings always stay.
        """
        before = None if older_than is None else self._clock() - older_than
        found, orphans = self._store.prunable(before=before, keep=keep, cases=cases), self._store.orphans()
        return PrunePlan(found=found, orphans=orphans, bytes=self._store.blob_bytes((*found.evidence, *orphans)))

    def prune(self, plan: PrunePlan) -> None:
        """Remove what the plan says; the runs say so from then on."""
        found = plan.found
        detail = f"runs {len(found.runs)}, hosts {found.hosts}, orphans {len(plan.orphans)}: {' '.join(found.runs)}"
        audit = AuditRow(at=self._clock(), actor=self.actor, action="store.pruned", detail=detail)
        self._write(Prune(runs=found.runs, orphans=plan.orphans, audit=audit))
        self._store.finish()

    def erasable(self, belonging: Belonging) -> Erasable:
        """Return what belongs to a customer or a case; raises NothingBelongs."""
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
        audit = AuditRow(at=self._clock(), actor=self.actor, action="store.erased", digests=(digest,), detail=found.counts)
        earlier = (row for row in self._store.audit(None) if row.action == audit.action)  # by a version without the file
        record_erasures(self.home, (Erasure(at=row.at, digest=row.digests[0]) for row in (*earlier, audit)))
        self._write(Erase(belonging=belonging, audit=audit))
        self._store.finish()
        return found

    # Inside

    async def _drive(self, plan: Plan, connect: Connect, observer: Observer) -> RunRecord:
        run = DiagnosticRun(plan, self._store, connect, observer)
        task = asyncio.create_task(run.drive())
        self._running = run, task
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError:
            if not task.cancelled():
                run.stop()
                await task
            raise
        finally:
            self._running = None
        whole = self._whole(run.id)
        hosts = (run.records.get(row.host) or host_record(row, self._kept(row), whole.run.state) for row in whole.hosts)
        record = self._record(whole, whole.run.state, hosts)
        observer.run_ended(record)
        return record

    def _record(self, whole: WholeRun, state: RunState, hosts: Iterator[HostRecord]) -> RunRecord:
        return run_record(whole, hosts, decode_content(self._store.blob(whole.run.content_digest)), state)

    def _kept(self, row: HostRow) -> Kept:
        digest = row.evidence_digest if row.pruned_at is None else None
        evidence, context = self.evidence(digest) if digest else (None, None)
        diagnosis = decode_diagnosis(row.diagnosis) if row.diagnosis is not None else None
        return Kept(evidence=evidence, context=context, diagnosis=diagnosis)

    def _replayed(self, row: HostRow, library: Library) -> Replayed:
        if row.pruned_at is not None:
            return Replayed(host=row.host, same=None, library_changed=False)
        evidence, context = self.evidence(row.evidence_digest or "")
        return Replayed(
            host=row.host,
            same=encode_diagnosis(diagnose(evidence, context, library)) == row.diagnosis,
            library_changed=context.library_digest != library.digest,
        )

    def _whole(self, part: str) -> WholeRun:
        if not part.isascii():  # no id is, and bytes that are no UTF-8 cannot even be asked for
            raise NoSuchRun(part)
        ids = self._store.run_ids(part) if part else ()
        whole = self._store.run(ids[0] if len(ids) == 1 else part)
        if whole is None:
            raise NoSuchRun(part, ids)
        return whole

    def _look(self, read: Callable[[], T]) -> tuple[T, bool]:
        """Return what was read, and whether a run that it shows as running has lost its process.

        The lock is looked at before and after, so that a run that just began or ended is not called interrupted.
        """
        gone = self._lock is None and not held(self.home)
        found = read()
        return found, gone and not held(self.home)

    def _outbox_row(self, row: int) -> OutboxRow:
        if (entry := self._store.outbox_row(row)) is None:
            raise LookupError(f"no outbox row {row}")
        return entry

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


def _erasures(*homes: Path) -> tuple[Erasure, ...]:
    return tuple(erasure for home in homes for erasure in erasures_in(home))


def _state(state: RunState, gone: bool) -> RunState:
    return RunState.INTERRUPTED if state is RunState.RUNNING and gone else state


def _command() -> str:
    return MASKER.text(" ".join([Path(sys.argv[0]).name, *sys.argv[1:]]))[:200]


def _utc_now() -> datetime:
    return datetime.now(UTC)
