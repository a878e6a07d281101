"""From a reference to the secret itself: read once, from the kind of place that it names, and taught to the masker."""

from __future__ import annotations

from pathlib import Path

from inventory.errors import Text
from inventory.host import SecretReference
from inventory.secret import MASKER, Masker, Secret
from inventory.secret_stores import AnsibleVaultFile, AskpassProgram, DeclaredStore, VaultServer
from inventory.secrets.in_environment import EnvironmentStore
from inventory.secrets.in_file import FileStore
from inventory.secrets.store import SecretStore
from inventory.secrets.unusable import refuse
from remote.secrets.asked import Ask, AskedStore
from remote.secrets.in_keyring import KeyringStore

_SEALED = "secret"
"""The kind of reference to what is sealed in the home."""


class Secrets:
    """The secrets of one command: each is read once, however many credentials name it."""

    def __init__(self, ask: Ask | None = None, *, home: Path | None = None, masker: Masker = MASKER) -> None:
        self._ask, self._home, self._masker = ask, home, masker
        self._stores: dict[str, SecretStore] = {
            "file": FileStore(),
            "env": EnvironmentStore(),
            "keyring": KeyringStore(),
            "prompt": AskedStore(ask),
        }
        self._declared: dict[DeclaredStore, SecretStore] = {}
        self._known: dict[SecretReference, Secret] = {}

    def get(self, reference: SecretReference) -> Secret:
        """Return the secret behind a reference, or raise Unusable."""
        if (known := self._known.get(reference)) is not None:  # named twice, a person is asked once
            return known
        secret = Secret(self.store(reference).read(reference.value))
        self._masker.learn(secret)
        self._known[reference] = secret
        return secret

    def asks(self, reference: SecretReference) -> bool:
        """Tell whether a person may be asked before the secret is had."""
        if isinstance(reference.store, AskpassProgram):
            return True
        store = self.store(reference)
        if reference.kind == _SEALED and reference.store is None:
            from remote.secrets.in_sealed import SealedStore

            return isinstance(store, SealedStore) and store.asks()
        return isinstance(store, AskedStore)

    def store(self, reference: SecretReference) -> SecretStore:
        """Return the store that a reference names, or raise Unusable."""
        if reference.store is None:
            if reference.kind == _SEALED and self._home is not None and _SEALED not in self._stores:
                from remote.secrets.in_sealed import SealedStore  # most commands never need what it needs

                self._stores[_SEALED] = SealedStore(self._home, self._ask, self._masker)
            if (store := self._stores.get(reference.kind)) is None:
                refuse(Text("no such kind of secret: {kind}", kind=reference.kind))
            return store
        if reference.store not in self._declared:
            self._declared[reference.store] = self._opened(reference.store)
        return self._declared[reference.store]

    def _opened(self, declared: DeclaredStore) -> SecretStore:
        match declared:
            case AskpassProgram():
                from remote.secrets.askpass import AskpassStore

                return AskpassStore(declared)
            case AnsibleVaultFile():
                from inventory.secrets.in_ansible_vault import AnsibleVaultStore

                return AnsibleVaultStore(declared, self.get)
            case VaultServer():
                from remote.secrets.in_vault import VaultStore

                return VaultStore(declared, self.get, self._masker)

    def line(self, reference: SecretReference) -> Secret:
        """Return a secret that goes to a host as one line; raises Unusable for one that is none."""
        secret = self.get(reference)
        if set(secret.reveal()) & set("\n\r\0"):
            refuse(Text("a password for sudo, doas or su is one line"))
        return secret
