"""A script that goes behind the request for a shell, to OpenSSH alone: a round trip less, and no word more than is known."""

from __future__ import annotations

import pytest

from remote.answer import Ended
from remote.command import Command
from remote.question import Question
from remote.ssh_library import asyncssh
from tests.remote.servers import MakeConnector, StartPractice

OPENSSH = "OpenSSH_9.9p1"
WHO = Question(id="who", script="echo here")


@pytest.mark.parametrize("version", [OPENSSH, "dropbear_2022.83"])
async def test_it_arrives_whole_either_way(practice: StartPractice, connector: MakeConnector, version: str) -> None:
    running = await practice(server_version=version)
    async with connector()(running.host) as session:
        answers = await session.ask([WHO], deadline_s=30)
        large = await session.run(Command(script="wc -c", stdin=bytes(300_000)), deadline_s=30)
    assert (answers["who"].ended, answers["who"].stdout) == (Ended.EXITED, b"here\n")
    assert large.stdout.strip() == b"300000"


@pytest.mark.parametrize(("version", "ended"), [(OPENSSH, Ended.LOST), ("other", Ended.NOT_RUN)])
async def test_a_host_that_hangs_up_unanswered_may_have_run_it(
    practice: StartPractice, connector: MakeConnector, version: str, ended: Ended, monkeypatch: pytest.MonkeyPatch
) -> None:
    def hang_up(self: asyncssh.SSHServerChannel[bytes], packet: object) -> bool:
        self._conn.abort()
        return False

    monkeypatch.setattr(asyncssh.channel.SSHServerChannel, "_process_exec_request", hang_up)
    running = await practice(server_version=version)
    async with connector()(running.host) as session:
        result = await session.run(Command(script="echo here"), deadline_s=30)
    assert result.ended is ended


async def test_a_host_that_refuses_has_run_nothing(
    practice: StartPractice, connector: MakeConnector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(asyncssh.channel.SSHServerChannel, "_process_exec_request", lambda *_: False)
    running = await practice(server_version=OPENSSH)
    async with connector()(running.host) as session:
        result = await session.run(Command(script="echo here"), deadline_s=30)
    assert result.ended is Ended.NOT_RUN
