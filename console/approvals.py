"""What `longarm approve` tells, and what is said of repairs that wait for a second person."""

from __future__ import annotations

from console.listing import show_document
from console.settings import Settings
from console.terminal import tell, tell_hint
from console.words import say
from inventory.errors import Text, utc
from runner.desk import Desk
from runner.record import RunRecord
from runner.store.rows import ApprovalState

REFUSED = 5
_FAULTS = (130, 2, 7)
"""Exit codes that say more than that a second person is needed."""


def decide_run(settings: Settings, run: str, *, approved: bool, reason: str) -> None:
    """Approve or decline what a run waits for, and tell what comes next."""
    with Desk.open(settings.home, write=True) as desk:
        row = desk.decide_approval(run, approved=approved, reason=reason)
    document = {
        "run": row.run,
        "state": row.state,
        "asked_by": row.asked_by,
        "decided_by": row.decided_by,
        "reason": row.reason,
        "expires_at": row.expires_at,
    }
    words = {"run": row.run, "who": row.asked_by, "until": utc(row.expires_at)}
    done = Text("approved: run {run}, asked for by {who}, until {until}", **words)
    if not approved:
        done = Text("refused: run {run}, asked for by {who}", run=row.run, who=row.asked_by)
    show_document(settings.output, document, lambda: say(done) + "\n")
    if approved:
        tell_hint(settings, f"longarm run start {row.run}", level=-1)


def code_of(settings: Settings, record: RunRecord, code: int) -> int:
    """Return the exit code of a repair: that it waits for a second person counts before what its plan came to."""
    approval = record.repair.approval if record.repair else None
    if approval is None or approval.state is not ApprovalState.WAITING or code in _FAULTS:
        return code
    tell(settings, Text("this repair needs a second person; nothing was changed"), level=-1)
    tell_hint(settings, f"longarm approve {record.run}", level=-1)
    return REFUSED
