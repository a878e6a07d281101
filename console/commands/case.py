"""`longarm case list | show | deliver`."""

from __future__ import annotations

from console import choices
from console.framework import Group, argument
from console.listing import show_list
from console.settings import Settings
from console.terminal import tell
from inventory.errors import Text

case = Group("case", Text("Cases and what is attached to them."))

_CASES = {
    "case": Text("case"),
    "title": Text("title"),
    "customer": Text("customer"),
    "opened_at": Text("opened"),
    "attachments": Text("attachments"),
}
_ATTACHMENTS = {
    "file": Text("file"),
    "run": Text("run"),
    "bytes": Text("bytes"),
    "digest": Text("SHA-256"),
    "attached_at": Text("attached"),
    "state": Text("state"),
    "error": Text("error"),
}


@case.add("list", Text("List the cases of the built-in case system."))
def list_(settings: Settings) -> None:
    """List cases."""
    from console.cases import case_rows

    show_list(settings.output, _CASES, case_rows(settings))


@case.add(
    "show",
    Text("Show what is attached to a case, and what still waits."),
    argument("ref", metavar="CASE", shell_complete=choices.cases),
)
def show(settings: Settings, ref: str) -> None:
    """Show the attachments of a case and its part of the outbox."""
    from console.cases import attachment_rows

    show_list(settings.output, _ATTACHMENTS, attachment_rows(settings, ref))


@case.add("deliver", Text("Send what still waits in the outbox."))
def deliver(settings: Settings) -> int:
    """Try the outbox again; 7 if something still waits afterwards."""
    from console.cases import delivered

    waiting = 0
    for delivery in delivered(settings):
        sent = delivery.state == "sent"
        waiting += not sent
        text = Text("attached {file} to case {case}", file=delivery.filename, case=delivery.case)
        late = Text("not on case {case} yet: {error}", case=delivery.case, error=delivery.error)
        tell(settings, text if sent else late, level=0 if sent else -1)
    return 7 if waiting else 0
