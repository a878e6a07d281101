"""What verifying a store and restoring a backup tell: values that everybody may know."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from inventory.errors import Text
from runner.store.changes import Belonging


@dataclass(frozen=True, slots=True, kw_only=True)
class Verification:
    """What was looked at, and what is wrong; `problems` is empty where everything is whole."""

    schema: str | None
    runs: int = 0
    hosts: int = 0
    blobs: int = 0
    """Named by rows and looked at, byte for byte."""
    pruned: int = 0
    """Hosts whose evidence was pruned: nothing to look at, and no problem."""
    orphans: int = 0
    """Files that no row names: a killed process wrote them last. They do no harm; pruning removes them."""
    problems: tuple[Text, ...] = field(default=(), hash=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Undone:
    """An erasure that a backup would undo, with the name that the backup still holds."""

    belonging: Belonging
    erased_at: datetime
