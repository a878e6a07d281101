"""A run as JUnit XML: hosts are suites, checks are cases; what could not be seen is an error, never a pass."""

from __future__ import annotations

from xml.etree.ElementTree import Element, SubElement, indent, tostring

from diagnostics.finding import CheckResult
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
        worst = max((finding.severity for finding in result.findings), key=lambda severity: severity.rank)
        told = "; ".join(sentence(finding, record.content, tongue) for finding in result.findings)
        if worst is Severity.INFO:
            SubElement(case, "system-out").text = visible(told)
        else:
            _note(case, "failure", worst.value, told)


def _note(case: Element, tag: str, kind: str, message: str) -> None:
    SubElement(case, tag, type=kind, message=visible(message))
