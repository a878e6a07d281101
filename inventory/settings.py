"""What can be set for all hosts, a group or a host, and how these layers come together on one host.

A layer is read with the place of each value, so that two groups that disagree can both be named.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from types import MappingProxyType
from typing import TypeAlias

from inventory.become import become_method, become_user
from inventory.errors import LongarmError, Place, Problem, Text
from inventory.fields import Fields
from inventory.host import Platform, SshLibrary, Transport, Value
from inventory.matching import KEYS
from inventory.names import group_name, host_name, label, shown
from inventory.nodes import ListNode, MapNode, Node, ScalarNode, plain
from inventory.proxies import MAX_ARGUMENTS, proxy_argument, proxy_program, proxy_url
from inventory.ssh_settings import ALLOWABLE, allowed_algorithm
from inventory.winrm import read_winrm

_PLATFORMS = tuple(platform.value for platform in Platform)
_LIBRARIES = tuple(library.value for library in SshLibrary)
_TRANSPORTS = tuple(transport.value for transport in Transport)
_SERVICE = re.compile(r"[A-Za-z0-9_@][A-Za-z0-9:_.@\\ $-]{0,255}")
_PORT = re.compile(r"(?:(tcp|udp)/)?([1-9][0-9]{0,4})")
_SECRET_NAME = re.compile(
    r"(^|[_.-])(passwords?|passwd|passphrase|(?<!proxy_)(?<!proxy-)pass|(?<=[_.-])(?:pwd|pw)|secrets?|tokens?"
    r"|(?:api|private|secret|access|encryption)[_-]?key)$",
    re.IGNORECASE,
)
"""What a name ends in; nginx's proxy_pass is an address, and pwd alone a folder."""
_ALWAYS_SECRET = re.compile(r"passwords?|passwd|passphrase|private[_-]?key", re.IGNORECASE)
_IN_ADDRESS = re.compile(r"[a-z][a-z0-9+.-]*://[^/\s:@]*:[^/\s@]+@", re.IGNORECASE)
"""A password before the host of an address (RFC 3986, section 3.2.1)."""


@dataclass(frozen=True, slots=True)
class Leaf:
    """One value, where it stands, and where its key does."""

    place: Place
    value: Value
    key: Place | None = None


@dataclass(frozen=True, slots=True)
class Branch:
    """A mapping inside `vars`: it merges key by key."""

    place: Place
    entries: Entries
    key: Place | None = None


@dataclass(frozen=True, slots=True)
class Rivals:
    """Two values for one key of which neither is more specific; or a mapping against a single value (`mixed`)."""

    place: Place
    other: Place
    mixed: bool = False


Entry: TypeAlias = Leaf | Branch | Rivals
Entries: TypeAlias = dict[str, Entry]


@dataclass(slots=True)
class Layer:
    """The settings of the defaults, of a group or of a host."""

    values: Entries = field(default_factory=dict)
    """Settings by name, via perhaps as a tuple (as ssh writes it); variables below `vars`, words below `become` and `winrm`."""
    lists: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """tags, and the expected services, ports and names: these add up instead of replacing each other."""
    items: dict[tuple[str, str], Place] = field(default_factory=dict)
    """Where each item of a list stands first, by list and item."""

    def extend(self, key: str, items: Mapping[str, Place]) -> None:
        """Add items to a list; those that are in it stay where they are."""
        self.lists[key] = tuple(dict.fromkeys((*self.lists.get(key, ()), *items)))
        for item, place in items.items():
            self.items.setdefault((key, item), place)


def read_layer(fields: Fields) -> Layer:
    """Return the settings among the keys of a mapping; mistakes are noted in `fields.problems`."""
    layer = Layer()
    for key in ("site", "customer"):
        _keep(layer, fields, key, _checked_text(fields, key, label))
    _keep(layer, fields, "platform", fields.one_of("platform", _PLATFORMS))
    _keep(layer, fields, "transport", fields.one_of("transport", _TRANSPORTS))
    _keep(layer, fields, "port", fields.integer("port", minimum=1, maximum=65535))
    _keep(layer, fields, "credential", _checked_text(fields, "credential", group_name))
    _keep(layer, fields, "via", _checked_text(fields, "via", host_name))
    _keep(layer, fields, "host_key_alias", _checked_text(fields, "host_key_alias", host_name))
    _keep(layer, fields, "ssh_library", fields.one_of("ssh_library", _LIBRARIES))
    _keep(layer, fields, "proxy", _checked_text(fields, "proxy", proxy_url))
    _keep(layer, fields, "proxy_credential", _checked_text(fields, "proxy_credential", group_name))
    if fields.has("proxy_command"):
        _keep(layer, fields, "proxy_command", _proxy_command(fields))
    if fields.has("ssh_algorithms"):
        layer.values["ssh_algorithms"] = Branch(fields.place("ssh_algorithms"), _old_algorithms(fields))
    if fields.has("become"):
        layer.values["become"] = Branch(fields.place("become"), _become(fields.fields("become")))
    if fields.has("winrm"):
        winrm = fields.fields("winrm")
        said: Entries = {key: Leaf(winrm.place(key), value) for key, value in read_winrm(winrm).items()}
        layer.values["winrm"] = Branch(fields.place("winrm"), said)
    if fields.has("tags"):
        layer.extend("tags", _checked_texts(fields, "tags", group_name))
    if fields.has("vars"):
        layer.values["vars"] = Branch(fields.place("vars"), _variables(fields))
    if fields.has("expect"):
        expect = fields.fields("expect")
        for key, check in (("services", _service), ("ports", _port), ("names", host_name)):
            if texts := _checked_texts(expect, key, check):
                layer.extend(key, texts)
        expect.done()
    return layer


def _become(fields: Fields) -> Entries:
    said: Mapping[str, Value] = {"method": become_method(fields), "user": become_user(fields)}
    if fields.has("password"):
        hint = Text("write it in the credential: {example}", example="become: {password: {env: NAME}}")
        fields.problem(fields.key_place("password"), Text("a password belongs to a credential"), hint)
    fields.done()
    return {key: Leaf(fields.place(key), value) for key, value in said.items() if value is not None}


def _keep(layer: Layer, fields: Fields, key: str, value: Value) -> None:
    if value is not None:
        layer.values[key] = Leaf(fields.place(key), value)


def _checked(fields: Fields, text: str, place: Place, check: Callable[[str], str]) -> str | None:
    try:
        return check(text)
    except LongarmError as error:
        fields.problem(place, error.text, error.hint)
        return None


def _checked_text(fields: Fields, key: str, check: Callable[[str], str]) -> str | None:
    text = fields.text(key)
    return None if text is None else _checked(fields, text, fields.place(key), check)


def _checked_texts(fields: Fields, key: str, check: Callable[[str], str]) -> dict[str, Place]:
    """Return the texts of a list, each once, with their places."""
    checked: dict[str, Place] = {}
    for node in fields.text_nodes(key):
        if (text := _checked(fields, node.text, node.place, check)) is not None:
            checked.setdefault(text, node.place)
    return checked


def _proxy_command(fields: Fields) -> tuple[str, ...]:
    """Return program and arguments, each as it is written: the same word may come twice."""
    nodes = fields.text_nodes("proxy_command")
    if len(nodes) > MAX_ARGUMENTS:
        fields.problem(nodes[MAX_ARGUMENTS].place, Text("more than {limit} arguments", limit=MAX_ARGUMENTS))
    words = [_checked(fields, node.text, node.place, proxy_argument if at else proxy_program) for at, node in enumerate(nodes)]
    return () if None in words else tuple(word for word in words if word is not None)


def _old_algorithms(fields: Fields) -> Entries:
    algorithms, entries = fields.fields("ssh_algorithms"), Entries()
    for kind in ALLOWABLE:
        if algorithms.has(kind):
            names = _checked_texts(algorithms, kind, partial(allowed_algorithm, kind))
            entries[kind] = Leaf(algorithms.place(kind), tuple(names), algorithms.key_place(kind))
    algorithms.done()
    return entries


def _service(text: str) -> str:
    if not _SERVICE.fullmatch(text):
        raise LongarmError(Text("“{name}” is not the name of a service", name=shown(text)))
    return text


def _port(text: str) -> str:
    match = _PORT.fullmatch(text)
    if match is None or int(match[2]) > 65535:
        raise LongarmError(Text("“{name}” is not a port", name=shown(text)), Text("write 5432, tcp/5432 or udp/123"))
    return f"{match[1] or 'tcp'}/{match[2]}"


def _variables(fields: Fields) -> Entries:
    node = fields.mapping("vars")
    for key, value in node.entries if node else ():
        if key.text in KEYS:
            hint = Text("write it beside “vars”, or choose another name")
            fields.problem(key.place, Text("“{key}” is not a variable", key=key.text), hint)
        _checked(fields, key.text, key.place, group_name)
        if key.text == "thresholds":
            _look_at_thresholds(fields, value)
    if node is None:
        return {}
    _look_for_secrets(fields, node)
    return _entries(node)


def _look_at_thresholds(fields: Fields, node: Node) -> None:
    checks = node.entries if isinstance(node, MapNode) else ()
    right = isinstance(node, MapNode) and all(isinstance(bounds, MapNode) for _, bounds in checks)
    bounds = [bound for _, inner in checks if isinstance(inner, MapNode) for _, bound in inner.entries]
    if not right or not all(isinstance(bound, ScalarNode) and bound.value is not None for bound in bounds):
        hint = Text("name the check, then the threshold: fs-space: {example}", example="{warning: 85}")
        fields.problem(node.place, Text("“thresholds” must be values by check and name"), hint)


def _look_for_secrets(fields: Fields, node: Node) -> None:
    if isinstance(node, ListNode):
        for item in node.items:
            _look_for_secrets(fields, item)
    for key, value in node.entries if isinstance(node, MapNode) else ():
        _look_for_secrets(fields, value)
        if _is_secret(key.text, value):
            hint = Text("variables are shown in reports: keep it in a credential, which names where the secret is kept")
            fields.problem(key.place, Text("“{key}” looks like a secret", key=shown(key.text)), hint)


def _is_secret(name: str, node: Node) -> bool:
    return looks_secret(name, {} if isinstance(node, MapNode) else plain(node))


def looks_secret(name: str, value: Value) -> bool:
    """Tell whether the value may be a secret: behind “token” only a text, behind “password” a number or a list too.

    An address with a password in it is one behind any name.
    """
    texts = value if isinstance(value, tuple) else (value,)
    if any(isinstance(text, str) and _IN_ADDRESS.match(text) for text in texts):
        return True
    if not (found := _SECRET_NAME.search(name)) or isinstance(value, Mapping):
        return False
    if _ALWAYS_SECRET.fullmatch(found[2]):
        return not isinstance(value, bool | None)
    return isinstance(value, str)


def _entries(node: MapNode) -> Entries:
    entries: Entries = {}
    for key, value in node.entries:
        if isinstance(value, MapNode):
            entries[key.text] = Branch(value.place, _entries(value), key.place)
        else:
            entries[key.text] = Leaf(value.place, plain(value), key.place)
    return entries


def add(entries: Entries, others: Entries, problems: list[Problem], what: Text) -> None:
    """Put the values of a second declaration of the same thing beside those of the first; one given twice is a mistake."""
    for key, other in others.items():
        known = entries.setdefault(key, other)
        if known is other:
            continue
        if isinstance(known, Branch) and isinstance(other, Branch):
            add(known.entries, other.entries, problems, what)
        else:
            text = Text("“{key}” of {what} is given twice, first at {place}", key=key, what=what, place=known.place)
            problems.append(Problem(place=other.place, text=text))


def merge(layers: Sequence[tuple[str, Entries]], above: Mapping[str, Collection[str]]) -> Entries:
    """Return what groups say together: the innermost value of each key, `Rivals` where two disagree.

    `above` holds for each group the names of the groups that it is inside of.
    """
    merged: Entries = {}
    for key in dict.fromkeys(key for _, entries in layers for key in entries):
        found = [(group, entries[key]) for group, entries in layers if key in entries]
        branches = [(group, entry) for group, entry in found if isinstance(entry, Branch)]
        if not branches:
            merged[key] = _innermost(found, above)
        elif len(branches) == len(found):
            inner = merge([(group, branch.entries) for group, branch in branches], above)
            merged[key] = Branch(branches[0][1].place, inner, branches[0][1].key)
        else:
            other = next(entry for _, entry in found if not isinstance(entry, Branch))
            merged[key] = _rivals(branches[0][1], other, mixed=True)
    return merged


def _innermost(found: Sequence[tuple[str, Entry]], above: Mapping[str, Collection[str]]) -> Entry:
    overridden = {outer for group, _ in found for outer in above[group]}
    left = [entry for group, entry in found if group not in overridden]
    rival = next((entry for entry in left if _value(entry) != _value(left[0])), None)
    return left[0] if rival is None else _rivals(left[0], rival, mixed=False)


def _rivals(one: Entry, other: Entry, *, mixed: bool) -> Rivals:
    first, second = sorted((one.place, other.place))
    return Rivals(second, first, mixed)


def _value(entry: Entry) -> str:
    return repr(entry.value) if isinstance(entry, Leaf) else ""  # 1, 1.0 and true are equal in Python, not in an inventory


def overlay(entries: Entries, own: Entries) -> Entries:
    """Return the values of the groups with a host's own on top."""
    result = dict(entries)
    for key, entry in own.items():
        below = entries.get(key)
        if isinstance(below, Branch) and isinstance(entry, Branch):
            result[key] = Branch(entry.place, overlay(below.entries, entry.entries), entry.key)
        elif below is None or isinstance(below, Rivals) or type(below) is type(entry):
            result[key] = entry
        else:
            result[key] = _rivals(below, entry, mixed=True)
    return result


def disagreements(entries: Entries, path: str = "") -> Iterator[tuple[str, Rivals]]:
    """Yield every key that two groups disagree about, with its dotted path."""
    for key, entry in entries.items():
        if isinstance(entry, Rivals):
            yield path + key, entry
        elif isinstance(entry, Branch):
            yield from disagreements(entry.entries, f"{path}{key}.")


def places(entries: Entries, path: str = "") -> Iterator[tuple[str, Place]]:
    """Yield where the key of each value stands, by its dotted path."""
    for key, entry in entries.items():
        if not isinstance(entry, Rivals):
            yield path + key, entry.key or entry.place
        if isinstance(entry, Branch):
            yield from places(entry.entries, f"{path}{key}.")


def values(entries: Entries) -> Mapping[str, Value]:
    """Return the plain values, read-only."""
    plain_values = {
        key: values(entry.entries) if isinstance(entry, Branch) else entry.value
        for key, entry in entries.items()
        if not isinstance(entry, Rivals)
    }
    return MappingProxyType(plain_values)
