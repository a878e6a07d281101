"""From findings and links to what a reader is told first: roots, with their consequences beneath, none hidden."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Final

from diagnostics.finding import Diagnosis, Finding, Link, Unchecked
from diagnostics.verdict import Severity
from runner.record import HostRecord

DEEPEST: Final = 6
"""Chains of consequences that are longer stand side by side from here on: nobody reads deeper nesting."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """One finding as a report tells it: what explains it, what follows from it."""

    finding: Finding
    link: Link | None = None
    """Why it stands beneath its cause; None for a root."""
    also: tuple[Link, ...] = ()
    """Further causes: weaker than the one it stands beneath, or waived, beneath which nothing stands that counts."""
    effects: tuple[Told, ...] = ()
    unchecked: tuple[Unchecked, ...] = ()
    """Checks that could explain it and that could not be seen."""

    def __iter__(self) -> Iterator[Told]:
        """Yield this and everything beneath it."""
        yield self
        for effect in self.effects:
            yield from effect

    @property
    def worst(self) -> Severity:
        """Return the worst severity of this and of everything beneath it; waived ones count only where nothing else is."""
        everything = self.waived
        counting = [told.finding.severity for told in self if everything or not told.finding.waived]
        return max(counting, key=lambda severity: severity.rank)

    @property
    def waived(self) -> bool:
        """Tell whether this and everything beneath it is waived."""
        return all(told.finding.waived for told in self)


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """The same root on one or more hosts; `cases` are worst first (waived ones last), then in inventory order."""

    check: str
    key: str
    cases: tuple[tuple[HostRecord, Told], ...]

    @property
    def worst(self) -> Severity:
        """Return the worst severity that this problem, or what follows from it, has on any host."""
        everything = self.waived
        counting = [told.worst for _, told in self.cases if everything or not told.waived]
        return max(counting, key=lambda severity: severity.rank)

    @property
    def waived(self) -> bool:
        """Tell whether nothing of it counts on any host."""
        return all(told.waived for _, told in self.cases)

    @property
    def findings(self) -> int:
        """Return how many findings this problem accounts for, consequences included."""
        return sum(1 for _, told in self.cases for _ in told)


def explain(diagnosis: Diagnosis) -> tuple[Told, ...]:
    """Return the roots of one host, worst first; every finding is told exactly once.

    A finding with several causes stands beneath the strongest and names the others. Links that
    would close a circle, or that name findings which are not there, explain nothing. What counts stands beneath nothing
    that is waived: it would lead what is accepted to the top.
    """
    if not diagnosis.findings:  # most hosts of most runs
        return ()
    findings = {finding.id: finding for finding in diagnosis.findings}
    above = _strongest_causes(findings, diagnosis.links)
    beneath: dict[str, list[Link]] = defaultdict(list)
    for link in above.values():
        beneath[link.cause].append(link)
    causes: dict[str, list[Link]] = defaultdict(list)
    for link in sorted(diagnosis.links, key=_strength):
        if link.cause in findings and link.cause != link.effect and link is not above.get(link.effect):
            causes[link.effect].append(link)

    def told(finding: Finding, link: Link | None, depth: int = 0) -> Told:
        effects = [told(findings[below.effect], below, depth + 1) for below in beneath[finding.id]]
        if depth == DEEPEST:
            effects = [replace(one, effects=()) for effect in effects for one in effect]
        accepted = (one for one in causes[finding.id] if _only_accepted(findings[one.cause], finding))
        return Told(
            finding=finding,
            link=link,
            also=tuple(causes[finding.id] if link else accepted),
            effects=_worst_first(effects),
            unchecked=tuple(unchecked for unchecked in diagnosis.unchecked if unchecked.finding == finding.id),
        )

    roots = _worst_first(told(finding, None) for finding in findings.values() if finding.id not in above)
    assert sorted(one.finding.id for root in roots for one in root) == sorted(findings), "a finding was lost or told twice"
    return roots


def _strongest_causes(findings: Mapping[str, Finding], links: Iterable[Link]) -> dict[str, Link]:
    """Return for each explained finding the link it stands beneath; following them upwards ends at a root."""
    above: dict[str, Link] = {}
    for link in sorted(links, key=_strength):
        if link.effect in findings and link.cause in findings and link.effect not in above:
            if _only_accepted(findings[link.cause], findings[link.effect]):
                continue
            upwards = link.cause
            while upwards in above and upwards != link.effect:
                upwards = above[upwards].cause
            if upwards != link.effect:
                above[link.effect] = link
    return above


def _only_accepted(cause: Finding, effect: Finding) -> bool:
    """Tell whether a cause is waived, and what follows from it counts."""
    return cause.waived and not effect.waived


def _strength(link: Link) -> tuple[float, str, str, str]:
    return (-link.weight, link.cause, link.effect, link.rule)


def _worst_first(several: Iterable[Told]) -> tuple[Told, ...]:
    return tuple(
        sorted(
            several,
            key=lambda told: (told.waived, -told.worst.rank, -told.finding.severity.rank, -_count(told), told.finding.id),
        )
    )


def _count(told: Told) -> int:
    return sum(1 for _ in told)


def problems(hosts: Iterable[HostRecord]) -> tuple[Problem, ...]:
    """Return the roots of all hosts, those of several hosts as one; worst and most widespread first, waived ones last."""
    grouped: dict[tuple[str, str], list[tuple[HostRecord, Told]]] = defaultdict(list)
    for host in hosts:
        for root in explain(host.diagnosis) if host.diagnosis else ():
            grouped[root.finding.check, root.finding.key].append((host, root))
    found = [
        Problem(check=check, key=key, cases=tuple(sorted(cases, key=lambda case: (case[1].waived, -case[1].worst.rank))))
        for (check, key), cases in grouped.items()
    ]
    return tuple(sorted(found, key=_most_urgent))


def _most_urgent(problem: Problem) -> tuple[bool, int, int, str, str]:
    return (problem.waived, -problem.worst.rank, -len(problem.cases), problem.check, problem.key)


SEVERITIES: Final = (Severity.CRITICAL, Severity.WARNING, Severity.INFO)


def by_severity(findings: Iterable[Finding]) -> dict[Severity, int]:
    """Return how many findings have which severity, worst first, zero included."""
    counts = dict.fromkeys(SEVERITIES, 0)
    for finding in findings:
        counts[finding.severity] += 1
    return counts
