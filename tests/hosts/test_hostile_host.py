"""A real host whose administrator is the enemy: every payload of the corpus is answered by its own shell, kernel and journal.

File names, mount points, process names, unit names, log lines, stderr, the words of sudo: whatever comes back is text in
every sink (threat T6), and nothing of it is evaluated on the way (T1, T2).
"""

from __future__ import annotations

import csv
import io
import json
import os
import pty
import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from runner.desk import Desk
from tests.browser import ACTIVE_ATTRIBUTES, ELEMENTS, OUR_ELEMENTS, Browser, is_quiet
from tests.hostile import EVALUATED, PAYLOADS, RAN, as_file_name, hidden_in, on_a_host
from tests.hosts.realhosts import RealLab
from tests.hosts.support import SupportDesk, host

pytestmark = [pytest.mark.hosts, pytest.mark.browser]
NAMES = sorted({as_file_name(payload) for payload in PAYLOADS} - {b".", b".."} | {b"plain"})
PROBES = r"""
- {probe: files, script: ls -1 /srv/hostile, parse: lines, max_bytes: 1 MiB}
- {probe: files-raw, script: "cd /srv/hostile && printf '%s\\n' *", parse: lines, max_bytes: 1 MiB}
- {probe: says, script: cat /srv/says, parse: lines, max_bytes: 1 MiB}
- {probe: stderr, script: cat /srv/says >&2; exit 3, max_bytes: 1 MiB}
- {probe: processes, script: "ps -e -o comm=,args=", parse: lines, max_bytes: 1 MiB}
- {probe: json, script: cat /srv/says, parse: json, shape: {x: any}, max_bytes: 1 MiB}
- {probe: pairs, script: cat /srv/says, parse: keyvalue, shape: {"*": str}, max_bytes: 1 MiB}
- {probe: root, script: id -u, privilege: root}
"""
WAYS = {"evil2": "ssh_library: paramiko", "evil3": "via: web1"}
"""The same host by the other library, and through a bastion."""
EVIL_NAMES = ("evil1", *WAYS)
FAILED = 13
"""Services that fail, each with words of its own: which ten of them are asked for theirs is chance."""
EVIL = r"""
mount -t tmpfs tools /usr/local/bin
for d in /srv/hostile/* /srv/hostile/.[!.]*; do
  mount -t tmpfs -o size=4k full "$d" && printf full >"$d/x"
done
n=0
for name in '-0' '-1' '-2' '-3' '-4' '-5' '-6' '-7' '-8' '-9' \
  '@\x3cscript\x3edocument.title\x3d1' '@\x1b\x5d0\x3bowned\x07' '@\x7b\x7b1234567\x2a9\x7d\x7d'; do
  printf '[Unit]\nDescription=%%I\n[Service]\nExecStart=/bin/sh -c "cat /srv/says.%s; exit 1"\n' $n \
    >"/etc/systemd/system/hostile$name.service"
  n=$((n + 1))
done
systemctl daemon-reload
for unit in /etc/systemd/system/hostile*.service; do
  systemctl start "${unit##*/}"
done
for d in /srv/hostile/*; do
  cp /bin/sleep "/srv/programs/${d##*/}" 2>/dev/null && (exec setsid "/srv/programs/${d##*/}" 3600 </dev/null >/dev/null 2>&1 &)
done
cp /srv/says /etc/motd
printf 'Banner /srv/says\nPrintMotd yes\n' >>/etc/ssh/sshd_config.d/lab.conf
systemctl restart ssh
sleep 1
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """One run on the hostile host, and everything that it left behind."""

    desk: SupportDesk
    document: dict[str, Any]
    stderr: str
    answers: Path
    _exported: dict[str, str] = field(default_factory=dict)

    @property
    def run(self) -> str:
        return str(self.document["run"])

    def exported(self, kind: str) -> str:
        if kind not in self._exported:
            self._exported[kind] = self.desk.longarm("run", "export", self.run, "--format", kind)
        return self._exported[kind]


def plant(root: Path) -> None:
    """Write the corpus into the root of a host."""
    (root / "srv/programs").mkdir()
    for name in NAMES:
        (root / "srv/hostile" / os.fsdecode(name)).mkdir(parents=True)
    lines = [on_a_host(payload) for payload in PAYLOADS]
    (root / "srv/says").write_bytes(b"\n".join(lines) + b"\n")
    blame = b" cannot write /srv/hostile/plain/x: No space left on device\n"  # makes the full disk its cause, which quotes it
    for unit in range(FAILED):
        last_words = b"".join(line.split(b"\n")[0][:400] + blame for line in lines[unit::FAILED])
        (root / f"srv/says.{unit}").write_bytes(last_words)


@pytest.fixture(scope="module")
def seen(lab: RealLab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Seen]:
    """Return a run on a host that has the corpus everywhere, each way to it, beside one on a harmless host."""
    folder = tmp_path_factory.mktemp("hostile")
    RAN.unlink(missing_ok=True)
    evil = lab.add("evil1", "systemd")
    lab.wait("evil1")
    plant(evil.folder / "root")
    lab.enter("evil1", EVIL, check=False)
    lab.wait("evil1")
    desk = SupportDesk(lab, folder / "home")
    desk.home.mkdir(mode=0o700)
    desk.reach("web1", "evil1", *(f"{name}=evil1" for name in WAYS), ways=WAYS)
    (folder / "probes.yaml").write_text(PROBES)
    words = ("-vv", "--json", "diagnose", "all", "--playbook", "standard", "--probes", str(folder / "probes.yaml"),
             "--answers", str(folder / "answers.jsonl"), "--case", "HOSTILE-1")  # fmt: skip
    done = subprocess.run(desk.command(*words), capture_output=True, text=True, env=desk.env(), timeout=120, check=False)
    assert done.returncode == 3, done.stderr
    yield Seen(desk=desk, document=json.loads(done.stdout), stderr=done.stderr, answers=folder / "answers.jsonl")
    lab.remove("evil1")
    RAN.unlink(missing_ok=True)


@pytest.mark.parametrize("name", EVIL_NAMES)
def test_the_payloads_came_back_from_the_host(seen: Seen, name: str) -> None:
    """Else the other tests prove nothing."""
    rows = {(row["host"], row["probe"]): row for row in map(json.loads, seen.answers.read_text().splitlines())}
    told = rows[name, "says"]["stdout"]
    assert sum(payload.text.split("\n")[0] in told for payload in PAYLOADS) > 0.95 * len(PAYLOADS)
    processes = rows[name, "processes"]["stdout"]
    assert "<script>" in processes and "{{1234567*9}}" in processes
    row = host(seen.document, name)
    full = [finding["subject"]["mount"] for finding in row["findings"] if finding["check"] == "fs-space"]
    assert len(full) > 0.9 * len(NAMES), row["questions"]
    assert any("onerror" in mount for mount in full) and any("\x1b]52" in mount for mount in full)
    failed = [finding for finding in row["findings"] if finding["check"] == "svc-failed"]
    assert len(failed) >= 12
    assert row["links"]
    quoted = "\n".join(line for finding in failed for quote in finding["quotes"] for line in quote["lines"])
    assert sum(payload.text.split("\n")[0][:400] in quoted for payload in PAYLOADS) > 20


def test_nothing_was_evaluated_anywhere(seen: Seen) -> None:
    assert not RAN.exists()
    assert seen.desk.lab.enter("evil1", f"ls {RAN} 2>/dev/null || true") == ""
    written = [path for path in seen.desk.home.rglob("*") if path.is_file()]
    assert not [path for path in (*written, seen.answers) if EVALUATED.encode() in path.read_bytes()]
    for kind in ("json", "html", "text", "csv", "junit", "answers"):
        assert EVALUATED not in seen.exported(kind)


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """Return a running browser."""
    running = Browser(tmp_path_factory.mktemp("profile"))
    yield running
    running.close()


def is_harmless(browser: Browser, page: Path) -> None:
    """Assert that a page with the payloads on it has our elements only, does nothing and fetches nothing."""
    browser.open(page)
    assert set(json.loads(browser.evaluate(ELEMENTS))) <= set(OUR_ELEMENTS.split())
    assert not browser.evaluate(ACTIVE_ATTRIBUTES)
    assert "owned" not in browser.evaluate("document.title")
    assert not browser.evaluate("[...document.querySelectorAll('a')].some(a => !a.getAttribute('href').startsWith('#'))")
    assert "onerror" in browser.evaluate("document.body.textContent"), "the payloads are there, as text"
    is_quiet(browser)


def test_the_report_is_harmless_in_a_browser(seen: Seen, browser: Browser) -> None:
    is_harmless(browser, seen.desk.home / "reports" / f"{seen.run}.html")


@pytest.mark.parametrize("kind", ["text", "csv", "junit", "json", "html", "answers"])
def test_no_sink_holds_what_steers_or_hides(seen: Seen, kind: str) -> None:
    written = seen.exported(kind)
    assert not hidden_in(written)
    assert kind == "csv" or "\r" not in written


def test_tables_documents_and_test_reports_keep_their_form(seen: Seen) -> None:
    rows = list(csv.reader(io.StringIO(seen.exported("csv"))))
    assert {len(row) for row in rows} == {13}
    assert not [cell for row in rows for cell in row if cell.lstrip().startswith(("=", "+", "-", "@", "＝", "|", "%"))]
    tags = {element.tag for element in ET.fromstring(seen.exported("junit")).iter()}
    assert tags <= {"testsuites", "testsuite", "testcase", "failure", "error", "skipped", "system-out"}
    assert {row["host"] for row in map(json.loads, seen.exported("answers").splitlines())} == {"web1", *EVIL_NAMES}


def test_messages_and_logs_are_lines_of_ours(seen: Seen) -> None:
    assert not hidden_in(seen.stderr)
    assert "\r" not in seen.stderr
    assert not re.search("^(2026-11-22T|127.0.0.1|Traceback|Subject:|level=)", seen.stderr, re.MULTILINE)


@pytest.mark.parametrize("name", EVIL_NAMES)
def test_facts_are_lines_of_ours(seen: Seen, name: str) -> None:
    told = seen.desk.longarm(
        "host",
        "facts",
        name,
        "--probe",
        "fs.stat",
    )
    assert "onerror" in told, "the payloads are there, as text"
    assert not hidden_in(told) and EVALUATED not in told
    assert not [line for line in told.splitlines() if not re.match(r"fs\.stat[\w.\[\]]*  ", line)]


def test_the_attachment_on_the_case_is_harmless_too(seen: Seen, browser: Browser, tmp_path: Path) -> None:
    (attached,) = json.loads(seen.desk.longarm("--json", "case", "show", "HOSTILE-1"))
    assert attached["state"] == "sent"
    with Desk.open(seen.desk.home, write=False) as desk:
        data = desk.attachment(attached["digest"])
    assert not hidden_in(data.decode()) and EVALUATED not in data.decode()
    (tmp_path / "attached.html").write_bytes(data)
    is_harmless(browser, tmp_path / "attached.html")


def on_a_terminal(desk: SupportDesk, *words: str) -> str:
    """Return everything that a command writes to a terminal which is its stdout and stderr."""
    ours, theirs = pty.openpty()
    environ = desk.env() | {"TERM": "xterm-256color", "LINES": "40", "COLUMNS": "200"}
    shown = bytearray()
    with subprocess.Popen(desk.command(*words), env=environ, stdin=subprocess.DEVNULL, stdout=theirs, stderr=theirs) as process:
        os.close(theirs)
        while data := read_terminal(ours):
            shown += data
        process.wait(60)
    os.close(ours)
    return shown.decode()


def read_terminal(descriptor: int) -> bytes:
    try:
        return os.read(descriptor, 65536)
    except OSError:  # EIO: the last writer has closed its side
        return b""


OURS = re.compile(r"\x1b\[(\?25[lh]|[0-9;]*m|[0-9]*A|2?K)|\r\n|\r(?=\x1b)")
"""What the live table uses: cursor off and on, colours, up, erase a line."""


def test_a_terminal_is_steered_by_us_alone(seen: Seen) -> None:
    diagnosed = on_a_terminal(seen.desk, "diagnose", "all", "--fail-on", "never")
    assert "\x1b[?25l" in diagnosed and "evil1" in diagnosed
    shown = on_a_terminal(seen.desk, "run", "show", seen.run)
    assert "owned" in shown
    for written in (diagnosed, shown):
        assert not hidden_in(OURS.sub("", written))


def test_the_words_of_a_false_sudo_are_text(lab: RealLab, seen: Seen) -> None:
    lab.enter("evil1", r"printf '#!/bin/sh\ncat /srv/says >&2\nexit 1\n' >/usr/local/bin/sudo; chmod 755 /usr/local/bin/sudo")
    probes = str(seen.answers.with_name("probes.yaml"))
    told = [seen.desk.longarm("diagnose", name, "--probes", probes, exit_code=3) for name in EVIL_NAMES]
    lab.enter("evil1", "rm /usr/local/bin/sudo")
    for done in told:
        assert "document.title" in done, "its words are told"
        assert not hidden_in(done) and EVALUATED not in done and not RAN.exists()
        assert len(done.splitlines()) < 30
