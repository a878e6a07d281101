"""Patterns of scripts that a playbook must not have (T7, T20): a table, each with what to do instead.

What sh would run is read as sh reads it (`shell_dangers`); here is what is known by its letters, wherever it stands.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from inventory.errors import Text
from playbooks.issues import Grade, Issue
from playbooks.keys import Script
from playbooks.shell_dangers import Told, dangers_of_sh
from playbooks.shell_looks import changes_in_look, told_of_look


@dataclass(frozen=True, slots=True, kw_only=True)
class Danger:
    """One pattern."""

    code: str
    pattern: re.Pattern[str]
    """Its group `at`, where it has one, is the place."""
    text: Text
    hint: Text
    shells: tuple[str, ...] = ("sh", "powershell")
    grade: Grade = Grade.ERROR


def _of(pattern: str, flags: int = 0) -> re.Pattern[str]:
    return re.compile(pattern, re.MULTILINE | flags)


_SIGNED = Text("signatures and certificates are verified; what is not signed is not installed")
DANGERS: Final = (
    Danger(
        code="danger.eval",
        pattern=_of(r"(?P<at>\b(?:Invoke-Expression|iex)\b|\[ScriptBlock\]::Create)", re.IGNORECASE),
        text=Text("Invoke-Expression makes text into commands"),
        hint=Text("values are in variables already"),
        shells=("powershell",),
    ),
    Danger(
        code="danger.reboot",
        pattern=_of(r"(?P<at>\b(?:Restart-Computer|Stop-Computer)\b|\bshutdown(?:\.exe)?\s+[/-][rs]\b)", re.IGNORECASE),
        text=Text("a reboot that is not the action reboot proves nothing and looks like a lost host"),
        hint=Text("reboot: {}"),
        shells=("powershell",),
    ),
    Danger(
        code="danger.rm",
        pattern=_of(r"(?P<at>\b(?:Remove-Item|rm|ri|del|rmdir)\b[^\n;|]*-Recurse[^\n;|]*)", re.IGNORECASE),
        text=Text("rm -r of something that may be empty, or of much more than is meant"),
        hint=Text("the action file with state: absent"),
        shells=("powershell",),
        grade=Grade.WARNING,
    ),
    Danger(
        code="danger.unsigned",
        pattern=_of(
            r"(?P<at>--allow-unauthenticated|--force-yes|--allow-downgrades|--no-?gpg-?checks?|--nosignature|--nodigest"
            r"|--allow-untrusted|--no-verify-ssl|--trusted-host|AllowUnauthenticated|AllowInsecureRepositories|AllowWeakRepositories"
            r"|\[[^\]\n]*trusted=yes|gpgcheck\s*=\s*0|sslverify\s*=\s*(?:0|false)|repo_gpgcheck\s*=\s*0)",
            re.IGNORECASE,
        ),
        text=_SIGNED,
        hint=Text("delete it"),
    ),
    Danger(
        code="danger.unsigned",
        pattern=_of(
            r"(?P<at>-SkipPublisherCheck|-SkipCertificateCheck|-AllowUnsigned\w*|ServerCertificateValidationCallback"
            r"|Set-ExecutionPolicy)",
            re.IGNORECASE,
        ),
        text=_SIGNED,
        hint=Text("delete it"),
    ),
    Danger(
        code="danger.insecure",
        pattern=_of(
            r"(?P<at>--no-check-certificate|\bcurl\b[^\n;|]*[ \t](?:-[a-zA-Z]*k[a-zA-Z]*|--insecure)\b"
            r"|StrictHostKeyChecking[= ]no|UserKnownHostsFile[= ]/dev/null)"
        ),
        text=_SIGNED,
        hint=Text("delete it"),
    ),
    Danger(
        code="danger.pipe_to_shell",
        pattern=_of(
            r"(?P<at>\b(?:DownloadString|Invoke-WebRequest|iwr|irm|Invoke-RestMethod)\b[^\n;]*\|\s*iex\b)", re.IGNORECASE
        ),
        text=Text("what a server says is run unseen"),
        hint=Text("put the file beside the playbook, or install a package"),
        shells=("powershell",),
    ),
)
_CHANGING: Final = _of(
    r"\b(?:(?:Add|Clear|Copy|Move|New|Remove|Rename|Set)-(?:Content|Item|ItemProperty)|(?:Restart|Set|Start|Stop)-Service"
    r"|(?:Restart|Stop)-Computer|Stop-Process|Out-File)\b(?![^\n;|]*-WhatIf)",
    re.IGNORECASE,
)
"""What changes a Windows host."""
_ARITHMETIC: Final = re.compile(r"\$\(\((?P<inside>(?:[^()]|\([^()]*\))*)\)\)")


def dangers_in(script: Script, shell: str, values: frozenset[str] = frozenset()) -> Iterator[Issue]:
    """Yield the dangerous patterns of a script; comments are none.

    `values` are the variables in which a text may stand that the script does not know.
    """
    if shell == "sh":
        yield from _issues(script, dangers_of_sh(script.text, values))
    text = _without_comments(script.text)
    for danger in DANGERS:
        if shell not in danger.shells:
            continue
        for match in danger.pattern.finditer(text):
            offset = next((match.start(name) for name, found in match.groupdict().items() if found), match.start())
            yield issue_at(script, offset, danger.code, danger.grade, danger.text, danger.hint)


def changes_in(script: Script, shell: str) -> Iterator[Issue]:
    """Yield where a script that is to look only changes the host, as far as that is obvious."""
    found = changes_in_look(script.text) if shell == "sh" else _changes_in_powershell(script.text)
    yield from _issues(script, found)


def _changes_in_powershell(text: str) -> Iterator[tuple[int, Told]]:
    for match in _CHANGING.finditer(_without_comments(text)):
        yield match.start(), told_of_look(match[0])


def _issues(script: Script, found: Iterable[tuple[int, Told]]) -> Iterator[Issue]:
    for offset, told in found:
        yield issue_at(script, offset, told.code, told.grade, told.text, told.hint)


def untyped_arithmetic(script: Script, texts: frozenset[str]) -> Iterator[Issue]:
    """Yield where a variable that is a text is counted with: shells evaluate what is in it."""
    for match in _ARITHMETIC.finditer(script.text):
        for name in texts:
            if found := re.search(rf"(?<![A-Za-z0-9_]){name}\b", match["inside"]):
                hint = Text("make it an int: vars: {{{name}: int(…)}}", name=name)
                said = Text("arithmetic with “{name}”, which is a text: a shell evaluates what is in it", name=name)
                yield issue_at(script, match.start("inside") + found.start(), "danger.arithmetic", Grade.ERROR, said, hint)


def issue_at(script: Script, offset: int, code: str, grade: Grade, text: Text, hint: Text) -> Issue:
    """Return what is said of a place in a script, which is counted in characters from its beginning."""
    line = script.text.count("\n", 0, offset)
    column = offset - (script.text.rfind("\n", 0, offset) + 1)
    return Issue(code=code, grade=grade, place=script.at(line + 1, column + 1), text=text, hint=hint)


def _without_comments(text: str) -> str:
    """Return a script with its whole-line comments blanked, every other character where it was."""
    return re.sub(r"^[ \t]*#[^\n]*", lambda match: " " * len(match[0]), text, flags=re.MULTILINE)
