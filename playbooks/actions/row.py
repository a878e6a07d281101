"""What an action is: a row with everything that the loader, the schema, lint, the interpreter and the documentation need."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final, TypeAlias

from diagnostics.shapes import Shape
from inventory.errors import LongarmError, Text
from inventory.host import Platform
from playbooks.actions.doing import Doer
from playbooks.keys import SCALARS, Form, Key, Many
from playbooks.model import Retry
from remote.question import Privilege

Values: TypeAlias = Mapping[str, Any]
"""The values of a step by the keys of its action; in a plan or a run with everything rendered and evaluated."""
Mistake: TypeAlias = tuple[str, Text, Text | None]
"""A key, what is wrong with its value, what to write instead."""

RESULT: Final[Mapping[str, Shape]] = {
    "state": "str",
    "changed": "bool",
    "exit_status": "int?",
    "stdout": "str?",
    "stderr": "str?",
}
"""What every action's result has in expressions; an output of more than 64 KiB is not there."""


class Predicts(StrEnum):
    """What the plan of an action can say."""

    ALWAYS = "always"  # it compares what is there with what is wanted
    IF_TOLD = "if_told"  # only where the step says how
    NEVER = "never"  # "cannot be predicted"
    NOTHING = "nothing"  # it changes nothing


def nothing_wrong(values: Values) -> Iterator[Mistake]:  # noqa: ARG001 (what a row without rules of its own says)
    """Yield no mistake."""
    yield from ()


def nothing_lacking() -> LongarmError | None:
    """Return that nothing is needed that is not here."""
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Action:
    """One action."""

    name: str
    says: Text
    platforms: tuple[Platform, ...]
    main: Key
    """What stands behind the action's name."""
    beside: tuple[Key, ...] = ()
    """More keys of the step."""
    changes: bool
    """Whether it may change the host."""
    retries: tuple[Retry, ...]
    """The classes that a step may have; the first is meant where it says none."""
    predicts: Predicts
    gives: Mapping[str, Shape] = field(default_factory=dict, hash=False)
    """Beside RESULT."""
    deadline_s: float = 60.0
    """Where the step says none."""
    privilege: Privilege = Privilege.USER
    """As whom it is done where the step does not say."""
    without: frozenset[str] = frozenset()
    """Keys that other steps have and that mean nothing here."""
    stops: bool = False
    """Whether nothing follows where it fails: its step cannot say `on_failure: continue`."""
    on_controller: bool = False
    """Whether it runs code on this machine."""
    returns: bool = False
    """Whether it gives a value of its own, which the step may declare the shape of."""
    asks: bool = False
    """Whether somebody has to be there who answers."""
    lacking: Callable[[], LongarmError | None] = nothing_lacking
    """Return what says that this machine cannot do it; None: it can."""
    doer: Doer | None
    """What does it; None: the interpreter does the steps that it includes."""
    mistakes: Callable[[Values], Iterator[Mistake]] = nothing_wrong
    """What no declaration of one key can say."""


VARS: Final = Key(
    name="vars",
    says=Text("Variables of the script by name: `$name` in sh and PowerShell; beside the parameters and `item`."),
    form=Form.EXPRESSION,
    many=Many.NAMED,
    gives=(*SCALARS, "duration", "list"),
)
EVERYWHERE: Final = (Platform.LINUX, Platform.WINDOWS)
ON_MACS_TOO: Final = (*EVERYWHERE, Platform.MACOS)
"""Where nothing depends on what only Linux or Windows have; no change was ever tried on a Mac (runner/untried.py)."""
