"""paramiko's connection as `Login` and the tables of errors look at one of asyncssh."""

from __future__ import annotations

from remote.threaded.transport import Transport


class Peer:
    """What is known of the host at the other end; `methods` are those of this stage of the login that are left."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self.methods: list[str] = []

    def get_server_auth_methods(self) -> list[str]:
        """Return the methods that are left in this stage."""
        return list(self.methods)

    def get_hash_prefix(self) -> bytes:
        """Return what both sides have said before the key exchange, each text with its length before it."""
        versions = (self._transport.local_version.encode(), self._transport.remote_version.encode("utf-8", "replace"))
        return b"".join(len(text).to_bytes(4, "big") + text for text in (*versions, *self._transport.offers))

    def get_extra_info(self, name: str, default: object = None) -> object:
        """Return one of asyncssh's words for what was agreed on."""
        known = {
            "server_version": self._transport.remote_version,
            "send_cipher": self._transport.local_cipher,
            "send_mac": self._transport.local_mac,
        }
        return known.get(name) or default

    @property
    def _server_sig_algs(self) -> frozenset[bytes]:
        """The signatures that the host takes for user keys, as far as it says so (RFC 8308 3.1)."""
        return frozenset(self._transport.server_extensions.get("server-sig-algs", b"").split(b","))
