"""Whatever is put in: a message, the place or the next step, the exit code that stands in design.md, never a traceback."""

from __future__ import annotations

import itertools
import json
import os
import re
import sqlite3
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import asyncssh
import pytest

import console.main
from runner.desk import Desk
from tests.conftest import SOAK
from tests.console.bad_inputs import Bad, table

PROBES = {
    "writable_probes": "- {probe: own.x, script: id, parse: none}\n",
    "probes_mapping": "probe: own.x\n",
    "probe_without_script": "- {probe: own.x}\n",
    "probe_bad_name": "- {probe: 'own x', script: id}\n",
    "probe_taken": "- {probe: fs.stat, script: id, parse: none, summary: x}\n",
    "probe_huge_deadline": "- {probe: own.x, script: id, parse: none, deadline: 99999999d}\n",
    "probe_no_time": "- {probe: own.x, script: id, parse: none, deadline: 0s}\n",
    "probe_flood": "- {probe: own.x, script: id, parse: none, max_bytes: 1 TB}\n",
    "probe_bad_parser": "- {probe: own.x, script: id, parse: xml}\n",
}


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Return a home for one command in this process, which leaves the process as it was."""
    home = tmp_path / "home"
    home.mkdir(mode=0o700)
    monkeypatch.setenv("LONGARM_HOME", str(home))
    monkeypatch.setenv("LC_ALL", "C")
    for name in ("LONGARM_LANG", "SSH_AUTH_SOCK"):
        monkeypatch.delenv(name, raising=False)
    yield home
    home.chmod(0o700)


def prepared(home: Path, given: str) -> object:
    """Make what a row of the table needs and return what has to be kept until its end."""
    if given in PROBES:
        (home / "probes.yaml").write_text(PROBES[given])
    makers: dict[str, Callable[[], object]] = {
        "": lambda: None,
        "folder": lambda: folder(home / "folder.yaml"),
        "pipe": lambda: os.mkfifo(home / "pipe"),
        "loop": lambda: (home / "loop").symlink_to(home / "loop"),
        "writable_inventory": lambda: (home / "inventory.yaml").chmod(0o666),
        "big_inventory": lambda: (home / "inventory.yaml").write_bytes(b"# " + b"x" * 5 * 1024 * 1024),
        "no_inventory": lambda: (home / "inventory.yaml").unlink(),
        "writable_probes": lambda: (home / "probes.yaml").chmod(0o666),
        "writable_known_hosts": lambda: open_to_all(home / "known_hosts"),
        "broken_known_hosts": lambda: (home / "known_hosts").write_text("# ours\nweb1 ssh-ed25519 AAA=A\n"),
        "binary_known_hosts": lambda: (home / "known_hosts").write_bytes(b"\xff\xfe\0"),
        "folder_known_hosts": lambda: (home / "known_hosts").mkdir(),
        "writable_home": lambda: home.chmod(0o777),
        "broken_store": lambda: (home / "longarm.db").write_bytes(b"this is no database" * 100),
        "folder_store": lambda: (home / "longarm.db").mkdir(),
        "newer_store": lambda: newer(home),
        "held_home": lambda: held(home),
    }
    return makers[given]() if given in makers else None


def folder(path: Path) -> None:
    path.mkdir()
    (path / "a.yaml").write_text("hosts: {x: {}}\n")
    (path / "b.yaml").write_text("hosts: [\n")


def open_to_all(path: Path) -> None:
    path.touch()
    path.chmod(0o666)


def newer(home: Path) -> None:
    with Desk.open(home, write=True):
        pass
    connection = sqlite3.connect(home / "longarm.db")
    with connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    connection.close()


def held(home: Path) -> object:
    desk = Desk.open(home, write=True)
    desk.__enter__()
    return desk


@pytest.mark.parametrize("bad", table(), ids=lambda bad: bad.why)
def test_what_nobody_meant_is_told_with_its_place_or_the_next_step(
    bad: Bad, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if bad.inventory is not None:
        data = bad.inventory if isinstance(bad.inventory, bytes) else bad.inventory.encode()
        (home / "inventory.yaml").write_bytes(data)
    kept = prepared(home, bad.given)
    words = bad.command.split(" ") if isinstance(bad.command, str) else bad.command
    try:
        code = console.main.run(
            [word.replace("{home}", str(home)) for word in words if word or not isinstance(bad.command, str)]
        )
    finally:
        if bad.given == "held_home":
            kept.__exit__(None, None, None)  # type: ignore[attr-defined]
    out, err = capsys.readouterr()
    assert (code, out) == (bad.code, ""), err
    for told in bad.told:
        assert told.replace("{home}", str(home)) in err
    assert "Traceback" not in err and "\x1b" not in err
    assert not (home / "crashes").exists()
    assert sys.getrecursionlimit() == 1000


KEY_FILE = "credentials: {c: {user: u, key: HOME/id}}\nhosts: {db1: {credential: c, address: 127.0.0.1, port: 9}}\n"
LOCKED_KEY = KEY_FILE.replace("id}", "id, passphrase: {env: LONGARM_TEST_WORD}}")
PASSWORD = "credentials: {c: {user: u, password: REFERENCE}}\nhosts: {db1: {credential: c, address: 127.0.0.1, port: 9}}\n"
AGENT = "credentials: {c: {user: u, agent: true}}\nhosts: {db1: {credential: c, address: 127.0.0.1, port: 9}}\n"
UNUSABLE = {
    "a key that is not there": (KEY_FILE, "", 0o600, "id: No such file or directory"),
    "a key that others can read": (KEY_FILE, "key", 0o644, "can be read by others (mode 644)"),
    "a key that is none": (KEY_FILE, "text", 0o600, "is not a private key that can be read"),
    "a key that is empty": (KEY_FILE, "empty", 0o600, "is not a private key that can be read"),
    "a key that is a folder": (KEY_FILE, "folder", 0o700, "is not a file"),
    "a key of a megabyte": (KEY_FILE, "big", 0o600, "is too large to be a secret"),
    "a locked key without passphrase": (KEY_FILE, "locked", 0o600, "needs a passphrase, and none is named"),
    "a wrong passphrase": (LOCKED_KEY, "locked", 0o600, "cannot be decrypted"),
    "no agent": (AGENT, "", 0o600, "no SSH agent is running (SSH_AUTH_SOCK is not set)"),
    "a password that has to be asked for": (
        PASSWORD.replace("REFERENCE", "{prompt: the password}"),
        "",
        0o600,
        "has to be asked for, and nobody can be asked",
    ),
    "a variable that is not set": (PASSWORD.replace("REFERENCE", "{env: LONGARM_NO_SUCH}"), "", 0o600, "is not set"),
    "a password file that others can read": (PASSWORD.replace("REFERENCE", "{file: HOME/id}"), "text", 0o644, "(mode 644)"),
    "a password file that is empty": (PASSWORD.replace("REFERENCE", "{file: HOME/id}"), "empty", 0o600, "is empty"),
    "a password file that is no text": (PASSWORD.replace("REFERENCE", "{file: HOME/id}"), "bytes", 0o600, "is not UTF-8"),
}
"""Credentials that cannot be used: the inventory, what the key file holds, its mode, what is told of the host."""


def key_file(path: Path, kind: str, mode: int) -> None:
    if kind == "folder":
        path.mkdir()
    elif kind in ("key", "locked"):
        key = asyncssh.generate_private_key("ssh-ed25519")
        path.write_bytes(key.export_private_key(passphrase="right" if kind == "locked" else None))
    elif kind:
        path.write_bytes({"text": b"hunter2-in-a-file\n", "empty": b"", "big": b"x" * 2**20, "bytes": b"\xff\xfe"}[kind])
    if kind:
        path.chmod(mode)


@pytest.mark.parametrize("why", UNUSABLE)
def test_a_credential_that_cannot_be_used_is_told_without_the_secret(
    why: str, home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    inventory, kind, mode, told = UNUSABLE[why]
    monkeypatch.setenv("LONGARM_TEST_WORD", "wrong-passphrase-9")
    (home / "inventory.yaml").write_text(inventory.replace("HOME", str(home)))
    key_file(home / "id", kind, mode)
    code = console.main.run(["diagnose", "db1", "--check", "fs-space", "--no-input"])
    out, err = capsys.readouterr()
    assert code == 4, out + err
    assert "credential c cannot be used: " in out and told in out
    assert "longarm diagnose db1 --check fs-space" in out, "the next step"
    assert not [word for word in ("hunter2-in-a-file", "wrong-passphrase-9", "Traceback") if word in out + err]
    assert not (home / "crashes").exists()


NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
NEGATIVE = re.compile(r"(?<![\w-])[-−][0-9][0-9.,]*[ \u00a0\u202f]?(?:ms|s|min|h|d|days)\b|time=\"-")
"""A duration below zero, as a report would say it."""
NO_PORT = """
hosts: {here: {transport: local, expect: {ports: tcp/1}}}
waivers: [{check: port-closed, targets: here, reason: known, owner: anna, expires: 2026-11-22}]
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """A run on this machine under a clock of the test: its exit code, its document, what its reports say."""

    code: int
    document: dict[str, Any]
    reports: dict[str, str]


@pytest.fixture
def judged(home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Judged]:
    """Return a function that diagnoses this machine while the clock tells each moment it is given once."""

    def run(check: str, fail_on: str, clock: Iterator[datetime]) -> Judged:
        monkeypatch.setattr("runner.desk.utc_now", lambda: next(clock))
        code = console.main.run(["diagnose", "here", "--check", check, "--fail-on", fail_on, "--json", "-q"])
        out, err = capsys.readouterr()
        assert out, err
        document, reports = json.loads(out), {}
        for form in ("html", "text", "junit", "csv", "json"):
            assert console.main.run(["run", "export", document["run"], "--format", form]) == 0
            reports[form] = capsys.readouterr().out
        return Judged(code=code, document=document, reports=reports)

    return run


def test_a_duration_below_zero_would_be_seen() -> None:
    below = ("took -5 min", "(-0.3 s)", "<td>-12 ms</td>", 'time="-300.000"', "−2 s")
    assert all(NEGATIVE.search(text) for text in below)
    assert not any(NEGATIVE.search(text) for text in ("2026-11-22 12:00", "up to 5-10 s", "fs-2 s", 'time="0.3"'))


@pytest.mark.parametrize(
    "step", [timedelta(minutes=-5), timedelta(days=-400), timedelta(minutes=5), timedelta(days=400)], ids=str
)
def test_a_clock_that_is_stepped_shortens_nothing_below_zero_and_ends_nothing(
    step: timedelta, home: Path, judged: Callable[..., Judged]
) -> None:
    (home / "inventory.yaml").write_text("hosts: {here: {transport: local}}\n")
    ran = judged("fs-space", "never", (NOON + step * n for n in itertools.count()))
    (row,) = ran.document["hosts"]
    assert (ran.code, row["outcome"] in {"ok", "findings"}) == (0, True), "no deadline of ours goes by that clock"
    assert row["questions"] and all(0 <= question["duration_ms"] < 60_000 for question in row["questions"])
    assert datetime.fromisoformat(row["ended_at"]) >= datetime.fromisoformat(row["started_at"])
    assert [(form, found[0]) for form, text in ran.reports.items() if (found := NEGATIVE.search(text))] == []


def at_the_jump(ticks: int) -> Iterator[datetime]:
    """Yield so many moments of the waiver's last day, a second apart, and then those of two days later."""
    return (NOON + timedelta(seconds=n, days=2 if n >= ticks else 0) for n in itertools.count())


def test_a_clock_that_jumps_over_the_last_day_of_a_waiver_leaves_one_verdict(home: Path, judged: Callable[..., Judged]) -> None:
    (home / "inventory.yaml").write_text(NO_PORT)
    counted = itertools.count()
    never = judged("port-closed", "warning", (NOON for _ in counted))
    ticks = next(counted)
    said = {}
    for jump in range(ticks) if SOAK else (0, ticks // 4, ticks // 2):
        ran = judged("port-closed", "warning", at_the_jump(jump))
        (finding,) = ran.document["hosts"][0]["findings"]
        waived = said[jump] = finding["waived"]
        assert finding["waiver"]["reason"] == "known", "told, whether it holds or has expired"
        assert (ran.code, ran.document["counts"]["waived"]) == ((0, 1) if waived else (1, 0))
        assert json.loads(ran.reports["json"]) == ran.document, "a report that is made later says what was said"
        assert ("<failure" in ran.reports["junit"]) is not waived
    assert (never.code, never.document["hosts"][0]["findings"][0]["waived"]) == (0, True)
    assert said[0] is False
    assert list(said.values()) == sorted(said.values()), "the later the jump, the more is still accepted"


def test_there_are_200_and_each_has_its_reason() -> None:
    reasons = [bad.why for bad in table()]
    assert len(reasons) == len(set(reasons)) >= 200
