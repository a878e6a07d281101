"""Customers are walls: what belongs to one takes no part in the work for another, unless somebody says so."""

from __future__ import annotations

from inventory.errors import LongarmError, Text
from inventory.host import Selection


class CustomersMixed(LongarmError):
    """A selection of hosts of several customers; `customers` are their names."""

    def __init__(self, customers: tuple[str, ...]) -> None:
        self.customers = customers
        text = Text("these hosts belong to several customers: {names}", names=", ".join(customers))
        super().__init__(text, Text("choose one with --customer NAME, or say --across-customers"))


def customers_of(selection: Selection) -> tuple[str, ...]:
    """Return the customers whose hosts were chosen, by name; a host without one belongs to none."""
    return tuple(sorted({host.customer for host in selection.hosts if host.customer}))


def refuse_mixed(selection: Selection) -> None:
    """Raise CustomersMixed for hosts of more than one customer."""
    if len(customers := customers_of(selection)) > 1:
        raise CustomersMixed(customers)
