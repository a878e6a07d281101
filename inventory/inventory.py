"""What all sources of hosts come to: the hosts and groups of a desk, and the selection of some of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from inventory.copies import CopyUsed
from inventory.errors import NothingMatched, Place, Problem
from inventory.fields import nearest
from inventory.host import CredentialReference, Host, Selection, Waiver
from inventory.matching import Columns, Listed
from inventory.target import select

if TYPE_CHECKING:
    from inventory.secret_stores import DeclaredStore


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """A named set of hosts; its settings are already merged into them."""

    name: str
    hosts: tuple[str, ...] = ()
    """Names of all hosts in it, those of its child groups included, in inventory order."""
    groups: tuple[str, ...] = ()
    """Names of its child groups, as declared."""
    place: Place | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Inventory:
    """Every host that longarm knows, in the order of the files."""

    hosts: Mapping[str, Host] = field(default_factory=lambda: MappingProxyType({}), hash=False)
    groups: Mapping[str, Group] = field(default_factory=lambda: MappingProxyType({}), hash=False)
    credentials: Mapping[str, CredentialReference] = field(default_factory=lambda: MappingProxyType({}), hash=False)
    secret_stores: Mapping[str, DeclaredStore] = field(default_factory=lambda: MappingProxyType({}), hash=False)
    """Where else secrets are kept, by the names that references use."""
    waivers: tuple[Waiver, ...] = ()
    notes: tuple[Problem, ...] = ()
    """What is no mistake, but should be known: a waiver that is for no host, a variable that was left out."""
    copies: tuple[CopyUsed, ...] = ()
    """The sources that were not asked, with the age of the copies that stand for them."""

    files: tuple[Path, ...] = ()
    """Every file and folder that was read for it."""
    hidden: frozenset[str] = field(default=frozenset(), repr=False, compare=False)
    """Names of hosts that are there, too, and were left out of it: who goes on with a run does not take them for gone."""

    def beside(self, other: Inventory) -> Inventory:
        """Return the same inventory, to which the hosts of another one are no unknown names."""
        return replace(self, hidden=self.hidden | other.hidden | (other.hosts.keys() - self.hosts.keys()))

    def of_customer(self, name: str) -> Inventory:
        """Return the inventory of one customer: nothing of the others is in it. Raises NothingMatched if it has no host.

        Notes are not in it either: nobody can tell whom one is about.
        Upper and lower case do not matter, as in a target expression.
        """
        listed = self._listed()
        customers = list(listed.column("customer"))
        theirs = sorted(at for customer, some in customers if customer.casefold() == name.casefold() for at in some)
        if not theirs:
            raise NothingMatched(f"customer={name}", name, nearest(name, sorted({customer for customer, _ in customers})))
        return self._of({host.name: host for host in map(listed.at, theirs)})

    def where(self, wanted: Callable[[Host], bool]) -> Inventory:
        """Return the inventory of those hosts that are wanted: nothing of the others is in it, nor are notes."""
        return self._of({name: host for name, host in self.hosts.items() if wanted(host)})

    def _of(self, hosts: dict[str, Host]) -> Inventory:
        members = {key: tuple(host for host in group.hosts if host in hosts) for key, group in self.groups.items()}
        groups = {
            key: replace(group, hosts=members[key], groups=tuple(child for child in group.groups if members[child]))
            for key, group in self.groups.items()
            if members[key]
        }
        used = {host.credential.name for host in hosts.values() if host.credential}
        waived = {id(waiver) for host in hosts.values() for waiver in host.waivers}
        return replace(
            self,
            hosts=MappingProxyType(hosts),
            groups=MappingProxyType(groups),
            credentials=MappingProxyType({key: one for key, one in self.credentials.items() if key in used}),
            waivers=tuple(waiver for waiver in self.waivers if id(waiver) in waived),
            notes=(),
            hidden=self.hidden | (self.hosts.keys() - hosts.keys()),
        )

    def select(self, expression: str) -> Selection:
        """Return the hosts that a target expression chooses, each once, in inventory order.

        Raises BadExpression, or NothingMatched if the whole or any part of it matches no host.
        """
        return select(expression, self._listed(), tuple(self.groups))

    def values_of(self, key: str) -> set[str]:
        """Return the texts that a key of target expressions has on hosts; `key` is one of `matching.KEYS`."""
        return {text for text, _ in self._listed().column(key)}

    def _listed(self) -> Columns:
        return self.hosts if isinstance(self.hosts, Columns) else Listed(tuple(self.hosts.values()))
