"""What all sources of hosts come to: the hosts and groups of a desk, and the selection of some of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from inventory.errors import Place, Problem
from inventory.host import CredentialReference, Host, Selection, Waiver
from inventory.target import select


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
    waivers: tuple[Waiver, ...] = ()
    notes: tuple[Problem, ...] = ()
    """What is no mistake, but should be known: a waiver that is for no host."""

    def select(self, expression: str) -> Selection:
        """Return the hosts that a target expression chooses, each once, in inventory order.

        Raises BadExpression, or NothingMatched if the whole or any part of it matches no host.
        """
        return select(expression, tuple(self.hosts.values()), tuple(self.groups))
