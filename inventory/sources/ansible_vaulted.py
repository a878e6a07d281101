"""What ansible-vault encrypted in an Ansible inventory: opened only where its value says how a host is reached.

A password that stands there becomes a reference to the place where it stands, which is opened when a host is logged in to.
Everything else stays closed: its owner said that it is a secret, and variables are shown in reports.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from inventory.ansible_vault import VaultClosed, VaultKeys
from inventory.errors import InvalidFile, Place, Problem, Text
from inventory.host import SecretReference, Value
from inventory.nodes import ListNode, MapNode, Node
from inventory.secret import Secret
from inventory.secret_stores import AnsibleVaultFile


@dataclass(frozen=True, slots=True)
class Sealed:
    """Where a value stands that is encrypted: its file, the keys that lead to it, and the value if it can be opened alone."""

    file: str
    pointer: str
    node: Node | None = None
    """None: the whole file was encrypted, and is open already."""
    places: frozenset[Place] = frozenset()
    """Where texts stand in its file that are encrypted one by one."""


class Vaults:
    """Opens what is encrypted with the passwords that a source names, each asked for when it is first needed."""

    def __init__(
        self, passwords: tuple[tuple[str, SecretReference], ...], resolve: Callable[[SecretReference], Secret], place: Place
    ) -> None:
        self._passwords, self._place = passwords, place
        self._keys = VaultKeys({name: _asking(resolve, reference) for name, reference in passwords})
        self.stores: dict[str, AnsibleVaultFile] = {}
        """What the references need that were made, by name."""

    def opened(self, data: bytes, path: Path) -> bytes:
        """Return a file decrypted; raises InvalidFile where no password opens it."""
        try:
            return self._keys.opened(data)
        except VaultClosed as closed:
            raise InvalidFile([Problem(place=Place(str(path), 1, 1), text=closed.text)]) from closed

    def value(self, sealed: Sealed) -> Value:
        """Return a value that was encrypted, or of which parts were; raises VaultClosed."""
        return None if sealed.node is None else self._value(sealed.node, sealed.places)

    def _value(self, node: Node, places: frozenset[Place]) -> Value:
        if isinstance(node, ListNode):
            return tuple(self._value(item, places) for item in node.items)
        if isinstance(node, MapNode):
            return MappingProxyType({key.text: self._value(value, places) for key, value in node.entries})
        if node.place not in places:
            return node.value
        try:
            return self._keys.opened(node.text.encode()).decode("utf-8")
        except UnicodeDecodeError:
            raise VaultClosed(Text("what is encrypted is not UTF-8 text")) from None

    def reference(self, sealed: Sealed) -> SecretReference:
        """Return a reference to the place of a value, for whoever needs the value itself."""
        name = f"ansible.{hashlib.sha256(sealed.file.encode('utf-8', 'surrogateescape')).hexdigest()[:8]}"
        store = AnsibleVaultFile(name=name, path=Path(sealed.file), passwords=self._passwords, place=self._place)
        self.stores[name] = store
        return SecretReference(kind=name, value=sealed.pointer, store=store)


def _asking(resolve: Callable[[SecretReference], Secret], reference: SecretReference) -> Callable[[], Secret]:
    return lambda: resolve(reference)


def unquoted(error: InvalidFile) -> InvalidFile:
    """Return the mistakes of a file that was encrypted without their words, which may quote it."""
    text = Text("what ansible-vault encrypted here cannot be read")
    return InvalidFile([Problem(place=problem.place, text=text) for problem in error.problems])
