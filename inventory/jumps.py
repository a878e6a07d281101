"""Hosts that are reached through other hosts: names become hosts, and what cannot be a way is noted."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from types import MappingProxyType

from inventory.errors import Place, Problem, Text
from inventory.fields import MOST_SUGGESTIONS, did_you_mean
from inventory.host import Host, Transport
from inventory.names import shown
from inventory.settings import Leaf

MOST_JUMPS = 8
"""How many hosts may lie between us and one host."""


def reached(hosts: dict[str, Host], via: Mapping[str, Leaf], problems: list[Problem]) -> dict[str, Host]:
    """Return the hosts with the way to each; `via` names the next host on it.

    A host that its own group says is reached through itself is reached directly: it is the way in for the others.
    """
    ways = _Ways(hosts, via)
    found = {name: ways.host(name) for name in hosts} if via else hosts
    problems += ways.problems
    return found


def proxies_passed_by(hosts: Mapping[str, Host]) -> Iterator[Problem]:
    """Yield a note for each proxy of a host that is reached through another one, which that one does not have."""
    told: set[Place] = set()
    for host in hosts.values():
        first = host
        while first.via is not None:
            first = first.via
        place = host.origins.get("proxy") or host.origins.get("proxy_command")
        own = (host.ssh.proxy, host.ssh.proxy_command)
        if place is not None and any(own) and own != (first.ssh.proxy, first.ssh.proxy_command) and place not in told:
            told.add(place)
            hint = Text("set it for {first}: that is whom we connect to", first=first.name)
            yield Problem(place=place, text=Text("{host} is not reached through this proxy", host=host.name), hint=hint)


_BEHIND = (Transport.SSH, Transport.WINRM, Transport.PSRP)
"""What goes through another host."""


class _Ways:
    def __init__(self, hosts: Mapping[str, Host], via: Mapping[str, Leaf]) -> None:
        self.problems: list[Problem] = []
        self._hosts, self._via = hosts, via
        self._by_lower_case = {name.lower(): name for name in hosts}
        self._found: dict[str, Host] = {}
        self._unknown: set[Leaf] = set()
        self._rings: set[frozenset[str]] = set()

    def host(self, name: str) -> Host:
        """Return a host with its way; where that is a ring or far too long, without it."""
        names = [name]
        while (next_name := self._next(names[-1])) is not None:
            if next_name in names or len(names) > MOST_JUMPS:
                self._note_endless(names, next_name)
                return self._hosts[name]
            names.append(next_name)
        for inner, outer in zip(reversed(names[:-1]), reversed(names[1:]), strict=True):
            self._found.setdefault(inner, self._behind(inner, self._found.get(outer, self._hosts[outer])))
        return self._found.get(name, self._hosts[name])

    def _next(self, name: str) -> str | None:
        leaf = self._via.get(name)
        if leaf is None or str(leaf.value).lower() == name.lower():
            return None
        if (found := self._by_lower_case.get(str(leaf.value).lower())) is None and leaf not in self._unknown:
            self._unknown.add(leaf)
            text = Text("no host “{name}” is declared", name=shown(str(leaf.value)))
            near = did_you_mean(str(leaf.value), self._hosts) if len(self._unknown) <= MOST_SUGGESTIONS else None
            self._note(leaf, text, near)
        return found

    def _behind(self, name: str, bastion: Host) -> Host:
        host, leaf = self._hosts[name], self._via[name]
        for one, transports in ((host, _BEHIND), (bastion, (Transport.SSH,))):
            if one.transport not in transports:
                self._note(
                    leaf,
                    Text("the way to {host} through {via} is SSH, and {one} is not", host=name, via=bastion.name, one=one.name),
                )
        if bastion.customer is not None and bastion.customer != host.customer:
            text = Text("{host} is not of the customer of {via}", host=name, via=bastion.name)
            self._note(leaf, text, Text("customers are walls: take a host that belongs to nobody, or to the same customer"))
        if host.origins.get("via") == (place := leaf.key or leaf.place):
            return replace(host, via=bastion)
        return replace(host, via=bastion, origins=MappingProxyType({**host.origins, "via": place}))

    def _note_endless(self, names: list[str], again: str) -> None:
        if again in names:
            ring = names[names.index(again) :]
            if frozenset(ring) not in self._rings:
                self._rings.add(frozenset(ring))
                text = Text("hosts are reached through each other: {ring}", ring=" → ".join((*ring, again)))
                self._note(self._via[ring[0]], text)
        else:
            text = Text("{host} is reached through more than {limit} hosts", host=names[0], limit=MOST_JUMPS)
            self._note(self._via[names[0]], text)

    def _note(self, leaf: Leaf, text: Text, hint: Text | None = None) -> None:
        self.problems.append(Problem(place=leaf.place, text=text, hint=hint))
