"""The files of an inventory as they are read: hosts and groups with their places, nothing merged yet."""

from __future__ import annotations

from dataclasses import dataclass, field

from inventory.errors import InvalidFile, LongarmError, Place, Problem, Text
from inventory.fields import Fields, is_empty
from inventory.grouping import GroupDraft
from inventory.host import CredentialReference, Waiver
from inventory.names import BadName, group_name, host_address, host_name, shown
from inventory.nodes import ListNode, MapNode, Node, ScalarNode
from inventory.proxies import proxy_program
from inventory.ranges import expand_range
from inventory.references import read_credentials
from inventory.secret_stores import DeclaredStore, link, read_stores
from inventory.settings import Layer, Leaf, add, read_layer
from inventory.sources.declared import read_sources
from inventory.sources.found import Found, FoundHost, Source
from inventory.waivers import read_waivers

MAX_HOSTS = 200_000
MAX_FROM_RANGES = 1_000_000
"""So many names more than are written may all ranges together stand for, repeated ones included."""
_NOTHING = Layer()


@dataclass(slots=True)
class HostDraft:
    """A host as far as it has been read; the hosts of one range share their layer."""

    name: str
    address: str
    place: Place
    layer: Layer
    groups: list[str] = field(default_factory=list)
    """The groups that name it directly."""
    address_place: Place | None = None
    """None: it has no address of its own, its name is where it is reached."""
    below: Layer | None = None
    """What other sources say of it: above the defaults, below the groups and the host of our own files."""


class Drafts:
    """Takes up one document after the other and notes every mistake."""

    def __init__(self) -> None:
        self.problems: list[Problem] = []
        self.defaults = Layer()
        self.proxy_programs: set[str] = set()
        """Programs that may be run for a connection: those that our own files list."""
        self.groups: dict[str, GroupDraft] = {}
        self.hosts: dict[str, HostDraft] = {}
        """By the name in lower case: upper and lower case do not make two hosts."""
        self.credentials: dict[str, CredentialReference] = {}
        self.stores: dict[str, DeclaredStore] = {}
        self.waivers: list[Waiver] = []
        self.sources: list[Source] = []
        self.notes: list[Problem] = []
        self.hops: dict[str, FoundHost] = {}
        """What sources know of hosts on the way to others, by the hop as it is written."""
        self._repeated: set[tuple[Place, Place]] = set()
        self._from_ranges = 0

    def read(self, document: Node) -> None:
        """Take up what one file says; raises InvalidFile only where going on makes no sense."""
        fields = Fields(document, self.problems, Text("the inventory"))
        defaults = fields.fields("defaults")
        self._add_layer(self.defaults, read_layer(defaults), Text("“{key}”", key="defaults"))
        defaults.done()
        for name, credential in read_credentials(fields.mapping("credentials"), self.problems).items():
            first = self.credentials.setdefault(name, credential)
            if first is not credential and credential.place and first.place:
                what = Text("the credential {name} is declared twice, first at {place}", name=shown(name), place=first.place)
                self._note(credential.place, what)
        for name, store in read_stores(fields.mapping("secret_stores"), self.problems).items():
            known = self.stores.setdefault(name, store)
            if known is not store:
                self._note(
                    store.place, Text("the store {name} is declared twice, first at {place}", name=name, place=known.place)
                )
        for node in fields.text_nodes("proxy_programs"):
            try:
                self.proxy_programs.add(proxy_program(node.text))
            except LongarmError as error:
                self._note_error(node.place, error)
        self.waivers += read_waivers(fields.items("waivers"), self.problems)
        self.sources += read_sources(fields.items("sources"), self.problems)
        sections = {"groups": self._read_groups, "hosts": self._read_hosts}
        for key in sorted(sections, key=fields.key_place):  # hosts keep the order in which they stand in the file
            sections[key](fields.mapping(key), None)
        fields.done()

    def link_secrets(self) -> None:
        """Give each reference to a secret the store that it names, once all files are read."""
        self.credentials = link(self.credentials, self.stores, self.problems)

    def take(self, found: Found) -> None:
        """Put what other sources found below what our own files say."""
        self.problems += found.problems
        self.notes += found.notes
        self.hops = found.hops
        self.credentials = {**found.credentials, **self.credentials}
        self.stores = {**found.stores, **self.stores}
        for name, group in found.groups.items():
            own = self.groups.setdefault(name, group)
            own.children = {**group.children, **own.children}
        for key, host in found.hosts.items():
            draft = self.hosts.get(key)
            if draft is None:
                draft = HostDraft(host.name, host.name, host.place, _NOTHING)
                self._add_host(draft)
            _lay_below(draft, host)

    def add_hop(self, host: FoundHost) -> HostDraft:
        """Add a host that nobody declares, but others are reached through."""
        draft = HostDraft(host.name, host.name, host.place, _NOTHING)
        self._add_host(draft)
        _lay_below(draft, host)
        return draft

    def _note(self, place: Place, text: Text, hint: Text | None = None) -> None:
        self.problems.append(Problem(place=place, text=text, hint=hint))

    def _note_error(self, place: Place, error: LongarmError) -> None:
        self._note(place, error.text, error.hint)

    def _add_layer(self, layer: Layer, other: Layer, what: Text) -> None:
        add(layer.values, other.values, self.problems, what)
        for key, items in other.lists.items():
            layer.extend(key, {item: other.items[key, item] for item in items})

    def _read_groups(self, node: MapNode | None, parent: GroupDraft | None) -> None:
        for key, value in node.entries if node else ():
            try:
                name = group_name(key.text)
            except BadName as error:
                self._note_error(key.place, error)
                continue
            if parent is not None:
                parent.children.setdefault(name, key.place)
            self._read_group(name, key.place, value)

    def _read_group(self, name: str, place: Place, node: Node) -> None:
        """Take up a group; one that is declared in several places is the sum of them."""
        group = self.groups.setdefault(name, GroupDraft(name, place))
        fields = Fields(node, self.problems, Text("the group {name}", name=name))
        self._add_layer(group.layer, read_layer(fields), Text("the group {name}", name=name))
        hosts = fields.node("hosts")
        if isinstance(hosts, ListNode):
            self._read_members(hosts, group)
        else:
            self._read_hosts(fields.mapping("hosts"), group)
        groups = fields.node("groups")
        if isinstance(groups, ListNode):
            for item in groups.items:
                if name_of_child := self._name(item):
                    group.children.setdefault(name_of_child, item.place)
        else:
            self._read_groups(fields.mapping("groups"), group)
        fields.done()

    def _name(self, node: Node) -> str | None:
        if isinstance(node, ScalarNode) and not is_empty(node):
            return node.text
        self._note(node.place, Text("a name is expected here"))
        return None

    def _read_members(self, node: ListNode, group: GroupDraft) -> None:
        for item in node.items:
            try:
                if (text := self._name(item)) is not None:
                    group.members += [(name, item.place) for name in self._expanded(text, item.place)]
            except BadName as error:
                self._note_error(item.place, error)

    def _expanded(self, text: str, place: Place) -> tuple[str, ...]:
        """Return the names that a text stands for; raises BadName, InvalidFile where ranges come to absurdly many."""
        names = expand_range(text)
        self._from_ranges += len(names) - 1
        if self._from_ranges > MAX_FROM_RANGES:
            what = Text("ranges stand for more than {limit} names", limit=MAX_FROM_RANGES)
            raise InvalidFile([Problem(place=place, text=what)])
        return names

    def _read_hosts(self, node: MapNode | None, group: GroupDraft | None) -> None:
        for key, value in node.entries if node else ():
            fields = Fields(value, self.problems, Text("the host {name}", name=shown(key.text)))
            address, layer = fields.text("address"), read_layer(fields)
            fields.done()
            try:
                names = [host_name(name) for name in self._expanded(key.text, key.place)]
            except BadName as error:
                self._note_error(key.place, error)
                continue
            where = None if address is None else fields.place("address")
            for name, at in zip(names, self._addresses(fields, names, address), strict=True):
                self._add_host(HostDraft(name, at, key.place, layer, [group.name] if group else [], where))

    def _addresses(self, fields: Fields, names: list[str], address: str | None) -> list[str]:
        if address is None:
            return names
        try:
            addresses = [host_address(text) for text in self._expanded(address, fields.place("address"))]
        except BadName as error:
            self._note_error(fields.place("address"), error)
            return names
        if len(addresses) == len(names):
            return addresses
        hint = Text("write a range that is as long in the address too, or leave the address out")
        text = Text("{names} hosts, but {addresses} addresses", names=len(names), addresses=len(addresses))
        self._note(fields.place("address"), text, hint)
        return names

    def _add_host(self, host: HostDraft) -> None:
        known = self.hosts.setdefault(host.name.lower(), host)
        if known is not host and (host.place, known.place) not in self._repeated:
            self._repeated.add((host.place, known.place))
            hint = Text("to put a host into one more group, list its name there: hosts: {example}", example=f"[{host.name}]")
            self._note(
                host.place, Text("the host {name} is declared twice, first at {place}", name=host.name, place=known.place), hint
            )
        if len(self.hosts) > MAX_HOSTS:
            raise InvalidFile([Problem(place=host.place, text=Text("more than {limit} hosts", limit=MAX_HOSTS))])


def _lay_below(draft: HostDraft, host: FoundHost) -> None:
    """Put what other sources say of a host below what our own files do."""
    address = host.layer.values.pop("address", None)
    draft.below = host.layer
    draft.groups += [name for name in host.groups if name not in draft.groups]
    if draft.address_place is None and isinstance(address, Leaf):
        draft.address, draft.address_place = str(address.value), address.place
