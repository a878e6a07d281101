"""A session whose connection drops: reads are asked again over another, what may have had an effect never is."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from inventory.host import CredentialReference, Host
from remote.answer import Ended
from remote.command import Command
from remote.errors import ConnectFailed
from remote.lasting import MOST_NEW, LastingConnect
from remote.question import Question
from remote.session import Session
from remote.ssh import SshConnector
from tests.remote.servers import MakeConnector

DEADLINE_S = 60.0
QUICK = Question(id="quick", script="echo quick")
DATA = bytes(range(256)) * 8000

pytestmark = pytest.mark.server


class Wires:
    """A connector that remembers its sessions and can cut the last one."""

    def __init__(self, connector: SshConnector) -> None:
        self._connector, self.sessions = connector, list[Session]()
        self.refuses = False

    @asynccontextmanager
    async def __call__(self, host: Host) -> AsyncIterator[Session]:
        if self.refuses:
            raise ConnectFailed(host.name, "no route")
        async with self._connector(host) as session:
            self.sessions.append(session)
            yield session

    def cut(self) -> None:
        """Let the last connection end as one does that is lost: an `abort` of ours looks like streams that ended in order."""
        self.sessions[-1]._connection.connection_lost(None)  # type: ignore[attr-defined]


@pytest.fixture
def host(openssh_port: int, reference: CredentialReference) -> Host:
    return Host(name="node", address="127.0.0.1", port=openssh_port, credential=reference)


@pytest.fixture
def wires(connector: MakeConnector) -> Wires:
    return Wires(connector())


def appends(path: Path) -> Command:
    return Command(script='echo ran >>"$path"; sleep 2', variables={"path": str(path)})


async def cut_soon(wires: Wires, begun: Path) -> None:
    """Cut once the host has begun what writes the file."""
    while not begun.exists():  # noqa: ASYNC110, ASYNC240 (the host is this machine, and its file is no event)
        await asyncio.sleep(0.02)
    wires.cut()


async def test_questions_that_went_with_the_connection_are_asked_again(wires: Wires, host: Host, tmp_path: Path) -> None:
    slow = Question(id="slow", script='echo x >>"$path"; sleep 1; echo slow', variables=(("path", str(tmp_path / "begun")),))
    async with LastingConnect(wires)(host) as session:
        asked = asyncio.ensure_future(session.ask([QUICK, slow], deadline_s=DEADLINE_S))
        await cut_soon(wires, tmp_path / "begun")
        answers = await asked
    assert {name: (answer.ended, answer.stdout) for name, answer in answers.items()} == {
        "quick": (Ended.EXITED, b"quick\n"),
        "slow": (Ended.EXITED, b"slow\n"),
    }
    assert len(wires.sessions) == 2


async def test_a_command_that_went_with_the_connection_is_not_run_again(wires: Wires, host: Host, tmp_path: Path) -> None:
    async with LastingConnect(wires)(host) as session:
        running = asyncio.ensure_future(session.run(appends(tmp_path / "ran"), deadline_s=DEADLINE_S))
        await cut_soon(wires, tmp_path / "ran")
        result = await running
        assert (result.ended, result.exit_status) == (Ended.LOST, None)
        assert (await session.run(Command(script="echo next"), deadline_s=DEADLINE_S)).stdout == b"next\n"
    assert (tmp_path / "ran").read_text() == "ran\n"
    assert len(wires.sessions) == 2


async def test_a_get_goes_on_over_another_connection(wires: Wires, host: Host, tmp_path: Path) -> None:
    (tmp_path / "log").write_bytes(DATA)
    cuts = iter([wires.cut])

    def progress(*_: int) -> None:
        next(cuts, lambda: None)()

    async with LastingConnect(wires)(host) as session:
        transfer = await session.get(
            str(tmp_path / "log"), tmp_path / "mine", max_bytes=10**7, deadline_s=DEADLINE_S, progress=progress
        )
    assert (tmp_path / "mine").read_bytes() == DATA
    assert transfer.resumed_at > 0 and len(wires.sessions) == 2


async def test_a_host_that_drops_every_connection_is_left_after_some(wires: Wires, host: Host) -> None:
    async with LastingConnect(wires)(host) as session:
        for _ in range(MOST_NEW + 2):
            wires.cut()
            await session.ask([QUICK], deadline_s=DEADLINE_S)
        answer = (await session.ask([QUICK], deadline_s=DEADLINE_S))["quick"]
    assert answer.ended is Ended.NOT_RUN
    assert session.dropped
    assert len(wires.sessions) == 1 + MOST_NEW


async def test_a_host_that_cannot_be_reached_again_loses_what_is_asked(wires: Wires, host: Host) -> None:
    async with LastingConnect(wires)(host) as session:
        wires.cut()
        wires.refuses = True
        answer = (await session.ask([QUICK], deadline_s=DEADLINE_S))["quick"]
        result = await session.run(Command(script="true"), deadline_s=DEADLINE_S)
    assert (answer.ended, result.ended, result.succeeded) == (Ended.NOT_RUN, Ended.NOT_RUN, False)
