"""`template`: a file has the text that a template gives with the values of this host."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from inventory.errors import Text
from playbooks.actions.file import GIVES, HIDDEN, OWNED, PATH, owned_mistakes
from playbooks.actions.file_state import decide_file, look_at_file
from playbooks.actions.native import Native
from playbooks.actions.row import EVERYWHERE, Action, Mistake, Predicts, Values
from playbooks.keys import Form, Key, Type
from playbooks.model import Retry


def _mistakes(values: Values) -> Iterator[Mistake]:
    yield from owned_mistakes(values)
    given = [key for key in ("content", "source") if values.get(key) is not None]
    if len(given) != 1:
        yield (given[-1] if given else "path"), Text("a template is said by one of {names}", names="content, source"), None


ROW: Final = Action(
    name="template",
    says=Text("Sees to it that a file has the text that a template gives."),
    platforms=EVERYWHERE,
    main=Key(
        name="template",
        says=Text("What is wanted."),
        type=Type.MAPPING,
        below=(
            PATH,
            Key(name="content", says=Text("The template."), form=Form.TEMPLATE),
            Key(name="source", says=Text("A file beside the playbook that is the template.")),
            *OWNED,
            HIDDEN,
        ),
    ),
    changes=True,
    retries=(Retry.IDEMPOTENT, Retry.NEVER),
    predicts=Predicts.ALWAYS,
    gives=GIVES,
    doer=Native(look=look_at_file, decide=decide_file),
    mistakes=_mistakes,
)
