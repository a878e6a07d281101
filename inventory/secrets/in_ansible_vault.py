"""Secrets in a file of variables that ansible-vault encrypted, whole or value by value."""

from __future__ import annotations

from collections.abc import Callable

from inventory.ansible_vault import HEADER, VaultClosed, VaultKeys
from inventory.documents import FOREIGN, read_guarded
from inventory.errors import InvalidFile, Text
from inventory.host import SecretReference
from inventory.nodes import ListNode, MapNode, Node, ScalarNode
from inventory.secret import Secret
from inventory.secret_stores import AnsibleVaultFile
from inventory.secrets.unusable import Unusable, refuse
from inventory.sources.ansible_yaml import parse_ansible


class AnsibleVaultStore:
    """`{STORE: db/password}`: a value of the file, by the keys that lead to it."""

    def __init__(self, declared: AnsibleVaultFile, resolve: Callable[[SecretReference], Secret]) -> None:
        self._path = declared.path
        self._keys = VaultKeys({name: lambda one=one: resolve(one) for name, one in declared.passwords})  # type: ignore[misc]

    def read(self, entry: str) -> str:
        """Return the value behind keys with `/` between them (`~1` is a slash within a key, `~0` a tilde)."""
        node: Node | None = self._document()
        for part in entry.split("/"):
            node = None if node is None else _inner(node, part.replace("~1", "/").replace("~0", "~"))
        text = node.text if isinstance(node, ScalarNode) else ""
        if text.startswith(HEADER.decode()):
            text = self._opened(text.encode(), f"{self._path} at {entry}")
        return text or refuse(Text("{path} holds no text at {entry}", path=self._path, entry=entry))

    def _opened(self, data: bytes, where: str) -> str:
        try:
            return self._keys.opened(data).decode("utf-8")
        except VaultClosed as closed:
            raise Unusable(Text("{path}: {reason}", path=where, reason=closed.text)) from closed
        except UnicodeDecodeError:
            raise Unusable(Text("{path} is not UTF-8", path=where)) from None

    def _document(self) -> Node:
        path = self._path
        try:
            data = read_guarded(path, FOREIGN.bytes)
        except InvalidFile as error:
            (problem, *_) = error.problems
            raise Unusable(Text("{path}: {reason}", path=path, reason=problem.text), problem.hint) from error
        try:
            return parse_ansible(self._opened(data, str(path)).encode() if data.startswith(HEADER) else data, str(path)).root
        except InvalidFile as error:  # what is wrong with it may quote it
            line = error.problems[0].place.line
            raise Unusable(Text("{path} holds no YAML that can be read (line {line})", path=path, line=line)) from None


def _inner(node: Node, key: str) -> Node | None:
    if isinstance(node, ListNode):
        return node.items[int(key)] if key.isascii() and key.isdigit() and int(key) < len(node.items) else None
    return node.get(key) if isinstance(node, MapNode) else None
