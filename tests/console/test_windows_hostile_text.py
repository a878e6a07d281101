"""A Windows host whose administrator is the enemy: whatever its services, events, streams and faults say is text (T6).

A slice of the corpus, all of it in a soak, from practice hosts into every sink; nothing of it is evaluated on the way (T1, T2).
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET
from xml.sax.saxutils import escape

import pytest

from remote.answer import Answer, Ended
from remote.lab.scenarios import scenarios
from remote.lab.windows.faults import Fault, Kind
from remote.lab.windows.host import WindowsHost
from remote.lab.windows.mishaps import Mishaps
from remote.lab.windows.replies import Captured
from remote.lab.windows.shells import Running, Said
from tests.browser import OUR_ELEMENTS
from tests.conftest import SOAK
from tests.console.conftest import Console, Done
from tests.console.test_windows_hosts import HEAD, WORD
from tests.hostile import EVALUATED, PAYLOADS, RAN, hidden_in
from tests.remote_lab.windows_hosts import listening, ntlm_accounts
from tests.remote_windows.conftest import practice
from tests.reports.test_hostile_text import Page

__all__ = ["ntlm_accounts"]
SLICE = [payload.text for payload in (PAYLOADS if SOAK else PAYLOADS[::6])]
SINKS = ("html", "text", "csv", "junit", "json", "answers")
NOT_IN_XML = re.compile("[^\t\n\r -\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def lines(source: str, items: list[dict[str, Any]]) -> bytes:
    """Return what a question of ours writes of one source, as PowerShell does."""
    rows = [{"of": source, "it": item} for item in items] + [{"of": source, "ended": "ok", "count": len(items)}]
    return b"".join(json.dumps(row).encode() + b"\n" for row in rows)


def service(text: str) -> dict[str, Any]:
    return {"Name": text, "Shown": text, "State": "Stopped", "Start": "Auto", "Exit": 1067, "Own": 0, "Seen": True,
            "Delayed": False, "Trigger": False}  # fmt: skip


def event(text: str, now: str) -> dict[str, Any]:
    return {"Log": text, "Provider": text, "Id": 7, "Level": 1, "Count": 200, "Last": now, "Data": [text, text]}


def evil() -> dict[str, Answer]:
    """Return the answers of a well host, with the corpus in services and events, and in the stderr of what failed."""
    answers = dict(scenarios()["windows-portal"].answers())
    before = answers["win.events"].stdout.splitlines(keepends=True)[:4]  # the clock, the computer
    now = json.loads(before[0])["it"]["Now"]
    services = lines("expected", []) + lines("services", [service(text) for text in SLICE])
    events = b"".join(before) + lines("events", [event(text, now) for text in SLICE]) + lines("full", [{"Full": False}])
    said = "\n".join(SLICE).encode("utf-8", "surrogatepass")
    return answers | {
        "win.services": replace(answers["win.services"], stdout=services, stderr=said[:60_000]),
        "win.events": replace(answers["win.events"], stdout=events),
        "win.drives": Answer(
            ended=Ended.EXITED, exit_status=1, stdout=said, stderr=said[:60_000], why=said.decode("utf-8", "replace")
        ),
    }


def clixml(text: str) -> bytes:
    """Return an error stream that says a text, with what XML cannot say spelt as PowerShell spells it."""
    spelt = NOT_IN_XML.sub(lambda match: f"_x{ord(match[0]):04X}_", text)
    head = '#< CLIXML\r\n<Objs Version="1.1.0.1" xmlns="http://schemas.microsoft.com/powershell/2004/04">'
    return f'{head}<S S="Error">{escape(spelt)}</S></Objs>'.encode()


def starts_nothing(text: str) -> Callable[[Running], Any]:
    async def program(running: Running) -> Said:
        return Said(stderr=clixml(text), exit_status=1)

    return program


def hosts() -> Mapping[str, WindowsHost]:
    """Return practice hosts by name: one that says the corpus, and for some of it one that fails in its words."""
    told = [text for text in SLICE if text.strip()][:: 1 if SOAK else 4]
    found = {"evil": practice(program=Captured(answers=evil()))}
    for number, text in enumerate(told):
        found[f"mute{number}"] = practice(program=starts_nothing(text))
        kind = (Kind.NO_FILE, Kind.INVALID_PARAMETER, Kind.SHELL_NOT_FOUND)[number % 3]
        fault = Fault(kind, words=NOT_IN_XML.sub("?", text))
        found[f"faulty{number}"] = practice(Mishaps(faults=dict.fromkeys(range(1, 4), fault)))
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """One run on the hostile hosts, and what is shown of it."""

    done: Done
    facts: Mapping[str, Done]
    """What `host facts` tells of some of them."""
    sinks: Mapping[str, str]
    home: Path

    @property
    def document(self) -> Any:
        return self.done.json()


@pytest.fixture
def seen(console: Console, ntlm_accounts: None) -> Iterator[Seen]:
    RAN.unlink(missing_ok=True)
    with ExitStack() as stack:
        ports = {name: stack.enter_context(listening(host)) for name, host in hosts().items()}
        rows = "".join(
            f"  {name}: {{address: 127.0.0.1, port: {port}, winrm: {{scheme: http}}}}\n" for name, port in ports.items()
        )
        console.inventory(
            f"{HEAD}groups: {{windows: {{transport: winrm, credential: ops, hosts: [{', '.join(ports)}]}}}}\nhosts:\n{rows}"
        )
        done = console("-vv", "--json", "diagnose", "all", environ=WORD)
        assert done.code == 3, done.err
        look = ("host", "facts", "--deadline", "20")
        facts = {name: console(*look, name, environ=WORD) for name in ("evil", "mute1", "faulty1")}
    run = str(done.json()["run"])
    sinks = {kind: console("run", "export", run, "--format", kind).out for kind in SINKS}
    sinks |= {"shown": console("run", "show", run).out, "stderr": done.err}
    sinks |= {f"facts of {name}": told.out + told.err for name, told in facts.items()}
    yield Seen(done=done, facts=facts, sinks=sinks, home=console.home)
    RAN.unlink(missing_ok=True)


def test_what_a_hostile_windows_says_is_text_in_every_sink(seen: Seen) -> None:
    rows = {row["host"]: row for row in seen.document["hosts"]}
    findings = rows["evil"]["findings"]
    for check, name in (("win-svc", "service"), ("win-evt", "provider")):
        told = {finding["subject"][name] for finding in findings if finding["check"] == check}
        assert len(told) > 0.8 * len(SLICE), (check, len(told))  # else the rest proves nothing
    mute = [rows[name]["checks"][0]["why"]["detail"] for name in rows if name.startswith("mute")]
    assert sum(any(text.split("\n")[0][:20] in why for text in SLICE) for why in mute) > len(mute) / 2
    assert {rows[name]["outcome"] for name in rows} == {"incomplete"}
    for kind, written in seen.sinks.items():
        assert not hidden_in(written), kind
        assert EVALUATED not in written, kind
        assert kind == "csv" or "\r" not in written, kind
    assert not RAN.exists()
    assert not [path for path in seen.home.rglob("*") if path.is_file() and EVALUATED.encode() in path.read_bytes()]
    page = Page(seen.sinks["html"])  # asserts that no element has a handler, a style or a link that leads away
    assert {tag for tag, *_ in page.seen} <= set(OUR_ELEMENTS.split())
    assert "onerror" in page.text, "the payloads are there, as text"
    cells = list(csv.reader(io.StringIO(seen.sinks["csv"])))
    assert {len(row) for row in cells} == {13}
    assert not [cell for row in cells for cell in row if cell.lstrip().startswith(("=", "+", "-", "@", "＝", "|", "%"))]
    tags = {element.tag for element in ET.fromstring(seen.sinks["junit"]).iter()}
    assert tags <= {"testsuites", "testsuite", "testcase", "failure", "error", "skipped", "system-out"}
    assert not re.search("^(2026-11-22T|127.0.0.1|Traceback|Subject:|level=)", seen.sinks["stderr"], re.MULTILINE)
    assert "onerror" in seen.facts["evil"].out
    for name, looked in seen.facts.items():  # each line is ours: what the host says begins none
        assert re.fullmatch(r"((win\.|[a-z]+\.)[\w.\[\]-]+  .*\n)*", looked.out), name
        assert re.fullmatch(r"(error: [a-z0-9]+: .*\n)?(next: .*\n)?", looked.err), (name, looked.err)
