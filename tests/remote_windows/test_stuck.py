"""A thread that waits for what no cut ends: the library of Kerberos asks a KDC that says nothing for half a minute."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from remote.answer import Ended
from remote.breaker import Breaker, Turn
from remote.errors import ConnectFailed, DeadlineExceeded
from remote.lab.windows.mishaps import Mishaps
from remote.windows import doors, winrm
from remote.windows.negotiation import ByPassword
from remote.windows.winrm import WinrmSession
from tests.remote_lab.windows_hosts import listening
from tests.remote_windows.conftest import MakeConnector, host_at, no_threads, practice
from tests.remote_windows.played import CASES

pytestmark = pytest.mark.usefixtures("ntlm_accounts")


class Silent:
    """Lets so many logins begin, and keeps the next one until it may go on."""

    def __init__(self, logins: int) -> None:
        self.left, self.asked, self.may = logins, threading.Event(), threading.Event()

    def step(self, context: ByPassword, token: bytes | None) -> bytes | None:
        if token is None and not self.left:
            self.asked.set()
            self.may.wait()
        self.left -= token is None
        return ByPassword.step(context, token)


@pytest.fixture
def silent(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Silent]:
    made = Silent(request.param)

    class Context(ByPassword):
        def step(self, token: bytes | None) -> bytes | None:
            return made.step(self, token)

    monkeypatch.setattr(doors, "ByPassword", Context)
    for name in ("TIDY_S", "_STUCK_S"):
        monkeypatch.setattr(winrm, name, 0.1)
    yield made
    made.may.set()


@pytest.mark.parametrize("silent", [0], indirect=True)
async def test_a_login_ends_at_its_deadline(silent: Silent, connector: MakeConnector) -> None:
    host = practice()
    with listening(host) as port:
        async with asyncio.timeout(60):
            with pytest.raises((DeadlineExceeded, ConnectFailed)) as late:
                async with connector(connect_deadline_s=0.8)(host_at(port)):
                    pass
        assert isinstance(late.value, DeadlineExceeded) or not silent.asked.is_set()  # it did not get that far in time
        silent.may.set()
        await no_threads()
    assert not host.seen.messages


@pytest.mark.parametrize("silent", [1], indirect=True)
async def test_questions_end_at_theirs_where_a_connection_is_made_anew(silent: Silent, connector: MakeConnector) -> None:
    host = practice(Mishaps(drop_before={1}))
    with listening(host) as port:
        async with asyncio.timeout(60), connector()(host_at(port)) as session:
            answers = await session.ask(list(CASES), deadline_s=0.8)
            assert {answer.ended for answer in answers.values()} == {Ended.NOT_RUN}
            assert session.dropped or not silent.asked.is_set()  # it did not get that far in time
        silent.may.set()
        await no_threads()
    assert not host.service.shells.open, "nothing is sent any more once nobody waits"


async def test_a_turn_that_comes_as_the_connection_is_cut_is_given_back(
    connector: MakeConnector, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Kept for ever it is one less for all other hosts, which wait for it with their clocks stopped."""
    host, breaker = practice(Mishaps(drop_before={1})), Breaker()
    with listening(host) as port:
        async with connector(breaker=breaker)(host_at(port)) as session:
            assert isinstance(session, WinrmSession)
            given = breaker.turn

            async def turn(*about: Any) -> Turn:
                taken = await given(*about)
                asyncio.get_running_loop().call_soon(session._line._cut)
                return taken

            monkeypatch.setattr(breaker, "turn", turn)
            answers = await session.ask(list(CASES), deadline_s=60)
            assert {answer.ended for answer in answers.values()} == {Ended.NOT_RUN}
    assert [one.on_their_way for one in breaker._secrets.values()] == [0]
