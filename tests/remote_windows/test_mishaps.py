"""What goes wrong on the way: never success without a whole frame, never a command twice, every shell deleted, in time."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager

import pytest

from remote.answer import Answer, Ended
from remote.command import Command
from remote.lab.windows.faults import Kind
from remote.lab.windows.host import WindowsHost
from remote.lab.windows.mishaps import Mishaps
from remote.lab.windows.replies import Captured
from remote.lab.windows.shells import Limits, Running, Said
from remote.session import Session
from tests.conftest import SOAK
from tests.remote_lab.windows_hosts import listening
from tests.remote_windows.conftest import MakeConnector, host_at, no_threads, practice
from tests.remote_windows.played import CASES, HANGS

DEADLINE_S = 6.0
OVERTIME_S = 25.0  # far above what a user waits (conftest.py): only a hang reaches it
pytestmark = pytest.mark.usefixtures("ntlm_accounts")
QUESTIONS = list(CASES)
COMMAND = Command(script="'out'")
LAST = 6
"""Messages of one command at the most: Create, Command, Send, Receive, Signal, Delete."""


@asynccontextmanager
async def connected(make: MakeConnector, host: WindowsHost) -> AsyncIterator[Session]:
    """Yield a session to a host that listens in a loop of its own, and see that nothing is left of it."""
    with listening(host) as port:
        async with make()(host_at(port)) as session:
            yield session
    await no_threads()


def lost_creation(mishaps: Mishaps) -> bool:
    """Tell whether a shell was made whose answer got lost: nobody can delete it, and it ends by itself."""
    return 1 in mishaps.drop_after


@pytest.mark.parametrize("number", range(1, LAST + 1))
@pytest.mark.parametrize("kind", ["drop_before", "drop_after", "bad_mic", "reboot"])
async def test_a_question_and_a_command_survive_or_are_lost(kind: str, number: int, connector: MakeConnector) -> None:
    for asks in (True, False):
        mishaps = Mishaps()
        getattr(mishaps, kind).add(number)
        host = practice(mishaps)
        async with connected(connector, host) as session:
            began = time.monotonic()
            if asks:
                answers = await session.ask(QUESTIONS, deadline_s=DEADLINE_S)
                whole = {one.id for one in QUESTIONS if answers[one.id].ended is Ended.EXITED}
                assert all(answers[one.id].stdout == CASES[one].stdout for one in QUESTIONS if one.id in whole)
                assert whole in (set(), {one.id for one in QUESTIONS})
            else:
                result = await session.run(COMMAND, deadline_s=DEADLINE_S)
                assert not result.succeeded or result.stdout == b"out\n"
            assert time.monotonic() - began <= DEADLINE_S + OVERTIME_S
            assert len(host.service.shells.started) <= 1, "never twice"
            left = len(host.service.shells.open)
            assert left == 0 or (lost_creation(mishaps) and left == 1)


def healed(answers: dict[str, Answer]) -> bool:
    return all(answer.ended is Ended.EXITED for answer in answers.values())


@pytest.mark.parametrize("kind", ["drop_before", "bad_mic"])
async def test_receiving_goes_on_over_a_new_connection(kind: str, connector: MakeConnector) -> None:
    mishaps = Mishaps()
    getattr(mishaps, kind).update({3, 4})
    host = practice(mishaps)
    async with connected(connector, host) as session:
        answers = await session.ask(QUESTIONS, deadline_s=DEADLINE_S)
        assert healed(dict(answers))
        assert host.seen.messages.count("Command") == 1 and host.seen.messages[-1] == "Delete"


async def test_a_connection_that_died_while_it_was_idle_is_made_anew(connector: MakeConnector) -> None:
    host = practice(Mishaps(messages_per_connection=4))
    async with connected(connector, host) as session:
        for _ in range(3):
            assert healed(dict(await session.ask(QUESTIONS, deadline_s=DEADLINE_S)))
        assert len(host.service.shells.started) == 3 and not host.service.shells.open


@pytest.mark.parametrize("limits", [Limits(max_operations_per_shell=0), Limits(max_shells_per_user=0)])
async def test_without_room_nothing_is_run_and_the_host_is_asked_again_until_the_deadline(
    limits: Limits, connector: MakeConnector
) -> None:
    host = practice(limits=limits)
    async with connected(connector, host) as session:
        answers = await session.ask(QUESTIONS[:1], deadline_s=2.0)
        answer = answers[QUESTIONS[0].id]
        assert answer.ended is Ended.NOT_RUN and "as the host allows" in answer.why
        assert host.service.shells.started == [] and not host.service.shells.open
        assert host.seen.messages.count("Create") > 1


async def test_room_that_comes_free_is_taken(connector: MakeConnector) -> None:
    host = practice(Mishaps(faults={1: Kind.MAX_SHELLS, 3: Kind.MAX_OPERATIONS}))
    async with connected(connector, host) as session:
        assert healed(dict(await session.ask(QUESTIONS, deadline_s=DEADLINE_S)))
        assert len(host.service.shells.started) == 1 and not host.service.shells.open


FAULTS = [(kind, number) for kind in Kind if kind is not Kind.OPERATION_TIMEOUT for number in (1, 2, 3)]


@pytest.mark.parametrize(("kind", "number"), FAULTS if SOAK else FAULTS[::4])
async def test_no_fault_is_taken_for_an_answer(kind: Kind, number: int, connector: MakeConnector) -> None:
    host = practice(Mishaps(faults={number: kind}))
    async with connected(connector, host) as session:
        answers = await session.ask(QUESTIONS, deadline_s=3.0)
        assert {answer.ended for answer in answers.values()} in ({Ended.EXITED}, {Ended.NOT_RUN}, {Ended.LOST})
        assert len(host.service.shells.started) <= 1 and not host.service.shells.open


async def test_timeouts_of_operations_are_waited_through(connector: MakeConnector) -> None:
    host = practice(Mishaps(faults={3: Kind.OPERATION_TIMEOUT, 4: Kind.OPERATION_TIMEOUT}))
    async with connected(connector, host) as session:
        assert healed(dict(await session.ask(QUESTIONS, deadline_s=DEADLINE_S)))


@pytest.mark.parametrize("number", [1, 2, 3])
async def test_a_host_that_never_answers_is_left_at_the_deadline(number: int, connector: MakeConnector) -> None:
    host = practice(Mishaps(hang={number}))
    async with connected(connector, host) as session:
        began = time.monotonic()
        answers = await session.ask(QUESTIONS, deadline_s=1.0)
        assert time.monotonic() - began <= 1.0 + OVERTIME_S
        assert {answer.ended for answer in answers.values()} <= {Ended.LOST, Ended.NOT_RUN}
        assert not session.dropped
        assert not host.service.shells.open, "over a new connection"
        assert healed(dict(await session.ask(QUESTIONS, deadline_s=DEADLINE_S)))


async def test_whoever_is_cancelled_leaves_no_shell_and_no_thread(connector: MakeConnector) -> None:
    host = practice()
    async with connected(connector, host) as session:
        running = asyncio.create_task(session.run(HANGS, deadline_s=3600.0))
        while not host.service.shells.started:  # noqa: ASYNC110 (it runs in a loop of its own)
            await asyncio.sleep(0.01)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
    assert not host.service.shells.open
    assert "Delete" in host.seen.messages


async def test_output_that_is_cut_short_is_lost(connector: MakeConnector) -> None:
    captured = Captured(answers={one.id: answer for one, answer in CASES.items()})

    async def nothing() -> AsyncIterator[bytes]:
        return
        yield b""

    async def cut(running: Running) -> Said | None:
        play = captured.played(running.asked.line, running.asked.environment["LA"], nothing())
        assert play is not None
        async for wrote in play:
            running.write("stdout", wrote.stdout[: len(wrote.stdout) // 2])
        return Said()

    host = practice(program=cut)
    async with connected(connector, host) as session:
        answers = await session.ask(QUESTIONS, deadline_s=DEADLINE_S)
        assert {answer.ended for answer in answers.values()} == {Ended.EXITED, Ended.LOST}


RUSSIAN = 'Имя "powershell.exe" не распознано\r\n'.encode("cp866")
CLIXML = (
    b'#< CLIXML\r\n<Objs Version="1.1.0.1" xmlns="http://schemas.microsoft.com/powershell/2004/04">'
    b'<Obj S="progress" RefId="0"><MS><I64 N="SourceId">1</I64></MS></Obj><S S="Error">It said no_x000D__x000A_</S></Objs>'
)


@pytest.mark.parametrize(("stderr", "words"), [(RUSSIAN, "powershell.exe"), (CLIXML, "It said no"), (b"", "ended early")])
async def test_a_powershell_that_does_not_start_is_no_success_whatever_its_status(
    stderr: bytes, words: str, connector: MakeConnector
) -> None:
    async def nothing(running: Running) -> Said:
        return Said(stderr=stderr, exit_status=0)

    async with connected(connector, practice(program=nothing)) as session:
        answers = await session.ask(QUESTIONS[:1], deadline_s=DEADLINE_S)
        answer = answers[QUESTIONS[0].id]
        assert answer.ended is Ended.NOT_RUN and words in answer.why
        assert "progress" not in answer.why
        result = await session.run(COMMAND, deadline_s=DEADLINE_S)
        assert result.ended is Ended.LOST and not result.succeeded


async def test_a_fleet_of_which_a_part_misbehaves_is_accounted_for(connector: MakeConnector) -> None:
    """The long form with its figures is bench/windows.py."""
    hosts = {
        "well": practice(),
        "hung": practice(Mishaps(hang=set(range(1, 1000)))),
        "dropping": practice(Mishaps(messages_per_connection=2)),
    }
    connect = connector(threads=4)
    with ExitStack() as stack:
        ports = {kind: stack.enter_context(listening(host)) for kind, host in hosts.items()}

        async def ended(kind: str) -> set[Ended]:
            async with connect(host_at(ports[kind])) as session:
                return {one.ended for one in (await session.ask(QUESTIONS, deadline_s=1.5)).values()}

        kinds = ["well", "hung", "dropping", "well", "well", "dropping"] * 2
        for kind, how in zip(kinds, await asyncio.gather(*map(ended, kinds)), strict=True):
            assert how == ({Ended.NOT_RUN} if kind == "hung" else {Ended.EXITED})
        assert {kind: len(host.service.shells.started) for kind, host in hosts.items()} == {"well": 6, "hung": 0, "dropping": 4}
        assert not any(host.service.shells.open for host in hosts.values())
    await no_threads()
