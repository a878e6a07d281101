"""What goes wrong on the way: never success without a whole frame, never a command twice, every shell deleted, in time."""

from __future__ import annotations

import asyncio
import random
import socket
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, replace
from http import HTTPStatus
from typing import Any

import pytest

from bench import windows as bench
from inventory.host import Transport
from remote.answer import Answer, Ended
from remote.breaker import Breaker
from remote.command import Command
from remote.keepalive import watch_over
from remote.lab.windows.faults import Kind
from remote.lab.windows.login import Rights
from remote.lab.windows.mishaps import Mishaps
from remote.lab.windows.replies import Captured
from remote.lab.windows.shells import Limits, Running, Said
from remote.lab.windows.works import Ran, Works
from remote.lasting import DROPS_ALL, LastingConnect
from remote.session import Connect
from remote.windows import shell, wire
from remote.windows.troubles import CutOff, Dropped
from remote.windows.winrm import WinrmSession
from tests.conftest import SOAK
from tests.remote_lab.windows_hosts import PASSWORD, USER, all_listening, listening
from tests.remote_windows.certificates import Authority
from tests.remote_windows.conftest import SETTINGS, MakeConnector, connected, enough_for, host_at, no_threads, practice
from tests.remote_windows.played import ANSWERS, CASES, HANGS

DEADLINE_S = 60.0
OVERTIME_S = 2.0 if SOAK else 15.0
"""What a user waits after a deadline at the most. In CI `unhurried` (conftest.py) gives 5.4 s of it to tidying up; the rest is
for a machine that runs much else beside it, and less than anything here hangs for."""
pytestmark = pytest.mark.usefixtures("ntlm_accounts")
HANG_S = 60.0
QUESTIONS = list(CASES)
COMMAND = Command(script="'out'")
LAST = 6
"""Messages of one command at the most: Create, Command, Send, Receive, Signal, Delete; a Receive behind Create by PSRP."""
BOTH = pytest.mark.parametrize("transport", [Transport.WINRM, Transport.PSRP])
LOGIN = 2
"""Empty messages of one login by NTLM."""
COMMAND_IS = {Transport.WINRM: 2, Transport.PSRP: 3}


def lost_creation(transport: Transport, mishaps: Mishaps) -> bool:
    """Tell whether a shell was made whose answer got lost: nobody can name it, and it ends by itself."""
    return transport is Transport.WINRM and 1 in mishaps.drop_after | mishaps.cut_short


@BOTH
@pytest.mark.parametrize("number", range(1, LAST + 1))
@pytest.mark.parametrize("kind", ["drop_before", "drop_after", "cut_short", "bad_mic", "reboot", "hang"])
async def test_a_question_and_a_command_survive_or_are_lost(
    kind: str, number: int, transport: Transport, connector: MakeConnector
) -> None:
    for asks in (True, False):
        mishaps = Mishaps()
        getattr(mishaps, kind).add(number)
        host = practice(mishaps)
        deadline_s = 1.5 if kind == "hang" else DEADLINE_S
        async with connected(connector, host, transport) as session:
            began = time.monotonic()
            if asks:
                answers = await session.ask(QUESTIONS, deadline_s=deadline_s)
                whole = {one.id for one in QUESTIONS if answers[one.id].ended is Ended.EXITED}
                assert all(answers[one.id].stdout == CASES[one].stdout for one in QUESTIONS if one.id in whole)
                assert len(whole) == len(QUESTIONS) or kind == "hang", "what only reads is asked again"
            else:
                result = await session.run(COMMAND, deadline_s=deadline_s)
                assert not result.succeeded or result.stdout == b"out\n"
            assert time.monotonic() - began <= deadline_s + OVERTIME_S
            assert len(host.service.shells.started) <= 1 + asks, "never twice, but for what only reads"
            left = len(host.service.shells.open)
            assert left == 0 or (lost_creation(transport, mishaps) and left == 1)


@BOTH
@pytest.mark.parametrize("kind", ["drop_after", "cut_short", "reboot"])
async def test_questions_whose_answers_went_with_a_connection_are_asked_once_more(
    kind: str, transport: Transport, connector: MakeConnector
) -> None:
    """What a host has once said it does not say again: of a bundle whose answer was lost, the rest alone would be heard."""
    receives = COMMAND_IS[transport] + 1
    mishaps = Mishaps()
    getattr(mishaps, kind).add(receives)
    host = practice(mishaps)
    async with connected(connector, host, transport) as session:
        answers = await session.ask(QUESTIONS, deadline_s=DEADLINE_S)
        assert healed(answers) and [*answers] == [one.id for one in QUESTIONS]
        assert len(host.service.shells.started) == 2 and not host.service.shells.open
        assert session.facts.dropped and session.facts.asked_again == tuple(answers) and not session.facts.not_renewed


@BOTH
@pytest.mark.parametrize("login", [3, 4])
async def test_a_login_that_drops_as_the_connection_is_made_anew_is_made_once_more(
    login: int, transport: Transport, connector: MakeConnector
) -> None:
    host = practice(Mishaps(drop_after={COMMAND_IS[transport] + 1}, drop_login={login}))
    async with connected(connector, host, transport) as session:
        assert healed(await session.ask(QUESTIONS, deadline_s=DEADLINE_S))
        assert not host.service.shells.open and session.facts.dropped


@BOTH
@pytest.mark.parametrize("lasting", [False, True])
async def test_a_login_that_is_refused_as_the_connection_is_made_anew_is_not_offered_again(
    lasting: bool, transport: Transport, connector: MakeConnector
) -> None:
    """Each one more would be one of the few that lock an account, and of the three that a whole run has."""
    host, breaker = practice(Mishaps(hang={COMMAND_IS[transport] + 1})), Breaker(limit=2)
    connect: Connect = connector(breaker=breaker)
    if lasting:
        connect = LastingConnect(connect)
    with listening(host) as port:
        async with connect(host_at(port, transport=transport)) as session:
            asked = asyncio.ensure_future(session.ask(QUESTIONS, deadline_s=DEADLINE_S))
            while len(host.seen.messages) <= COMMAND_IS[transport]:  # noqa: ASYNC110 (the host is in another thread)
                await asyncio.sleep(0.02)
            host.service.doors = replace(host.service.doors, rights={USER: Rights.FILTERED})
            inner: Any = session
            (inner._session if lasting else inner)._line.wire._socket.shutdown(socket.SHUT_RDWR)
            assert {one.ended for one in (await asked).values()} == {Ended.LOST}
            assert host.seen.logins == 2 * LOGIN
            assert session.dropped and session.facts.dropped and "401" in session.facts.not_renewed
            assert {one.ended for one in (await session.ask(QUESTIONS, deadline_s=DEADLINE_S)).values()} == {Ended.NOT_RUN}
            assert (await session.run(COMMAND, deadline_s=DEADLINE_S)).ended is Ended.NOT_RUN
            assert host.seen.logins == 2 * LOGIN
        host.service.doors = replace(host.service.doors, rights={})
        async with connector(breaker=breaker)(host_at(port)):
            pass  # of two rejections that end it all, there was one


async def test_a_message_with_basic_that_is_refused_is_not_sent_again(connector: MakeConnector, authority: Authority) -> None:
    accounts = {USER: PASSWORD}
    host = practice(passwords=accounts)
    paper = authority.certified("win", "win1", "127.0.0.1")
    settings = replace(SETTINGS["winrm_basic_https"], ca=str(authority.file))
    async with (
        host.listening(authority.server_context(paper)) as port,
        connector()(host_at(port, settings)) as session,
    ):
        assert healed(await session.ask(QUESTIONS, deadline_s=DEADLINE_S))
        accounts.clear()
        for _ in range(2):
            calls = host.seen.calls
            assert {one.ended for one in (await session.ask(QUESTIONS, deadline_s=DEADLINE_S)).values()} == {Ended.NOT_RUN}
        assert session.dropped and host.seen.calls == calls


async def test_questions_that_are_lost_twice_are_left_at_that(connector: MakeConnector) -> None:
    host = practice(Mishaps(drop_after={2, 5}))  # each time Command, with Delete and Create between
    async with connected(connector, host) as session:
        answers = await session.ask(QUESTIONS, deadline_s=DEADLINE_S)
        assert {one.ended for one in answers.values()} == {Ended.LOST}
        assert len(host.service.shells.started) == 2
        assert session.facts.dropped and session.facts.not_renewed == DROPS_ALL


async def test_a_hole_in_a_line_is_no_line(connector: MakeConnector) -> None:
    """What is lost between two answers may lie within one line: its beginning and its end together were a line once."""
    long = Command(script="long", max_bytes=2**20)
    for number in (4, 5):
        works = Works({"long": Ran(stdout="x" * 500_000 + "\n")})
        host = practice(Mishaps(drop_after={number}), program=Captured(answers=ANSWERS, works=works))
        async with connected(connector, host) as session:
            result = await session.run(long, deadline_s=DEADLINE_S)
            assert (result.ended, result.exit_status) == (Ended.LOST, None)
            assert result.stdout.strip(b"x\n") == b"" and len(works.ran) == 1
            assert (await session.run(long, deadline_s=DEADLINE_S)).stdout == b"x" * 500_000 + b"\n"


async def test_what_may_not_be_repeated_is_not_asked_again(connector: MakeConnector) -> None:
    once = [replace(one, repeatable=False) for one in QUESTIONS]
    host = practice(Mishaps(drop_after={3}))
    async with connected(connector, host) as session:
        answers = await session.ask(once, deadline_s=DEADLINE_S)
        assert {one.ended for one in answers.values()} == {Ended.LOST} and len(host.service.shells.started) == 1
        assert not session.facts.asked_again


@BOTH
async def test_an_answer_that_does_not_tell_whether_a_command_runs_is_no_word_that_it_did_not_begin(
    transport: Transport, connector: MakeConnector
) -> None:
    at = COMMAND_IS[transport]
    unsealed = (HTTPStatus.GATEWAY_TIMEOUT, HTTPStatus.OK, HTTPStatus.NOT_FOUND, HTTPStatus.SERVICE_UNAVAILABLE)
    of_others = [Mishaps(unclear={at}, unclear_as=status) for status in unsealed]
    for mishaps in (*of_others, Mishaps(faults={at: Kind.COMMAND_TERMINATED})):
        host = practice(mishaps)
        async with connected(connector, host, transport) as session:
            result = await session.run(COMMAND, deadline_s=DEADLINE_S)
            assert (result.ended, result.exit_status) == (Ended.LOST, None)
            assert len(host.service.shells.started) <= 1 and not host.service.shells.open


def healed(answers: Mapping[str, Answer]) -> bool:
    return all(answer.ended is Ended.EXITED for answer in answers.values())


@BOTH
@pytest.mark.parametrize("kind", ["drop_before", "bad_mic"])
async def test_receiving_goes_on_over_a_new_connection(kind: str, transport: Transport, connector: MakeConnector) -> None:
    mishaps, first = Mishaps(), COMMAND_IS[transport] + 1
    getattr(mishaps, kind).update({first, first + 1})
    host = practice(mishaps)
    async with connected(connector, host, transport) as session:
        assert healed(await session.ask(QUESTIONS, deadline_s=DEADLINE_S))
        assert host.seen.messages.count("Command") == 1 and host.seen.messages[-1] == "Delete"


@pytest.mark.parametrize("number", [1, 2, 3])
@pytest.mark.parametrize("kind", ["drop_before", "drop_after", "bad_mic"])
async def test_by_psrp_nothing_that_is_asked_is_lost_with_a_connection(
    kind: str, number: int, connector: MakeConnector
) -> None:
    """Ids of runspaces and pipelines are ours: what was created can be deleted, and whether it began can be asked."""
    mishaps = Mishaps()
    getattr(mishaps, kind).add(number)
    host = practice(mishaps)
    async with connected(connector, host, Transport.PSRP) as session:
        assert healed(await session.ask(QUESTIONS, deadline_s=DEADLINE_S))
        assert len(host.service.shells.started) == 1 and not host.service.shells.open


async def test_by_psrp_a_command_whose_start_is_not_answered_is_not_sent_again(connector: MakeConnector) -> None:
    for mishaps in (Mishaps(drop_before={3}), Mishaps(drop_after={3})):
        host = practice(mishaps)
        async with connected(connector, host, Transport.PSRP) as session:
            result = await session.run(COMMAND, deadline_s=DEADLINE_S)
            assert (result.ended, result.exit_status) == (Ended.LOST, None)
            assert host.seen.messages[:2] == ["Create", "Receive"] and host.seen.messages[3:] == ["Delete"]
            assert len(host.service.shells.started) <= 1 and not host.service.shells.open


@BOTH
async def test_a_connection_that_died_while_it_was_idle_is_made_anew(transport: Transport, connector: MakeConnector) -> None:
    of_one = COMMAND_IS[transport] + 2
    host = practice(Mishaps(messages_per_connection=of_one))
    async with connected(connector, host, transport) as session:
        for _ in range(3):
            assert healed(await session.ask(QUESTIONS, deadline_s=DEADLINE_S))
        assert len(host.service.shells.started) == 3 and not host.service.shells.open


@BOTH
async def test_a_host_that_ends_the_connection_with_each_answer_is_asked_over_new_ones(
    transport: Transport, connector: MakeConnector
) -> None:
    """What would go over a connection that is known to be gone was never sent, and is no loss."""
    host = practice(Mishaps(closes=True))
    async with connected(connector, host, transport) as session:
        assert healed(await session.ask(QUESTIONS, deadline_s=DEADLINE_S))
        result = await session.run(COMMAND, deadline_s=DEADLINE_S)
        assert result.succeeded and len(host.service.shells.started) == 2 and not host.service.shells.open


@pytest.mark.parametrize("limits", [Limits(max_operations_per_shell=0), Limits(max_shells_per_user=0)])
async def test_without_room_nothing_is_run_and_the_host_is_asked_again_until_the_deadline(
    limits: Limits, connector: MakeConnector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shell, "_PAUSES_S", (0.01, 0.01, 60.0))
    host = practice(limits=limits)
    async with connected(connector, host) as session:
        answers = await session.ask(QUESTIONS[:1], deadline_s=59.0)
        answer = answers[QUESTIONS[0].id]
        assert answer.ended is Ended.NOT_RUN and "as the host allows" in answer.why
        assert host.service.shells.started == [] and not host.service.shells.open
        assert host.seen.messages.count("Create") == 3


@BOTH
async def test_room_that_comes_free_is_taken(transport: Transport, connector: MakeConnector) -> None:
    faults = {1: Kind.MAX_SHELLS, 1 + COMMAND_IS[transport]: Kind.MAX_OPERATIONS}
    host = practice(Mishaps(faults=faults))
    async with connected(connector, host, transport) as session:
        assert (await session.run(COMMAND, deadline_s=DEADLINE_S)).succeeded
        assert len(host.service.shells.started) == 1 and not host.service.shells.open


FAULTS = [(kind, number) for kind in Kind if kind is not Kind.OPERATION_TIMEOUT for number in (1, 2, 3, 4)]


@BOTH
@pytest.mark.parametrize(("kind", "number"), FAULTS if SOAK else FAULTS[::5])
async def test_no_fault_is_taken_for_an_answer(kind: Kind, number: int, transport: Transport, connector: MakeConnector) -> None:
    host = practice(Mishaps(faults={number: kind}))
    async with connected(connector, host, transport) as session:
        answers = await session.ask(QUESTIONS, deadline_s=3.0)
        assert {answer.ended for answer in answers.values()} in ({Ended.EXITED}, {Ended.NOT_RUN}, {Ended.LOST})
        assert len(host.service.shells.started) <= 1 and not host.service.shells.open


@BOTH
async def test_timeouts_of_operations_are_waited_through(transport: Transport, connector: MakeConnector) -> None:
    slow = (3, 4) if transport is Transport.WINRM else (2, 3, 6, 7)
    async with connected(
        connector, practice(Mishaps(faults=dict.fromkeys(slow, Kind.OPERATION_TIMEOUT))), transport
    ) as session:
        assert healed(await session.ask(QUESTIONS, deadline_s=DEADLINE_S))


@BOTH
@pytest.mark.parametrize("number", [1, 2, 3, 4])
async def test_a_host_that_never_answers_is_left_at_the_deadline(
    number: int, transport: Transport, connector: MakeConnector
) -> None:
    host = practice()
    async with connected(connector, host, transport) as session:
        deadline_s = await enough_for(session)
        host.mishaps.hang.add(len(host.seen.messages) + number)
        began = time.monotonic()
        answers = await session.ask(QUESTIONS, deadline_s=deadline_s)
        assert time.monotonic() - began <= deadline_s + OVERTIME_S
        assert {answer.ended for answer in answers.values()} <= {Ended.LOST, Ended.NOT_RUN} or number == LAST_OF[transport]
        assert not session.dropped
        assert not host.service.shells.open, "over a new connection"
        assert healed(await session.ask(QUESTIONS, deadline_s=DEADLINE_S))


@BOTH
async def test_a_connection_that_goes_silent_is_made_anew(
    transport: Transport, connector: MakeConnector, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A firewall that forgot it says nothing: an answer that has to come within the operation's own time does not."""
    monkeypatch.setattr(shell, "_LONGEST_WAIT_S", 0.5)
    monkeypatch.setattr(shell, "_SILENCE_S", 0.5)
    host = practice(Mishaps(hang={COMMAND_IS[transport] + 1}))
    async with connected(connector, host, transport) as session:
        began = time.monotonic()
        assert healed(await session.ask(QUESTIONS, deadline_s=HANG_S))
        assert time.monotonic() - began < HANG_S, "not at the deadline"
        assert host.seen.messages.count("Command") == 1 and not host.service.shells.open


async def test_what_a_host_has_begun_and_says_nothing_of_is_lost(connector: MakeConnector) -> None:
    host = practice()
    async with connected(connector, host) as session:
        deadline_s = await enough_for(session)
        host.mishaps.hang.add(len(host.seen.messages) + 3)
        answers = await session.ask(QUESTIONS, deadline_s=deadline_s)
        assert {(answer.ended, answer.why) for answer in answers.values()} == {(Ended.LOST, "the deadline passed")}


async def test_a_login_that_is_cut_off_leaves_no_connection_for_words_in_the_clear(
    connector: MakeConnector,
) -> None:
    """What is there and not logged in has no seal: it was taken for a connection, and the next message went out as it was."""
    host = practice()
    async with connected(connector, host) as session:
        assert isinstance(session, WinrmSession)
        wire = session._line.wire

        def half_a_login() -> None:
            wire.connect()
            wire.cut()
            with pytest.raises(CutOff):
                wire.log_in()
            wire.mend()

        await asyncio.to_thread(half_a_login)
        assert not wire.connected
        assert healed(await session.ask(QUESTIONS, deadline_s=DEADLINE_S)), "over another one, that is logged in"
        await asyncio.to_thread(wire.connect)
        with pytest.raises(Dropped):
            await asyncio.to_thread(wire.send_message, "in the clear")


async def test_the_kernel_notices_who_is_gone(connector: MakeConnector, monkeypatch: pytest.MonkeyPatch) -> None:
    watched: list[socket.socket] = []

    def watch(opened: socket.socket) -> None:
        watched.append(opened)
        watch_over(opened)

    monkeypatch.setattr(wire, "watch_over", watch)
    async with connected(connector, practice()):
        assert [one.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) for one in watched] == [1]


LAST_OF = {Transport.WINRM: 4, Transport.PSRP: 5}
"""Delete, where nothing goes wrong before it."""


@BOTH
async def test_whoever_is_cancelled_leaves_no_shell_and_no_thread(transport: Transport, connector: MakeConnector) -> None:
    host = practice()
    async with connected(connector, host, transport) as session:
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


@BOTH
async def test_a_host_that_is_slow_in_each_answer_is_heard_out(transport: Transport, connector: MakeConnector) -> None:
    host = practice(Mishaps(delay_s=0.3))
    async with connected(connector, host, transport) as session:
        began = time.monotonic()
        assert healed(await session.ask(QUESTIONS, deadline_s=60.0))
        assert time.monotonic() - began >= 0.3 * COMMAND_IS[transport]
        assert len(host.service.shells.started) == 1 and not host.service.shells.open


@BOTH
async def test_a_host_that_is_slower_than_the_deadline_is_left_at_it(transport: Transport, connector: MakeConnector) -> None:
    """Each message of it is in time, all of them are not: what bounds a call is one clock for all of it."""
    host = practice(Mishaps(delay_s=0.6))
    async with connected(connector, host, transport) as session:
        began = time.monotonic()
        result = await session.run(COMMAND, deadline_s=1.0)
        assert time.monotonic() - began <= 1.0 + OVERTIME_S
        assert result.ended in {Ended.LOST, Ended.NOT_RUN} and not result.succeeded
        assert len(host.service.shells.started) <= 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Fleet:
    """How many hosts of which kind, over how many threads, each asked until a deadline."""

    hosts: int
    hung: int
    dropping: int
    threads: int
    deadline_s: float

    def kinds(self) -> list[str]:
        """Return the kind of each host, mixed."""
        kinds = ["hung", "hung while it runs"] * (self.hung // 2) + ["dropping", "dropping an answer"] * (self.dropping // 2)
        kinds += ["well"] * (self.hosts - len(kinds))
        random.Random("fleet").shuffle(kinds)
        return kinds


FLEET = (
    Fleet(hosts=300, hung=30, dropping=30, threads=32, deadline_s=20.0)
    if SOAK
    else Fleet(hosts=12, hung=2, dropping=4, threads=4, deadline_s=2.0)
)
MISHAPS: dict[str, Callable[[int], Mishaps]] = {
    "well": lambda _: Mishaps(),
    "hung": lambda _: Mishaps(hang=set(range(1, 1000))),
    "hung while it runs": lambda receives: Mishaps(hang={receives}),
    "dropping": lambda _: Mishaps(messages_per_connection=2),
    "dropping an answer": lambda receives: Mishaps(drop_after={receives}),
}
"""What goes wrong on hosts of each kind, by the number of the message that receives what a command says."""
FLEET_ENDS = {"hung": (Ended.NOT_RUN, 0), "hung while it runs": (Ended.LOST, 1), "dropping an answer": (Ended.EXITED, 2)}
"""How the answers of each kind of hosts end, and how often they are asked; of others they are whole, and asked for once."""


@BOTH
async def test_a_fleet_of_which_a_part_misbehaves_is_accounted_for(transport: Transport, connector: MakeConnector) -> None:
    """Its figures are those of bench/windows.py; here each host counts for itself what it was told to run."""
    kinds, connect = FLEET.kinds(), connector(threads=FLEET.threads)
    hosts = [practice(MISHAPS[kind](COMMAND_IS[transport] + 1)) for kind in kinds]
    with all_listening(hosts) as ports:

        async def ended(port: int) -> tuple[set[Ended], float]:
            async with connect(host_at(port, transport=transport)) as session:
                began = time.monotonic()
                answers = await session.ask(QUESTIONS, deadline_s=FLEET.deadline_s)
                assert [*answers] == [one.id for one in QUESTIONS]
                return {one.ended for one in answers.values()}, time.monotonic() - began

        began = time.monotonic()
        ends = await asyncio.gather(*map(ended, ports))
        rounds = -(-FLEET.hosts // FLEET.threads)
        assert time.monotonic() - began <= rounds * (FLEET.deadline_s + OVERTIME_S)
    for kind, host, (how, took_s) in zip(kinds, hosts, ends, strict=True):
        end, times = FLEET_ENDS.get(kind, (Ended.EXITED, 1))
        assert how == {end}, kind
        assert took_s <= FLEET.deadline_s + OVERTIME_S
        assert len(host.service.shells.started) == times, kind
        assert not host.service.shells.open
    await no_threads()


@pytest.mark.parametrize("transport", [Transport.WINRM, Transport.PSRP] if SOAK else [Transport.PSRP])
@pytest.mark.usefixtures("unhurried")
def test_a_fleet_leaves_no_shell_and_our_memory_is_flat(transport: Transport, monkeypatch: pytest.MonkeyPatch) -> None:
    """Practice hosts in a process of their own: what grows here is ours."""
    if not SOAK:
        monkeypatch.setattr(bench, "HOSTS", 32)
        monkeypatch.setattr(bench, "HUNG", 4)
        monkeypatch.setattr(bench, "DROPPING", 4)
        monkeypatch.setattr(bench, "DEADLINE_S", 2.0)
    with bench.practice(transport) as (ports, ended):
        _, how, grown_mib = asyncio.run(bench.fleet(ports, transport, bench.questions()))
        told = ended()
    wanted = Counter(f"{kind}: {'not whole' if kind.startswith('hung') else 'whole'}" for kind in bench.kinds())
    assert sum(how.values()) == bench.HOSTS and "hung: whole" not in how
    assert how == wanted or not SOAK, "on a machine that does much else, the deadline is past for some before they were asked"
    assert grown_mib <= bench.MOST_GROWN_MIB
    assert {kind: left for kind, (_, left) in told.items() if left} == {}
