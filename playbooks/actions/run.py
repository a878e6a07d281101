"""`run`: a script for sh. It says itself what it would change, or its plan is “cannot be predicted”."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from inventory.errors import Text
from inventory.host import Platform
from playbooks.actions.row import VARS, Action, Mistake, Predicts, Values
from playbooks.actions.scripted import Scripted
from playbooks.keys import Form, Key, Type
from playbooks.model import Retry

SCRIPTED: Final = (
    VARS,
    Key(
        name="unless",
        says=Text("A read-only script: where it exits with 0 there is nothing to do."),
        form=Form.SCRIPT,
    ),
    Key(name="creates", says=Text("A path that the script makes: where it exists there is nothing to do."), form=Form.TEMPLATE),
    Key(
        name="plan",
        says=Text(
            "A read-only script that prints what would change, and nothing where nothing would;"
            " lines that begin with # are shown and bind nobody."
        ),
        form=Form.SCRIPT,
    ),
    Key(
        name="ok_statuses",
        says=Text("The exit statuses of success; 0 alone where nothing is said."),
        type=Type.STATUSES,
        minimum=-(2**31),  # of Windows, with a sign, as PowerShell shows them
        maximum=2**31 - 1,
    ),
    Key(
        name="changed",
        says=Text("Whether it changed something, by `result`: its exit_status, stdout, stderr, value."),
        form=Form.EXPRESSION,
        gives=("bool",),
    ),
)
"""What `run` and `powershell` have beside their scripts."""


def scripted_mistakes(values: Values) -> Iterator[Mistake]:
    """Yield what contradicts itself: two ways of predicting the same."""
    told = [name for name in ("unless", "creates", "plan") if values.get(name) is not None]
    for name in told[1:]:
        yield name, Text("one of {names} is enough", names="unless, creates, plan"), Text("delete “{key}”", key=name)


def _mistakes(values: Values) -> Iterator[Mistake]:
    yield from scripted_mistakes(values)
    if any(not 0 <= status <= 255 for status in values.get("ok_statuses") or ()):
        yield "ok_statuses", Text("an exit status of sh is a number from 0 to 255"), None


ROW: Final = Action(
    name="run",
    says=Text("Runs a script with sh."),
    platforms=(Platform.LINUX, Platform.MACOS),
    main=Key(name="run", says=Text("The script; values are in variables, never in its text."), form=Form.SCRIPT),
    beside=(*SCRIPTED, Key(name="stdin", says=Text("What the script reads."), form=Form.TEMPLATE)),
    changes=True,
    retries=(Retry.NEVER, Retry.READ, Retry.IDEMPOTENT, Retry.GUARDED),
    doer=Scripted("run"),
    predicts=Predicts.IF_TOLD,
    mistakes=_mistakes,
)
