"""How the store of a home stands, found out without opening it: nothing is made, migrated or locked."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from runner.store.lock import held
from runner.store.opening import SCHEMAS, known_schema


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """What a look at a store shows."""

    schema: str | None
    """None: there never was a store."""
    newest: str
    """The schema that this release writes."""
    in_use: bool
    """A process writes to it right now."""


def condition_of(home: Path) -> Condition:
    """Return how a store stands.

    Raises StoreFailed for one that is no database, StoreLost for one without, StoreTooNew for a newer release's.
    """
    return Condition(schema=known_schema(home), newest=SCHEMAS[-1], in_use=held(home))
