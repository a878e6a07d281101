"""What can be resolved without a person and without a home: files and environment variables."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeAlias

from inventory.errors import Text
from inventory.host import SecretReference
from inventory.secret import MASKER, Secret
from inventory.secrets.in_environment import EnvironmentStore
from inventory.secrets.in_file import FileStore
from inventory.secrets.store import SecretStore
from inventory.secrets.unusable import refuse

Resolve: TypeAlias = Callable[[SecretReference], Secret]
"""Gives the secret behind a reference, known to the masker; raises Unusable."""

_STORES: Mapping[str, SecretStore] = {"file": FileStore(), "env": EnvironmentStore()}


def unattended(reference: SecretReference) -> Secret:
    """Return the secret behind `{env: NAME}` or `{file: PATH}`; raises Unusable for what it needs more for."""
    if (store := _STORES.get(reference.kind)) is None:
        refuse(Text("{where} cannot be read here", where=reference))
    secret = Secret(store.read(reference.value))
    MASKER.learn(secret)
    return secret
