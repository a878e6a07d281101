"""`ask`: a person answers; who does not answer in time stops the playbook."""

from __future__ import annotations

from typing import Final

from inventory.errors import Text
from inventory.fields import LANGUAGES
from playbooks.actions.asking import AskOperator
from playbooks.actions.row import ON_MACS_TOO, Action, Predicts
from playbooks.keys import Form, Key, Type
from playbooks.model import Retry

ROW: Final = Action(
    name="ask",
    says=Text("Asks the operator; no answer until the deadline stops the playbook."),
    platforms=ON_MACS_TOO,
    main=Key(
        name="ask",
        says=Text("What is asked."),
        type=Type.MAPPING,
        below=(
            Key(
                name="question",
                says=Text("The question, in every language."),
                type=Type.MAPPING,
                below=tuple(
                    Key(name=language, says=Text("The question."), form=Form.TEMPLATE, required=True) for language in LANGUAGES
                ),
                required=True,
            ),
            Key(name="answer", says=Text("What an answer is: a type as parameters have it."), type=Type.PARAM, required=True),
        ),
    ),
    changes=False,
    retries=(Retry.NEVER,),
    doer=AskOperator(),
    predicts=Predicts.NEVER,
    deadline_s=900.0,
    stops=True,
    asks=True,
    without=frozenset(("attempts", "every", "loop", "privilege", "retry", "rollback", "until")),
)
