"""From a reference to the secret itself: read once, from the kind of place that it names, and taught to the masker."""

from __future__ import annotations

from collections.abc import Mapping

from inventory.errors import Text
from inventory.host import SecretReference
from inventory.secret import MASKER, Masker, Secret
from remote.secrets.asked import Ask, AskedStore
from remote.secrets.in_environment import EnvironmentStore
from remote.secrets.in_file import FileStore
from remote.secrets.in_keyring import KeyringStore
from remote.secrets.store import SecretStore
from remote.secrets.unusable import refuse


class Secrets:
    """The secrets of one command: each is read once, however many credentials name it."""

    def __init__(self, ask: Ask | None = None, *, masker: Masker = MASKER) -> None:
        self._masker = masker
        self._stores: Mapping[str, SecretStore] = {
            "file": FileStore(),
            "env": EnvironmentStore(),
            "keyring": KeyringStore(),
            "prompt": AskedStore(ask),
        }
        self._known: dict[SecretReference, Secret] = {}

    def get(self, reference: SecretReference) -> Secret:
        """Return the secret behind a reference, or raise Unusable."""
        if (known := self._known.get(reference)) is not None:  # named twice, a person is asked once
            return known
        if (store := self._stores.get(reference.kind)) is None:
            refuse(Text("no such kind of secret: {kind}", kind=reference.kind))
        secret = Secret(store.read(reference.value))
        self._masker.learn(secret)
        self._known[reference] = secret
        return secret

    def line(self, reference: SecretReference) -> Secret:
        """Return a secret that goes to a host as one line; raises Unusable for one that is none."""
        secret = self.get(reference)
        if set(secret.reveal()) & set("\n\r\0"):
            refuse(Text("a password for sudo is one line"))
        return secret
