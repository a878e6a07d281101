"""The reference part of docs/playbooks.md, made from the declarations by `python -m playbooks.reference`."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from playbooks.actions import ACTIONS
from playbooks.actions.row import RESULT, Action, Predicts
from playbooks.declared import PARAM, PLAYBOOK, STEP
from playbooks.keys import Key
from playbooks.params import TYPES

PAGE: Final = Path(__file__).parent.parent / "docs" / "playbooks.md"
BEGIN, END = "<!-- made by python -m playbooks.reference -->\n", "<!-- end of what was made -->\n"
_HEAD: Final = "| key | form | what it says |\n|---|---|---|\n"
_PLANS: Final = {
    Predicts.ALWAYS: "says what would change",
    Predicts.IF_TOLD: "says what its `unless`, `creates` or `plan` says, else that it cannot be predicted",
    Predicts.NEVER: "says that it cannot be predicted",
    Predicts.NOTHING: "says that nothing is changed",
}


def reference() -> str:
    """Return the tables of all keys, types and actions, as Markdown.

    >>> "### `reboot`" in reference()
    True
    """
    types = "\n".join(f"| `{row.type.value}` | {row.says} |" for row in TYPES.values())
    actions = "\n\n".join(map(_action, ACTIONS.values()))
    common = ", ".join(f"`{name}`" for name in RESULT)
    return (
        f"## The playbook\n\nA star marks what has to be there.\n\n{_table(PLAYBOOK)}\n"
        f"## Parameters\n\n{_table(PARAM)}\n| type | what it takes |\n|---|---|\n{types}\n\n"
        f"## Steps\n\nA step has one action and any of these keys:\n\n{_table(STEP)}\n"
        f"## Actions\n\nThe result of each has {common} beside what is said here.\n\n{actions}\n"
    )


def _action(action: Action) -> str:
    retries = ", ".join(f"`{retry.value}`" for retry in action.retries)
    gives = f" It gives {', '.join(f'`{name}`' for name in action.gives)}." if action.gives else ""
    where = "It runs on this machine. " if action.on_controller else ""
    return (
        f"### `{action.name}`\n\n{action.says} On {' and '.join(action.platforms)}; `retry`: {retries}; `deadline`: "
        f"{action.deadline_s:g}s where nothing is said. {where}Its plan {_PLANS[action.predicts]}.{gives}\n\n"
        + _table((action.main, *action.beside)).rstrip("\n")
    )


def _table(keys: Sequence[Key]) -> str:
    return _HEAD + "".join(f"{row}\n" for key in keys for row in _rows(key, ""))


def _rows(key: Key, above: str) -> Iterator[str]:
    choices = f" {', '.join(f'`{one}`' for one in key.choices)}." if key.choices else ""
    star = " *" if key.required else ""
    yield f"| `{above}{key.name}`{star} | {key.form.value} | {key.says}{choices} |"
    for below in key.below:
        yield from _rows(below, f"{above}{key.name}.")


def in_line(page: str) -> str:
    """Return the page with its reference part as the declarations have it."""
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    return before + BEGIN + "\n" + reference() + "\n" + END + after


def main() -> int:
    """Bring the page in line; return 0."""
    PAGE.write_text(in_line(PAGE.read_text("utf-8")), "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
