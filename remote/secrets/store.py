"""The seam: one kind of place where secrets are kept."""

from __future__ import annotations

from typing import Protocol


class SecretStore(Protocol):
    """Gives the secrets that are kept in one kind of place; one contract suite runs over every implementation."""

    def read(self, entry: str) -> str:
        """Return the secret behind an entry, never empty, or raise Unusable with a reason that does not hold it."""
