"""A question: a read-only command with a deadline, a byte cap and a privilege, asked in the bundle of its host."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum

_ID = re.compile(r"[a-z0-9_]+(?:[.-][a-z0-9_]+)*")
_VARIABLE = re.compile(r"[a-z][a-z0-9_]*")


class Privilege(StrEnum):
    """As whom a question is asked."""

    USER = "user"
    ROOT = "root"  # denied root is an answer that was not run, never a guess
    PREFER_ROOT = "prefer_root"  # root where it can be had, else the login user: the answer says which


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """A script for `sh` that changes nothing; `variables` reach it as shell variables, never as text."""

    id: str
    script: str
    shell: str = "sh"
    deadline_s: int = 10
    max_bytes: int = 256 * 1024
    privilege: Privilege = Privilege.USER
    ok_statuses: frozenset[int] = frozenset({0})
    variables: tuple[tuple[str, str], ...] = ()
    repeatable: bool = True
    """False: where its answer is lost on the way it is lost, and not asked again within the bundle."""
    calm: bool = False
    """Said of a script whose form does not tell it: it leaves no process behind that could still write, writes in few
    pieces and does not end its shell. It then costs the host two processes less (decision 9)."""
    sleeps: bool = False
    """Said of a calm script that may sleep by the second: it tells its status itself, which costs the host one write more."""

    def __post_init__(self) -> None:
        if not _ID.fullmatch(self.id):
            raise ValueError(f"not a question id: {self.id!r}")
        if self.sleeps and not self.calm:
            raise ValueError(f"{self.id}: what is not calm tells its status in any case")
        if self.deadline_s < 1 or self.max_bytes < 1:
            raise ValueError(f"{self.id}: a deadline and a cap are at least 1")
        for name, value in self.variables:
            if not is_variable_name(name):
                raise ValueError(f"{self.id}: not a variable name: {name!r}")
            if "\0" in value:
                raise ValueError(f"{self.id}: NUL cannot be a shell value: {name}")


def is_variable_name(name: str) -> bool:
    """Tell whether a value may reach a script under this name.

    >>> is_variable_name("file"), is_variable_name("File"), is_variable_name("la_n")
    (True, False, False)
    """
    return bool(_VARIABLE.fullmatch(name)) and not name.startswith("la_")
