"""`longarm diagnose` from the command line to the case, on practice hosts over real SSH."""

from __future__ import annotations

import hashlib
import json
import os
import pty
import re
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from runner.desk import Desk
from tests.console.conftest import LONGARM, Console, Done
from tests.forked import Forked

HOSTS = 12
PROBES = "- probe: os.name\n  script: uname -s\n"

pytestmark = pytest.mark.xdist_group("console_diagnose")  # one lab for the module


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory, forked: Forked) -> Iterator[Console]:
    """Return a longarm whose home has one practice host of each kind."""
    console = Console(tmp_path_factory.mktemp("lab") / "home", forked)
    assert console("lab", "up").code == 0
    yield console
    assert console("lab", "down").code == 0


@pytest.fixture(scope="module")
def diagnosed(lab: Console) -> Done:
    """Return how `diagnose all` ended, which several tests look at."""
    return lab("diagnose", "all", "--case", "DEMO-1", "--json")


def test_the_document_accounts_for_every_host(diagnosed: Done) -> None:
    document = diagnosed.json()
    assert diagnosed.code == 4  # a changed host key goes before everything else
    assert document["format"] == "longarm-run/1"
    assert document["coverage"]["targeted"] == HOSTS == sum(document["coverage"]["outcomes"].values())
    outcomes = {host["host"]: host["outcome"] for host in document["hosts"]}
    assert outcomes["lab-web-01"] == "ok"
    assert outcomes["lab-db-01"] == "findings"
    assert outcomes["lab-backup-01"] == "unreachable"
    assert outcomes["lab-edge-01"] == "refused"
    assert outcomes["lab-shop-01"] == "incomplete"


@pytest.mark.parametrize(
    ("host", "check"),
    [
        ("lab-db-01", "fs-space"),
        ("lab-app-01", "mem-oom"),
        ("lab-portal-01", "dns-broken"),
        ("lab-auth-01", "time-unsync"),
        ("lab-build-01", "pkg-broken"),
        ("lab-erp-01", "win-time"),
        ("lab-iis-01", "win-cert"),
    ],
)
def test_each_scenario_shows_what_it_is_for(diagnosed: Done, host: str, check: str) -> None:
    (found,) = (entry for entry in diagnosed.json()["hosts"] if entry["host"] == host)
    assert check in {result["check"] for result in found["checks"] if result["verdict"] == "finding"}, found


def test_plain_lines_and_messages_go_to_stderr(diagnosed: Done) -> None:
    assert "lab-web-01" in diagnosed.err
    assert re.search(r"attached \S+\.html to case DEMO-1", diagnosed.err)
    assert "next: longarm report open" in diagnosed.err
    assert "\x1b" not in diagnosed.err


def test_the_report_is_in_the_home_and_on_the_case_once(lab: Console, diagnosed: Done) -> None:
    run = diagnosed.json()["run"]
    page = lab.home / "reports" / f"{run}.html"
    assert page.read_text().startswith("<!doctype html>")
    assert f"longarm repair --finding {run}/lab-db-01/fs-space/mount=/var --case DEMO-1" in page.read_text()
    assert json.loads(page.with_suffix(".json").read_text())["run"] == run
    attached = [row for row in lab("case", "show", "DEMO-1", "--json").json() if row["run"] == run]
    assert [row["state"] for row in attached] == ["sent"]
    assert lab("case", "deliver").code == 0
    assert [row for row in lab("case", "show", "DEMO-1", "--json").json() if row["run"] == run] == attached
    assert lab("report", "open", run).out == f"{page}\n"


def test_reports_are_listed_with_where_they_went(lab: Console, diagnosed: Done) -> None:
    run = diagnosed.json()["run"]
    page = lab.home / "reports" / f"{run}.html"
    kept, sent = (row for row in lab("report", "list", "--json").json() if row["run"] == run)
    digest = hashlib.sha256(page.read_bytes()).hexdigest()
    assert (kept["path"], kept["digest"], kept["case"], kept["state"]) == (str(page), digest, None, "kept")
    assert (kept["bytes"], kept["audience"]) == (page.stat().st_size, "internal")
    (attached,) = [row for row in lab("case", "show", "DEMO-1", "--json").json() if row["run"] == run]
    assert [sent[name] for name in ("report", "bytes", "digest", "state")] == [
        attached[name] for name in ("file", "bytes", "digest", "state")
    ]
    assert (sent["case"], sent["audience"], sent["language"], sent["path"]) == ("DEMO-1", "internal", "en", None)
    assert {kept["report"], sent["report"]} <= set(lab("report", "list", "-o", "name").out.splitlines())
    assert lab("report", "list", "-o", "csv").out.startswith("report,run,started_at,case,audience,state,bytes,digest\n")
    assert len({json.loads(line)["run"] for line in lab("report", "list", "--limit", "1", "-o", "jsonl").out.splitlines()}) == 1
    assert "ОТЧЁТ" in lab("report", "list", "--lang", "ru").out.splitlines()[0]


def test_no_runs_no_reports(console: Console) -> None:
    assert console("report", "list", "--json").json() == []
    assert not console.home.exists()


def test_runs_are_listed_shown_and_exported(lab: Console, diagnosed: Done) -> None:
    run = diagnosed.json()["run"]
    rows = lab("run", "list", "--json").json()
    assert {"run": run, "state": "ended", "hosts": HOSTS, "case": "DEMO-1"}.items() <= next(
        r for r in rows if r["run"] == run
    ).items()
    shown = lab("run", "show", run[-6:])
    assert shown.code == 0
    assert f"{HOSTS} targeted" in shown.out
    assert lab("run", "show", run, "--json").json()["content_digest"] == diagnosed.json()["content_digest"]
    for form, start in {
        "json": "{",
        "html": "<!doctype",
        "text": "Standard",
        "junit": "<?xml",
        "csv": "",
        "answers": "{",
    }.items():
        done = lab("run", "export", run, "--format", form)
        assert done.code == 0, done.err
        assert done.out.startswith(start)
    russian = lab("run", "show", run, "--lang", "ru")
    assert re.search("[а-я]{4}", russian.out)


@pytest.mark.parametrize(
    ("targets", "options", "code"),
    [
        ("lab-web-01", [], 0),
        ("lab-db-01", [], 1),
        ("lab-db-01", ["--fail-on", "never"], 0),
        ("lab-web-01,lab-backup-01", [], 3),
        ("lab-db-01,lab-backup-01", [], 3),
        ("lab-shop-01", [], 3),
        ("lab-edge-01,lab-backup-01,lab-db-01", ["--fail-on", "never"], 4),
    ],
)
def test_exit_codes_first_match_wins(lab: Console, targets: str, options: list[str], code: int) -> None:
    done = lab("diagnose", targets, *options, "-q")
    assert done.code == code, done


def test_one_check_alone(lab: Console) -> None:
    document = lab("diagnose", "lab-db-01", "--check", "fs-space", "--json").json()
    assert document["checks"] == ["fs-space"]


def test_answers_and_the_user_s_own_probes(console: Console, tmp_path: Path) -> None:
    console.inventory("hosts:\n  here: {address: localhost, transport: local}\n")
    probes, answers = tmp_path / "probes.yaml", tmp_path / "answers.jsonl"
    probes.write_text(PROBES)
    alone = console("diagnose", "here", "--probes", str(probes), "--answers", str(answers), "--json")
    lines = [json.loads(line) for line in answers.read_text().splitlines()]
    assert alone.json()["checks"] == []
    assert [(line["host"], line["probe"], line["rc"], line["stdout"]) for line in lines] == [("here", "os.name", 0, "Linux\n")]
    assert alone.code == 0
    both = console("diagnose", "here", "--probes", str(probes), "--check", "mem-low", "--answers", str(answers), "--json")
    assert both.json()["checks"] == ["mem-low"]
    assert {"os.name", "mem.info"} <= {json.loads(line)["probe"] for line in answers.read_text().splitlines()}


def test_enrolment_shows_asks_and_refuses_what_is_not_expected(practice: Callable[..., Console]) -> None:
    console = practice("--hosts", "2")
    known = console.home / "known_hosts"
    enrolled = known.read_text()
    known.write_text("")
    known.chmod(0o600)
    inventory = ("--inventory", str(console.home / "lab" / "inventory.yaml"))
    assert console("diagnose", "lab-web-01", *inventory).code == 4
    asked = console("host", "enrol", "all", *inventory)
    assert asked.code == 2
    assert "SHA256:" in asked.out
    assert "--yes" in asked.err
    wrong = console("host", "enrol", "lab-web-01", "--fingerprint", "lab-web-01=SHA256:AAAA", *inventory)
    assert wrong.code == 4
    assert known.read_text() == ""
    (shown,) = console("host", "enrol", "lab-web-01", "--yes", "--json", *inventory).json()
    assert shown["state"] == "new"
    right = console("host", "enrol", "lab-db-01", "--fingerprint", f"lab-db-01={fingerprint(console, 'lab-db-01')}", *inventory)
    assert right.code == 0
    assert sorted(known.read_text().splitlines()) == sorted(enrolled.splitlines())
    assert console("host", "enrol", "all", *inventory).code == 0
    assert console("diagnose", "lab-web-01", *inventory).code == 0


@pytest.mark.parametrize(("typed", "kept"), [("y\n", 1), ("\n", 0), ("no\n", 0)])
def test_a_person_is_asked_before_a_key_is_kept(practice: Callable[..., Console], typed: str, kept: int) -> None:
    console = practice("--hosts", "1")
    known = console.home / "known_hosts"
    known.write_text("")
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [LONGARM, "host", "enrol", "all"], env=console.environ, stdin=theirs, stdout=subprocess.PIPE, stderr=theirs
    )
    os.close(theirs)
    asked = b""
    while b"[y/N]" not in asked:
        asked += os.read(ours, 4096)  # EIO where it ends without asking
    os.write(ours, typed.encode())
    shown, _ = process.communicate(timeout=60)
    os.close(ours)
    assert b"SHA256:" in shown
    assert process.returncode == (0 if kept else 5)
    assert len(known.read_text().splitlines()) == kept


def fingerprint(console: Console, host: str) -> str:
    rows = console("host", "enrol", host, "--json", "--no-input").json()
    return str(rows[0]["fingerprint"])


def test_a_changed_key_is_replaced_only_when_told_so(lab: Console) -> None:
    done = lab("host", "enrol", "lab-edge-01", "--yes")
    assert done.code == 4
    assert "changed" in done.out
    assert "next: longarm host enrol --replace lab-edge-01" in done.err
    assert lab("host", "enrol", "lab-backup-01", "--yes").code == 3


def test_a_changed_key_that_was_looked_into_is_replaced(practice: Callable[..., Console]) -> None:
    console = practice("--hosts", "8", "--this-machine")
    assert console("host", "enrol", "lab-edge-01", "--replace", "--yes").code == 0
    assert console("diagnose", "lab-edge-01", "--check", "fs-space").code == 0
    assert "no key to enrol" in console("host", "enrol", "this-machine").err


def test_a_live_table_stands_on_a_terminal(lab: Console) -> None:
    shown = on_a_terminal(lab, "diagnose", "all")
    assert "\x1b[" in shown
    assert f"{HOSTS} of {HOSTS} hosts" in shown
    plain = on_a_terminal(lab, "diagnose", "lab-web-01", environ={"TERM": "dumb"})
    assert "\x1b" not in plain
    uncoloured = on_a_terminal(lab, "diagnose", "lab-web-01", environ={"NO_COLOR": "1"})
    assert not re.search(r"\x1b\[[0-9;]*3[0-7]m", uncoloured)


def on_a_terminal(console: Console, *arguments: str, environ: dict[str, str] | None = None) -> str:
    """Return what a command line writes to a terminal that is its stderr."""
    ours, theirs = pty.openpty()
    environ = console.environ | {"TERM": "xterm-256color", "LINES": "40"} | (environ or {})
    with subprocess.Popen(
        [LONGARM, *arguments], env=environ, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=theirs
    ) as process:
        os.close(theirs)
        shown = bytearray()
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


def test_many_hosts_are_no_flood(practice: Callable[..., Console]) -> None:
    console = practice("--hosts", "60")
    done = console("diagnose", "all", "--fail-on", "never")
    assert "60 of 60 hosts" in done.err
    assert len(done.err.splitlines()) < 70


def test_a_second_signal_leaves_at_once_and_the_run_can_still_be_resumed(practice: Callable[..., Console]) -> None:
    console = practice("--hosts", "60")
    process = console.start("diagnose", "all", "--concurrency", "1")
    assert process.stderr and process.stdout
    told = process.stderr.readline()
    process.send_signal(signal.SIGINT)
    while told and not told.startswith(b"stopping"):
        told = process.stderr.readline()
    assert told
    process.send_signal(signal.SIGINT)
    process.stderr.read()
    process.stdout.close()
    process.stderr.close()
    assert process.wait(60) == 130
    (run,) = console("run", "list", "--json").json()
    assert run["state"] == "interrupted"
    assert console("run", "resume", run["run"], "--fail-on", "never", "-q").code == 4


def test_one_writer_and_readers_that_are_never_blocked(lab: Console, diagnosed: Done) -> None:
    with Desk.open(lab.home, write=True):
        busy = lab("diagnose", "lab-web-01")
        assert busy.code == 7
        assert f"process {os.getpid()}" in busy.err
        assert "next:" in busy.err
        assert lab("run", "list").code == 0
        assert lab("run", "show", diagnosed.json()["run"]).code == 0


def test_what_cannot_be_written_is_said_before_anything_is_asked(lab: Console, diagnosed: Done) -> None:
    done = lab("diagnose", "lab-web-01", "--answers", "/nowhere/answers.jsonl")
    assert done.code == 2
    assert "/nowhere/answers.jsonl" in done.err
    assert "lab-web-01" not in done.err
    assert lab("run", "export", diagnosed.json()["run"], "--to", "/nowhere/run.json").code == 7


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stopped_run_is_accounted_for_and_can_be_resumed(practice: Callable[..., Console], number: signal.Signals) -> None:
    console = practice("--hosts", "60")
    process = console.start("diagnose", "all", "--concurrency", "1", "--case", "STOP-1")
    assert process.stderr and process.stdout
    first = process.stderr.readline().decode()
    process.send_signal(number)
    rest = process.stderr.read().decode()
    out = process.stdout.read().decode()
    assert process.wait(60) == 130, rest
    process.stdout.close()
    process.stderr.close()
    run = first.split()[1].rstrip(":")
    assert f"next: longarm run resume {run}" in rest
    assert "60 targeted" in out
    assert {"run": run, "state": "interrupted"}.items() <= console("run", "list", "--json").json()[0].items()
    assert console("case", "show", "STOP-1").code == 6
    console.inventory("hosts: {theirs: {address: 192.0.2.1, customer: acme}}\n")
    refused = console("run", "resume", run, "--customer", "acme")  # which knows none of its hosts: they were told as gone
    assert refused.code == 2 and f"longarm run resume {run}" in refused.err
    resumed = console("run", "resume", run, "--json", "--fail-on", "never")
    assert resumed.json()["state"] == "ended"
    assert resumed.json()["run"] == run
    assert resumed.json()["coverage"]["outcomes"]["interrupted"] == 0
    assert len(console("case", "show", "STOP-1", "--json").json()) == 1
    assert console("run", "resume", run).code == 6


def test_waivers_and_thresholds_of_the_inventory_decide_what_counts(practice: Callable[..., Console]) -> None:
    console = practice("--hosts", "8")
    path = console.home / "lab" / "inventory.yaml"
    hosts = path.read_text()
    waivers = (
        "waivers:\n"
        "  - {check: fs-space, targets: lab-db-01, reason: known, owner: anna, expires: never}\n"
        "  - {check: fs-space, targets: lab-web-77, reason: known, owner: anna, expires: 2026-01-31}\n"
    )
    check = ("diagnose", "lab-db-01", "--check", "fs-space", "--json", "-q")
    assert console(*check).code == 1
    path.write_text(hosts + waivers)
    done = console(*check)
    (host,) = done.json()["hosts"]
    assert (done.code, host["outcome"], [finding["waived"] for finding in host["findings"]]) == (0, "findings", [True])
    told = console("inventory", "check")
    assert told.code == 0
    assert "this waiver is for no host: nothing matches “lab-web-77”" in told.err
    assert "the waiver by anna expired after 2026-01-31: known" in told.err
    (line,) = (row for row in console("doctor", "--json").json() if row["what"] == "inventory")
    assert (line["state"], line["detail"], line["next"]) == ("note", "things to look at: 2", "longarm inventory check")

    path.write_text(hosts + waivers.replace("check: fs-space", "check: fs-spice"))
    for command in (check, ("inventory", "check")):
        done = console(*command)
        assert done.code == 2
        assert "there is no check “fs-spice”" in done.err
