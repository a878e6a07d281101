"""Host keys that change in order: what a host that has proved itself tells of its keys, and proves of each.

An OpenSSH server names all its keys after the login (`hostkeys-00@openssh.com`) and signs for each on request
(openssh-portable, PROTOCOL, 2.5). What is kept changes only when somebody asks for it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from inventory.errors import Text
from inventory.host import Host
from remote.errors import RemoteError
from remote.host_keys import HostKey
from remote.host_proof import HostProof
from remote.known_hosts import Trust
from remote.ssh_library import asyncssh


class TellsNoKeys(RemoteError):
    """The host does not tell its keys, as servers other than OpenSSH's do not."""

    def __init__(self, host: str) -> None:
        hint = Text("longarm host enrol --replace {host}", host=host)
        super().__init__(host, Text("it does not tell which other keys it has"), hint)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rotation:
    """What is known of the keys of a host, and what it has now."""

    host: Host
    kept: tuple[HostKey, ...]
    new: tuple[HostKey, ...]
    gone: tuple[HostKey, ...]
    """Known, but the host has them no more."""

    @property
    def changes(self) -> bool:
        """Whether anything is different."""
        return bool(self.new or self.gone)


class Announced:
    """Takes what a host tells of its keys, once."""

    def __init__(self) -> None:
        self._keys: asyncio.Future[tuple[HostKey, ...]] = asyncio.get_running_loop().create_future()

    def __call__(self, added: Sequence[asyncssh.SSHKey], *_: Sequence[asyncssh.SSHKey]) -> None:
        """Keep the keys for which the host has signed; asyncssh calls it with those it could not know yet: all."""
        if not self._keys.done():
            self._keys.set_result(tuple(HostKey.of(key.public_data) for key in added))

    async def keys(self, host: Host, deadline_s: float) -> tuple[HostKey, ...]:
        """Return them; raises TellsNoKeys if the host says nothing within the deadline, or signs for none."""
        try:
            async with asyncio.timeout(deadline_s):
                keys = await self._keys
        except TimeoutError as error:
            raise TellsNoKeys(host.name) from error
        if not keys:
            raise TellsNoKeys(host.name)
        return keys


def rotation(trust: Trust, proof: HostProof, told: Sequence[HostKey]) -> Rotation:
    """Return what a host's keys are beside those that are known; the one that it proved itself with stays in any case."""
    proved = () if proof.by_certificate else (proof.key,)
    now = [key for key in dict.fromkeys((*told, *proved)) if key.blob not in trust.revoked]
    return Rotation(
        host=trust.host,
        kept=tuple(key for key in trust.keys if key in now),
        new=tuple(key for key in now if key not in trust.keys),
        gone=tuple(key for key in trust.keys if key not in now),
    )
