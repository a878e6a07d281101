"""What two SSH peers offered each other and agreed on, read from the key exchange messages of both (RFC 4253 7.1)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from remote.ssh_library import asyncssh

_STRICT_SERVER = "kex-strict-s-v00@openssh.com"
_COOKIE = 17  # message number and cookie before the name lists
_MARKS = ("kex-strict-", "ext-info-")
"""What stands among the key exchanges and is none."""
_WITH_ITS_OWN_MAC = ("gcm", "poly1305")


@dataclass(frozen=True, slots=True)
class Proposal:
    """The algorithms that one side offers, by kind; names of a host are hostile text."""

    kex: tuple[str, ...]
    host_keys: tuple[str, ...]
    ciphers: tuple[str, ...]
    macs: tuple[str, ...]

    @classmethod
    def of(cls, message: bytes) -> Proposal:
        """Return what a KEXINIT offers, of the lists for both directions the one towards the host."""
        lists = [*_names(message), (), (), (), (), ()]
        return cls(lists[0], lists[1], lists[2], lists[4])


def proposals(connection: asyncssh.SSHClientConnection) -> tuple[Proposal, Proposal] | None:
    """Return what we and the host offered; None as long as it has offered nothing."""
    texts = tuple(_strings(connection.get_hash_prefix()))
    return (Proposal.of(texts[2]), Proposal.of(texts[3])) if len(texts) == 4 and texts[2] and texts[3] else None


def negotiated(connection: asyncssh.SSHClientConnection) -> tuple[tuple[str, str], ...]:
    """Return pairs of what was negotiated: kex, host_key_algorithm, cipher, mac, strict_kex (against CVE-2023-48795), server.

    `server` is the host's own version string: hostile text.
    """
    cipher, mac = str(connection.get_extra_info("send_cipher")), str(connection.get_extra_info("send_mac"))
    facts = [("cipher", cipher), ("mac", mac), ("server", str(connection.get_extra_info("server_version")))]
    if (both := proposals(connection)) is not None:
        ours, theirs = both
        agreed = [("kex", _first(ours.kex, theirs.kex)), ("host_key_algorithm", _first(ours.host_keys, theirs.host_keys))]
        facts = [*agreed, *facts, ("strict_kex", "yes" if _STRICT_SERVER in theirs.kex else "no")]
    return tuple(facts)


def lacking(ours: Proposal, theirs: Proposal) -> Mapping[str, tuple[str, ...]]:
    """Return by kind what the host offers where it offers nothing of ours; empty where a session is possible.

    >>> lacking(Proposal(("b",), ("k",), ("c",), ()), Proposal(("a",), ("k",), ("c", "d"), ("m",)))
    {'kex': ('a',), 'macs': ('m',)}
    """
    kinds = ["kex", "host_keys", "ciphers"]
    if not any(word in _first(ours.ciphers, theirs.ciphers) for word in _WITH_ITS_OWN_MAC):
        kinds.append("macs")
    missing = (kind for kind in kinds if not _first(getattr(ours, kind), getattr(theirs, kind)))
    return {kind: tuple(name for name in getattr(theirs, kind) if not name.startswith(_MARKS)) for kind in missing}


def _first(ours: tuple[str, ...], theirs: tuple[str, ...]) -> str:
    return next((name for name in ours if name in theirs), "")


def _names(message: bytes) -> Iterator[tuple[str, ...]]:
    for names in _strings(message[_COOKIE:]):
        yield tuple(names.decode("ascii", "replace").split(","))


def _strings(data: bytes) -> Iterator[bytes]:
    """Yield the length-prefixed strings that `data` is made of (RFC 4251 5)."""
    while len(data) >= 4:
        length = int.from_bytes(data[:4], "big")
        yield data[4 : 4 + length]
        data = data[4 + length :]
