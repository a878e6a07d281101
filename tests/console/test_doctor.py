"""The doctor: what is wrong with this installation, or with the way to one host, and what to do about each."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from console import examination, host_examination, listing
from console.examination import LOOKS, examine
from console.host_examination import _STEPS
from console.listing import show_list
from console.settings import Output, Settings
from inventory.errors import Text
from remote.answer import Answer, Ended
from reports.language import language
from runner.store.opening import SCHEMAS
from tests.console.conftest import Console

HOSTS = """\
credentials:
  good: {user: u, key: KEY}
  gone: {user: u, key: /nowhere/id}
  asked: {user: u, password: {prompt: the password}}
  word: {user: u, password: {env: LONGARM_TEST_WORD}}
hosts:
"""


def row(console: Console, what: str, **more: Any) -> Mapping[str, str]:
    done = console("doctor", "--json", **more)
    found: dict[str, Mapping[str, str]] = {one["what"]: one for one in done.json()}
    assert done.code == (7 if any(one["state"] == "problem" for one in found.values()) else 0)
    return found[what]


def test_what_the_system_refuses_is_a_problem_and_ends_no_other_row(console: Console) -> None:
    (console.home / "known_hosts").mkdir(parents=True)
    found = row(console, "known_hosts")
    assert found["state"] == "problem" and found["detail"].startswith("the system refused: [Errno 21] Is a directory")
    assert row(console, "output")["state"] == "ok"


def test_credentials_are_resolved_and_never_shown_or_asked_for(console: Console) -> None:
    console.inventory(HOSTS + "  a: {credential: gone}\n  b: {credential: asked}\n  c: {credential: word}\n")
    done = console("doctor", "--json", environ={"LONGARM_TEST_WORD": "hunter2-very-secret"})
    (found,) = (one for one in done.json() if one["what"] == "credentials")
    assert (done.code, found["state"]) == (7, "problem")
    assert found["detail"] == "gone: credential gone cannot be used: /nowhere/id: No such file or directory"
    assert "hunter2" not in done.out + done.err
    console.inventory(HOSTS + "  b: {credential: asked}\n  c: {credential: word}\n")
    found = row(console, "credentials", environ={"LONGARM_TEST_WORD": "hunter2-very-secret"})
    assert (found["state"], found["detail"]) == ("ok", "1 can be used; asked for when a run begins: asked")


def test_hosts_without_a_key_are_named_with_the_next_command(console: Console) -> None:
    console.inventory("hosts: {a: {}, b: {transport: local}}\n")
    found = row(console, "known_hosts", environ={"SSH_AUTH_SOCK": ""})
    assert (found["state"], found["next"]) == ("note", "longarm host enrol a")
    assert found["detail"] == "0 hosts; 1 of the inventory have none: a"


@pytest.mark.parametrize("path", ["/nowhere/agent", "/dev/null"])
def test_an_agent_that_is_gone_is_a_problem(console: Console, path: str) -> None:
    found = row(console, "ssh-agent", environ={"SSH_AUTH_SOCK": path})
    assert (found["state"], found["next"]) == ("problem", "start it (ssh-agent), or unset SSH_AUTH_SOCK")
    assert path in found["detail"]


def test_a_home_that_others_may_read_is_told_and_one_they_may_write_is_refused(console: Console) -> None:
    console.home.mkdir(mode=0o755)
    assert (row(console, "home")["state"], row(console, "home")["next"]) == ("note", "chmod 700 ~/home")
    console.home.chmod(0o777)
    done = console("doctor")
    assert (done.code, done.out) == (7, "")
    assert f"chmod o-w {console.home}" in done.err


@pytest.mark.parametrize("printed", ["hosts: {web1: {}}", "hosts: {web1: {prot: 22}}"])
def test_the_inventory_is_read_once_right_or_wrong(tmp_path: Path, printed: str) -> None:
    program = tmp_path / "hosts.sh"
    program.write_text(f"#!/bin/sh\necho asked >> {tmp_path}/asked\necho '{printed}'\n")
    program.chmod(0o755)
    (tmp_path / "inventory.yaml").write_text("sources: [{program: hosts.sh}]\n")
    settings = Settings(home=tmp_path, inventories=(tmp_path / "inventory.yaml",))
    rows = {str(one["what"]): one["state"] for one in examine(settings)}
    assert (rows["inventory"] == rows["known_hosts"] == "problem") == ("prot" in printed)
    assert (tmp_path / "asked").read_text() == "asked\n"


def test_a_broken_store_and_a_broken_inventory_are_problems_with_their_place(console: Console) -> None:
    path = console.inventory("hosts: {a: {prot: 22}}\n")
    found = row(console, "inventory")
    assert (found["state"], found["detail"].partition(" ")[0]) == ("problem", f"{path}:1:13:")
    (console.home / "longarm.db").write_bytes(b"no database at all")
    assert row(console, "store")["state"] == "problem"


def test_a_store_tells_its_schema_and_whether_it_is_in_use(practice: Callable[..., Console]) -> None:
    console = practice("--hosts", "1")
    console("diagnose", "all", "--check", "fs-space", "-q")
    assert row(console, "store")["detail"] == f"runs: 1; schema {SCHEMAS[-1]}; free"


def test_completion_is_looked_for_in_the_start_files(console: Console) -> None:
    assert row(console, "completion", environ={"SHELL": "/bin/zsh"})["next"] == (
        'put into ~/.zshrc: eval "$(longarm completion zsh)"'
    )
    (console.home.parent / ".zshrc").write_text('eval "$(longarm completion zsh)"\n')
    assert row(console, "completion", environ={"SHELL": "/bin/zsh"})["state"] == "ok"
    assert row(console, "completion", environ={"SHELL": "/bin/tcsh"})["detail"] == "no bash, zsh or fish"


@pytest.mark.parametrize(("pip", "install"), [(True, " -m pip install --upgrade "), (False, "uv pip install --python ")])
def test_a_library_with_known_holes_is_a_problem(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pip: bool, install: str
) -> None:
    found = {"asyncssh": "2.14.1", "cryptography": "50.0.2", "paramiko": "4.0.0"}
    monkeypatch.setattr(examination, "installed", lambda: found)
    monkeypatch.setattr(examination, "find_spec", lambda _: pip or None)
    told = examination.versions(examination.Here(Settings(home=tmp_path)))
    assert told["state"] == "problem"
    assert "; asyncssh before 2.23.1 has known holes: CVE-2026-54591, " in str(told["detail"])
    assert "cryptography before" not in str(told["detail"])
    assert install in str(told["next"])
    assert str(told["next"]).endswith(" 'asyncssh>=2.23.1' 'paramiko>=5.0.0'")


def test_the_doctor_still_tells_everything_where_the_ssh_library_is_refused(repository: Path, tmp_path: Path) -> None:
    (tmp_path / "asyncssh.py").write_text("__version__ = '2.14.0'\n")
    (tmp_path / "asyncssh-2.14.0.dist-info").mkdir()
    (tmp_path / "asyncssh-2.14.0.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: asyncssh\nVersion: 2.14.0\n")
    done = subprocess.run(
        [Path(sys.executable).with_name("longarm"), "doctor", "--home", str(tmp_path / "home"), "--json"],
        env={
            "PYTHONPATH": os.pathsep.join([str(tmp_path), str(repository)]),
            "HOME": str(tmp_path),
            "PATH": os.environ["PATH"],
        },
        cwd="/",
        capture_output=True,
        text=True,
        check=False,
    )
    rows = {one["what"]: one for one in json.loads(done.stdout)}
    assert (done.returncode, rows["versions"]["state"]) == (7, "problem")
    assert "asyncssh 2.14.0" in rows["versions"]["detail"]
    assert rows["store"]["state"] == "note"


def test_every_look_gives_its_row(tmp_path: Path) -> None:
    rows = examine(Settings(home=tmp_path / "home"))
    assert len(rows) == len(LOOKS) == len({one["what"] for one in rows})
    assert all(one["state"] != "problem" or one["next"] for one in rows)


NAMES = {"Kerberos", "SQLite", "known_hosts", "ssh-agent"}
"""The same in every language."""


@pytest.mark.parametrize("what", sorted({*LOOKS, *_STEPS} - NAMES))
def test_what_was_looked_at_has_its_word_in_a_table_and_its_identifier_in_json(
    what: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listing, "say", language("ru").say)
    show_list(Output.TABLE, {"what": Text("what")}, [{"what": what}])
    told = capsys.readouterr().out.splitlines()[1]
    assert re.fullmatch("[а-яё ]+(longarm)?", told)
    show_list(Output.NAME, {"what": Text("what")}, [{"what": what}])
    assert capsys.readouterr().out == f"{what}\n"


def test_each_row_is_named_by_what_was_looked_at(tmp_path: Path) -> None:
    here = examination.Here(Settings(home=tmp_path / "home"))
    assert [look(here)["what"] for look in LOOKS.values()] == list(LOOKS)


def test_in_russian_each_detail_is_russian(console: Console) -> None:
    console.inventory("hosts: {a: {}, b: {transport: local}}\n")
    rows = console("doctor", "--json", "--lang", "ru", environ={"SHELL": "/bin/zsh"}).json()
    foreign = {one["what"] for one in rows if not re.search("[а-яё]", one["detail"])}
    assert foreign <= {"versions", "home", "language", "clock", "keyring", "Kerberos"}, (
        "numbers, paths and names of programs alone"
    )
    assert all(re.search("[а-яё]", one["next"]) or re.match("longarm |chmod |$", one["next"]) for one in rows)
    assert next(one["detail"] for one in rows if one["what"] == "space").endswith("ГиБ")


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (Answer(ended=Ended.EXITED, exit_status=1), "завершился с кодом 1"),
        (Answer(ended=Ended.TIMED_OUT, exit_status=None), "истёк срок"),
        (Answer(ended=Ended.NOT_RUN, exit_status=None, why="sudo ended with status 1"), "sudo завершился с кодом 1"),
        (Answer(ended=Ended.EXITED, exit_status=0, denied="a word of sudo’s own"), "a word of sudo’s own"),
    ],
)
def test_how_a_question_on_the_way_ended_is_told_in_the_language(
    answer: Answer, told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(host_examination, "say", language("ru").say)
    assert host_examination.ending_of(answer) == told


def way(console: Console, host: str, *options: str) -> tuple[int, dict[str, Mapping[str, str]]]:
    done = console(*options, "doctor", "--host", host, "--json")
    return done.code, {one["what"]: one for one in done.json()}


def test_the_way_to_this_machine(console: Console) -> None:
    console.inventory("hosts: {here: {transport: local}}\n")
    code, rows = way(console, "here")
    assert code == 0
    assert list(rows) == ["name", "connection", "host key", "login", "shell", "other user", "round trip"]
    assert rows["shell"]["state"] == "ok" and os.uname().release in rows["shell"]["detail"]


@pytest.mark.long
def test_the_way_ends_at_the_first_step_that_fails(practice: Callable[..., Console]) -> None:
    console = practice()
    found = {one["host"]: one for one in console("inventory", "list", "--json").json()}
    code, rows = way(console, "lab-edge-01")
    assert (code, list(rows)) == (4, ["name", "connection", "host key"])
    assert rows["host key"]["next"] == "find out who changed it, then: longarm host enrol --replace lab-edge-01"
    (console.home / "known_hosts").write_text("")
    assert way(console, "lab-edge-01")[1]["host key"]["next"] == "longarm host enrol lab-edge-01"
    code, rows = way(console, "lab-backup-01")
    assert (code, list(rows)) == (3, ["name", "connection"])
    assert rows["connection"]["next"] == f"compare address and port in the inventory: {found['lab-backup-01']['address']}"
    console("host", "enrol", "lab-web-01", "--yes")
    _, rows = way(console, "lab-web-01")
    login = rows["login"]["detail"].partition(": key ")
    assert (rows["login"]["state"], login[0], login[2].split()[0]) == ("ok", "trainee (lab)", f"{console.home}/lab/keys/client")
    assert rows["algorithms"]["state"] == "ok" and rows["algorithms"]["detail"].endswith("(strict-kex: yes)")
    assert rows["round trip"]["state"] == "ok"
    known = console("inventory", "import", "lab-web-01", "--to", str(old := console.home / "old.yaml"))
    assert known.code == 0
    old.write_text(old.read_text().replace("lab-web-01: {", "lab-web-01: {ssh_algorithms: {macs: [+hmac-sha1]}, ", 1))
    _, rows = way(console, "lab-web-01", "--inventory", str(old))
    assert rows["algorithms"]["state"] == "note" and rows["algorithms"]["next"].endswith("macs +hmac-sha1")


def test_a_name_that_is_not_known_is_said(console: Console) -> None:
    console.inventory("hosts: {a: {address: no-such-host.invalid}, b: {}}\n")
    code, rows = way(console, "a")
    assert (code, rows["name"]["state"]) == (3, "problem")
    several = console("doctor", "--host", "all")
    assert (several.code, "one host at a time: “all” stands for 2" in several.err) == (2, True)
