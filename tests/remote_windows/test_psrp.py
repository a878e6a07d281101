"""Sessions by PSRP: endpoints that take little, whatever goes wrong on the way, and objects that nobody honest sends."""

from __future__ import annotations

import asyncio
import inspect
import random
import time
from collections.abc import Callable, Iterator
from dataclasses import replace

import pypsrp.exceptions
import pytest
from psrpcore.types import WarningRecordMsg
from pypsrp.exceptions import WinRMError as PsrpError

from inventory.host import Transport
from remote.answer import Ended
from remote.command import Command
from remote.files import Destination, TransferFailed
from remote.lab.windows import runspaces
from remote.lab.windows.faults import ENGLISH, RUSSIAN, Kind
from remote.lab.windows.login import Rights
from remote.lab.windows.mishaps import Mishaps
from remote.lab.windows.pipelines import CapturedPipelines
from remote.lab.windows.replies import Captured
from remote.lab.windows.runspaces import Endpoint, Piped, Told, Wrong
from remote.lab.windows.works import Works
from remote.windows import shell
from remote.windows.psrp_messages import GARBLED, REFUSALS
from tests.conftest import SOAK
from tests.remote_lab.windows_hosts import USER
from tests.remote_windows.conftest import MakeConnector, connected, practice
from tests.remote_windows.played import ANSWERS, CASES, COMMANDS

DEADLINE_S = 60.0
OVERTIME_S = 25.0  # far above what a user waits (conftest.py): only a hang reaches it
QUESTIONS = list(CASES)
COMMAND = Command(script="'out'")
pytestmark = pytest.mark.usefixtures("ntlm_accounts")


def endpoint(**more: object) -> Endpoint:
    captured = Captured(answers=ANSWERS, works=Works(COMMANDS), admin=False)
    return Endpoint(program=CapturedPipelines(captured=captured), **more)  # type: ignore[arg-type]


async def test_who_is_no_administrator_is_asked_by_the_endpoint_of_powershell_and_the_facts_say_so(
    connector: MakeConnector,
) -> None:
    host = practice(rights={USER: Rights.REMOTE})
    async with connected(connector, host, Transport.WINRM) as session:
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
    async with connected(connector, host, Transport.WINRM) as session:
        answer = (await session.ask(QUESTIONS[:1], deadline_s=DEADLINE_S))[QUESTIONS[0].id]
        assert (answer.ended, answer.why) == (Ended.NOT_RUN, "the user may log in, but open no shell of this kind")


@pytest.mark.parametrize("kind", [Kind.ACCESS_DENIED, Kind.MAX_SHELLS, Kind.SHELL_NOT_FOUND, Kind.PIPE_CLOSED])
async def test_what_a_russian_host_says_means_the_same(
    kind: Kind, connector: MakeConnector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shell, "_PAUSES_S", (0.01,))
    told = set()
    for language in (ENGLISH, RUSSIAN):
        for transport in (Transport.WINRM, Transport.PSRP):
            host = practice(Mishaps(faults=dict.fromkeys(range(1, 100), kind)))
            host.service.language = language
            async with connected(connector, host, transport) as session:
                answer = (await session.ask(QUESTIONS[:1], deadline_s=60.0))[QUESTIONS[0].id]
                told.add((answer.ended, answer.why))
    ((ended, why),) = told
    assert ended is Ended.NOT_RUN and not any("а" <= letter <= "я" for letter in why)


async def test_an_endpoint_by_its_name(connector: MakeConnector) -> None:
    host = practice(rights={USER: Rights.REMOTE})
    host.service.endpoints = {"Support": endpoint()}
    async with connected(connector, host, Transport.PSRP, endpoint="Support") as session:
        answers = await session.ask(QUESTIONS, deadline_s=DEADLINE_S)
        assert all(answers[one.id].stdout == expected.stdout and not answers[one.id].as_root for one, expected in CASES.items())
    async with connected(connector, practice(), Transport.PSRP, endpoint="Support") as session:
        answer = (await session.ask(QUESTIONS[:1], deadline_s=DEADLINE_S))[QUESTIONS[0].id]
        assert (answer.ended, answer.why) == (Ended.NOT_RUN, "it answers with the fault 0x80338000")


async def test_an_endpoint_without_a_language_runs_nothing_and_says_so(connector: MakeConnector) -> None:
    host = practice()
    host.service.endpoints = {"Support": endpoint(visible=frozenset({"Get-Service"}))}
    async with connected(connector, host, Transport.PSRP, endpoint="Support") as session:
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
    async with connected(connector, host, Transport.PSRP) as session:
        answer = (await session.ask(QUESTIONS[:1], deadline_s=DEADLINE_S))[QUESTIONS[0].id]
        assert answer.ended is Ended.NOT_RUN and "LongarmNotKnown" in answer.why


@pytest.mark.parametrize("identifier", list(REFUSALS))
@pytest.mark.parametrize(("output", "ended"), [([], Ended.NOT_RUN), (["\n"], Ended.LOST)])
async def test_what_an_endpoint_refuses_once_the_process_has_begun_is_no_word_that_nothing_ran(
    output: list[str], ended: Ended, identifier: str, connector: MakeConnector
) -> None:
    async def program(_: Piped) -> Told:
        return Told(output=output, failed=Wrong(id=identifier, words="x"))

    host = practice()
    host.service.endpoints = {"Microsoft.PowerShell": Endpoint(program=program)}
    async with connected(connector, host, Transport.PSRP) as session:
        result = await session.run(COMMAND, deadline_s=DEADLINE_S)
        assert (result.ended, result.why) == (ended, str(REFUSALS[identifier]))


@pytest.mark.parametrize(("tells", "ended"), [(True, Ended.EXITED), (False, Ended.LOST)])
async def test_an_exit_status_may_come_before_the_end_and_none_is_no_success(
    tells: bool, ended: Ended, connector: MakeConnector
) -> None:
    """A script that calls `exit` leaves its status to the transport: a number that came, or one that was lost on the way."""
    plays = CapturedPipelines(captured=Captured(answers=ANSWERS, works=Works(COMMANDS)))

    async def program(piped: Piped) -> Told:
        told = await plays(piped)
        assert told is not None
        for number in told.output if tells else ():
            piped.write(number)
        await asyncio.sleep(0.05)  # so the end comes in another message
        return Told()

    host = practice()
    host.service.endpoints = {"Microsoft.PowerShell": Endpoint(program=program)}
    async with connected(connector, host, Transport.PSRP) as session:
        result = await session.run(Command(script="exit 3"), deadline_s=DEADLINE_S)
        assert (result.ended, result.exit_status) == (ended, 3 if tells else None)


async def test_an_end_whose_message_was_lost_is_not_waited_for(connector: MakeConnector) -> None:
    host = practice(Mishaps(drop_after={4}))
    async with connected(connector, host, Transport.PSRP) as session:
        once = replace(QUESTIONS[0], repeatable=False)
        answers = await session.ask([once], deadline_s=3600.0)
        assert answers[once.id].ended is Ended.LOST


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
    name: str, first: int, connector: MakeConnector, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    mangling(monkeypatch, OBJECTS[name], first)
    host = practice()
    async with connected(connector, host, Transport.PSRP) as session:
        began = time.monotonic()
        answers = await session.ask(QUESTIONS, deadline_s=2.0)
        assert time.monotonic() - began <= 2.0 + OVERTIME_S
        told = {answer.ended for answer in answers.values()}
        assert told <= {Ended.NOT_RUN, Ended.LOST, Ended.EXITED}
        assert Ended.EXITED not in told or name == "a state that is none"
    assert not host.service.shells.open
    assert not [one for one in caplog.records if one.name.startswith("pypsrp")], "its words are not ours to print"


async def test_warnings_of_a_runspace_are_not_printed(connector: MakeConnector, monkeypatch: pytest.MonkeyPatch) -> None:
    """Python's warnings are errors in tests; a user would find the host's words on the terminal."""
    drain = runspaces.Runspace.drain

    def warned(runspace: runspaces.Runspace) -> None:
        if not runspace.pipelines:
            runspace.pool.prepare_message(WarningRecordMsg(Message="\x1b]0;a title\a"))
        drain(runspace)

    monkeypatch.setattr(runspaces.Runspace, "drain", warned)
    async with connected(connector, practice(), Transport.PSRP) as session:
        answers = await session.ask(QUESTIONS, deadline_s=DEADLINE_S)
        assert {answer.ended for answer in answers.values()} == {Ended.EXITED}


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
    async with connected(connector, host, Transport.PSRP) as session:
        answers = await session.ask(QUESTIONS, deadline_s=2.0)
        assert all(answers[one.id].stdout == CASES[one].stdout for one in QUESTIONS if answers[one.id].ended is Ended.EXITED)


def test_every_exception_of_pypsrp_is_read() -> None:
    kinds = [kind for _, kind in inspect.getmembers(pypsrp.exceptions, inspect.isclass) if issubclass(kind, Exception)]
    assert kinds and {kind for kind in kinds if not issubclass(kind, GARBLED)} == set()
    assert PsrpError in GARBLED
