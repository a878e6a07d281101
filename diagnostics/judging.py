"""One check on one host: every item judged from the worst severity down, and nothing unseen is clear."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from diagnostics.check import Check, Level
from diagnostics.context import Context, Earlier
from diagnostics.expressions import Expression, Scope, Undecided
from diagnostics.finding import CheckResult, Citation, Finding, Param, Remedy, key_of
from diagnostics.parsing import UNSEEN
from diagnostics.verdict import Reason, Severity, Verdict, Why

MAX_EACH = 10_000
MAX_UNSEEN = 20
_LONGEST_KEY = 200
"""Characters of what an item is, where it is told why it could not be judged: a host may name its mounts as it likes."""
_LATEST_S = 253_402_300_799  # the end of the year 9999


@dataclass(frozen=True, slots=True)
class Judged:
    """What came out for one item: a finding, nothing (it is well), or why it could not be seen, and `left_out`."""

    finding: Finding | None = None
    unseen: tuple[Why, ...] = ()
    left_out: bool = False


def judge(check: Check, host: str, scope: Scope, context: Context) -> CheckResult:
    """Return how a check ends whose needed facts are all there (docs/checks.md, "How a check ends")."""
    judging = _Judge(check, host, scope, context)
    try:
        if check.applies and not check.applies.holds(scope):
            return not_applicable(check, Why(reason=Reason.DOES_NOT_APPLY, detail=check.applies.text))
        items = judging.items()
    except Undecided as undecided:
        return unknown(check, [undecided.why])
    return _together(check, [judging.item(item) for item in items], _uncovered(check, scope))


def not_applicable(check: Check, why: Why) -> CheckResult:
    """Return that a check does not concern this host, on purpose."""
    return _alike(check.id, Verdict.NOT_APPLICABLE, why)


@lru_cache(maxsize=4096)
def _alike(check: str, verdict: Verdict, why: Why | None) -> CheckResult:
    """Return one result for all hosts that end alike: a run keeps a dozen for each, and most hosts are healthy."""
    return CheckResult(check=check, verdict=verdict, why=why)


def unknown(check: Check, whys: Iterable[Why]) -> CheckResult:
    """Return that a check concerns this host, but could not see."""
    unseen = tuple(dict.fromkeys(whys))[:MAX_UNSEEN]
    return CheckResult(check=check.id, verdict=Verdict.UNKNOWN, why=unseen[0], unseen=unseen)


def _uncovered(check: Check, scope: Scope) -> list[Why]:
    """Return why the evidence does not show all that a check is about: what is in it counts, what is not is not clear."""
    try:
        if check.covers is None or check.covers.holds(scope):
            return []
        return [Why(reason=Reason.NOT_COVERED, detail=check.covers.text)]
    except Undecided as undecided:
        return [undecided.why]


def _together(check: Check, judged: list[Judged], uncovered: list[Why]) -> CheckResult:
    """Return the verdict of all items: a finding wins, then what was not seen, and only then it is clear."""
    unseen = [why for one in judged for why in one.unseen] + uncovered
    findings = _merged(one.finding for one in judged if one.finding)
    if findings:
        kept = tuple(dict.fromkeys(unseen))[:MAX_UNSEEN]
        return CheckResult(check=check.id, verdict=Verdict.FINDING, findings=findings, unseen=kept)
    if unseen:
        return unknown(check, unseen)
    if judged and all(one.left_out for one in judged):
        detail = check.when.text if check.when else ""
        return not_applicable(check, Why(reason=Reason.DOES_NOT_APPLY, detail=detail))
    return _alike(check.id, Verdict.CLEAR, None)


def _merged(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Return one finding for each subject, the worst, with the citations of all; the worst first, then by subject."""
    by_key: dict[str, Finding] = {}
    for finding in findings:
        other = by_key.get(finding.key)
        if other is None:
            by_key[finding.key] = finding
            continue
        worst = max(other, finding, key=lambda one: one.severity.rank)  # the first one, where they are alike
        by_key[finding.key] = replace(worst, citations=tuple(dict.fromkeys(other.citations + finding.citations)))
    return tuple(sorted(by_key.values(), key=lambda one: (-one.severity.rank, one.key)))


class _Judge:
    def __init__(self, check: Check, host: str, scope: Scope, context: Context) -> None:
        self.check, self.host, self.scope, self.context = check, host, scope, context
        self.earlier = {one.key: one for one in context.earlier if one.check == check.id}

    def items(self) -> list[Any]:
        """Return what is judged: the items of `each`, or the host itself once."""
        if self.check.each is None:
            return [None]
        value = self.check.each.evaluate(self.scope)
        if not isinstance(value, list | tuple) or len(value) > MAX_EACH:
            what = f"{len(value)} items" if isinstance(value, list | tuple) else type(value).__name__
            detail = f"{self.check.each.text}: {what}; a list of at most {MAX_EACH} items is judged"
            raise Undecided(Why(reason=Reason.NOT_EVALUATED, detail=detail))
        return list(value)

    def item(self, item: Any) -> Judged:
        """Return what comes out for one item."""
        unseen = _unseen(item)
        self.scope.set("item", item)
        try:
            if self.check.when and not self.check.when.holds(self.scope):
                return Judged(left_out=True)
            if unseen:
                return Judged(unseen=(unseen,))
            earlier = self.earlier.get(key_of(self.subject())) if self.earlier else None
            severity, held, undecided = self.severity(earlier)
            finding = self.finding(self.subject(), severity, held, earlier) if severity else None
        except Undecided as error:
            return Judged(unseen=(unseen or self.of_item(error.why),))
        return Judged(finding, tuple(map(self.of_item, undecided)))

    def of_item(self, why: Why) -> Why:
        """Return why an item could not be judged, with what it is where it lacks a value: one of fifty mounts, and which."""
        try:
            key = key_of(self.subject()) if self.check.each and why.reason is Reason.MISSING_VALUE else ""
        except Undecided:
            return why
        return replace(why, detail=f"{why.detail} ({key[:_LONGEST_KEY]})") if key else why

    def subject(self) -> dict[str, Param]:
        """Return what the item is, or raise Undecided: what has no name can be neither reported nor compared."""
        return {name: scalar(one.evaluate(self.scope), one) for name, one in self.check.subject.items()}

    def severity(self, earlier: Earlier | None) -> tuple[Severity | None, bool, list[Why]]:
        """Return the worst severity that holds, whether only the clear bound keeps it, and what could not be decided."""
        unseen: list[Why] = []
        for level in self.check.levels:
            was = earlier is not None and earlier.severity.rank >= level.severity.rank
            try:
                if level.rises.holds(self.scope):
                    return level.severity, False, unseen
                if was and self.stays(level):
                    return level.severity, True, unseen
            except Undecided as undecided:
                unseen.append(undecided.why)
        return None, False, unseen

    def stays(self, level: Level) -> bool:
        return level.clears is not None and not level.clears.holds(self.scope)

    def finding(self, subject: dict[str, Param], severity: Severity, held: bool, earlier: Earlier | None) -> Finding:
        params = {name: self.param(one) for name, one in self.check.params.items()}
        began = self.began()
        return Finding(
            check=self.check.id,
            host=self.host,
            subject=subject,
            severity=severity,
            params=params,
            citations=tuple(dict.fromkeys(self.citations())),
            remedy=self.remedy(subject, params),
            since=began or (earlier.since if earlier else self.context.now),
            dated=began is not None,
            held=held,
        )

    def param(self, expression: Expression) -> Param:
        """Return a value, None where it is undecided: the verdict does not hang on it."""
        try:
            return scalar(expression.evaluate(self.scope), expression)
        except Undecided:
            return None

    def began(self) -> datetime | None:
        """Return the event's own time, None where the evidence shows none that can be meant."""
        seconds = self.param(self.check.since) if self.check.since else None
        if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0 < seconds <= _LATEST_S:
            return None
        return datetime.fromtimestamp(seconds, UTC)

    def citations(self) -> Iterator[Citation]:
        for expression in self.check.cite:
            try:
                value = expression.evaluate(self.scope)
            except Undecided:
                continue
            for place in value if isinstance(value, list | tuple) else (value,):
                if isinstance(place, Mapping):
                    yield Citation(
                        question=str(place["question"]),
                        stream=str(place.get("stream", "stdout")),
                        first=int(place["first"]),
                        last=int(place["last"]),
                    )

    def remedy(self, subject: dict[str, Param], params: dict[str, Param]) -> Remedy | None:
        rule = self.check.remedy
        if rule is None:
            return None
        self.scope.set("subject", subject)
        self.scope.set("params", params)
        return Remedy(playbook=rule.playbook, params={name: self.param(one) for name, one in rule.params.items()})


def _unseen(item: Any) -> Why | None:
    """Return what an item stands for that the parser could not see; None for one that was seen."""
    if not isinstance(item, Mapping) or not isinstance(what := item.get(UNSEEN), str):
        return None
    return Why(reason=Reason.SOURCE_FAILED, question=str(item["at"]["question"]), detail=what)


def scalar(value: Any, expression: Expression) -> Param:
    """Return a value that can be kept with a finding, or raise Undecided."""
    if value is None or isinstance(value, str | bool | int) or (isinstance(value, float) and math.isfinite(value)):
        return value
    detail = f"{expression.text}: {type(value).__name__} is no single value"
    raise Undecided(Why(reason=Reason.NOT_EVALUATED, detail=detail))
