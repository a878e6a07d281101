"""A check: a rule over facts as data, compiled and verified; how it is written stands in docs/checks.md."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from diagnostics.content import CheckContent
from diagnostics.expressions import Expression, Needs
from diagnostics.finding import Param
from diagnostics.verdict import Severity, Verdict
from inventory.errors import Place, Text
from inventory.fields import parse_size

EXPECTATIONS = ("services", "ports", "names")


@dataclass(frozen=True, slots=True, kw_only=True)
class Level:
    """When an item is a finding of one severity, and when such a finding ends."""

    severity: Severity
    rises: Expression
    clears: Expression | None = None
    """None: it ends when `rises` no longer holds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RemedyRule:
    """The repair playbook that a finding suggests; the params are expressions."""

    playbook: str
    params: Mapping[str, Expression] = field(hash=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class ExpectedFinding:
    """What a test of a check expects of one finding; None: not compared."""

    severity: Severity | None = None
    subject: Mapping[str, Param] | None = field(default=None, hash=False)
    params: Mapping[str, Param] | None = field(default=None, hash=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckTest:
    """One line of a check's `tests`: kept evidence and what the check must say about it."""

    evidence: str
    verdict: Verdict
    findings: tuple[ExpectedFinding, ...] = ()
    expected: Mapping[str, tuple[str, ...]] = field(default_factory=dict, hash=False)
    """Expectations of the inventory by kind (`services`, `ports`, `names`)."""
    thresholds: Mapping[str, Param] = field(default_factory=dict, hash=False)
    now_s: int | None = None
    earlier: tuple[ExpectedFinding, ...] = ()
    place: Place


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """A rule, ready to judge; every expression in it is compiled."""

    id: str
    title: Mapping[str, str] = field(hash=False)
    platforms: tuple[str, ...]
    needs: tuple[str, ...]
    """The probes without whose facts it is unknown."""
    expects: str | None = None
    applies: Expression | None = None
    each: Expression | None = None
    when: Expression | None = None
    covers: Expression | None = None
    """Whether the evidence shows all that the check is about; where it does not, nothing is clear."""
    subject: Mapping[str, Expression] = field(default_factory=dict, hash=False)
    params: Mapping[str, Expression] = field(default_factory=dict, hash=False)
    cite: tuple[Expression, ...] = ()
    since: Expression | None = None
    thresholds: Mapping[str, int | float] = field(default_factory=dict, hash=False)
    lowest: Mapping[str, int | float] = field(default_factory=dict, hash=False)
    """Below these its thresholds cannot be set: the probe tells of nothing there."""
    levels: tuple[Level, ...] = ()
    """The worst first."""
    finding: Mapping[str, str] = field(hash=False)
    cause: Mapping[str, str] = field(default_factory=dict, hash=False)
    remedy: RemedyRule | None = None
    tests: tuple[CheckTest, ...] = ()
    place: Place
    engine_needs: Needs = field(default_factory=Needs)
    """What its expressions need in the engine, together."""

    @property
    def content(self) -> CheckContent:
        """Return its words, as they are kept with a run."""
        return CheckContent(title=self.title, finding=self.finding, cause=self.cause)

    def expressions(self) -> Iterator[Expression]:
        """Yield every expression that is evaluated in the check's scope."""
        yield from (one for one in (self.applies, self.each, self.when, self.covers, self.since) if one)
        yield from (*self.subject.values(), *self.params.values(), *self.cite)
        for level in self.levels:
            yield from (one for one in (level.rises, level.clears) if one)
        yield from self.remedy.params.values() if self.remedy else ()

    def threshold(self, name: str, value: object) -> int | float | Text:
        """Return an override of a threshold in its declared type, or the sentence that says why it cannot be one.

        A size may be written as in a file, `5 GiB`.
        """
        if name not in self.thresholds:
            known = ", ".join(self.thresholds) or "none"
            return Text("{check} has no threshold “{name}” (it has {known})", check=self.id, name=name, known=known)
        whole = isinstance(self.thresholds[name], int)
        value = parse_size(value) if isinstance(value, str) and whole else value
        if isinstance(value, bool) or not isinstance(value, int if whole else int | float):
            kind = "whole number" if whole else "number"
            return Text("the threshold {check}.{name} is a {kind}", check=self.id, name=name, kind=kind)
        if value < (lowest := self.lowest.get(name, value)):
            return Text(
                "the threshold {check}.{name} is at least {number}: the host tells of nothing below",
                check=self.id,
                name=name,
                number=f"{lowest:.12g}",
            )
        return value if whole else float(value)


def out_of_order(thresholds: Mapping[str, int | float], shipped: Mapping[str, int | float] | None = None) -> str:
    """Return the name of a threshold on the wrong side of its neighbours, "" where all is well.

    A clear bound lies on the calm side of its bound. Which side that is, the `shipped` values say: above a warning
    lies what is worse where their critical bound is the higher one. Against them a warning must also come before a
    critical finding (the two were once swapped in a release of node-mixin: its PR 2373); thresholds on their own,
    as a check is loaded, give the direction themselves, so their order cannot be wrong.

    >>> out_of_order({"warning": 90.0, "warning_clear": 80.0, "critical": 98.0, "critical_clear": 99.0})
    'critical_clear'
    >>> out_of_order({"warning": 99.0, "critical": 98.0}, {"warning": 90.0, "critical": 98.0})
    'warning'
    """
    shipped = thresholds if shipped is None else shipped
    if not {"warning", "critical"} <= set(thresholds) & set(shipped):
        return ""
    upwards = shipped["critical"] >= shipped["warning"]
    if thresholds["critical"] != thresholds["warning"] and (thresholds["critical"] > thresholds["warning"]) is not upwards:
        return "warning"
    for bound in ("warning", "critical"):
        if (clear := thresholds.get(f"{bound}_clear")) is not None:
            calm = clear <= thresholds[bound] if upwards else clear >= thresholds[bound]
            if not calm:
                return f"{bound}_clear"
    return ""
