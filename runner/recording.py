"""Records made from what the store keeps: pure, so that a record read back is the one that was handed out."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from diagnostics.content import Content
from diagnostics.context import Context
from diagnostics.evidence import Evidence
from diagnostics.finding import Diagnosis
from inventory.errors import Text
from runner.notes import Notes
from runner.outcome import Coverage, Outcome, RunKind, RunState
from runner.output import output_of
from runner.quoting import quotes_of
from runner.record import Delivery, HostRecord, RunRecord, RunSummary
from runner.repair_record import HostRepair
from runner.repair_recording import CHANGING, run_repair
from runner.store.changes import PROCESS_GONE
from runner.store.port import CountedRun, WholeRun
from runner.store.rows import HostRow, OutboxRow

NOT_ENDED = Text("has not ended yet")


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """What the store keeps of a host besides its row."""

    evidence: Evidence | None = None
    context: Context | None = None
    diagnosis: Diagnosis | None = None
    repair: HostRepair | None = None


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
        answers=Notes.of(answers),
        quotes=quotes_of(kept.diagnosis, answers) if kept.diagnosis else {},
        session=kept.evidence.session if kept.evidence else {},
        thresholds=kept.context.thresholds if kept.context else {},
        denied_root=row.denied_root,
        output=output_of(answers),
        pruned_at=row.pruned_at,
        repair=kept.repair,
    )


def run_record(whole: WholeRun, hosts: Iterable[HostRecord], content: Content, state: RunState) -> RunRecord:
    """Return the record of a run that stands in `state`."""
    run, hosts = whole.run, tuple(hosts)
    kind = RunKind(run.request.get("kind", RunKind.DIAGNOSE))
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
        hosts=hosts,
        checks=run.checks,
        checks_chosen=bool(run.request.get("checks_chosen")),
        versions=run.versions,
        content=content,
        deliveries=tuple(map(delivery_of, whole.outbox)),
        erased_hosts=run.erased_hosts,
        kind=kind,
        subject=run.request.get("subject", ""),
        read_only=run.request.get("read_only", False),
        beside=run.request.get("beside", ""),
        repair=run_repair(whole, [host.repair for host in hosts if host.repair]) if kind in CHANGING else None,
    )
    if record.coverage.targeted != len(whole.hosts):
        raise AssertionError(f"{run.run}: {len(whole.hosts)} targeted, {record.coverage.targeted} accounted for")
    return record


def run_summary(counted: CountedRun, state: RunState, approval: str = "") -> RunSummary:
    """Return the line of a run that stands in `state`."""
    run = counted.run
    outcomes = [outcome or _unended(state) for outcome, count in counted.counts.items() for _ in range(count)]
    kind = "rollback" if run.request.get("undoes") else RunKind(run.request.get("kind", RunKind.DIAGNOSE)).value
    return RunSummary(
        run=run.run,
        kind=kind,
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
        approval=approval,
    )


def _unended(state: RunState) -> Outcome:
    return Outcome.UNKNOWN if state is RunState.RUNNING else Outcome.INTERRUPTED


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
