"""`service`: a service runs or does not, starts with the host or does not: systemd, OpenRC, sysvinit, Windows."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from inventory.errors import Text
from playbooks.actions.native import Native
from playbooks.actions.row import EVERYWHERE, Action, Mistake, Predicts, Values
from playbooks.actions.service_state import decide_service, look_at_service
from playbooks.keys import Form, Key, Type
from playbooks.model import Retry


def _mistakes(values: Values) -> Iterator[Mistake]:
    if values.get("state") is None and values.get("enabled") is None:
        yield "name", Text("“service” says the state, or whether it is enabled"), Text("state: started")


ROW: Final = Action(
    name="service",
    says=Text("Sees to it that a service runs or does not, and starts with the host or does not."),
    platforms=EVERYWHERE,
    main=Key(
        name="service",
        says=Text("What is wanted."),
        type=Type.MAPPING,
        below=(
            Key(
                name="name",
                says=Text("The service, by its name on the host."),
                form=Form.TEMPLATE,
                required=True,
            ),
            Key(
                name="state",
                says=Text("What is wanted; restarted and reloaded are done in any case."),
                type=Type.CHOICE,
                choices=("started", "stopped", "restarted", "reloaded"),
            ),
            Key(name="enabled", says=Text("Whether it starts with the host."), type=Type.BOOL),
        ),
    ),
    changes=True,
    retries=(Retry.IDEMPOTENT, Retry.NEVER),
    predicts=Predicts.ALWAYS,
    doer=Native(look=look_at_service, decide=decide_service),
    gives={"manager": "str", "active": "bool", "enabled": "bool?"},
    mistakes=_mistakes,
)
