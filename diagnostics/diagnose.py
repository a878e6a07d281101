"""diagnose(evidence, context, library): pure, the same to the byte for the same three."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from diagnostics.causes import explain
from diagnostics.check import Check
from diagnostics.context import Context
from diagnostics.evidence import Evidence
from diagnostics.expressions import Scope
from diagnostics.facts import Found, fact_tree, facts_of
from diagnostics.finding import CheckResult, Diagnosis
from diagnostics.judging import judge, not_applicable, unknown
from diagnostics.library import Library
from diagnostics.verdict import Reason, Why
from diagnostics.waivers import with_waivers
from inventory.errors import Text


def diagnose(evidence: Evidence, context: Context, library: Library) -> Diagnosis:
    """Return what the evidence of one host shows: exactly one result for each check that was asked for, and why."""
    checks = [library.checks[name] for name in context.checks]
    needed = dict.fromkeys(probe for check in checks for probe in check.needs if evidence.platform in check.platforms)
    found = {name: facts_of(library.probes[name], evidence.answers) for name in needed}
    results = tuple(with_waivers(result_of(check, evidence, context, found), context) for check in checks)
    assert [result.check for result in results] == list(context.checks)
    links, unchecked = explain(results, library.causes, fact_tree(found))
    return Diagnosis(host=evidence.host, results=results, links=links, unchecked=unchecked)


def result_of(check: Check, evidence: Evidence, context: Context, found: Mapping[str, Found]) -> CheckResult:
    """Return how one check ends: not applicable before unknown, unknown before anything is judged.

    What the inventory expects is there or missing: a check of that is never not applicable because its probe found
    nothing to ask (an expected service on a host without systemd may run or not: nobody saw it).
    """
    if evidence.platform not in check.platforms:
        return not_applicable(check, Why(reason=Reason.PLATFORM, detail=evidence.platform))
    if check.expects and not getattr(context, check.expects):
        return not_applicable(check, Why(reason=Reason.NOT_EXPECTED, detail=check.expects))
    whys = [fact for name in check.needs if isinstance(fact := found[name], Why)]
    absent = [why for why in whys if why.reason is Reason.NOTHING_THERE]
    if absent and not check.expects:
        return not_applicable(check, absent[0])
    if whys:
        return unknown(check, whys)
    thresholds = thresholds_of(check, context)
    if isinstance(thresholds, Why):
        return unknown(check, [thresholds])
    facts = fact_tree({name: found[name] for name in check.needs})
    variables = variables_of(thresholds, context) | {"facts": facts}
    return judge(check, evidence.host, Scope(variables, check.engine_needs), context)


def thresholds_of(check: Check, context: Context) -> dict[str, int | float] | Why:
    """Return a check's thresholds as overridden; where an override cannot be meant, no other bound judges in its place."""
    thresholds = dict(check.thresholds)
    for name, given in context.thresholds.get(check.id, {}).items():
        value = check.threshold(name, given)
        if isinstance(value, Text):
            return Why(reason=Reason.NOT_EVALUATED, detail=str(value))
        thresholds[name] = value
    return thresholds


def variables_of(thresholds: Mapping[str, int | float], context: Context) -> dict[str, Any]:
    """Return the variables of a check's expressions besides `facts`: thresholds, expectations, time."""
    return {
        "thresholds": thresholds,
        "expected": {"services": list(context.services), "ports": list(context.ports), "names": list(context.names)},
        "context": {"now_s": int(context.now.timestamp()), "asked_at_s": _asked_at_s(context)},
    }


def _asked_at_s(context: Context) -> int:
    """Return when the host began to be asked, by our clock; the time of the diagnosis where nobody noted that."""
    seen = context.observations.get("asked_at_s")
    return int(seen if isinstance(seen, int | float) else context.now.timestamp())
