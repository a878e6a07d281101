"""`longarm doctor`."""

from __future__ import annotations

from console import choices
from console.framework import command, option
from console.listing import show_list
from console.settings import Settings
from console.terminal import tell
from inventory.errors import Text

_COLUMNS = {"what": Text("what"), "state": Text("state"), "detail": Text("detail"), "next": Text("next step")}


@command(
    "doctor",
    Text("Look whether longarm itself is well on this machine."),
    option(
        "--host",
        text=Text("Look at the way to this host instead, step by step."),
        metavar="HOST",
        shell_complete=choices.hosts,
    ),
    by_customer=True,
)
def doctor(settings: Settings, host: str | None) -> int:
    """Examine this installation; 7 if something has to be mended. The page holds no secrets: it may be pasted."""
    from console.examination import examine

    if host is not None:
        return look_at_host(settings, host)
    rows = examine(settings)
    show_list(settings.output, _COLUMNS, rows)
    ill = sum(row["state"] == "problem" for row in rows)
    tell(settings, Text("problems: {count}", count=ill) if ill else Text("all is well with longarm"))
    return 7 if ill else 0


def look_at_host(settings: Settings, host: str) -> int:
    """Examine the way to a host; the exit code is that of what stood in it."""
    from console.host_examination import examine_host

    rows, code = examine_host(settings, host)
    show_list(settings.output, _COLUMNS, rows)
    tell(
        settings, Text("the way to {host} is free", host=host) if code == 0 else Text("the way to {host} ends here", host=host)
    )
    return code
