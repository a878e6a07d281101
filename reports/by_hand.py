"""Work by hand in words: what was said of a command or a terminal, and what people did on a host that a repair changed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from inventory.errors import Text
from reports.language import Language
from reports.visible import shortened
from runner.record import RunRecord
from runner.repair_record import HostRepair
from runner.store.rows import HandRow

MOST: Final = 5
"""Of what was done by hand on one host; of what was before it is told how often it was."""
_LONGEST: Final = 300


def terms(record: RunRecord, tongue: Language) -> Iterator[tuple[str, str]]:
    """Yield on which terms a run went beside others: what it is called, and in whose words."""
    if record.read_only:
        yield tongue.say("Read-only"), tongue.say("whoever asked said that it only looks")
    if record.beside:
        yield tongue.say("Reason to go beside what has a host"), shortened(record.beside, _LONGEST)


def done_by_hand(repair: HostRepair, tongue: Language) -> Iterator[str]:
    """Yield what was done by hand on a host while a repair changed it, or since; the last ones."""
    if not (repair.steps or repair.undone or repair.left_open):
        return
    for hand in repair.by_hand[-MOST:]:
        yield tongue.say(_hand(hand))
    if (more := len(repair.by_hand) - MOST) > 0:
        yield tongue.plural("by hand before that: {n} more time", "by hand before that: {n} more times", more)


def _hand(hand: HandRow) -> Text:
    values = {"actor": hand.actor, "since": hand.since, "what": shortened(hand.what, _LONGEST), "run": hand.run}
    if not hand.run:
        return Text("by hand, {actor}, {since}: {what}", **values)
    if hand.beside:
        reason = shortened(hand.beside, _LONGEST)
        return Text("by hand, {actor}, {since}, beside the run: {what} (run {run}; why: {reason})", **values, reason=reason)
    return Text("by hand, {actor}, {since}: {what} (run {run})", **values)
