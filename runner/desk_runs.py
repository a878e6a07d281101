"""The runs of the desk: begun, resumed, stopped, looked at, judged again."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TypeVar

from diagnostics.context import Context
from diagnostics.diagnose import diagnose
from diagnostics.evidence import Evidence
from diagnostics.formats import decode_content, decode_diagnosis, decode_evidence, encode_diagnosis
from diagnostics.library import Library
from inventory.errors import LongarmError, Text
from inventory.inventory import Inventory
from inventory.secret import Secret
from inventory.walls import refuse_case_of_others
from playbooks.model import Playbook
from playbooks.ports import Operator
from remote.answer import Answer
from remote.lasting import ONCE, LastingConnect
from remote.session import Connect
from runner.desk_base import DeskBase
from runner.observer import Guarded, Observer
from runner.outcome import RunKind, RunState
from runner.planning import plan_of, plan_of_rest, plan_of_task
from runner.record import HostRecord, RunRecord, RunSummary
from runner.recording import Kept, host_record, run_record, run_summary
from runner.repair_recording import CHANGING, Shown, host_repair
from runner.request import DiagnoseRequest, NoSuchRun, RepairRequest, TaskRequest
from runner.run import FleetRun, Plan
from runner.store.lock import held
from runner.store.port import WholeRun
from runner.store.rows import HostRow, JournalRow, LeaseRow, SampleRow

T = TypeVar("T")


class EvidencePruned(LongarmError):
    """The answers of a run are gone: they were pruned."""

    def __init__(self, run: str, at: datetime) -> None:
        self.run, self.at = run, at
        text = Text("the evidence of run {run} was pruned on {day}", run=run, day=f"{at:%Y-%m-%d}")
        super().__init__(text, Text("longarm run show {run}", run=run))


@dataclass(frozen=True, slots=True, kw_only=True)
class Replayed:
    """What judging a host's stored evidence again gave, compared with the stored diagnosis to the byte."""

    host: str
    same: bool | None
    """None: the evidence was pruned, so nobody can tell."""
    library_changed: bool
    """The library that judged now is not the one that judged then: a difference is expected, not a fault."""


class RunDesk(DeskBase):
    """What makes runs of questions and keeps their answers to be looked at."""

    _running: tuple[FleetRun, asyncio.Task[None]] | None = None

    async def diagnose(self, request: DiagnoseRequest, *, connect: Connect, observer: Observer) -> RunRecord:
        """Diagnose hosts and return the record, which is on disk, as is the report it owes its case.

        Being cancelled is like `stop`: every host is accounted for before the cancellation goes on. Raises CaseOfOthers for a
        case of another customer, before any host is asked.
        """
        self._refuse_case_of_others(request)
        plan = plan_of(request, self._store, self._clock)
        return await self._drive(plan, LastingConnect(connect, most_new=ONCE), Guarded(observer))

    async def carry_out(self, request: TaskRequest, *, connect: Connect, observer: Observer) -> RunRecord:
        """Do a task on hosts and return the record, which is on disk, as is what its case is to get.

        Raises CaseOfOthers for a case of another customer, before any host is touched.
        """
        self._refuse_case_of_others(request)
        return await self._drive(plan_of_task(request, self._clock), LastingConnect(connect), Guarded(observer))

    async def repair(self, request: RepairRequest, *, connect: Connect, observer: Observer) -> RunRecord:
        """Repair hosts, or plan that, and return the record, which is on disk, as is the report it owes its case.

        No host is changed that another run may change: it is refused, and the others go on. Raises CaseOfOthers for a case
        of another customer, before any host is touched.
        """
        from runner.repair_planning import plan_of_repair  # what acts on hosts: a diagnosis does without

        self._refuse_case_of_others(request)
        plan = plan_of_repair(request, self._store, connect, self._clock)
        return await self._drive(plan, LastingConnect(connect), Guarded(observer))

    async def resume_repair(
        self,
        run: str,
        *,
        inventory: Inventory,
        library: Library,
        playbook: Playbook,
        secrets: Mapping[str, Secret],
        operator: Operator,
        connect: Connect,
        observer: Observer,
    ) -> RunRecord:
        """Go on with a repair that was cut off, and return the record of the whole run.

        Each unfinished host is asked first how its last step ended; what nobody can know is `unknown`, and nothing of it is
        repeated. Raises NotResumable for a run that has ended, or whose playbook is another one by now.
        """
        from runner.repair_planning import plan_of_the_rest

        plan = plan_of_the_rest(
            self._whole(run), inventory, library, playbook, secrets, operator, self._store, connect, self._clock, self.actor
        )
        return await self._drive(plan, LastingConnect(connect), Guarded(observer))

    def leases(self) -> tuple[LeaseRow, ...]:
        """Return which hosts may be changed by which run alone."""
        return self._store.leases()

    async def resume(
        self, run: str, *, inventory: Inventory, library: Library, connect: Connect, observer: Observer
    ) -> RunRecord:
        """Ask the unfinished hosts of an interrupted run and return the record of the whole run.

        Raises NotResumable for a run that has ended, or that needs checks or probes that `library` lacks.
        """
        whole = self._whole(run)
        plan = plan_of_rest(whole, inventory, library, self._store, self._clock, self.actor)
        return await self._drive(plan, LastingConnect(connect, most_new=ONCE), Guarded(observer))

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
        return self._record(whole, state, (host_record(row, kept, state) for row, kept in self._kept_all(whole)))

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

    # Inside

    def _refuse_case_of_others(self, request: DiagnoseRequest | TaskRequest | RepairRequest) -> None:
        if request.case is not None and not request.across_customers:
            refuse_case_of_others(request.selection, request.case, self._store.customers(request.case))

    async def _drive(self, plan: Plan, connect: Connect, observer: Observer) -> RunRecord:
        run = FleetRun(plan, self._store, connect, observer)
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
        made = {} if _kind(whole) in CHANGING else run.records  # what was done is read from the journal
        state = whole.run.state
        hosts = (made.get(row.host) or host_record(row, kept, state) for row, kept in self._kept_all(whole, made))
        record = self._record(whole, state, hosts)
        observer.run_ended(record)
        return record

    def _record(self, whole: WholeRun, state: RunState, hosts: Iterator[HostRecord]) -> RunRecord:
        return run_record(whole, hosts, decode_content(self._store.blob(whole.run.content_digest)), state)

    def _kept_all(self, whole: WholeRun, made: Mapping[str, HostRecord] = {}) -> Iterator[tuple[HostRow, Kept]]:
        """Yield each host with what is kept of it; of those whose records are made already nothing is read."""
        if _kind(whole) not in CHANGING:
            yield from ((row, Kept() if row.host in made else self._kept(row)) for row in whole.hosts)
            return
        lines: defaultdict[int, list[JournalRow]] = defaultdict(list)
        samples: defaultdict[int, list[SampleRow]] = defaultdict(list)
        for line in whole.journal:
            lines[line.position].append(line)
        for sample in whole.samples:
            samples[sample.position].append(sample)
        for row in whole.hosts:
            repair = host_repair(whole.run, row, lines[row.position], [*map(self._shown, samples[row.position])])
            yield row, replace(self._kept(row), repair=repair)

    def _shown(self, sample: SampleRow) -> Shown:
        """Return what a sample showed; where its evidence was pruned, what was concluded from it stands."""
        diagnosis = decode_diagnosis(sample.diagnosis)
        if sample.pruned_at is not None:
            return Shown(diagnosis=diagnosis)
        return Shown(diagnosis=diagnosis, answers=self.evidence(sample.evidence_digest)[0].answers)

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


def _kind(whole: WholeRun) -> RunKind:
    return RunKind(whole.run.request.get("kind", RunKind.DIAGNOSE))


def _state(state: RunState, gone: bool) -> RunState:
    return RunState.INTERRUPTED if state is RunState.RUNNING and gone else state
