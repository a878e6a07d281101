"""What is known of programs that scripts for sh run: which of them are none, and what becomes of what they are told."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from playbooks.shell_tree import Word

BUILTINS: Final = frozenset(
    (
        *(
            ".",
            ":",
            "[",
            "[[",
            "alias",
            "break",
            "case",
            "cd",
            "continue",
            "declare",
            "echo",
            "eval",
            "exit",
            "export",
            "false",
            "for",
            "function",
            "getopts",
            "let",
            "source",
            "typeset",
        ),
        *("hash", "in", "kill", "local", "printf", "pwd", "read", "readonly", "return", "set", "shift", "test", "times"),
        *("trap", "true", "type", "ulimit", "umask", "unalias", "unset", "wait"),
    )
)
"""What sh does itself, or what other shells do and is no program either: no process has their words as its arguments."""
SHELLS: Final = frozenset(("sh", "ash", "bash", "dash", "ksh", "mksh", "zsh"))
_CALLING: Final = frozenset(("command", "exec"))
"""What is itself no program, and runs one."""
_PERHAPS: Final = frozenset(("busybox", "time"))
"""What may be a word of the shell, which then runs what follows itself."""
_BEFORE: Final = frozenset(("busybox", "doas", "env", "ionice", "nice", "nohup", "setsid", "stdbuf", "sudo", "timeout"))
"""Programs that run another, which their words name."""
_PASSING: Final = frozenset(
    (
        *(
            "awk",
            "base32",
            "base64",
            "basename",
            "cat",
            "cut",
            "dd",
            "dirname",
            "echo",
            "expand",
            "fmt",
            "fold",
            "gawk",
            "grep",
        ),
        *("gzip", "head", "hexdump", "iconv", "jq", "mawk", "nl", "od", "paste", "perl", "pr", "printf", "python3", "rev"),
        *("sed", "sort", "tac", "tail", "tee", "tr", "unexpand", "uniq", "uudecode", "uuencode", "xargs", "xxd", "zcat"),
    )
)
"""What writes what it is told, or the same in another form; others write something of their own: a hash, an answer."""
_QUOTING: Final = re.compile(r"[\\'\"]")
_COMMANDS: Final = re.compile(r"-[a-z]*c|--command")
"""The option that brings the commands: stdin is theirs."""


def called(words: Sequence[Word]) -> Sequence[Word]:
    """Return what a command runs, and its words; empty: nothing."""
    while words and words[0].text in _CALLING:
        words = words[1:]
        while words and words[0].text.startswith("-"):
            words = words[1:]
    return words


def bare(word: Word) -> str:
    """Return a word without its quotes."""
    return _QUOTING.sub("", word.text)


def by_the_shell(words: Sequence[Word]) -> Sequence[Word]:
    """Return what stands behind `time` or `busybox`; empty: no such thing is called."""
    if bare(words[0]) not in _PERHAPS:
        return ()
    return words[next((at for at, word in enumerate(words[1:], 1) if not word.text.startswith("-")), len(words)) :]


def passes_on(words: Sequence[Word]) -> bool:
    """Tell whether a program writes what it is told by its stdin or its words."""
    names = [bare(word).rpartition("/")[2] for word in words]
    if names[0] in _BEFORE:
        names = next((names[at:] for at, one in enumerate(names) if one in _PASSING or one == "openssl"), names)
    return (
        names[0] in _PASSING or names[:2] == ["openssl", "base64"] or (names[:2] == ["openssl", "enc"] and "-base64" in names)
    )


def reads_commands(words: Sequence[Word]) -> bool:
    """Tell whether the stdin of a program is a script for sh."""
    names = [bare(word).rpartition("/")[2] for word in words]
    while names and names[0] in _BEFORE:
        names = next(
            (names[at:] for at, one in enumerate(names) if at and (one in SHELLS or one in _BEFORE or one == "su")), []
        )
    if names[:1] == ["su"]:
        return not any(_COMMANDS.match(name) for name in names)
    if not names or names[0] not in SHELLS:
        return False
    for name in names[1:]:
        if name == "-" or name.startswith("-s"):
            return True
        if _COMMANDS.match(name) or name[:1] not in ("-", "+"):
            return False
    return True
