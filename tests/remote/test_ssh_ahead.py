"""A shell that is opened before it is needed: a round trip less for each step of a repair, and no word more than before."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from remote.answer import Ended
from remote.command import Command
from remote.question import Question
from remote.session import Session
from remote.ssh_ahead import ShellAhead
from remote.ssh_library import asyncssh
from remote.ssh_session import SshSession
from remote.ssh_wire import SshWire
from tests.remote.servers import MakeConnector, Process, StartPractice, run_a_shell

OPENSSH = "OpenSSH_9.9p1"
WHO = Question(id="who", script="echo here")


class Shells:
    """The shells of a practice host, in the order in which they began; those named by their numbers end at once."""

    def __init__(self, *ending: int) -> None:
        self.begun, self._ending = 0, ending
        self._news = asyncio.Condition()

    async def __call__(self, process: asyncssh.SSHServerProcess[bytes]) -> None:
        self.begun += 1
        async with self._news:
            self._news.notify_all()
        if self.begun in self._ending:
            process.exit(1)
        else:
            await run_a_shell(process)

    async def has_begun(self, number: int) -> None:
        """Return once so many have begun."""
        async with self._news:
            await self._news.wait_for(lambda: self.begun >= number)


def expecting(session: Session) -> SshSession:
    """Return a session of which more is expected, as of one that has started something."""
    assert isinstance(session, SshSession)
    session._ahead.wanted = True
    return session


async def asked(session: Session, times: int = 1) -> None:
    """Ask so many times, and be answered."""
    for _ in range(times):
        answer = (await session.ask([WHO], deadline_s=30))["who"]
        assert (answer.ended, answer.stdout) == (Ended.EXITED, b"here\n")


async def test_the_next_one_is_there_before_it_is_needed(practice: StartPractice, connector: MakeConnector) -> None:
    shells = Shells()
    running = await practice(server_version=OPENSSH, process=shells)
    async with connector()(running.host) as session:
        await asked(session, 2)
        assert shells.begun == 2, "who only looks opens none ahead"
        await asked(expecting(session))
        for number in range(4, 7):
            await shells.has_begun(number)
            await asked(session)
            assert shells.begun <= number + 1


async def test_a_host_that_refuses_a_second_one_is_asked_as_before(
    practice: StartPractice, connector: MakeConnector, monkeypatch: pytest.MonkeyPatch
) -> None:
    shells = Shells()
    take: Callable[..., object] = asyncssh.connection.SSHServerConnection._process_session_open

    def one_at_a_time(self: asyncssh.SSHServerConnection, packet: object) -> object:
        if self._channels:
            raise asyncssh.ChannelOpenError(asyncssh.OPEN_RESOURCE_SHORTAGE, "one at a time")
        return take(self, packet)

    monkeypatch.setattr(asyncssh.connection.SSHServerConnection, "_process_session_open", one_at_a_time)
    running = await practice(server_version=OPENSSH, process=shells)
    async with connector()(running.host) as session:
        expected = expecting(session)
        await asked(expected, 3)
        assert expected._ahead.refused, "and is asked for no other one"
    assert shells.begun == 3


async def test_one_that_has_ended_meanwhile_is_not_asked(practice: StartPractice, connector: MakeConnector) -> None:
    shells = Shells(2)
    running = await practice(server_version=OPENSSH, process=shells)
    async with connector()(running.host) as session:
        expected = expecting(session)
        await asked(expected)
        assert expected._ahead._task is not None
        wire = await asyncio.shield(expected._ahead._task)
        assert wire is not None
        while not wire.ended:  # noqa: ASYNC110 (its end is no event)
            await asyncio.sleep(0.01)
        await asked(session)
    assert shells.begun >= 3


async def test_a_deadline_holds_while_one_is_waited_for(practice: StartPractice, connector: MakeConnector) -> None:
    async def silent(_: asyncssh.SSHServerProcess[bytes]) -> None:
        await running.seen.over.wait()

    first: list[Process] = [run_a_shell]
    running = await practice(server_version=OPENSSH, process=lambda process: (first.pop() if first else silent)(process))
    async with connector()(running.host) as session:
        await asked(expecting(session))
        result = await session.run(Command(script="echo here"), deadline_s=1)  # for ever, if it did not hold
    assert result.ended is Ended.LOST, "it was sent, and may have been run"


@pytest.mark.usefixtures("nothing_stays")
async def test_nothing_of_it_stays(practice: StartPractice, connector: MakeConnector) -> None:
    shells = Shells()
    running = await practice(server_version=OPENSSH, process=shells)
    async with connector()(running.host) as session:
        await asked(expecting(session))
    async with connector()(running.host) as session:
        await asked(expecting(session))
        await asyncio.sleep(0.3)


async def test_who_is_cancelled_while_taking_it_leaves_it_for_the_next() -> None:
    opened, wire = asyncio.Event(), SshWire(b"", lambda _: None)

    async def open_shell() -> SshWire:
        await opened.wait()
        return wire

    ahead = ShellAhead(open_shell)
    ahead.wanted = True
    ahead.begin()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await ahead.take()
    opened.set()
    assert await ahead.take() is wire
    assert await ahead.take() is None


async def test_the_shell_that_waits_keeps_no_filesystem_busy(practice: StartPractice, connector: MakeConnector) -> None:
    commands = list[str | None]()

    async def kept(process: asyncssh.SSHServerProcess[bytes]) -> None:
        commands.append(process.command)
        await run_a_shell(process)

    running = await practice(server_version=OPENSSH, process=kept)
    async with connector()(running.host) as session:
        await asked(expecting(session), 2)
    assert commands[0] == "exec /bin/sh" and set(commands[1:]) == {"cd /; exec /bin/sh"}
