"""The page in a real browser: nothing runs, nothing is fetched, nothing hostile becomes an element."""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from inventory.errors import Text
from reports.language import LANGUAGES
from reports.render import Audience, Format, render
from runner.outcome import Outcome
from runner.record import HostRecord, RunRecord
from tests.browser import ACTIVE_ATTRIBUTES, ELEMENTS, OUR_ELEMENTS, Browser, is_quiet
from tests.conftest import SOAK
from tests.reports.conftest import full
from tests.reports.test_repair_page import after_repair

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    running = Browser(tmp_path_factory.mktemp("profile"))
    yield running
    running.close()


@pytest.fixture
def show(browser: Browser, tmp_path: Path) -> Callable[..., Browser]:
    def shown(record: RunRecord, code: str = "en") -> Browser:
        page = tmp_path / "report.html"
        page.write_bytes(render(record, audience=Audience.INTERNAL, language=code, format=Format.HTML))
        browser.open(page)
        return browser

    return shown


Show = Callable[..., Browser]


@pytest.mark.parametrize("code", LANGUAGES)
def test_nothing_is_fetched_and_nothing_complains(small: RunRecord, show: Show, code: str) -> None:
    browser = show(small, code)
    is_quiet(browser)
    assert browser.evaluate("document.documentElement.lang") == code
    assert browser.evaluate("document.compatMode") == "CSS1Compat"
    assert browser.evaluate("getComputedStyle(document.body).marginTop") == "0px", (
        "the style is applied: its digest fits the policy"
    )


@pytest.mark.parametrize("code", LANGUAGES)
def test_the_page_for_customers_fetches_nothing_and_nothing_complains(
    small: RunRecord, browser: Browser, tmp_path: Path, code: str
) -> None:
    page = tmp_path / "report.html"
    page.write_bytes(render(small, audience=Audience.CUSTOMER, language=code, format=Format.HTML))
    browser.open(page)
    is_quiet(browser)
    assert set(json.loads(browser.evaluate(ELEMENTS))) <= set(OUR_ELEMENTS.split())
    assert browser.evaluate("getComputedStyle(document.body).marginTop") == "0px"


def test_no_payload_becomes_an_element(hostile: Callable[[str], RunRecord], payloads: tuple[str, ...], show: Show) -> None:
    browser = show(hostile("harmless"))
    harmless = json.loads(browser.evaluate(ELEMENTS))
    assert set(harmless) <= set(OUR_ELEMENTS.split())
    for payload in payloads:
        page = render(hostile(payload), audience=Audience.INTERNAL, language="en", format=Format.HTML)
        elements, active, heading = browser.evaluate(f"({PARSED})({json.dumps(page.decode())})")
        assert (json.loads(elements), active) == (harmless, False), payload
        assert heading


AT_ONCE = 1 if SOAK else 60
"""How many payloads stand in one page that is opened; whatever one of them did would be done all the same."""


def test_a_page_with_payloads_does_nothing(hostile: Callable[[str], RunRecord], payloads: tuple[str, ...], show: Show) -> None:
    for first in range(0, len(payloads), AT_ONCE):
        some = payloads[first : first + AT_ONCE]
        browser = show(of_several([hostile(payload) for payload in some]))
        assert set(json.loads(browser.evaluate(ELEMENTS))) <= set(OUR_ELEMENTS.split()), some
        assert not browser.evaluate(ACTIVE_ATTRIBUTES), some
        is_quiet(browser)


def of_several(records: Sequence[RunRecord]) -> RunRecord:
    """Return a run over the hosts of all these; of what a run has once, the first three have a text each."""
    one, two, three = [*records, *records, *records][:3]
    return replace(
        one,
        hosts=tuple(host for record in records for host in record.hosts),
        customers=tuple(customer for record in records for customer in record.customers),
        versions={name: text for record in records for name, text in record.versions.items()},
        case=two.case,
        expression=three.expression,
    )


def test_a_script_that_got_in_would_not_run(small: RunRecord, browser: Browser, tmp_path: Path) -> None:
    """The second lock: were the first ever broken, the page's own policy still stops script, style, image and form."""
    page = tmp_path / "broken.html"
    html = render(small, audience=Audience.INTERNAL, language="en", format=Format.HTML).decode()
    bad = (
        "<script>document.title='owned'</script><p style='color:red'>x</p>"
        "<img src='https://example.test/x' onerror=\"document.title='owned'\">"
    )
    page.write_text(html.replace("<main>", f"<main>{bad}", 1))
    browser.open(page)
    assert browser.evaluate("document.title") != "owned"
    assert browser.evaluate("getComputedStyle(document.querySelector('main > p')).color") != "rgb(255, 0, 0)"
    assert len(browser.methods("Network.requestWillBeSent")) == 1 or all(
        event["params"].get("blockedReason") == "csp" for event in browser.methods("Network.loadingFailed")
    )


def test_paper_shows_what_the_screen_folds(small: RunRecord, show: Show) -> None:
    browser = show(small)
    assert "hidden" in browser.evaluate(FOLDED)
    browser.call("Emulation.setEmulatedMedia", media="print")
    on_paper = browser.evaluate(FOLDED)
    assert len(browser.call("Page.printToPDF", printBackground=True)["data"]) > 10_000
    browser.call("Emulation.setEmulatedMedia", media="")
    assert set(on_paper) == {"visible"}


def test_what_paper_may_not_tear_is_small(small: RunRecord, show: Show) -> None:
    """What is kept together is pushed to the next sheet as a whole: a tree of consequences would leave one empty behind it."""
    browser = show(replace(small, hosts=tuple(with_long_quotes(host) for host in small.hosts)))
    browser.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
    browser.call("Emulation.setDeviceMetricsOverride", width=SHEET_PX[0], height=900, deviceScaleFactor=1, mobile=False)
    browser.call("Emulation.setEmulatedMedia", media="print")
    tallest = browser.evaluate(UNTORN)
    browser.call("Emulation.setEmulatedMedia", media="")
    browser.call("Emulation.clearDeviceMetricsOverride")
    assert 0 < tallest < SHEET_PX[1] / 2


def with_long_quotes(host: HostRecord) -> HostRecord:
    """Return a host whose findings are each proven by half a dozen lines, as those of a service are."""
    quotes = {
        one: tuple(replace(quote, lines=(quote.lines * 6)[:6]) for quote in several) for one, several in host.quotes.items()
    }
    return replace(host, quotes=quotes)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_stands_out_from_its_ground(small: RunRecord, show: Show, scheme: str) -> None:
    browser = show(small)
    browser.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
    browser.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
    weak = json.loads(browser.evaluate(CONTRAST))
    browser.call("Emulation.setEmulatedMedia", features=[])
    assert not weak


def test_a_link_into_a_folded_part_opens_it(small: RunRecord, show: Show) -> None:
    browser = show(small)
    browser.evaluate("location.hash = 'host-web-01'")
    assert browser.evaluate("document.getElementById('host-web-01').closest('details').open")
    assert browser.evaluate(DEAD_LINKS) == []


@pytest.mark.parametrize("width", [400, 1280])
def test_a_sign_is_as_wide_as_its_words(show: Show, width: int) -> None:
    """How a host ended and the worst that was found stand beside its name; one of them took the whole line."""
    why = Text("step “{step}”: no", step="x")
    record = after_repair(full("db-01", "/srv"), outcome=Outcome.FAILED, error=why, error_kind="StepFailed")
    browser = show(record)
    browser.call("Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=False)
    widths = json.loads(browser.evaluate(SIGNS))
    browser.call("Emulation.clearDeviceMetricsOverride")
    assert len(widths) > 3 and max(widths) < 150, widths


def test_the_names_above_the_matrix_stand_over_their_columns(fleet: Callable[[int], RunRecord], show: Show) -> None:
    browser = show(fleet(24))
    browser.call("Emulation.setDeviceMetricsOverride", width=1280, height=900, deviceScaleFactor=1, mobile=False)
    names, (left, right) = json.loads(browser.evaluate(COLUMNS))
    browser.call("Emulation.clearDeviceMetricsOverride")
    assert len(names) == 24
    for number, middle in enumerate(names):
        assert abs(middle - (left + (right - left) * (number + 0.5) / 24)) < 3


@pytest.mark.parametrize("width", [360, 768, 1280])
def test_no_width_needs_sideways_scrolling(small: RunRecord, show: Show, width: int) -> None:
    browser = show(small)
    browser.call("Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=False)
    browser.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
    beyond, scrolled = browser.evaluate(BEYOND), browser.evaluate("document.documentElement.scrollWidth")
    assert not beyond
    assert scrolled <= width, browser.evaluate("[innerWidth, document.documentElement.clientWidth, outerWidth]")


@pytest.mark.parametrize(("width", "height"), [(1280, 720), (768, 1024), (400, 720)])
@pytest.mark.parametrize("code", LANGUAGES)
def test_verdict_and_coverage_stand_above_the_fold(small: RunRecord, show: Show, code: str, width: int, height: int) -> None:
    browser = show(small, code)
    browser.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)
    lowest = browser.evaluate(
        "Math.max(...['h1', '.bar', '.sum'].map(s => document.querySelector(s).getBoundingClientRect().bottom))"
    )
    browser.call("Emulation.clearDeviceMetricsOverride")
    assert 0 < lowest < height


SIGNS = """
JSON.stringify([...document.querySelectorAll('.tag')].map(e => e.getBoundingClientRect().width).filter(w => w > 0))
"""
COLUMNS = """
JSON.stringify([
  [...document.querySelectorAll('.across a')].map(e => e.getBoundingClientRect()).map(r => (r.left + r.right) / 2),
  ['left', 'right'].map(side => document.querySelector('.heat svg').getBoundingClientRect()[side])])
"""
PARSED = f"""
text => {{
  const document = new DOMParser().parseFromString(text, 'text/html');
  return [{ELEMENTS}, {ACTIVE_ATTRIBUTES}, document.querySelector('h1').textContent];
}}
"""
"""What becomes of a page when it is only parsed: a tenth of the time that opening it takes."""
SHEET_PX = (688, 1009)
"""What a page of A4 holds within the margins of the style sheet (14 and 16 mm), in CSS pixels."""
UNTORN = """
Math.max(...[...document.querySelectorAll('body *')].filter(e => getComputedStyle(e).breakInside == 'avoid')
  .map(e => e.getBoundingClientRect().height))
"""
FOLDED = """
[...document.querySelectorAll('details')].map(e => e.open ? 'visible'
  : getComputedStyle(e, '::details-content').contentVisibility)
"""
DEAD_LINKS = """
[...document.querySelectorAll('a[href]')].map(a => decodeURIComponent(a.hash.slice(1)))
  .filter(id => !document.getElementById(id))
"""
BEYOND = """
(() => {
  const beyond = [], texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let text; (text = texts.nextNode()); ) {
    const range = document.createRange();
    range.selectNodeContents(text);
    const right = Math.max(...[...range.getClientRects()].map(r => r.right), 0);
    if (right > document.documentElement.clientWidth + 1 && !text.parentElement.closest('pre, .scroll, .strip')) {
      beyond.push(text.textContent.trim().slice(0, 60));
    }
  }
  return beyond;
})()
"""
CONTRAST = """
(() => {
  const parse = c => { const m = c.match(/[\\d.]+/g).map(Number); return m.length < 4 ? [...m, 1] : m; };
  const light = ([r, g, b]) => [r, g, b].map(v => v / 255).map(v => v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const ground = e => {
    for (; e; e = e.parentElement) { const c = parse(getComputedStyle(e).backgroundColor); if (c[3] > 0) return c; }
    return [255, 255, 255, 1];
  };
  const weak = new Set();
  for (const e of document.querySelectorAll('body *')) {
    if (![...e.childNodes].some(n => n.nodeType == 3 && n.textContent.trim()) || e.closest('svg')) continue;
    const [a, b] = [light(parse(getComputedStyle(e).color)), light(ground(e))].sort((x, y) => y - x);
    const ratio = (a + 0.05) / (b + 0.05);
    if (ratio < 4.5) weak.add(`${e.localName}.${e.className} ${ratio.toFixed(2)}`);
  }
  return JSON.stringify([...weak]);
})()
"""
