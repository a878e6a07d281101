"""A repair as seen from one host: the questions before, the steps, the same questions after, and what that comes to."""

from __future__ import annotations

import asyncio
import shlex
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from typing import Any

from diagnostics.facts import fact_tree, facts_of
from diagnostics.finding import Diagnosis, Finding
from inventory.errors import Text
from inventory.host import Host
from playbooks.demands import demands_of
from playbooks.foresight import foresee
from playbooks.interpreter import Player
from playbooks.model import Playbook
from playbooks.params import ParamValue
from playbooks.ports import Operator, Ports
from playbooks.results import Played, StepPlan
from playbooks.scenario_writing import Proof, Recording, RecordingHands, written_scenario
from playbooks.undoing import UndoingRefused, foresee_undoing, undo
from playbooks.verdicts import takes_back
from remote.lasting import LastingConnect
from remote.session import Connect, Session
from runner import called_for
from runner.approved_plan import Approved, another_plan
from runner.by_hand import in_turn
from runner.diagnosing import Asked, Diagnosing, Judged, Seen, session_named
from runner.fan_out import INTERRUPTED
from runner.hands import LoopClock, SessionHands
from runner.host_run import Clock, HostRun, attempt, broken
from runner.journal import StoreJournal, that_stand
from runner.outcome import Outcome, RunState, when_kept_off
from runner.progress import Progress
from runner.recording import Kept, host_record
from runner.repair_end import BEFORE, Repaired, cut_off, ended_row, held, so_far, verdicts_of
from runner.store.changes import Note, Sampled, TakeLease
from runner.store.errors import ChangeRefused, HostConflicting, NotApproved
from runner.store.port import Store
from runner.store.rows import AuditRow, Event, HostRow, JournalRow, LeaseRow, SampleRow
from runner.store.sentences import as_kept
from runner.undoing import Undoing, WorkedOnSince
from runner.untried import asked_of, refuse_other_platform

_FORGETTING_S = 20.0


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
    file: str = ""
    """Where the playbook was read from; empty: it is a shipped one."""
    only_plan: bool = False
    forced: str = ""
    """Why it is done where there is no finding; empty: it is not."""
    beside: AuditRow | None = None
    """What the audit keeps of going beside who works by hand, its detail is the reason; None: it does not."""
    given: tuple[str, ...] = ()
    """The words of the command line that say with what: parameters, where secrets are kept, the case."""
    can_be_forced: bool = False
    """Whether the command that began it takes `--force`: one that goes on, tries again, begins what was approved has none."""
    recorded: Callable[[Recording], None] | None = field(default=None, hash=False)
    """Is given what was done, its proof and its undoing as a scenario, once all of it is over."""
    approved: Approved | None = None
    """For what a second person has approved it; None: nobody had to."""
    undoing: Undoing | None = field(default=None, hash=False, repr=False)
    """What is undone; None: the playbook is done."""
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
        end = asyncio.get_running_loop().time() + left_s
        async with AsyncExitStack() as stack:
            try:
                token = 0 if self.only_plan else await self._leased(session.host, left_s)
                if self.undoing is not None:
                    await self._refuse_worked(session.host, self.undoing)
                self._refuse_worked_since(session.host)
                self._refuse_conflicting(session.host)
                hands = SessionHands(session, LastingConnect(self.connect), stack, token)
                repaired = await self._repaired(hands, end)
            except ChangeRefused as refused:
                return Repaired(session=session_named(session.facts), refused=refused)
            return replace(repaired, session=session_named(hands.session.facts))

    async def _refuse_worked(self, host: Host, undoing: Undoing) -> None:
        """Raise WorkedOnSince, WorkedByHand: what is to be undone there is not what others have seen since.

        A lease is taken before: who had the host until then has worked on it. With a reason the audit keeps what it is about.
        """
        undoing.refuse_worked_on(host.name, self.diagnosing.run)
        if self._has_begun(self.positions[host.name]):
            return
        worked = undoing.worked_by_hand(host.name, self.diagnosing.run, only_plan=self.only_plan)
        if worked is not None and self.beside is None:
            raise worked
        if worked is not None and self.beside is not None and not self.only_plan:
            detail = f"{worked.text}; beside it: {self.beside.detail}"
            noted = self.store.write(Note(audit=replace(self.beside, at=self.clock(), detail=detail)))
            await asyncio.shield(asyncio.wrap_future(noted))

    def _refuse_worked_since(self, host: Host) -> None:
        """Raise WorkedOnSince where the run goes on and another one has begun a step there since: it is not what this one knew.

        Whoever wants the rest begins a run of its own, which looks first.
        """
        if not self._has_begun(self.positions[host.name]):
            return
        run = self.diagnosing.run
        if (since := self.store.worked_since(host.name, run)) is not None:
            hint = Text("begin a run of its own: longarm repair {again}", again=self._again(host))
            raise WorkedOnSince(host.name, run, since, None if self.undoing is not None else hint)

    def _has_begun(self, position: int) -> bool:
        """Tell whether an earlier process of the run has begun a step there: what was only left out changed nothing."""
        return any(line.event is Event.INTENT for line in self.earlier.get(position, ()))

    async def _leased(self, host: Host, left_s: float) -> int:
        """Take the lease of a host and return its token, or raise HostLeased, HostInHand."""
        await in_turn(self.store, host, lambda: self._wanted(host), left_s)
        lease = self.store.lease(host.name)
        assert lease is not None
        return lease.token

    def _wanted(self, host: Host) -> TakeLease:
        now = self.clock()
        lease = LeaseRow(
            host=host.name,
            token=int(now.timestamp() * 1000),  # other homes, and this one once it was restored, never start below theirs
            run=self.diagnosing.run,
            actor=self.actor,
            reason=self.playbook.id,
            customer=host.customer,
            since=now,
        )
        return TakeLease(lease=lease, beside=None if self.beside is None else replace(self.beside, at=now))

    def _refuse_conflicting(self, host: Host) -> None:
        """Raise HostConflicting where nobody knows how a repair ended there that must not change it at the same time.

        The lease is ours by now, so none of them begins meanwhile. A plan changes nothing, and a reason is stronger.
        """
        if self.only_plan or self.forced:
            return
        ours = demands_of(self.playbook)
        for one in self.store.unsettled(host.name):
            theirs = (one.playbook, *one.includes)
            conflicts = not ({*theirs}.isdisjoint(ours.conflicts) and {*one.conflicts}.isdisjoint(ours.names))
            if conflicts and one.run != self.diagnosing.run:
                raise HostConflicting(host.name, self.playbook.id, one, can_be_forced=self.can_be_forced)

    async def _repaired(self, hands: SessionHands, end: float) -> Repaired:
        loop = asyncio.get_running_loop()
        progress = self._begun(hands.host)
        if BEFORE in progress.seen and (besides := asked_of(hands.host)):  # else they travel with the sample
            refuse_other_platform(hands.host, await hands.ask(besides, deadline_s=max(1.0, end - loop.time())))
        before = await self._taken(hands, progress, BEFORE, end - loop.time())
        if (strange := self._not_approved(hands.host, before.diagnosis)) is not None and not progress.journal.earlier:
            return Repaired(session={}, refused=strange)
        goes_on = progress.journal.earlier or self.forced or self.undoing is not None
        idle = None if goes_on else called_for.idle(self.playbook, self.params, before.diagnosis)
        if idle is not None:
            return Repaired(session={}, idle=idle, blind=not called_for.seen_whole(self.playbook, before.diagnosis))
        if not goes_on and (causes := called_for.causes_first(self.playbook, self.params, before.diagnosis)):
            names = ", ".join(cause.id for cause in causes)
            idle = Text("nothing was done: what is found follows from {causes}, which comes first", causes=names)
            return Repaired(session={}, idle=idle, hint=self._first(hands.host, causes))
        recording = RecordingHands(hands) if self.recorded is not None else None
        ports = Ports(
            run=f"{self.diagnosing.run}-{self.positions[hands.host.name]}",
            hands=recording or hands,
            journal=progress.journal,
            operator=self.operator,
            clock=LoopClock(),
        )
        facts, probes = self._facts(before), self.diagnosing.library.probes
        if self.only_plan:
            await progress.journal.planned(await self._foreseen(facts, ports))
            return Repaired(session={})
        if self.approved is not None and not progress.journal.earlier:
            foreseen = await self._foreseen(facts, replace(ports, hands=hands))
            if (other := self._another_plan(hands.host, self.approved, foreseen)) is not None:
                return Repaired(session={}, refused=other)
        if self.undoing is not None:
            past = self.undoing.past[hands.host.name]
            try:
                played = await undo(self.playbook, self.params, past, ports, probes)
            except UndoingRefused as refused:
                return Repaired(session={}, refused=refused)
            return Repaired(session={}, played=await self._seen_through(hands, progress, played, None, end))
        player = Player(self.playbook, self.params, facts, ports, probes)
        played = await self._seen_through(hands, progress, await player.play(), player, end)
        if self.recorded is not None and recording is not None:
            self.recorded(written_scenario(self.diagnosing.run, recording, played, self.params, facts, self._proof(progress)))
        return Repaired(session={}, played=played)

    def _proof(self, progress: Progress) -> Proof:
        """Return what a recording keeps of the samples."""
        samples = (progress.seen[number] for number in sorted(progress.seen))
        before, *after = ((seen.evidence, seen.context) for seen in samples)
        proving = self.playbook.verify.samples if self.playbook.verify else 1
        return Proof(before=before, after=after[:proving], verdicts=verdicts_of(self.playbook, progress.seen))

    async def _foreseen(self, facts: Mapping[str, Any], ports: Ports) -> tuple[StepPlan, ...]:
        """Return what would be done, or undone."""
        probes = self.diagnosing.library.probes
        if self.undoing is None:
            return await foresee(self.playbook, self.params, facts, ports, probes)
        past = self.undoing.past[ports.hands.host.name]
        return await foresee_undoing(self.playbook, self.params, past, ports, probes)

    async def _seen_through(
        self, hands: SessionHands, progress: Progress, played: Played, player: Player | None, end: float
    ) -> Played:
        """Prove what was done, and undo it where the playbook says so of what is not proved; return what all of it came to."""
        if await self._left_open(hands, progress, played, end):
            return played
        await self._proved(hands, progress, end)
        found = verdicts_of(self.playbook, progress.seen)
        if player is None or not takes_back(self.playbook, played, found, left=player.left, begun=player.undoing_begun):
            return played
        played = await player.undo()
        if not await self._left_open(hands, progress, played, end):
            loop, samples = asyncio.get_running_loop(), self.playbook.verify.samples if self.playbook.verify else 1
            await self._taken(hands, progress, samples + 1, end - loop.time())
        return played

    async def _left_open(self, hands: SessionHands, progress: Progress, played: Played, end: float) -> bool:
        """Tell whether a person has to look before anything more is done; else the host forgets what is on disk here."""
        await progress.journal.settled()
        if not played.left_open:
            left_s = end - asyncio.get_running_loop().time()
            await hands.forget(progress.journal.earlier, deadline_s=min(_FORGETTING_S, max(1.0, left_s)))
        return played.left_open

    def _begun(self, host: Host) -> Progress:
        """Return what is known of a host, an earlier process of the run included."""
        position = self.positions[host.name]
        progress = self.progress[host.name] = Progress(journal=self._journal(position))
        for row in self.samples.get(position, ()) if progress.journal.earlier else ():  # else all of it is asked anew
            progress.seen[row.number] = Seen.kept(self.store.blob(row.evidence_digest), row.diagnosis)
            progress.kept[row.number] = row.at
        return progress

    def _journal(self, position: int) -> StoreJournal:
        """Return the journal of a host, with what an earlier process of the run wrote."""
        lines = that_stand(self.earlier.get(position, ()))
        return StoreJournal(self.store, self.diagnosing.run, position, self.clock, lines)

    async def _taken(self, hands: SessionHands, progress: Progress, number: int, left_s: float) -> Seen:
        """Return a sample: what is on disk of an earlier process of the run is not asked again while it stands."""
        return progress.standing(number, undoing=True) or await self._sample(hands, progress, number, left_s)

    async def _sample(self, hands: SessionHands, progress: Progress, number: int, left_s: float) -> Seen:
        """Ask the questions of the repair, and return what they showed, which is on disk.

        Raises OtherPlatform before anything was done, where the host is not what the inventory says.
        """
        questions, loop = self.diagnosing.questions(hands.host), asyncio.get_running_loop()
        asked_at, start = self.clock(), loop.time()
        besides = asked_of(hands.host) if number == BEFORE else ()
        answers = await hands.ask((*questions, *besides), deadline_s=max(1.0, left_s))
        refuse_other_platform(hands.host, answers)
        asked = Asked(
            answers={question.id: answers[question.id] for question in questions},
            session=_session_of(hands),
            asked_at=asked_at,
            round_trip_ms=round((loop.time() - start) * 1000),
            overdue=False,
        )
        before = progress.seen.get(BEFORE) if number != BEFORE else None
        seen = self.diagnosing.seen(hands.host, self.clock(), asked, before.diagnosis if before else None)
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
        progress.take(number, seen)
        return seen

    async def _proved(self, hands: SessionHands, progress: Progress, end: float) -> None:
        """Ask the same questions again, after the time that the repair takes to settle, as often as the playbook says."""
        verify, loop = self.playbook.verify, asyncio.get_running_loop()
        settle_s, samples, every_s = (verify.settle_s, verify.samples, verify.every_s) if verify else (0.0, 1, 0.0)
        for number in range(1, samples + 1):
            if progress.standing(number, undoing=self.undoing is not None):  # of an earlier process: done, and proved, by it
                continue
            await LoopClock().sleep(settle_s if number == 1 else every_s)
            await self._sample(hands, progress, number, end - loop.time())

    def _facts(self, seen: Seen) -> dict[str, Any]:
        """Return the facts of the probes that the playbook needs."""
        probes = self.diagnosing.library.probes
        return fact_tree({name: facts_of(probes[name], seen.evidence.answers) for name in self.playbook.needs})

    def _first(self, host: Host, causes: Sequence[Finding]) -> Text:
        """Return how to repair a cause first."""
        cause = next((one for one in causes if one.remedy is not None), None)
        if cause is None and self.can_be_forced:
            return Text("--force REASON does it all the same")
        if cause is None:
            again = self._again(host)
            return Text("a repair of its own does it all the same: longarm repair {again} --force REASON", again=again)
        return Text("longarm repair --finding {run}/{finding}", run=self.diagnosing.run, finding=cause.id)

    def _not_approved(self, host: Host, diagnosis: Diagnosis) -> NotApproved | None:
        """Return that something is found for which the repair was not approved, None where all of it was seen then."""
        if self.approved is None:
            return None
        calling = called_for.calling(self.playbook, self.params, diagnosis)
        strange = [one.id for one in calling if one.id not in self.approved.findings]
        if not strange:
            return None
        hint = Text("ask for it anew: longarm repair {again}", again=self._again(host))
        return NotApproved(Text("it was not approved for {findings}", findings=", ".join(strange)), hint)

    def _another_plan(self, host: Host, approved: Approved, foreseen: Sequence[StepPlan]) -> NotApproved | None:
        """Return that something else would be done on a host than was approved, None where it is that."""
        other = another_plan(approved.plans.get(host.name, ()), foreseen)
        if other is None:
            return None
        return NotApproved(other, Text("ask for it anew: longarm repair {again}", again=self._again(host)))

    def _again(self, host: Host) -> str:
        """Return what to type after `longarm repair` for the same on a host, begun anew."""
        return shlex.join((self.file or self.playbook.id, host.name, *self.given))

    def judge(self, target: HostRow, ended: HostRun[Repaired]) -> Judged:
        """Return how the host ended; a fault of ours on the way makes it failed, and nothing that was kept is lost."""
        progress = self.progress.pop(target.host, None)
        journal = progress.journal if progress else self._journal(target.position)
        row = replace(
            target,
            outcome=ended.outcome,
            error=as_kept(ended.error),
            hint=as_kept(ended.hint),
            error_kind=ended.error_kind,
            started_at=ended.started_at,
            ended_at=ended.ended_at,
            change=so_far(journal),
            flags=held(ended.error_kind),
        )
        seen = progress.seen if progress else {}
        last = seen[max(seen)] if seen else None
        if last is not None:
            row = replace(
                row,
                evidence_digest=last.evidence_digest,
                denied_root=last.denied_root,
                diagnosis=last.diagnosis_data,
                diagnosis_digest=last.diagnosis_digest,
            )
        repaired, begun = ended.value, self._has_begun(target.position)
        if repaired is not None:
            judged = attempt(lambda: ended_row(row, repaired, seen, self.playbook, forced=bool(self.forced), begun=begun))
            if isinstance(judged, Exception):
                failed = broken(ended, judged)
                row = replace(row, outcome=failed.outcome, error=as_kept(failed.error), error_kind=failed.error_kind)
            else:
                row = judged
        elif ended.outcome is Outcome.INTERRUPTED and progress is not None:
            row = replace(row, error=as_kept(INTERRUPTED))
        elif begun and progress is None:  # kept off, or not reached
            row = replace(row, outcome=when_kept_off(ended.error_kind, begun=True))
        if journal.open:
            over = when_kept_off(row.error_kind, begun=True) is not Outcome.INTERRUPTED  # going on would find the same
            hint = Text("longarm run resume {run} --only-ask" if over else "longarm run resume {run}", run=self.diagnosing.run)
            row = cut_off(row, hint)
        kept = Kept(evidence=last.evidence, context=last.context, diagnosis=last.diagnosis) if last else Kept()
        states = None
        if last is not None and repaired is not None and not self.only_plan:
            states = self.diagnosing.states(row, last.context.now, last.diagnosis)
        return Judged(row=row, record=host_record(row, kept, RunState.RUNNING), states=states)


def _session_of(hands: SessionHands) -> dict[str, str]:
    """Return what was negotiated lately, and how often the connection was lost and opened anew, as evidence keeps it."""
    anew = {"connected_anew": str(hands.connected_anew)} if hands.connected_anew else {}
    return {**session_named(hands.session.facts), **anew}
