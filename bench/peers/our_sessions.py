"""Our sessions alone, as `bench.canned` runs them: INVENTORY KNOWN_HOSTS COUNT.

Hosts of an inventory are reached and asked the twelve questions as `diagnose` does it, fifty at once, and nothing is done with
the answers: no evidence, no verdict, no store.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator
from pathlib import Path

from diagnostics.probe_files import load_probes
from inventory.host import Host
from inventory.own import load_inventory
from inventory.secret import Masker
from remote.answer import Ended
from remote.breaker import Breaker
from remote.connect import Connector
from remote.credentials import CredentialStore
from remote.known_hosts import KnownHosts
from remote.lasting import LastingConnect
from remote.question import Question
from remote.session import Connect

PROBES = Path(__file__).parents[1] / "probes.yaml"
AT_ONCE = 50
DEADLINE_S = 60


async def worker(connect: Connect, hosts: Iterator[Host], questions: list[Question]) -> None:
    """Ask one host after the other, as long as there are any."""
    for host in hosts:
        async with connect(host) as session:
            answers = await session.ask(questions, deadline_s=DEADLINE_S)
        if any(answer.ended is not Ended.EXITED for answer in answers.values()):
            sys.exit(f"bench: {host.name} did not answer all")


async def main(inventory: Path, known_hosts: Path, count: int) -> None:
    """Ask the first COUNT hosts."""
    hosts = iter(list(load_inventory((inventory,)).hosts.values())[:count])
    connector = Connector(known_hosts=KnownHosts(known_hosts), credentials=CredentialStore(masker=Masker()), breaker=Breaker())
    questions = [probe.question for probe in load_probes(PROBES)]
    await asyncio.gather(*(worker(LastingConnect(connector), hosts, questions) for _ in range(AT_ONCE)))


asyncio.run(main(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])))
