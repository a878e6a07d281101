"""What one source of hosts found: values with their places, already merged within the source.

Each source has rules of its own about which of its values holds; what it hands on is the result, host by host. Sources
then lie over each other in the order in which they are declared, and our own files over all of them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Protocol

from inventory.become import is_user_name
from inventory.copies import Copies
from inventory.errors import LongarmError, Place, Problem, SourceUnavailable, Text
from inventory.grouping import GroupDraft
from inventory.host import METHODS, CredentialReference, KerberosReference, SecretReference, Value
from inventory.names import BadName, group_name, host_address, host_name, shown
from inventory.proxies import proxy_url
from inventory.secret import Secret
from inventory.secrets.unattended import Resolve, unattended
from inventory.secrets.unusable import Unusable
from inventory.settings import Branch, Entries, Layer, Leaf, looks_secret, overlay
from inventory.stamps import Looked

if TYPE_CHECKING:
    from inventory.secret_stores import DeclaredStore


@dataclass(slots=True)
class FoundHost:
    """One host of a source; `layer.values` may hold its `address` too."""

    name: str
    place: Place
    layer: Layer = field(default_factory=Layer)
    groups: list[str] = field(default_factory=list)

    def put(self, key: str, value: Value, place: Place) -> None:
        """Set a setting that is already known to be right."""
        self.layer.values[key] = Leaf(place, value)

    def put_variable(self, name: str, entry: Leaf | Branch) -> None:
        """Set a variable."""
        branch = self.layer.values.setdefault("vars", Branch(entry.place, {}))
        assert isinstance(branch, Branch)  # `put` is for settings
        branch.entries[name] = entry

    def tag(self, tags: Mapping[str, Place]) -> None:
        """Add tags, with the place of each."""
        self.layer.extend("tags", tags)


@dataclass(frozen=True, slots=True, kw_only=True)
class Hop:
    """One host on the way to others, in the words of ssh."""

    name: str
    """A name or an address: who it is for us."""
    user: str | None = None
    port: int | None = None


def hop_of(text: str) -> Hop:
    """Return what one hop of a ProxyJump says; raises BadName.

    >>> hop_of("ops@gw:2222"), hop_of("ssh://[2001:db8::1]:22")
    (Hop(name='gw', user='ops', port=2222), Hop(name='2001:db8::1', user=None, port=22))
    """
    rest = text.strip()
    if rest.lower().startswith("ssh://"):
        rest = rest[6:].removesuffix("/")
    user, at, rest = rest.rpartition("@")
    name, colon, port = rest.rpartition(":")
    if rest.endswith("]") or not colon or (":" in name and not name.endswith("]")):
        name, colon, port = rest, "", ""
    if colon and not (port.isascii() and port.isdigit() and 1 <= int(port[:9]) <= 65535):
        raise BadName(text, Text("“{name}” is not a port", name=shown(port)))
    if name.startswith("[") and name.endswith("]"):
        name = name[1:-1]
    return Hop(name=host_name(name), user=user if at else None, port=int(port) if colon else None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """How ssh would log in to a host, as far as that is told; the agent is asked as ssh asks it."""

    user: str
    key: str | None = None
    certificate: str | None = None
    only_named: bool = False
    """IdentitiesOnly: no other key of the agent than that one."""
    methods: tuple[str, ...] = ()
    tickets: bool = False
    """GSSAPIAuthentication: with a Kerberos ticket, where there is one."""
    password: SecretReference | None = None
    become_password: SecretReference | None = None

    @property
    def rest(self) -> str:
        """Return what tells it from others of the same user; empty where the user is all that is told."""
        flags = [word for word, there in (("only", self.only_named), ("gss", self.tickets)) if there]
        flags += [f"{word} {one}" for word, one in (("in", self.password), ("become", self.become_password)) if one]
        more = "\0".join((self.certificate or "", *flags, *self.methods))
        return f"{self.key or ''}\0{more}" if more else self.key or ""

    def credential(self, name: str, place: Place) -> CredentialReference:
        """Return the credential that it implies."""
        return CredentialReference(
            name=name,
            user=self.user,
            key=self.key,
            certificate=self.certificate,
            agent=self.key is not None,
            only_named=self.only_named and self.key is not None,
            methods=self.methods,
            kerberos=KerberosReference(optional=True) if self.tickets else None,
            password=self.password,
            become_password=self.become_password,
            place=place,
        )


def methods_in(text: str) -> tuple[str, ...]:
    """Return those of PreferredAuthentications that are known here, in their order.

    >>> methods_in("hostbased,keyboard-interactive, publickey")
    ('keyboard-interactive', 'publickey')
    """
    return tuple(dict.fromkeys(name for part in text.lower().split(",") if (name := part.strip()) in METHODS))


@dataclass(slots=True)
class Found:
    """Everything that one source, or several over each other, say."""

    hosts: dict[str, FoundHost] = field(default_factory=dict)
    """By the name in lower case."""
    groups: dict[str, GroupDraft] = field(default_factory=dict)
    credentials: dict[str, CredentialReference] = field(default_factory=dict)
    """Those that the source itself implies: a user, the file of a key."""
    stores: dict[str, DeclaredStore] = field(default_factory=dict)
    """Where the secrets of these credentials are kept, by name."""
    hops: dict[str, FoundHost] = field(default_factory=dict)
    """What is known of hosts that are on the way to others, by the hop as it is written: for those that nobody declares."""
    problems: list[Problem] = field(default_factory=list)
    notes: list[Problem] = field(default_factory=list)
    """What could not be taken over and is no mistake, but should be known."""

    def problem(self, place: Place, text: Text, hint: Text | None = None) -> None:
        """Note a mistake."""
        self.problems.append(Problem(place=place, text=text, hint=hint))

    def note(self, place: Place, text: Text, hint: Text | None = None) -> None:
        """Note what should be known."""
        self.notes.append(Problem(place=place, text=text, hint=hint))

    def checked(self, text: str, place: Place, check: Callable[[str], str]) -> str | None:
        """Return what a strict constructor makes of a text; None after noting what it refused."""
        try:
            return check(text)
        except LongarmError as error:
            self.problem(place, error.text, error.hint)
            return None

    def host(self, name: str, place: Place) -> FoundHost | None:
        """Return the host of that name, new where it is not known yet; None after noting that it cannot be a name."""
        if (right := self.checked(name, place, host_name)) is None:
            return None
        return self.hosts.setdefault(right.lower(), FoundHost(right, place))

    def put_address(self, host: FoundHost, text: str, place: Place) -> None:
        """Set where a host is reached."""
        if (address := self.checked(text, place, host_address)) is not None:
            host.put("address", address, place)

    def put_alias(self, host: FoundHost, text: str, place: Place) -> None:
        """Set one more name that a certificate of the host may be for; one that is no name of a host is noted."""
        try:
            host.put("host_key_alias", host_name(text), place)
        except BadName as error:
            self.note(place, Text("“{key}” is left out: {reason}", key="HostKeyAlias", reason=error.text), error.hint)

    def group(self, name: str, place: Place) -> GroupDraft | None:
        """Return the group of that name, new where it is not known yet; None after noting that it is left out."""
        try:
            return self.groups.setdefault(name, GroupDraft(group_name(name), place, found=True))
        except BadName as error:
            self.note(place, Text("the group is left out: {reason}", reason=error.text), error.hint)
            return None

    def put_access(self, host: FoundHost, kind: str, access: Access, place: Place) -> None:
        """Give a host the credential that a user name (and what else is said of the login) imply, named `KIND.USER`."""
        user = access.user
        if not is_user_name(user):
            self.problem(place, Text("“{name}” is not the name of a user", name=user[:80]))
            return
        name = f"{kind}.{user}" + (f".{_short(access.rest)}" if access.rest else "")
        try:
            group_name(name)
        except BadName:
            name = f"{kind}.{_short(name)}"
        self.credentials.setdefault(name, access.credential(name, place))
        host.put("credential", name, place)

    def put_way(self, host: FoundHost, text: str, place: Place) -> dict[Hop, FoundHost]:
        """Set through which hosts it is reached, as ssh writes it, the nearest to us first; return the hops that are new.

        Should nobody know them, they are hosts as they are described by the caller. `none`: it is reached directly.
        """
        if text.lower() == "none":
            host.put("via", host.name, place)
            return {}
        parts, new = tuple(part.strip() for part in text.split(",")), dict[Hop, FoundHost]()
        for part in [part for part in parts if part not in self.hops]:
            try:
                hop = hop_of(part)
            except BadName as error:
                self.problem(place, error.text, error.hint)
                return {}
            new[hop] = self.hops[part] = FoundHost(hop.name, place)
        host.put("via", parts, place)
        return new

    def put_proxy(self, host: FoundHost, url: str, place: Place) -> None:
        """Set the proxy that it is reached by."""
        if (right := self.checked(url, place, proxy_url)) is not None:
            host.put("proxy", right, place)

    def withhold(self, name: str, value: Value, place: Place) -> bool:
        """Tell whether a variable may hold a secret; if so, note that it is left out."""
        if not looks_secret(name, value):
            return False
        hint = Text("variables are shown in reports: keep it in a credential, which names where the secret is kept")
        self.note(place, Text("“{key}” is left out: it looks like a secret", key=name[:80]), hint)
        return True

    def lay(self, other: Found) -> None:
        """Put a second source over what is here: its values hold where both have one."""
        for key, host in other.hosts.items():
            if (known := self.hosts.get(key)) is None:
                self.hosts[key] = host
                continue
            known.layer.values = _over(known.layer.values, host.layer.values)
            for name, items in host.layer.lists.items():
                known.layer.extend(name, {item: host.layer.items[name, item] for item in items})
            known.groups += [name for name in host.groups if name not in known.groups]
        for name, group in other.groups.items():
            self.groups.setdefault(name, group).children.update(group.children)
        self.credentials |= other.credentials
        self.stores |= other.stores
        self.hops |= other.hops
        self.problems += other.problems
        self.notes += other.notes


def _over(below: Entries, above: Entries) -> Entries:
    """Return the values of two sources; what is a mapping in one and none in the other is replaced whole."""
    fitting = {
        key: entry
        for key, entry in below.items()
        if key not in above or isinstance(entry, Branch) == isinstance(above[key], Branch)
    }
    laid = overlay(fitting, above)
    for key, entry in above.items():
        known = fitting.get(key)
        if isinstance(known, Branch) and isinstance(entry, Branch):
            laid[key] = Branch(entry.place, _over(known.entries, entry.entries), entry.key)
    return laid


def _short(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:8]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What a source may use while it is read."""

    copies: Copies
    now: datetime
    files: Looked = field(default_factory=Looked)
    """Every file and folder that was looked into: what is remembered of them holds until one changes."""
    resolve: Resolve = unattended
    opened: list[Place] = field(default_factory=list)
    """Where something stood that was encrypted and now is among what was found."""

    def secret(self, reference: SecretReference, place: Place) -> Secret:
        """Return the secret that a source at that place is asked or opened with; raises SourceUnavailable."""
        try:
            return self.resolve(reference)
        except Unusable as unusable:
            raise SourceUnavailable(reference.place or place, unusable.text, unusable.hint) from unusable


class Source(Protocol):
    """One declared source of hosts."""

    @property
    def place(self) -> Place:
        """Return where it is declared."""

    @property
    def title(self) -> str:
        """Return what it is called in messages: `ansible /etc/ansible/hosts`."""

    def read(self, reading: Reading) -> Found:
        """Return what it knows; raises InvalidFile or SourceUnavailable where it cannot be read at all."""
