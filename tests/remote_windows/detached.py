"""Practice Windows hosts for detached commands: a machine that outlives connections, reached by each way in."""

from __future__ import annotations

import asyncio
import itertools
import os
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from inventory.host import SshLibrary, Transport
from remote.answer import Answer
from remote.command import Command
from remote.detached import START, DetachedCommand, Standing
from remote.lab.windows.host import WindowsHost
from remote.lab.windows.machine import Machine
from remote.lab.windows.replies import Captured
from remote.lab.windows.ssh import Shell
from remote.lab.windows.works import Played, Ran, Works
from remote.session import Session
from remote.testing import FAKE_FACTS
from remote.windows.bundle import VARIABLE
from remote.windows.launch import Ending, Launch, Listener
from remote.windows.session import WindowsSession
from tests.remote_windows.conftest import MakeConnector, host_at, practice, ssh_session
from tests.remote_windows.played import ANSWERS

DEADLINE_S = 60.0  # far above what any of this takes: only a hang reaches it
NUMBERS = itertools.count()
PLACE = "C:\\ProgramData\\longarm"
FENCE = [PLACE, f"{PLACE}\\fence"]
LINES = "".join(f"line {number}\n" for number in range(30))


class Answering(Mapping[str, Answer]):
    """What a host answers to questions, as it is when it is asked."""

    def __init__(self) -> None:
        self.by: dict[str, Callable[[], Answer]] = {name: lambda one=one: one for name, one in ANSWERS.items()}  # type: ignore[misc]

    def __getitem__(self, question: str) -> Answer:
        return self.by[question]()

    def __iter__(self) -> Iterator[str]:
        return iter(self.by)

    def __len__(self) -> int:
        return len(self.by)


@dataclass(slots=True)
class Bench:
    """A host, and the connections to it."""

    open: Callable[[], AbstractAsyncContextManager[Session]]
    machine: Machine
    works: Works
    host: WindowsHost | None = None
    answers: Answering = field(default_factory=Answering)

    def command(
        self, ran: Played | None = None, *, name: str = "", token: int = 1, deadline_s: int = 30, **options: object
    ) -> DetachedCommand:
        """Return a command that goes so on the host."""
        name = name or f"test-{os.getpid()}-{next(NUMBERS)}"
        script = f"Invoke-Test '{name}'"
        assert isinstance(self.works.commands, dict)
        self.works.commands[script] = ran or Ran()
        command = Command(script=script, deadline_s=deadline_s, **options)  # type: ignore[arg-type]
        return DetachedCommand(id=name, token=token, command=command)

    def effects(self, name: str) -> list[str]:
        """Return what a command has done to the host."""
        return [line.split()[0] for line in self.machine.effects if line.endswith(f" {name}")]

    async def started(self, detached: DetachedCommand, wait_s: int = 20) -> Standing:
        """Return how a command stands after its start, over a connection of its own."""
        async with self.open() as session:
            return await session.start(detached, wait_s=wait_s, deadline_s=DEADLINE_S)

    async def collected(self, name: str, *, wait_s: int = 20, sent_s_ago: float = 5) -> Standing:
        """Return how a command stands that was sent just now, as far as the host knows."""
        async with self.open() as session:
            return await session.collect(name, START, sent_s_ago=sent_s_ago, wait_s=wait_s, deadline_s=DEADLINE_S)

    async def forgotten(self, *names: str) -> frozenset[str]:
        """Return of which nothing is left."""
        async with self.open() as session:
            return await session.forget(names, deadline_s=DEADLINE_S)

    async def settled(self, name: str) -> Standing:
        """Return how a command stands for good."""
        end = time.monotonic() + DEADLINE_S
        while time.monotonic() < end:
            if (standing := await self.collected(name)).final:
                return standing
        raise AssertionError(f"{name} is not final: {standing}")


class Beside(WindowsSession):
    """A session to a practice host in this very loop, without a wire: what is started is played, and heard."""

    has_variables = True
    dropped = False

    def __init__(self, captured: Captured) -> None:
        self.host, self.facts, self._captured = host_at(1), FAKE_FACTS, captured

    async def carry(self, launched: Launch, listener: Listener, *, deadline_s: float) -> Ending:
        """Start something, and return how it ended."""
        play = self._captured.played(launched.line, launched.variables.get(VARIABLE, ""), _pieces(launched.stdin))
        assert play is not None
        try:
            async with asyncio.timeout(deadline_s):
                async for wrote in play:
                    listener.feed(wrote.stdout)
                    if wrote.exit_status is not None:
                        return Ending(begun=True, status=wrote.exit_status)
        except TimeoutError:
            pass
        return Ending(begun=True, why="the deadline passed")


async def _pieces(stdin: Iterator[bytes] | None) -> AsyncIterator[bytes]:
    for piece in stdin or ():
        yield piece


def bench_beside() -> Bench:
    """Return a host in this very loop."""
    machine = Machine()
    works = Works({}, machine=machine)
    answers = Answering()
    captured = Captured(answers=answers, works=works)

    @asynccontextmanager
    async def opened() -> AsyncIterator[Session]:
        yield Beside(captured)

    return Bench(opened, machine, works, answers=answers)


def bench_by_ssh(folder: Path) -> Bench:
    """Return a host that is reached by SSH, each time by a server of its own."""
    machine = Machine()
    works = Works({}, machine=machine)
    numbers = itertools.count()

    def opened() -> AbstractAsyncContextManager[Session]:
        (own := folder / f"ssh-{next(numbers)}").mkdir()
        return ssh_session(Shell.CMD, SshLibrary.ASYNCSSH, own, works=works)

    return Bench(opened, machine, works)


@asynccontextmanager
async def bench_by(
    transport: Transport, connector: MakeConnector, *, admin: bool = True, **doors: object
) -> AsyncIterator[Bench]:
    """Yield a host that is reached so."""
    machine = Machine()
    works = Works({}, machine=machine)
    host = practice(None, None, Captured(answers=ANSWERS, works=works, admin=admin), **doors)
    async with host.listening() as port:
        connect = connector()
        yield Bench(lambda: connect(host_at(port, transport=transport)), machine, works, host)
        for process in machine.living("supervise") + machine.living("command"):
            machine.kill(process)
