"""`longarm host ping | facts | get | run` on practice hosts over real SSH."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path

import pytest

from inventory.names import MAX_NAME
from tests.conftest import SOAK
from tests.console.conftest import Console, serving
from tests.forked import Forked
from tests.inventory.test_names import HOSTILE

HOSTS = 12
WELL = "lab-web-01,lab-db-01,lab-app-01"

pytestmark = pytest.mark.xdist_group("console_host_commands")  # one lab for the module


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory, forked: Forked) -> Iterator[Console]:
    console = Console(tmp_path_factory.mktemp("lab") / "home", forked)
    assert console("lab", "up").code == 0
    yield console
    assert console("lab", "down").code == 0


def test_ping_accounts_for_every_host(lab: Console) -> None:
    before = lab("run", "list", "-o", "name").out
    done = lab("host", "ping", "all", "--json", "--deadline", "60")
    outcomes = {row["host"]: row["outcome"] for row in done.json()}
    assert done.code == 4  # a changed host key goes before everything else
    assert len(outcomes) == HOSTS
    assert (outcomes["lab-web-01"], outcomes["lab-backup-01"], outcomes["lab-edge-01"]) == ("ok", "unreachable", "refused")
    assert f"{HOSTS} targeted = " in done.err
    assert lab("host", "ping", "lab-web-01", "-q").code == 0
    assert lab("host", "ping", "lab-backup-01", "-q").code == 3
    assert lab("run", "list", "-o", "name").out == before


def test_facts_are_json_or_lines(lab: Console) -> None:
    done = lab("host", "facts", "lab-db-01", "--probe", "fs.stat", "--json")
    assert done.code == 0
    assert done.json()["host"] == "lab-db-01"
    assert {mount["mount"] for mount in done.json()["facts"]["fs.stat"]["mounts"]} >= {"/"}
    assert "fs.stat.mounts[0].mount  " in lab("host", "facts", "lab-db-01", "--probe", "fs.stat").out
    assert lab("host", "facts", "lab-db-01", "--probe", "no.such").code == 2
    assert lab("host", "facts", WELL).code == 2  # one host
    assert lab("host", "facts", "lab-backup-01", "--json").code == 3


def test_a_command_has_the_accounting_and_the_report_of_a_run(lab: Console) -> None:
    done = lab("host", "run", 'echo "$x"; exit 0', WELL, "--var", "x=$(id) `id`", "--case", "C-RUN", "--yes", "--json")
    assert done.code == 0, done.err
    document = done.json()
    assert (document["kind"], document["coverage"]["seen"]) == ("command", 3)
    assert {host["output"]["stdout"] for host in document["hosts"]} == {"$(id) `id`\n"}
    assert [row["run"] for row in lab("case", "show", "C-RUN", "--json").json()] == [document["run"]]
    shown = lab("run", "show", document["run"])
    assert "✓ lab-web-01, lab-db-01, lab-app-01 · exited with 0" in shown.out
    assert (lab.home / "reports" / f"{document['run']}.html").exists()


def test_the_exit_code_of_a_command_says_how_it_went(lab: Console) -> None:
    assert lab("host", "run", "exit 3", "lab-web-01", "-q").code == 1
    assert lab("host", "run", "sleep 60", "lab-web-01", "-q", "--deadline", "1").code == 3
    assert lab("host", "run", "true", "lab-web-01,lab-backup-01", "-q", "--yes").code == 3
    refused = lab("host", "run", "true", WELL)
    assert refused.code == 2  # nobody is there to agree
    assert "this needs an answer: run this on 3 hosts?" in refused.err
    named = lab("host", "run", "true", "lab-web-01", "--var", "Path=x", "--lang", "ru")
    assert (named.code, "--var: “Path” не может быть именем" in named.err) == (2, True), named.err
    relative = lab("host", "get", "lab-web-01", "etc/hosts", "--lang", "ru")
    assert (relative.code, "это не путь к файлу на хосте: etc/hosts" in relative.err) == (2, True), relative.err
    assert lab("host", "run", " ", "lab-web-01").code == 2


def test_output_cannot_drive_the_terminal(lab: Console) -> None:
    done = lab("host", "run", r"printf '\033[2J\033]0;owned\007'", "lab-web-01")
    assert "\x1b" not in done.out + done.err
    assert "␛[2J" in done.out


def test_a_file_is_got_kept_and_on_its_case_once(lab: Console) -> None:
    to = lab.home.parent / "passwd"
    done = lab("host", "get", "lab-web-01", "/etc/passwd", "--grep", "^root:", "--case", "C-GET", "--to", str(to), "--json")
    assert done.code == 0, done.err
    document = done.json()
    assert (document["kind"], document["subject"]) == ("file", "/etc/passwd")
    (attached,) = lab("case", "show", "C-GET", "--json").json()
    assert (attached["run"], attached["state"]) == (document["run"], "sent")
    assert attached["file"].startswith(f"longarm-file-{document['run']}-") and attached["bytes"] == to.stat().st_size
    assert to.read_text().startswith("root:") and to.stat().st_mode & 0o777 == 0o600
    assert document["hosts"][0]["output"]["origin"]["path"] == "/etc/passwd"
    exported = lab("run", "export", document["run"], "--format", "answers").out.splitlines()
    assert {json.loads(line)["probe"] for line in exported} == {"file.origin", "file.extract"}
    assert lab("case", "deliver").code == 0
    assert len(lab("case", "show", "C-GET", "--json").json()) == 1


def test_what_cannot_be_got_is_said(lab: Console) -> None:
    done = lab("host", "get", "lab-web-01", "/no/such/file", "--case", "C-NONE")
    assert done.code == 1
    assert "there is no such file" in done.out
    assert lab("host", "get", "lab-web-01", "relative").code == 2
    assert lab("host", "get", WELL, "/etc/passwd").code == 2
    assert "not a moment" in lab("host", "get", "lab-web-01", "/etc/passwd", "--since", "soon").err
    assert lab("case", "show", "C-NONE").code == 6  # nothing was put there


@pytest.mark.parametrize("way", ["in process", "through the service"])
def test_a_file_of_the_user_is_written_only_with_what_was_got(lab: Console, way: str) -> None:
    kept, new = lab.home.parent / "keep.txt", lab.home.parent / "new.txt"
    kept.write_text("mine\n")
    kept.chmod(0o644)
    with serving(lab) if way == "through the service" else nullcontext():
        for words in (
            ("lab-web-01", "/no/such"),
            ("lab-web-01", "/etc"),
            ("lab-backup-01", "/etc/passwd"),
            ("lab-web-01", "no"),
        ):
            for file in (kept, new):
                failed = lab("host", "get", *words, "--to", str(file))
                assert failed.code in (1, 2, 3), failed.err
                assert "written: " not in failed.err
                assert ("nothing was got" in failed.err) is (failed.code != 2)
        assert (kept.read_text(), kept.stat().st_mode & 0o777, new.exists()) == ("mine\n", 0o644, False)
        for file in (kept, new):
            got = lab("host", "get", "lab-web-01", "/etc/passwd", "--max-bytes", "50", "--to", str(file))
            assert (got.code, f"written in part: {file}" in got.err) == (0, True), got.err
            assert 0 < file.stat().st_size <= 50
        empty = lab("host", "get", "lab-web-01", "/etc/passwd", "--grep", "^no such line$", "--to", str(kept))
        assert (empty.code, f"written: {kept}" in empty.err, kept.read_bytes()) == (0, True, b""), empty.err
    new.unlink()
    assert list(lab.home.parent.glob(".*.part")) == []


def test_what_is_no_file_is_written_where_it_is(lab: Console) -> None:
    link, pipe = lab.home.parent / "link", lab.home.parent / "pipe"
    link.symlink_to("aim")
    assert lab("host", "get", "lab-web-01", "/etc/passwd", "--last", "1", "--to", str(link)).code == 0
    assert (link.is_symlink(), (lab.home.parent / "aim").read_text().count("\n")) == (True, 1)
    os.mkfifo(pipe)
    descriptor = os.open(pipe, os.O_RDWR)
    try:
        assert lab("host", "get", "lab-web-01", "/etc/passwd", "--last", "1", "--to", str(pipe)).code == 0
        assert os.read(descriptor, 1000) == (lab.home.parent / "aim").read_bytes()
    finally:
        os.close(descriptor)
    assert pipe.is_fifo()


_CASES = [name for name, _ in HOSTILE if name and name.isprintable() and name == name.strip() and len(name) <= MAX_NAME]
"""The hostile names of hosts that may be names of cases, which another system gives: there they are texts."""
_NO_CASES = [name for name, _ in HOSTILE if name not in _CASES and "\0" not in name]


def test_a_hostile_name_of_a_case_is_a_text(lab: Console) -> None:
    """It names no file, ends no line and is no option: it comes back as it was given, and nothing lies where it points to."""
    before = _beside(lab)
    for name in _CASES if SOAK else _CASES[:: len(_CASES) // 8]:
        got = lab("host", "get", "lab-web-01", "/etc/passwd", f"--case={name}", "--json")
        assert got.code == 0, got.err
        assert got.out.count("\n") == len(got.out.splitlines()) and "\x1b" not in got.out + got.err
        (attached,) = lab("case", "show", "--json", "--", name).json()
        assert re.fullmatch(r"longarm-file-[0-9A-Za-z-]+\.txt", attached["file"]), attached["file"]
        assert attached["run"] == got.json()["run"]
        assert name in [row["case"] for row in lab("case", "list", "--json").json()]
    assert _beside(lab) == before
    odd = [path for path in lab.home.rglob("*") if not re.fullmatch(r"[0-9A-Za-z._-]+", path.name)]
    assert odd == []


def _beside(lab: Console) -> set[Path]:
    """Return all that lies beside the home: what is in it is longarm's."""
    return {path for path in lab.home.parent.rglob("*") if lab.home not in path.parents}


@pytest.mark.parametrize("language", ["en", "ru"])
def test_a_name_that_cannot_be_a_text_is_the_name_of_no_case(lab: Console, language: str) -> None:
    runs = lab("run", "list", "-o", "name").out
    for name in _NO_CASES:
        refused = lab("host", "get", "lab-web-01", "/etc/passwd", f"--case={name}", "--lang", language)
        assert (refused.code, refused.out, "--case: " in refused.err) == (2, "", True), refused.err
        assert all(line.isprintable() for line in refused.err.splitlines()) and len(refused.err.splitlines()) == 2
    assert lab("run", "list", "-o", "name").out == runs
