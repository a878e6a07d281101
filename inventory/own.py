"""Our own inventory: YAML with hosts, nested groups and credential references (docs/inventory.md describes it)."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from inventory.assembly import assemble
from inventory.documents import load_document
from inventory.drafts import Drafts
from inventory.errors import InvalidFile
from inventory.inventory import Inventory
from inventory.nodes import collection_paused


def load_inventory(paths: Iterable[Path]) -> Inventory:
    """Return the inventory that the files make together; a directory stands for its `*.yaml` and `*.yml` files.

    Raises InvalidFile with every mistake of every file.
    """
    with collection_paused():
        return _load(paths)


def _load(paths: Iterable[Path]) -> Inventory:
    drafts = Drafts()
    broken: list[InvalidFile] = []
    seen: set[str] = set()
    for path in _files(paths):
        if (real := os.path.realpath(path)) in seen:  # Path.resolve raises RuntimeError for a link to itself (Python 3.11)
            continue
        seen.add(real)
        try:
            drafts.read(load_document(path))
        except InvalidFile as error:
            broken.append(error)
    if broken:  # what refers to the missing part would be blamed wrongly
        raise InvalidFile([*drafts.problems, *(problem for error in broken for problem in error.problems)])
    return assemble(drafts)


def _files(paths: Iterable[Path]) -> Iterator[Path]:
    for path in paths:
        if _is_folder(path):
            yield from sorted(
                file for file in path.iterdir() if file.suffix in (".yaml", ".yml") and not file.name.startswith(".")
            )
        else:
            yield path


def _is_folder(path: Path) -> bool:
    """Tell whether a path is a folder; one that cannot be looked at is none, and is told as a file that cannot be read."""
    try:
        return path.is_dir()
    except OSError:
        return False
