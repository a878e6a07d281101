"""What a repair came to, finding by finding: the same checks before and after, nothing taken for granted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from diagnostics.finding import CheckResult, Finding
from diagnostics.verdict import Verdict, Why


class Fix(StrEnum):
    """What became of one finding."""

    FIXED = "fixed"
    UNCHANGED = "unchanged"
    NEW = "new"
    VISIBILITY_LOST = "visibility_lost"  # what could be seen before cannot be seen now: not fixed, and not unchanged


@dataclass(frozen=True, slots=True, kw_only=True)
class FindingVerdict:
    """What became of one finding of one check."""

    check: str
    key: str
    """The canonical subject; empty where a check as a whole could not be seen."""
    fix: Fix
    before: Finding | None = None
    after: Finding | None = None
    why: Why | None = None
    """Why it could not be seen afterwards."""


def verdicts(
    before: Sequence[CheckResult], samples: Sequence[Sequence[CheckResult]], checks: Sequence[str]
) -> tuple[FindingVerdict, ...]:
    """Return what became of the findings of some checks, and which are new, in the order of `checks`.

    A finding is fixed only where every sample is without it; new where any sample has it.
    """
    first = {result.check: result for result in before}
    later = [{result.check: result for result in sample} for sample in samples]
    found: list[FindingVerdict] = []
    for check in checks:
        found += _of_check(check, first.get(check), [sample.get(check) for sample in later])
    return tuple(found)


def _of_check(check: str, before: CheckResult | None, after: Sequence[CheckResult | None]) -> list[FindingVerdict]:
    old = {finding.key: finding for finding in before.findings} if before else {}
    seen = [_findings(result) for result in after]
    blind = next((result.unseen[0] if result.unseen else result.why for result in after if result and not _whole(result)), None)
    lost = not after or not all(map(_whole, after))
    found = []
    for key, finding in old.items():
        still = next((one[key] for one in seen if key in one), None)
        fix = Fix.UNCHANGED if still is not None else Fix.VISIBILITY_LOST if lost else Fix.FIXED
        why = blind if fix is Fix.VISIBILITY_LOST else None
        found.append(FindingVerdict(check=check, key=key, fix=fix, before=finding, after=still, why=why))
    new = {key: one for sample in seen for key, one in sample.items() if key not in old}
    found += [FindingVerdict(check=check, key=key, fix=Fix.NEW, after=finding) for key, finding in new.items()]
    if lost and not old and before is not None and before.verdict is Verdict.CLEAR:
        found.append(FindingVerdict(check=check, key="", fix=Fix.VISIBILITY_LOST, why=blind))
    return found


def _findings(result: CheckResult | None) -> Mapping[str, Finding]:
    """Return the findings of a check by their subjects."""
    return {finding.key: finding for finding in result.findings} if result is not None else {}


def _whole(result: CheckResult | None) -> bool:
    """Tell whether all that the check is about was seen: only then is a finding that is not there any more fixed."""
    return result is not None and result.complete and result.verdict in (Verdict.CLEAR, Verdict.FINDING)
