"""What click complains of is said in the user's language, in sentences of ours."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import click
import pytest

import console.main
from console.commands.serve import Mode
from console.files import FileOrText
from console.framework import Among
from console.main import ROOT
from tests.console.conftest import Console

CASES = [
    (["diagnose", "x", "--deadline", "0"], "--deadline: 0.0 is not from 1 to 86400"),
    (["diagnose", "x", "--deadline", "nan"], "--deadline: “nan” is no number of seconds"),
    (["diagnose", "x", "--deadline", "soon"], "--deadline: “soon” is no number"),
    (["diagnose", "x", "--concurrency", "x"], "--concurrency: “x” is no whole number"),
    (["diagnose", "x", "--concurrency", "it's"], "--concurrency: “it's” is no whole number"),
    (["report", "list", "--limit", "0"], "--limit: 0 is less than 1"),
    (["run", "export", "x", "--format", "pdf"], "--format: pdf is none of "),
    (["store", "restore", "/tmp"], "file: /tmp is a folder, not a file"),
    (
        ["store", "restore", "x", "--erasures-of", "/etc/hostname"],
        "--erasures-of: /etc/hostname is a file, not a folder",
    ),
    (["store", "restore", "x", "--erasures-of", "/no/such"], "--erasures-of: /no/such does not exist"),
    (["serve", "--mode", "9"], "--mode: “9” is no mode such as 0660"),
    (["run", "list", "--json=x"], "--json takes no value"),
    (["run", "list", "and", "more"], "nobody asks for this: and more"),
    (["run", "list", "'quoted"], "nobody asks for this: 'quoted"),
    (["run", "list", "'a'"], "nobody asks for this: 'a'"),
    (["run", "export", "x", "--format", "a' is not one of 'b"], "--format: a' is not one of 'b is none of "),
]


@pytest.mark.parametrize(("words", "told"), CASES, ids=lambda value: " ".join(value) if isinstance(value, list) else None)
def test_a_complaint_of_click_is_a_sentence_of_ours(words: list[str], told: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert console.main.run(words) == 2
    assert f"error: {told}" in capsys.readouterr().err
    assert console.main.run([*words, "--lang", "ru"]) == 2
    error = capsys.readouterr().err.splitlines()[0]
    assert error.startswith("ошибка: ")
    assert re.search("[а-я]{2}", error.partition(": ")[2]), error


def kinds(command: click.Command) -> Iterator[click.ParamType[Any]]:
    """Yield the kind of every parameter of a command, and of all below it."""
    yield from (param.type for param in command.params)
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            below = command.get_command(context, name)
            assert below is not None
            yield from kinds(below)


def test_no_parameter_is_of_a_kind_whose_complaints_nobody_has_put_into_words() -> None:
    plain = (type(click.STRING), type(click.BOOL))
    known = (click.IntRange, click.FloatRange, click.Choice, click.Path, Among, Mode, FileOrText, *plain)
    found = set(kinds(ROOT))
    assert len(found) > 10
    assert [kind for kind in found if not isinstance(kind, known)] == []


def test_what_is_a_sentence_of_ours_stays_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    assert console.main.run(["host", "get", "x", "/y", "--lang", "ru", "--last", "x"]) == 2
    assert "--last: «x» — не целое число" in capsys.readouterr().err


def test_several_hosts_typed_as_several_words_are_shown_as_one(console: Console) -> None:
    done = console("diagnose", "web1", "db1", "db2")
    assert done.code == 2 and done.err.splitlines()[-1] == "next: several hosts are one word: web1,db1,db2"
    assert "longarm diagnose --help" in console("diagnose").err
