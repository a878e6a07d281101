"""One host: what its deadline costs, and that leaving it costs nothing."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, nullcontext
from datetime import UTC, datetime

import pytest

from inventory.host import Host, Transport
from remote.answer import Answer, Ended
from remote.local import open_local
from remote.patience import Patience, patience
from remote.question import Question
from remote.session import Session
from remote.testing import FakeConnect, FakeHost
from runner import host_run
from runner.host_run import run_host
from runner.outcome import Outcome
from tests.stopped_clock import StoppedClock

HERE = Host(name="here", address="127.0.0.1", transport=Transport.LOCAL)
ASKED = (Question(id="first", script="echo first"), Question(id="hung", script="sleep 60", deadline_s=100))


def now() -> datetime:
    return datetime.now(UTC)


async def asked(session: Session, left_s: float) -> Mapping[str, Answer]:
    return await session.ask(ASKED, deadline_s=left_s)


async def test_this_machine_keeps_what_it_has_when_its_deadline_passes() -> None:
    for deadline_s in (3, 12, 60):  # until this machine has anything by then
        ended = await run_host(HERE, asked, open_local, deadline_s=deadline_s, clock=now)
        if ended.value is not None and ended.value["first"].ended is Ended.EXITED:
            break
    assert ended.outcome is None
    assert ended.value is not None
    assert {name: answer.ended for name, answer in ended.value.items()} == {"first": Ended.EXITED, "hung": Ended.LOST}
    assert ended.value["first"].stdout == b"first\n"


async def named(session: Session, left_s: float) -> str:
    return session.host.name


@pytest.mark.parametrize("fails", [True, False], ids=["raises", "hangs"])
async def test_leaving_a_host_costs_no_answers(fails: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host_run, "LEAVING_S", 0.01)
    fake = FakeConnect({"here": FakeHost()})

    @asynccontextmanager
    async def connect(host: Host) -> AsyncIterator[Session]:
        async with fake(host) as session:
            yield session
        if fails:
            raise OSError("cannot leave")
        await asyncio.Event().wait()

    ended = await run_host(HERE, named, connect, deadline_s=60, clock=now)
    assert (ended.value, ended.outcome, ended.error) == ("here", None, None)


@pytest.mark.parametrize("waits", [True, False], ids=["for its turn", "for the host"])
async def test_the_clock_of_a_host_stands_still_while_it_waits_for_its_turn(waits: bool, stopped_clock: StoppedClock) -> None:
    """Two hosts that share a one-time code: the second waits longer than its deadline, and has all of it afterwards."""
    fake = FakeConnect({"here": FakeHost()})

    @asynccontextmanager
    async def connect(host: Host) -> AsyncIterator[Session]:
        with patience().standing_still() if waits else nullcontext():
            asyncio.get_running_loop().call_soon(stopped_clock.leap, 30)
            await asyncio.sleep(30)
        async with fake(host) as session:
            yield session

    async def left(session: Session, left_s: float) -> float:
        return left_s

    ended = await run_host(HERE, left, connect, deadline_s=20, clock=now)
    if waits:
        assert ended.value == 20
    else:
        assert (ended.outcome, ended.value) == (Outcome.TIMED_OUT, None)


async def test_a_clock_that_stands_still_twice_goes_on_once() -> None:
    async with asyncio.timeout(20) as limit:
        mine, before = Patience(limit), limit.when()
        with mine.standing_still(), mine.standing_still():
            await asyncio.sleep(0.01)
            assert limit.when() is None
        after = limit.when()
        assert before is not None and after is not None and after - before == pytest.approx(mine.waited_s) and mine.waited_s > 0
