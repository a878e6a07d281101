"""`longarm doctor`."""

from __future__ import annotations

from console.framework import command
from console.listing import show_list
from console.settings import Settings
from console.terminal import tell
from inventory.errors import Text

_COLUMNS = {"what": Text("what"), "state": Text("state"), "detail": Text("detail"), "next": Text("next step")}


@command("doctor", Text("Look whether longarm itself is well on this machine."))
def doctor(settings: Settings) -> int:
    """Examine this installation; 7 if something has to be mended. The page holds no secrets: it may be pasted."""
    from console.examination import PROBLEM, examine

    rows = examine(settings)
    show_list(settings.output, _COLUMNS, rows)
    ill = sum(row["state"] == PROBLEM for row in rows)
    tell(settings, Text("problems: {count}", count=ill) if ill else Text("all is well with longarm"))
    return 7 if ill else 0
