"""Secrets in the keyring of the system."""

from __future__ import annotations

from inventory.errors import Text
from inventory.secret import Secret
from inventory.secrets.unusable import Unusable, refuse


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

    def put(self, entry: str, value: Secret) -> None:
        """Keep a secret in an entry; raises Unusable."""
        import keyring
        from keyring.errors import KeyringError

        service, _, user = entry.rpartition("/")
        try:
            keyring.set_password(service, user, value.reveal())
        except KeyringError as error:
            raise Unusable(Text("the keyring did not take {value}: {reason}", value=entry, reason=str(error))) from error

    def remove(self, entry: str) -> None:
        """Remove an entry; raises Unusable where there is none."""
        import keyring
        from keyring.errors import KeyringError

        service, _, user = entry.rpartition("/")
        try:
            keyring.delete_password(service, user)
        except KeyringError as error:
            raise Unusable(Text("the keyring did not remove {value}: {reason}", value=entry, reason=str(error))) from error
