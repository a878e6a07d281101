"""The connector that the program wires: each host by the transport its inventory names.

The transports are imported when the first host needs one: `import asyncssh` costs 0.16 s.
"""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from typing import TYPE_CHECKING

from inventory.host import Host, Transport
from remote.breaker import Breaker
from remote.credentials import CredentialStore
from remote.known_hosts import KnownHosts
from remote.one_time_codes import Codes
from remote.safe_versions import refuse_what_is_unsafe
from remote.session import Session

if TYPE_CHECKING:
    from remote.rotation import Rotation
    from remote.ssh import SshConnector
    from remote.ways import Way
    from remote.windows.winrm import WinrmConnector


class Connector:
    """Opens sessions for one run; implements `Connect`.

    Raises at once what else each host would tell: InvalidFile if `known_hosts` cannot be read, LibraryTooOld for known holes.
    """

    def __init__(
        self,
        *,
        known_hosts: KnownHosts,
        credentials: CredentialStore,
        breaker: Breaker,
        codes: Codes | None = None,
        connect_deadline_s: float = 15.0,
    ) -> None:
        refuse_what_is_unsafe()
        known_hosts.names()  # a broken file is said before the first host is asked
        self._known_hosts, self._credentials, self._breaker = known_hosts, credentials, breaker
        self._codes, self._connect_deadline_s = codes, connect_deadline_s
        self._ssh: SshConnector | None = None
        self._winrm: WinrmConnector | None = None

    def __call__(self, host: Host) -> AbstractAsyncContextManager[Session]:
        """Return the context that opens a session to `host`."""
        match host.transport:
            case Transport.SSH:
                return self._ssh_connector()(host)
            case Transport.LOCAL:
                from remote.local import LocalConnector

                return LocalConnector(credentials=self._credentials, breaker=self._breaker)(host)
            case Transport.WINRM | Transport.PSRP:
                return self._winrm_connector()(host)

    def way_to(self, host: Host) -> AbstractAsyncContextManager[Way]:
        """Return the context of the way to a host: directly, by a proxy, or through another host.

        Entering raises JumpFailed where the host that it goes through does not let us in.
        """
        if host.transport in (Transport.WINRM, Transport.PSRP):
            from remote.windows.doors import port_of

            host = replace(host, port=port_of(host))
        return self._ssh_connector().way_to(host)

    async def rotation(self, host: Host) -> Rotation:
        """Return which keys an SSH host has beside those that are known: it proves itself, we log in, and it tells them."""
        return await self._ssh_connector().rotation(host)

    def _winrm_connector(self) -> WinrmConnector:
        if self._winrm is None:
            from remote.windows.winrm import WinrmConnector

            self._winrm = WinrmConnector(
                known_hosts=self._known_hosts,
                credentials=self._credentials,
                breaker=self._breaker,
                way_to=self.way_to,
                connect_deadline_s=self._connect_deadline_s,
            )
        return self._winrm

    def _ssh_connector(self) -> SshConnector:
        if self._ssh is None:
            from remote.ssh import SshConnector

            self._ssh = SshConnector(
                known_hosts=self._known_hosts,
                credentials=self._credentials,
                breaker=self._breaker,
                codes=self._codes,
                connect_deadline_s=self._connect_deadline_s,
            )
        return self._ssh
