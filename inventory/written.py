"""An inventory written in our own format: everything merged, to be read again as it is."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import count

from inventory.become import become_of
from inventory.host import (
    CodeReference,
    CredentialReference,
    Host,
    KerberosReference,
    OldAlgorithms,
    Platform,
    Proxy,
    SecretReference,
    SshLibrary,
    Transport,
    Value,
)
from inventory.inventory import Inventory
from inventory.matching import KEYS
from inventory.references import secrets_of
from inventory.secret_stores import declaration
from inventory.ssh_settings import by_kind
from inventory.winrm import written_winrm
from inventory.yaml_scalars import NotStorable, core_value

_PLAIN = re.compile(r"[A-Za-z0-9/~_][A-Za-z0-9/~_.-]*")


def written(inventory: Inventory, hosts: Sequence[Host]) -> str:
    """Return a file of ours with some hosts of an inventory, their groups and the credentials that they use.

    Hosts that they are reached through are in it too. Waivers are not in it: they stand in files of ours already. What other
    sources may call as ours may not is told in comments: variables named like a key of ours are left out, groups named like
    a host have another name.
    """
    needed = {one.name: one for host in hosts for one in _way_to(host)}
    hosts = tuple({**{host.name: host for host in hosts}, **needed}.values())
    named = [one for host in hosts for one in (host.credential, host.ssh.proxy and host.ssh.proxy.credential) if one]
    used = {credential.name: credential for credential in named}
    names = _names_of_groups(inventory, hosts)
    lines = [f"# the group {name} is called {ours} here: a host has its name" for name, ours in names.items() if name != ours]
    if left_out := sorted({name for host in hosts for name in host.vars if name in KEYS}):
        lines.append(f"# variables that are named like keys of ours are left out: {', '.join(left_out)}")
    if programs := tuple(sorted({host.ssh.proxy_command[0] for host in hosts if host.ssh.proxy_command})):
        lines.append(f"proxy_programs: {flow(programs)}")
    stores = {one.store.name: one.store for one, _ in secrets_of(used.values()) if one.store}
    sections: Mapping[str, Mapping[str, Mapping[str, Value]]] = {
        "secret_stores": {name: declaration(stores[name]) for name in sorted(stores)},
        "credentials": {name: _credential(used[name]) for name in sorted(used)},
        "groups": dict(_groups(inventory, hosts, names)),
        "hosts": {host.name: _host(host) for host in hosts},
    }
    for title, entries in sections.items():
        if entries:
            lines += [f"{title}:", *(f"  {scalar(name)}: {flow(entry)}" for name, entry in entries.items())]
    return "\n".join(lines) + "\n"


def _way_to(host: Host) -> Iterator[Host]:
    while host.via is not None:
        host = host.via
        yield host


def _credential(credential: CredentialReference) -> Mapping[str, Value]:
    proofs = {
        "key": credential.key,
        "certificate": credential.certificate,
        "passphrase": _reference(credential.passphrase),
        "agent": "named" if credential.only_named else credential.agent or None,
        "password": _reference(credential.password),
        "otp": _codes(credential.otp),
        "kerberos": _kerberos(credential.kerberos),
        "methods": credential.methods or None,
        "become": _become(credential) or None,
        "customer": credential.customer,
    }
    required = credential.kerberos and not credential.kerberos.optional
    if not any(
        (credential.key, credential.agent, credential.password, credential.otp, required)
    ):  # a source knew no more than the user
        proofs["agent"] = True
    return {"user": credential.user, **{key: value for key, value in proofs.items() if value is not None}}


def _become(credential: CredentialReference) -> Mapping[str, Value]:
    said = {
        "method": credential.become_method and credential.become_method.value,
        "user": credential.become_user,
        "password": _reference(credential.become_password),
    }
    return {key: value for key, value in said.items() if value is not None}


def _reference(secret: SecretReference | None) -> Value:
    return None if secret is None else {secret.kind: secret.value}


def _codes(codes: CodeReference | None) -> Value:
    if codes is None:
        return None
    origin = {"secret": _reference(codes.secret)} if codes.secret else {"prompt": codes.typed.value if codes.typed else ""}
    usual = CodeReference()
    more: dict[str, Value] = {
        "digits": codes.digits if codes.digits != usual.digits else None,
        "period": f"{codes.period_s}s" if codes.period_s != usual.period_s else None,
        "algorithm": codes.algorithm if codes.algorithm != usual.algorithm else None,
        "per_host": codes.per_host or None,
    }
    return {**origin, **{key: value for key, value in more.items() if value is not None}}


def _kerberos(tickets: KerberosReference | None) -> Value:
    if tickets is None:
        return None
    parts: dict[str, Value] = {
        "principal": tickets.principal,
        "password": _reference(tickets.password),
        "keytab": tickets.keytab,
        "ccache": tickets.ccache,
        "optional": tickets.optional or None,
    }
    return {key: value for key, value in parts.items() if value is not None} or True


def _names_of_groups(inventory: Inventory, hosts: Sequence[Host]) -> Mapping[str, str]:
    """Return how each group that has one of the hosts is called: as it is, or otherwise where a host is called so."""
    chosen = {host.name for host in hosts}
    taken = {name.casefold() for name in (*chosen, *inventory.groups)}
    named = {name.casefold() for name in chosen}
    names: dict[str, str] = {}
    for name, group in inventory.groups.items():
        if chosen.isdisjoint(group.hosts):
            continue
        others = (f"{name[:50]}.group{number or ''}" for number in count())
        names[name] = next(one for one in others if one.casefold() not in taken) if name.casefold() in named else name
        taken.add(names[name].casefold())
    return names


def _groups(inventory: Inventory, hosts: Sequence[Host], names: Mapping[str, str]) -> Iterator[tuple[str, Mapping[str, Value]]]:
    """Yield the groups of hosts with what is directly in them: hosts that no inner group has, and inner groups."""
    chosen = {host.name for host in hosts}
    members = {name: [host for host in group.hosts if host in chosen] for name, group in inventory.groups.items()}
    for name, group in inventory.groups.items():
        if not members[name]:
            continue
        inner = tuple(child for child in group.groups if members[child])
        below = {host for child in inner for host in members[child]}
        direct = tuple(host for host in members[name] if host not in below)
        parts = (("hosts", direct), ("groups", tuple(names[one] for one in inner)))
        yield names[name], {key: value for key, value in parts if value}


def _host(host: Host) -> Mapping[str, Value]:
    usual = Platform.WINDOWS if host.transport in (Transport.WINRM, Transport.PSRP) else Platform.LINUX
    settings: dict[str, Value] = {
        "address": host.address if host.address != host.name else None,
        "port": host.port,
        "transport": host.transport.value if host.transport is not Transport.SSH else None,
        "platform": None if host.platform is usual else host.platform.value,
        "site": host.site,
        "customer": host.customer,
        "tags": host.tags or None,
        "credential": host.credential.name if host.credential else None,
        "become": _beside(host) or None,
        "via": host.via.name if host.via else None,
        "host_key_alias": host.host_key_alias,
        "proxy": _proxy(host.ssh.proxy),
        "proxy_credential": host.ssh.proxy.credential.name if host.ssh.proxy and host.ssh.proxy.credential else None,
        "proxy_command": host.ssh.proxy_command or None,
        "ssh_library": host.ssh.library.value if host.ssh.library is not SshLibrary.ASYNCSSH else None,
        "ssh_algorithms": _old_algorithms(host.ssh.old_algorithms) or None,
        "winrm": written_winrm(host.winrm) or None,
        "vars": {name: value for name, value in host.vars.items() if name not in KEYS} or None,
    }
    expect = {key: value for key in ("services", "ports", "names") if (value := getattr(host.expect, key))}
    return {key: value for key, value in {**settings, "expect": expect or None}.items() if value is not None}


def _proxy(proxy: Proxy | None) -> str | None:
    if proxy is None or proxy.user is None:
        return None if proxy is None else proxy.url
    return proxy.url.replace("//", f"//{proxy.user}@", 1)


def _old_algorithms(old: OldAlgorithms) -> Mapping[str, Value]:
    return {kind: tuple(f"+{name}" for name in names) for kind, names in by_kind(old).items()}


def _beside(host: Host) -> Mapping[str, Value]:
    """Return how another user is become there, as far as the credential does not say the same."""
    alone = become_of(None, host.credential)
    said = {
        "method": None if host.become.method is alone.method else host.become.method.value,
        "user": None if host.become.user == alone.user else host.become.user,
    }
    return {key: value for key, value in said.items() if value is not None}


def flow(value: Value) -> str:
    """Return a value as YAML in one line.

    >>> flow({"a": (1, "1", "x: y", None, True), "b": {}})
    '{a: [1, "1", "x: y", null, true], b: {}}'
    """
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{scalar(key)}: {flow(item)}" for key, item in value.items()) + "}"
    if isinstance(value, tuple):
        return "[" + ", ".join(map(flow, value)) + "]"
    return scalar(value) if isinstance(value, str) else json.dumps(value)


def _escaped(sign: str) -> str:
    if sign.isprintable():
        return sign
    return f"\\U{ord(sign):08x}" if ord(sign) > 0xFFFF else f"\\u{ord(sign):04x}"


def scalar(text: str) -> str:
    """Return a text as YAML reads it back: bare where nothing else can be meant, else in double quotes.

    >>> [scalar(text) for text in ("web1", "010", "no", "1e3", "null", "а\\u202eб")]
    ['web1', '"010"', 'no', '"1e3"', '"null"', '"а\\\\u202eб"']
    """
    if _PLAIN.fullmatch(text) and _is_text(text):
        return text
    return "".join(map(_escaped, json.dumps(text, ensure_ascii=False)))


def _is_text(text: str) -> bool:
    try:
        return core_value(text) == text
    except NotStorable:
        return False
