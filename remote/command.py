"""A command: a script for one host that may change something, with typed values; and what it brought back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import TypeAlias

from inventory.secret import Secret
from remote.answer import Answer, Ended
from remote.bundle.script import quote
from remote.question import Privilege, Question

Value: TypeAlias = str | int | bool | Secret
"""What a variable may be: a bool is `1` or empty, as `[ "$name" ]` wants it."""

MOST_STDIN = 1024 * 1024
"""Bytes; what is longer is a file, for `put`."""
COMMAND = "command"
"""The id that a command has as a question, and its answer as evidence."""
EXTRACT, ORIGIN = "file.extract", "file.origin"
"""Those of the two questions that a part of a file takes (files/extracts.py)."""
_LITERAL = {byte: chr(byte) for byte in range(32, 127)} | {10: "\n"} | {ord("%"): "%%", ord("\\"): "\\\\"}
_PRINTF = tuple(_LITERAL.get(byte, f"\\{byte:03o}") for byte in range(256))


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """A script for `sh`; `variables` reach it as shell variables, never as text of it, and never on a command line.

    It runs in `/`, with LC_ALL=C, umask 077 and the `bin` and `sbin` folders in PATH, as every question does.
    """

    script: str
    variables: Mapping[str, Value] = field(default_factory=dict, hash=False)
    """Lower-case names; NUL cannot be in a value."""
    stdin: bytes | None = field(default=None, repr=False)
    """What it reads; None: nothing. At most MOST_STDIN."""
    deadline_s: int = 60
    """Its own, kept on the host: past it the command and all that it started are killed."""
    max_bytes: int = 1024 * 1024
    """Of stdout; of stderr 64 KiB are kept."""
    privilege: Privilege = Privilege.USER
    """User or root; not "root where it can be had", since one of the two would have to be tried first."""

    def __post_init__(self) -> None:
        if self.privilege is Privilege.PREFER_ROOT:
            raise ValueError("a command is run by one user or the other")
        if self.stdin is not None and len(self.stdin) > MOST_STDIN:
            raise ValueError(f"more than {MOST_STDIN} bytes for stdin: that is a file, for `put`")
        self.question()

    def question(self) -> Question:
        """Return the command as a bundle carries it: once, whatever becomes of its answer on the way."""
        return Question(
            id=COMMAND,
            script=self.script if self.stdin is None else f"printf {quote(as_format(self.stdin))} | eval {quote(self.script)}",
            deadline_s=self.deadline_s,
            max_bytes=self.max_bytes,
            privilege=self.privilege,
            variables=tuple((name, _word(value)) for name, value in self.variables.items()),
            repeatable=False,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandResult(Answer):
    """What one command brought back. It worked only if it says so: `succeeded`, never "no error seen"."""

    @classmethod
    def of(cls, answer: Answer) -> CommandResult:
        """Return an answer as the result of a command."""
        return cls(**{one.name: getattr(answer, one.name) for one in fields(Answer)})

    def answer(self) -> Answer:
        """Return it as evidence keeps it."""
        return Answer(**{one.name: getattr(self, one.name) for one in fields(Answer)})

    @property
    def succeeded(self) -> bool:
        """Tell whether it ended by itself, within its caps, with exit status 0; a missing status is none."""
        return self.ended is Ended.EXITED and self.exit_status == 0


def as_format(data: bytes) -> str:
    r"""Return the format from which printf of every sh makes `data`: printable ASCII as it is, else three octal digits.

    >>> as_format(b"50% of \\ \x00\xff\n"), as_format(b"-n")
    ('50%% of \\\\ \\000\\377\n', '\\055n')
    """
    text = "".join(_PRINTF[byte] for byte in data)
    return f"\\055{text[1:]}" if text.startswith("-") else text  # it would be an option, and nothing was written


def _word(value: Value) -> str:
    match value:
        case Secret():
            return value.reveal()
        case bool():
            return "1" if value else ""
        case _:
            return str(value)
