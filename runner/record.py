"""The record of a run: everything a report is made from, as frozen values; reports see nothing else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from diagnostics.content import Content
from diagnostics.finding import Citation, Diagnosis, Param
from diagnostics.verdict import Severity
from inventory.errors import Text
from runner.called import PLAIN, Called
from runner.notes import AnswerNote
from runner.outcome import Coverage, Outcome, RunKind, RunState
from runner.output import Output
from runner.repair_record import HostRepair, RunRepair


@dataclass(frozen=True, slots=True, kw_only=True)
class Quote:
    """The cited lines of a kept answer, redacted, decoded with replacement; hostile text."""

    citation: Citation
    lines: tuple[str, ...]
    """At most 20 lines of at most 500 characters; `cut` says that there were more. Empty: what was looked for is not there."""
    cut: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class HostRecord:
    """How one targeted host ended in a run."""

    host: str
    address: str
    site: str | None
    customer: str | None
    platform: str
    transport: str
    outcome: Outcome
    error: Text | None = None
    """What stood in the way, for outcomes without evidence."""
    hint: Text | None = None
    error_kind: str = ""
    """The class name of the error, stable for programs: `ConnectFailed`, `HostKeyRefused`, …"""
    started_at: datetime | None = None
    ended_at: datetime | None = None
    evidence_digest: str | None = None
    diagnosis: Diagnosis | None = None
    answers: Sequence[AnswerNote] = ()
    quotes: Mapping[str, tuple[Quote, ...]] = field(default_factory=dict, hash=False)
    """By finding id."""
    session: Mapping[str, str] = field(default_factory=dict, hash=False)
    thresholds: Mapping[str, Mapping[str, Param]] = field(default_factory=dict, hash=False)
    """What the inventory and the playbook set in place of the checks' own thresholds, by check and name."""
    denied_root: str = ""
    """Why root questions could not be asked, once for the host; hostile text (sudo's own words)."""
    output: Output | None = None
    """Of a run that was no diagnosis: what the host said."""
    pruned_at: datetime | None = None
    """When the evidence was pruned: findings stand, their lines cannot be quoted any more."""
    repair: HostRepair | None = None
    """Of a repair, or the plan of one: what was done, before and after; `diagnosis` is what was seen last."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """Where the report of a run went, or is to go."""

    case: str
    kind: str
    audience: str
    language: str
    state: str
    """`pending`, `rendered`, `sent` or `failed`."""
    filename: str = ""
    digest: str = ""
    attempts: int = 0
    error: str = ""
    sent_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True, weakref_slot=True)
class RunRecord:
    """One run: who asked what of whom, and how each targeted host ended."""

    run: str
    """Run id, such as `20261122-104755-7f3a9c`."""
    playbook: str
    title: Mapping[str, str] = field(hash=False)
    maintenance: str
    expression: str
    actor: str
    case: str | None
    customers: tuple[str, ...]
    state: RunState
    started_at: datetime
    ended_at: datetime | None
    hosts: tuple[HostRecord, ...]
    """Every targeted host, in inventory order."""
    checks: tuple[str, ...]
    versions: Mapping[str, str] = field(hash=False)
    """`longarm`, `library` (digest), `playbook` (digest), `bundle`, `python`."""
    content: Content = field(default_factory=Content, hash=False)
    deliveries: tuple[Delivery, ...] = ()
    checks_chosen: bool = False
    """True where `checks` are not the playbook's but were named one by one."""
    erased_hosts: int = 0
    """Targeted hosts of which an erasure left nothing; `hosts` are the others."""
    kind: RunKind = RunKind.DIAGNOSE
    subject: str = ""
    """Of a run that was no diagnosis: the script, or the path of the file."""
    read_only: bool = False
    """Of a command or a terminal: whoever asked said that it only looks."""
    beside: str = ""
    """Why it was begun also where a run or a person had a host; empty: it was not."""
    repair: RunRepair | None = None
    """Of a repair, or the plan of one."""
    called: Called = PLAIN
    """By which options it is shown; no run keeps them."""

    @property
    def coverage(self) -> Coverage:
        """Return how many of the targeted hosts ended how."""
        return Coverage.of(host.outcome for host in self.hosts)

    @property
    def worst(self) -> Severity | None:
        """Return the worst severity that counts, None where nothing was found that is not waived.

        None says nothing about hosts that were not seen.
        """
        found = [worst for host in self.hosts if host.diagnosis and (worst := host.diagnosis.worst)]
        verdicts = (one.stands for host in self.hosts if host.repair for one in host.repair.verdicts)
        found += [finding.severity for finding in verdicts if finding]
        return max(found, key=lambda severity: severity.rank, default=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunSummary:
    """One line of a list of runs."""

    run: str
    kind: str
    """What it was begun for (`RunKind`); `rollback`: a repair that undoes another one."""
    playbook: str
    title: Mapping[str, str] = field(hash=False)
    expression: str
    actor: str
    case: str | None
    customers: tuple[str, ...]
    state: RunState
    started_at: datetime
    ended_at: datetime | None
    coverage: Coverage
    approval: str = ""
    """Where it stands with the second person that it needs: `waiting`, `approved`, … `expired`; empty: it needs none."""
