"""`include`: the steps of another playbook, with parameters of their own."""

from __future__ import annotations

from typing import Final

from inventory.errors import Text
from playbooks.actions.row import ON_MACS_TOO, Action, Predicts
from playbooks.keys import SCALARS, Form, Key, Many, Type
from playbooks.model import Retry

ROW: Final = Action(
    name="include",
    says=Text("Does the steps of another playbook; what it registers stays its own."),
    platforms=ON_MACS_TOO,
    main=Key(
        name="include",
        says=Text("Which playbook, with which parameters."),
        type=Type.MAPPING,
        below=(
            Key(name="playbook", says=Text("Its name: of a file beside this one, or shipped."), required=True),
            Key(
                name="params",
                says=Text("Its parameters by name."),
                form=Form.EXPRESSION,
                many=Many.NAMED,
                gives=(*SCALARS, "duration", "list"),
            ),
        ),
        short="playbook",
    ),
    changes=True,
    retries=(Retry.NEVER,),
    doer=None,
    predicts=Predicts.ALWAYS,
    without=frozenset(("attempts", "deadline", "every", "privilege", "register", "retry", "rollback", "until")),
)
