"""Ask hosts from a process of its own, and print what that cost: python -m tests.remote.flooded '{…}'.

The first host is asked once beforehand, so that what is measured is the flood and not the imports.
"""

from __future__ import annotations

import asyncio
import getpass
import json
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from inventory.host import CredentialReference, Host
from remote.breaker import Breaker
from remote.credentials import CredentialStore
from remote.known_hosts import KnownHosts
from remote.question import Question
from remote.ssh_session import SshSession
from remote.threaded.session import ThreadedSession
from tests.remote.reaching import REACHES, InsideFabric, Reaching, the_bastion


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """Whom to ask, what, and how often; `alone`: whom to ask by themselves each time before, for comparison."""

    calm_port: int
    ports: tuple[int, ...]
    alone: tuple[int, ...] = ()
    turns: int = 1
    key: str
    known_hosts: str
    scripts: tuple[str, ...] = ("echo here",)
    deadline_s: float = 20.0
    reach: str = "asyncssh"
    bastion_port: int = 0


def status_kib(field: str) -> int:
    """Return a size from /proc/self/status (proc(5)) in KiB: VmRSS now, VmHWM the most since the peak was reset."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(field + ":"))
    return int(line.split()[1])


def resident_kib() -> int:
    """Return what is resident now, and begin a new peak."""
    Path("/proc/self/clear_refs").write_text("5")
    return status_kib("VmRSS")


async def ask(task: Task) -> dict[str, object]:
    """Return what it cost; what was received and answered is that of the last turn."""
    received, reach = 0, REACHES[task.reach]
    reference = CredentialReference(name="test", user=getpass.getuser(), key=task.key)
    connect = Reaching(
        reach,
        the_bastion(reach, task.bastion_port, reference) if task.bastion_port else None,
        known_hosts=KnownHosts(Path(task.known_hosts)),
        credentials=CredentialStore(),
        breaker=Breaker(),
        connect_deadline_s=20,
    )
    questions = [Question(id=f"q{index}", script=script) for index, script in enumerate(task.scripts)]

    async def one(port: int, deadline_s: float) -> tuple[list[list[object]], float]:
        nonlocal received
        began = time.monotonic()
        async with connect(Host(name="node", address="127.0.0.1", port=port, credential=reference)) as session:
            answers = await session.ask(questions, deadline_s=deadline_s)
            below = session.session if isinstance(session, InsideFabric) else session
            assert isinstance(below, SshSession | ThreadedSession)
            received += (below._line.intake if isinstance(below, ThreadedSession) else below._intake).received
        said = [[str(answer.ended), len(answer.stdout), len(answer.stderr), answer.why] for answer in answers.values()]
        return said, time.monotonic() - began

    async def all_of(ports: tuple[int, ...]) -> list[tuple[list[list[object]], float]]:
        return await asyncio.gather(*(one(port, task.deadline_s) for port in ports))

    await one(task.calm_port, 60)
    alone_s, took_s = [], []
    before = resident_kib()
    for _ in range(task.turns):
        alone_s.append([took for _, took in await all_of(task.alone)])
        received = 0
        asked = await all_of(task.ports)
        took_s.append([took for _, took in asked])
    return {
        "growth_kib": status_kib("VmHWM") - before,
        "received": received,
        "answers": [said for said, _ in asked],
        "took_s": took_s,
        "alone_s": alone_s,
    }


if __name__ == "__main__":
    given = json.loads(sys.argv[1])
    print(json.dumps(asyncio.run(ask(Task(**given)))))
