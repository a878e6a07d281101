"""A task as seen from one host: done, its answers redacted and kept, its end judged."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, cast

from diagnostics.library import Library
from remote.answer import Ended
from remote.session import Session
from runner.by_hand import BESIDE, ByHand
from runner.diagnosing import Asked, Diagnosing, Judged, session_named
from runner.host_run import Clock, HostRun
from runner.outcome import Outcome, when_kept_off
from runner.store.errors import ChangeRefused, HostInHand, HostLeased
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
    by_hand: ByHand | None = None
    """What has a host while the task is done there; None: it changes nothing."""

    @classmethod
    def of(cls, run: str, task: Task, versions: Mapping[str, str], clock: Clock, by_hand: ByHand | None = None) -> Tasking:
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
        return cls(task=task, keeping=keeping, by_hand=by_hand)

    @property
    def clock(self) -> Clock:
        """Return the clock of the run."""
        return self.keeping.clock

    async def ask(self, session: Session, left_s: float) -> Asked | ChangeRefused:
        """Do the task on one host, or return what keeps it off."""
        now = asyncio.get_running_loop().time
        end = now() + left_s
        if self.by_hand is not None:
            try:
                await self.by_hand.begin(session.host, left_s)
            except ChangeRefused as refused:
                return refused
        asked_at, start = self.clock(), now()
        answers = await self.task.ask(session, max(end - start, 0.001))
        ends = {answer.ended for answer in answers.values()}
        if self.by_hand is not None and Ended.LOST not in ends:
            self.by_hand.end(session.host, begun=ends != {Ended.NOT_RUN})
        took_ms = round((now() - start) * 1000)
        return Asked(
            answers=answers, session=session_named(session.facts), asked_at=asked_at, round_trip_ms=took_ms, overdue=False
        )

    def judge(self, target: HostRow, ended: HostRun[Asked | ChangeRefused]) -> Judged:
        """Return how the host ended: by its own word where it was reached, and never as something that it diagnosed."""
        if isinstance(refused := ended.value, ChangeRefused):
            return self.keeping.judge(target, _kept_off(ended, refused))
        done = cast("HostRun[Asked]", ended)
        asked, kept = done.value, self.keeping.judge(target, done)
        if asked is None or kept.row.outcome is Outcome.FAILED:  # not reached, or a fault of ours
            return kept
        outcome, error = self.task.verdict(asked.answers)
        row = replace(kept.row, outcome=outcome, error=as_kept(error), diagnosis=None, diagnosis_digest=None)
        record = replace(kept.record, outcome=outcome, error=row.error, diagnosis=None)
        return replace(kept, row=row, record=record, states=None, attached=self.task.attached(kept.answers))


def _kept_off(ended: HostRun[Asked | ChangeRefused], refused: ChangeRefused) -> HostRun[Asked]:
    return HostRun(
        host=ended.host,
        started_at=ended.started_at,
        ended_at=ended.ended_at,
        outcome=when_kept_off(refused.kind),
        error=refused.text,
        hint=BESIDE if isinstance(refused, (HostInHand, HostLeased)) else refused.hint,
        error_kind=refused.kind,
    )
