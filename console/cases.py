"""Cases and the outbox as rows of lists."""

from __future__ import annotations

from collections.abc import Mapping

from console.delivering import deliver_outbox
from console.settings import Settings
from runner.desk import Desk, NoSuchCase
from runner.record import Delivery


def case_rows(settings: Settings) -> list[Mapping[str, object]]:
    """Return the cases of the built-in case system."""
    with Desk.open(settings.home, write=False) as desk:
        return [
            {
                "case": case.ref,
                "title": case.title,
                "customer": case.customer,
                "opened_at": case.opened_at,
                "attachments": case.attachments,
            }
            for case in desk.cases()
        ]


def attachment_rows(settings: Settings, ref: str) -> list[Mapping[str, object]]:
    """Return what is on a case and what still waits for it; NoSuchCase if nobody knows it."""
    with Desk.open(settings.home, write=False) as desk:
        known = any(case.ref == ref for case in desk.cases())
        attached = desk.case_attachments(ref) if known else ()
        outbox = [row for row in desk.outbox() if row.case == ref]
    if not known and not outbox:
        raise NoSuchCase(ref)
    rows: list[Mapping[str, object]] = [
        {
            "file": file.filename,
            "run": next((row.run for row in outbox if row.digest == file.digest), None),
            "bytes": file.size_bytes,
            "digest": file.digest,
            "attached_at": file.attached_at,
            "state": "sent",
            "error": "",
        }
        for file in attached
    ]
    waiting = [row for row in outbox if row.state != "sent"]
    return rows + [
        {
            "file": row.filename,
            "run": row.run,
            "bytes": None,
            "digest": row.digest,
            "attached_at": None,
            "state": row.state,
            "error": row.error,
        }
        for row in waiting
    ]


def delivered(settings: Settings) -> tuple[Delivery, ...]:
    """Send what waits in the outbox and return how each ended."""
    with Desk.open(settings.home, write=True) as desk:
        return deliver_outbox(desk)
