"""A run as CSV: one row for each result of each check on each host; cells cannot act as formulas (CWE-1236)."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from typing import Final

from diagnostics.finding import Finding
from reports import words
from reports.language import Language
from reports.sentences import sentence
from reports.summary import why_unseen
from reports.visible import visible
from runner.record import HostRecord, RunRecord

HEADER: Final = (
    "run", "host", "address", "site", "customer", "outcome", "check", "verdict", "severity", "subject", "text", "since",
    "waived",
)  # fmt: skip
_FORMULA: Final = ("=", "+", "-", "@", "＝", "＋", "－", "＠", "|", "%")


def csv_table(record: RunRecord, tongue: Language) -> bytes:
    """Return the table in UTF-8; a host without a single result still has its row."""
    written = io.StringIO()
    writer = csv.writer(written, quoting=csv.QUOTE_ALL, lineterminator="\r\n")
    writer.writerow(HEADER)
    for host in record.hosts:
        for cells in _rows(host, record, tongue):
            writer.writerow([guarded(cell) for cell in (record.run, host.host, host.address, host.site, host.customer, *cells)])
    return written.getvalue().encode()


def _rows(host: HostRecord, record: RunRecord, tongue: Language) -> Iterator[tuple[str, ...]]:
    outcome = host.outcome.value
    results = host.diagnosis.results if host.diagnosis else ()
    if not results:
        yield outcome, "", "", "", "", "; ".join(why_unseen(host, tongue)), "", ""
    for result in results:
        if not result.findings:
            said = tongue.say(words.reason(result.why)) if result.why else ""
            yield outcome, result.check, result.verdict.value, "", "", said, "", ""
        for finding in result.findings:
            said, since = sentence(finding, record.content, tongue), finding.since
            yield (
                outcome, result.check, result.verdict.value, finding.severity.value, finding.key, said,
                since.isoformat() if since else "", _waived(finding, tongue),
            )  # fmt: skip


def _waived(finding: Finding, tongue: Language) -> str:
    said = words.waiver(finding) if finding.waived else None
    return tongue.say(said) if said else ""


def guarded(cell: str | None) -> str:
    """Return a cell that no spreadsheet takes for a formula, with everything hidden made visible.

    >>> guarded("=1+1"), guarded(" @x"), guarded("db01"), guarded(None)
    ("'=1+1", "' @x", 'db01', '')
    """
    shown = visible(cell or "")
    return "'" + shown if shown.lstrip().startswith(_FORMULA) or shown.startswith(("␉", "␍")) else shown
