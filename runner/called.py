"""The options by which a command line was called that what comes next needs too: a command that is shown works as it stands."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from typing import Final

NARROWED: Final = frozenset(
    {
        *("diagnose", "doctor", "freeze", "hold add", "hold list", "hold remove", "host enrol", "host facts", "host get"),
        *("host ping", "host run", "host shell", "inventory check", "inventory graph", "inventory import", "inventory list"),
        *("inventory show", "playbook test", "repair", "report list", "run leases", "run list", "run resume", "run retry"),
        *("run rollback", "run start", "secret list", "secret test", "unfreeze"),
    }
)
"""Commands that `--customer` narrows; others refuse it."""
_OURS: Final = re.compile(r"(?:^|(?<=: ))longarm (?=[a-z-])")


@dataclass(frozen=True, slots=True, kw_only=True)
class Called:
    """The options as they were typed."""

    options: tuple[str, ...] = ()
    """`--home`, `--inventory`, with their values."""
    customer: tuple[str, ...] = ()
    """`--customer`, with its value."""

    def command(self, *words: str) -> str:
        """Return a command of ours, to be pasted.

        >>> Called(options=("--home", "/tmp/a home")).command("run", "show", "7")
        "longarm --home '/tmp/a home' run show 7"
        """
        return shlex.join(("longarm", *self._needed(words), *words))

    def hint(self, text: str) -> str:
        """Return what to do next with the options in each command of ours that it is, or holds behind a colon.

        >>> Called(options=("--home", "h"), customer=("--customer", "acme")).hint("begin a run of its own: longarm repair x …")
        'begin a run of its own: longarm --home h --customer acme repair x …'
        >>> Called(options=("--home", "h", "--inventory", "i")).hint("longarm --home DIR store restore FILE")
        'longarm --inventory i --home DIR store restore FILE'
        >>> Called(options=("--home", "h")).hint("longarm run resume 7; to free it alone: longarm run resume 7 --only-ask")
        'longarm --home h run resume 7; to free it alone: longarm --home h run resume 7 --only-ask'
        """
        for end in reversed([found.end() for found in _OURS.finditer(text)]):
            words = text[end:].split()
            needed = self.options if "--customer" in text else self._needed(words)  # it says itself with which one, or without
            if words[:1] == ["--home"] and needed[:1] == ("--home",):  # another one than this
                needed = needed[2:]
            text = f"{text[:end]}{shlex.join(needed)} {text[end:]}" if needed else text
        return text

    def _needed(self, words: tuple[str, ...] | list[str]) -> tuple[str, ...]:
        narrowed = bool({" ".join(words[:1]), " ".join(words[:2])} & NARROWED)
        return self.options + (self.customer if narrowed else ())


PLAIN: Final = Called()
"""Called with nothing that what comes next needs."""
