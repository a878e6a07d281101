"""What parameters a playbook has, for completion: of its file alone, since to read it whole takes a third of a second."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from inventory.documents import load_document
from inventory.nodes import ListNode, MapNode, Node, ScalarNode


def param_names(path: Path) -> Mapping[str, tuple[str, ...]]:
    """Return the parameters that a file declares, each with what may be chosen for it, if that is a list.

    Raises InvalidFile for what is no YAML; what else is wrong with it is not looked at.
    """
    params = _under(load_document(path), "params")
    entries = params.entries if isinstance(params, MapNode) else ()
    return {name.text: _texts(_under(param, "choices")) for name, param in entries}


def _under(node: Node, key: str) -> Node | None:
    return node.get(key) if isinstance(node, MapNode) else None


def _texts(node: Node | None) -> tuple[str, ...]:
    return tuple(one.text for one in node.items if isinstance(one, ScalarNode)) if isinstance(node, ListNode) else ()
