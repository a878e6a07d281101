"""Ways to hosts in the words of ssh, `ops@gw:2222,b2`: each hop of them becomes a host of the inventory."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

from inventory.drafts import Drafts, HostDraft
from inventory.errors import Place, Problem, Text
from inventory.host import Host, Transport
from inventory.jumps import MOST_JUMPS
from inventory.names import shown
from inventory.settings import Leaf
from inventory.sources.found import Hop, hop_of

_SSH = 22


class Hops:
    """Turns the hops of ways into names of hosts; what nobody declares becomes a host of its own.

    `via` holds by host either a name, as we write it, or the hops as ssh does, the nearest to us first.
    """

    def __init__(
        self, drafts: Drafts, hosts: dict[str, Host], via: dict[str, Leaf], host_of: Callable[[HostDraft], Host]
    ) -> None:
        self.drafts, self.hosts, self.via, self.host_of = drafts, hosts, via, host_of
        self._written: list[str] = []
        self._by_name: dict[str, str] = {}
        self._by_address: dict[tuple[str, int], list[Host]] = {}
        self._known: dict[tuple[str, str | None], str] = {}
        self._told: set[tuple[Place, str]] = set()

    def settle(self) -> None:
        """Leave nothing but names in `via`; hosts that are made for it are added to `hosts`."""
        self._written = [name for name, leaf in self.via.items() if isinstance(leaf.value, tuple)]
        if self._written:
            self._by_name = {name.lower(): name for name in self.hosts}
            for host in self.hosts.values():
                if host.transport is Transport.SSH:
                    self._by_address.setdefault((host.address.lower(), host.port or _SSH), []).append(host)
        chains: list[tuple[list[str], Leaf]] = []
        for name in self._written:  # grows while hosts are made that have a way themselves
            leaf = self.via[name]
            if (names := self._names(name, leaf)) and len(names) > 1:
                chains.append((names, leaf))
            self.via[name] = Leaf(leaf.place, names[-1] if names else name, leaf.key)
        for names, leaf in chains:
            for outer, inner in pairwise(names):
                self._put_behind(inner, outer, leaf)

    def _names(self, name: str, leaf: Leaf) -> list[str]:
        """Return the hosts on the way to one, the nearest to us first; those before it where it is on the way itself."""
        host, names = self.hosts[name], list[str]()
        if host.transport is not Transport.SSH or not isinstance(leaf.value, tuple):
            return names  # how ssh would go there says nothing about WinRM
        for hop in map(str, leaf.value):
            if (found := self._host_named(hop, leaf, host.customer, first=not names)) == name:
                break
            names.append(found)
        return names

    def _put_behind(self, inner: str, outer: str, leaf: Leaf) -> None:
        """Let one hop of a way be reached through the hop before it, unless its own way is told elsewhere."""
        own = self.via.get(inner)
        if own is not None and str(own.value).lower() == outer.lower():
            return
        if (own is None or str(own.value).lower() == inner.lower()) and not self._leads_to(outer, inner):
            self.via[inner] = Leaf(leaf.place, outer, leaf.key)
        else:
            self._note(leaf, Text("{host} has a way of its own, and is not reached through {other}", host=inner, other=outer))

    def _leads_to(self, name: str, goal: str) -> bool:
        """Tell whether the way to a host leads through another; longer ways than are allowed are told elsewhere."""
        for _ in range(MOST_JUMPS + 1):
            if name == goal:
                return True
            if (leaf := self.via.get(name)) is None:
                return False
            name = self._by_name.get(str(leaf.value).lower(), name)
        return False

    def _host_named(self, text: str, leaf: Leaf, customer: str | None, *, first: bool) -> str:
        """Return the host that a hop means to a host of this customer: by name, by address and port, else a new one."""
        if (known := self._known.get((text, customer))) is not None:
            return known
        hop = hop_of(text)
        name = self._by_name.get(hop.name.lower())
        if name is None:
            at = self._by_address.get((hop.name.lower(), hop.port or _SSH), ())
            # private addresses of customers overlap: the host of another one is another host
            name = next((one.name for one in at if one.customer is None or one.customer == customer), None)
        if name is None:
            name = self._made(text, leaf, first=first)
        self._tell_differences(hop, self.hosts[name], leaf)
        self._known[text, customer] = name
        return name

    def _made(self, text: str, leaf: Leaf, *, first: bool) -> str:
        draft = self.drafts.add_hop(self.drafts.hops[text])
        name = draft.name
        self._by_name[name.lower()] = name
        self.hosts[name] = self.host_of(draft)
        if not first:
            self.via.pop(name, None)  # as for ssh, the way that names it holds over what is set for it
        for group in self.drafts.groups.values():
            if group.name.lower() == name.lower() and not group.found:
                told = Text("“{name}” is also the name of something else, at {place}", name=name, place=group.place)
                self.drafts.problems.append(Problem(place=leaf.place, text=told))
        hint = Text("declare it yourself to give it a site, groups or another credential")
        self._note(leaf, Text("{host} becomes a host: others are reached through it", host=name), hint)
        if (own := self.via.get(name)) is not None and isinstance(own.value, tuple):
            self._written.append(name)
        return name

    def _tell_differences(self, hop: Hop, host: Host, leaf: Leaf) -> None:
        """Note where the host that a hop means is reached as somebody else or at another port than the hop says."""
        user = host.credential.user if host.credential else None
        if hop.user is not None and hop.user != user:
            told = Text("no credential of {host} has the user {user}", host=host.name, user=shown(hop.user))
            self._note(leaf, told, Text("its own way to log in is taken: give it a credential of that user"))
        if hop.port is not None and hop.port != (host.port or _SSH):
            told = Text(
                "{host} is reached at port {port}, not at {other}", host=host.name, port=host.port or _SSH, other=hop.port
            )
            self._note(leaf, told)

    def _note(self, leaf: Leaf, text: Text, hint: Text | None = None) -> None:
        if (leaf.place, str(text)) not in self._told:
            self._told.add((leaf.place, str(text)))
            self.drafts.notes.append(Problem(place=leaf.place, text=text, hint=hint))
