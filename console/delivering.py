"""Send what the outbox holds to the case systems that are wired here."""

from __future__ import annotations

from inventory.secret import MASKER
from reports.cases.builtin import BuiltinCases
from reports.cases.delivery import deliver
from runner.desk import Desk
from runner.record import Delivery


def deliver_outbox(desk: Desk) -> tuple[Delivery, ...]:
    """Deliver everything that waits and return how each ended."""
    with desk.delivering():
        return tuple(deliver(desk, (BuiltinCases(desk),), MASKER))
