"""A server that takes one command over a connection: what goes with one is asked again, a refused login is not."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from inventory.host import CredentialReference, Host
from remote.answer import Ended
from remote.brief_session import BriefSession
from remote.command import Command
from remote.enrol import offered_keys
from remote.lasting import MOST_NEW, LastingConnect, went
from remote.question import Question
from remote.session import Session
from remote.ssh import SshConnector
from tests.remote.servers import Keys, MakeConnector, tinysshd

DEADLINE_S = 60
QUICK = Question(id="quick", script="echo quick")

pytestmark = [
    pytest.mark.server,
    pytest.mark.skipif(os.geteuid() != 0, reason="tinysshd reads ~/.ssh of a real user: needs root for a mount namespace"),
]


@dataclass
class Wires:
    """A connector that counts what is connected, and can cut the last connection or end all logins."""

    host: Host
    connector: SshConnector
    keys: Path
    sessions: list[Session]
    logins: int = 0

    @asynccontextmanager
    async def __call__(self, host: Host) -> AsyncIterator[Session]:
        async with self.connector(host) as session:
            self.sessions.append(session)
            yield session

    async def cut(self) -> None:
        """Cut the connection that is there now, as a network does: what we end ourselves ends in order."""
        brief = self.sessions[-1]
        assert isinstance(brief, BriefSession)
        brief._session._connection._transport.abort()  # type: ignore[attr-defined]
        while not brief._session.dropped:  # noqa: ASYNC110 (it is in a turn of the loop)
            await asyncio.sleep(0)

    def refuse(self) -> None:
        """Let nobody in any more."""
        self.keys.write_text("")


@pytest.fixture
def port(tmp_path: Path, user_key: Keys) -> Iterator[int]:
    with tinysshd(tmp_path, user_key) as port:
        yield port


@pytest.fixture
async def wires(
    port: int, tmp_path: Path, reference: CredentialReference, connector: MakeConnector, monkeypatch: pytest.MonkeyPatch
) -> Wires:
    host = Host(name="node", address="127.0.0.1", port=port, credential=reference)
    (offered,) = await offered_keys(host)
    made = connector(known=(offered.key,))
    wires = Wires(host, made, tmp_path / "home/.ssh/authorized_keys", [])
    log_in: Callable[..., object] = made._logged_in

    def counted(*arguments: object, **more: object) -> object:
        wires.logins += 1
        return log_in(*arguments, **more)

    monkeypatch.setattr(made, "_logged_in", counted)
    return wires


def waiting(begun: Path, go: Path) -> Question:
    script = ': >"$begun"; until [ -e "$go" ]; do sleep 0.05; done; echo slow'
    return Question(id="slow", script=script, variables=(("begun", str(begun)), ("go", str(go))), deadline_s=DEADLINE_S)


async def begins(begun: Path) -> None:
    while not begun.exists():  # noqa: ASYNC110, ASYNC240 (the host is this machine, and its file is no event)
        await asyncio.sleep(0.02)


async def test_questions_that_went_with_a_connection_are_asked_again(wires: Wires, tmp_path: Path) -> None:
    async with LastingConnect(wires)(wires.host) as session:
        asked = asyncio.ensure_future(session.ask([QUICK, waiting(tmp_path / "begun", tmp_path / "go")], deadline_s=DEADLINE_S))
        await begins(tmp_path / "begun")
        await wires.cut()
        (tmp_path / "go").touch()
        answers = await asked
        later = await session.ask([QUICK], deadline_s=DEADLINE_S)
        facts = session.facts
    assert {name: one.stdout for name, one in answers.items()} == {"quick": b"quick\n", "slow": b"slow\n"}
    assert later["quick"].stdout == b"quick\n"
    assert facts.dropped and "slow" in facts.asked_again and not facts.not_renewed
    assert wires.logins == 3


async def test_a_command_that_went_with_a_connection_is_not_run_again(wires: Wires, tmp_path: Path) -> None:
    script = 'echo ran >>"$path"; sleep 2'
    async with LastingConnect(wires)(wires.host) as session:
        command = Command(script=script, variables={"path": str(tmp_path / "ran")})
        running = asyncio.ensure_future(session.run(command, deadline_s=DEADLINE_S))
        await begins(tmp_path / "ran")
        await wires.cut()
        assert (await running).ended is Ended.LOST
        assert (await session.run(Command(script="echo next"), deadline_s=DEADLINE_S)).stdout == b"next\n"
    assert (tmp_path / "ran").read_text() == "ran\n"


@pytest.mark.parametrize("lasting", [False, True])
async def test_a_connection_that_is_gone_before_its_first_question_is_not_used(wires: Wires, lasting: bool) -> None:
    async with (LastingConnect(wires) if lasting else wires)(wires.host) as session:
        await wires.cut()
        assert (await session.ask([QUICK], deadline_s=DEADLINE_S))["quick"].stdout == b"quick\n"
    assert wires.logins == 2


async def test_connections_that_end_as_they_should_are_no_drops(wires: Wires) -> None:
    async with LastingConnect(wires)(wires.host) as session:
        for _ in range(MOST_NEW + 2):
            assert (await session.ask([QUICK], deadline_s=DEADLINE_S))["quick"].ended is Ended.EXITED
        assert not session.dropped and not session.facts.dropped
    assert len(wires.sessions) == 1


@pytest.mark.parametrize("lasting", [False, True])
async def test_a_login_that_was_refused_is_not_offered_again(wires: Wires, lasting: bool) -> None:
    async with (LastingConnect(wires) if lasting else wires)(wires.host) as session:
        await session.ask([QUICK], deadline_s=DEADLINE_S)
        wires.refuse()
        for _ in range(4):
            answer = (await session.ask([QUICK], deadline_s=DEADLINE_S))["quick"]
            assert answer.ended is Ended.NOT_RUN and "was refused" in answer.why
        assert session.dropped and not session.renewable and "was refused" in session.facts.not_renewed
    assert wires.logins == 2


async def test_a_login_that_is_refused_behind_a_cut_is_not_offered_again(wires: Wires, tmp_path: Path) -> None:
    async with LastingConnect(wires)(wires.host) as session:
        asked = asyncio.ensure_future(session.ask([waiting(tmp_path / "begun", tmp_path / "go")], deadline_s=DEADLINE_S))
        await begins(tmp_path / "begun")
        wires.refuse()
        await wires.cut()
        assert went((await asked)["slow"])  # lost, or not run as far as we know: its first mark may still have been on its way
        for _ in range(4):
            assert (await session.ask([QUICK], deadline_s=DEADLINE_S))["quick"].ended is Ended.NOT_RUN
        assert session.dropped and "was refused" in session.facts.not_renewed
    assert wires.logins == 2


async def test_waiting_for_another_question_is_within_the_deadline(wires: Wires, tmp_path: Path) -> None:
    async with wires(wires.host) as session, asyncio.timeout(DEADLINE_S / 2):
        first = asyncio.ensure_future(session.ask([waiting(tmp_path / "begun", tmp_path / "go")], deadline_s=DEADLINE_S))
        await begins(tmp_path / "begun")
        assert (await session.ask([QUICK], deadline_s=0.5))["quick"].ended is Ended.NOT_RUN
        (tmp_path / "go").touch()
        assert (await first)["slow"].stdout == b"slow\n"
