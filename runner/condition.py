"""How the store of a home stands, found out without opening it: nothing is made, migrated or locked."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from runner.store.lock import held
from runner.store.opening import SCHEMAS, check_schema, schema_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """What a look at a store shows."""

    schema: str | None
    """None: there is no store yet."""
    newest: str
    """The schema that this release writes."""
    in_use: bool
    """A process writes to it right now."""


def condition_of(home: Path) -> Condition:
    """Return how a store stands; raises StoreFailed for one that is no database, StoreTooNew for a newer release's."""
    schema = schema_of(home)
    check_schema(home, schema)
    return Condition(schema=schema, newest=SCHEMAS[-1], in_use=held(home))
