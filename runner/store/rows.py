"""What the store keeps, as frozen values: one class for each table, independent of any database."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

from diagnostics.verdict import Severity
from inventory.errors import Text
from playbooks.results import HostChange
from runner.outcome import Outcome, RunKind, RunState


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
    target: Mapping[str, str] | None = field(default=None, hash=False, repr=False)
    """Digests of what the inventory said of it as a repair began (`runner.targets`); None: it is no repair, or an older one."""


HAND: Final = "hand"
"""The step under which the journal keeps what was done by hand."""
BY_HAND: Final[Mapping[RunKind, str]] = {RunKind.COMMAND: "host run", RunKind.TERMINAL: "host shell"}
"""What somebody does by hand, by the kind of its run."""


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
    script: str = field(default="", repr=False)
    """What a step would send to the host: kept once for all hosts of the run that it is the same for."""


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
class HandRow:
    """What somebody does, or did, on a host by hand: a command or a terminal of which nobody said that it only looks."""

    run: str
    """Empty where it is veiled."""
    host: str
    customer: str | None
    actor: str
    kind: RunKind
    what: str
    """In few words, masked."""
    since: datetime
    until: datetime
    """When it was over; where nobody saw its end, or has seen it yet, until when it may be at it on the host."""
    outcome: Outcome | None
    """None: it is at it now."""
    beside: str
    """Why it went beside what had the host; empty: nothing had."""

    @property
    def veiled(self) -> HandRow:
        """Return it without what it was, and for what: as it is told where not everybody may look at its run."""
        return replace(self, run="", what=BY_HAND[self.kind], beside="")


@dataclass(frozen=True, slots=True, kw_only=True)
class Unsettled:
    """A repair of which nobody knows what it did to a host, and that was not done there again since to a known end."""

    run: str
    playbook: str
    conflicts: tuple[str, ...]
    """Playbooks that must not change the host at the same time, as it was when the run began."""
    includes: tuple[str, ...] = ()
    """Playbooks that it included then."""


class ApprovalState(StrEnum):
    """Where a request for a second person's approval stands; that its time is over is told by the clock."""

    WAITING = "waiting"
    APPROVED = "approved"
    DECLINED = "declined"
    VOID = "void"  # something is not any more as it was asked for, and the approval holds no more
    BEGUN = "begun"  # it was made use of, once


@dataclass(frozen=True, slots=True, kw_only=True)
class ApprovalRow:
    """A repair that waits for a second person: `run` is its plan, which shows what would be done and why."""

    run: str
    asked_by: str
    bound: Mapping[str, str] = field(hash=False)
    """Digests by what they are of: `playbook`, `library`, `targets`, `params`, `evidence`, `plans`."""
    expires_at: datetime
    state: ApprovalState = ApprovalState.WAITING
    decided_by: str = ""
    decided_at: datetime | None = None
    reason: str = ""
    """Of who decided."""
    void: Text | None = None
    """Why it holds no more."""
    begun_as: str | None = None
    """The run that it became."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HoldRow:
    """A host that nobody may change: one of its holds; it stays in the store once it was removed, or is over."""

    id: int
    host: str
    customer: str | None
    actor: str
    """Its owner."""
    reason: str
    since: datetime
    until: datetime | None = None
    """None: until it is removed."""
    removed_at: datetime | None = None
    removed_by: str = ""
    site: str | None = None
    """Of the host."""

    def counts(self, now: datetime) -> bool:
        """Tell whether it keeps changes off now."""
        return self.removed_at is None and (self.until is None or now < self.until)


class Scope(StrEnum):
    """What a freeze is over."""

    DESK = "desk"  # every host
    SITE = "site"
    CUSTOMER = "customer"


@dataclass(frozen=True, slots=True, kw_only=True)
class FreezeRow:
    """Nothing that changes starts in its scope; it stays in the store once it was removed, or is over."""

    id: int
    scope: Scope
    name: str | None
    """Of the site or the customer; None: the whole desk."""
    actor: str
    reason: str
    since: datetime
    until: datetime | None = None
    removed_at: datetime | None = None
    removed_by: str = ""

    def counts(self, now: datetime) -> bool:
        """Tell whether it keeps changes off now."""
        return self.removed_at is None and (self.until is None or now < self.until)

    def covers(self, *, site: str | None, customer: str | None) -> bool:
        """Tell whether a host of this site and customer is in its scope."""
        where = {Scope.DESK: None, Scope.SITE: site, Scope.CUSTOMER: customer}[self.scope]
        return self.scope is Scope.DESK or (where or "").casefold() == (self.name or "").casefold()


class MuteState(StrEnum):
    """How far monitoring is on its way into silence and back."""

    MUTING = "muting"  # about to be asked for: nobody knows whether it was heard
    MUTED = "muted"
    UNMUTED = "unmuted"
    FAILED = "failed"  # never muted


@dataclass(frozen=True, slots=True, kw_only=True)
class MuteRow:
    """What one hook was asked to keep silent around one wave of a run; monitoring itself ends it at `until`."""

    run: str
    wave: int
    hook: str
    state: MuteState
    reference: str = ""
    """By which monitoring knows it."""
    since: datetime
    until: datetime
    error: Text | None = None


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
