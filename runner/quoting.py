"""The lines of answers that findings cite."""

from __future__ import annotations

from collections.abc import Mapping

from diagnostics.finding import Citation, Diagnosis
from diagnostics.framing import words_of_the_host
from remote.answer import Answer
from runner.record import Quote

MOST_LINES = 20
MOST_CHARACTERS = 500


def quotes_of(diagnosis: Diagnosis, answers: Mapping[str, Answer]) -> dict[str, tuple[Quote, ...]]:
    """Return the cited lines by finding: its own citations, then those of the links it stands in."""
    cited: dict[str, dict[Citation, None]] = {}
    for finding in diagnosis.findings:
        cited.setdefault(finding.id, {}).update(dict.fromkeys(finding.citations))
    for link in diagnosis.links:
        cited.setdefault(link.cause, {}).update(dict.fromkeys(link.cause_citations))
        cited.setdefault(link.effect, {}).update(dict.fromkeys(link.effect_citations))
    return {
        finding: tuple(quote(citation, answers[citation.question]) for citation in citations if citation.question in answers)
        for finding, citations in cited.items()
    }


def quote(citation: Citation, answer: Answer) -> Quote:
    """Return the cited lines of an answer; they count from 1. What its script said to tell its sources apart is left out.

    >>> from remote.answer import answered
    >>> quote(Citation(question="df", first=2, last=3), answered(b"Use%\\n91%\\n12%\\n")).lines
    ('91%', '12%')
    """
    data = answer.stderr if citation.stream == "stderr" else answer.stdout
    cited = words_of_the_host(data.split(b"\n")[citation.first - 1 : citation.last], answer.stdout.partition(b"\n")[0])
    lines = [line.rstrip(b"\r").decode("utf-8", "replace") for line in cited[:MOST_LINES]]
    return Quote(
        citation=citation,
        lines=tuple(line[:MOST_CHARACTERS] for line in lines),
        cut=len(cited) > MOST_LINES or any(len(line) > MOST_CHARACTERS for line in lines),
    )
