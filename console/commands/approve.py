"""`longarm approve RUN`: be the second person that a risky repair needs."""

from __future__ import annotations

from console import choices
from console.framework import argument, command, option
from console.settings import Settings
from inventory.errors import Text


@command(
    "approve",
    Text("Approve a repair that waits for a second person, or refuse it."),
    argument("run_id", metavar="RUN", shell_complete=choices.waiting),
    option("--reason", text=Text("Why; it stands in the reports."), metavar="TEXT", default=""),
    option("--refuse", text=Text("Refuse it; of your own: take it back."), is_flag=True),
)
def approve(settings: Settings, run_id: str, reason: str, refuse: bool) -> None:
    """Approve or refuse what a run waits for."""
    from console.approvals import decide_run

    decide_run(settings, run_id, approved=not refuse, reason=reason)
