"""Rows of the store as columns of its tables, and back."""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping
from dataclasses import fields
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from diagnostics.verdict import Severity
from playbooks.results import HostChange
from runner.outcome import Outcome, RunState
from runner.store.audit_log import AuditLine
from runner.store.blobs import digest_of
from runner.store.rows import (
    ApprovalRow,
    ApprovalState,
    AttachmentRow,
    AuditRow,
    CaseRow,
    Event,
    FreezeRow,
    HoldRow,
    HostRow,
    JournalRow,
    LeaseRow,
    MuteRow,
    MuteState,
    OutboxRow,
    OutboxState,
    RunRow,
    SampleRow,
    Scope,
    StateRow,
)
from runner.store.sentences import text_from_json, text_to_json

if TYPE_CHECKING:  # SQLAlchemy takes 0.1 s to load
    from sqlalchemy import RowMapping

Columns = dict[str, Any]
_TUPLES = frozenset({"customers", "checks", "digests"})


JSON_COLUMNS = {
    "run": frozenset({"title", "customers", "checks", "request", "versions"}),
    "host_run": frozenset({"error", "hint", "flags", "target"}),
    "check_state": frozenset[str](),
    "journal": frozenset({"data"}),
    "plan_script": frozenset[str](),
    "sample": frozenset[str](),
    "lease": frozenset[str](),
    "hold": frozenset[str](),
    "freeze": frozenset[str](),
    "mute": frozenset({"error"}),
    "outbox": frozenset({"customers"}),
    "audit": frozenset({"customers", "digests", "erased"}),
    "approval": frozenset({"bound", "void"}),
}
MOMENT_COLUMNS = frozenset(
    {
        "started_at",
        "ended_at",
        "pruned_at",
        "since",
        "until",
        "removed_at",
        "created_at",
        "sent_at",
        "at",
        "expires_at",
        "decided_at",
    }
)
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
        "target": None if host.target is None else dict(host.target),
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
    """Return the columns of a line of a journal; what a step said is packed, its script stands apart."""
    return {
        "run": line.run,
        "position": line.position,
        "event": line.event.value,
        "step": line.key,
        "at": line.at,
        "data": dict(line.data),
        "stdout": _packed(line.stdout),
        "stderr": _packed(line.stderr),
        "script_digest": digest_of(_script(line)) if line.script else None,
    }


def journal_row(columns: RowMapping | Columns, scripts: Mapping[str, str]) -> JournalRow:
    """Return a line of a journal from its columns, given the scripts of its run by their digests."""
    values = _fields(columns, key="step", id=None, script_digest=None)
    streams = {name: _unpacked(values[name]) for name in ("stdout", "stderr")}
    script = scripts.get(columns["script_digest"], "")
    return JournalRow(**{**values, **streams, "event": Event(values["event"]), "script": script})


def script_columns(line: JournalRow) -> Columns:
    """Return the columns of the script that a line of a journal is about."""
    script = _script(line)
    return {"run": line.run, "digest": digest_of(script), "script": _packed(script)}


def script_of(columns: Columns) -> str:
    """Return a script from its columns."""
    return _unpacked(columns["script"]).decode(errors="surrogatepass")


def _script(line: JournalRow) -> bytes:
    return line.script.encode(errors="surrogatepass")


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
    return LeaseRow(**{**columns, "held": bool(columns["held"])})


def hold_columns(hold: HoldRow) -> Columns:
    """Return the columns of a hold, but its number, which the database gives."""
    return {one.name: getattr(hold, one.name) for one in fields(HoldRow) if one.name != "id"}


def hold_row(columns: RowMapping | Columns) -> HoldRow:
    """Return a hold from its columns."""
    return HoldRow(**columns)


def freeze_columns(freeze: FreezeRow) -> Columns:
    """Return the columns of a freeze, but its number, which the database gives."""
    values = {one.name: getattr(freeze, one.name) for one in fields(FreezeRow) if one.name != "id"}
    return {**values, "scope": freeze.scope.value}


def freeze_row(columns: RowMapping | Columns) -> FreezeRow:
    """Return a freeze from its columns."""
    return FreezeRow(**{**columns, "scope": Scope(columns["scope"])})


def mute_columns(mute: MuteRow) -> Columns:
    """Return the columns of what a hook was asked to mute."""
    values = {one.name: getattr(mute, one.name) for one in fields(MuteRow)}
    return {**values, "state": mute.state.value, "error": text_to_json(mute.error)}


def mute_row(columns: RowMapping | Columns) -> MuteRow:
    """Return what a hook was asked to mute from its columns."""
    state, error = MuteState(columns["state"]), text_from_json(columns["error"])
    return MuteRow(**{**columns, "state": state, "error": error})


def approval_columns(approval: ApprovalRow) -> Columns:
    """Return the columns of a request for approval."""
    values = {one.name: getattr(approval, one.name) for one in fields(ApprovalRow)}
    return {**values, "bound": dict(approval.bound), "state": approval.state.value, "void": text_to_json(approval.void)}


def approval_row(columns: RowMapping | Columns) -> ApprovalRow:
    """Return a request for approval from its columns."""
    state, void = ApprovalState(columns["state"]), text_from_json(columns["void"])
    return ApprovalRow(**{**columns, "state": state, "void": void})


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
    return AuditRow(**_fields(columns, case="case_ref", **dict.fromkeys(("id", *_CHAIN))))


_CHAIN = ("salt", "content", "erased", "previous", "digest")


def line_columns(line: AuditLine) -> Columns:
    """Return the columns of a line of the audit log."""
    chain = {"salt": line.salt, "content": line.content, "previous": line.previous, "digest": line.digest}
    erased = {str(number): digest for number, digest in line.erased.items()}
    return {"id": line.number, **audit_columns(line.row), **chain, "erased": erased}


def audit_line(columns: RowMapping | Columns) -> AuditLine:
    """Return a line of the audit log from its columns."""
    chain = {name: columns[name] for name in _CHAIN}
    erased = {int(number): digest for number, digest in columns["erased"].items()}
    return AuditLine(number=columns["id"], row=audit_row(columns), **{**chain, "erased": erased})
