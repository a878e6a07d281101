"""Identifiers put into words: outcomes, verdicts, severities, reasons, and the sentences of findings."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from functools import lru_cache
from typing import Final

from jinja2 import StrictUndefined, Template, TemplateError, nodes
from jinja2.sandbox import ImmutableSandboxedEnvironment

from diagnostics.content import CheckContent, Content
from diagnostics.finding import Citation, Finding, Param
from diagnostics.verdict import Reason, Severity, Verdict, Why
from inventory.errors import LongarmError, Text
from remote.answer import Ended
from reports.language import Language, language
from reports.visible import shortened
from runner.outcome import Outcome
from runner.record import AnswerNote

LONGEST_SENTENCE: Final = 1000
LONGEST_TEMPLATE: Final = 4096
LONGEST_PARAM: Final = 300

OUTCOMES: Final[Mapping[Outcome, Text]] = {
    Outcome.OK: Text("ok"),
    Outcome.FINDINGS: Text("findings"),
    Outcome.INCOMPLETE: Text("incomplete"),
    Outcome.FAILED: Text("failed"),
    Outcome.UNREACHABLE: Text("unreachable"),
    Outcome.REFUSED: Text("refused"),
    Outcome.TIMED_OUT: Text("timed out"),
    Outcome.INTERRUPTED: Text("interrupted"),
    Outcome.UNKNOWN: Text("unknown"),
    Outcome.NOT_STARTED: Text("not started"),
}
SEVERITIES: Final[Mapping[Severity, Text]] = {
    Severity.CRITICAL: Text("critical"),
    Severity.WARNING: Text("warning"),
    Severity.INFO: Text("info"),
}
VERDICTS: Final[Mapping[Verdict, Text]] = {
    Verdict.CLEAR: Text("clear"),
    Verdict.FINDING: Text("finding"),
    Verdict.NOT_APPLICABLE: Text("not applicable"),
    Verdict.UNKNOWN: Text("not seen"),
}
SIGNS: Final[Mapping[Verdict | Severity, str]] = {  # the shape beside the colour: readable in grey, on paper, by ear
    Severity.CRITICAL: "◆",
    Severity.WARNING: "▲",
    Severity.INFO: "●",
    Verdict.CLEAR: "✓",
    Verdict.FINDING: "▲",
    Verdict.NOT_APPLICABLE: "–",
    Verdict.UNKNOWN: "?",
}
MAINTENANCE: Final[Mapping[str, Text]] = {
    "preventive": Text("preventive"),
    "corrective": Text("corrective"),
    "adaptive": Text("adaptive"),
}
REASONS: Final[Mapping[Reason, Text]] = {
    Reason.PLATFORM: Text("for other platforms"),
    Reason.NOTHING_THERE: Text("not on this host: {detail}"),
    Reason.DOES_NOT_APPLY: Text("its conditions leave this host out"),
    Reason.NOT_EXPECTED: Text("the inventory expects nothing that could be compared"),
    Reason.TIMED_OUT: Text("{question} did not end in time"),
    Reason.CAPPED: Text("{question} answered more than it may"),
    Reason.LOST: Text("the answer to {question} was lost: {detail}"),
    Reason.NOT_RUN: Text("{question} could not be asked: {detail}"),
    Reason.STATUS: Text("{question} ended with {detail}"),
    Reason.NOT_UNDERSTOOD: Text("the answer to {question} was not understood: {detail}"),
    Reason.SOURCE_FAILED: Text("a source of {question} failed: {detail}"),
    Reason.MISSING_VALUE: Text("the facts lack {detail}"),
    Reason.NOT_EVALUATED: Text("an expression could not be evaluated: {detail}"),
}
ENDINGS: Final[Mapping[Ended, Text]] = {
    Ended.EXITED: Text("exited with {status}"),
    Ended.TIMED_OUT: Text("timed out"),
    Ended.CAPPED: Text("capped"),
    Ended.LOST: Text("lost"),
    Ended.NOT_RUN: Text("not run"),
}


def reason(why: Why) -> Text:
    """Return the sentence for a verdict that is neither clear nor finding."""
    detail = shortened(why.detail, LONGEST_PARAM) or Text("no reason given")
    return Text(REASONS[why.reason].template, question=why.question, detail=detail)


def ending(note: AnswerNote) -> Text:
    """Return how a question ended, with what is known of why."""
    said = Text(ENDINGS[note.ended].template, status="?" if note.exit_status is None else note.exit_status)
    if note.unkillable:
        said = Text("{ended}; still running: pid {pids}", ended=said, pids=", ".join(map(str, note.unkillable)))
    return Text("{ended}: {why}", ended=said, why=shortened(note.why, LONGEST_PARAM)) if note.why else said


def lines_of(citation: Citation) -> Text:
    """Return where cited lines stand: question, stream, line numbers."""
    if citation.first == citation.last:
        template = Text("{question}, line {first}", question=citation.question, first=citation.first)
    else:
        template = Text(
            "{question}, lines {first}–{last}", question=citation.question, first=citation.first, last=citation.last
        )
    return template if citation.stream == "stdout" else Text("{lines} of {stream}", lines=template, stream=citation.stream)


def title(check: str, content: Content, tongue: Language) -> str:
    """Return the check's title in this language, or its id where the run kept no words for it."""
    words = content.checks.get(check)
    return tongue.pick(words.title, check) if words else check


def cause(check: str, content: Content, tongue: Language) -> str:
    """Return what the check's author holds to be the likely cause, or nothing."""
    words = content.checks.get(check)
    return tongue.pick(words.cause) if words else ""


def subject(finding: Finding) -> str:
    """Return what on the host a finding is about, as its values alone: `/var`, `postgresql.service`."""
    return shortened(", ".join(str(finding.subject[name]) for name in sorted(finding.subject)), LONGEST_PARAM)


def sentence(finding: Finding, content: Content, tongue: Language) -> str:
    """Return a finding in words; one whose words cannot be used is still told, by title, subject and values."""
    words = content.checks.get(finding.check)
    if words and (template := tongue.pick(words.finding)):
        try:
            return render_words(template, finding.subject, finding.params, tongue.code)
        except BadWords:
            pass
    return _plain_sentence(finding, words, tongue)


def _plain_sentence(finding: Finding, words: CheckContent | None, tongue: Language) -> str:
    head = tongue.pick(words.title, finding.check) if words else finding.check
    parts = [head, subject(finding)] if finding.subject else [head]
    values = ", ".join(f"{name}={finding.params[name]}" for name in sorted(finding.params))
    return shortened(": ".join(parts) + (f" ({values})" if values else ""), LONGEST_SENTENCE)


class BadWords(LongarmError):
    """The words of a check that cannot be rendered: not the template language, or a value that is not there."""


_ALLOWED: Final = (
    nodes.Output | nodes.TemplateData | nodes.Name | nodes.Getattr | nodes.Getitem | nodes.Const | nodes.Filter
    | nodes.If | nodes.CondExpr | nodes.Compare | nodes.Operand | nodes.And | nodes.Or | nodes.Not | nodes.Test
)  # fmt: skip
"""No loop, no call, no assignment, no arithmetic: what a template costs is bounded by its length."""


def render_words(template: str, of: Mapping[str, Param], params: Mapping[str, Param], code: str) -> str:
    """Return a check's sentence with the values of one finding; raises BadWords.

    >>> render_words("{{ subject.mount }} is {{ params.used | percent }} full", {"mount": "/"}, {"used": 98.4}, "en")
    '/ is 98.4% full'
    """
    try:
        text = _compiled(template, code).render(subject=_bounded(of), params=_bounded(params))
    except (TemplateError, TypeError, ValueError, OverflowError) as error:
        raise BadWords(Text("{words}: {error}", words=shortened(template, 80), error=str(error))) from error
    return shortened(text, LONGEST_SENTENCE)


def check_words(template: str, code: str) -> None:
    """Raise BadWords where a template uses what words may not use; says nothing about its values."""
    try:
        _compiled(template, code)
    except TemplateError as error:
        raise BadWords(Text("{words}: {error}", words=shortened(template, 80), error=str(error))) from error


def _bounded(values: Mapping[str, Param]) -> dict[str, Param]:
    return {name: shortened(value, LONGEST_PARAM) if isinstance(value, str) else value for name, value in values.items()}


@lru_cache(maxsize=1024)
def _compiled(template: str, code: str) -> Template:
    if len(template) > LONGEST_TEMPLATE:
        raise TemplateError(f"longer than {LONGEST_TEMPLATE} characters")
    environment = _environment(code)
    for node in environment.parse(template).find_all(nodes.Node):
        if not isinstance(node, _ALLOWED):
            raise TemplateError(f"{type(node).__name__} is not allowed in words")
        if isinstance(node, nodes.Filter) and node.name not in FILTERS:
            raise TemplateError(f"no filter named {node.name}")
        if isinstance(node, nodes.Test) and node.name not in TESTS:
            raise TemplateError(f"no test named {node.name}")
        if isinstance(node, nodes.Name) and node.name not in ("subject", "params"):
            raise TemplateError(f"{node.name} is neither subject nor params")
    return environment.from_string(template)


TESTS: Final = ("none", "defined")
FILTERS: Final = ("percent", "bytes", "duration", "datetime", "number")


@lru_cache(maxsize=8)
def _environment(code: str) -> ImmutableSandboxedEnvironment:
    tongue = language(code)
    environment = ImmutableSandboxedEnvironment(undefined=StrictUndefined, autoescape=False, cache_size=0)
    environment.filters.clear()
    environment.filters["percent"] = lambda value: tongue.percent(_number(value))
    environment.filters["bytes"] = lambda value: tongue.bytes(_number(value))
    environment.filters["duration"] = lambda value: tongue.duration(_number(value) * 1000)  # params are in seconds
    environment.filters["number"] = lambda value: tongue.number(_number(value))
    environment.filters["datetime"] = lambda value: tongue.date(_moment(value))
    return environment


def _number(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"not a number: {value!r}")
    return value


def _moment(value: object) -> datetime:
    """Return the time that a parameter names: seconds since 1970, or ISO 8601 with a zone."""
    if isinstance(value, str):
        moment = datetime.fromisoformat(value)
        if moment.tzinfo is None:
            raise ValueError(f"a time without a zone: {value}")
        return moment
    return datetime.fromtimestamp(_number(value), UTC)
