"""What two SSH peers agreed on, read from the key exchange messages of both (RFC 4253 7.1)."""

from __future__ import annotations

from collections.abc import Iterator

from remote.ssh_library import asyncssh

_STRICT_SERVER = "kex-strict-s-v00@openssh.com"
_COOKIE = 17  # message number and cookie before the name lists


def negotiated(connection: asyncssh.SSHClientConnection) -> tuple[tuple[str, str], ...]:
    """Return pairs of what was negotiated: kex, cipher, mac, strict_kex (against CVE-2023-48795), server.

    `server` is the host's own version string: hostile text.
    """
    cipher, mac = str(connection.get_extra_info("send_cipher")), str(connection.get_extra_info("send_mac"))
    facts = [("cipher", cipher), ("mac", mac), ("server", str(connection.get_extra_info("server_version")))]
    texts = tuple(_strings(connection.get_hash_prefix()))
    if len(texts) == 4:
        ours, theirs = _kex_names(texts[2]), _kex_names(texts[3])
        kex = next((name for name in ours if name in theirs), "")
        facts = [("kex", kex), *facts, ("strict_kex", "yes" if _STRICT_SERVER in theirs else "no")]
    return tuple(facts)


def _kex_names(message: bytes) -> list[str]:
    return next(_strings(message[_COOKIE:]), b"").decode("ascii", "replace").split(",")


def _strings(data: bytes) -> Iterator[bytes]:
    """Yield the length-prefixed strings that `data` is made of (RFC 4251 5)."""
    while len(data) >= 4:
        length = int.from_bytes(data[:4], "big")
        yield data[4 : 4 + length]
        data = data[4 + length :]
