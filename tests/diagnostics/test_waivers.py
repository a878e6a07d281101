"""What is waived stays a finding with its reason; what was not seen stays unknown; an expired waiver changes nothing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from diagnostics.context import Context
from diagnostics.diagnose import diagnose
from diagnostics.evidence import Evidence
from diagnostics.finding import Diagnosis
from diagnostics.formats import decode_diagnosis, decode_evidence, encode_diagnosis, encode_evidence
from diagnostics.library import Library
from diagnostics.verdict import Severity, Verdict
from diagnostics.waivers import waiver_problems
from inventory.errors import Place
from inventory.host import Waiver
from remote.answer import Answer, Ended, answered

TWO = answered(b"a 99.0 10\nb 95.0 9999\n")
FULL = Waiver(check="disk-full", subject={"disk": "a*"}, targets="all", reason="on purpose", owner="anna")


@pytest.fixture
def judged(
    library: Library, evidence_of: Callable[..., Evidence], context_of: Callable[..., Context]
) -> Callable[..., Diagnosis]:
    def result(*waivers: Waiver, disks: Answer = TWO, **context: Any) -> Diagnosis:
        evidence = evidence_of("linux", disk_list=disks, sys_up=answered(b"x"))
        return diagnose(evidence, context_of("disk-full", waivers=waivers, **context), library)

    return result


def test_a_waived_finding_stays_and_does_not_count(judged: Callable[..., Diagnosis]) -> None:
    without, diagnosis = judged(), judged(FULL)
    assert without.worst is Severity.CRITICAL
    assert diagnosis.worst is Severity.WARNING
    assert [(finding.key, finding.waived) for finding in diagnosis.findings] == [("disk=b", False), ("disk=a", True)]
    assert diagnosis.findings[1] == replace(without.findings[0], waiver=FULL, waived=True)
    assert judged(replace(FULL, subject={})).worst is None


def test_an_expired_waiver_is_told_and_changes_nothing(
    judged: Callable[..., Diagnosis], context_of: Callable[..., Context]
) -> None:
    now = context_of().now
    expired = replace(FULL, expires_at=now)
    (worst, _) = judged(expired).findings
    assert (worst.severity, worst.waiver, worst.waived) == (Severity.CRITICAL, expired, False)
    holding = replace(FULL, owner="boris", expires_at=now + timedelta(seconds=1))
    assert judged(expired, holding).findings[-1].waiver == holding


@pytest.mark.parametrize(
    "waiver",
    [
        replace(FULL, check="disk-none"),
        replace(FULL, subject={"disk": "A"}),
        replace(FULL, subject={"disk": "[a]"}),
        replace(FULL, subject={"disk": "a", "mount": "*"}),
    ],
)
def test_a_waiver_for_something_else_touches_nothing(judged: Callable[..., Diagnosis], waiver: Waiver) -> None:
    assert judged(waiver) == judged()


@pytest.mark.parametrize("disks", [Answer(ended=Ended.LOST, exit_status=None), answered(b"a 99.0 10\nc ? 1\n"), answered(b"?")])
def test_a_waiver_never_hides_what_was_not_seen(judged: Callable[..., Diagnosis], disks: Answer) -> None:
    (without,), (result,) = judged(disks=disks).results, judged(replace(FULL, subject={}), disks=disks).results
    assert (result.verdict, result.why, result.unseen) == (without.verdict, without.why, without.unseen)
    assert not result.complete


def test_waivers_are_stored_and_replay_to_the_byte(
    judged: Callable[..., Diagnosis], library: Library, evidence_of: Callable[..., Evidence], context_of: Callable[..., Context]
) -> None:
    waiver = replace(FULL, expires_at=context_of().now + timedelta(days=1))
    evidence = evidence_of("linux", disk_list=TWO, sys_up=answered(b"x"))
    kept = encode_evidence(evidence, context_of("disk-full", waivers=(waiver,)))
    again = encode_diagnosis(diagnose(*decode_evidence(kept), library))
    assert again == encode_diagnosis(judged(waiver))
    assert decode_diagnosis(again) == judged(waiver)
    assert any(result.verdict is Verdict.FINDING for result in decode_diagnosis(again).results)


@pytest.mark.parametrize(
    ("waiver", "told"),
    [
        (replace(FULL, check="disk-ful"), "i.yaml:3:4: there is no check “disk-ful” (did you mean disk-full?)"),
        (replace(FULL, subject={"dsk": "a"}), "i.yaml:3:4: findings of disk-full have no “dsk” (did you mean disk?)"),
        (replace(FULL, subject={"x": "a"}), "i.yaml:3:4: findings of disk-full have no “x” (they have disk)"),
    ],
)
def test_a_waiver_that_can_fit_nothing_is_a_mistake(library: Library, waiver: Waiver, told: str) -> None:
    at = replace(waiver, place=Place("i.yaml", 3, 4))
    assert [str(problem)[: len(told)] for problem in waiver_problems([at, at], library.checks)] == [told]
    assert not list(waiver_problems([replace(FULL, place=at.place)], library.checks))
