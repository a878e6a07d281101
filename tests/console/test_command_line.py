"""The command line itself: help, options anywhere, errors that tell the place and the next step, exit codes."""

from __future__ import annotations

import importlib
import json
import os
import pkgutil
import signal
import subprocess
from importlib.metadata import version
from pathlib import Path

import click
import pytest

import console.main
from console import faults
from console.framework import Command, Group
from console.listing import show_list
from console.settings import Output
from inventory.errors import LongarmError, Text
from inventory.version import VERSION
from tests.console.conftest import LONGARM, Console

HOSTS = "hosts:\n  web1: {address: 127.0.0.1}\n  db1: {address: 127.0.0.1, port: 2222}\n"


def all_commands(group: Group = console.main.ROOT, path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    """Return the path of every command and group."""
    found = []
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        found.append((*path, name))
        if isinstance(command, Group):
            found += all_commands(command, (*path, name))
    return found


@pytest.mark.parametrize("language", ["en", "ru"])
@pytest.mark.parametrize("path", [(), *all_commands()], ids=" ".join)
def test_every_command_has_a_help_page(path: tuple[str, ...], language: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert console.main.run([*path, "--lang", language, "--help"]) == 0
    page = capsys.readouterr().out
    assert "--home DIR" in page
    assert ("Использование:" if language == "ru" else "Usage:") in page


def test_the_version_is_where_people_look_for_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert console.main.run(["--version"]) == 0
    assert capsys.readouterr().out == f"longarm {version('longarm')}\n"


@pytest.mark.parametrize(("language", "words"), [("en", "roles are advisory"), ("ru", "роли")])
def test_the_doctor_says_what_roles_are_worth(console: Console, language: str, words: str) -> None:
    (line,) = (line for line in console("doctor", "--lang", language).out.splitlines() if line.startswith(("roles", "роли")))
    assert words in line.lower()


def test_the_doctor_ends_in_the_readers_language(console: Console) -> None:
    assert console("doctor").err.splitlines()[-1] == "all is well with longarm"
    assert console("doctor", "--lang", "ru").err.splitlines()[-1] == "с longarm всё в порядке"


@pytest.mark.parametrize(
    ("version", "state", "words"),
    [
        ((3, 40, 1), "note", {"en": "before 3.51.3", "ru": "до 3.51.3"}),
        ((3, 51, 2), "note", {"en": "it is avoided", "ru": "этого избегает"}),
        ((3, 51, 3), "ok", {"en": "3.51.3", "ru": "3.51.3"}),
        ((4, 0, 0), "ok", {"en": "4.0.0", "ru": "4.0.0"}),
    ],
)
@pytest.mark.parametrize("language", ["en", "ru"])
def test_the_doctor_warns_of_a_database_engine_with_the_fault(
    version: tuple[int, int, int],
    state: str,
    words: dict[str, str],
    language: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("sqlite3.sqlite_version_info", version)
    monkeypatch.setattr("sqlite3.sqlite_version", ".".join(map(str, version)))
    console.main.run(["doctor", "--home", str(tmp_path), "--lang", language, "--json"])
    (row,) = (row for row in json.loads(capsys.readouterr().out) if row["what"] == "SQLite")
    assert row["state"] == state
    assert words[language] in row["detail"] + row["next"]
    assert bool(row["next"]) == (state == "note")


def test_the_version_is_that_of_the_installed_distribution() -> None:
    assert version("longarm") == VERSION


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys, console.main; console.main.run(['--help']); "
        "heavy = {'asyncssh', 'sqlalchemy', 'alembic', 'cel', 'jc', 'jinja2', 'babel', 'rich', 'yaml', 'uvloop'}; "
        "sys.exit(' '.join(heavy & set(sys.modules)) or 0)"
    )
    done = subprocess.run([Path(LONGARM).with_name("python"), "-c", code], capture_output=True, check=False)
    assert done.returncode == 0, done.stderr


def test_common_options_stand_before_or_after_the_command(console: Console, tmp_path: Path) -> None:
    path = tmp_path / "elsewhere.yaml"
    path.write_text(HOSTS)
    before = console("--inventory", str(path), "-o", "name", "inventory", "list")
    after = console("inventory", "list", "--inventory", str(path), "-o", "name")
    assert before == after
    assert (before.code, before.out) == (0, "web1\ndb1\n")


def test_every_form_of_a_list(console: Console) -> None:
    console.inventory(HOSTS)
    assert [host["host"] for host in console("inventory", "list", "--json").json()] == ["web1", "db1"]
    assert console("inventory", "list", "db1", "-o", "jsonl").json()["address"] == "127.0.0.1:2222"
    assert console("inventory", "list", "-o", "csv").out.startswith("host,address,")
    assert console("inventory", "list").out.splitlines()[0].split()[:2] == ["HOST", "ADDRESS"]
    assert console("inventory", "show", "web1", "--json").json()["hosts"][0]["platform"] == "linux"


def test_lists_for_machines_are_lossless_and_no_formula(capsysbinary: pytest.CaptureFixture[bytes]) -> None:
    rows = [{"name": "=a" + "\u0301" * 9 + "\u2800\u3164\u0378\U000e0041\x7f\x1bé"}]
    for output, read in ((Output.JSON, json.loads), (Output.JSONL, lambda line: [json.loads(line)])):
        show_list(output, {"name": Text("name")}, rows)
        out = capsysbinary.readouterr().out.decode()
        assert read(out) == rows
        assert not set("\u2800\u3164\x7f\x1b") & set(out)
    show_list(Output.CSV, {"name": Text("name")}, rows)
    assert capsysbinary.readouterr().out.decode().splitlines()[1].startswith("'=a")


def test_the_list_of_practice_hosts_does_not_name_what_ails_them(console: Console) -> None:
    rows = console("lab", "list", "--json").json()
    assert [set(row) for row in rows] == [{"title", "learn", "hosts"}] * 12
    assert "full-disk" not in console("lab", "list").out


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (["inventori"], 2, ["no such command: longarm inventori", "did you mean inventory?"]),
        (["inventory", "lst"], 2, ["did you mean list?"]),
        (["inventory", "show"], 2, ["TARGETS is missing", "longarm inventory show --help"]),
        (["inventory", "list", "--hom", "x"], 2, ["--hom", "did you mean --home"]),
        (["inventory", "list", "-o", "yaml"], 2, ["-o", "yaml", "table"]),
        (["inventory", "list", "web9"], 6, ["web9", "web1"]),
        (["inventory", "list", "web1 and"], 2, ["column 9"]),
        (["inventory", "list", "--inventory", "missing.yaml"], 2, ["missing.yaml:1:1"]),
        (["diagnose", "web9"], 6, ["web9", "web1"]),
        (["diagnose", "web1", "--check", "fs-spac"], 2, ["no such check: fs-spac", "fs-space"]),
        (["diagnose", "web1", "--concurrency", "0"], 2, ["--concurrency"]),
        (["diagnose", "web1", "--probes", "missing.yaml"], 2, ["missing.yaml:1:1"]),
        (["run", "show", "nosuchrun"], 6, ["nosuchrun", "longarm run list"]),
        (["run", "resume", "nosuchrun"], 6, ["nosuchrun", "longarm run list"]),
        (["case", "show", "NONE-1"], 6, ["NONE-1", "longarm case list"]),
        (["check", "show", "fs-spac"], 2, ["fs-space"]),
        (["probe", "show", "nothing"], 2, ["nothing"]),
        (["host", "enrol", "web1", "--fingerprint", "web1"], 2, ["HOST=SHA256:"]),
        (["host", "enrol", "web1", "--fingerprint", "db1=SHA256:x"], 2, ["db1"]),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_errors_tell_what_where_and_the_next_step(console: Console, arguments: list[str], code: int, told: list[str]) -> None:
    console.inventory(HOSTS)
    done = console(*arguments)
    assert done.code == code, done
    assert done.out == ""
    for part in told:
        assert part in done.err


def test_all_mistakes_of_an_inventory_at_once(console: Console) -> None:
    path = console.inventory("hosts:\n  web1: {adress: 10.0.0.1}\n  db1: {port: many}\n")
    done = console("inventory", "check")
    assert done.code == 2
    assert f"{path}:2:10" in done.err
    assert f"{path}:3:" in done.err
    assert "address" in done.err


def test_a_home_that_everyone_may_write_is_refused(console: Console) -> None:
    console.inventory(HOSTS)
    console.home.chmod(0o777)
    done = console("inventory", "check")
    assert done.code == 7
    assert f"chmod o-w {console.home}" in done.err


def test_nothing_is_read_from_the_current_directory(console: Console) -> None:
    (console.home.parent / "inventory.yaml").write_text(HOSTS)
    (console.home.parent / "longarm.toml").write_text("broken [")
    assert console("inventory", "check").code == 2


def test_a_fault_of_ours_leaves_a_private_crash_file_and_no_traceback(console: Console) -> None:
    code = "import sys, console.main, console.faults as f; sys.excepthook = f.crashed; {}['no such key']"
    python = str(Path(LONGARM).with_name("python"))
    done = subprocess.run([python, "-c", code], env=console.environ, capture_output=True, text=True, check=False)
    assert done.returncode == 7
    assert "Traceback" not in done.stderr
    (crash,) = (console.home / "crashes").iterdir()
    assert str(crash) in done.stderr
    assert "no such key" in crash.read_text()
    assert crash.stat().st_mode & 0o777 == 0o600


def test_a_reader_that_leaves_early_changes_nothing(console: Console) -> None:
    console.inventory("hosts:\n  web[0001:3000]: {}\n")
    process = console.start("inventory", "list", "-o", "name")
    assert process.stdout and process.stderr
    process.stdout.readline()
    process.stdout.close()
    error = process.stderr.read()
    process.stderr.close()
    assert process.wait(60) == 0
    assert error == b""


def test_russian_is_spoken_where_it_is_wanted(console: Console) -> None:
    console.inventory(HOSTS)
    for done in (
        console("inventory", "list", "web9", "--lang", "ru"),
        console("inventory", "list", "web9", environ={"LONGARM_LANG": "ru"}),
        console("inventory", "list", "web9", environ={"LANG": "ru_RU.UTF-8"}),
    ):
        assert done.code == 6
        assert "ошибка" in done.err


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_scripts(console: Console, shell: str) -> None:
    done = console("completion", shell)
    assert done.code == 0
    assert "_LONGARM_COMPLETE" in done.out


@pytest.mark.parametrize(
    ("words", "offered"),
    [("longarm inv", "inventory"), ("longarm diagnose we", "web1"), ("longarm check show fs-sp", "fs-space")],
)
def test_completion_knows_names(console: Console, words: str, offered: str) -> None:
    console.inventory(HOSTS)
    environ = {"COMP_WORDS": words, "COMP_CWORD": str(len(words.split()) - 1), "_LONGARM_COMPLETE": "bash_complete"}
    assert f"plain,{offered}" in console(environ=environ).out.splitlines()


def test_every_error_has_an_exit_code_and_every_code_an_error() -> None:
    for package in ("inventory", "remote", "diagnostics", "playbooks", "runner", "reports", "console"):
        folder = importlib.import_module(package)
        for module in pkgutil.walk_packages(folder.__path__, f"{package}."):
            if module.name not in ("remote.lab.server", "console.demo"):
                importlib.import_module(module.name)
    known: set[str] = set()
    todo = [LongarmError]
    while todo:
        kind = todo.pop()
        known.add(kind.__name__)
        todo += kind.__subclasses__()
        assert any(base.__name__ in faults.EXITS for base in kind.__mro__)
    assert set(faults.EXITS) <= known


def test_commands_are_short() -> None:
    for path in all_commands():
        command: click.Command | None = console.main.ROOT
        for name in path:
            assert isinstance(command, Group)
            command = command.get_command(click.Context(command), name)
        if isinstance(command, Command):
            code = command.body.__code__
            lines = sorted({line for _, _, line in code.co_lines() if line} - {code.co_firstlineno})
            assert lines[-1] - lines[0] < 20, path


def test_no_color_reaches_no_terminal_codes(console: Console) -> None:
    console.inventory(HOSTS)
    assert "\x1b" not in console("inventory", "list", environ={"TERM": "xterm-256color"}).out
    assert os.linesep in console("version").out


def test_signs_that_a_terminal_cannot_show_are_no_reason_to_fail(console: Console) -> None:
    console.inventory(HOSTS)
    done = console("inventory", "list", "web9", environ={"PYTHONIOENCODING": "ascii:strict"})
    assert done.code == 6
    assert "\\u201c" in done.err


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_closed_streams_are_no_reason_to_fail(console: Console, closed: str) -> None:
    console.inventory(HOSTS)
    done = subprocess.run(
        ["/bin/sh", "-c", f"{LONGARM} inventory list {closed}"], env=console.environ, capture_output=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert b"Traceback" not in done.stderr


def test_no_module_is_imported_from_the_current_directory(console: Console, tmp_path: Path) -> None:
    """An attachment that was unpacked where longarm is started must not run (T17)."""
    planted = tmp_path / "planted"
    for name in ("click", "yaml", "asyncssh", "inventory", "console", "sitecustomize", "usercustomize", "conftest"):
        (tmp_path / f"{name}.py").write_text(f"from pathlib import Path\nPath({str(planted)!r}).touch()\n")
    assert console.home.parent == tmp_path, "that is where longarm is started"
    assert console.afresh("doctor").code == 0
    assert not planted.exists()


_RAISED = "import os, signal\nos.kill(os.getpid(), signal.{name})\n"
_SWALLOWED = "import os, signal\ntry:\n    os.kill(os.getpid(), signal.{name})\nexcept BaseException:\n    pass\n"


@pytest.mark.parametrize("planted", [_RAISED, _SWALLOWED], ids=["raised", "swallowed"])
@pytest.mark.parametrize(("name", "code"), [("SIGINT", 130), ("SIGTERM", -signal.SIGTERM)])
def test_a_signal_while_longarm_is_being_loaded_ends_it_without_a_word(
    console: Console, tmp_path: Path, name: str, code: int, planted: str
) -> None:
    (tmp_path / "click.py").write_text(planted.format(name=name))
    assert _with_plants(console, tmp_path) == (code, b"", b"")


def test_an_interrupt_while_a_command_is_being_loaded_ends_it_with_an_empty_line(console: Console, tmp_path: Path) -> None:
    (tmp_path / "yaml.py").write_text(_RAISED.format(name="SIGINT"))
    assert _with_plants(console, tmp_path) == (130, b"", b"\n")


def _with_plants(console: Console, folder: Path) -> tuple[int, bytes, bytes]:
    """Return exit code, stdout and stderr of a longarm that finds modules of this folder before all others."""
    console.inventory(HOSTS)
    environ = console.environ | {"PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1"}
    command = ["env", "--default-signal=INT", LONGARM, "inventory", "list"]  # who tests in the background ignores it
    done = subprocess.run(command, env=environ, capture_output=True, timeout=300, check=False)
    return done.returncode, done.stdout, done.stderr


def test_an_interrupt_that_is_not_wanted_is_none(console: Console) -> None:
    """A shell starts what is to run in the background with interrupts ignored."""
    script = 'trap "" INT; exec "$0" "$@"'
    code = "import os, signal; os.kill(os.getpid(), signal.SIGINT)"
    (console.home.parent / "sitecustomize.py").write_text(code)
    done = subprocess.run(
        ["sh", "-c", script, LONGARM, "--version"],
        env=console.environ | {"PYTHONPATH": str(console.home.parent)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, f"longarm {VERSION}\n", "")


def test_an_interrupt_beside_the_command_is_no_fault(console: Console) -> None:
    code = "import sys, console.faults as f; sys.excepthook = f.crashed; raise KeyboardInterrupt"
    python = str(Path(LONGARM).with_name("python"))
    done = subprocess.run([python, "-c", code], env=console.environ, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "")
    assert not console.home.exists()


@pytest.mark.parametrize("words", [("-h",), ("run", "-h"), ("run", "list", "-h")])
def test_help_has_a_short_name_too(console: Console, words: tuple[str, ...]) -> None:
    short, long = console(*words), console(*words[:-1], "--help")
    assert (short.code, short.out) == (0, long.out) and "-h, --help" in short.out


def test_a_folder_that_is_named_and_not_there_is_told(console: Console, tmp_path: Path) -> None:
    missing = str(tmp_path / "typed-wrongly")
    looked = console("--home", missing, "run", "list", "--json")
    assert (looked.code, looked.json()) == (0, [])
    assert f"note: there is no folder {missing}, so nothing was found in it" in looked.err
    assert "note:" not in console("--home", missing, "run", "list", "--quiet").err
    (tmp_path / "empty").mkdir(mode=0o700)
    assert "note:" not in console("--home", str(tmp_path / "empty"), "run", "list").err
