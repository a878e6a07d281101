"""How far a change may reach, as the operator says it: the number of hosts is typed, all of them are named as all."""

from __future__ import annotations

import sys

from console.settings import Settings
from console.terminal import asked
from inventory.errors import Text, UsageError
from inventory.host import Selection
from inventory.inventory import Inventory
from inventory.target import says_all
from runner.config import load_config

DECLINED = 5


def counted(settings: Settings, count: int, given: int | None) -> bool:
    """Tell whether the operator knows how many hosts are to be changed: above the home's limit their number is typed.

    `--yes` is no number. Raises UsageError for a wrong number, and where one is needed and there is no terminal.
    """
    if given is not None and given != count:
        text = Text("--count {given}: these are {count} hosts", given=given, count=count)
        raise UsageError(text, Text("longarm inventory list"))
    if given is not None or count <= (limit := load_config(settings.home).count_above):
        return True
    if settings.no_input or not sys.stdin or not sys.stdin.isatty():
        text = Text("{count} hosts are to be changed, more than {limit}: give their number", count=count, limit=limit)
        raise UsageError(text, Text("--count {count}", count=count))
    return asked(Text("{count} hosts are to be changed; type their number to go on:", count=count)) == str(count)


def refuse_unsaid_all(selection: Selection, inventory: Inventory) -> None:
    """Raise UsageError for an expression that chooses every host there is without saying so: it is misspelt more often."""
    count = len(inventory.hosts)
    if 1 < count == len(selection.hosts) and not says_all(selection.expression, inventory.hosts):
        text = Text("“{expression}” chooses all {count} hosts that are known", expression=selection.expression, count=count)
        raise UsageError(text, Text("write {all} if that is meant, or name the hosts", all="all"))
