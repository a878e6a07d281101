"""Causes: which finding explains which other one on the same host, by rules that are data (causes.yaml)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import islice
from typing import Any

from diagnostics.expressions import Expression, Needs, Scope, Undecided
from diagnostics.finding import CheckResult, Finding, Link, Unchecked
from diagnostics.verdict import Verdict
from inventory.errors import Place

LOWEST_WEIGHT = 0.4
"""A weaker link is not shown (reference: no false precision)."""
UNDATED = 0.2
"""What a rule about events loses where the evidence dates not both findings."""
SLACK = timedelta(minutes=10)
"""How much later than its effect a cause may seem to begin: a full disk is seen after the first write that failed."""
MAX_PAIRS = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class CauseRule:
    """A finding of `cause` explains a finding of an `effect` where `when` holds."""

    id: str
    cause: str
    effect: tuple[str, ...]
    when: Expression | None = None
    weight: float
    boost_when: Expression | None = None
    boost_weight: float = 0.0
    by_events: bool = True
    """The cause must have begun first; False: both are states, and time says nothing."""
    engine_needs: Needs
    """What `when` and `boost_when` read: found out once, not once for each host."""
    text: Mapping[str, str] = field(hash=False)
    place: Place


def explain(
    results: Sequence[CheckResult], rules: Sequence[CauseRule], facts: Mapping[str, Any]
) -> tuple[tuple[Link, ...], tuple[Unchecked, ...]]:
    """Return the links between the findings of one host, without circles, and what could explain more but was not seen.

    Not seen is a cause whose check is unknown, and a link whose `when` needs a fact that was not read.
    """
    findings: dict[str, list[Finding]] = {result.check: list(result.findings) for result in results}
    if not any(findings.values()):  # nearly every host: nothing to explain
        return (), ()
    told = [one for rule in rules for one in _told(rule, findings, facts)]
    links = acyclic(strongest(one for one in told if isinstance(one, Link)))
    explained = {(one.rule, one.effect) for one in links}
    linked = {(check, link.effect) for link in links for check, ones in findings.items() if link.cause in {x.id for x in ones}}
    hidden = {result.check for result in results if result.verdict is Verdict.UNKNOWN or result.unseen}
    unchecked = {
        (finding.id, rule.cause): Unchecked(finding=finding.id, check=rule.cause, rule=rule.id)
        for rule in reversed(rules)
        if rule.cause in hidden
        for finding in _effects(rule, findings)
        if (rule.id, finding.id) not in explained and _may_explain(rule, finding, facts)
    }
    for one in told:
        if isinstance(one, Unchecked) and (one.check, one.finding) not in linked:
            unchecked.setdefault((one.finding, one.check), one)
    return links, tuple(unchecked[key] for key in sorted(unchecked))


def _effects(rule: CauseRule, findings: Mapping[str, list[Finding]]) -> Iterator[Finding]:
    for check in rule.effect:
        yield from findings.get(check, ())


def _told(rule: CauseRule, findings: Mapping[str, list[Finding]], facts: Mapping[str, Any]) -> Iterator[Link | Unchecked]:
    """Yield what a rule says of each pair of a cause and an effect: a link, or that a fact was missing to tell."""
    scope = _scope(rule, facts)
    pairs = (
        (cause, effect) for cause in findings.get(rule.cause, ()) for effect in _effects(rule, findings) if cause != effect
    )
    for cause, effect in islice(pairs, MAX_PAIRS):
        weight, decided = weight_of(rule, cause, effect, scope)
        if weight >= LOWEST_WEIGHT and not decided:
            yield Unchecked(finding=effect.id, check=rule.cause, rule=rule.id)
        elif weight >= LOWEST_WEIGHT:
            yield Link(
                cause=cause.id,
                effect=effect.id,
                rule=rule.id,
                weight=weight,
                cause_citations=cause.citations,
                effect_citations=effect.citations,
            )


def weight_of(rule: CauseRule, cause: Finding, effect: Finding, scope: Scope) -> tuple[float, bool]:
    """Return how strongly `cause` explains `effect` by `rule`, 0.0 where it does not, and whether `when` was decided.

    Undecided, it is the weight that the link has if `when` holds. A boost that is undecided is not given.
    """
    scope.set("cause", side_of(cause))
    scope.set("effect", side_of(effect))
    holds = _decided(rule.when, scope) if rule.when else True
    if holds is False:
        return 0.0, True
    weight = rule.boost_weight if rule.boost_when and _decided(rule.boost_when, scope) else rule.weight
    if rule.by_events:
        if not (cause.dated and effect.dated and cause.since and effect.since):
            weight -= UNDATED
        elif cause.since > effect.since + SLACK:
            return 0.0, True
    return round(weight, 3), holds is not None


def side_of(finding: Finding) -> dict[str, Any]:
    """Return what an expression of a rule sees of a finding."""
    return {"subject": dict(finding.subject), "params": dict(finding.params), "severity": finding.severity.value}


def _scope(rule: CauseRule, facts: Mapping[str, Any]) -> Scope:
    """Return a scope for all pairs of a rule: the facts are converted for the engine once."""
    return Scope({"facts": facts, "cause": {}, "effect": {}}, rule.engine_needs)


def _decided(expression: Expression, scope: Scope) -> bool | None:
    """Tell whether an expression holds; None where that is undecided."""
    try:
        return expression.holds(scope)
    except Undecided:
        return None


def _may_explain(rule: CauseRule, effect: Finding, facts: Mapping[str, Any]) -> bool:
    """Tell whether a rule could hold for an effect while nothing is known of its cause: all but a clear no."""
    scope = _scope(rule, facts)
    scope.set("effect", side_of(effect))
    return rule.when is None or _decided(rule.when, scope) is not False


def strongest(links: Iterable[Link]) -> list[Link]:
    """Return one link for each pair of findings, the strongest rule first, then the first by name; sorted."""
    best: dict[tuple[str, str], Link] = {}
    for link in sorted(links, key=lambda link: (-link.weight, link.rule)):
        best.setdefault((link.cause, link.effect), link)
    return sorted(best.values(), key=_strength)


def _strength(link: Link) -> tuple[float, str, str, str]:
    return -link.weight, link.cause, link.effect, link.rule


def acyclic(links: Sequence[Link]) -> tuple[Link, ...]:
    """Return the links without circles: as long as there is one, the weakest link within a circle goes."""
    kept = sorted(links, key=_strength)
    while circular := _within_circles(kept):
        kept.remove(max(circular, key=_strength))
    return tuple(kept)


def _within_circles(links: Sequence[Link]) -> list[Link]:
    """Return the links whose ends reach each other: peel off what has no cause left, then what has no effect left."""
    left = list(links)
    while True:
        causes, effects = {link.cause for link in left}, {link.effect for link in left}
        core = [link for link in left if link.cause in effects and link.effect in causes]
        if len(core) == len(left):
            break
        left = core
    return [link for link in left if _reaches(link.effect, link.cause, left)]


def _reaches(start: str, end: str, links: Sequence[Link]) -> bool:
    below: dict[str, list[str]] = {}
    for link in links:
        below.setdefault(link.cause, []).append(link.effect)
    seen, waiting = {start}, [start]
    while waiting:
        here = waiting.pop()
        if here == end:
            return True
        new = [name for name in below.get(here, ()) if name not in seen]
        seen.update(new)
        waiting += new
    return False
