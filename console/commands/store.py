"""`longarm store backup | restore | verify | prune | erase`."""

from __future__ import annotations

from pathlib import Path

import click

from console import choices
from console.framework import Group, argument, option
from console.settings import Settings
from inventory.errors import Text

store = Group("store", Text("What longarm keeps: back up, restore, verify, prune, erase."))

_FILE = click.Path(path_type=Path, dir_okay=False)
_HOME = click.Path(path_type=Path, file_okay=False, exists=True)


@store.add(
    "backup",
    Text("Write everything that is kept to one file, also while a run writes."),
    argument("file", metavar="FILE", type=_FILE),
)
def backup(settings: Settings, file: Path) -> None:
    """Take a backup."""
    from console.keeping import take_backup

    take_backup(settings, file)


_ERASURES_OF = Text("Also a home whose erasures are to hold, repeatable; those of this home always do.")


@store.add(
    "restore",
    Text("Make the store of a home that has none yet of a backup."),
    argument("file", metavar="FILE", type=_FILE),
    option("--erasures-of", text=_ERASURES_OF, metavar="DIR", type=_HOME, multiple=True),
    option("--undo-erasures", text=Text("Also bring back what was erased after the backup was taken."), is_flag=True),
)
def restore(settings: Settings, file: Path, erasures_of: tuple[Path, ...], undo_erasures: bool) -> None:
    """Restore a backup."""
    from console.keeping import restore_backup

    restore_backup(settings, file, undo_erasures, erasures_of)


@store.add(
    "verify",
    Text("Look whether everything that is kept is whole, or a backup, without restoring it."),
    argument("file", metavar="[FILE]", type=_FILE, required=False),
    option("--erasures-of", text=_ERASURES_OF, metavar="DIR", type=_HOME, multiple=True),
)
def verify(settings: Settings, file: Path | None, erasures_of: tuple[Path, ...]) -> int:
    """Verify the store or a backup; 7 if something is damaged."""
    from console.keeping import verify_archive, verify_store

    return verify_store(settings) if file is None else verify_archive(settings, file, erasures_of)


@store.add(
    "prune",
    Text("Remove old evidence; findings and reports stay."),
    option("--older-than", text=Text("Of runs that began longer ago, such as 90d or 12h."), metavar="AGE"),
    option("--keep", text=Text("But of so many of the newest runs none."), metavar="N", type=click.IntRange(0)),
    option("--cases", text=Text("Also of runs for a case."), is_flag=True),
)
def prune(settings: Settings, older_than: str | None, keep: int | None, cases: bool) -> None:
    """Prune evidence, once somebody has agreed."""
    from console.keeping import prune_store

    prune_store(settings, older_than, keep, cases)


@store.add(
    "erase",
    Text("Erase everything that belongs to a customer or a case, for good."),
    option("--customer", text=Text("Name of the customer."), metavar="NAME", shell_complete=choices.customers),
    option("--case", text=Text("Reference of the case."), metavar="CASE", shell_complete=choices.cases),
)
def erase(settings: Settings, customer: str | None, case: str | None) -> None:
    """Erase a customer's or a case's data, once somebody has agreed."""
    from console.keeping import erase_from_store

    erase_from_store(settings, customer, case)
