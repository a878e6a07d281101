"""`ansible`: a playbook or role of Ansible that people have already, done by ansible-runner; its recap is the result."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from inventory.errors import Text
from inventory.host import Platform
from playbooks.actions.ansible_run import RunAnsible, lacking
from playbooks.actions.row import VARS, Action, Mistake, Predicts, Values
from playbooks.keys import Key, Type
from playbooks.model import Retry


def _mistakes(values: Values) -> Iterator[Mistake]:
    given = [key for key in ("playbook", "role") if values.get(key) is not None]
    if len(given) != 1:
        yield (given[1] if given else "ansible"), Text("“ansible” takes one of {names}", names="playbook, role"), None


ROW: Final = Action(
    name="ansible",
    says=Text("Runs an Ansible playbook or role on the host; needs the extra “ansible”."),
    platforms=(Platform.LINUX,),
    main=Key(
        name="ansible",
        says=Text("What is run."),
        type=Type.MAPPING,
        below=(
            Key(name="playbook", says=Text("An Ansible playbook, a file beside this one.")),
            Key(name="role", says=Text("A role, a folder beside this playbook.")),
            Key(name="tags", says=Text("Only what has one of these tags."), type=Type.TEXTS),
        ),
    ),
    beside=(VARS,),
    changes=True,
    retries=(Retry.NEVER,),
    doer=RunAnsible(),
    predicts=Predicts.NEVER,
    deadline_s=3600.0,
    without=frozenset(("attempts", "every", "retry", "until")),
    gives={"ok": "int", "changed_tasks": "int", "failures": "int", "skipped": "int", "unreachable": "int"},
    on_controller=True,
    lacking=lacking,
    mistakes=_mistakes,
)
