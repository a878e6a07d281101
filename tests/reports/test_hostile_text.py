"""Whatever a host, an inventory or a ticket says stays data in every format (threats T6, T31)."""

import csv
import io
import json
import re
import unicodedata
from collections import Counter
from collections.abc import Callable
from html.parser import HTMLParser
from xml.etree import ElementTree as ET

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from reports.render import Audience, Format, render
from reports.table import guarded
from reports.visible import json_escaped, shortened, visible
from runner.record import RunRecord
from tests.hostile import EVALUATED, PAYLOADS, hidden_in

Hostile = Callable[[str], RunRecord]
HARMLESS = "harmless"


def made(record: RunRecord, kind: Format, language: str = "en") -> str:
    return render(record, audience=Audience.INTERNAL, language=language, format=kind).decode()


class Page(HTMLParser):
    """Counts elements with the names of their attributes, and keeps the text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.seen: Counter[tuple[str, ...]] = Counter()
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen[(tag, *(name for name, _ in attrs))] += 1
        for name, value in attrs:
            assert not name.startswith("on") and name != "style"
            assert name not in ("href", "src") or (value or "").startswith("#")

    def handle_data(self, data: str) -> None:
        self.text += data


def test_the_corpus_gives_a_reason_for_each_payload() -> None:
    assert len(PAYLOADS) == len({payload.text for payload in PAYLOADS}) >= 300
    for payload in PAYLOADS:
        assert payload.text and payload.why.isprintable() and 3 < len(payload.why) <= 100


def test_no_payload_makes_an_element_and_each_can_still_be_read(hostile: Hostile, family: tuple[str, ...]) -> None:
    harmless = Page(made(hostile(HARMLESS), Format.HTML)).seen
    for payload in family:
        page = Page(made(hostile(payload), Format.HTML))
        assert page.seen == harmless, payload
        assert visible(payload.expandtabs(8))[:200] in page.text


@pytest.mark.parametrize("kind", [Format.HTML, Format.TEXT, Format.JUNIT, Format.CSV, Format.JSON])
def test_no_hidden_character_reaches_a_sink(hostile: Hostile, family: tuple[str, ...], kind: Format) -> None:
    for payload in family:
        written = made(hostile(payload), kind)
        assert not hidden_in(written), payload
        assert not re.search("\u0301{4}", written) or kind is Format.JSON
        assert kind is Format.CSV or "\r" not in written


@pytest.mark.parametrize("kind", [Format.HTML, Format.TEXT, Format.JUNIT, Format.CSV, Format.JSON])
@pytest.mark.parametrize("family", ["jinja", "cel", "format"], indirect=True)
@pytest.mark.parametrize("language", ["en", "ru"])
def test_nothing_is_evaluated(hostile: Hostile, family: tuple[str, ...], kind: Format, language: str) -> None:
    for payload in family:
        written = made(hostile(payload), kind, language)
        assert not re.search(f"{EVALUATED}|(<|&lt;)(class|function|module) |object at 0x|Plural-Forms", written), payload


def test_an_empty_text_is_not_the_header_of_the_catalogue(hostile: Hostile) -> None:
    for kind in (Format.HTML, Format.TEXT, Format.JUNIT, Format.CSV, Format.JSON):
        assert "Plural-Forms" not in made(hostile(""), kind, "ru")


def test_json_keeps_the_text_itself(hostile: Hostile, family: tuple[str, ...]) -> None:
    for payload in family:
        document = json.loads(made(hostile(payload), Format.JSON))
        assert document["actor"] == payload
        assert document["hosts"][0]["findings"][0]["quotes"][0]["lines"] == [payload, payload]


def test_csv_cells_are_no_formulas(hostile: Hostile, family: tuple[str, ...]) -> None:
    for payload in family:
        for row in csv.reader(io.StringIO(made(hostile(payload), Format.CSV))):
            assert len(row) == 13
            for cell in row:
                assert not cell.lstrip().startswith(("=", "+", "-", "@", "＝", "＋", "－", "＠", "|", "%")), payload


def test_junit_is_well_formed(hostile: Hostile, family: tuple[str, ...]) -> None:
    harmless = [element.tag for element in ET.fromstring(made(hostile(HARMLESS), Format.JUNIT)).iter()]
    for payload in family:
        assert [element.tag for element in ET.fromstring(made(hostile(payload), Format.JUNIT)).iter()] == harmless, payload


def test_a_line_of_text_stays_a_line(hostile: Hostile, family: tuple[str, ...]) -> None:
    harmless = len(made(hostile(HARMLESS), Format.TEXT).splitlines())
    for payload in family:
        lines = made(hostile(payload), Format.TEXT).splitlines()
        assert len(lines) == harmless, payload
        assert max(map(len, lines)) < 3000


def test_templates_print_nothing_unescaped() -> None:
    from importlib import resources

    for template in (entry for entry in (resources.files("reports") / "templates").iterdir() if entry.is_file()):
        source = template.read_text("utf-8")
        assert not re.search(r"\|\s*(safe|forceescape)|autoescape|Markup|<script", source), template.name


@given(st.text())
def test_visible_text_has_nothing_hidden_and_is_stable(text: str) -> None:
    shown = visible(text)
    assert visible(shown) == shown
    assert all(unicodedata.category(c) not in ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp") for c in shown)
    shown.encode()


@given(st.text(max_size=40), st.integers(1, 50))
def test_shortened_text_is_short(text: str, limit: int) -> None:
    assert len(shortened(text, limit)) <= limit
    assert shortened(text, limit) == text or shortened(text, limit).endswith("…")


@given(st.text())
def test_no_guarded_cell_is_a_formula(text: str) -> None:
    assert not guarded(text).lstrip().startswith(("=", "+", "-", "@"))


@settings(max_examples=25)
@given(text=st.text(min_size=1, max_size=60).filter(lambda text: not text.startswith("longarm ")))  # that is set as a command
def test_any_text_leaves_the_page_as_it_was(hostile: Hostile, text: str) -> None:
    assert Page(made(hostile(text), Format.HTML)).seen == Page(made(hostile(HARMLESS), Format.HTML)).seen


HIDDEN = st.sampled_from('\u2800\u3164\u0378\U000e0041\u0301\u0300\x7f\u202e\x1b\ud800\u3000\u00a0é語a"\\\n')


@given(st.text(st.one_of(st.characters(), HIDDEN)))
@example("a" + "\u0301" * 9 + "\u2800\u3164\u0378\U000e0041")
def test_json_is_harmless_and_lossless(text: str) -> None:
    value = {"text": "".join(c for c in text if not "\udc00" <= c <= "\udfff")}  # half a pair meets no other half
    written = json_escaped(json.dumps(value, ensure_ascii=False))
    assert json.loads(written) == value
    assert visible(written) == written
