"""What sudo, doas and su say when they do not let us become another user, and what it means."""

from __future__ import annotations

import re
from typing import Final

from inventory.host import Become

WRONG: Final = "the password for {name} was rejected"
NO_SHELL: Final = "{name} allows the user some commands as {user}, and a shell is none of them"
NOT_ALLOWED: Final = "the user may not become {user} by {name}"
TERMINAL: Final = "{name} insists on a terminal"
MUST_CHANGE: Final = "the password is expired and has to be changed first"
EXPIRED: Final = "the account is expired or locked"
NO_PASSWORD: Final = "{name} asks for a password, and the credential names none"  # noqa: S105 (a sentence)
MISSING: Final = "there is no {name}"
NOEXEC: Final = "{name} lets the shell start no program (noexec)"
POWERLESS: Final = "{name} has no power there (no new privileges, nosuid)"
BROKEN: Final = "the rules of {name} cannot be used"
NO_USER: Final = "there is no user {user}"
NO_LOGIN: Final = "{user} has no shell that {name} starts"
SLOW: Final = "{name} gave no verdict within {number} s"
NOBODY: Final = "the inventory says that no other user is become there"
NOT_ROOT: Final = "the inventory says to become {user}, which is not root"
OWN_WORDS: Final = "{name} asks in words of its own, so nothing was sent"

_REASONS: Final = (
    (
        re.compile(r"required to change your password|password has expired|reset your password|[Cc]hanging password"),
        MUST_CHANGE,
    ),
    (re.compile(r"account has expired|validation failure|account is locked|account (is )?temporarily locked"), EXPIRED),
    (re.compile(r"incorrect password|password attempt|[Aa]uthentication fail(ure|ed)|authentication attempt"), WRONG),
    (re.compile(r"noexec|exec: /bin/sh: Permission denied"), NOEXEC),
    (re.compile(r"unknown user|user .* does not exist|user .* not found"), NO_USER),
    (re.compile(r"syntax error|parse error|is .*writable|no valid sudoers|not enabled|error initializing"), BROKEN),
    (re.compile(r"not allowed to execute"), NO_SHELL),
    (
        re.compile(
            r"not in the sudoers file|not allowed to|may not run|not permitted|can't do that|: Permission denied$", re.MULTILINE
        ),
        NOT_ALLOWED,
    ),
    (re.compile(r"must have a tty|no tty present|a terminal is required|run from a terminal|tty is required"), TERMINAL),
    (re.compile(r"password is required|no password was provided|[Aa]uthentication (is )?required"), NO_PASSWORD),
    (re.compile(r"no new privileges|effective uid is not 0|owned by uid 0|[Nn]ot installed setuid|must be suid"), POWERLESS),
    (re.compile(r"restricted shell|account is currently not available"), NO_LOGIN),
    (re.compile(r"not found"), MISSING),
)
"""Words of sudo (1.8 to 1.9, sudo-rs), doas (opendoas 6.8), su (util-linux 2.38, busybox 1.35) in locale C, of the modules
of PAM behind them and of shells; the most telling first."""


def reasons_of(words: str) -> list[str]:
    """Return what the words of a tool mean, the most telling first: templates of `{name}` and `{user}`."""
    return [meaning for pattern, meaning in _REASONS if pattern.search(words)]


def why_denied(words: str, become: Become) -> str:
    """Return why another user could not be become: what the words mean, and the words themselves; hostile text, or none.

    >>> why_denied("sudo: a password is required", Become())
    'sudo asks for a password, and the credential names none: sudo: a password is required'
    """
    words = "; ".join(line.strip() for line in words.splitlines() if line.strip() not in ("", "Killed"))  # dash, of its pipe
    meaning = told(next(iter(reasons_of(words)), ""), become)
    return words if words.startswith(meaning) else f"{meaning}: {words}"  # a capture that is replayed has been told once


def told(template: str, become: Become) -> str:
    """Return a sentence about how and whom we tried to become.

    >>> told(NOT_ALLOWED, Become(user="oracle"))
    'the user may not become oracle by sudo'
    """
    return template.format(name=become.method.value, user=become.user)
