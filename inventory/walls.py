"""Customers are walls: what belongs to one takes no part in the work for another, unless somebody says so."""

from __future__ import annotations

from collections.abc import Iterable

from inventory.errors import LongarmError, Text
from inventory.host import Selection


class CustomersMixed(LongarmError):
    """A selection of hosts of several customers; `customers` are their names."""

    def __init__(self, customers: tuple[str, ...]) -> None:
        self.customers = customers
        text = Text("these hosts belong to several customers: {names}", names=", ".join(customers))
        super().__init__(text, Text("choose one with --customer NAME, or say --across-customers"))


class CaseOfOthers(CustomersMixed):
    """A case that holds what belongs to other customers than the hosts that were chosen."""

    def __init__(self, case: str, others: tuple[str, ...]) -> None:
        self.case, self.customers = case, others
        text = Text("the case {case} is of another customer: {names}", case=case, names=", ".join(others))
        LongarmError.__init__(self, text, Text("name the case of these hosts, or say --across-customers"))


def customers_of(selection: Selection) -> tuple[str, ...]:
    """Return the customers whose hosts were chosen, by name; a host without one belongs to none."""
    return tuple(sorted({host.customer for host in selection.hosts if host.customer}))


def refuse_case_of_others(selection: Selection, case: str, customers: Iterable[str]) -> None:
    """Raise CaseOfOthers for a case that holds something of other customers; `customers` are those it has by now."""
    ours = {name.casefold() for name in customers_of(selection)}
    others = tuple(sorted(name for name in customers if name.casefold() not in ours))
    if ours and others:
        raise CaseOfOthers(case, others)


def refuse_mixed(selection: Selection) -> None:
    """Raise CustomersMixed for hosts of more than one customer."""
    if len(customers := customers_of(selection)) > 1:
        raise CustomersMixed(customers)
