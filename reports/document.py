"""The one documented document of a run, `longarm-run/1`: what programs read (docs/run-json.md, run.schema.json)."""

from __future__ import annotations

import hashlib
import io
import json
import math
import weakref
from collections.abc import Mapping
from datetime import datetime
from json.encoder import encode_basestring
from typing import Any, Final

from diagnostics.finding import CheckResult, Citation, Finding, Link, Param, Unchecked
from diagnostics.verdict import Why
from inventory.errors import Text
from inventory.host import Waiver
from reports import words
from reports.explain import explain
from reports.language import Language, language
from reports.repair_document import host_repair, run_repair
from reports.sentences import sentence
from reports.summary import next_commands, tally, tone, verdict
from reports.visible import json_escaped
from runner.notes import AnswerNote
from runner.outcome import Outcome
from runner.output import Output
from runner.record import Delivery, HostRecord, Quote, RunRecord

FORMAT: Final = "longarm-run/1"


def json_document(record: RunRecord, tongue: Language) -> bytes:
    """Return the document as indented UTF-8 JSON; what could steer a terminal is written as \\u escapes.

    It is written host by host: all hosts of a big run as plain values at once would take 30 KB each.
    """
    content = _content(record, tongue)
    digest = None if tongue.code == "en" else content_digest(record)
    head, tail = _around(indented(content), '\n  "hosts": []')
    whole, written = _Digest(content), io.BytesIO()
    written.write(json_escaped(f'{head}\n  "hosts": [').encode())
    for number, host in enumerate(record.hosts):
        plain = _host(host, record, tongue)
        whole.add(plain)
        written.write(json_escaped((",\n    " if number else "\n    ") + indented(plain, "\n    ")).encode())
    end = {
        "deliveries": [_delivery(delivery) for delivery in record.deliveries],
        "content_digest": digest or _DIGESTS.keep(record, whole.value()),
    }
    close = "\n  ]" if record.hosts else "]"
    written.write(json_escaped(close + tail.removesuffix("\n}") + "," + indented(end).removeprefix("{") + "\n").encode())
    return written.getvalue()


def indented(value: object, line: str = "\n") -> str:
    """Return what `json.dumps(value, ensure_ascii=False, indent=2, allow_nan=False)` does, at a quarter of its time.

    With an indent the standard library leaves its encoder in C for one that yields each sign. `line` begins a line where
    the value stands within a bigger one.

    >>> print(indented({"a": [1, True, None], "b": {}, "c": "ж"}))
    {
      "a": [
        1,
        true,
        null
      ],
      "b": {},
      "c": "ж"
    }
    """
    if isinstance(value, str):
        return encode_basestring(value)
    below = f"{line}  "
    if isinstance(value, dict) and value:
        rows = [f"{below}{encode_basestring(name)}: {indented(one, below)}" for name, one in value.items()]
        return f"{{{','.join(rows)}{line}}}"
    if isinstance(value, list) and value:
        return f"[{','.join([below + indented(one, below) for one in value])}{line}]"
    if type(value) is int:
        return str(value)
    return _CONSTANTS[value] if value is None or isinstance(value, bool) else _scalar(value)


_CONSTANTS: Final = {None: "null", True: "true", False: "false"}
_scalar: Final = json.JSONEncoder(ensure_ascii=False, allow_nan=False).encode


def content_digest(record: RunRecord) -> str:
    """Return the SHA-256 of what a run says: of its English document without deliveries, keys sorted, no spaces."""
    if (known := _DIGESTS.of(record)) is not None:
        return known
    tongue = language("en")
    whole = _Digest(_content(record, tongue))
    for host in record.hosts:
        whole.add(_host(host, record, tongue))
    return _DIGESTS.keep(record, whole.value())


class _LastDigest:
    """The digest of the record that was looked at last: the page and the document of one run both tell it."""

    def __init__(self) -> None:
        self._known: tuple[weakref.ref[RunRecord], str] | None = None

    def of(self, record: RunRecord) -> str | None:
        """Return the digest of this very record, if it is known."""
        return self._known[1] if self._known is not None and self._known[0]() is record else None

    def keep(self, record: RunRecord, digest: str) -> str:
        """Return `digest`, which is known from now on."""
        self._known = weakref.ref(record), digest
        return digest


_DIGESTS: Final = _LastDigest()


class _Digest:
    """The digest of a document whose hosts come one by one."""

    def __init__(self, content: Mapping[str, Any]) -> None:
        head, self._tail = _around(_compact(content), ',"hosts":[]')
        self._sum = hashlib.sha256(f'{head},"hosts":['.encode())
        self._begun = False

    def add(self, host: Mapping[str, Any]) -> None:
        """Take the next host."""
        self._sum.update(f"{',' if self._begun else ''}{_compact(host)}".encode())
        self._begun = True

    def value(self) -> str:
        """Return the digest of the whole, in hexadecimal."""
        whole = self._sum.copy()
        whole.update(f"]{self._tail}".encode())
        return whole.hexdigest()


_compact: Final = json.JSONEncoder(sort_keys=True, separators=(",", ":"), allow_nan=False).encode


def _around(written: str, hosts: str) -> tuple[str, str]:
    """Return what stands before and behind the empty list of hosts, which no text inside the document can look like.

    A newline, and a quote behind a comma, are escaped within JSON's strings.
    """
    head, found, tail = written.partition(hosts)
    assert found, "a document has hosts"
    return head, tail


def _content(record: RunRecord, tongue: Language) -> dict[str, Any]:
    """Return the document without its hosts, its deliveries and its digest."""
    figures, coverage = tally(record), record.coverage
    return {
        "format": FORMAT,
        "language": tongue.code,
        "run": record.run,
        "state": record.state.value,
        "kind": record.kind.value,
        "subject": record.subject or None,
        "read_only": record.read_only,
        "beside": record.beside or None,
        "playbook": record.playbook,
        "title": tongue.pick(record.title, record.playbook),
        "maintenance": record.maintenance,
        "expression": record.expression,
        "actor": record.actor,
        "case": record.case,
        "customers": list(record.customers),
        "started_at": _time(record.started_at),
        "ended_at": _time(record.ended_at),
        "verdict": {"tone": tone(record).value, "text": verdict(record, tongue)},
        "erased_hosts": record.erased_hosts,
        "coverage": {
            "targeted": coverage.targeted,
            "seen": coverage.seen,
            "outcomes": {outcome.value: coverage.counts[outcome] for outcome in Outcome},
        },
        "counts": {
            "findings": figures.findings,
            "roots": figures.roots,
            "waived": figures.waived,
            "severities": {severity.value: count for severity, count in figures.severities.items()},
            "verdicts": {which.value: count for which, count in figures.verdicts.items()},
        },
        "checks": list(record.checks),
        "versions": dict(record.versions),
        "hosts": [],
        "repair": run_repair(record.repair, tongue) if record.repair else None,
        "next": [{"why": step.why, "command": step.command} for step in next_commands(record, tongue)],
    }


def _host(host: HostRecord, record: RunRecord, tongue: Language) -> dict[str, Any]:
    diagnosis = host.diagnosis
    roots = {told.finding.id for told in explain(diagnosis)} if diagnosis else set()
    return {
        "host": host.host,
        "address": host.address,
        "site": host.site,
        "customer": host.customer,
        "platform": host.platform,
        "transport": host.transport,
        "outcome": host.outcome.value,
        "error": _error(host, tongue),
        "denied_root": host.denied_root or None,
        "started_at": _time(host.started_at),
        "ended_at": _time(host.ended_at),
        "evidence_digest": host.evidence_digest,
        "evidence_pruned_at": _time(host.pruned_at),
        "output": _output(host.output) if host.output else None,
        "session": dict(host.session),
        "thresholds": {check: _params(values) for check, values in sorted(host.thresholds.items())},
        "checks": [_result(result, tongue) for result in diagnosis.results] if diagnosis else [],
        "findings": [_finding(one, one.id in roots, host, record, tongue) for one in diagnosis.findings] if diagnosis else [],
        "links": [_link(link, record, tongue) for link in diagnosis.links] if diagnosis else [],
        "unchecked": [_unchecked(one) for one in diagnosis.unchecked] if diagnosis else [],
        "questions": [_question(note) for note in host.answers],
        "repair": host_repair(host.repair, record, tongue) if host.repair else None,
    }


def _error(host: HostRecord, tongue: Language) -> dict[str, Any] | None:
    if host.error is None:
        return None
    return {"kind": host.error_kind, "text": tongue.say(host.error), "hint": _said(host.hint, tongue)}


def _result(result: CheckResult, tongue: Language) -> dict[str, Any]:
    return {
        "check": result.check,
        "verdict": result.verdict.value,
        "why": _why(result.why, tongue) if result.why else None,
        "unseen": [_why(why, tongue) for why in result.unseen],
    }


def _why(why: Why, tongue: Language) -> dict[str, Any]:
    return {
        "reason": why.reason.value,
        "question": why.question or None,
        "detail": why.detail or None,
        "text": tongue.say(words.reason(why)),
    }


def _finding(finding: Finding, is_root: bool, host: HostRecord, record: RunRecord, tongue: Language) -> dict[str, Any]:
    remedy = finding.remedy
    return {
        "id": finding.id,
        "check": finding.check,
        "severity": finding.severity.value,
        "root": is_root,
        "text": sentence(finding, record.content, tongue),
        "cause": words.cause(finding.check, record.content, tongue) or None,
        "subject": _params(finding.subject),
        "params": _params(finding.params),
        "since": _time(finding.since),
        "dated": finding.dated,
        "held": finding.held,
        "waived": finding.waived,
        "waiver": _waiver(finding.waiver),
        "remedy": {"playbook": remedy.playbook, "params": _params(remedy.params)} if remedy else None,
        "citations": [_citation(citation) for citation in finding.citations],
        "quotes": [_quote(quote) for quote in host.quotes.get(finding.id, ())],
    }


def _waiver(waiver: Waiver | None) -> dict[str, Any] | None:
    if waiver is None:
        return None
    return {"reason": waiver.reason, "owner": waiver.owner, "last_day": waiver.last_day, "targets": waiver.targets}


def _link(link: Link, record: RunRecord, tongue: Language) -> dict[str, Any]:
    return {
        "cause": link.cause,
        "effect": link.effect,
        "rule": link.rule,
        "weight": link.weight,
        "text": tongue.pick(record.content.rules.get(link.rule, {}), link.rule),
        "cause_citations": [_citation(citation) for citation in link.cause_citations],
        "effect_citations": [_citation(citation) for citation in link.effect_citations],
    }


def _unchecked(one: Unchecked) -> dict[str, Any]:
    return {"finding": one.finding, "check": one.check, "rule": one.rule}


def _question(note: AnswerNote) -> dict[str, Any]:
    return {
        "question": note.question,
        "ended": note.ended.value,
        "exit_status": note.exit_status,
        "duration_ms": note.duration_ms,
        "stdout_bytes": note.stdout_bytes,
        "stderr_bytes": note.stderr_bytes,
        "as_root": note.as_root,
        "why": note.why or None,
        "unkillable": list(note.unkillable),
    }


def _output(output: Output) -> dict[str, Any]:
    return {
        "ended": output.ended.value,
        "exit_status": output.exit_status,
        "stdout": output.stdout,
        "stderr": output.stderr,
        "cut": output.cut,
        "origin": dict(output.origin),
    }


def _citation(citation: Citation) -> dict[str, Any]:
    return {"question": citation.question, "stream": citation.stream, "first": citation.first, "last": citation.last}


def _quote(quote: Quote) -> dict[str, Any]:
    return {"citation": _citation(quote.citation), "lines": list(quote.lines), "cut": quote.cut}


def _delivery(delivery: Delivery) -> dict[str, Any]:
    return {
        "case": delivery.case,
        "kind": delivery.kind,
        "audience": delivery.audience,
        "language": delivery.language,
        "state": delivery.state,
        "filename": delivery.filename or None,
        "digest": delivery.digest or None,
        "attempts": delivery.attempts,
        "error": delivery.error or None,
        "sent_at": _time(delivery.sent_at),
    }


def _params(params: Mapping[str, Param]) -> dict[str, Param]:
    """Return parameters as JSON can hold them: an infinite number becomes its name."""
    return {
        name: str(value) if isinstance(value, float) and not math.isfinite(value) else value
        for name, value in sorted(params.items())
    }


def _said(text: Text | None, tongue: Language) -> str | None:
    return tongue.say(text) if text else None


def _time(moment: datetime | None) -> str | None:
    return moment.isoformat().replace("+00:00", "Z") if moment else None
