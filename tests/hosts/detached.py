"""What the tests of detached commands do on a host of the lab, from inside its network: `KEY HOST_KEY ADDRESS USER STEPS`.

STEPS is JSON, a list of [what, id, script, privilege]; how each stands is printed, as JSON, one line each.
"""

from __future__ import annotations

import asyncio
import json
import sys
import tempfile
import time
from pathlib import Path

from inventory.host import CredentialReference, Host
from inventory.secret import Masker
from remote.breaker import Breaker
from remote.command import Command
from remote.credentials import CredentialStore
from remote.detached import START, DetachedCommand, Standing
from remote.host_keys import HostKey
from remote.known_hosts import KnownHosts
from remote.question import Privilege
from remote.session import Session
from remote.ssh import SshConnector
from remote.ssh_library import asyncssh

DEADLINE_S = 60.0
TOKEN = int(time.time() * 1000)
"""As a desk begins one: what another test has changed on the host before does not keep us off."""


async def step(session: Session, what: str, name: str, script: str, privilege: Privilege) -> Standing:
    """Return how one command stands."""
    match what:
        case "start" | "leave" | "cut":
            command = Command(script=script, privilege=privilege, deadline_s=3 if what == "cut" else 40)
            wait_s = 1 if what == "leave" else 20
            detached = DetachedCommand(id=name, token=TOKEN, command=command)
            return await session.start(detached, wait_s=wait_s, deadline_s=DEADLINE_S)
        case "collect":
            return await session.collect(name, START, privilege=privilege, sent_s_ago=5, wait_s=20, deadline_s=DEADLINE_S)
        case _:
            await session.forget([name], privilege=privilege, deadline_s=DEADLINE_S)
            return await session.collect(name, START, privilege=privilege, deadline_s=DEADLINE_S)


async def main() -> None:
    """Connect, take the steps, print."""
    key, host_key, address, user, steps = sys.argv[1:]
    with tempfile.TemporaryDirectory() as folder:
        known = KnownHosts(Path(folder) / "known_hosts")
        known.add("host", HostKey.of(asyncssh.import_public_key(host_key).public_data))
        host = Host(name="host", address=address, credential=CredentialReference(name="lab", user=user, key=key))
        connect = SshConnector(known_hosts=known, credentials=CredentialStore(masker=Masker()), breaker=Breaker())
        async with connect(host) as session:
            for what, name, script, privilege in json.loads(steps):
                began = time.monotonic()
                standing = await step(session, what, name, script, Privilege(privilege))
                told = {
                    "state": standing.state,
                    "exit_status": standing.exit_status,
                    "reason": standing.reason,
                    "stdout": standing.stdout.decode(),
                    "place": standing.place,
                    "boot_id": standing.boot_id,
                    "took_s": time.monotonic() - began,
                }
                print(json.dumps(told), flush=True)


if __name__ == "__main__":
    asyncio.run(main())
