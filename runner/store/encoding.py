"""Rows of the store as columns of its tables, and back."""

from __future__ import annotations

import json
import zlib
from dataclasses import fields
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from diagnostics.verdict import Severity
from playbooks.results import HostChange
from runner.outcome import Outcome, RunState
from runner.store.rows import (
    AttachmentRow,
    AuditRow,
    CaseRow,
    Event,
    HostRow,
    JournalRow,
    LeaseRow,
    OutboxRow,
    OutboxState,
    RunRow,
    SampleRow,
    StateRow,
)
from runner.store.sentences import text_from_json, text_to_json

if TYPE_CHECKING:  # SQLAlchemy takes 0.1 s to load
    from sqlalchemy import RowMapping

Columns = dict[str, Any]
_TUPLES = frozenset({"customers", "checks", "digests"})


JSON_COLUMNS = {
    "run": frozenset({"title", "customers", "checks", "request", "versions"}),
    "host_run": frozenset({"error", "hint", "flags"}),
    "check_state": frozenset[str](),
    "journal": frozenset({"data"}),
    "sample": frozenset[str](),
    "outbox": frozenset({"customers"}),
    "audit": frozenset({"customers", "digests"}),
}
MOMENT_COLUMNS = frozenset({"started_at", "ended_at", "pruned_at", "since", "created_at", "sent_at", "at"})
"""Columns of a run's tables by what they hold (a test compares them with `runner.store.schema`)."""


def kept(columns: Columns) -> Columns:
    """Return columns as SQLite holds them, which is how the types of the schema write them.

    >>> kept({"at": datetime(2026, 11, 22, 10, 47, 55, tzinfo=UTC), "digests": ["a"], "run": None})
    {'at': '2026-11-22 10:47:55.000000', 'digests': '["a"]', 'run': None}
    """
    return {name: _kept(value) for name, value in columns.items()}


def _kept(value: Any) -> Any:
    if isinstance(value, datetime):
        if value.tzinfo is None:
            raise ValueError(f"a time without a zone: {value}")
        return value.astimezone(UTC).replace(tzinfo=None).isoformat(" ", "microseconds")
    return json.dumps(value) if isinstance(value, (dict, list)) else value


def found(table: str, columns: Columns) -> Columns:
    """Return columns that SQLite has given of a table, as `kept` was given them."""
    for name in JSON_COLUMNS[table] & columns.keys():
        columns[name] = None if columns[name] is None else json.loads(columns[name])
    for name in MOMENT_COLUMNS & columns.keys():
        columns[name] = None if columns[name] is None else datetime.fromisoformat(columns[name]).replace(tzinfo=UTC)
    return columns


def _fields(columns: RowMapping | Columns, **named: str | None) -> dict[str, Any]:
    """Return columns by the names of a row's fields: those in `named` come from another column, and None leaves one out."""
    besides = {*named, *named.values()}
    values = {name: value for name, value in columns.items() if name not in besides}
    values |= {name: columns[column] for name, column in named.items() if column is not None}
    return {name: tuple(value) if name in _TUPLES else value for name, value in values.items()}


def run_columns(run: RunRow) -> Columns:
    """Return the columns of a run."""
    return {
        "id": run.run,
        "playbook": run.playbook,
        "title": dict(run.title),
        "maintenance": run.maintenance,
        "expression": run.expression,
        "actor": run.actor,
        "case_ref": run.case,
        "customers": list(run.customers),
        "state": run.state.value,
        "checks": list(run.checks),
        "request": dict(run.request),
        "versions": dict(run.versions),
        "content_digest": run.content_digest,
        "started_at": run.started_at,
        "ended_at": run.ended_at,
        "erased_hosts": run.erased_hosts,
    }


def run_row(columns: RowMapping | Columns) -> RunRow:
    """Return a run from its columns."""
    values = _fields(columns, run="id", case="case_ref")
    return RunRow(**{**values, "state": RunState(values["state"])})


def host_columns(host: HostRow) -> Columns:
    """Return the columns of a host run."""
    return {
        "run": host.run,
        "position": host.position,
        "host": host.host,
        "address": host.address,
        "site": host.site,
        "customer": host.customer,
        "platform": host.platform,
        "transport": host.transport,
        "outcome": host.outcome.value if host.outcome else None,
        "error": text_to_json(host.error),
        "hint": text_to_json(host.hint),
        "error_kind": host.error_kind,
        "started_at": host.started_at,
        "ended_at": host.ended_at,
        "evidence_digest": host.evidence_digest,
        "diagnosis_digest": host.diagnosis_digest,
        "denied_root": host.denied_root,
        "diagnosis": host.diagnosis,
        "pruned_at": host.pruned_at,
        "change": host.change.value if host.change else None,
        "flags": list(host.flags),
    }


def host_row(columns: RowMapping | Columns) -> HostRow:
    """Return a host run from its columns."""
    values = dict(columns)
    return HostRow(
        **{
            **values,
            "outcome": Outcome(values["outcome"]) if values["outcome"] else None,
            "error": text_from_json(values["error"]),
            "hint": text_from_json(values["hint"]),
            "change": HostChange(values["change"]) if values["change"] else None,
            "flags": tuple(values["flags"]),
        }
    )


def journal_columns(line: JournalRow) -> Columns:
    """Return the columns of a line of a journal; what a step said is packed."""
    return {
        "run": line.run,
        "position": line.position,
        "event": line.event.value,
        "step": line.key,
        "at": line.at,
        "data": dict(line.data),
        "stdout": _packed(line.stdout),
        "stderr": _packed(line.stderr),
    }


def journal_row(columns: RowMapping | Columns) -> JournalRow:
    """Return a line of a journal from its columns."""
    values = _fields(columns, key="step", id=None)
    streams = {name: _unpacked(values[name]) for name in ("stdout", "stderr")}
    return JournalRow(**{**values, **streams, "event": Event(values["event"])})


def _packed(data: bytes) -> bytes:
    return zlib.compress(data, 1) if data else b""


def _unpacked(data: bytes) -> bytes:
    return zlib.decompress(data) if data else b""


def sample_columns(sample: SampleRow) -> Columns:
    """Return the columns of a sample."""
    return {one.name: getattr(sample, one.name) for one in fields(SampleRow)}


def sample_row(columns: RowMapping | Columns) -> SampleRow:
    """Return a sample from its columns."""
    return SampleRow(**columns)


def lease_columns(lease: LeaseRow) -> Columns:
    """Return the columns of a lease."""
    return {one.name: getattr(lease, one.name) for one in fields(LeaseRow)}


def lease_row(columns: RowMapping | Columns) -> LeaseRow:
    """Return a lease from its columns."""
    return LeaseRow(**columns)


def state_columns(state: StateRow) -> Columns:
    """Return the columns of what a run said about a subject."""
    return {
        "host": state.host,
        "check_id": state.check,
        "subject": state.subject,
        "severity": state.severity.value,
        "since": state.since,
        "run": state.run,
        "customer": state.customer,
    }


def state_row(columns: RowMapping | Columns) -> StateRow:
    """Return what a run said about a subject from its columns."""
    values = _fields(columns, check="check_id")
    return StateRow(**{**values, "severity": Severity(values["severity"])})


def outbox_columns(row: OutboxRow) -> Columns:
    """Return the columns of an outbox row, but its number, which the database gives."""
    return {
        "run": row.run,
        "case_ref": row.case,
        "kind": row.kind,
        "audience": row.audience,
        "language": row.language,
        "state": row.state.value,
        "filename": row.filename,
        "digest": row.digest,
        "attempts": row.attempts,
        "error": row.error,
        "actor": row.actor,
        "customers": list(row.customers),
        "created_at": row.created_at,
        "sent_at": row.sent_at,
    }


def outbox_row(columns: RowMapping | Columns) -> OutboxRow:
    """Return an outbox row from its columns."""
    values = _fields(columns, case="case_ref")
    return OutboxRow(**{**values, "state": OutboxState(values["state"])})


def case_row(columns: RowMapping | Columns) -> CaseRow:
    """Return a case from its columns and the number of its attachments."""
    return CaseRow(**columns)


def attachment_columns(row: AttachmentRow) -> Columns:
    """Return the columns of an attachment."""
    return {
        "case_ref": row.case,
        "filename": row.filename,
        "digest": row.digest,
        "media_type": row.media_type,
        "size_bytes": row.size_bytes,
        "internal": row.internal,
        "comment": row.comment,
        "actor": row.actor,
        "customer": row.customer,
        "attached_at": row.attached_at,
    }


def attachment_row(columns: RowMapping | Columns) -> AttachmentRow:
    """Return an attachment from its columns."""
    return AttachmentRow(**_fields(columns, case="case_ref", id=None))


def audit_columns(row: AuditRow) -> Columns:
    """Return the columns of an audit row."""
    return {
        "at": row.at,
        "actor": row.actor,
        "action": row.action,
        "run": row.run,
        "case_ref": row.case,
        "customers": list(row.customers),
        "digests": list(row.digests),
        "detail": row.detail,
    }


def audit_row(columns: RowMapping | Columns) -> AuditRow:
    """Return an audit row from its columns."""
    return AuditRow(**_fields(columns, case="case_ref", id=None))
