"""Run in the network of a domain: one session by WinRM with tickets to a practice host there, and how it went, as JSON.

python -m tests.remote_lab.domain_probe NAME USER CCACHE
"""

from __future__ import annotations

import asyncio
import json
import sys
import tempfile
from pathlib import Path

from inventory.host import (
    CredentialReference,
    Host,
    KerberosReference,
    SecretReference,
    Transport,
    WinrmAuth,
    WinrmSettings,
)
from remote.breaker import Breaker
from remote.credentials import CredentialStore
from remote.errors import RemoteError
from remote.known_hosts import KnownHosts
from remote.windows.winrm import WinrmConnector
from tests.remote_windows.conftest import direct, practice
from tests.remote_windows.played import CASES


def reference(user: str, ccache: str) -> CredentialReference:
    if ccache:
        return CredentialReference(name="ops", user=user, kerberos=KerberosReference(ccache=ccache))
    return CredentialReference(name="ops", user=user, password=SecretReference(kind="env", value="PASSWORD_IN_DOMAIN"))


async def outcome(name: str, user: str, ccache: str, transport: Transport) -> str:
    host = practice()
    settings = WinrmSettings(scheme="http", auth=WinrmAuth.KERBEROS)
    known = KnownHosts(Path(tempfile.mkdtemp()) / "known_hosts")
    connect = WinrmConnector(known_hosts=known, credentials=CredentialStore(), breaker=Breaker(), way_to=direct)
    async with host.listening() as port:
        at = Host(
            name=name,
            address="127.0.0.1",
            port=port,
            transport=transport,
            winrm=settings,
            host_key_alias=name,
            credential=reference(user, ccache),
        )
        try:
            async with connect(at) as session:
                answers = await session.ask(list(CASES), deadline_s=20)
                return " ".join(sorted({str(answer.ended) for answer in answers.values()}))
        except RemoteError as error:
            return str(error)


if __name__ == "__main__":
    name, user, ccache = sys.argv[1:4]
    ways = (Transport.WINRM, Transport.PSRP)
    print(json.dumps({way.value: asyncio.run(outcome(name, user, ccache, way)) for way in ways}))
