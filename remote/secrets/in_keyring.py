"""Secrets in the keyring of the system."""

from __future__ import annotations

from inventory.errors import Text
from remote.secrets.unusable import Unusable, refuse


class KeyringStore:
    """`{keyring: SERVICE/USER}`: an entry of the keyring that the system has for this user."""

    def read(self, entry: str) -> str:
        """Return the password of an entry."""
        import keyring
        from keyring.errors import KeyringError

        service, _, user = entry.rpartition("/")
        try:
            found = keyring.get_password(service, user)
        except KeyringError as error:
            text = Text("the keyring gave nothing for {value}: {reason}", value=entry, reason=str(error))
            raise Unusable(text) from error
        if not found:
            refuse(Text("the keyring holds nothing for {value}", value=entry))
        return found
