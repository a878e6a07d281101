"""Our own inventory: YAML with hosts, nested groups and credential references (docs/inventory.md describes it)."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from inventory.assembly import assemble
from inventory.copies import Copies
from inventory.documents import load_document
from inventory.drafts import Drafts
from inventory.errors import InvalidFile, Text
from inventory.host import SecretReference
from inventory.inventory import Inventory
from inventory.kept import HOW
from inventory.names import shown
from inventory.nodes import collection_paused
from inventory.secret import Secret
from inventory.secret_stores import linked
from inventory.secrets.unattended import Resolve, unattended
from inventory.secrets.unusable import refuse
from inventory.sources.found import Found, Reading, Source


def load_inventory(paths: Iterable[Path | Source], copies: Copies | None = None, resolve: Resolve = unattended) -> Inventory:
    """Return the inventory that files and sources make together; a directory stands for its `*.yaml` and `*.yml` files.

    Sources are those given and those that the files declare, in this order; `resolve` gives the secrets that they are asked
    or opened with. Raises InvalidFile with every mistake of every file and source, SourceUnavailable for a source that cannot
    be asked and of which no copy is kept.
    """
    return read_inventory(paths, copies or Copies(), resolve)[0]


def read_inventory(paths: Iterable[Path | Source], copies: Copies, resolve: Resolve = unattended) -> tuple[Inventory, Reading]:
    """Return what `load_inventory` returns, and what was looked at and asked for it."""
    with collection_paused():
        return _load(paths, copies, resolve)


def _load(paths: Iterable[Path | Source], copies: Copies, resolve: Resolve) -> tuple[Inventory, Reading]:
    drafts = Drafts()
    broken: list[InvalidFile] = []
    seen: set[str] = set()

    def secret(reference: SecretReference) -> Secret:
        if (known := linked(reference, drafts.stores)) is None:
            refuse(Text("a secret cannot be kept in “{kind}”", kind=shown(reference.kind)), HOW)
        return resolve(known)

    reading = Reading(copies=copies, now=datetime.now(UTC), resolve=secret)
    for path in _files(paths, reading):
        if not isinstance(path, Path):
            drafts.sources.append(path)
            continue
        reading.files.add(path)
        if (real := os.path.realpath(path)) in seen:  # Path.resolve raises RuntimeError for a link to itself (Python 3.11)
            continue
        seen.add(real)
        try:
            drafts.read(load_document(path))
        except InvalidFile as error:
            broken.append(error)
    drafts.link_secrets()
    if not broken and not (drafts.sources and drafts.problems):  # a source is not asked on behalf of a file with mistakes
        broken += _read_sources(drafts, reading)
    if broken or (drafts.sources and drafts.problems):  # what refers to the missing part would be blamed wrongly
        raise InvalidFile([*drafts.problems, *(problem for error in broken for problem in error.problems)])
    return replace(assemble(drafts), copies=tuple(copies.used), files=tuple(reading.files)), reading


def _read_sources(drafts: Drafts, reading: Reading) -> list[InvalidFile]:
    found, broken = Found(), []
    for source in drafts.sources:
        try:
            one = source.read(reading)
        except InvalidFile as error:
            reading.copies.forget()
            broken.append(error)
        else:
            (reading.copies.forget if one.problems else reading.copies.keep)()
            found.lay(one)
    drafts.take(found)
    return broken


def _files(paths: Iterable[Path | Source], reading: Reading) -> Iterator[Path | Source]:
    for path in paths:
        if isinstance(path, Path) and _is_folder(path):
            reading.files.add(path)
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
