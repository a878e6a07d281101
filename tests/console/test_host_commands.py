"""`longarm host ping | facts | get | run` on practice hosts over real SSH."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from tests.console.conftest import Console
from tests.forked import Forked

HOSTS = 11
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
    assert lab("host", "run", "true", "lab-web-01", "--var", "Path=x").code == 2
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
