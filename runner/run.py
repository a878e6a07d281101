"""One run on its way: begun on disk before the first connection, each host recorded as it ends."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any, Protocol

from inventory.host import Host
from remote.session import Connect, Session
from runner.diagnosing import Judged
from runner.fan_out import FanOut, Limits
from runner.host_run import Clock, HostRun
from runner.observer import Observer
from runner.outcome import Outcome, RunKind, RunState
from runner.record import HostRecord
from runner.store.blobs import digest_of
from runner.store.changes import BeginRun, EndHost, EndRun, HostStates, ResumeRun
from runner.store.port import Store
from runner.store.rows import HostRow, OutboxRow, OutboxState

if TYPE_CHECKING:
    from runner.tasks import Attached

AUDIENCE = "internal"
"""Of what a run owes its case."""


class PerHost(Protocol):
    """What is done on each host of a run, and what becomes of it (`Diagnosing`, `Tasking`, `Repairing`)."""

    @property
    def clock(self) -> Clock:
        """Return the clock of the run."""

    async def ask(self, session: Session, left_s: float) -> Any:
        """Return what came back from one host, of its own type."""

    def judge(self, target: HostRow, ended: HostRun[Any]) -> Judged:
        """Return how one host ended, with what is kept of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What a run is going to do, and what is known of it already."""

    begin: BeginRun | ResumeRun
    hosts: tuple[Host, ...] = field(hash=False)
    """Those to ask, in order."""
    per_host: PerHost = field(hash=False)
    limits: Limits
    languages: tuple[str, ...]
    content: bytes = field(repr=False)
    states: tuple[HostStates, ...] = ()
    """Of hosts that a resumed run had finished before."""


class FleetRun:
    """Drives a plan; `stop` may be called at any moment from the same event loop."""

    def __init__(self, plan: Plan, store: Store, connect: Connect, observer: Observer) -> None:
        self._plan, self._store, self._observer = plan, store, observer
        self._targets = {row.host: row for row in plan.begin.hosts}
        self._states = list(plan.states)
        self._attached: list[Attached] = []
        self._kind = RunKind(plan.begin.run.request.get("kind", RunKind.DIAGNOSE))
        self.records: dict[str, HostRecord] = {}
        self._fan_out: FanOut[Any] = FanOut(
            plan.hosts,
            plan.per_host.ask,
            connect,
            limits=plan.limits,
            clock=plan.per_host.clock,
            started=observer.host_started,
            ended=self._host_ended,
        )

    @property
    def id(self) -> str:
        """Return the id of the run."""
        return self._plan.begin.run.run

    @property
    def stopped(self) -> bool:
        """Tell whether `stop` was called."""
        return self._fan_out.stopped

    def stop(self) -> None:
        """Begin no further host, interrupt those in flight, and account for all."""
        self._fan_out.stop()

    async def drive(self) -> None:
        """Return when every host and the end of the run are on disk; raises StoreFailed."""
        await self._kept(self._plan.begin, (self._plan.content,))
        self._observer.run_started(self.id, self._plan.hosts)
        await self._fan_out.drive()
        unfinished = {record.outcome for record in self.records.values()} & {Outcome.INTERRUPTED, Outcome.NOT_STARTED}
        await self._kept(self._end(RunState.INTERRUPTED if self._fan_out.stopped and unfinished else RunState.ENDED))

    async def _host_ended(self, ended: HostRun[Any]) -> None:
        judged = self._plan.per_host.judge(self._targets.pop(ended.host.name), ended)
        files = (judged.attached.data,) if judged.attached else ()
        keeps_lease = self._kind is RunKind.REPAIR and judged.row.outcome is Outcome.INTERRUPTED
        await self._kept(EndHost(host=judged.row, keeps_lease=keeps_lease), (*judged.blobs, *files))
        if judged.attached is not None:
            self._attached.append(judged.attached)
        if judged.states is not None and judged.states.checks:
            self._states.append(judged.states)
        self.records[judged.record.host] = judged.record
        self._observer.host_ended(judged.record)

    async def _kept(self, change: BeginRun | ResumeRun | EndHost | EndRun, blobs: Sequence[bytes] = ()) -> None:
        """Return when the change is on disk; a cancelled caller does not take it back."""
        await asyncio.shield(asyncio.wrap_future(self._store.write(change, blobs)))

    def _end(self, state: RunState) -> EndRun:
        now = max(self._plan.begin.run.started_at, self._plan.per_host.clock())  # a clock may be stepped back
        ended = state is RunState.ENDED or not self._kind.resumable
        return EndRun(
            run=self.id,
            state=state,
            ended_at=now if ended else None,
            audit=replace(self._plan.begin.audit, at=now, action=f"run.{state.value}", detail=""),
            outbox=tuple(self._owed_all(now)) if ended and self._plan.begin.run.case else (),
            states=tuple(self._states) if ended else (),
        )

    def _owed_all(self, now: datetime) -> Iterator[OutboxRow]:
        """Yield what the case is to get: the report in each language; or the files themselves, which are there already."""
        if self._kind not in (RunKind.FILE, RunKind.TERMINAL):
            yield from (self._owed(language, now) for language in self._plan.languages)
        for attached in self._attached:
            digest = digest_of(attached.data)
            name = f"longarm-{self._kind}-{self.id}-{digest[:8]}{attached.suffix}"
            row = self._owed(self._plan.languages[0], now)
            yield replace(row, state=OutboxState.RENDERED, filename=name, digest=digest)

    def _owed(self, language: str, now: datetime) -> OutboxRow:
        return OutboxRow(
            id=0,
            run=self.id,
            case=self._plan.begin.run.case or "",
            kind=self._kind.value,
            audience=AUDIENCE,
            language=language,
            state=OutboxState.PENDING,
            actor=self._plan.begin.run.actor,
            customers=self._plan.begin.run.customers,
            created_at=now,
        )
