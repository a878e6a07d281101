"""A run as JUnit XML: hosts are suites, checks are cases; what could not be seen is an error, never a pass."""

from __future__ import annotations

from xml.etree.ElementTree import Element, SubElement, indent, tostring

from diagnostics.finding import CheckResult, Finding
from diagnostics.verdict import Severity, Verdict
from reports import words
from reports.language import Language
from reports.sentences import sentence
from reports.summary import why_unseen
from reports.visible import visible
from runner.record import HostRecord, RunRecord


def junit(record: RunRecord, tongue: Language) -> bytes:
    """Return the run as JUnit XML, with a suite for each targeted host."""
    root = Element("testsuites", name=visible(record.run))
    for host in record.hosts:
        _suite(root, host, record, tongue)
    for count in ("tests", "failures", "errors", "skipped"):
        root.set(count, str(sum(int(suite.get(count, "0")) for suite in root)))
    indent(root)
    return bytes(tostring(root, encoding="utf-8", xml_declaration=True)) + b"\n"


def _suite(root: Element, host: HostRecord, record: RunRecord, tongue: Language) -> None:
    suite = SubElement(root, "testsuite", name=visible(host.host))
    if host.started_at and host.ended_at:
        suite.set("timestamp", host.started_at.isoformat())
        suite.set("time", f"{(host.ended_at - host.started_at).total_seconds():.3f}")
    seen = SubElement(suite, "testcase", classname=visible(host.host), name="seen")
    if not host.outcome.seen:
        _note(seen, "error", host.outcome.value, "; ".join(why_unseen(host, tongue)))
    for result in host.diagnosis.results if host.diagnosis else ():
        _case(suite, host, result, record, tongue)
    for count, tag in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
        suite.set(count, str(len(suite.findall(f"testcase/{tag}"))))
    suite.set("tests", str(len(suite)))


def _case(suite: Element, host: HostRecord, result: CheckResult, record: RunRecord, tongue: Language) -> None:
    case = SubElement(suite, "testcase", classname=visible(host.host), name=visible(result.check))
    said = tongue.say(words.reason(result.why)) if result.why else ""
    if result.verdict is Verdict.UNKNOWN:
        _note(case, "error", "unknown", said)
    elif result.verdict is Verdict.NOT_APPLICABLE:
        _note(case, "skipped", "not_applicable", said)
    elif result.verdict is Verdict.FINDING:
        _findings(case, result, record, tongue)


def _findings(case: Element, result: CheckResult, record: RunRecord, tongue: Language) -> None:
    """Note what counts as a failure; what is waived is skipped, unless something beside it could not be seen."""
    counting = [finding for finding in result.findings if not finding.waived]
    waived = [finding for finding in result.findings if finding.waived]
    if waived:
        SubElement(case, "system-out").text = visible("; ".join(_waived(finding, record, tongue) for finding in waived))
    if not counting and result.unseen:
        _note(case, "error", "unknown", tongue.say(words.reason(result.unseen[0])))
    elif not counting:
        _note(case, "skipped", "waived", "; ".join(_waived(finding, record, tongue) for finding in waived))
    else:
        worst = max((finding.severity for finding in counting), key=lambda severity: severity.rank)
        told = "; ".join(sentence(finding, record.content, tongue) for finding in counting)
        if worst is Severity.INFO:
            SubElement(case, "system-out").text = visible(told)
        else:
            _note(case, "failure", worst.value, told)


def _waived(finding: Finding, record: RunRecord, tongue: Language) -> str:
    said = words.waiver(finding)
    return f"{sentence(finding, record.content, tongue)} ({tongue.say(said) if said else ''})"


def _note(case: Element, tag: str, kind: str, message: str) -> None:
    SubElement(case, tag, type=kind, message=visible(message))
