"""Commands: run at most once, and what they may not be."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from remote.answer import Ended
from remote.bundle import BundleExchange
from remote.bundle.script import quote
from remote.command import MOST_STDIN, Command, as_format
from remote.local import open_local
from remote.question import Privilege, Question
from tests.remote.shells import HERE

PIECES = 600
"""Pieces that a program writes one by one; a filter that calm questions share takes 264 and is gone (runner.sh)."""


@pytest.fixture
def counting_date(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Put a program before `date`, which passes for calm by its name, that notes each start; return where it does."""
    ran, program = tmp_path / "ran", tmp_path / "bin" / "date"
    program.parent.mkdir()
    loop = f'i=0; while [ "$i" -lt {PIECES} ]; do env printf x; i=$((i + 1)); done'
    program.write_text(f"#!/bin/sh\necho ran >>{ran}\n{loop}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:/usr/bin:/bin")
    return ran


def runs(ran: Path) -> int:
    return ran.read_text().count("ran")


async def test_a_question_whose_end_is_lost_on_its_way_is_asked_again(counting_date: Path) -> None:
    wild = Question(id="wild", script="sh -c 'echo wild'")  # from the first that is not calm on there are filters
    async with open_local(HERE) as session:
        answer = (await session.ask([wild, Question(id="date", script="date")], deadline_s=60))["date"]
    assert (answer.ended, answer.stdout) == (Ended.EXITED, b"x" * PIECES)
    assert runs(counting_date) > 1


async def test_a_command_whose_end_is_lost_on_its_way_is_not_run_again(counting_date: Path) -> None:
    async with open_local(HERE) as session:
        result = await session.run(Command(script="date"), deadline_s=60)
    assert (result.ended, result.exit_status, result.succeeded) == (Ended.LOST, None, False)
    assert runs(counting_date) == 1


def test_root_where_it_can_be_had_is_no_privilege_of_a_command() -> None:
    with pytest.raises(ValueError, match="one user or the other"):
        Command(script="reboot", privilege=Privilege.PREFER_ROOT)


@pytest.mark.parametrize("variables", [{"value": "a\0b"}, {"PATH": "/"}, {"la_n": "x"}, {"a b": "x"}], ids=str)
def test_nul_and_names_that_are_none_are_refused(variables: dict[str, str]) -> None:
    with pytest.raises(ValueError, match=r"NUL|variable name"):
        Command(script=":", variables=variables)


def test_a_file_is_no_stdin() -> None:
    with pytest.raises(ValueError, match="for `put`"):
        Command(script="cat", stdin=bytes(MOST_STDIN + 1))


@pytest.mark.parametrize("shell", ["dash", "bash", "busybox sh"])
def test_every_shell_makes_all_bytes_from_their_format(shell: str) -> None:
    words = [shutil.which(shell.split()[0]) or shell, *shell.split()[1:]]
    for data in (bytes(range(256)) * 3 + b"%s %d \\n \\0", b"-n no option", b"--", b"-"):
        printed = subprocess.run([*words, "-c", f"printf {quote(as_format(data))}"], capture_output=True, check=True)
        assert printed.stdout == data


async def test_values_are_data_also_on_a_hostile_day() -> None:
    hostile = "'; echo owned; '`echo owned >&2`$(echo owned >&2)"
    async with open_local(HERE) as session:
        result = await session.run(Command(script='printf %s "$x"', variables={"x": hostile}), deadline_s=60)
    assert (result.stdout.decode(), result.stderr) == (hostile, b"")


def test_what_a_command_reads_is_in_its_bundle_and_not_in_its_repr() -> None:
    command = Command(script="cat", stdin=b"s3cret")
    assert "s3cret" not in repr(command)
    assert b"printf '\\''s3cret'\\'' | eval" in BundleExchange([command.question()]).script


@pytest.mark.parametrize(("cut", "ended"), [(True, Ended.LOST), (False, Ended.NOT_RUN)])
def test_of_a_command_whose_connection_went_nobody_knows_whether_it_began(cut: bool, ended: Ended) -> None:
    """Its first mark may have been on its way: it was told as not begun, though it had run."""
    command, read = Command(script="reboot").question(), Question(id="read", script="true")
    answers = BundleExchange([command, read]).finish("connection lost", cut=cut)
    assert (answers[command.id].ended, answers["read"].ended) == (ended, Ended.NOT_RUN)
    assert answers[command.id].why.startswith("connection lost")
