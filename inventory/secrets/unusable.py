"""A reference that gives nothing to work with."""

from __future__ import annotations

from typing import NoReturn

from inventory.errors import LongarmError, Text


class Unusable(LongarmError):
    """A reference that gives no secret and no credential; `text` says why, without the secret."""


def refuse(reason: Text, hint: Text | None = None) -> NoReturn:
    """Raise Unusable."""
    raise Unusable(reason, hint)
