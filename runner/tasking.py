"""A task as seen from one host: done, its answers redacted and kept, its end judged."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from diagnostics.library import Library
from remote.session import Session
from runner.diagnosing import Asked, Diagnosing, Judged, session_named
from runner.host_run import Clock, HostRun
from runner.outcome import Outcome
from runner.store.rows import HostRow
from runner.store.sentences import as_kept

if TYPE_CHECKING:
    from runner.tasks import Task

NO_LIBRARY = Library(probes={}, checks={})


@dataclass(frozen=True, slots=True, kw_only=True)
class Tasking:
    """Everything that a task needs on the hosts of one run; keeps as `Diagnosing` does, and judges nothing else."""

    task: Task
    keeping: Diagnosing

    @classmethod
    def of(cls, run: str, task: Task, versions: Mapping[str, str], clock: Clock) -> Tasking:
        """Return the tasking of a run."""
        keeping = Diagnosing(
            run=run,
            library=NO_LIBRARY,
            checks=(),
            extra=task.probes,
            thresholds={},
            earlier={},
            versions=versions,
            clock=clock,
        )
        return cls(task=task, keeping=keeping)

    @property
    def clock(self) -> Clock:
        """Return the clock of the run."""
        return self.keeping.clock

    async def ask(self, session: Session, left_s: float) -> Asked:
        """Do the task on one host."""
        asked_at, now = self.clock(), asyncio.get_running_loop().time
        start = now()
        answers = await self.task.ask(session, left_s)
        took_ms = round((now() - start) * 1000)
        return Asked(
            answers=answers, session=session_named(session.facts), asked_at=asked_at, round_trip_ms=took_ms, overdue=False
        )

    def judge(self, target: HostRow, ended: HostRun[Asked]) -> Judged:
        """Return how the host ended: by its own word where it was reached, and never as something that it diagnosed."""
        kept = self.keeping.judge(target, ended)
        if ended.value is None or kept.row.outcome is Outcome.FAILED:  # not reached, or a fault of ours
            return kept
        outcome, error = self.task.verdict(ended.value.answers)
        row = replace(kept.row, outcome=outcome, error=as_kept(error), diagnosis=None, diagnosis_digest=None)
        record = replace(kept.record, outcome=outcome, error=row.error, diagnosis=None)
        return replace(kept, row=row, record=record, states=None, attached=self.task.attached(kept.answers))
