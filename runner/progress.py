"""What is known of one host while a repair works on it, and which of what an earlier process saw holds still."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from runner.diagnosing import Seen
from runner.journal import StoreJournal
from runner.repair_end import BEFORE


@dataclass(slots=True)
class Progress:
    """What is known of a host while it is worked on: it outlives whatever ends the work."""

    journal: StoreJournal
    seen: dict[int, Seen] = field(default_factory=dict)
    """Samples by number."""
    kept: dict[int, datetime] = field(default_factory=dict)
    """When an earlier process of the run took those that it did, by number."""

    def standing(self, number: int, *, undoing: bool) -> Seen | None:
        """Return a sample, None where there is none; one that an earlier process took after a step stands until more is done.

        `undoing`: what undoes a step counts as that, too.
        """
        taken_at = self.kept.get(number)
        if number != BEFORE and taken_at is not None and self.journal.moved_since(taken_at, undoing=undoing):
            return None
        return self.seen.get(number)

    def take(self, number: int, seen: Seen) -> None:
        """Put a sample in its place; what was seen later, by an earlier process, is of before."""
        self.seen = {one: sample for one, sample in self.seen.items() if one < number} | {number: seen}
        self.kept = {one: at for one, at in self.kept.items() if one < number}
