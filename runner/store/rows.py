"""What the store keeps, as frozen values: one class for each table, independent of any database."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from diagnostics.verdict import Severity
from inventory.errors import Text
from playbooks.results import HostChange
from runner.outcome import Outcome, RunState


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRow:
    """One run, as it was asked for."""

    run: str
    playbook: str
    title: Mapping[str, str] = field(hash=False)
    maintenance: str
    expression: str
    actor: str
    case: str | None
    customers: tuple[str, ...]
    state: RunState
    checks: tuple[str, ...]
    request: Mapping[str, Any] = field(hash=False)
    """What `resume` needs: limits, languages, thresholds, ids of further probes."""
    versions: Mapping[str, str] = field(hash=False)
    content_digest: str
    started_at: datetime
    ended_at: datetime | None = None
    erased_hosts: int = 0
    """Targeted hosts that an erasure took out of the record."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HostRow:
    """One targeted host of a run; `outcome` is None until it has ended."""

    run: str
    position: int
    host: str
    address: str
    site: str | None
    customer: str | None
    platform: str
    transport: str
    outcome: Outcome | None = None
    error: Text | None = None
    hint: Text | None = None
    error_kind: str = ""
    started_at: datetime | None = None
    ended_at: datetime | None = None
    evidence_digest: str | None = None
    diagnosis_digest: str | None = None
    diagnosis: bytes | None = field(default=None, repr=False)
    """The encoded diagnosis itself: a few KiB that every reading of the run needs."""
    denied_root: str = ""
    pruned_at: datetime | None = None
    """When the evidence was pruned; its digest stays, its bytes are gone."""
    change: HostChange | None = None
    """What a run that changes something did to the host; None: it was none, or has not ended."""
    flags: tuple[str, ...] = ()
    """What else there is to say of it: `needs_reboot`, `fenced`, `forced`."""


class Event(StrEnum):
    """What a line of the journal says."""

    PLAN = "plan"  # what a step would do
    INTENT = "intent"  # a command is about to be sent
    END = "end"  # how a step ended


@dataclass(frozen=True, slots=True, kw_only=True)
class JournalRow:
    """One line of the journal of a host run; lines are added and never changed."""

    run: str
    position: int
    event: Event
    key: str
    """Of the step."""
    at: datetime
    data: Mapping[str, Any] = field(default_factory=dict, hash=False)
    stdout: bytes = field(default=b"", repr=False)
    stderr: bytes = field(default=b"", repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class SampleRow:
    """What the questions of a repair showed at one time: number 0 is before, those from 1 on after."""

    run: str
    position: int
    number: int
    at: datetime
    evidence_digest: str
    diagnosis_digest: str
    diagnosis: bytes = field(repr=False)
    pruned_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaseRow:
    """Who may change a host, or was the last who might; there is one for each host that was ever changed."""

    host: str
    token: int
    """Grows with every taking; a host refuses what comes with a lower one than it has seen."""
    run: str
    actor: str
    reason: str
    customer: str | None
    since: datetime
    held: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class StateRow:
    """What the last completed run said about one subject of one check on one host."""

    host: str
    check: str
    subject: str
    severity: Severity
    since: datetime
    run: str
    customer: str | None


class OutboxState(StrEnum):
    """How far a report is on its way to its case."""

    PENDING = "pending"
    RENDERED = "rendered"
    SENT = "sent"
    FAILED = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class OutboxRow:
    """One report that a case is to get, exactly once: (run, case, kind, audience, language) is unique."""

    id: int
    run: str
    case: str
    kind: str
    audience: str
    language: str
    state: OutboxState
    filename: str = ""
    digest: str = ""
    """SHA-256 of the rendered bytes: those are sent, and no others."""
    attempts: int = 0
    error: str = ""
    actor: str
    customers: tuple[str, ...] = ()
    created_at: datetime
    sent_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseRow:
    """A case of the built-in case system."""

    ref: str
    title: str
    customer: str | None
    actor: str
    opened_at: datetime
    attachments: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class AttachmentRow:
    """A file on a case of the built-in case system: (case, filename, digest) is unique."""

    case: str
    filename: str
    digest: str
    media_type: str
    size_bytes: int
    internal: bool
    comment: str
    actor: str
    customer: str | None
    attached_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditRow:
    """Who did what, when, with which digests; rows are added and never changed."""

    at: datetime
    actor: str
    action: str
    run: str | None = None
    case: str | None = None
    customers: tuple[str, ...] = ()
    digests: tuple[str, ...] = ()
    detail: str = ""
