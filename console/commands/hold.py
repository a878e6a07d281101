"""`longarm hold add | list | remove`, `longarm freeze`, `longarm unfreeze`: what nobody is to change, and until when."""

from __future__ import annotations

from console import choices
from console.framework import Group, argument, command, option
from console.settings import Settings
from inventory.errors import Text

hold = Group("hold", Text("Hosts that nobody may change: add, list, remove."))

_UNTIL = Text("When it is over by itself: 2h, 3d, a day, or a day and a time (UTC); default: when it is removed.")
_SITE = Text("Only the hosts of this site.")
_CUSTOMER = Text("Only the hosts of this customer.")


@hold.add(
    "add",
    Text("Let nobody change these hosts; looking at them stays possible."),
    argument("targets", metavar="HOST|TARGETS", shell_complete=choices.hosts),
    option("--reason", text=Text("Why; others will read it."), metavar="TEXT", required=True),
    option("--until", text=_UNTIL, metavar="WHEN"),
    by_customer=True,
)
def add(settings: Settings, targets: str, reason: str, until: str | None) -> int:
    """Hold hosts."""
    from console.stopping import add_holds

    return add_holds(settings, targets, reason, until)


@hold.add(
    "list",
    Text("List who holds which hosts, why, and until when."),
    option("--past", text=Text("Also those that were removed or are over."), is_flag=True),
    by_customer=True,
)
def list_(settings: Settings, past: bool) -> int:
    """List holds."""
    from console.stopping import show_holds

    return show_holds(settings, past=past)


@hold.add(
    "remove",
    Text("Remove your own hold of these hosts, or with --owner that of somebody else."),
    argument("targets", metavar="HOST|TARGETS", shell_complete=choices.hosts),
    option("--owner", text=Text("Whose hold; default: yours."), metavar="NAME", shell_complete=choices.owners),
    by_customer=True,
)
def remove(settings: Settings, targets: str, owner: str | None) -> int:
    """Remove holds; 6 where there is none."""
    from console.stopping import remove_holds

    return remove_holds(settings, targets, owner)


@command(
    "freeze",
    Text("Let nothing that changes start, everywhere, at a site or for a customer; runs on their way begin no further host."),
    option("--reason", text=Text("Why; others will read it."), metavar="TEXT"),
    option("--site", text=_SITE, metavar="NAME", shell_complete=choices.sites),
    option("--customer", text=_CUSTOMER, metavar="NAME", shell_complete=choices.known_customers),
    option("--until", text=_UNTIL, metavar="WHEN"),
    option("--list", "listed", text=Text("Instead: list what is frozen, by whom, why, and until when."), is_flag=True),
    option("--past", text=Text("With --list: also what was unfrozen or is over."), is_flag=True),
    by_customer=True,
)
def freeze(
    settings: Settings,
    reason: str | None,
    site: str | None,
    customer: str | None,
    until: str | None,
    listed: bool,
    past: bool,
) -> int:
    """Freeze changes, or list what is frozen."""
    from console import stopping

    if listed:
        return stopping.show_freezes(settings, past=past)
    return stopping.freeze(settings, site, customer, reason, until)


@command(
    "unfreeze",
    Text("Let changes start again: exactly what was frozen with the same site or customer, or with neither."),
    option("--site", text=_SITE, metavar="NAME", shell_complete=choices.sites),
    option("--customer", text=_CUSTOMER, metavar="NAME", shell_complete=choices.known_customers),
    by_customer=True,
)
def unfreeze(settings: Settings, site: str | None, customer: str | None) -> int:
    """Unfreeze changes; 6 where nothing is frozen so."""
    from console import stopping

    return stopping.unfreeze(settings, site, customer)
