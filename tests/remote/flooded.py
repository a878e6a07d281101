"""Ask hosts from a process of its own, and print what that cost: python -m tests.remote.flooded '{…}'.

The first host is asked once beforehand, so that what is measured is the flood and not the imports.
"""

from __future__ import annotations

import asyncio
import json
import sys
from dataclasses import dataclass
from pathlib import Path

from inventory.host import CredentialReference, Host, SshLibrary, SshSettings
from remote.breaker import Breaker
from remote.credentials import CredentialStore
from remote.known_hosts import KnownHosts
from remote.question import Question
from remote.ssh import SshConnector, SshSession
from remote.threaded.session import ThreadedSession


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """Whom to ask, what, and until how many bytes have arrived in all."""

    calm_port: int
    ports: tuple[int, ...]
    key: str
    known_hosts: str
    scripts: tuple[str, ...] = ("echo here",)
    deadline_s: float = 20.0
    until_bytes: int = 1
    library: str = "asyncssh"


def status_kib(field: str) -> int:
    """Return a size from /proc/self/status (proc(5)) in KiB: VmRSS now, VmHWM the most since the peak was reset."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(field + ":"))
    return int(line.split()[1])


def resident_kib() -> int:
    """Return what is resident now, and begin a new peak."""
    Path("/proc/self/clear_refs").write_text("5")
    return status_kib("VmRSS")


async def ask(task: Task) -> dict[str, object]:
    received = 0
    connect = SshConnector(
        known_hosts=KnownHosts(Path(task.known_hosts)), credentials=CredentialStore(), breaker=Breaker(), connect_deadline_s=20
    )
    reference = CredentialReference(name="test", user="anna", key=task.key)
    questions = [Question(id=f"q{index}", script=script) for index, script in enumerate(task.scripts)]

    async def one(port: int, deadline_s: float) -> list[list[object]]:
        nonlocal received
        ssh = SshSettings(library=SshLibrary(task.library))
        host = Host(name="node", address="127.0.0.1", port=port, credential=reference, ssh=ssh)
        async with connect(host) as session:
            assert isinstance(session, SshSession | ThreadedSession)
            answers = await session.ask(questions, deadline_s=deadline_s)
            received += (session._line.intake if isinstance(session, ThreadedSession) else session._intake).received
        return [[str(answer.ended), len(answer.stdout), len(answer.stderr), answer.why] for answer in answers.values()]

    await one(task.calm_port, 60)
    before, received, answers = resident_kib(), 0, []
    while received < task.until_bytes:
        answers = await asyncio.gather(*(one(port, task.deadline_s) for port in task.ports))
    return {"growth_kib": status_kib("VmHWM") - before, "received": received, "answers": answers}


if __name__ == "__main__":
    given = json.loads(sys.argv[1])
    print(json.dumps(asyncio.run(ask(Task(**given)))))
