"""The seam: one kind of place where secrets are kept."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from inventory.secret import Secret


class SecretStore(Protocol):
    """Gives the secrets that are kept in one kind of place; one contract suite runs over every implementation."""

    def read(self, entry: str) -> str:
        """Return the secret behind an entry, never empty, or raise Unusable with a reason that does not hold it."""


@runtime_checkable
class WritableStore(SecretStore, Protocol):
    """One that longarm can put secrets into."""

    def put(self, entry: str, value: Secret) -> None:
        """Keep a secret behind an entry, in place of the one that was there; raises Unusable."""

    def remove(self, entry: str) -> None:
        """Remove what is behind an entry; raises Unusable where nothing is."""
