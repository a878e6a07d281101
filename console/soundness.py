"""What `inventory check` and the doctor say about an inventory beyond its own rules: thresholds, waivers, what is idle."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

from diagnostics.library import Library
from diagnostics.thresholds import host_problems
from diagnostics.waivers import waiver_problems
from inventory.errors import InvalidFile, Problem, Text
from inventory.inventory import Inventory


def refuse_unsound(known: Inventory, library: Library) -> None:
    """Raise InvalidFile for thresholds and waivers that can mean nothing to the checks we have."""
    problems = [
        *host_problems(known.hosts.values(), library.checks, {}),
        *waiver_problems(known.waivers, library.checks),
    ]
    if problems:
        raise InvalidFile(problems)


def idle(known: Inventory, now: datetime | None = None) -> Iterator[Problem]:
    """Yield what has no effect and whose owner should know: waivers for no host, waivers that have expired."""
    yield from known.notes
    for waiver in known.waivers:
        if waiver.place is not None and not waiver.holds_at(now or datetime.now(UTC)):
            params = {"day": waiver.last_day, "owner": waiver.owner, "reason": waiver.reason}
            text = Text("the waiver by {owner} expired after {day}: {reason}", **params)
            yield Problem(place=waiver.place, text=text, hint=Text("renew it with its reason, or delete it"))
