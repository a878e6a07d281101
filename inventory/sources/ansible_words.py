"""Ansible's words for how a host is reached, in ours; what has no word here is said, never guessed."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from types import MappingProxyType
from typing import TypeAlias

from inventory.ansible_vault import VaultClosed
from inventory.become import is_user_name
from inventory.errors import Place, Text
from inventory.host import BecomeMethod, Platform, SecretReference, Transport, Value
from inventory.names import BadName, group_name, label, shown
from inventory.nodes import ListNode, MapNode, Node
from inventory.secret import MASK
from inventory.settings import Branch, Entries, Leaf
from inventory.sources import ansible_windows
from inventory.sources.ansible_model import AnsibleHost, Given
from inventory.sources.ansible_options import DEFAULT, METHODS, PLUGINS, TAKEN, Plugin, become_password, become_user
from inventory.sources.ansible_ssh import ARGUMENTS, LOGIN, Told, told_by
from inventory.sources.ansible_vaulted import Vaults
from inventory.sources.found import Access, Found, FoundHost, methods_in
from inventory.sources.proxy_commands import Meaning

Givens: TypeAlias = Mapping[str, Given]

_METHOD = "ansible_become_method"
_SECRETS = re.compile(r"ansible_(?:\w+_)?(?:password|pass|passphrase)")
_MEANINGLESS = frozenset(
    {
        "ansible_become",
        "ansible_remote_tmp",
        "ansible_pipelining",
        "ansible_ssh_pipelining",
        "ansible_shell_type",
        "ansible_shell_executable",
        "ansible_group_priority",
        "ansible_os_family",
        *ansible_windows.MEANINGLESS,
    }
)
"""What says nothing that longarm would do otherwise."""
_MEANT_ANYWAY = {
    "ansible_become_exe": "sudo",
    **ansible_windows.MEANT_ANYWAY,
}
"""Values that say what longarm does anyway."""
_YES = ("yes", "true")
_SIMPLE = re.compile(r"\{\{\s*(\w+)\s*\}\}")


class Words:
    """Translates the variables of hosts; each thing that cannot be translated is noted once, at its place."""

    def __init__(self, found: Found, vaults: Vaults | None, *, site: str, customer: str, reveal: Collection[str] = ()) -> None:
        self.found, self.vaults, self.site, self.customer, self.reveal = found, vaults, site, customer, reveal
        self.opened: list[Place] = []
        """Where something was encrypted that is now among what was found."""
        self._told: set[tuple[str, str]] = set()
        self._entries: dict[int, tuple[Given, Leaf | Branch | None]] = {}
        self._values: dict[int, tuple[Given, Value]] = {}

    def host(self, theirs: AnsibleHost, givens: Givens, groups: tuple[str, ...]) -> None:
        """Add a host with its settings and variables to what was found."""
        connection = self._filled("ansible_connection", givens, theirs.name)
        if connection and connection[0] not in PLUGINS:
            text = Text(
                "the host {host} is left out: longarm cannot reach one by “{connection}”",
                host=shown(theirs.name),
                connection=shown(connection[0]),
            )
            self.found.note(connection[1].place, text, Text("known here: {names}", names="ssh, winrm, psrp, local"))
            return
        host = self.found.host(theirs.name, theirs.place)
        if host is None:
            return
        plugin = PLUGINS[connection[0]] if connection else DEFAULT
        transport = plugin.transport
        host.groups = [name for name in groups if name in self.found.groups]
        if connection and transport is not Transport.SSH:
            host.put("transport", transport.value, connection[1].place)
            if transport in (Transport.WINRM, Transport.PSRP):
                host.put("platform", Platform.WINDOWS.value, connection[1].place)
        self._way(host, givens, plugin)
        login = self._ssh(host, givens) if transport is Transport.SSH else {}
        taken = self._windows(host, givens, transport)
        method = self._become(host, givens) if transport in (Transport.SSH, Transport.LOCAL) else None
        names = {"password": plugin.password, "become_password": become_password(method)}
        kept = {what: reference for what in names if (reference := self._kept(names[what], givens))}
        if self._access(host, givens, plugin, login, kept):
            taken.update(name for what in kept for name in names[what])
        self._variables(host, {name: given for name, given in givens.items() if name not in taken})

    def _windows(self, host: FoundHost, givens: Givens, transport: Transport) -> set[str]:
        """Set how a Windows host is spoken to, and return the names of what was understood."""
        keys = ansible_windows.KEYS.get(transport, {})
        said: Entries = {}
        taken = set[str]()
        for name, key in keys.items():
            if (found := self._filled(name, givens, host.name)) is None:
                continue
            if (meaning := ansible_windows.meaning_of(key, found[0])) is not None:
                said[key] = Leaf(found[1].place, meaning)
                taken.add(name)
        if said:
            host.layer.values["winrm"] = Branch(next(iter(said.values())).place, said)
        return taken

    def _way(self, host: FoundHost, givens: Givens, plugin: Plugin) -> None:
        if address := self._first(plugin.address, givens, host.name):
            self.found.put_address(host, address[0], address[1].place)
        if port := self._first(plugin.port, givens, host.name):
            if port[0].isascii() and port[0].isdigit() and 1 <= int(port[0][:9]) <= 65535:
                host.put("port", int(port[0]), port[1].place)
            else:
                text = Text("“{key}” must be a whole number from {minimum} to {maximum}", key="port", minimum=1, maximum=65535)
                self.found.problem(port[1].place, text)
        for setting, name in (("site", self.site), ("customer", self.customer)):
            value = self._filled(name, givens, host.name)
            text_of = self.found.checked(value[0], value[1].place, label) if value else None
            if value and text_of is not None:
                host.put(setting, text_of, value[1].place)

    def _become(self, host: FoundHost, givens: Givens) -> BecomeMethod | None:
        """Set by which program another user is become, and whom; return the program, None for one that we do not know."""
        said: Entries = {}
        method: BecomeMethod | None = BecomeMethod.SUDO
        if told := self._filled(_METHOD, givens, host.name):
            method = METHODS.get(told[0])
            if method is not None:
                said["method"] = Leaf(told[1].place, method.value)
            else:
                text = Text("“{key}” is left out: longarm has no word for “{text}”", key=_METHOD, text=shown(told[0]))
                known = ", ".join(dict.fromkeys(METHODS.values()))
                self._tell(text, _METHOD, told[1], Text("known here: {names}", names=known))
        if user := self._first(become_user(method), givens, host.name):
            if is_user_name(user[0]):
                said["user"] = Leaf(user[1].place, user[0])
            else:
                self.found.problem(user[1].place, Text("“{name}” is not the name of a user", name=shown(user[0])))
        if said:
            host.layer.values["become"] = Branch(next(iter(said.values())).place, said)
        return method

    def _access(
        self,
        host: FoundHost,
        givens: Givens,
        plugin: Plugin,
        login: Mapping[str, tuple[str, Given]],
        passwords: Mapping[str, SecretReference],
    ) -> bool:
        """Give a host the credential that its user, its key and what ssh is told imply; tell whether it has one."""
        user = self._first(plugin.user, givens, host.name)
        key = self._first(plugin.key, givens, host.name) or login.get("identityfile")
        certificate = self._first(plugin.certificate, givens, host.name)
        if alias := login.get("hostkeyalias"):
            self.found.put_alias(host, alias[0], alias[1].place)
        if not user:
            for what, given in [(name, login[name][1]) for name in sorted(LOGIN - {"hostkeyalias"}) if name in login]:
                self._tell(Text("“{key}” is left out: no user is given with it", key=what), what, given)
            if key and "identityfile" not in login:
                text = Text(
                    "“{key}” is left out: no user is given with it", key=next(name for name in plugin.key if name in givens)
                )
                self._tell(text, "key without user", key[1])
            return False
        values = {name: value for name, (value, _) in login.items()}
        access = Access(
            **passwords,
            user=user[0],
            key=key[0] if key else None,
            certificate=(certificate[0] if certificate else values.get("certificatefile")) if key else None,
            only_named=values.get("identitiesonly", "").lower() in _YES,
            methods=methods_in(values.get("preferredauthentications", "")),
            tickets=values.get("gssapiauthentication", "").lower() in _YES,
        )
        self.found.put_access(host, "ansible", access, user[1].place)
        return "credential" in host.layer.values

    def _kept(self, names: tuple[str, ...], givens: Givens) -> SecretReference | None:
        """Return a reference to the first of these secrets that is there, if it stands encrypted in a file."""
        if self.vaults is None:
            return None
        present = [givens[name] for name in names if name in givens]
        given = next((given for given in present if given.vaulted or given.value is not None), None)
        if given is not None and isinstance(given.value, str) and (match := _SIMPLE.fullmatch(given.value.strip())):
            given = givens.get(match[1])  # “{{ vault_password }}”, as Ansible's documentation advises
        if given is None or not given.vaulted or given.sealed is None:
            return None
        return self.vaults.reference(given.sealed)

    def _ssh(self, host: FoundHost, givens: Givens) -> Mapping[str, tuple[str, Given]]:
        """Set through which hosts ssh would go to a host, and return how it would log in; what else it is told is left out."""
        login: dict[str, tuple[str, Given]] = {}
        for name, given in [(name, givens[name]) for name in ARGUMENTS if name in givens]:
            told = self._arguments(given, givens, host.name)
            if told is None or (told.way is None and not told.login):
                self._tell_untranslated(name, given)
                continue
            if told.rest:
                text = MASK if given.vaulted else shown(told.rest)
                self._tell(Text("“{key}” is left out: {text}", key=name, text=text), name, given)
            if told.way is not None and host.layer.values.keys().isdisjoint(("via", "proxy")):
                self._put_way(host, told.way, given)
            login = {**{keyword: (value, given) for keyword, value in told.login.items()}, **login}
        return login

    def _arguments(self, given: Given, givens: Givens, host: str) -> Told | None:
        """Return what arguments tell ssh; None where they cannot be read."""
        text = self._plain(given, givens, host)
        if self._value(given) is None or "{{" in text or "{%" in text:
            return None
        try:
            return told_by(text)
        except ValueError:
            return None

    def _put_way(self, host: FoundHost, way: Meaning, given: Given) -> None:
        if way.proxy:
            self.found.put_proxy(host, way.proxy, given.place)
            return
        for hop, new in self.found.put_way(host, way.via, given.place).items():
            if hop.port is not None:
                new.put("port", hop.port, given.place)
            if hop.user is not None:
                self.found.put_access(new, "ansible", Access(user=hop.user), given.place)

    def _first(self, names: tuple[str, ...], givens: Givens, host: str) -> tuple[str, Given] | None:
        return next((found for name in names if (found := self._filled(name, givens, host))), None)

    def _filled(self, name: str, givens: Givens, host: str) -> tuple[str, Given] | None:
        """Return a setting as text, names of plain variables filled in; None without one, or where only Ansible could."""
        given = givens.get(name)
        if given is None or (value := self._value(given)) is None or isinstance(value, tuple | Mapping):
            return None
        text = self._plain(given, givens, host)
        if "{{" not in text and "{%" not in text:
            return text, given
        what = Text("“{key}” holds a template that only Ansible can fill in", key=name)
        self.found.problem(
            given.place, what, Text("write the value itself, or names of plain variables: {example}", example="{{ name }}")
        )
        return None

    def _plain(self, given: Given, givens: Givens, host: str) -> str:
        """Return a value as text, names of plain variables filled in, what only Ansible can fill in as it is."""
        text = str(self._value(given))
        if "{{" not in text:
            return text
        known = {"inventory_hostname": host, "inventory_hostname_short": host.split(".")[0]}

        def plain(match: re.Match[str]) -> str:
            other = givens.get(match[1])
            found = None if other is None else self._value(other)
            value = str(found) if isinstance(found, str | int) else known.get(match[1], match[0])
            return value if "{" not in value else match[0]

        return _SIMPLE.sub(plain, text)

    def _value(self, given: Given) -> Value:
        """Return a value, decrypted where that is what it takes; None after noting what cannot be opened."""
        if not given.vaulted:
            return given.value
        if self.vaults is None:
            return None
        if id(given) not in self._values:
            value = given.value
            try:
                if given.sealed is not None and given.sealed.node is not None:
                    value = self.vaults.value(given.sealed)
                self.opened.append(given.place)
            except VaultClosed as closed:
                self.found.note(given.place, Text("left out: {reason}", reason=closed.text))
            self._values[id(given)] = given, value
        return self._values[id(given)][1]

    def _variables(self, host: FoundHost, givens: Givens) -> None:
        for name, given in givens.items():
            if name in TAKEN or name in ARGUMENTS:
                continue
            if name.startswith("ansible_"):
                self._tell_untranslated(name, given)
            elif (entry := self._entry(name, given)) is not None:
                host.put_variable(name, entry)

    def _tell_untranslated(self, name: str, given: Given) -> None:
        if name in _MEANINGLESS or name.endswith("_interpreter") or str(given.value) == _MEANT_ANYWAY.get(name):
            return
        if _SECRETS.fullmatch(name):
            hint = Text("name a credential for these hosts in a file of ours: it says where the secret is kept")
            self._tell(Text("“{key}” is left out: it is a secret", key=shown(name)), name, given, hint)
        else:
            self._tell(Text("“{key}” is left out: longarm has no word for it", key=shown(name)), name, given)

    def _tell(self, text: Text, what: str, given: Given, hint: Text | None = None) -> None:
        if (what, str(given.place)) not in self._told:
            self._told.add((what, str(given.place)))
            self.found.note(given.place, text, hint)

    def _entry(self, name: str, given: Given) -> Leaf | Branch | None:
        """Return a variable as ours; None after noting that it is left out, once for all hosts that share it."""
        if id(given) not in self._entries:
            self._entries[id(given)] = given, self._translated(name, given)
        return self._entries[id(given)][1]

    def _translated(self, name: str, given: Given) -> Leaf | Branch | None:
        shown_all_the_same = given.vaulted and name in self.reveal and self.vaults is not None
        if given.vaulted and id(given) in self._values and name in (self.site, self.customer):
            return None  # it is what it says, and nothing else
        if given.vaulted and not shown_all_the_same:
            hint = Text(
                "variables are shown in reports: keep it in a credential, or if it is no secret: reveal: [{key}]", key=name
            )
            self.found.note(given.place, Text("“{key}” is left out: ansible-vault encrypted it", key=shown(name)), hint)
            return None
        value = self._value(given)
        if self.found.withhold(name, value, given.place) or (shown_all_the_same and value is None):
            return None
        try:
            group_name(name)
        except BadName as error:
            self.found.note(given.place, Text("the variable is left out: {reason}", reason=error.text), error.hint)
            return None
        return self._as_entry(value, given.place, given.node)

    def _as_entry(self, value: Value, place: Place, node: Node | None) -> Leaf | Branch:
        """Return a value as ours, that of each key at the place of the key where the nodes are known."""
        if not isinstance(value, Mapping):
            return Leaf(place, self._without_secrets(value, place, node))
        inner: Entries = {}
        for key, item, at, below in _within(value, place, node):
            if not self.found.withhold(key, item, at):
                inner[key] = self._as_entry(item, at, below)
        return Branch(place, inner)

    def _without_secrets(self, value: Value, place: Place, node: Node | None) -> Value:
        """Return a value without what looks like a secret in the mappings of its lists: a list of users has their passwords."""
        if isinstance(value, tuple):
            nodes = node.items if isinstance(node, ListNode) else (None,) * len(value)
            return tuple(self._without_secrets(item, place, below) for item, below in zip(value, nodes, strict=True))
        if isinstance(value, Mapping):
            kept = [one for one in _within(value, place, node) if not self.found.withhold(*one[:3])]
            return MappingProxyType({key: self._without_secrets(item, at, below) for key, item, at, below in kept})
        return value


def _within(value: Mapping[str, Value], place: Place, node: Node | None) -> Iterator[tuple[str, Value, Place, Node | None]]:
    """Yield the keys of a mapping with their values, places and nodes; what has no node stands where the whole does."""
    nodes = {key.text: (key.place, below) for key, below in node.entries} if isinstance(node, MapNode) else {}
    for key, item in value.items():
        yield key, item, *nodes.get(key, (place, None))
