"""Sessions by PSRP: endpoints that take little, whatever goes wrong on the way, and objects that nobody honest sends."""

from __future__ import annotations

import asyncio
import inspect
import random
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager

import pypsrp.exceptions
import pytest
from pypsrp.exceptions import WinRMError as PsrpError

from inventory.host import Transport, WinrmAuth, WinrmSettings
from remote.answer import Ended
from remote.command import Command
from remote.files import Destination, TransferFailed
from remote.lab.windows import runspaces
from remote.lab.windows.faults import ENGLISH, RUSSIAN, Kind
from remote.lab.windows.host import WindowsHost
from remote.lab.windows.login import Rights
from remote.lab.windows.mishaps import Mishaps
from remote.lab.windows.pipelines import CapturedPipelines
from remote.lab.windows.replies import Captured
from remote.lab.windows.runspaces import Endpoint
from remote.lab.windows.shells import Limits
from remote.lab.windows.works import Works
from remote.session import Session
from remote.windows.psrp_messages import GARBLED, REFUSALS
from tests.conftest import SOAK
from tests.remote_lab.windows_hosts import USER, listening
from tests.remote_windows.conftest import MakeConnector, host_at, no_threads, practice
from tests.remote_windows.played import ANSWERS, CASES, COMMANDS, HANGS

DEADLINE_S = 6.0
OVERTIME_S = 25.0  # far above what a user waits (conftest.py): only a hang reaches it
QUESTIONS = list(CASES)
COMMAND = Command(script="'out'")
LAST = 5
"""Messages of one pipeline at the most: Create, Receive, Command, Receive, Delete."""
pytestmark = pytest.mark.usefixtures("ntlm_accounts")


@asynccontextmanager
async def connected(
    make: MakeConnector, host: WindowsHost, *, name: str | None = None, transport: Transport = Transport.PSRP
) -> AsyncIterator[Session]:
    """Yield a session by PSRP to a host that listens in a loop of its own."""
    settings = WinrmSettings(scheme="http", auth=WinrmAuth.NTLM, endpoint=name)
    with listening(host) as port:
        async with make()(host_at(port, settings, transport=transport)) as session:
            yield session
    await no_threads()


def endpoint(**more: object) -> Endpoint:
    captured = Captured(answers=ANSWERS, works=Works(COMMANDS), admin=False)
    return Endpoint(program=CapturedPipelines(captured=captured), **more)  # type: ignore[arg-type]


async def test_who_is_no_administrator_is_asked_by_the_endpoint_of_powershell_and_the_facts_say_so(
    connector: MakeConnector,
) -> None:
    host = practice(rights={USER: Rights.REMOTE})
    async with connected(connector, host, transport=Transport.WINRM) as session:
        assert (session.facts.transport, session.facts.instead_of) == ("winrm", "")
        for _ in range(2):
            answers = await session.ask(QUESTIONS, deadline_s=DEADLINE_S)
            assert all(answers[one.id].stdout == expected.stdout for one, expected in CASES.items())
            assert (await session.run(COMMAND, deadline_s=DEADLINE_S)).succeeded
        assert (session.facts.transport, session.facts.instead_of) == ("psrp", "winrm")
        assert host.seen.messages.count("Create") == 1 + 4, "it is denied once"
    assert not host.service.shells.open


async def test_who_is_denied_both_is_told_why(connector: MakeConnector) -> None:
    host = practice(rights={USER: Rights.NONE})
    async with connected(connector, host, transport=Transport.WINRM) as session:
        answer = (await session.ask(QUESTIONS[:1], deadline_s=DEADLINE_S))[QUESTIONS[0].id]
        assert (answer.ended, answer.why) == (Ended.NOT_RUN, "the user may log in, but open no shell of this kind")


@pytest.mark.parametrize("kind", [Kind.ACCESS_DENIED, Kind.MAX_SHELLS, Kind.SHELL_NOT_FOUND, Kind.PIPE_CLOSED])
async def test_what_a_russian_host_says_means_the_same(kind: Kind, connector: MakeConnector) -> None:
    told = set()
    for language in (ENGLISH, RUSSIAN):
        for transport in (Transport.WINRM, Transport.PSRP):
            host = practice(Mishaps(faults=dict.fromkeys(range(1, 100), kind)))
            host.service.language = language
            async with connected(connector, host, transport=transport) as session:
                answer = (await session.ask(QUESTIONS[:1], deadline_s=1.0))[QUESTIONS[0].id]
                told.add((answer.ended, answer.why))
    ((ended, why),) = told
    assert ended is Ended.NOT_RUN and not any("а" <= letter <= "я" for letter in why)


async def test_an_endpoint_by_its_name(connector: MakeConnector) -> None:
    host = practice(rights={USER: Rights.REMOTE})
    host.service.endpoints = {"Support": endpoint()}
    async with connected(connector, host, name="Support") as session:
        answers = await session.ask(QUESTIONS, deadline_s=DEADLINE_S)
        assert all(answers[one.id].stdout == expected.stdout and not answers[one.id].as_root for one, expected in CASES.items())
    async with connected(connector, practice(), name="Support") as session:
        answer = (await session.ask(QUESTIONS[:1], deadline_s=DEADLINE_S))[QUESTIONS[0].id]
        assert (answer.ended, answer.why) == (Ended.NOT_RUN, "it answers with the fault 0x80338000")


async def test_an_endpoint_without_a_language_runs_nothing_and_says_so(connector: MakeConnector) -> None:
    host = practice()
    host.service.endpoints = {"Support": endpoint(visible=frozenset({"Get-Service"}))}
    async with connected(connector, host, name="Support") as session:
        answers = await session.ask(QUESTIONS, deadline_s=DEADLINE_S)
        said = str(REFUSALS["ScriptsNotAllowed"])
        assert {(answer.ended, answer.why) for answer in answers.values()} == {(Ended.NOT_RUN, said)}
        result = await session.run(COMMAND, deadline_s=DEADLINE_S)
        assert (result.ended, result.why) == (Ended.NOT_RUN, said)
        with pytest.raises(TransferFailed, match="NoLanguage"):
            await session.put(b"data", Destination(path=r"C:\file"), deadline_s=DEADLINE_S)


async def test_a_script_that_a_host_does_not_know_is_no_answer(connector: MakeConnector) -> None:
    host = practice()

    async def nothing(_: object) -> None:
        return None

    host.service.endpoints = {"Microsoft.PowerShell": Endpoint(program=nothing)}
    async with connected(connector, host) as session:
        answer = (await session.ask(QUESTIONS[:1], deadline_s=DEADLINE_S))[QUESTIONS[0].id]
        assert answer.ended is Ended.NOT_RUN and "LongarmNotKnown" in answer.why


@pytest.mark.parametrize("number", range(1, LAST + 1))
@pytest.mark.parametrize("kind", ["drop_before", "drop_after", "bad_mic", "reboot", "hang"])
async def test_whatever_goes_wrong_nothing_runs_twice_and_nothing_false_is_told(
    kind: str, number: int, connector: MakeConnector
) -> None:
    for asks in (True, False):
        mishaps = Mishaps()
        getattr(mishaps, kind).add(number)
        host = practice(mishaps)
        deadline_s = 1.5 if kind == "hang" else DEADLINE_S
        async with connected(connector, host) as session:
            began = time.monotonic()
            if asks:
                answers = await session.ask(QUESTIONS, deadline_s=deadline_s)
                whole = {one.id for one in QUESTIONS if answers[one.id].ended is Ended.EXITED}
                assert all(answers[one.id].stdout == CASES[one].stdout for one in QUESTIONS if one.id in whole)
            else:
                result = await session.run(COMMAND, deadline_s=deadline_s)
                assert not result.succeeded or result.stdout == b"out\n"
            assert time.monotonic() - began <= deadline_s + OVERTIME_S
            assert len(host.service.shells.started) <= 1, "never twice"
            left = bool(host.service.shells.open)
            assert not left or (kind == "hang" and number == LAST), "the client names a shell itself, and deletes it"


FAULTS = [(kind, number) for kind in Kind if kind is not Kind.OPERATION_TIMEOUT for number in (1, 2, 3, 4)]


@pytest.mark.parametrize(("kind", "number"), FAULTS if SOAK else FAULTS[::5])
async def test_no_fault_is_taken_for_an_answer(kind: Kind, number: int, connector: MakeConnector) -> None:
    host = practice(Mishaps(faults={number: kind}))
    async with connected(connector, host) as session:
        answers = await session.ask(QUESTIONS, deadline_s=3.0)
        assert {answer.ended for answer in answers.values()} in ({Ended.EXITED}, {Ended.NOT_RUN}, {Ended.LOST})
        assert len(host.service.shells.started) <= 1 and not host.service.shells.open


async def test_timeouts_of_operations_are_waited_through(connector: MakeConnector) -> None:
    slow = dict.fromkeys((2, 3, 6, 7), Kind.OPERATION_TIMEOUT)
    async with connected(connector, practice(Mishaps(faults=slow))) as session:
        answers = await session.ask(QUESTIONS, deadline_s=DEADLINE_S)
        assert {answer.ended for answer in answers.values()} == {Ended.EXITED}


async def test_room_that_comes_free_is_taken(connector: MakeConnector) -> None:
    host = practice(Mishaps(faults={1: Kind.MAX_SHELLS}), limits=Limits(max_shells_per_user=1))
    async with connected(connector, host) as session:
        assert (await session.run(COMMAND, deadline_s=DEADLINE_S)).succeeded


async def test_whoever_is_cancelled_leaves_no_runspace_and_no_thread(connector: MakeConnector) -> None:
    host = practice()
    async with connected(connector, host) as session:
        running = asyncio.create_task(session.run(HANGS, deadline_s=3600.0))
        while not host.service.shells.started:  # noqa: ASYNC110 (it runs in a loop of its own)
            await asyncio.sleep(0.01)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
    assert not host.service.shells.open


DEEP = b"<Obj>" * 20_000 + b"</Obj>" * 20_000
BOMB = b'<!DOCTYPE a [<!ENTITY b "' + b"b" * 1000 + b'"><!ENTITY c "' + b"&b;" * 1000 + b'">]><S>' + b"&c;" * 1000 + b"</S>"
OBJECTS = {
    "deep": lambda _: DEEP,
    "bomb": lambda _: BOMB,
    "nothing": lambda _: b"",
    "no xml": lambda _: b"\xff\xfe not xml",
    "another object": lambda _: b"<Obj RefId='0'><MS><S N='PipelineState'>two</S></MS></Obj>",
    "a number that is none": lambda _: b"<I32>many</I32>",
    "a reference to nothing": lambda _: b"<Ref RefId='77'/>",
    "cut": lambda data: data[: len(data) // 2],
    "a state that is none": lambda data: data.replace(b'<I32 N="PipelineState">4', b'<I32 N="PipelineState">99'),
}


def mangling(monkeypatch: pytest.MonkeyPatch, mangle: Callable[[bytes], bytes], first: int) -> None:
    """Let a host mangle the objects that it sends, from the so-manieth on; their frames stay whole."""
    real, count = runspaces._fragments, 0

    def mangled(data: bytes) -> Iterator[bytes]:
        nonlocal count
        for fragment in real(data):
            count += 1
            if count < first:
                yield fragment
                continue
            head, message = fragment[:21], fragment[21:]
            payload = message[:40] + mangle(message[40:])
            yield head[:-4] + len(payload).to_bytes(4, "big") + payload

    monkeypatch.setattr(runspaces, "_fragments", mangled)


@pytest.mark.parametrize("first", [1, 3, 4])
@pytest.mark.parametrize("name", list(OBJECTS))
async def test_objects_that_nobody_honest_sends(
    name: str, first: int, connector: MakeConnector, monkeypatch: pytest.MonkeyPatch
) -> None:
    mangling(monkeypatch, OBJECTS[name], first)
    host = practice()
    async with connected(connector, host) as session:
        began = time.monotonic()
        answers = await session.ask(QUESTIONS, deadline_s=2.0)
        assert time.monotonic() - began <= 2.0 + OVERTIME_S
        told = {answer.ended for answer in answers.values()}
        assert told <= {Ended.NOT_RUN, Ended.LOST, Ended.EXITED}
        assert Ended.EXITED not in told or name == "a state that is none"
    assert not host.service.shells.open


@pytest.mark.parametrize("seed", range(300 if SOAK else 12))
async def test_damage_is_never_an_answer_and_never_an_exception(
    seed: int, connector: MakeConnector, monkeypatch: pytest.MonkeyPatch
) -> None:
    chance = random.Random(seed)

    def damage(data: bytes) -> bytes:
        damaged = bytearray(data)
        for _ in range(chance.choice((0, 0, 1, 3))):
            at = chance.randrange(max(1, len(damaged)))
            damaged[at : at + chance.randrange(3)] = chance.randbytes(chance.randrange(3))
        return bytes(damaged)

    mangling(monkeypatch, damage, chance.randint(1, 5))
    host = practice()
    async with connected(connector, host) as session:
        answers = await session.ask(QUESTIONS, deadline_s=2.0)
        assert all(answers[one.id].stdout == CASES[one].stdout for one in QUESTIONS if answers[one.id].ended is Ended.EXITED)


def test_every_exception_of_pypsrp_is_read() -> None:
    kinds = [kind for _, kind in inspect.getmembers(pypsrp.exceptions, inspect.isclass) if issubclass(kind, Exception)]
    assert kinds and {kind for kind in kinds if not issubclass(kind, GARBLED)} == set()
    assert PsrpError in GARBLED
