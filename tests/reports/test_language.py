"""Words, numbers and times as readers of each language expect them."""

import subprocess
import sys
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from diagnostics.content import CheckContent, Content
from diagnostics.finding import Finding, Param
from diagnostics.verdict import Severity
from inventory.errors import Text
from reports.language import LANGUAGES, UnknownLanguage, language
from reports.sentences import LONGEST_SENTENCE, BadWords, render_words, sentence

EN, RU = language("en"), language("ru")
GIB = 1024**3


def test_russian_counts_in_three_forms() -> None:
    said = [RU.plural("{n} host", "{n} hosts", n) for n in (1, 2, 5, 11, 21, 104)]
    assert said == ["1 хост", "2 хоста", "5 хостов", "11 хостов", "21 хост", "104 хоста"]


@pytest.mark.parametrize(
    ("count", "en", "ru"),
    [(0, "0 B", "0 Б"), (1536, "1.5 KiB", "1,5 КиБ"), (5 * GIB, "5 GiB", "5 ГиБ"), (2**70, "1,024 EiB", "1 024 ЭиБ")],
)
def test_sizes(count: int, en: str, ru: str) -> None:
    assert (EN.bytes(count), RU.bytes(count).replace("\xa0", " ")) == (en, ru)


def test_percent_is_never_rounded_to_all_or_nothing() -> None:
    assert [EN.percent(value) for value in (0, 0.004, 50, 99.996, 100)] == ["0%", "0.1%", "50%", "99.9%", "100%"]
    assert RU.percent(93.1).replace("\xa0", " ") == "93,1 %"


def test_times_carry_their_zone() -> None:
    moment = datetime(2026, 11, 22, 10, 47, 55, tzinfo=UTC)
    for tongue in (EN, RU):
        assert tongue.date(moment) == "2026-11-22 10:47:55 UTC"
        assert tongue.date(moment.astimezone(timezone(timedelta(hours=3)))) == "2026-11-22 13:47:55 UTC+03:00"


def test_durations() -> None:
    assert [RU.duration(ms) for ms in (12, 1234, 61_000, 5_400_000)] == ["12 мс", "1,2 с", "1 мин 1 с", "1 ч 30 мин"]
    assert EN.duration(-61_000) == "-1 min 1 s" and EN.duration(59_949) == "59.9 s" and EN.duration(59_951) == "1 min"


@given(st.floats(0, 1e12))
def test_any_duration_can_be_said(milliseconds: float) -> None:
    assert EN.duration(milliseconds)


def test_sentences_in_sentences_are_translated_too() -> None:
    inner = Text("no connection: {reason}", reason="x")
    assert RU.say("{host}: {error}", host="db01", error=inner) == "db01: " + RU.say(inner)
    assert RU.say(inner) != EN.say(inner)


def test_hostile_params_are_not_templates() -> None:
    assert EN.say(Text("no connection: {reason}", reason="{host.__class__} %s {0}")).endswith("{host.__class__} %s {0}")


def test_an_unknown_language_is_refused() -> None:
    with pytest.raises(UnknownLanguage):
        language("tlh")
    assert LANGUAGES == ("en", "ru")


def test_english_sentences_need_neither_catalogue_nor_babel() -> None:
    script = "import sys; from reports.language import language; language('en').say('x'); assert 'babel' not in sys.modules"
    subprocess.run([sys.executable, "-c", script], check=True)


@pytest.mark.parametrize(
    "words",
    [
        "{% for x in 'aaaa' %}x{% endfor %}",
        "{% set x = 1 %}",
        "{{ params.x() }}",
        "{{ ''.__class__.__mro__[1].__subclasses__() }}",
        "{{ params.x * 9999999 }}",
        "{{ params.x ~ params.x }}",
        "{% include 'run.html.j2' %}",
        "{{ cycler }}",
        "{{ params.x | attr('y') }}",
        "{{ params.x | pprint }}",
        "{{ 9 ** 9 ** 9 }}",
        "{{ range(9) }}",
        "{% macro m() %}{% endmacro %}",
        "{{ broken",
        "{{ 1 if params.x is divisibleby 3 else 2 }}",
        "x" * 5000,
    ],
)
def test_words_are_no_programs(words: str) -> None:
    with pytest.raises(BadWords):
        render_words(words, {}, {"x": "y"}, "en")


def test_words_may_choose() -> None:
    words = (
        "{{ subject.unit }} {% if params.n > 1 and not params.flag %}many{% else %}one{% endif %}"
        "{{ ' late' if params.late is not none else '' }}"
    )
    assert render_words(words, {"unit": "x.service"}, {"n": 2, "flag": False, "late": True}, "en") == "x.service many late"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("{{ params.p | percent }}", "98.4%"),
        ("{{ params.b | bytes }}", "5 GiB"),
        ("{{ params.s | duration }}", "1 h 30 min"),
        ("{{ params.t | datetime }} {{ params.iso | datetime }}", "2026-11-22 10:47:55 UTC 2026-11-22 10:47:55 UTC"),
        ("{{ params.b | number }}", "5,368,709,120"),
    ],
)
def test_filters(words: str, said: str) -> None:
    params: dict[str, Param] = {"p": 98.43, "b": 5 * GIB, "s": 5400, "t": 1795344475, "iso": "2026-11-22T10:47:55+00:00"}
    assert render_words(words, {}, params, "en") == said


@pytest.mark.parametrize(
    "words",
    ["{{ params.nothing }}", "{{ params.text | bytes }}", "{{ params.flag | percent }}", "{{ params.text | datetime }}"],
)
def test_a_finding_whose_words_fail_is_still_told(words: str) -> None:
    finding = Finding(
        check="c", host="h", subject={"mount": "/var"}, severity=Severity.WARNING, params={"text": "x", "flag": True}
    )
    content = Content(checks={"c": CheckContent(title={"en": "Disk", "ru": "Диск"}, finding={"en": words, "ru": words})})
    assert sentence(finding, content, EN) == "Disk: /var (flag=True, text=x)"
    assert sentence(finding, Content(), EN) == "c: /var (flag=True, text=x)"


def test_long_params_make_short_sentences() -> None:
    words = "{{ params.x }}" * 200
    assert len(render_words(words, {}, {"x": "y" * 10_000}, "en")) == LONGEST_SENTENCE
