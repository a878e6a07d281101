"""Records made from what the store keeps: pure, so that a record read back is the one that was handed out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from diagnostics.content import Content
from diagnostics.context import Context
from diagnostics.evidence import Evidence
from diagnostics.finding import Citation, Diagnosis
from inventory.errors import Text
from remote.answer import Answer
from runner.outcome import Coverage, Outcome, RunKind, RunState
from runner.output import output_of
from runner.record import AnswerNote, Delivery, HostRecord, Quote, RunRecord, RunSummary
from runner.store.changes import PROCESS_GONE
from runner.store.port import CountedRun, WholeRun
from runner.store.rows import HostRow, OutboxRow

MOST_LINES = 20
MOST_CHARACTERS = 500

NOT_ENDED = Text("has not ended yet")


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """What the store keeps of a host besides its row."""

    evidence: Evidence | None = None
    context: Context | None = None
    diagnosis: Diagnosis | None = None


def host_record(row: HostRow, kept: Kept, state: RunState) -> HostRecord:
    """Return how a host ended in a run of this state; one without an end is unknown while it runs, else interrupted."""
    answers = kept.evidence.answers if kept.evidence else {}
    error = row.error
    if row.outcome is None:
        error = NOT_ENDED if state is RunState.RUNNING else PROCESS_GONE
    return HostRecord(
        host=row.host,
        address=row.address,
        site=row.site,
        customer=row.customer,
        platform=row.platform,
        transport=row.transport,
        outcome=row.outcome or _unended(state),
        error=error,
        hint=row.hint,
        error_kind=row.error_kind,
        started_at=row.started_at,
        ended_at=row.ended_at,
        evidence_digest=row.evidence_digest,
        diagnosis=kept.diagnosis,
        answers=tuple(_note(question, answers[question]) for question in sorted(answers)),
        quotes=_quotes(kept.diagnosis, answers) if kept.diagnosis else {},
        session=kept.evidence.session if kept.evidence else {},
        thresholds=kept.context.thresholds if kept.context else {},
        denied_root=row.denied_root,
        output=output_of(answers),
        pruned_at=row.pruned_at,
    )


def run_record(whole: WholeRun, hosts: Iterable[HostRecord], content: Content, state: RunState) -> RunRecord:
    """Return the record of a run that stands in `state`."""
    run = whole.run
    record = RunRecord(
        run=run.run,
        playbook=run.playbook,
        title=run.title,
        maintenance=run.maintenance,
        expression=run.expression,
        actor=run.actor,
        case=run.case,
        customers=run.customers,
        state=state,
        started_at=run.started_at,
        ended_at=run.ended_at,
        hosts=tuple(hosts),
        checks=run.checks,
        checks_chosen=bool(run.request.get("checks_chosen")),
        versions=run.versions,
        content=content,
        deliveries=tuple(map(delivery_of, whole.outbox)),
        erased_hosts=run.erased_hosts,
        kind=RunKind(run.request.get("kind", RunKind.DIAGNOSE)),
        subject=run.request.get("subject", ""),
    )
    if record.coverage.targeted != len(whole.hosts):
        raise AssertionError(f"{run.run}: {len(whole.hosts)} targeted, {record.coverage.targeted} accounted for")
    return record


def run_summary(counted: CountedRun, state: RunState) -> RunSummary:
    """Return the line of a run that stands in `state`."""
    run = counted.run
    outcomes = [outcome or _unended(state) for outcome, count in counted.counts.items() for _ in range(count)]
    return RunSummary(
        run=run.run,
        playbook=run.playbook,
        title=run.title,
        expression=run.expression,
        actor=run.actor,
        case=run.case,
        customers=run.customers,
        state=state,
        started_at=run.started_at,
        ended_at=run.ended_at,
        coverage=Coverage.of(outcomes),
    )


def _unended(state: RunState) -> Outcome:
    return Outcome.UNKNOWN if state is RunState.RUNNING else Outcome.INTERRUPTED


def _note(question: str, answer: Answer) -> AnswerNote:
    return AnswerNote(
        question=question,
        ended=answer.ended,
        exit_status=answer.exit_status,
        duration_ms=answer.duration_ms,
        stdout_bytes=len(answer.stdout),
        stderr_bytes=len(answer.stderr),
        as_root=answer.as_root,
        why=answer.why,
        unkillable=answer.unkillable,
    )


def _quotes(diagnosis: Diagnosis, answers: Mapping[str, Answer]) -> dict[str, tuple[Quote, ...]]:
    """Return the cited lines by finding: its own citations, then those of the links it stands in."""
    cited: dict[str, dict[Citation, None]] = {}
    for finding in diagnosis.findings:
        cited.setdefault(finding.id, {}).update(dict.fromkeys(finding.citations))
    for link in diagnosis.links:
        cited.setdefault(link.cause, {}).update(dict.fromkeys(link.cause_citations))
        cited.setdefault(link.effect, {}).update(dict.fromkeys(link.effect_citations))
    return {
        finding: tuple(quote(citation, answers[citation.question]) for citation in citations if citation.question in answers)
        for finding, citations in cited.items()
    }


def quote(citation: Citation, answer: Answer) -> Quote:
    """Return the cited lines of an answer; they count from 1.

    >>> from remote.answer import answered
    >>> quote(Citation(question="df", first=2, last=3), answered(b"Use%\\n91%\\n12%\\n")).lines
    ('91%', '12%')
    """
    data = answer.stderr if citation.stream == "stderr" else answer.stdout
    cited = data.split(b"\n")[citation.first - 1 : citation.last]
    lines = [line.rstrip(b"\r").decode("utf-8", "replace") for line in cited[:MOST_LINES]]
    return Quote(
        citation=citation,
        lines=tuple(line[:MOST_CHARACTERS] for line in lines),
        cut=len(cited) > MOST_LINES or any(len(line) > MOST_CHARACTERS for line in lines),
    )


def delivery_of(row: OutboxRow) -> Delivery:
    """Return where the report of an outbox row went, or is to go."""
    return Delivery(
        case=row.case,
        kind=row.kind,
        audience=row.audience,
        language=row.language,
        state=row.state.value,
        filename=row.filename,
        digest=row.digest,
        attempts=row.attempts,
        error=row.error,
        sent_at=row.sent_at,
    )
