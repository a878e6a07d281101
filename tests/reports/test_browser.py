"""The page in a real browser: nothing runs, nothing is fetched, nothing hostile becomes an element."""

import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from reports.language import LANGUAGES
from reports.render import Audience, Format, render
from runner.record import RunRecord

CHROMIUM = shutil.which("chromium")
pytestmark = pytest.mark.browser
OUR_ELEMENTS = """
    html head meta title style body main section header article nav div span p a h1 h2 h3 ul ol li dl dt dd b i code pre time
    figure figcaption details summary table caption thead tbody tr th td svg defs pattern rect line path
"""


class Browser:
    """A headless Chromium, driven over its debugging pipe: NUL-separated JSON, no port, no network."""

    def __init__(self, profile: Path) -> None:
        to_browser, self._out = os.pipe()
        self._in, from_browser = os.pipe()

        def as_three_and_four() -> None:
            os.dup2(to_browser, 13)
            os.dup2(from_browser, 14)
            os.dup2(13, 3)
            os.dup2(14, 4)

        self.process = subprocess.Popen(
            [str(CHROMIUM), "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={profile}", "--no-first-run",
             "--disable-background-networking", "--disable-component-update", "--disable-dev-shm-usage",
             "--remote-debugging-pipe", "about:blank"],
            pass_fds=(3, 4, to_browser, from_browser), preexec_fn=as_three_and_four, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        os.close(to_browser)
        os.close(from_browser)
        self._rest, self._id, self.session = b"", 0, ""
        self.events: list[dict[str, Any]] = []

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        """Return the result of a command; events that come before it are kept."""
        self._id += 1
        message = {"id": self._id, "method": method, "params": params} | ({"sessionId": self.session} if self.session else {})
        os.write(self._out, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._next()
            if answer.get("id") == self._id:
                assert "error" not in answer, answer
                result: dict[str, Any] = answer["result"]
                return result

    def open(self, page: Path) -> None:
        """Open a file and wait until it is loaded."""
        if not self.session:
            target = self.call("Target.createTarget", url="about:blank")["targetId"]
            self.session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
            for domain in ("Page", "Runtime", "Log", "Network"):
                self.call(f"{domain}.enable")
        self.events.clear()
        self.call("Page.navigate", url=page.as_uri())
        while not any(event["method"] == "Page.loadEventFired" for event in self.events):
            self._next()

    def evaluate(self, expression: str) -> Any:
        """Return the value of a script that is run from outside the page, past its policy."""
        result = self.call("Runtime.evaluate", expression=expression, returnByValue=True)
        assert "exceptionDetails" not in result, result
        return result["result"].get("value")

    def methods(self, *names: str) -> list[dict[str, Any]]:
        """Return the events with these names."""
        return [event for event in self.events if event["method"] in names]

    def close(self) -> None:
        """End the browser."""
        self.session = ""
        self.call("Browser.close")
        self.process.wait()
        os.close(self._out)
        os.close(self._in)

    def _next(self) -> dict[str, Any]:
        while b"\0" not in self._rest:
            data = os.read(self._in, 1 << 20)
            assert data, "the browser is gone"
            self._rest += data
        message, _, self._rest = self._rest.partition(b"\0")
        decoded: dict[str, Any] = json.loads(message)
        if "method" in decoded and decoded.get("sessionId", "") == self.session:
            self.events.append(decoded)
        return decoded


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


def is_quiet(browser: Browser) -> None:
    said = browser.methods("Runtime.consoleAPICalled", "Runtime.exceptionThrown", "Log.entryAdded")
    assert not said, [event["params"] for event in said]
    asked = [event["params"]["request"]["url"] for event in browser.methods("Network.requestWillBeSent")]
    assert len(asked) == 1 and asked[0].startswith("file:"), asked


@pytest.mark.parametrize("code", LANGUAGES)
def test_nothing_is_fetched_and_nothing_complains(small: RunRecord, show: Show, code: str) -> None:
    browser = show(small, code)
    is_quiet(browser)
    assert browser.evaluate("document.documentElement.lang") == code
    assert browser.evaluate("document.compatMode") == "CSS1Compat"
    assert browser.evaluate("getComputedStyle(document.body).marginTop") == "0px", (
        "the style is applied: its digest fits the policy"
    )


def test_no_payload_becomes_an_element(hostile: Callable[[str], RunRecord], payloads: tuple[str, ...], show: Show) -> None:
    count = "JSON.stringify([...document.querySelectorAll('*')].map(e => e.localName).sort())"
    harmless = json.loads(show(hostile("harmless")).evaluate(count))
    assert set(harmless) <= set(OUR_ELEMENTS.split())
    for payload in payloads:
        browser = show(hostile(payload))
        assert json.loads(browser.evaluate(count)) == harmless, payload
        assert not browser.evaluate(ACTIVE_ATTRIBUTES), payload
        assert browser.evaluate("document.querySelector('h1').textContent.length > 0")
        is_quiet(browser)


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


@pytest.mark.parametrize("width", [360, 768, 1280])
def test_no_width_needs_sideways_scrolling(small: RunRecord, show: Show, width: int) -> None:
    browser = show(small)
    browser.call("Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=False)
    browser.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
    beyond, scrolled = browser.evaluate(BEYOND), browser.evaluate("document.documentElement.scrollWidth")
    assert not beyond
    assert scrolled <= width, browser.evaluate("[innerWidth, document.documentElement.clientWidth, outerWidth]")


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
ACTIVE_ATTRIBUTES = (
    "[...document.querySelectorAll('*')].some(e => [...e.attributes].some(a => a.name.startsWith('on') || a.name == 'style'))"
)
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
