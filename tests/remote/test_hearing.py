"""What is heard of a host before it answers: each transport tells a silent one from one at work."""

from __future__ import annotations

import re
import socket

import pytest

from inventory.host import CredentialReference, Host
from remote.answer import Ended
from remote.errors import DeadlineExceeded
from remote.hearing import HEARING, Hearing
from remote.question import Question
from remote.session import Session
from remote.ssh_library import asyncssh
from tests.remote.servers import MakeConnector, StartPractice

Process = asyncssh.SSHServerProcess[bytes]
QUESTION = Question(id="q", script="echo x")


@pytest.fixture
def heard() -> Hearing:
    """Return what the host of this test is heard by; its silence begins before time did."""
    hearing = Hearing()
    hearing.heard_at = float("-inf")
    return hearing


async def test_a_shell_that_runs_the_script_answers(local_session: Session, heard: Hearing) -> None:
    HEARING.set(heard)
    await local_session.ask([QUESTION], deadline_s=60)
    assert heard.answering


async def test_what_arrives_over_ssh_is_heard_and_the_first_mark_is_an_answer(
    practice: StartPractice, connector: MakeConnector, heard: Hearing
) -> None:
    HEARING.set(heard)
    async with connector()((await practice()).host) as session:
        assert heard.heard_at > 0
        assert not heard.answering, "a login is no answer"
        await session.ask([QUESTION], deadline_s=60)
    assert heard.answering


async def test_a_shell_that_takes_the_script_and_says_nothing_does_not_answer(
    practice: StartPractice, connector: MakeConnector, heard: Hearing
) -> None:
    async def swallows(process: Process) -> None:
        script = b""
        while not re.search(rb"# end [0-9a-f]{32}\n", script):
            script += await process.stdin.read(65536)
        swallowed.append(script)
        process.exit(0)

    swallowed = list[bytes]()

    running = await practice(process=swallows)
    HEARING.set(heard)
    async with connector()(running.host) as session:
        answers = await session.ask([QUESTION], deadline_s=60)
    assert swallowed and answers["q"].ended is not Ended.EXITED
    assert not heard.answering


async def test_a_host_that_accepts_and_is_silent_is_not_heard(
    connector: MakeConnector, reference: CredentialReference, heard: Hearing
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as nobody:  # the kernel accepts, and nobody reads
        host = Host(name="node", address="127.0.0.1", port=nobody.getsockname()[1], credential=reference)
        HEARING.set(heard)
        with pytest.raises(DeadlineExceeded):
            async with connector(connect_deadline_s=0.9)(host):
                pass
    assert heard.heard_at < 0
