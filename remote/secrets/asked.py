"""Secrets in somebody's head."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from inventory.errors import Text
from inventory.secrets.unusable import refuse

Ask: TypeAlias = Callable[[Text], str | None]
"""Asks a person for a secret and returns it; None if they gave none. Called one question at a time."""


class AskedStore:
    """`{prompt: WORDS}`: what a person answers; nobody is asked where there is nobody to ask."""

    def __init__(self, ask: Ask | None) -> None:
        self._ask = ask

    def read(self, entry: str) -> str:
        """Return what a person answers to these words."""
        if self._ask is None:
            refuse(Text("{what} has to be asked for, and nobody can be asked", what=entry))
        if not (value := self._ask(Text("{what}", what=entry))):
            refuse(Text("{what} was not given", what=entry))
        return value
