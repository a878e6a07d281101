"""Doors beside the desk: what looks at hosts, or at the inventory, without a store asks for a role all the same."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from inventory.errors import Text
from inventory.host import Host
from inventory.inventory import Inventory
from runner.callers import keeper, whoever_asks
from runner.config import load_config
from runner.roles import Action, Allowed, Decision, Denied, RoleRefused, Where, decide


def refuse_asking(home: Path, hosts: Iterable[Host]) -> None:
    """Raise RoleRefused unless whoever asks may diagnose all of these hosts: to ping one is to log in to it."""
    said = _decided(home, Action.DIAGNOSE, {Where(customer=host.customer, site=host.site) for host in hosts})
    if isinstance(said, Denied):
        raise RoleRefused(said.why, Text("longarm config show"))


def seen_of(home: Path, known: Inventory) -> Inventory:
    """Return an inventory with the hosts that whoever asks may look at; raises RoleRefused where that is none of them."""
    said = _decided(home, Action.READ)
    if isinstance(said, Allowed) or not known.hosts:
        return known
    places = {Where(customer=host.customer, site=host.site) for host in known.hosts.values()}
    seen = {where for where in places if isinstance(_decided(home, Action.READ, [where]), Allowed)}
    if not seen:
        raise RoleRefused(said.why, Text("longarm config show"))
    return known.where(lambda host: Where(customer=host.customer, site=host.site) in seen)


def _decided(home: Path, action: Action, where: Iterable[Where] = ()) -> Decision:
    return decide(load_config(home).roles(keeper()), whoever_asks(), action, where=where)
