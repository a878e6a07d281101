"""A reference that gives nothing to work with."""

from __future__ import annotations

from typing import NoReturn

from inventory.errors import Text


class Unusable(Exception):
    """A reference that gives no secret and no credential; `reason` says why, without the secret, `hint` what to do."""

    def __init__(self, reason: Text, hint: Text | None = None) -> None:
        self.reason, self.hint = reason, hint
        super().__init__(str(reason))


def refuse(reason: Text, hint: Text | None = None) -> NoReturn:
    """Raise Unusable."""
    raise Unusable(reason, hint)
