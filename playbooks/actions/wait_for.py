"""`wait_for`: waits until a path, a port, a service or a script says so."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from inventory.errors import Text
from playbooks.actions.row import EVERYWHERE, VARS, Action, Mistake, Predicts, Values
from playbooks.actions.waiting import Wait
from playbooks.keys import Form, Key, Type
from playbooks.model import Retry

WAYS: Final = ("path", "port", "service", "script")


def _mistakes(values: Values) -> Iterator[Mistake]:
    given = [way for way in WAYS if values.get(way) is not None]
    if len(given) != 1:
        yield (given[1] if given else "wait_for"), Text("“wait_for” waits for one of {ways}", ways=", ".join(WAYS)), None


ROW: Final = Action(
    name="wait_for",
    says=Text("Waits until something is so on the host, at most until the step's deadline."),
    platforms=EVERYWHERE,
    main=Key(
        name="wait_for",
        says=Text("What is waited for."),
        type=Type.MAPPING,
        below=(
            Key(name="path", says=Text("A path that exists."), form=Form.TEMPLATE),
            Key(name="port", says=Text("A TCP port that something listens on."), form=Form.EXPRESSION, gives=("int",)),
            Key(name="service", says=Text("A service that runs."), form=Form.TEMPLATE),
            Key(name="script", says=Text("A read-only script that exits with 0."), form=Form.SCRIPT),
            Key(name="gone", says=Text("Wait for the opposite: no such path, port or service."), type=Type.BOOL),
        ),
    ),
    beside=(VARS,),
    changes=False,
    retries=(Retry.READ,),
    doer=Wait(),
    predicts=Predicts.NOTHING,
    deadline_s=300.0,
    without=frozenset(("attempts", "retry", "rollback", "until")),
    gives={"waited_s": "int s"},
    mistakes=_mistakes,
)
