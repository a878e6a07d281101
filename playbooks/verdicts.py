"""What a repair came to, finding by finding: the same checks before and after, nothing taken for granted."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from diagnostics.finding import CheckResult, Diagnosis, Finding
from diagnostics.verdict import Reason, Verdict, Why
from playbooks.model import OnFailure, Playbook
from playbooks.results import GOOD, LEFT_OPEN, Played, StepResult, StepState


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

    @property
    def stands(self) -> Finding | None:
        """Return the finding where it is there still, or anew, in any sample; None: it is not, or it is waived."""
        found = self.after if self.fix in (Fix.UNCHANGED, Fix.NEW) else None
        return None if found is None or found.waived else found


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


def claimed_checks(playbook: Playbook) -> tuple[str, ...]:
    """Return the checks whose findings a repair claims to fix, and those that prove it."""
    return tuple(dict.fromkeys((*playbook.fixes, *(playbook.verify.checks if playbook.verify else ()))))


def wrong_step(playbook: Playbook, played: Played) -> StepResult | None:
    """Return the step that decides how the host ended: one whose end nobody knows, else the first that had to end well.

    Where all those did, it is one that was left out because what it needs to know could not be seen: it was gone on behind it,
    and what is seen afterwards says nothing of what it is for. A host of which that is so is not well.
    """
    wrong = _had_to_end_well(playbook, played) or [step for step in played.steps if step.state is StepState.UNDECIDED]
    return next((step for step in wrong if step.state in LEFT_OPEN), wrong[0] if wrong else None)


def _had_to_end_well(playbook: Playbook, played: Played) -> list[StepResult]:
    """Return the steps that did not end well and had to, in their order, and behind them those that undo."""
    came_to = max((_number(step) for step in played.steps), default=0)
    wrong = [step for step in played.steps if step.state not in GOOD and not _goes_on(step, playbook, came_to)]
    return wrong + [step for step in played.undone if step.state not in GOOD]


def _goes_on(failed: StepResult, playbook: Playbook, came_to: int) -> bool:
    """Tell whether the playbook went on although this step failed: then what is seen afterwards decides.

    `came_to` is the number of the last step that it came to: where its time was over there, what follows was not done.
    """
    number, steps = _number(failed), playbook.steps
    if failed.state is StepState.TIMED_OUT and number == came_to < len(steps):
        return False
    return failed.state not in LEFT_OPEN and steps[number - 1].on_failure is OnFailure.CONTINUE


def _number(step: StepResult) -> int:
    """Return where in its playbook a step stands, or what it is in, from 1 on."""
    return int(step.key.partition(".")[0].removeprefix("s"))


def takes_back(playbook: Playbook, played: Played, found: Sequence[FindingVerdict], *, left: bool, begun: bool = False) -> bool:
    """Tell whether a playbook wants undone what was seen not to be fixed.

    `left`: something is there to be undone; `begun`: it is being undone already.
    """
    if playbook.verify is None or playbook.verify.on_failure is not OnFailure.ROLL_BACK or not left:
        return False
    return not _had_to_end_well(playbook, played) and (begun or any(one.stands for one in found))


def causes_of(diagnosis: Diagnosis, checks: Collection[str] | None = None) -> Mapping[str, tuple[Finding, ...]]:
    """Return by the ids of findings what explains each, where that counts: findings of `checks`, None: of any check."""
    found = {finding.id: finding for finding in diagnosis.findings if not finding.waived}
    above: dict[str, dict[str, Finding]] = {}
    for link in diagnosis.links:
        cause = found.get(link.cause)
        if cause is not None and link.effect in found and (checks is None or cause.check in checks):
            above.setdefault(link.effect, {})[cause.id] = cause
    return {effect: tuple(causes.values()) for effect, causes in above.items()}


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
    """Tell whether all that the check is about was seen: only then is a finding that is not there any more fixed.

    That everything on a host is left out by the check's own conditions was seen too: what ran no more is gone, or runs again.
    """
    if result is None or not result.complete:
        return False
    left_out = result.why is not None and result.why.reason is Reason.DOES_NOT_APPLY
    return result.verdict in (Verdict.CLEAR, Verdict.FINDING) or (result.verdict is Verdict.NOT_APPLICABLE and left_out)
