"""A repair as seen from one host: the questions before, the steps, the same questions after, and what that comes to."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from typing import Any

from diagnostics.facts import fact_tree, facts_of
from diagnostics.finding import Diagnosis, Finding
from diagnostics.verdict import Verdict
from inventory.errors import LongarmError, Text
from inventory.host import Host
from playbooks.foresight import foresee
from playbooks.interpreter import play
from playbooks.model import OnFailure, Playbook
from playbooks.params import ParamValue
from playbooks.ports import Operator, Ports
from playbooks.results import LEFT_OPEN, HostChange, Played, StepResult, StepState
from remote.lasting import LastingConnect
from remote.session import Connect, Session
from runner.diagnosing import Asked, Diagnosing, Judged, Seen, session_named
from runner.fan_out import INTERRUPTED
from runner.hands import LoopClock, SessionHands
from runner.host_run import Clock, HostRun, attempt, broken
from runner.journal import StoreJournal
from runner.outcome import Outcome, RunState
from runner.recording import Kept, host_record
from runner.store.changes import Sampled, TakeLease
from runner.store.errors import HostLeased
from runner.store.port import Store
from runner.store.rows import HostRow, JournalRow, LeaseRow, SampleRow
from runner.store.sentences import as_kept

BEFORE = 0
"""The number of the sample that is taken before anything is done."""
_FORGETTING_S = 20.0
_ENDED: Mapping[StepState, Outcome] = {
    StepState.FAILED: Outcome.FAILED,
    StepState.TIMED_OUT: Outcome.TIMED_OUT,
    StepState.REFUSED: Outcome.REFUSED,
    StepState.FENCED: Outcome.REFUSED,
    StepState.UNDECIDED: Outcome.INCOMPLETE,
    StepState.INTERRUPTED: Outcome.UNKNOWN,
    StepState.UNKNOWN: Outcome.UNKNOWN,
}
"""What a step that did not end well makes of its host."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Repaired:
    """What was done on one host; the samples and the steps are on disk already."""

    session: Mapping[str, str] = field(hash=False)
    played: Played | None = None
    refused: LongarmError | None = None
    """Why nothing was asked or done."""
    idle: Text | None = None
    """Why nothing was done, where that is as it should be."""
    blind: bool = False
    """What it is for could not be seen before, so nothing was done."""


@dataclass(slots=True)
class Progress:
    """What is known of a host while it is worked on: it outlives whatever ends the work."""

    journal: StoreJournal
    seen: dict[int, Seen] = field(default_factory=dict)
    """Samples by number."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Repairing:
    """Everything that repairing the hosts of one run needs."""

    playbook: Playbook
    params: Mapping[str, ParamValue] = field(hash=False, repr=False)
    diagnosing: Diagnosing
    """Asks and judges what the repair is for, before and after."""
    store: Store = field(hash=False)
    connect: Connect = field(hash=False)
    operator: Operator = field(hash=False)
    actor: str
    only_plan: bool = False
    forced: str = ""
    """Why it is done where there is no finding; empty: it is not."""
    positions: Mapping[str, int] = field(hash=False)
    earlier: Mapping[int, Sequence[JournalRow]] = field(default_factory=dict, hash=False)
    """By position: what an earlier process of this run wrote."""
    samples: Mapping[int, Sequence[SampleRow]] = field(default_factory=dict, hash=False)
    """By position: what it saw."""
    progress: dict[str, Progress] = field(default_factory=dict, hash=False)

    @property
    def clock(self) -> Clock:
        """Return the clock of the run."""
        return self.diagnosing.clock

    async def ask(self, session: Session, left_s: float) -> Repaired:
        """Do all of it on one host, and return what came of it."""
        async with AsyncExitStack() as stack:
            try:
                token = 0 if self.only_plan else await self._leased(session.host)
            except HostLeased as held:
                return Repaired(session=session_named(session.facts), refused=held)
            hands = SessionHands(session, LastingConnect(self.connect), stack, token)
            repaired = await self._repaired(hands, left_s)
            return replace(repaired, session=session_named(hands.session.facts))

    async def _leased(self, host: Host) -> int:
        """Take the lease of a host and return its token, or raise HostLeased."""
        now = self.clock()
        wanted = LeaseRow(
            host=host.name,
            token=int(now.timestamp() * 1000),  # other homes, and this one once it was restored, never start below theirs
            run=self.diagnosing.run,
            actor=self.actor,
            reason=self.playbook.id,
            customer=host.customer,
            since=now,
        )
        await asyncio.shield(asyncio.wrap_future(self.store.write(TakeLease(lease=wanted))))
        lease = self.store.lease(host.name)
        assert lease is not None
        return lease.token

    async def _repaired(self, hands: SessionHands, left_s: float) -> Repaired:
        loop = asyncio.get_running_loop()
        end = loop.time() + left_s
        progress = self._begun(hands.host)
        before = progress.seen.get(BEFORE) or await self._sample(hands, progress, BEFORE, end - loop.time())
        idle = None if progress.journal.earlier or self.forced else self._idle(before.diagnosis)
        if idle is not None:
            return Repaired(session={}, idle=idle, blind=not self._seen_whole(before.diagnosis))
        ports = Ports(
            run=f"{self.diagnosing.run}-{self.positions[hands.host.name]}",
            hands=hands,
            journal=progress.journal,
            operator=self.operator,
            clock=LoopClock(),
        )
        facts, probes = self._facts(before), self.diagnosing.library.probes
        if self.only_plan:
            await progress.journal.planned(await foresee(self.playbook, self.params, facts, ports, probes))
            return Repaired(session={})
        played = await play(self.playbook, self.params, facts, ports, probes)
        await progress.journal.settled()
        if played.failed is None or played.failed.state not in LEFT_OPEN:
            await hands.forget(progress.journal.earlier, deadline_s=min(_FORGETTING_S, max(1.0, end - loop.time())))
            await self._proved(hands, progress, end)
        return Repaired(session={}, played=played)

    def _begun(self, host: Host) -> Progress:
        """Return what is known of a host, an earlier process of the run included."""
        position = self.positions[host.name]
        journal = StoreJournal(self.store, self.diagnosing.run, position, self.clock, self.earlier.get(position, ()))
        progress = self.progress[host.name] = Progress(journal=journal)
        for row in self.samples.get(position, ()):
            progress.seen[row.number] = Seen.kept(self.store.blob(row.evidence_digest), row.diagnosis)
        return progress

    async def _sample(self, hands: SessionHands, progress: Progress, number: int, left_s: float) -> Seen:
        """Ask the questions of the repair, and return what they showed, which is on disk."""
        questions, loop = self.diagnosing.questions(hands.host), asyncio.get_running_loop()
        asked_at, start = self.clock(), loop.time()
        answers = await hands.ask(questions, deadline_s=max(1.0, left_s))
        asked = Asked(
            answers={question.id: answers[question.id] for question in questions},
            session=session_named(hands.session.facts),
            asked_at=asked_at,
            round_trip_ms=round((loop.time() - start) * 1000),
            overdue=False,
        )
        seen = self.diagnosing.seen(hands.host, self.clock(), asked)
        row = SampleRow(
            run=self.diagnosing.run,
            position=self.positions[hands.host.name],
            number=number,
            at=asked_at,
            evidence_digest=seen.evidence_digest,
            diagnosis_digest=seen.diagnosis_digest,
            diagnosis=seen.diagnosis_data,
        )
        written = self.store.write(Sampled(sample=row), (seen.data,))
        await asyncio.shield(asyncio.wrap_future(written))
        progress.seen[number] = seen
        return seen

    async def _proved(self, hands: SessionHands, progress: Progress, end: float) -> None:
        """Ask the same questions again, after the time that the repair takes to settle, as often as the playbook says."""
        verify, loop = self.playbook.verify, asyncio.get_running_loop()
        settle_s, samples, every_s = (verify.settle_s, verify.samples, verify.every_s) if verify else (0.0, 1, 0.0)
        for number in range(1, samples + 1):
            await asyncio.sleep(settle_s if number == 1 else every_s)
            await self._sample(hands, progress, number, end - loop.time())

    def _facts(self, seen: Seen) -> dict[str, Any]:
        """Return the facts of the probes that the playbook needs."""
        probes = self.diagnosing.library.probes
        return fact_tree({name: facts_of(probes[name], seen.evidence.answers) for name in self.playbook.needs})

    def _idle(self, diagnosis: Diagnosis) -> Text | None:
        """Return why there is nothing to do, or nothing that anybody may decide; None: there is a finding to repair."""
        if not self.playbook.fixes or any(self.calls(finding) for finding in diagnosis.findings):
            return None
        names = ", ".join(self.playbook.fixes)
        if not self._seen_whole(diagnosis):
            return Text("nothing was done: what it is for could not be seen ({checks})", checks=names)
        return Text("nothing was done: there is no finding that it is for ({checks})", checks=names)

    def calls(self, finding: Finding) -> bool:
        """Tell whether a finding calls for this repair with these parameters."""
        if finding.check not in self.playbook.fixes or finding.waived:
            return False
        remedy = finding.remedy
        if remedy is None or remedy.playbook != self.playbook.id:
            return True
        return all(name not in self.params or str(self.params[name]) == str(value) for name, value in remedy.params.items())

    def _seen_whole(self, diagnosis: Diagnosis) -> bool:
        return all(
            result.complete and result.verdict is not Verdict.UNKNOWN
            for result in diagnosis.results
            if result.check in self.playbook.fixes
        )

    def judge(self, target: HostRow, ended: HostRun[Repaired]) -> Judged:
        """Return how the host ended; a fault of ours on the way makes it failed, and nothing that was kept is lost."""
        progress = self.progress.pop(target.host, None)
        row = replace(
            target,
            outcome=ended.outcome,
            error=as_kept(ended.error),
            hint=as_kept(ended.hint),
            error_kind=ended.error_kind,
            started_at=ended.started_at,
            ended_at=ended.ended_at,
            change=so_far(progress.journal) if progress else HostChange.UNCHANGED,
        )
        last = progress.seen[max(progress.seen)] if progress and progress.seen else None
        if last is not None:
            row = replace(
                row,
                evidence_digest=last.evidence_digest,
                denied_root=last.denied_root,
                diagnosis=last.diagnosis_data,
                diagnosis_digest=last.diagnosis_digest,
            )
        repaired = ended.value
        if repaired is not None:
            judged = attempt(lambda: self._judged(row, repaired, last))
            if isinstance(judged, Exception):
                failed = broken(ended, judged)
                row = replace(row, outcome=failed.outcome, error=as_kept(failed.error), error_kind=failed.error_kind)
            else:
                row = judged
        elif ended.outcome is Outcome.INTERRUPTED and progress is not None:
            row = replace(row, error=as_kept(INTERRUPTED))
        kept = Kept(evidence=last.evidence, context=last.context, diagnosis=last.diagnosis) if last else Kept()
        states = None
        if last is not None and repaired is not None and not self.only_plan:
            states = self.diagnosing.states(row, last.context.now, last.diagnosis)
        return Judged(row=row, record=host_record(row, kept, RunState.RUNNING), states=states)

    def _judged(self, row: HostRow, repaired: Repaired, last: Seen | None) -> HostRow:
        """Return the row of a host that was seen to its end."""
        if (refused := repaired.refused) is not None:
            kind = type(refused).__name__
            return replace(
                row, outcome=Outcome.REFUSED, error=as_kept(refused.text), hint=as_kept(refused.hint), error_kind=kind
            )
        assert last is not None
        if repaired.idle is not None:
            outcome = Outcome.INCOMPLETE if repaired.blind else self._outcome(last.diagnosis)
            return replace(row, outcome=outcome, error=as_kept(repaired.idle), change=HostChange.UNCHANGED)
        played = repaired.played
        if played is None:
            return replace(row, outcome=self._outcome(last.diagnosis), change=HostChange.UNCHANGED)
        flags = tuple(
            name
            for name, holds in (
                ("needs_reboot", played.needs_reboot),
                ("fenced", any(step.state is StepState.FENCED for step in played.steps)),
                ("forced", bool(self.forced)),
            )
            if holds
        )
        row = replace(row, change=played.change, flags=flags)
        if (failed := played.failed) is not None and not _allowed(failed, self.playbook):
            error = Text("step “{step}”: {why}", step=failed.name, why=failed.why or Text("it did not end well"))
            return replace(row, outcome=_ENDED[failed.state], error=as_kept(error), error_kind=f"Step{failed.state.title()}")
        return replace(row, outcome=self._outcome(last.diagnosis))

    def _outcome(self, diagnosis: Diagnosis) -> Outcome:
        """Return how a host ended whose steps ended well: what it claims to fix has to be seen, the rest counts if it is."""
        claims = {*self.playbook.fixes, *(self.playbook.verify.checks if self.playbook.verify else ())}
        results = [result for result in diagnosis.results if result.check in claims]
        if not all(result.complete and result.verdict is not Verdict.UNKNOWN for result in results):
            return Outcome.INCOMPLETE
        return Outcome.FINDINGS if any(not finding.waived for finding in diagnosis.findings) else Outcome.OK


def _allowed(failed: StepResult, playbook: Playbook) -> bool:
    """Tell whether the playbook goes on although this step failed: then what is seen afterwards decides."""
    number = failed.key.partition(".")[0].removeprefix("s")
    return failed.state not in LEFT_OPEN and playbook.steps[int(number) - 1].on_failure is OnFailure.CONTINUE


def so_far(journal: StoreJournal) -> HostChange:
    """Return what was done to a host whose work did not come to its end."""
    if journal.open:
        return HostChange.UNKNOWN
    return HostChange.PARTLY if journal.touched else HostChange.UNCHANGED
