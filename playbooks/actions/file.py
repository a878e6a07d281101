"""`file`: a file, folder or link is there as wanted, or is not there."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from inventory.errors import Text
from playbooks.actions.file_state import decide_file, look_at_file
from playbooks.actions.native import Native
from playbooks.actions.row import EVERYWHERE, Action, Mistake, Predicts, Values
from playbooks.keys import Form, Key, Type
from playbooks.model import Retry

OWNED: Final = (
    Key(name="mode", says=Text("Its mode as chmod takes it in octal: 0644; Linux only.")),
    Key(name="owner", says=Text("The user that owns it; Linux only."), form=Form.TEMPLATE),
    Key(name="group", says=Text("Its group; Linux only."), form=Form.TEMPLATE),
    Key(
        name="validate",
        says=Text("A read-only script that judges the new content in $file before it takes the place of the old."),
        form=Form.SCRIPT,
    ),
)
HIDDEN: Final = Key(
    name="hidden",
    says=Text("What is in it is shown nowhere: plans and differences tell sizes, and it is compared by its digest."),
    type=Type.BOOL,
)
PATH: Final = Key(name="path", says=Text("Where it is, absolute."), form=Form.TEMPLATE, required=True)
GIVES: Final = {"path": "str", "before": "str?"}
_MODE = re.compile(r"0?[0-7]{3,4}")


def owned_mistakes(values: Values) -> Iterator[Mistake]:
    """Yield what is wrong with a mode or a path."""
    mode = values.get("mode")
    if mode is not None and not _MODE.fullmatch(mode):
        yield "mode", Text("“{value}” is no mode", value=mode), Text('mode: "0644"')
    path = values.get("path")
    if path is not None and path.plain and not re.match(r"/|[A-Za-z]:\\", path.text):
        yield "path", Text("“{value}” is not an absolute path", value=path.text), None


def _mistakes(values: Values) -> Iterator[Mistake]:
    yield from owned_mistakes(values)
    state = values.get("state") or "present"
    allowed = {
        "present": ("content", "source", "validate", "hidden"),
        "link": ("target",),
        "absent": ("recursive",),
        "directory": (),
    }
    for key in ("content", "source", "validate", "hidden", "target", "recursive"):
        if values.get(key) is not None and key not in allowed[state]:
            yield key, Text("“{key}” does not go with {state}", key=key, state=f"state: {state}"), None
    if state == "absent":
        for key in ("mode", "owner", "group"):
            if values.get(key) is not None:
                yield key, Text("“{key}” does not go with {state}", key=key, state="state: absent"), None
    if state == "link" and values.get("target") is None:
        yield "state", Text("a link needs the key “target”"), None
    if values.get("content") is not None and values.get("source") is not None:
        yield "source", Text("one of {names} is enough", names="content, source"), None


ROW: Final = Action(
    name="file",
    says=Text("Sees to it that a file, a folder or a link is there as wanted, or is not there."),
    platforms=EVERYWHERE,
    main=Key(
        name="file",
        says=Text("What is wanted."),
        type=Type.MAPPING,
        below=(
            PATH,
            Key(
                name="state",
                says=Text("What is wanted; present where nothing is said."),
                type=Type.CHOICE,
                choices=("present", "absent", "directory", "link"),
            ),
            Key(name="content", says=Text("What is in it, as it stands.")),
            Key(name="source", says=Text("A file beside the playbook whose content it has.")),
            Key(name="target", says=Text("Where a link leads to."), form=Form.TEMPLATE),
            *OWNED,
            HIDDEN,
            Key(
                name="recursive",
                says=Text("With absent: a folder that is not empty goes with all that is in it."),
                type=Type.BOOL,
            ),
        ),
    ),
    changes=True,
    retries=(Retry.IDEMPOTENT, Retry.NEVER),
    predicts=Predicts.ALWAYS,
    gives=GIVES,
    doer=Native(look=look_at_file, decide=decide_file),
    mistakes=_mistakes,
)
