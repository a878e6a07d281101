"""Ways to hosts in the words of ssh, `ops@gw:2222,b2`: each hop of them becomes a host of the inventory."""

from __future__ import annotations

from collections.abc import Callable

from inventory.drafts import Drafts, HostDraft
from inventory.errors import Place, Problem, Text
from inventory.host import Host, Transport
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
        self._by_name: dict[str, str] = {}
        self._by_address: dict[tuple[str, int], list[Host]] = {}
        self._known: dict[tuple[str, str | None], str] = {}
        self._told: set[tuple[Place, str]] = set()

    def settle(self) -> None:
        """Leave nothing but names in `via`; hosts that are made for it are added to `hosts`."""
        written = [name for name, leaf in self.via.items() if isinstance(leaf.value, tuple)]
        if written:
            self._by_name = {name.lower(): name for name in self.hosts}
            for host in self.hosts.values():
                if host.transport is Transport.SSH:
                    self._by_address.setdefault((host.address.lower(), host.port or _SSH), []).append(host)
        for name in written:
            self._settle(name)

    def _settle(self, name: str) -> None:
        leaf = self.via.get(name)
        if leaf is None or not isinstance(leaf.value, tuple):
            return
        self.via[name] = Leaf(leaf.place, name, leaf.key)  # should its way lead back to it, it is reached directly
        names: list[str] = []
        for hop in map(str, leaf.value):
            found = self._host_named(hop, leaf, self.hosts[name].customer, first=not names)
            if found == name:
                break
            names.append(found)
        if names:
            self.via[name] = Leaf(leaf.place, names[-1], leaf.key)
        for inner, outer in zip(names[1:], names, strict=False):
            self._put_behind(inner, outer, leaf)

    def _put_behind(self, inner: str, outer: str, leaf: Leaf) -> None:
        """Let one hop of a way be reached through the hop before it, unless its own way is told elsewhere."""
        self._settle(inner)
        own = self.via.get(inner)
        if own is not None and str(own.value).lower() == outer.lower():
            return
        if (own is None or str(own.value).lower() == inner.lower()) and not self._leads_to(outer, inner):
            self.via[inner] = Leaf(leaf.place, outer, leaf.key)
        else:
            self._note(leaf, Text("{host} has a way of its own, and is not reached through {other}", host=inner, other=outer))

    def _leads_to(self, name: str, goal: str) -> bool:
        seen: set[str] = set()
        while name not in seen:
            seen.add(name)
            self._settle(name)
            if (leaf := self.via.get(name)) is None:
                return False
            name = self._by_name.get(str(leaf.value).lower(), name)
            if name == goal:
                return True
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
        self._settle(name)
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
