"""`longarm store backup | restore | verify | audit | prune | erase`."""

from __future__ import annotations

from pathlib import Path

import click

from console import choices
from console.files import NewFile, ReadFile, ReadHome
from console.framework import Group, argument, option
from console.settings import Settings
from inventory.errors import Text

store = Group("store", Text("What longarm keeps: back up, restore, verify, audit, prune, erase."))

_FILE = ReadFile(dir_okay=False)
_HOME = ReadHome()


@store.add(
    "backup",
    Text("Write everything that is kept to one file, also while a run writes."),
    argument("file", metavar="FILE", type=NewFile(dir_okay=False)),
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
    option(
        "--audit",
        text=Text("Look too whether the audit log still holds what this export of it says."),
        metavar="EXPORT",
        type=ReadFile(exists=True, dir_okay=False),
    ),
)
def verify(settings: Settings, file: Path | None, erasures_of: tuple[Path, ...], audit: Path | None) -> int:
    """Verify the store or a backup; 7 if something is damaged."""
    from console.keeping import verify_archive, verify_store

    return verify_store(settings, audit) if file is None else verify_archive(settings, file, erasures_of)


@store.add(
    "audit",
    Text("Who did what, when: the audit log, oldest first."),
    option("--run", text=Text("Only what was done to this run."), metavar="RUN", shell_complete=choices.runs),
    option(
        "--export",
        text=Text("Write the whole log with its digests to this new file, as JSON lines."),
        metavar="FILE",
        type=NewFile(dir_okay=False),
    ),
)
def audit(settings: Settings, run: str | None, export: Path | None) -> None:
    """Show or export the audit log."""
    from console.keeping import export_audit, show_audit

    if export is None:
        show_audit(settings, run)
    else:
        export_audit(settings, export)


@store.add(
    "prune",
    Text("Remove old evidence; findings and reports stay."),
    option("--older-than", text=Text("Of runs that began longer ago, such as 90d or 12h."), metavar="AGE"),
    option("--keep", text=Text("But of so many of the newest runs none."), metavar="N", type=click.IntRange(0)),
    option("--cases", text=Text("Also of runs for a case."), is_flag=True),
    option(
        "--run",
        text=Text("Of this run alone, repeatable: also where it is for a case, or was cut off and could go on."),
        metavar="RUN",
        multiple=True,
        shell_complete=choices.runs,
    ),
)
def prune(settings: Settings, older_than: str | None, keep: int | None, cases: bool, run: tuple[str, ...]) -> None:
    """Prune evidence, once somebody has agreed."""
    from console.keeping import prune_store

    prune_store(settings, older_than, keep, cases, run)


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
