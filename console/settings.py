"""What every command is told: where the home is, how to answer, whom it may ask."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any

from console.served import served
from inventory.errors import LongarmError, Text, UsageError

if TYPE_CHECKING:
    from inventory.sources.found import Source


class Output(StrEnum):
    """How data is written to stdout."""

    TABLE = "table"
    JSON = "json"
    JSONL = "jsonl"
    CSV = "csv"
    NAME = "name"


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The options that every command takes, resolved."""

    home: Path
    inventories: tuple[Path | Source, ...] = field(default=())
    output: Output = Output.TABLE
    verbosity: int = 0
    """-1: only errors; 0: as usual; 1 and more: more."""
    no_input: bool = False
    yes: bool = False
    language: str = "en"
    wall: str | None = None
    """The one customer whose hosts are known to this command; None: those of all."""

    def within(self, customer: str | None) -> bool:
        """Tell whether something of a customer, or of none, is known to this command."""
        return self.wall is None or (customer is not None and customer.casefold() == self.wall.casefold())

    @property
    def has_inventory(self) -> bool:
        """Tell whether there is an inventory to read: a named one, the home's own, or that of its practice hosts."""
        return bool(self.inventories) or any((self.home / name).exists() for name in ("inventory.yaml", "lab/inventory.yaml"))

    @property
    def files(self) -> tuple[Path | Source, ...]:
        """Return the inventory files and sources: those named, else the home's own, else that of its practice hosts."""
        own, practice = self.home / "inventory.yaml", self.home / "lab" / "inventory.yaml"
        if self.inventories or own.exists():
            return self.inventories or (own,)
        if practice.exists():
            return (practice,)
        hint = Text("write one (docs/inventory.md), name one with --inventory, or practise first: longarm lab up")
        raise UsageError(Text("there is no inventory yet: {path}", path=str(own)), hint)

    def writable_home(self) -> Path:
        """Return the home, made private to the user if it did not exist."""
        self.home.mkdir(mode=0o700, parents=True, exist_ok=True)
        return self.home


def settings_from(options: Mapping[str, Any]) -> Settings:
    """Return the settings that parsed options mean; raises UnsafeHome."""
    home = home_named(options["home"]) or default_home()
    refuse_world_writable(home)
    return Settings(
        home=home,
        inventories=tuple(map(_inventory, options["inventory"])),
        output=Output.JSON if options["json"] else Output(options["output"]),
        verbosity=-1 if options["quiet"] else options["verbose"],
        no_input=options["no_input"],
        yes=options["yes"],
        language=options["lang"],
        wall=options["wall"],
    )


def home_named(option: str | None) -> Path | None:
    """Return the home that was named, on the command line or in the environment; the service has but its own."""
    if (call := served()) is not None:
        return call.home
    named = option or os.environ.get("LONGARM_HOME")
    return Path(named).expanduser().absolute() if named else None


def _inventory(text: str) -> Path | Source:
    """Return the file, or the source, that a value of `--inventory` means; raises UsageError."""
    if ":" in text:
        from inventory.sources.declared import source_named

        if source := source_named(text):
            return source
    return Path(text).expanduser().absolute()


def default_home() -> Path:
    """Return the platform's place for an application's data, `~/.local/share/longarm` on Linux."""
    import platformdirs

    return Path(platformdirs.user_data_dir("longarm", appauthor=False))


def refuse_world_writable(home: Path) -> None:
    """Raise UnsafeHome if anyone on this machine may write to the home (a missing one is fine), LongarmError for a file."""
    try:
        mode = home.stat().st_mode
    except FileNotFoundError:
        return
    except NotADirectoryError:
        mode = 0
    if not stat.S_ISDIR(mode):
        raise LongarmError(
            Text("{path} is no folder", path=str(home)), Text("name a folder with --home, also one that is not there yet")
        )
    if os.name == "posix" and mode & stat.S_IWOTH:
        from runner.store.errors import UnsafeHome

        raise UnsafeHome(home)
