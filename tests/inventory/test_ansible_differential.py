"""What ansible-inventory says of an inventory, longarm says too: hosts, groups, and the variables that hold."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from inventory.copies import Copies
from inventory.errors import Place
from inventory.host import Value
from inventory.sources.ansible import AnsibleSource
from inventory.sources.ansible_model import ALL, AnsibleInventory
from inventory.sources.found import Reading
from tests.inventory.ansible_corpus import WRITTEN, Files, generated
from tests.inventory.conftest import Listing

SEEDS = range(24)
CORPUS: Mapping[str, Files] = {**WRITTEN, **{f"seed {seed}": generated(seed) for seed in SEEDS}}
NEVER_SHOWN = {"ansible_group_priority"}


def written(files: Files, folder: Path) -> Path:
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, newline="")
        if text.startswith("#!"):
            path.chmod(0o755)
    tops = [name for name in files if "/" not in name]
    return folder / tops[0] if len(tops) == 1 else folder


def theirs(listed: bytes) -> Any:
    """Return their picture, strings that they call unsafe as they are."""
    return json.loads(listed, object_hook=lambda found: found.get("__ansible_unsafe", found))


def read(path: Path) -> AnsibleInventory:
    source = AnsibleSource(path=path, place=Place("inventory.yaml", 1, 1), programs=True)
    return source.inventory(Reading(copies=Copies(), now=datetime.now(UTC)))


def ours(inventory: AnsibleInventory) -> Any:
    """Return our picture in the form of `ansible-inventory --list`."""
    document: dict[str, Any] = {}
    for name, group in inventory.groups.items():
        parts: dict[str, Any] = {}
        if group.hosts and name != ALL:
            parts["hosts"] = sorted(group.hosts)
        if group.children:
            parts["children"] = sorted(group.children)
        document[name] = parts
    hostvars = {
        host.name: {name: as_json(given.value) for name, given in givens.items() if name not in NEVER_SHOWN}
        for host, givens in inventory.walk()
    }
    document["_meta"] = {"hostvars": {name: variables for name, variables in hostvars.items() if variables}}
    return {name: parts for name, parts in document.items() if parts}


def as_json(value: Value) -> Any:
    if isinstance(value, Mapping):
        return {key: as_json(item) for key, item in value.items()}
    return [as_json(item) for item in value] if isinstance(value, tuple) else value


def sorted_lists(document: Any) -> Any:
    """Return their picture with hosts and children sorted: their order says nothing."""
    for name, parts in document.items():
        if name != "_meta":
            for key in ("hosts", "children"):
                if key in parts:
                    parts[key] = sorted(parts[key])
    document["_meta"].pop("profile", None)
    return document


def test_there_are_enough_of_them() -> None:
    assert len(CORPUS) >= 60


@pytest.mark.parametrize("name", CORPUS)
def test_both_say_the_same(name: str, ansible_list: Listing, tmp_path: Path) -> None:
    path = written(CORPUS[name], tmp_path)
    inventory = read(path)
    assert not inventory.problems
    assert ours(inventory) == sorted_lists(theirs(ansible_list(path)))
