"""A diagnostic run as seen from one host: which questions, how the answers are judged, what is kept of it."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import TYPE_CHECKING

from diagnostics.context import Context, Earlier
from diagnostics.diagnose import diagnose
from diagnostics.evidence import Evidence
from diagnostics.finding import Diagnosis
from diagnostics.formats import decode_diagnosis, decode_evidence, encode_diagnosis, encode_evidence
from diagnostics.library import Library
from diagnostics.probe import Probe
from diagnostics.redaction import redact
from diagnostics.thresholds import Thresholds, merged
from inventory.errors import Text
from inventory.host import Expectations, Host
from inventory.secret import MASKER
from remote.answer import Answer, Ended
from remote.question import Question
from remote.session import Session, SessionFacts
from runner.host_run import Clock, HostRun, attempt, broken
from runner.outcome import Outcome, RunState
from runner.record import HostRecord
from runner.recording import Kept, host_record
from runner.store.blobs import digest_of
from runner.store.changes import HostStates
from runner.store.rows import HostRow, StateRow
from runner.store.sentences import as_kept

if TYPE_CHECKING:
    from runner.tasks import Attached


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What came back from one host, and when."""

    answers: Mapping[str, Answer] = field(hash=False)
    session: Mapping[str, str] = field(hash=False)
    asked_at: datetime
    round_trip_ms: int
    overdue: bool
    """The host's deadline cut answers off."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """How one host ended: its row and record, the evidence to keep with it, the state it leaves for the next run."""

    row: HostRow
    record: HostRecord
    blobs: tuple[bytes, ...] = field(default=(), repr=False)
    states: HostStates | None = None
    answers: Mapping[str, Answer] = field(default_factory=dict, repr=False, hash=False)
    """As they are kept."""
    attached: Attached | None = field(default=None, repr=False)
    """What goes onto the case besides a report."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Taken:
    evidence: Evidence
    context: Context
    data: bytes
    digest: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What the questions showed at one time: the evidence as it is kept, and what was concluded from it."""

    evidence: Evidence
    context: Context
    data: bytes = field(repr=False)
    evidence_digest: str
    diagnosis: Diagnosis
    diagnosis_data: bytes = field(repr=False)

    @property
    def diagnosis_digest(self) -> str:
        """Return the digest of the diagnosis."""
        return digest_of(self.diagnosis_data)

    @property
    def denied_root(self) -> str:
        """Return why questions were not asked as root, in the host's words; empty: they were, or none had to be."""
        return _denied_root(self.evidence)

    @classmethod
    def kept(cls, data: bytes, diagnosis: bytes) -> Seen:
        """Return what was seen, from what was kept of it."""
        evidence, context = decode_evidence(data)
        return cls(
            evidence=evidence,
            context=context,
            data=data,
            evidence_digest=digest_of(data),
            diagnosis=decode_diagnosis(diagnosis),
            diagnosis_data=diagnosis,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Diagnosing:
    """Everything that asking and judging the hosts of one run needs."""

    run: str
    library: Library
    checks: tuple[str, ...]
    extra: tuple[Probe, ...]
    thresholds: Thresholds = field(hash=False)
    """Of the playbook; a host's variable `thresholds` goes before them."""
    earlier: Mapping[str, Sequence[StateRow]] = field(hash=False)
    """By host name: what the last completed run said."""
    versions: Mapping[str, str] = field(hash=False)
    clock: Clock
    _questions: dict[tuple[str, Expectations], tuple[Question, ...]] = field(default_factory=dict, hash=False)
    _concluded: dict[tuple[str, ...], tuple[str, ...]] = field(default_factory=dict, hash=False)
    """One tuple for all hosts with the same: they are kept until the run ends."""

    def questions(self, host: Host) -> tuple[Question, ...]:
        """Return what is asked of a host: the same for all with the same platform and expectations."""
        key = (host.platform.value, host.expect)
        if key not in self._questions:
            self._questions[key] = self.library.questions(self.checks, host.platform.value, host.expect, self.extra)
        return self._questions[key]

    async def ask(self, session: Session, left_s: float) -> Asked:
        """Return the answers of one host; those that the deadline cut off are lost."""
        questions, now = self.questions(session.host), asyncio.get_running_loop().time
        asked_at, start = self.clock(), now()
        answers = await session.ask(questions, deadline_s=left_s) if questions else {}
        took_s = now() - start
        cut = any(
            answer.ended is Ended.LOST or (answer.ended is Ended.NOT_RUN and not answer.denied) for answer in answers.values()
        )
        return Asked(
            answers={question.id: answers[question.id] for question in questions},
            session=session_named(session.facts),
            asked_at=asked_at,
            round_trip_ms=round(took_s * 1000),
            overdue=cut and took_s >= left_s,
        )

    def judge(self, target: HostRow, ended: HostRun[Asked]) -> Judged:
        """Return how the host ended, from what came back; a fault of ours on the way makes it failed, evidence kept."""
        asked = ended.value
        if asked is None:
            return _unjudged(target, ended)
        taken = attempt(lambda: self._take(ended.host, ended.ended_at or asked.asked_at, asked))
        if isinstance(taken, Exception):
            return _unjudged(target, broken(ended, taken))
        target = replace(target, evidence_digest=taken.digest, denied_root=_denied_root(taken.evidence))
        judged = attempt(lambda: self._judged(target, taken, asked, ended))
        if isinstance(judged, Exception):
            return _unjudged(target, broken(ended, judged), taken)
        return judged

    def seen(self, host: Host, now: datetime, asked: Asked, before: Diagnosis | None = None) -> Seen:
        """Return what the answers of a host show; after what this run itself saw `before`, where it did.

        A finding of that is over by the bound that its check has for that, as one of an earlier run is.
        """
        taken = self._take(host, now, asked, before)
        diagnosis = self._diagnosed(taken)
        return Seen(
            evidence=taken.evidence,
            context=taken.context,
            data=taken.data,
            evidence_digest=taken.digest,
            diagnosis=diagnosis,
            diagnosis_data=encode_diagnosis(diagnosis),
        )

    def _take(self, host: Host, now: datetime, asked: Asked, before: Diagnosis | None = None) -> _Taken:
        """Return the evidence as it is kept: redacted, with everything else that a verdict depends on."""
        probes = {**self.library.probes, **{probe.id: probe for probe in self.extra}}
        evidence = Evidence(
            host=host.name,
            taken_at=asked.asked_at,
            platform=host.platform.value,
            answers=redact(asked.answers, probes),
            versions=self.versions,
            session=asked.session,
        )
        context = Context(
            now=now,
            checks=self.checks,
            library_digest=self.library.digest,
            thresholds=merged(self.thresholds, host.vars.get("thresholds")),
            services=host.expect.services,
            ports=host.expect.ports,
            names=host.expect.names,
            waivers=tuple(
                replace(waiver, place=None, targets_place=None) for waiver in host.waivers if waiver.check in self.checks
            ),
            earlier=tuple(self._earlier(host, now, before)),
            observations={"asked_at_s": asked.asked_at.timestamp(), "round_trip_ms": asked.round_trip_ms},
        )
        data = encode_evidence(evidence, context)
        return _Taken(evidence=evidence, context=context, data=data, digest=digest_of(data))

    def _earlier(self, host: Host, now: datetime, before: Diagnosis | None) -> Iterator[Earlier]:
        """Yield what was found on a host before: by this run where it came to a conclusion, else by earlier ones."""
        concluded = {result.check for result in before.results if result.complete} if before else set()
        for state in self.earlier.get(host.name, ()):
            if state.check in self.checks and state.check not in concluded:
                yield Earlier(check=state.check, key=state.subject, severity=state.severity, since=state.since)
        for finding in reversed(before.findings) if before else ():  # worst last, so that it stays where subjects meet
            if finding.check in concluded:
                yield Earlier(check=finding.check, key=finding.key, severity=finding.severity, since=finding.since or now)

    def _diagnosed(self, taken: _Taken) -> Diagnosis:
        """Return what the evidence shows, each check accounted for."""
        diagnosis = diagnose(taken.evidence, taken.context, self.library)
        if sorted(result.check for result in diagnosis.results) != sorted(self.checks):
            raise AssertionError(f"accounting: {len(self.checks)} checks asked for, {len(diagnosis.results)} accounted for")
        return diagnosis

    def _judged(self, target: HostRow, taken: _Taken, asked: Asked, ended: HostRun[Asked]) -> Judged:
        diagnosis = self._diagnosed(taken)
        outcome = Outcome.TIMED_OUT if asked.overdue else self.outcome(diagnosis, asked.answers)
        data = encode_diagnosis(diagnosis)
        row = replace(
            _row(target, ended),
            outcome=outcome,
            error=as_kept(_error(outcome, asked, ended.host)),
            diagnosis=data,
            diagnosis_digest=digest_of(data),
        )
        return Judged(
            row=row,
            record=host_record(
                row, Kept(evidence=taken.evidence, context=taken.context, diagnosis=diagnosis), RunState.RUNNING
            ),
            blobs=(taken.data,),
            answers=taken.evidence.answers,
            states=self.states(target, taken.context.now, diagnosis),
        )

    def outcome(self, diagnosis: Diagnosis, answers: Mapping[str, Answer]) -> Outcome:
        """Return how a host ended whose answers came back: what could not be seen goes before what was."""
        extra = [(probe.question, answers[probe.question.id]) for probe in self.extra if probe.question.id in answers]
        unseen = not all(result.complete for result in diagnosis.results)
        if not answers or unseen or any(not _as_declared(*asked) for asked in extra):
            return Outcome.INCOMPLETE
        return Outcome.FINDINGS if diagnosis.findings else Outcome.OK

    def states(self, target: HostRow, now: datetime, diagnosis: Diagnosis) -> HostStates:
        """Return what a diagnosis leaves for the next run on the host."""
        states = states_of(target, now, diagnosis)
        return replace(states, checks=self._concluded.setdefault(states.checks, states.checks))


def states_of(target: HostRow, now: datetime, diagnosis: Diagnosis) -> HostStates:
    """Return what a diagnosis leaves for the next run on the host."""
    worst: dict[tuple[str, str], StateRow] = {}
    for finding in reversed(diagnosis.findings):  # worst last, so that it stays where subjects meet
        worst[finding.check, finding.key] = StateRow(
            host=target.host,
            check=finding.check,
            subject=finding.key,
            severity=finding.severity,
            since=finding.since or now,
            run=target.run,
            customer=target.customer,
        )
    concluded = tuple(result.check for result in diagnosis.results if result.complete)
    return HostStates(host=target.host, ended_at=now, checks=concluded, states=tuple(worst.values()))


def _unjudged(target: HostRow, ended: HostRun[Asked], taken: _Taken | None = None) -> Judged:
    row, kept = _row(target, ended), Kept(evidence=taken.evidence, context=taken.context) if taken else Kept()
    return Judged(row=row, record=host_record(row, kept, RunState.RUNNING), blobs=(taken.data,) if taken else ())


def _error(outcome: Outcome, asked: Asked, host: Host) -> Text | None:
    if outcome is Outcome.TIMED_OUT:
        return Text("the host's deadline passed before every answer was in")
    if not asked.answers:
        return Text("nothing was asked: no check or probe is for {platform}", platform=host.platform.value)
    return None


def _as_declared(question: Question, answer: Answer) -> bool:
    return answer.ended is Ended.EXITED and answer.exit_status in question.ok_statuses


def _denied_root(evidence: Evidence) -> str:
    """Return why questions were not asked as root, in the host's words, which are the same for all of them."""
    return next((answer.denied for answer in evidence.answers.values() if answer.denied), "")


def session_named(facts: SessionFacts) -> dict[str, str]:
    """Return what was negotiated, and what became of a connection that dropped, by name, as evidence keeps it."""
    named = {"transport": facts.transport, "user": facts.user, "credential": facts.credential, "host_key": facts.host_key}
    algorithms = {name: sys.intern(value) for name, value in facts.algorithms}  # hosts of a fleet share them
    told = {
        "via": facts.via,
        "proxy": facts.proxy,
        "host_certificate": facts.host_certificate,
        "instead_of": facts.instead_of,
        "old_algorithms_allowed": facts.allowed,
        "dropped": MASKER.text(facts.dropped),
        "asked_again": " ".join(facts.asked_again),
        "not_renewed": MASKER.text(facts.not_renewed),
    }
    return {**named, **{name: value for name, value in told.items() if value}, **algorithms}


def _row(target: HostRow, ended: HostRun[Asked]) -> HostRow:
    return replace(
        target,
        outcome=ended.outcome,
        error=as_kept(ended.error),
        hint=as_kept(ended.hint),
        error_kind=ended.error_kind,
        started_at=ended.started_at,
        ended_at=ended.ended_at,
    )


def target_row(run: str, position: int, host: Host) -> HostRow:
    """Return the row of a host that has not ended yet."""
    return HostRow(
        run=run,
        position=position,
        host=host.name,
        address=host.address,
        site=host.site,
        customer=host.customer,
        platform=host.platform.value,
        transport=host.transport.value,
    )
