"""Completion as a user has it: Tab in real shells, names of this very inventory, library and store."""

from __future__ import annotations

import os
import pty
import re
import select
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

import console.main
from console import choices
from console.names import known_names
from diagnostics.library import load_library
from playbooks.load import SHIPPED, shipped_playbooks
from playbooks.param_names import param_names
from tests.console.conftest import LONGARM, Console

INVENTORY = """\
groups:
  web: {site: berlin, tags: [front], hosts: {"web[01:03]": {}}}
  db: {site: "North Berlin", hosts: {db-main: {customer: acme}}}
"""
START = {
    "bash": (["bash", "--norc", "--noprofile", "-i"], 'eval "$(longarm completion bash)"'),
    "zsh": (["zsh", "-f", "-i"], 'autoload -U compinit; compinit -u -D; eval "$(longarm completion zsh)"'),
}


def environ(here: Console) -> dict[str, str]:
    return here.environ | {"PATH": f"{Path(LONGARM).parent}:{os.environ['PATH']}", "TERM": "dumb", "PS1": "", "PROMPT": ""}


def shell_or_skip(shell: str) -> str:
    if (path := shutil.which(shell)) is None:
        pytest.skip(f"{shell} is not installed")
    return path


def tabbed(shell: str, begun: str, ends: str, here: Console) -> str:
    """Return the line that an interactive shell holds once Tab has added what it should end with."""
    shell_or_skip(shell)
    command, setup = START[shell]
    master, slave = pty.openpty()
    process = subprocess.Popen(
        command, stdin=slave, stdout=slave, stderr=slave, env=environ(here), cwd=here.home, start_new_session=True
    )
    os.close(slave)
    try:
        os.write(master, f"{setup}; printf 'READY%s\\n' NOW\r".encode())
        until(master, "READYNOW")
        os.write(master, f"{begun}\t".encode())
        until(master, ends)  # keys typed before the shell has asked longarm would be taken for an answer to Tab
        os.write(master, b"\x01printf 'LINE:%s:ENDS\\n' \"\x05\"\r")
        return str(re.findall(r"LINE:(.*?):ENDS", until(master, ":ENDS\r\n"))[-1]).strip()
    finally:
        process.kill()
        process.wait()
        os.close(master)


def until(master: int, wanted: str, deadline_s: float = 120) -> str:
    seen, end = "", time.monotonic() + deadline_s
    while wanted not in seen:
        assert time.monotonic() < end, seen
        if select.select([master], [], [], 1)[0]:
            seen += os.read(master, 65536).decode(errors="replace")
    return seen


@pytest.fixture
def here(console: Console) -> Console:
    console.inventory(INVENTORY)
    return console


@pytest.mark.parametrize("shell", ["bash", "zsh"])
@pytest.mark.parametrize(
    ("begun", "line"),
    [
        ("longarm diagno", "longarm diagnose"),
        ("longarm diagnose db-", "longarm diagnose db-main"),
        ("longarm inventory show site=ber", "longarm inventory show site=berlin"),
        ("longarm check show fs-sp", "longarm check show fs-space"),
    ],
)
def test_tab_completes_the_line(here: Console, shell: str, begun: str, line: str) -> None:
    assert tabbed(shell, begun, line.removeprefix(begun), here) == line


@pytest.mark.parametrize(
    ("begun", "offered"),
    [
        ("longarm diagnose web0", ["web01", "web02", "web03"]),
        ("longarm diagnose db-main,web0", ["db-main,web01", "db-main,web02", "db-main,web03"]),
        ("longarm diagnose site=", ["site=berlin"]),
        ("longarm diagnose all --playbook st", ["standard"]),
        ("longarm check show fs-sp", ["fs-space"]),
    ],
)
def test_fish_offers_the_same(here: Console, begun: str, offered: list[str]) -> None:
    fish = shell_or_skip("fish")
    script = f'longarm completion fish | source; complete -C "{begun}"'
    done = subprocess.run([fish, "-N", "-c", script], env=environ(here), capture_output=True, check=True, timeout=60)
    assert [line.split("\t")[0] for line in done.stdout.decode().splitlines()] == offered, done.stderr


def offered(here: Console, line: str) -> list[str]:
    """Return what bash would be offered for a line."""
    done = here(environ={"_LONGARM_COMPLETE": "bash_complete", "COMP_LINE": line})
    assert (done.code, done.err) == (0, "")
    return [value.split(",", 1)[1] for value in done.out.splitlines() if value]


def test_targets_complete_part_by_part(here: Console) -> None:
    assert offered(here, "longarm diagnose ") == ["all", "web01", "web02", "web03", "db-main", "db", "web"]
    assert offered(here, "longarm diagnose cust") == ["customer="]
    assert offered(here, "longarm diagnose customer=") == ["customer=acme"]
    assert offered(here, "longarm diagnose 'tag=front and web0") == [f"tag=front and web0{n}" for n in (1, 2, 3)]
    assert offered(here, "longarm diagnose site=") == ["site=berlin"], "a value with a space needs quotes that Tab cannot add"


def test_runs_and_cases_complete_latest_first(practice: Callable[..., Console]) -> None:
    here = practice("--hosts", "2")
    for case in ("CASE-1", "CASE-2", "CASE-1"):
        here("diagnose", "all", "--check", "fs-space", "--case", case, "-q")
    runs = here("run", "list", "-o", "name").out.split()
    assert offered(here, "longarm run show ") == runs
    assert offered(here, f"longarm report open {runs[0][:16]}") == [run for run in runs if run.startswith(runs[0][:16])]
    assert offered(here, "longarm case show ") == ["CASE-1", "CASE-2"]
    assert offered(here, "longarm diagnose all --case CASE-2") == ["CASE-2"]


def test_findings_complete_that_offer_their_repair(practice: Callable[..., Console]) -> None:
    here = practice()
    document = here("diagnose", "all", "--check", "fs-space", "--json", "-q").json()
    named = [f"{document['run']}/{one['id']}" for host in document["hosts"] for one in host["findings"] if one["remedy"]]
    assert named and offered(here, f"longarm repair --finding {document['run'][:12]}") == named
    assert offered(here, f"longarm repair --finding {named[0][:-1]}") == named[:1]
    (here.home / "reports" / f"{document['run']}.json").write_text("{")
    assert offered(here, "longarm repair --finding ") == []


@pytest.mark.parametrize(
    ("begun", "told"),
    [
        ("longarm playbook test free-disk-space --record web01 -p m", ["mount="]),
        ("longarm repair free-disk-space all -p ker", ["kernels="]),
        ("longarm run retry 7 --only failed,un", ["failed,unreachable"]),
        ("longarm run retry 7 --only failed,fa", []),
        ("longarm freeze --site ber", ["berlin"]),
        ("longarm unfreeze --customer a", ["acme"]),
        ("longarm hold remove all --owner ", []),
        ("longarm probe show fs.st", ["fs.stat"]),
        ("longarm approve ", []),
    ],
)
def test_values_of_options_complete(here: Console, begun: str, told: list[str]) -> None:
    assert offered(here, begun) == told


def test_the_owners_of_holds_complete(here: Console) -> None:
    held = here("hold", "add", "web01", "--reason", "an audit", "--json").json()
    assert offered(here, "longarm hold remove web01 --owner ") == [held[0]["owner"]]


def test_where_nothing_can_be_read_nothing_is_offered_and_nothing_said(console: Console) -> None:
    for line in ("longarm diagnose w", "longarm run show ", "longarm case show "):
        assert offered(console, line) == []
    console.inventory("hosts: [")
    (console.home / "longarm.db").write_bytes(b"no database")
    assert offered(console, "longarm diagnose w") == []
    assert offered(console, "longarm run show ") == []


def test_checks_and_playbooks_are_called_like_their_files() -> None:
    context = console.main.ROOT.make_context("longarm", ["version"])
    parameter = context.command.params[0]
    assert choices.checks(context, parameter, "") == sorted(load_library().checks)
    assert choices.playbooks(context, parameter, "") == [playbook.id for playbook in shipped_playbooks()]


def test_parameters_are_those_that_playbooks_declare() -> None:
    for playbook in shipped_playbooks():
        declared = {name: param.choices for name, param in playbook.params.items()}
        assert param_names(SHIPPED / f"{playbook.id}.yaml") == declared


def test_names_are_remembered_until_a_file_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home, folder = tmp_path / "home", tmp_path / "hosts"
    home.mkdir(mode=0o700)
    folder.mkdir()
    (folder / "a.yaml").write_text("hosts: {a: {}}")
    assert known_names(home, [folder])["name"] == ["a"]
    monkeypatch.setattr("inventory.own.read_inventory", lambda *_: pytest.fail("it was read anew"))
    assert known_names(home, [folder])["name"] == ["a"]
    monkeypatch.undo()
    (folder / "b.yaml").write_text("hosts: {b: {}}")
    assert known_names(home, [folder])["name"] == ["a", "b"]


def test_completing_imports_nothing_heavy(here: Console) -> None:
    offered(here, "longarm diagnose w")  # the names are remembered from here on
    code = (
        "import sys, console.main; console.main.run([]); "
        "heavy = {'asyncssh', 'sqlalchemy', 'alembic', 'cel', 'jc', 'jinja2', 'babel', 'rich', 'yaml', 'uvloop'}; "
        "sys.exit(' '.join(heavy & set(sys.modules)) or 0)"
    )
    light = ("longarm diagnose w", "longarm check show f", "longarm run show 2", "longarm case show C")
    for line in (*light, "longarm approve ", "longarm repair --finding ", "longarm hold remove all --owner "):
        asked = here.environ | {"_LONGARM_COMPLETE": "bash_complete", "COMP_LINE": line}
        done = subprocess.run([Path(LONGARM).with_name("python"), "-c", code], env=asked, capture_output=True, check=False)
        assert done.returncode == 0, done.stderr
