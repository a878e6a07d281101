"""The connector that the program wires: each host by the transport its inventory names.

The transports are imported when the first host needs one: `import asyncssh` costs 0.16 s.
"""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager

from inventory.host import Host, Transport
from remote.breaker import Breaker
from remote.credentials import CredentialStore
from remote.errors import TransportUnsupported
from remote.known_hosts import KnownHosts
from remote.session import Connect, Session


class Connector:
    """Opens sessions for one run; implements `Connect`. Raises InvalidFile at once if `known_hosts` cannot be read."""

    def __init__(
        self,
        *,
        known_hosts: KnownHosts,
        credentials: CredentialStore,
        breaker: Breaker,
        connect_deadline_s: float = 15.0,
    ) -> None:
        known_hosts.names()  # a broken file is said before the first host is asked
        self._known_hosts, self._credentials, self._breaker = known_hosts, credentials, breaker
        self._connect_deadline_s = connect_deadline_s
        self._ssh: Connect | None = None

    def __call__(self, host: Host) -> AbstractAsyncContextManager[Session]:
        """Return the context that opens a session to `host`, or raise TransportUnsupported."""
        match host.transport:
            case Transport.SSH:
                return self._ssh_connector()(host)
            case Transport.LOCAL:
                from remote.local import LocalConnector

                return LocalConnector(credentials=self._credentials, breaker=self._breaker)(host)
            case _:
                raise TransportUnsupported(host.name, host.transport)

    def _ssh_connector(self) -> Connect:
        if self._ssh is None:
            from remote.ssh import SshConnector

            self._ssh = SshConnector(
                known_hosts=self._known_hosts,
                credentials=self._credentials,
                breaker=self._breaker,
                connect_deadline_s=self._connect_deadline_s,
            )
        return self._ssh
