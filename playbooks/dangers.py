"""Patterns of scripts that a playbook must not have (T7, T20): a table, each with what to do instead."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from inventory.errors import Text
from playbooks.issues import Grade, Issue
from playbooks.keys import Script

_BEGIN = r"(?:^|[;|&({]|\b(?:then|do|else)\b|\bsudo\b|\bexec\b|\bnohup\b)[ \t]*"
"""Where a command begins."""


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
        pattern=_of(rf"{_BEGIN}(?P<at>eval\b)"),
        text=Text("eval makes text into commands"),
        hint=Text("values are in variables already"),
        shells=("sh",),
    ),
    Danger(
        code="danger.eval",
        pattern=_of(r"(?P<at>\b(?:Invoke-Expression|iex)\b|\[ScriptBlock\]::Create)", re.IGNORECASE),
        text=Text("Invoke-Expression makes text into commands"),
        hint=Text("values are in variables already"),
        shells=("powershell",),
    ),
    Danger(
        code="danger.shell_c",
        pattern=_of(rf"{_BEGIN}(?P<at>(?:ba|da|z|k)?sh[ \t]+-[a-z]*c[ \t]+(?:\"[^\"]*\$|\$|[^'\"\s]*\$))"),
        text=Text("a value becomes the text of a command"),
        hint=Text("""sh -c '… "$1"' sh "$value\""""),
        shells=("sh",),
    ),
    Danger(
        code="danger.reboot",
        pattern=_of(
            rf"{_BEGIN}(?P<at>(?:/usr)?/?(?:sbin/|bin/)?(?:reboot|poweroff|halt|shutdown)\b"
            r"|systemctl[ \t]+(?:--?\S+[ \t]+)*(?:reboot|poweroff|halt|kexec)\b|(?:tel)?init[ \t]+[06]\b)"
        ),
        text=Text("a reboot that is not the action reboot proves nothing and looks like a lost host"),
        hint=Text("reboot: {}"),
        shells=("sh",),
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
        pattern=_of(
            rf"{_BEGIN}(?P<at>rm[ \t]+(?:-\S+[ \t]+)*-[A-Za-z]*[rR][A-Za-z]*[ \t]+(?:-\S*[ \t]+)*"
            r"[^;|&\n]*?(?:\"?\$(?!\{[A-Za-z0-9_]+:\?)|(?<=[ \t])/\S{0,12}(?=[ \t;]|$)|(?<=[ \t])~|(?<=[ \t])[./]*\*))"
        ),
        text=Text("rm -r of something that may be empty, or of much more than is meant"),
        hint=Text('"${dir:?}/name", or the action file with state: absent'),
        shells=("sh",),
    ),
    Danger(
        code="danger.rm",
        pattern=_of(rf"{_BEGIN}(?P<at>find[ \t]+(?:/[ \t]|\"?\$(?!\{{[A-Za-z0-9_]+:\?))[^\n]*(?:-delete\b|-exec[ \t]+rm\b))"),
        text=Text("find deletes below something that may be empty, or everything"),
        hint=Text('find "${dir:?}" -xdev -name … -delete'),
        shells=("sh",),
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
        code="danger.disk",
        pattern=_of(
            rf"{_BEGIN}(?P<at>(?:mkfs(?:\.\w+)?|wipefs|sgdisk|blkdiscard|shred)\b|dd\b[^\n;|]*\bof=/dev/(?!null))"
            r"|(?P<to>>[ \t]*/dev/(?:sd|nvme|vd|md|mapper))"
        ),
        text=Text("it overwrites a disk"),
        hint=Text("no playbook does that"),
        shells=("sh",),
    ),
    Danger(
        code="danger.permissions",
        pattern=_of(r"(?P<at>\bchmod[ \t]+(?:-\S+[ \t]+)*(?:0?777|a\+rwx|[ugo]*\+?o?\+?w\b))"),
        text=Text("everybody may write what this makes"),
        hint=Text('the action file with mode: "0644"'),
        shells=("sh",),
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
        pattern=_of(r"(?P<at>\b(?:curl|wget)\b[^\n;]*\|[ \t]*(?:sudo[ \t]+)?(?:ba|da|z|k)?sh\b)"),
        text=Text("what a server says is run unseen"),
        hint=Text("put the file beside the playbook, or install a package"),
        shells=("sh",),
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
    Danger(
        code="danger.kill_all",
        pattern=_of(rf"{_BEGIN}(?P<at>kill[ \t]+(?:-\S+[ \t]+)+-1\b|killall5\b|:\(\)[ \t]*\{{)"),
        text=Text("it ends everything on the host"),
        hint=Text("name the processes"),
        shells=("sh",),
    ),
    Danger(
        code="danger.firewall",
        pattern=_of(
            rf"{_BEGIN}(?P<at>(?:ip6?tables[ \t]+(?:-t[ \t]+\w+[ \t]+)?-F\b|nft[ \t]+flush[ \t]+ruleset|ufw[ \t]+disable))"
        ),
        text=Text("it takes away all rules of the firewall"),
        hint=Text("change the one rule that is meant"),
        shells=("sh",),
        grade=Grade.WARNING,
    ),
)
_BUILTINS: Final = frozenset(("printf", "echo", "test", "[", "case", "if", "while", "until", "read", ":", "!"))
_ASSIGNED: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*=")
_ARITHMETIC: Final = re.compile(r"\$\(\((?P<inside>(?:[^()]|\([^()]*\))*)\)\)")


def dangers_in(script: Script, shell: str) -> Iterator[Issue]:
    """Yield the dangerous patterns of a script; comments are none."""
    text = _without_comments(script.text)
    for danger in DANGERS:
        if shell not in danger.shells:
            continue
        for match in danger.pattern.finditer(text):
            offset = next((match.start(name) for name, found in match.groupdict().items() if found), match.start())
            yield _issue(script, offset, danger.code, danger.grade, danger.text, danger.hint)


def secrets_on_command_lines(script: Script, secrets: frozenset[str]) -> Iterator[Issue]:
    """Yield where a secret becomes an argument or part of the environment: everybody on the host can read these (T7)."""
    text = _without_comments(script.text)
    for match in re.finditer(r"[^;|&\n]+", text):
        command = match[0].strip()
        words = command.split()
        while words and (words[0] in ("then", "do", "else", "if", "!") or _ASSIGNED.match(words[0])):
            words.pop(0)
        if not words or words[0] in _BUILTINS:
            continue
        for name in secrets:
            if found := re.search(rf"\$\{{?{name}\b", match[0]):
                hint = Text("""printf '%s' "${name}" | command""", name=name)
                said = Text("the secret “{name}” is on a command line, where everybody on the host can read it", name=name)
                yield _issue(script, match.start() + found.start(), "danger.secret", Grade.ERROR, said, hint)


def untyped_arithmetic(script: Script, texts: frozenset[str]) -> Iterator[Issue]:
    """Yield where a variable that is a text is counted with: shells evaluate what is in it."""
    for match in _ARITHMETIC.finditer(script.text):
        for name in texts:
            if found := re.search(rf"(?<![A-Za-z0-9_]){name}\b", match["inside"]):
                hint = Text("make it an int: vars: {{{name}: int(…)}}", name=name)
                said = Text("arithmetic with “{name}”, which is a text: a shell evaluates what is in it", name=name)
                yield _issue(script, match.start("inside") + found.start(), "danger.arithmetic", Grade.ERROR, said, hint)


def _issue(script: Script, offset: int, code: str, grade: Grade, text: Text, hint: Text) -> Issue:
    line = script.text.count("\n", 0, offset)
    column = offset - (script.text.rfind("\n", 0, offset) + 1)
    return Issue(code=code, grade=grade, place=script.at(line + 1, column + 1), text=text, hint=hint)


def _without_comments(text: str) -> str:
    """Return a script with its whole-line comments blanked, every other character where it was."""
    return re.sub(r"^[ \t]*#[^\n]*", lambda match: " " * len(match[0]), text, flags=re.MULTILINE)
