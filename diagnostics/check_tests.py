"""The tests that a check brings along: kept evidence, and what the check must say about it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from diagnostics.check import Check, CheckTest, ExpectedFinding
from diagnostics.context import Context, Earlier
from diagnostics.diagnose import diagnose
from diagnostics.evidence import Evidence
from diagnostics.finding import CheckResult, Finding, Param, key_of
from diagnostics.formats import decode_evidence
from diagnostics.library import Library
from diagnostics.verdict import Severity
from inventory.errors import LongarmError, Place, Text
from remote.answer import Answer, Ended

TAKEN_AT = datetime(2026, 1, 1, tzinfo=UTC)
"""When the evidence of a folder was taken, where the test says nothing else."""


class NoSuchCapture(LongarmError):
    """A test names evidence that is not there."""

    def __init__(self, path: Path) -> None:
        self.path = path
        super().__init__(Text("there is no evidence {path}", path=path))


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckTestResult:
    """How one test of a check ended."""

    check: str
    evidence: str
    place: Place
    problem: str
    """What differs; "" where the check said what was expected."""
    result: CheckResult


def run_check_tests(check: Check, library: Library, data_dir: Path) -> tuple[CheckTestResult, ...]:
    """Return how each of a check's tests ended; `data_dir` is where their evidence lies."""
    return tuple(_run(check, test, library, data_dir) for test in check.tests)


def _run(check: Check, test: CheckTest, library: Library, data_dir: Path) -> CheckTestResult:
    evidence, context = load_capture(data_dir / test.evidence)
    context = _context_of(test, check, context, library)
    (result,) = diagnose(evidence, context, library).results
    problem = difference(test, result)
    return CheckTestResult(check=check.id, evidence=test.evidence, place=test.place, problem=problem, result=result)


def _context_of(test: CheckTest, check: Check, context: Context, library: Library) -> Context:
    now = context.now if test.now_s is None else datetime.fromtimestamp(test.now_s, UTC)
    earlier = tuple(
        Earlier(
            check=check.id, key=key_of(one.subject or {}), severity=one.severity or Severity.INFO, since=now - timedelta(days=1)
        )
        for one in test.earlier
    )
    return replace(
        context,
        now=now,
        checks=(check.id,),
        library_digest=library.digest,
        thresholds={check.id: test.thresholds} if test.thresholds else context.thresholds,
        services=test.expected.get("services", context.services),
        ports=test.expected.get("ports", context.ports),
        names=test.expected.get("names", context.names),
        earlier=earlier or context.earlier,
    )


def load_capture(path: Path) -> tuple[Evidence, Context]:
    """Return evidence from a folder of captured answers, or from a `.evidence` file (docs/checks.md)."""
    stored = path if path.suffix == ".evidence" else path.with_name(path.name + ".evidence")
    if stored.is_file():
        return decode_evidence(stored.read_bytes())
    if not path.is_dir():
        raise NoSuchCapture(path)
    questions = dict.fromkeys(file.name.removesuffix(file.suffix) for file in sorted(path.iterdir()) if file.suffix in _PARTS)
    answers = {question: _captured(path, question) for question in questions}
    evidence = Evidence(host=path.name, taken_at=TAKEN_AT, platform="linux", answers=answers, versions={})
    return evidence, Context(now=TAKEN_AT, checks=(), library_digest="")


_PARTS = (".stdout", ".stderr", ".status")


def _captured(folder: Path, question: str) -> Answer:
    def part(suffix: str) -> bytes:
        file = folder / f"{question}{suffix}"
        return file.read_bytes() if file.is_file() else b""

    status = part(".status").decode().strip() or "0"
    if status.isdecimal():
        return Answer(ended=Ended.EXITED, exit_status=int(status), stdout=part(".stdout"), stderr=part(".stderr"))
    return Answer(ended=Ended(status), exit_status=None, stdout=part(".stdout"), stderr=part(".stderr"))


def difference(test: CheckTest, result: CheckResult) -> str:
    """Return how a result differs from what a test expects, "" where it does not."""
    if result.verdict is not test.verdict:
        why = f" ({result.why.reason}: {result.why.question} {result.why.detail})" if result.why else ""
        return f"{result.verdict}{why} instead of {test.verdict}" + _listed(result.findings)
    left: Sequence[Finding] = result.findings
    for expected in test.findings:
        matching = next((finding for finding in left if matches(expected, finding)), None)
        if matching is None:
            return f"no finding like {expected}" + _listed(left)
        left = [finding for finding in left if finding is not matching]
    return "more findings than expected" + _listed(left) if left else ""


def matches(expected: ExpectedFinding, finding: Finding) -> bool:
    """Tell whether a finding is what is expected, as far as it is said."""
    return (
        expected.severity in (None, finding.severity)
        and _holds(expected.subject, finding.subject)
        and _holds(expected.params, finding.params)
    )


def _holds(expected: Mapping[str, Param] | None, found: Mapping[str, Param]) -> bool:
    return all(name in found and found[name] == value for name, value in (expected or {}).items())


def _listed(findings: Sequence[Finding]) -> str:
    return "".join(f"; found {one.severity} {one.key} {dict(one.params)}" for one in findings)
