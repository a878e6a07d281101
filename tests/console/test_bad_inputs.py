"""Whatever is put in: a message, the place or the next step, the exit code that stands in design.md, never a traceback."""

from __future__ import annotations

import itertools
import json
import os
import re
import sqlite3
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import asyncssh
import pytest

import console.main
from runner.desk import Desk
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
    assert not {"hunter2-in-a-file", "wrong-passphrase-9", "Traceback"} & set((out + err).split())
    assert not (home / "crashes").exists()


def test_a_clock_that_is_stepped_back_shortens_nothing_below_zero(
    home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    began = datetime(2026, 11, 22, 12, tzinfo=UTC)
    ticks = (began - timedelta(minutes=5 * n) for n in itertools.count())
    monkeypatch.setattr("runner.desk.utc_now", lambda: next(ticks))
    (home / "inventory.yaml").write_text("hosts: {here: {transport: local}}\n")
    code = console.main.run(["diagnose", "here", "--check", "fs-space", "--fail-on", "never", "--json", "-q"])
    out, err = capsys.readouterr()
    document = json.loads(out)
    assert (code, document["coverage"]["targeted"]) == (0, 1), err
    assert all(question["duration_ms"] >= 0 for question in document["hosts"][0]["questions"])
    for form in ("html", "text", "junit", "csv"):
        assert console.main.run(["run", "export", document["run"], "--format", form]) == 0
        assert not re.search(r"-[0-9.]+ (s|ms|min)\\b|time=\"-", capsys.readouterr().out)


def test_a_home_that_cannot_be_written_is_told_before_anything_is_asked(
    home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: Path) -> None:
        raise PermissionError(13, "Permission denied", str(home / "lock"))  # root, as which tests run, may write anywhere

    (home / "inventory.yaml").write_text("hosts: {here: {transport: local}}\n")
    monkeypatch.setattr("runner.desk.make_home", refuse)
    assert console.main.run(["diagnose", "here"]) == 7
    out, err = capsys.readouterr()
    assert out == ""
    assert "Permission denied" in err and "longarm doctor" in err


def test_there_are_200_and_each_has_its_reason() -> None:
    reasons = [bad.why for bad in table()]
    assert len(reasons) == len(set(reasons)) >= 200
