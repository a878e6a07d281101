"""Verdicts: fixed only where everything was seen and nothing is left; what cannot be seen any more is neither."""

from __future__ import annotations

from diagnostics.finding import CheckResult, Finding
from diagnostics.verdict import Reason, Severity, Verdict, Why
from inventory.errors import Text
from playbooks.verdicts import Fix, verdicts

WHY = Why(reason=Reason.TIMED_OUT, question="fs.stat", detail="late")


def found(*mounts: str, unseen: tuple[Why, ...] = ()) -> CheckResult:
    findings = tuple(
        Finding(check="fs-space", host="db01", subject={"mount": one}, severity=Severity.WARNING, params={}) for one in mounts
    )
    return CheckResult(check="fs-space", verdict=Verdict.FINDING, findings=findings, unseen=unseen)


CLEAR = CheckResult(check="fs-space", verdict=Verdict.CLEAR)
UNKNOWN = CheckResult(check="fs-space", verdict=Verdict.UNKNOWN, why=WHY, unseen=(WHY,))


def told(before: CheckResult, *after: CheckResult) -> dict[str, Fix]:
    return {one.key: one.fix for one in verdicts([before], [[one] for one in after], ["fs-space"])}


def test_every_case() -> None:
    assert told(found("/"), CLEAR) == {"mount=/": Fix.FIXED}
    assert told(found("/"), found("/")) == {"mount=/": Fix.UNCHANGED}
    assert told(found("/", "/var"), found("/var", "/srv")) == {
        "mount=/": Fix.FIXED,
        "mount=/var": Fix.UNCHANGED,
        "mount=/srv": Fix.NEW,
    }
    assert told(CLEAR, CLEAR) == {}
    assert told(CLEAR, found("/")) == {"mount=/": Fix.NEW}


def test_every_sample_counts() -> None:
    assert told(found("/"), CLEAR, found("/"), CLEAR) == {"mount=/": Fix.UNCHANGED}
    assert told(CLEAR, CLEAR, found("/")) == {"mount=/": Fix.NEW}


def test_what_cannot_be_seen_is_not_fixed() -> None:
    assert told(found("/"), UNKNOWN) == {"mount=/": Fix.VISIBILITY_LOST}
    assert told(found("/"), CLEAR, UNKNOWN) == {"mount=/": Fix.VISIBILITY_LOST}
    assert told(found("/"), found("/var", unseen=(WHY,))) == {"mount=/": Fix.VISIBILITY_LOST, "mount=/var": Fix.NEW}
    assert told(found("/")) == {"mount=/": Fix.VISIBILITY_LOST}
    assert told(CLEAR, UNKNOWN) == {"": Fix.VISIBILITY_LOST}
    (one,) = verdicts([found("/")], [[UNKNOWN]], ["fs-space"])
    assert one.why == WHY and str(Text("{why}", why=one.why.detail)) == "late"
