"""One run on its way: begun on disk before the first connection, each host recorded as it ends."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Protocol

from inventory.host import Host
from remote.session import Connect, Session
from runner.by_hand import KEEPS_OFF
from runner.diagnosing import Judged
from runner.fan_out import FanOut, Limits
from runner.gate import Gate, Still
from runner.host_run import Clock, HostRun
from runner.observer import Observer
from runner.outcome import Outcome, RunKind, RunState
from runner.record import HostRecord
from runner.store.blobs import digest_of
from runner.store.changes import BeginRun, EndHost, EndRun, HostStates, ResumeRun
from runner.store.port import Store
from runner.store.rows import HostRow, OutboxRow, OutboxState

if TYPE_CHECKING:
    from runner.mute_hooks import Hook
    from runner.muting import Muting
    from runner.tasks import Attached

_BETWEEN_HOSTS_S = 10.0
_MUTED_LONGER_S = 300.0
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
    waves: tuple[tuple[Host, ...], ...] = field(default=(), hash=False)
    """The same hosts in the waves in which they begin; empty: all in one."""
    allowed: int | None = None
    """How many hosts may end badly before no further one begins; None: any number."""
    bad: int = 0
    """How many hosts of a resumed run had ended badly before."""
    begun: frozenset[str] = frozenset()
    """The hosts of a resumed run on which something was begun before: they go on though too many others ended badly."""
    first_wave: int = 0
    """The number of its first wave: of those before it a resumed run keeps what was muted."""
    hooks: tuple[Hook, ...] = field(default=(), hash=False)
    """What keeps monitoring silent around each wave."""
    only_asks: bool = False
    """Nothing is done to a host: who looks is kept off by nothing."""


class FleetRun:
    """Drives a plan; `stop` may be called at any moment from the same event loop."""

    def __init__(self, plan: Plan, store: Store, connect: Connect, observer: Observer, still: Still | None = None) -> None:
        self._plan, self._store, self._observer = plan, store, observer
        self._targets = {row.host: row for row in plan.begin.hosts}
        self._states = list(plan.states)
        self._attached: list[Attached] = []
        self._kind = RunKind(plan.begin.run.request.get("kind", RunKind.DIAGNOSE))
        self.records: dict[str, HostRecord] = {}
        self._connect, self.stopped = connect, False
        self._fan_out: FanOut[Any] | None = None
        self._gate: Gate | None = None
        if self._kind.changes and not plan.only_asks:
            assert still is not None, "who may change hosts is asked before each of them"
            clock = plan.per_host.clock
            self._gate = Gate(store=store, clock=clock, still=still, allowed=plan.allowed, bad=plan.bad, begun=plan.begun)

    @property
    def id(self) -> str:
        """Return the id of the run."""
        return self._plan.begin.run.run

    def stop(self) -> None:
        """Begin no further host, interrupt those in flight, and account for all."""
        self.stopped = True
        if self._fan_out is not None:
            self._fan_out.stop()

    async def drive(self) -> None:
        """Return when every host and the end of the run are on disk; raises StoreFailed."""
        if self._gate is not None:
            KEEPS_OFF.set(self._gate.keeps_off)
        await self._kept(self._plan.begin, (self._plan.content,))
        self._observer.run_started(self.id, self._plan.hosts)
        await self._refuse_held()
        deadline_s, now = self._plan.limits.run_deadline_s, asyncio.get_running_loop().time()
        for number, wave in enumerate(self._plan.waves or (self._plan.hosts,), self._plan.first_wave):
            await self._drive_wave(number, wave, None if deadline_s is None else now + deadline_s)
        outcomes = {record.outcome for record in self.records.values()}
        waits = any(row.outcome is Outcome.INTERRUPTED for row in self._targets.values())  # a host that is not seen here
        goes_on = waits or Outcome.INTERRUPTED in outcomes or (self.stopped and Outcome.NOT_STARTED in outcomes)
        await self._kept(self._end(RunState.INTERRUPTED if goes_on else RunState.ENDED))

    async def _refuse_held(self) -> None:
        """Account for the hosts that somebody holds as the run begins; each is asked about again before it begins."""
        if self._gate is not None:
            for host in self._plan.hosts:
                if (held := self._gate.held(host)) is not None:
                    await self._host_ended(held)

    async def _drive_wave(self, number: int, wave: Sequence[Host], deadline_at: float | None) -> None:
        """Return when every host of a wave is accounted for, and monitoring of them speaks again.

        What is kept off as its wave is muted, or would be, does not begin in it, whatever has let it go meanwhile: its
        monitoring speaks.
        """
        waiting = [host for host in wave if host.name in self._targets]
        off = {host.name: None if self._gate is None else self._gate.passed(host) for host in waiting}
        begins = [name for name, kept_off in off.items() if kept_off is None]
        muted = self._gate is not None and bool(self._plan.hooks and begins and not self.stopped)
        self._fan_out = fan_out = FanOut[Any](
            waiting,
            self._plan.per_host.ask,
            self._connect,
            limits=replace(self._plan.limits, keeps_places=self._kind is RunKind.REPAIR),
            clock=self._plan.per_host.clock,
            started=self._observer.host_started,
            ended=self._host_ended,
            keeps_off=self._keeps_off(off if self._plan.hooks else {}),
            deadline_at=deadline_at,
        )
        fan_out.stopped = self.stopped
        if not muted:
            await fan_out.drive()
            return
        async with self._muting().around(number, begins, self._muted_until(len(begins))) as failed:
            if failed is not None and self._gate is not None:
                self._gate.shut = failed  # also where too many had ended badly: those that may go on all the same do not
            await fan_out.drive()

    def _keeps_off(self, off: Mapping[str, HostRun[Any] | None]) -> Callable[[Host], HostRun[Any] | None] | None:
        """Return what tells how a host ends that may not begin, None where nothing keeps any off."""
        gate = self._gate
        return None if gate is None else lambda host: off.get(host.name) or gate.passed(host)

    def _muting(self) -> Muting:
        from runner.muting import Muting  # what mutes talks over HTTP: a diagnosis does without

        begin, clock = self._plan.begin, self._plan.per_host.clock
        return Muting(hooks=self._plan.hooks, store=self._store, run=begin.run, actor=begin.audit.actor, clock=clock)

    def _muted_until(self, hosts: int) -> datetime:
        """Return when a wave is over at the latest, and a little: then monitoring speaks again whatever became of us."""
        limits = self._plan.limits
        turns = -(-hosts // limits.concurrency)
        longest_s = turns * (limits.host_deadline_s + _BETWEEN_HOSTS_S) + _MUTED_LONGER_S
        return self._plan.per_host.clock() + timedelta(seconds=longest_s)

    async def _host_ended(self, ended: HostRun[Any]) -> None:
        judged = self._plan.per_host.judge(self._targets.pop(ended.host.name), ended)
        if self._gate is not None:
            open_still = judged.row.outcome is Outcome.INTERRUPTED  # what cut it off counts: a deadline, a fault
            self._gate.count(ended.outcome if open_still else judged.row.outcome, judged.row.error_kind)
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
