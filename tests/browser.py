"""A real browser for tests, and what it is asked about a page that hostile text went into."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

CHROMIUM = shutil.which("chromium")
OUR_ELEMENTS = """
    html head meta title style body main section header article nav div span p a h1 h2 h3 ul ol li dl dt dd b i code pre time
    figure figcaption details summary table caption thead tbody tr th td svg defs pattern rect line path
"""
ELEMENTS = "JSON.stringify([...document.querySelectorAll('*')].map(e => e.localName).sort())"
ACTIVE_ATTRIBUTES = (
    "[...document.querySelectorAll('*')].some(e => [...e.attributes].some(a => a.name.startsWith('on') || a.name == 'style'))"
)


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


def is_quiet(browser: Browser) -> None:
    said = browser.methods("Runtime.consoleAPICalled", "Runtime.exceptionThrown", "Log.entryAdded")
    assert not said, [event["params"] for event in said]
    asked = [event["params"]["request"]["url"] for event in browser.methods("Network.requestWillBeSent")]
    assert len(asked) == 1 and asked[0].startswith("file:"), asked
