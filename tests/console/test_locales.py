"""The locale C, in a process that starts with it: Russian and hostile names are printed, nothing is lost, nothing fails."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass

import pytest

from tests.console.conftest import LONGARM, Console
from tests.forked import Forked
from tests.inventory.test_names import HOSTILE

UTF8 = {"LANG": "C.UTF-8"}
LOCALES = {
    "C": ({"LC_ALL": "C"}, "utf-8"),  # Python takes it for UTF-8 (PEP 538, PEP 540)
    "C, by the letter": ({"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}, "ascii"),
    "Latin 1": ({"LC_ALL": "C", "PYTHONIOENCODING": "latin-1"}, "latin-1"),
}
"""Environments of a start, with the encoding of what is printed then."""
GOOD = """
hosts:
  web1: {site: Центр «Север», customer: "ООО <b>Ромашка</b> $(id) 例え", address: 192.0.2.1}
"""
_ODD = [name for name, _ in HOSTILE if not (name.isascii() and name.isprintable()) and "\0" not in name]
BAD = "hosts:\n" + "".join(f"  {json.dumps(name)}: {{}}\n" for name in _ODD)
COMMANDS: dict[str, tuple[int, tuple[str | bytes, ...]]] = {
    "a list": (0, ("inventory", "list", "--lang", "ru")),
    "a document": (0, ("inventory", "show", "web1", "--json")),
    "hostile names": (2, ("inventory", "check", "--inventory", "BAD", "--lang", "ru")),
    "a file whose name is no text": (
        2,
        ("inventory", "check", "--inventory", b"/nowhere/\xff\xfe.yaml", "--lang", "ru"),
    ),
    "a case": (0, ("case", "list", "--lang", "ru")),
    "a report": (0, ("run", "show", "--lang", "ru", "RUN")),
}
TOLD = {
    "a list": "Центр «Север»",
    "a document": "$(id) 例え",
    "hostile names": "сервер",
    "a file whose name is no text": "не читается",
    "a case": "Дело №1: $(id) «例え»",
    "a report": "обращение Дело №1: $(id)",
}
CASE = "Дело №1: $(id) «例え» \u0301"


def printed(console: Console, words: tuple[str | bytes, ...], environ: dict[str, str]) -> tuple[int, bytes, bytes]:
    """Return exit code, stdout and stderr of a process that starts with this environment and no other word on languages."""
    plain = {name: value for name, value in console.environ.items() if name != "LANG"}
    command = [os.fsencode(LONGARM), *map(os.fsencode, words)]
    done = subprocess.run(command, env=plain | environ, stdin=subprocess.DEVNULL, capture_output=True, check=False)
    return done.returncode, done.stdout, done.stderr


@dataclass(frozen=True, slots=True)
class Printed:
    """A longarm, command lines for it, and what they print in UTF-8."""

    console: Console
    commands: Mapping[str, tuple[str | bytes, ...]]
    whole: Mapping[str, tuple[int, bytes, bytes]]


@pytest.fixture(scope="module")
def in_utf8(tmp_path_factory: pytest.TempPathFactory, forked: Forked) -> Printed:
    """Return a longarm that has hosts with names in Russian, and a run on a case with a name that is hostile."""
    console = Console(tmp_path_factory.mktemp("locales") / "home", forked)
    console.inventory("hosts: {here: {transport: local, site: Здесь}}\n")
    ran = console("diagnose", "here", "--check", "fs-space", "--fail-on", "never", f"--case={CASE}", "--json")
    assert ran.code == 0, ran.err
    console.inventory(GOOD)
    (console.home / "bad.yaml").write_text(BAD)
    given = {"RUN": ran.json()["run"], "BAD": str(console.home / "bad.yaml")}
    commands = {what: tuple(given.get(str(word), word) for word in words) for what, (_, words) in COMMANDS.items()}
    return Printed(console, commands, {what: printed(console, words, UTF8) for what, words in commands.items()})


@pytest.mark.parametrize("what", COMMANDS)
def test_what_is_printed_in_utf8(what: str, in_utf8: Printed) -> None:
    code, out, err = in_utf8.whole[what]
    assert code == COMMANDS[what][0], err
    assert TOLD[what] in (out + err).decode()


@pytest.mark.parametrize("locale", LOCALES)
@pytest.mark.parametrize("what", COMMANDS)
def test_whatever_the_locale_all_of_it_is_printed_and_nothing_fails(what: str, locale: str, in_utf8: Printed) -> None:
    environ, encoding = LOCALES[locale]
    code, *whole = in_utf8.whole[what]
    said = printed(in_utf8.console, in_utf8.commands[what], environ)
    assert b"Traceback" not in said[2]
    assert said == (code, *(_as(text, encoding) for text in whole))
    assert not (in_utf8.console.home / "crashes").exists()


def _as(text: bytes, encoding: str) -> bytes:
    """Return what was printed in UTF-8 in another encoding: what that has no sign for as its escape."""
    return text if encoding == "utf-8" else text.decode("utf-8").encode(encoding, "backslashreplace")
