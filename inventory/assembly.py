"""From drafts to an inventory: references resolved, cycles found, layers merged, host by host."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

from inventory.become import become_of
from inventory.drafts import Drafts, HostDraft
from inventory.errors import InvalidFile, Place, Problem, Text
from inventory.fields import MOST_SUGGESTIONS, did_you_mean
from inventory.grouping import above, cycles, with_outer
from inventory.hops import Hops
from inventory.host import (
    CredentialReference,
    Expectations,
    Host,
    OldAlgorithms,
    Platform,
    Proxy,
    SshLibrary,
    SshSettings,
    Transport,
    Value,
)
from inventory.inventory import Group, Inventory
from inventory.jumps import proxies_passed_by, reached
from inventory.names import shown
from inventory.proxies import DIRECT, proxy_of
from inventory.settings import Branch, Entries, Entry, Layer, Leaf, disagreements, merge, overlay, places, values
from inventory.waivers import given
from inventory.winrm import winrm_of

_SSH = frozenset(("ssh_algorithms", "proxy", "proxy_command", "proxy_credential", "ssh_library"))
_NOT_OF_HOSTS = {"via", *_SSH}
"""Settings that a host holds in another form."""
_DECLARED = Text(
    "declare it in a file of ours (--inventory takes several): {example}",
    example="credentials: {NAME: {user: USER, agent: true}}",
)
"""How a credential comes to be that a file names: a source of others cannot hold one."""
_DEFAULTS = ""  # the group that every group is inside of


def assemble(drafts: Drafts) -> Inventory:
    """Return the inventory that the drafts come to; raise InvalidFile with all mistakes that were found."""
    assembly = Assembly(drafts)
    assembly.resolve_references()
    if ring := cycles(drafts.groups):
        raise InvalidFile([*drafts.problems, *ring])
    try:
        inventory = assembly.inventory()
    except InvalidFile as error:
        raise InvalidFile([*drafts.problems, *error.problems]) from None
    if drafts.problems:
        raise InvalidFile(drafts.problems)
    return inventory


@dataclass(frozen=True, slots=True)
class _Settled:
    """What the hosts of the same groups with the same settings of their own have in common."""

    groups: tuple[str, ...]
    settings: Mapping[str, Any]
    via: Leaf | None


class Assembly:
    """Settles the references and values of drafts; what does not fit together is noted in their problems."""

    def __init__(self, drafts: Drafts) -> None:
        self.drafts = drafts
        self.outer: dict[str, frozenset[str]] = {}
        self._order: dict[str, int] = {}
        self._by_groups: dict[tuple[str, ...], Layer] = {}
        self._settled: dict[tuple[tuple[str, ...], int, int], _Settled] = {}
        self._via: dict[str, Leaf] = {}
        """By host, the name of the host that it is reached through, or the hops of its way as ssh writes them."""
        self._customers: dict[str, Leaf] = {}
        """By their names in one case, as they were written first."""
        self._told: set[object] = set()
        self._suggestions = 0

    def resolve_references(self) -> None:
        """Put every host into the groups that list it; note names that nothing is declared for."""
        hosts, groups = self.drafts.hosts, self.drafts.groups
        self._look_for_equal_names()
        for group in groups.values():
            for name, place in group.members:
                if (host := hosts.get(name.lower())) is None:
                    self._note_unknown_host(place, name)
                elif group.name not in host.groups:
                    host.groups.append(group.name)
            for name in [child for child in group.children if child not in groups]:
                place = group.children.pop(name)
                self._note_unknown(place, Text("no group “{name}” is declared", name=shown(name)), name, groups)

    def _look_for_equal_names(self) -> None:
        first: dict[str, Place] = {draft.name.lower(): draft.place for draft in self.drafts.hosts.values()}
        for group in self.drafts.groups.values():
            place = first.setdefault(group.name.lower(), group.place)
            if place is not group.place and not (group.found and group.name.lower() in self.drafts.hosts):
                text = Text("“{name}” is also the name of something else, at {place}", name=group.name, place=place)
                hint = Text("hosts and groups have different names, whatever the case: a target expression must be clear")
                self._note(group.place, text, hint)

    def _note(self, place: Place, text: Text, hint: Text | None = None) -> None:
        self.drafts.problems.append(Problem(place=place, text=text, hint=hint))

    def _note_unknown_host(self, place: Place, name: str) -> None:
        """Note it once for each place: a range of hosts that nobody declares is one mistake."""
        if place not in self._told:
            self._told.add(place)
            text = Text("no host “{name}” is declared", name=shown(name))
            self._note_unknown(place, text, name, (draft.name for draft in self.drafts.hosts.values()))

    def _note_unknown(self, place: Place, text: Text, name: str, known: Iterable[str], otherwise: Text | None = None) -> None:
        self._suggestions += 1
        near = did_you_mean(name, known) if self._suggestions <= MOST_SUGGESTIONS else None
        self._note(place, text, near or otherwise)

    def order_groups(self) -> None:
        """Find out which groups are inside which; there must be no cycle. Raises InvalidFile where they nest absurdly deep."""
        inside = above(self.drafts.groups)
        self.outer = {_DEFAULTS: frozenset(), **{name: outer | {_DEFAULTS} for name, outer in inside.items()}}
        self._order = {name: at for at, name in enumerate(self.outer)}

    def inventory(self) -> Inventory:
        """Return the inventory; what does not fit together is noted."""
        self.order_groups()
        hosts = {draft.name: self._host(draft) for draft in self.drafts.hosts.values()}
        Hops(self.drafts, hosts, self._via, self._host).settle()
        members: dict[str, list[str]] = {name: [] for name in self.drafts.groups}
        for host in hosts.values():
            for name in host.groups:
                members[name].append(host.name)
        hosts = reached(hosts, self._via, self.drafts.problems)
        hosts, notes = given(self.drafts.waivers, hosts, tuple(self.drafts.groups), self.drafts.problems)
        groups = {
            name: Group(name=name, hosts=tuple(members[name]), groups=tuple(draft.children), place=draft.place)
            for name, draft in self.drafts.groups.items()
        }
        return Inventory(
            hosts=MappingProxyType(hosts),
            groups=MappingProxyType(groups),
            credentials=MappingProxyType(dict(self.drafts.credentials)),
            secret_stores=MappingProxyType(dict(self.drafts.stores)),
            waivers=tuple(self.drafts.waivers),
            notes=(*self.drafts.notes, *notes, *proxies_passed_by(hosts)),
        )

    def _host(self, draft: HostDraft) -> Host:
        direct = tuple(sorted(draft.groups))
        key = (direct, id(draft.layer), id(draft.below))
        if key not in self._settled:
            self._settled[key] = self._settle(draft, direct)
        settled = self._settled[key]
        if settled.via is not None:
            self._via[draft.name] = settled.via
        return Host(
            name=draft.name,
            address=draft.address,
            place=draft.place,
            address_place=draft.address_place,
            groups=settled.groups,
            **settled.settings,
        )

    def _settle(self, draft: HostDraft, direct: tuple[str, ...]) -> _Settled:
        layer = self.settled_layer(draft, direct)
        self.tell_disagreements(draft, layer.values)
        names = tuple(sorted(name for name in with_outer(direct, self.outer, self._order) if name != _DEFAULTS))
        origins = {**dict(places(layer.values)), **{f"{key}.{item}": place for (key, item), place in layer.items.items()}}
        settings = {**self._values(layer.values), **_lists(layer.lists), "origins": MappingProxyType(origins)}
        via = layer.values.get("via")
        return _Settled(names, settings, via if isinstance(via, Leaf) else None)

    def settled_layer(self, draft: HostDraft, direct: tuple[str, ...]) -> Layer:
        """Return everything that holds for a host: defaults, other sources, groups, its own settings."""
        if draft.below is None:
            shared = self._merged((_DEFAULTS, *direct))
            return Layer(overlay(shared.values, draft.layer.values), *_joined(shared, draft.layer))
        defaults, groups = self.drafts.defaults, self._merged(direct)
        entries = overlay(overlay(overlay(defaults.values, draft.below.values), groups.values), draft.layer.values)
        return Layer(entries, *_joined(defaults, draft.below, groups, draft.layer))

    def _merged(self, direct: tuple[str, ...]) -> Layer:
        """Return what groups (and the defaults, if among them) say together, once for all hosts of the same groups."""
        if direct not in self._by_groups:
            names = [name for name in with_outer(direct, self.outer, self._order) if name or _DEFAULTS in direct]
            layers = [self.drafts.groups[name].layer if name else self.drafts.defaults for name in names]
            merged = merge([(name, layer.values) for name, layer in zip(names, layers, strict=True)], self.outer)
            self._by_groups[direct] = Layer(merged, *_joined(*layers))
        return self._by_groups[direct]

    def tell_disagreements(self, draft: HostDraft, entries: Entries) -> None:
        """Note each key about which two groups of a host disagree, once."""
        for path, rivals in disagreements(entries):
            if (path, rivals) in self._told:
                continue
            self._told.add((path, rivals))
            if rivals.mixed:
                text = Text(
                    "“{key}” is a mapping in one place and a single value in the other, at {place}",
                    key=path,
                    place=rivals.other,
                )
                self._note(rivals.place, text)
            else:
                text = Text(
                    "two groups of the host {host} give “{key}” different values, here and at {place}",
                    host=draft.name,
                    key=path,
                    place=rivals.other,
                )
                self._note(rivals.place, text, Text("set it on the host, or put one group inside the other"))

    def _values(self, entries: Entries) -> dict[str, Any]:
        plain: dict[str, Value] = {
            key: entry.value for key, entry in entries.items() if isinstance(entry, Leaf) and key not in _NOT_OF_HOSTS
        }
        if isinstance(customer := entries.get("customer"), Leaf):
            plain["customer"] = self._customer(customer)
        variables = entries.get("vars")
        transport = Transport(str(plain.get("transport", Transport.SSH)))
        usual = Platform.WINDOWS if transport in (Transport.WINRM, Transport.PSRP) else Platform.LINUX
        result: dict[str, Any] = {
            **plain,
            "platform": Platform(str(plain.get("platform", usual))),
            "transport": transport,
            "vars": values(variables.entries) if isinstance(variables, Branch) else MappingProxyType({}),
        }
        become = entries.get("become")
        thresholds = variables.entries.get("thresholds") if isinstance(variables, Branch) else None
        if isinstance(thresholds, Branch):
            result["places"] = MappingProxyType(dict(places(thresholds.entries)))
        if not _SSH.isdisjoint(entries):
            result["ssh"] = self._ssh(entries, plain.get("customer"))
        if isinstance(winrm := entries.get("winrm"), Branch):
            result["winrm"] = winrm_of(values(winrm.entries))
        if isinstance(credential := entries.get("credential"), Leaf):
            result["credential"] = self._credential(credential, plain.get("customer"))
        said = values(become.entries) if isinstance(become, Branch) else None
        return {**result, "become": become_of(said, result.get("credential"))}

    def _customer(self, leaf: Leaf) -> Value:
        """Return the name of a customer as it was written first: upper and lower case do not make two of them."""
        first = self._customers.setdefault(str(leaf.value).casefold(), leaf)
        if first.value != leaf.value and leaf not in self._told:
            self._told.add(leaf)
            text = Text("“{name}” is taken for the customer “{first}”", name=leaf.value, first=first.value)
            hint = Text("write it as at {place}: upper and lower case do not make two customers", place=first.place)
            self.drafts.notes.append(Problem(place=leaf.place, text=text, hint=hint))
        return first.value

    def _ssh(self, entries: Entries, customer: Value) -> SshSettings:
        library = entries.get("ssh_library")
        algorithms, command, url = (entries.get(key) for key in ("ssh_algorithms", "proxy_command", "proxy"))
        old = values(algorithms.entries) if isinstance(algorithms, Branch) else {}
        words = command.value if isinstance(command, Leaf) and isinstance(command.value, tuple) else ()
        proxy = proxy_of(url.value) if isinstance(url, Leaf) and isinstance(url.value, str) and url.value != DIRECT else None
        if words and isinstance(command, Leaf):
            if words[0] not in self.drafts.proxy_programs:
                hint = Text(
                    "if you trust it, list it at the top of a file of yours: proxy_programs: [{program}]", program=words[0]
                )
                self._note_once(command, Text("{program} may not be run for a connection", program=words[0]), hint)
            if proxy is not None:
                hint = Text("the one that is not meant: {examples}", examples="proxy: none, proxy_command: []")
                self._note_once(command, Text("there is a “proxy” too, at {place}", place=url and url.place), hint)
        if proxy is not None and isinstance(url, Leaf):
            proxy = self._with_credential(proxy, url, entries.get("proxy_credential"), customer)
        return SshSettings(
            proxy=proxy,
            proxy_command=tuple(map(str, words)),
            library=SshLibrary(str(library.value)) if isinstance(library, Leaf) else SshLibrary.ASYNCSSH,
            old_algorithms=OldAlgorithms(**old),  # type: ignore[arg-type]  # the layer was checked as it was read
        )

    def _with_credential(self, proxy: Proxy, url: Leaf, named: Entry | None, customer: Value) -> Proxy:
        """Return a proxy with what it is given; noted is who could not be shown to it."""
        credential = self._credential(named, customer) if isinstance(named, Leaf) else None
        if credential is not None and isinstance(named, Leaf):
            if credential.password is None:
                text = Text("the credential {name} has no password, and a proxy takes nothing else", name=credential.name)
                self._note_once(named, text)
            if proxy.user not in (None, credential.user):
                text = Text(
                    "the credential {name} is of {user}, not of {other}",
                    name=credential.name,
                    user=credential.user,
                    other=proxy.user,
                )
                self._note_once(named, text)
        elif proxy.user is not None and not isinstance(named, Leaf):
            self._note_once(url, Text("no password of {user} is named", user=proxy.user), Text("proxy_credential: NAME"))
        return replace(proxy, credential=credential)

    def _note_once(self, leaf: Leaf, text: Text, hint: Text | None = None) -> None:
        if (leaf, str(text)) not in self._told:
            self._told.add((leaf, str(text)))
            self._note(leaf.place, text, hint)

    def _credential(self, leaf: Leaf, customer: Value) -> CredentialReference | None:
        credential = self.drafts.credentials.get(str(leaf.value))
        if credential is None and leaf not in self._told:
            self._told.add(leaf)
            text = Text("no credential “{name}” is declared", name=leaf.value)
            self._note_unknown(leaf.place, text, str(leaf.value), self.drafts.credentials, _DECLARED)
        if credential and credential.customer and credential.customer.casefold() != str(customer or "").casefold():
            self._tell_stranger(leaf, credential, customer)
        return credential

    def _tell_stranger(self, leaf: Leaf, credential: CredentialReference, customer: Value) -> None:
        """Note once that hosts of one customer are given the credential of another, or hosts of none."""
        if (leaf, customer) not in self._told:
            self._told.add((leaf, customer))
            params = {"name": credential.name, "customer": credential.customer, "other": customer}
            hint = Text("give these hosts a credential of their own")
            if customer is None:
                text = Text("the credential {name} is for hosts of {customer}, but this one has no customer", **params)
            else:
                text = Text("the credential {name} is for hosts of {customer}, not of {other}", **params)
            self._note(leaf.place, text, hint)


def _joined(*layers: Layer) -> tuple[dict[str, tuple[str, ...]], dict[tuple[str, str], Place]]:
    """Return the lists of all layers, each item once, in their order, and where each item stands first."""
    keys = dict.fromkeys(key for layer in layers for key in layer.lists)
    lists = {key: tuple(dict.fromkeys(item for layer in layers for item in layer.lists.get(key, ()))) for key in keys}
    return lists, {item: place for layer in reversed(layers) for item, place in layer.items.items()}


def _lists(lists: Mapping[str, tuple[str, ...]]) -> dict[str, Any]:
    expected = {key: lists[key] for key in ("services", "ports", "names") if key in lists}
    return {"tags": lists.get("tags", ()), "expect": Expectations(**expected)}
