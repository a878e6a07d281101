"""The script of a bundle: what one `/bin/sh` on the host reads from stdin (fixed parts: runner.sh, detours.sh, reaper.sh)."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from inventory.host import BecomeMethod
from remote.bundle.elevation import Elevation
from remote.bundle.frames import FORMAT
from remote.question import Privilege, Question

_WORD = r"(?:[A-Za-z0-9_./,:=@%+-]|'[^']*+')++"
_TO_NULL = r"(?:[12]?>/dev/null|2>&1|</dev/null)"
_COMMAND = rf"(?!la_)[a-z/][A-Za-z0-9_./+-]*+(?:[ \t]++(?:{_TO_NULL}(?![^ \t\n|;&])|{_WORD}(?![<>'])))*+"
_JOINT = r"[ \t]*+(?:\|\|?|&&|;|\n)[ \t\n]*+"
_PLAIN = re.compile(rf"[ \t\n]*+{_COMMAND}(?:{_JOINT}{_COMMAND})*+[ \t]*+;?[ \t\n]*+")
_LONE = re.compile(rf"[ \t\n]*+({_COMMAND})[ \t]*+;?[ \t\n]*+")
_FIRST_WORD = re.compile(r"(?:^|[|&;\n])[ \t]*+([a-z/][A-Za-z0-9_./+-]*+)")
_KEPT_WORDS = (
    "alias bg bind break builtin caller case cd chdir command compgen complete compopt continue coproc declare dirs "
    "disown do done elif else enable esac eval exec exit export fc fg fi for function getopts hash help history if in "
    "jobs kill let local logout mapfile popd pushd read readarray readonly return select set shift shopt source suspend "
    "then time times trap type typeset ulimit umask unalias unset until wait while"
)
_KEPT = frozenset(_KEPT_WORDS.split())
"""Keywords and builtins of dash, bash and ash that can end the shell or change it; `echo`, `printf`, `test` cannot."""

_CALM_WORDS = (
    "cat cut date df dmesg dpkg-query du echo false free grep head hostname id ip journalctl last ls lsblk lscpu lsmod "
    "nproc printf ps readlink rpm sort ss stat systemctl tail test tr true uname uniq uptime vmstat wc who"
)
_CALM = frozenset(_CALM_WORDS.split())
"""Programs that leave no process behind and write in blocks where stdout is a pipe: known to, whatever their arguments."""
_FOLDERS = ("", "/bin/", "/sbin/", "/usr/bin/", "/usr/sbin/")


_BUILT_IN = frozenset(("echo", "false", "printf", "test", "true"))


def write_script(questions: Sequence[Question], nonce: str, elevation: Elevation) -> bytes:
    """Return the script that asks `questions`; its head names the format, the nonce and each question.

    `elevation` says how another user is become, for the questions that want one.

    All of it is one compound command, so a script that was cut on its way runs nothing.
    """
    asked = [(index, question) for index, question in enumerate(questions) if question.shell == "sh"]
    as_user = [pair for pair in asked if pair[1].privilege is Privilege.USER]
    as_other = [pair for pair in asked if pair[1].privilege is not Privilege.USER]
    plain = quote(" ".join(str(index) for index, question in asked if question.calm or _stays(question.script)))
    calm = [index for index, question in asked if is_calm(question)]
    wild = "" if len(calm) == len(asked) else "1"
    tells = quote(" ".join(str(index) for index, question in asked if question.sleeps))
    once = "" if all(question.repeatable for question in questions) else "1"
    lines = [
        f"# {FORMAT}",
        f"# nonce {nonce}",
        *(f"# question {index} {question.id}" for index, question in enumerate(questions)),
        "{",
        f"la_n={nonce} la_tok={mark_of(nonce)} la_boss='' la_once={once}",
        f"la_plain={plain} la_calm={quote(' '.join(map(str, calm)))} la_tells={tells} la_wild={wild}",
        f"la_try={quote(_trying(elevation))} la_pw={quote(_asking(elevation))} la_other={'' if elevation.to_root else 1}",
        f"la_tty={1 if elevation.terminal else ''}",
        f"la_text={quote(runner())}",
        f"la_seldom={quote(seldom())}",
        f"la_asks={quote(chr(10).join(function(*pair) for pair in as_other))}",
        *(function(*pair) for pair in as_user),
        'eval "$la_text"',
        "la_main "
        + " ".join(quote(_list(asked, privilege)) for privilege in (Privilege.USER, Privilege.ROOT, Privilege.PREFER_ROOT)),
        "}",
        f"# end {nonce}",
    ]
    return ("\n".join(lines) + "\n").encode("utf-8", "surrogateescape")


def quote(text: str) -> str:
    """Return `text` as one literal word of sh.

    >>> quote("it's $HOME")
    "'it'\\\\''s $HOME'"
    """
    return "'" + text.replace("'", "'\\''") + "'"


def _trying(elevation: Elevation) -> str:
    """Return the command that becomes the other user without a password, empty where there is none."""
    match elevation.become.method:
        case BecomeMethod.SUDO if not elevation.terminal:
            return f"sudo -n{_to_user(elevation)} -- /bin/sh"
        case BecomeMethod.DOAS:
            return f"doas -n{_to_user(elevation)} /bin/sh"
        case _:
            return ""


def _asking(elevation: Elevation) -> str:
    """Return the command that may ask for a password on its stdin, empty where that is not to be had."""
    shell = quote(f"echo {elevation.token}; exec /bin/sh")
    match elevation.become.method:
        case _ if elevation.terminal:
            return ""
        case BecomeMethod.SUDO if elevation.has_password:  # -k: it neither takes a ticket nor leaves one
            return f"exec sudo -k -S -p {quote(elevation.prompt)}{_to_user(elevation)} -- /bin/sh -c {shell}"
        case BecomeMethod.SU:
            return f'{SEEK_SU}exec "$la_x/su" -s /bin/sh -c {shell} {quote(elevation.become.user)}'
        case _:
            return ""


SEEK_SU = 'for la_x in /usr/bin /bin /usr/local/bin /run/wrappers/bin; do [ -x "$la_x/su" ] && break; done; '
"""By its path: where ash prefers its applets, `su` alone would be one without any power."""


def _to_user(elevation: Elevation) -> str:
    return "" if elevation.to_root else f" -u {quote(elevation.become.user)}"


@cache
def is_plain_script(text: str) -> bool:
    """Whether `text` can neither end nor change the shell that runs it, whatever its commands do: told by its form alone.

    Only programs and literal words, joined by `|`, `||`, `&&`, `;` and newlines, with the usual redirections:
    no expansion, no assignment, no keyword, no builtin that keeps state, nothing in the background. Such a
    script needs no subshell of its own to keep its exit status from getting lost, which is a fork less for the host.

    >>> is_plain_script("df -P -k 2>/dev/null | head -n 3 || true"), is_plain_script("exec df"), is_plain_script("df &")
    (True, False, False)
    """
    return bool(_PLAIN.fullmatch(text)) and _KEPT.isdisjoint(_FIRST_WORD.findall(text))


@cache
def is_calm_script(text: str) -> bool:
    """Whether `text` is plain and has only programs that leave nothing behind which could still write.

    Such a script needs no filter of its own to keep what it says apart from what follows, which is a program less
    for the host to start (0.8 ms of CPU: measured): all of them share one filter.

    >>> is_calm_script("df -P -k 2>/dev/null | head -n 3 || true"), is_calm_script("service cron status")
    (True, False)
    """
    return is_plain_script(text) and all(_is_calm(word) for word in _FIRST_WORD.findall(text))


def is_calm(question: Question) -> bool:
    """Tell whether a question needs no filter of its own: it says so, or its form does."""
    return question.calm or is_calm_script(question.script)


def _is_calm(word: str) -> bool:
    name = word.rfind("/") + 1
    return word[:name] in _FOLDERS and word[name:] in _CALM


@cache
def lone_program(text: str) -> str:
    """Return `text` so that its one program takes the place of its shell, which is a fork less; empty if there is no such.

    >>> lone_program("df -P -k 2>/dev/null"), lone_program("df -P | head -n 3"), lone_program("echo df")
    ('exec df -P -k 2>/dev/null', '', '')
    """
    lone = _LONE.fullmatch(text)
    return f"exec {lone[1].strip()}" if lone and is_calm_script(text) and not _BUILT_IN & {*_FIRST_WORD.findall(text)} else ""


def _stays(text: str) -> bool:
    return is_plain_script(text) and not lone_program(text)


@cache
def runner() -> str:
    """Return the text that every host runs, without comments and indentation."""
    return without_comments("processes.sh", "runner.sh")


@cache
def seldom() -> str:
    """Return the text that a host reads when it needs it."""
    return without_comments("detours.sh", "reaper.sh")


def without_comments(*names: str, folder: Path = Path(__file__).parent) -> str:
    """Return texts that lie in a folder as they travel: without comments and indentation."""
    texts = ((folder / name).read_text(encoding="utf-8") for name in names)
    lines = (line.strip() for text in texts for line in text.splitlines())
    return "\n".join(line for line in lines if line and not line.startswith("#"))


def mark_of(nonce: str) -> str:
    """Return what marks the environment of the processes of a bundle: unique like the nonce, but not the nonce."""
    return hashlib.sha256(nonce.encode()).hexdigest()[:32]


def function(index: int, question: Question) -> str:
    """Return the function `la_q`INDEX that asks a question, its variables in front."""
    variables = "".join(f"{name}={quote(value)}\n" for name, value in question.variables)
    return f"la_q{index}() {{\n{variables}eval {quote(lone_program(question.script) or question.script)}\n}}"


def _list(asked: Sequence[tuple[int, Question]], privilege: Privilege) -> str:
    chosen = (pair for pair in asked if pair[1].privilege is privilege)
    return " ".join(f"{index}:{question.deadline_s}:{question.max_bytes}" for index, question in chosen)
