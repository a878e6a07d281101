"""The sentences of findings: templates of the checks' authors, filled in with values, bounded in what they may cost."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from functools import lru_cache
from itertools import product
from typing import Final

from jinja2 import StrictUndefined, Template, TemplateError, nodes
from jinja2.sandbox import ImmutableSandboxedEnvironment

from diagnostics.content import CheckContent, Content
from diagnostics.finding import Finding, Param
from inventory.errors import LongarmError, Text
from reports.known import LONGEST_PARAM
from reports.language import Language, language
from reports.visible import shortened
from reports.words import subject

LONGEST_SENTENCE: Final = 1000
LONGEST_TEMPLATE: Final = 4096


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
        text = compiled(template, code).render(subject=_bounded(of), params=_bounded(params))
    except (TemplateError, TypeError, ValueError, OverflowError) as error:
        raise BadWords(Text("{words}: {error}", words=shortened(template, 80), error=str(error))) from error
    return shortened(text, LONGEST_SENTENCE)


def _bounded(values: Mapping[str, Param]) -> dict[str, Param]:
    return {name: shortened(value, LONGEST_PARAM) if isinstance(value, str) else value for name, value in values.items()}


@lru_cache(maxsize=1024)
def compiled(template: str, code: str) -> Template:
    """Return the template of a sentence; raises TemplateError where it uses what words may not use."""
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


@lru_cache(maxsize=1024)
def compared(template: str) -> frozenset[tuple[str, str]]:
    """Return which values a template compares with which texts: words by which it takes its branches.

    >>> sorted(compared('{% if params.why == "no_answer" %}no server answers{% endif %}'))
    [('why', 'no_answer')]
    """
    try:
        compiled(template, "en")
    except TemplateError:
        return frozenset()
    found: set[tuple[str, str]] = set()
    for node in _environment("en").parse(template).find_all(nodes.Compare):
        sides = (node.expr, *(operand.expr for operand in node.ops))
        names = {name for side in sides if (name := _name(side))}
        found.update(product(names, (side.value for side in sides if isinstance(side, nodes.Const) and side.value)))
    return frozenset((name, text) for name, text in found if isinstance(text, str))


def _name(node: nodes.Expr) -> str:
    """Return which value of a finding stands here: `params.why` and `params["why"]` are one."""
    match node:
        case nodes.Getattr(attr=str(name)) | nodes.Getitem(arg=nodes.Const(value=str(name))):
            return name
    return ""


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
