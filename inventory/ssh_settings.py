"""How a host is spoken to by SSH where that differs from the rule: old algorithms that are allowed for it alone."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import fields
from types import MappingProxyType

from inventory.errors import LongarmError, Text
from inventory.fields import did_you_mean
from inventory.host import OldAlgorithms
from inventory.names import shown

KINDS = tuple(field.name for field in fields(OldAlgorithms))

ALLOWABLE: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "kex": (
            "diffie-hellman-group14-sha1",  # 2048 bits, SHA-1
            "diffie-hellman-group-exchange-sha1",
            "diffie-hellman-group1-sha1",  # 1024 bits: Logjam (CVE-2015-4000)
        ),
        "host_keys": ("ssh-rsa",),  # RSA with SHA-1: OpenSSH before 7.2
        "user_keys": ("ssh-rsa",),
        "ciphers": ("aes256-cbc", "aes192-cbc", "aes128-cbc", "3des-cbc"),  # CBC: CVE-2008-5161
        "macs": ("hmac-sha1", "hmac-sha1-96", "hmac-md5"),
    }
)
"""What an inventory may allow, by kind, the best one first. All else is either always offered or never."""


def by_kind(old: OldAlgorithms) -> Mapping[str, tuple[str, ...]]:
    """Return old algorithms by kind, without the kinds that have none."""
    return {kind: names for kind in KINDS if (names := getattr(old, kind))}


def allowed_algorithm(kind: str, text: str) -> str:
    """Return the name of an old algorithm, written with a `+` since it is more than the rule; or raise LongarmError.

    >>> allowed_algorithm("kex", "+diffie-hellman-group14-sha1")
    'diffie-hellman-group14-sha1'
    """
    name = text.removeprefix("+")
    known = ALLOWABLE[kind]
    if name in known:
        if not text.startswith("+"):
            hint = Text("write +{name}: it is offered last, after all that is safe", name=name)
            raise LongarmError(Text("“{name}” replaces nothing, it is added", name=name), hint)
        return name
    hint = did_you_mean(name, known) or Text("one of {choices}", choices=", ".join(f"+{name}" for name in known))
    raise LongarmError(Text("“{name}” is no algorithm that could be allowed", name=shown(text)), hint)


def allowable(kind: str, names: Iterable[str]) -> str | None:
    """Return the best of the algorithms that a host offers which an inventory could allow, None where none could be.

    >>> allowable("ciphers", ("blowfish-cbc", "3des-cbc", "aes128-cbc"))
    'aes128-cbc'
    """
    offered = frozenset(names)
    return next((name for name in ALLOWABLE[kind] if name in offered), None)


def allowed_line(old: OldAlgorithms) -> str:
    """Return old algorithms in one line, as the inventory writes them; empty without any.

    >>> allowed_line(OldAlgorithms(kex=("diffie-hellman-group14-sha1",), ciphers=("aes128-cbc", "3des-cbc")))
    'kex +diffie-hellman-group14-sha1, ciphers +aes128-cbc +3des-cbc'
    """
    return ", ".join(f"{kind} {' '.join(f'+{name}' for name in names)}" for kind, names in by_kind(old).items())


def algorithms_in(text: str) -> Mapping[str, tuple[str, ...]]:
    """Return old algorithms by kind, of a line as `allowed_line` makes it, or raise LongarmError.

    >>> algorithms_in("kex +diffie-hellman-group14-sha1; ciphers +aes128-cbc +3des-cbc")
    {'kex': ('diffie-hellman-group14-sha1',), 'ciphers': ('aes128-cbc', '3des-cbc')}
    """
    said: dict[str, tuple[str, ...]] = {}
    for part in filter(None, (part.strip() for part in text.replace(";", ",").split(","))):
        kind, *names = part.split()
        if kind not in ALLOWABLE or not names:
            example = "kex +diffie-hellman-group14-sha1, ciphers +aes128-cbc"
            hint = did_you_mean(kind, ALLOWABLE) if kind not in ALLOWABLE and names else None
            raise LongarmError(
                Text("“{text}” is no kind of algorithm with names behind it", text=shown(part)),
                hint or Text("write {example}", example=example),
            )
        said[kind] = tuple(dict.fromkeys((*said.get(kind, ()), *(allowed_algorithm(kind, name) for name in names))))
    return said


def line_for(needed: Mapping[str, str]) -> str:
    """Return the line that allows algorithms by kind, for a person to put into the inventory.

    >>> line_for({"kex": "diffie-hellman-group14-sha1", "host_keys": "ssh-rsa"})
    'ssh_algorithms: {kex: [+diffie-hellman-group14-sha1], host_keys: [+ssh-rsa]}'
    """
    return "ssh_algorithms: {" + ", ".join(f"{kind}: [+{name}]" for kind, name in needed.items()) + "}"
