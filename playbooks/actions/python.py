"""`python`: a function of a file beside the playbook, given a real `fabric.Connection`; it runs on this machine."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from inventory.errors import Text
from inventory.host import Platform
from playbooks.actions.calling import Call
from playbooks.actions.row import VARS, Action, Mistake, Predicts, Values
from playbooks.keys import Key
from playbooks.model import Retry

_FUNCTION = re.compile(r"[A-Za-z0-9_./-]+\.py:[A-Za-z_][A-Za-z0-9_]*")


def _mistakes(values: Values) -> Iterator[Mistake]:
    named = values.get("python")
    if named is not None and not _FUNCTION.fullmatch(named):
        yield "python", Text("a function is named with its file"), Text("python: repair.py:rebuild_index")


ROW: Final = Action(
    name="python",
    says=Text("Calls a function of a file beside the playbook with a fabric connection to the host."),
    platforms=(Platform.LINUX,),
    main=Key(name="python", says=Text("The file beside the playbook and the function in it, `repair.py:rebuild_index`.")),
    beside=(VARS,),
    changes=True,
    retries=(Retry.NEVER,),
    doer=Call(),
    predicts=Predicts.NEVER,
    deadline_s=600.0,
    without=frozenset(("attempts", "every", "privilege", "retry", "until")),
    gives={"value": "any?"},
    on_controller=True,
    returns=True,
    mistakes=_mistakes,
)
