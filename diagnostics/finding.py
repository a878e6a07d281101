"""What diagnosing yields: findings as ids and typed params, never rendered text."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TypeAlias

from diagnostics.verdict import Severity, Verdict, Why
from inventory.host import Waiver

Param: TypeAlias = str | int | float | bool | None


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Citation:
    """Lines of an answer that prove a finding; lines count from 1 and `last` is included."""

    question: str
    stream: str = "stdout"
    first: int
    last: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Remedy:
    """The repair playbook that a finding suggests, with evaluated parameters."""

    playbook: str
    params: Mapping[str, Param] = field(default_factory=dict, hash=False)


def key_of(subject: Mapping[str, Param]) -> str:
    """Return the canonical form of a subject.

    >>> key_of({"port": "tcp/5432", "address": "*"})
    'address=*,port=tcp/5432'
    """
    return ",".join(f"{name}={subject[name]}" for name in sorted(subject))


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that is wrong on one host."""

    check: str
    host: str
    subject: Mapping[str, Param] = field(hash=False)
    severity: Severity
    params: Mapping[str, Param] = field(default_factory=dict, hash=False)
    citations: tuple[Citation, ...] = ()
    remedy: Remedy | None = None
    since: datetime | None = None
    """When it began: the event's own time where the evidence shows one, else the first run that saw it."""
    dated: bool = False
    """True: `since` is the event's own time by the evidence; False: when a run first saw it."""
    held: bool = False
    """True: below the raise bound and not yet below the clear bound (hysteresis)."""
    waiver: Waiver | None = None
    """The waiver that is for it."""
    waived: bool = False
    """True: the waiver held when this was judged; False beside a waiver: it had expired, so the finding counts."""

    @property
    def key(self) -> str:
        """Return the canonical subject, the same for the same thing in every run: `mount=/var`."""
        return key_of(self.subject)

    @property
    def id(self) -> str:
        """Return what identifies this finding within a run: `billing-03/fs-space/mount=/var`."""
        return f"{self.host}/{self.check}/{self.key}"


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckResult:
    """How one check ended on one host; `findings` is not empty exactly when the verdict is FINDING."""

    check: str
    verdict: Verdict
    why: Why | None = None
    findings: tuple[Finding, ...] = ()
    unseen: tuple[Why, ...] = ()
    """What could not be judged: all of it where the verdict is unknown, the rest beside findings; never beside clear."""

    @property
    def complete(self) -> bool:
        """Tell whether everything that the check is about was seen; a host with another result is incomplete."""
        return not self.unseen

    def __post_init__(self) -> None:
        if bool(self.unseen) and self.verdict in (Verdict.CLEAR, Verdict.NOT_APPLICABLE):
            raise ValueError(f"{self.check}: {self.verdict}, but not everything was seen")
        if self.verdict is Verdict.UNKNOWN and self.why and not self.unseen:
            object.__setattr__(self, "unseen", (self.why,))
        if bool(self.findings) != (self.verdict is Verdict.FINDING):
            raise ValueError(f"{self.check}: {self.verdict} with {len(self.findings)} findings")
        if (self.why is None) != (self.verdict in (Verdict.CLEAR, Verdict.FINDING)):
            raise ValueError(f"{self.check}: {self.verdict} and its reason do not fit")


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """`cause` explains `effect` (finding ids), because of the citations on both sides."""

    cause: str
    effect: str
    rule: str
    """The id of the rule in causes.yaml."""
    weight: float
    cause_citations: tuple[Citation, ...] = ()
    effect_citations: tuple[Citation, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Unchecked:
    """A finding that a check could explain, had all been seen: «not checked: X could explain this»."""

    finding: str
    check: str
    rule: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Diagnosis:
    """Everything concluded about one host at one time; the same evidence and context give it to the byte."""

    host: str
    results: tuple[CheckResult, ...]
    """One for each check that was asked for, in the order of the library."""
    links: tuple[Link, ...] = ()
    unchecked: tuple[Unchecked, ...] = ()

    @property
    def findings(self) -> tuple[Finding, ...]:
        """Return the findings of all checks, waived ones last, worst first, then by id."""
        found = [finding for result in self.results for finding in result.findings]
        return tuple(sorted(found, key=lambda finding: (finding.waived, -finding.severity.rank, finding.id)))

    @property
    def worst(self) -> Severity | None:
        """Return the worst severity that counts: None where nothing was found, or nothing that is not waived."""
        first = next(iter(self.findings), None)
        return None if first is None or first.waived else first.severity
