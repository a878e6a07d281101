"""Hosts that lie, go away or are cut off: what had arrived complete is kept, the rest is never success (T28)."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path

import pytest

from inventory.host import CredentialReference, Host
from remote.answer import Ended
from remote.errors import ConnectFailed
from remote.question import Question
from remote.ssh_library import asyncssh
from tests.remote.hostility import ENOUGH_S, Forwarder
from tests.remote.reaching import Reach
from tests.remote.servers import MakeConnector, StartPractice

pytestmark = pytest.mark.usefixtures("nothing_stays")
ECHO = Question(id="echo", script="echo here")
THE_BASTIONS_WORDS = "^via bastion: .*(refused|known|[Cc]onnect)"
"""It is the bastion that looks up and connects there: what went wrong is said in its words, under its name."""


async def test_nobody_listens(connector: MakeConnector, practice: StartPractice, reach: Reach) -> None:
    running = await practice()
    running.server.close()
    await running.server.wait_closed()
    with pytest.raises(ConnectFailed, match=THE_BASTIONS_WORDS if reach.bastion else "Connection refused"):
        async with connector()(running.host):
            pass


async def test_a_name_that_does_not_resolve(connector: MakeConnector, reference: CredentialReference, reach: Reach) -> None:
    host = Host(name="node", address="no-such-host.invalid", credential=reference)
    with pytest.raises(ConnectFailed, match=THE_BASTIONS_WORDS if reach.bastion else "the address is not known"):
        async with connector()(host):
            pass


async def closes_without_status(process: asyncssh.SSHServerProcess[bytes]) -> None:
    process.stdout.write(b"some words of no frame\n")
    process.close()


async def says_success_and_nothing_else(process: asyncssh.SSHServerProcess[bytes]) -> None:
    process.exit(0)


async def is_silent(process: asyncssh.SSHServerProcess[bytes]) -> None:
    await process.stdin.read()


async def cuts_the_connection(process: asyncssh.SSHServerProcess[bytes]) -> None:
    process.channel.get_connection().abort()


async def floods(process: asyncssh.SSHServerProcess[bytes]) -> None:
    with contextlib.suppress(BrokenPipeError, ConnectionError, asyncssh.Error):
        while not process.is_closing():
            process.stdout.write(bytes(65536))
            await process.stdout.drain()


@pytest.mark.fabric_too
@pytest.mark.parametrize(
    "process", [closes_without_status, says_success_and_nothing_else, is_silent, cuts_the_connection, floods]
)
async def test_a_host_that_does_not_answer_is_never_success(
    process: Callable[..., Awaitable[None]], practice: StartPractice, connector: MakeConnector
) -> None:
    running = await practice(process=process)
    async with asyncio.timeout(ENOUGH_S), connector()(running.host) as session:
        answer = (await session.ask([ECHO], deadline_s=2.0))["echo"]
    assert answer.ended in {Ended.NOT_RUN, Ended.LOST}
    assert answer.exit_status is None


async def signal_from(fifo: Path) -> None:
    """Wait until the host's script opens the pipe."""
    await asyncio.to_thread(fifo.read_bytes)


def three_questions(fifo: Path) -> list[Question]:
    return [
        Question(id="first", script="echo first"),
        Question(id="second", script=f"sleep 1; echo now >{fifo}; sleep 3600", deadline_s=3600),  # 1 s: the first one travels
        Question(id="third", script="echo third"),
    ]


async def cut_in_the_middle(connector: MakeConnector, host: Host, folder: Path) -> None:
    """Ask three questions, cut the wire while the second runs, and check what is left."""
    os.mkfifo(fifo := folder / "fifo")
    async with (
        asyncio.timeout(ENOUGH_S),
        Forwarder(host.port or 22) as wire,
        connector()(replace(host, port=wire.address)) as session,
    ):
        asking = asyncio.create_task(session.ask(three_questions(fifo), deadline_s=ENOUGH_S))
        await signal_from(fifo)
        wire.cut()
        answers = await asking
    assert (answers["first"].ended, answers["first"].stdout) == (Ended.EXITED, b"first\n")
    assert (answers["second"].ended, answers["second"].exit_status) == (Ended.LOST, None)
    assert answers["second"].why
    if answers["third"].ended is Ended.EXITED:  # asked beside the second, and it had arrived
        assert (answers["third"].exit_status, answers["third"].stdout) == (0, b"third\n")
    else:
        assert (answers["third"].exit_status, bool(answers["third"].why)) == (None, True)


@pytest.mark.fabric_too
async def test_a_cut_connection_keeps_the_complete_answers(
    practice: StartPractice, connector: MakeConnector, tmp_path: Path
) -> None:
    await cut_in_the_middle(connector, (await practice()).host, tmp_path)


@pytest.mark.fabric_too
@pytest.mark.server
async def test_a_cut_connection_to_openssh_keeps_the_complete_answers(
    openssh_port: int, connector: MakeConnector, reference: CredentialReference, tmp_path: Path
) -> None:
    host = Host(name="node", address="127.0.0.1", port=openssh_port, credential=reference)
    await cut_in_the_middle(connector, host, tmp_path)


@pytest.mark.fabric_too
async def test_leaving_never_raises_when_the_connection_is_gone(practice: StartPractice, connector: MakeConnector) -> None:
    running = await practice()
    async with (
        asyncio.timeout(ENOUGH_S),
        Forwarder(running.host.port or 22) as wire,
        connector()(replace(running.host, port=wire.address)),
    ):
        wire.cut()


@pytest.mark.fabric_too
async def test_over_a_connection_that_is_gone_nobody_waits_for_another_attempt(
    practice: StartPractice, connector: MakeConnector, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A function's commands would each take that long, and a playbook's steps."""
    for module in ("remote.ssh_session", "remote.threaded.session"):
        monkeypatch.setattr(f"{module}.EXEC_PAUSES_S", (3600.0,))
    running = await practice()
    async with Forwarder(running.host.port or 22) as wire, connector()(replace(running.host, port=wire.address)) as session:
        await session.ask([ECHO], deadline_s=ENOUGH_S)
        wire.cut()
        whys = {(await session.ask([ECHO], deadline_s=ENOUGH_S))["echo"].why for _ in range(2)}
    assert not [why for why in whys if why.startswith("no end after")], whys


async def test_a_fault_of_the_callers_passes_through_and_the_connection_is_closed(
    practice: StartPractice, connector: MakeConnector
) -> None:
    running = await practice()
    with pytest.raises(ZeroDivisionError):
        async with connector()(running.host):
            raise ZeroDivisionError


@pytest.mark.fabric_too
async def test_a_run_that_is_cancelled_leaves_nothing(
    practice: StartPractice, connector: MakeConnector, tmp_path: Path
) -> None:
    os.mkfifo(fifo := tmp_path / "fifo")
    running = await practice()

    async def diagnose() -> None:
        async with connector()(running.host) as session:
            await session.ask(three_questions(fifo), deadline_s=ENOUGH_S)

    task = asyncio.create_task(diagnose())
    async with asyncio.timeout(ENOUGH_S):
        await signal_from(fifo)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
