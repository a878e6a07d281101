"""A connection that drops in the middle of a bundle: what had arrived stays, what was lost is asked once more."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from inventory.host import CredentialReference, Host
from remote.answer import NO_TIME, Answer, Ended, answered
from remote.detached import START, Offset, Standing, State
from remote.errors import AuthenticationRefused
from remote.lasting import DROPS_ALL, NOT_OFFERED_TWICE, ONCE, LastingConnect
from remote.question import Question
from remote.session import Session, SessionFacts
from remote.testing import FAKE_FACTS, FakeConnect, FakeHost, FakeSession
from tests.conftest import SOAK
from tests.remote.hostility import ENOUGH_S, Forwarder
from tests.remote.reaching import REACHES
from tests.remote.servers import MakeConnector, by_paramiko

USUAL_CUTS, CUTS, FEW_CUTS = 200, 20, 4
"""Random moments: of the usual way to a host and of each other in a soak, and of all elsewhere, where a share is left out."""
FROZEN_S = 1.5
"""How long is waited for the answers of a wire on which nothing moves any more."""
KILLS_ITS_SERVER = """pid=$PPID
while read -r name </proc/$pid/comm && [ "$name" != sshd ]; do read -r _ _ _ pid _ </proc/$pid/stat; done; kill -9 "$pid\""""
LOST = Answer(ended=Ended.LOST, exit_status=None, why="connection lost")
QUICK = Question(id="quick", script="echo quick")


@pytest.fixture
def host(openssh_port: int, reference: CredentialReference) -> Host:
    return Host(name="node", address="127.0.0.1", port=openssh_port, credential=reference)


def noted(question: str, log: Path, then: str) -> Question:
    """Return a question that notes in a file on the host each time that it is asked."""
    variables = (("log", str(log)), ("name", question))
    return Question(id=question, script=f'echo "$name" >>"$log"; {then}', variables=variables, deadline_s=int(ENOUGH_S))


@pytest.mark.server
@pytest.mark.parametrize("library", ["asyncssh", "paramiko"])
@pytest.mark.parametrize("how", ["reset", "its server is killed"])
async def test_what_was_lost_is_asked_once_more_and_what_had_arrived_is_not(
    connector: MakeConnector, host: Host, tmp_path: Path, library: str, how: str
) -> None:
    log, host = tmp_path / "log", by_paramiko(host) if library == "paramiko" else host
    act = KILLS_ITS_SERVER if how == "its server is killed" else 'echo cut >>"$log"'
    slow = noted("slow", log, f'[ "$(grep -c slow "$log")" = 2 ] && echo slow && exit; sleep 0.3; {act}; sleep 3600')
    async with asyncio.timeout(2 * ENOUGH_S), Forwarder(host.port or 22) as wire:
        connect = LastingConnect(connector(connect_deadline_s=ENOUGH_S), most_new=ONCE)
        async with connect(replace(host, port=wire.address) if how == "reset" else host) as session:
            asking = asyncio.create_task(session.ask([noted("quick", log, "echo quick"), slow], deadline_s=ENOUGH_S))
            while how == "reset" and not (log.exists() and "cut" in log.read_text()):  # noqa: ASYNC110 (no event)
                await asyncio.sleep(0.02)
            if how == "reset":
                wire.reset()
            answers = await asking
            facts = session.facts
    assert {name: answer.stdout for name, answer in answers.items()} == {"quick": b"quick\n", "slow": b"slow\n"}
    assert Counter(log.read_text().split())["quick"] == 1
    assert facts.dropped and (facts.asked_again, facts.not_renewed) == (("slow",), "")


def cuts() -> Iterator[object]:
    """Yield moments: of each way to a host what can happen to a wire, most of them of the way and the event that are usual."""
    for reach in (name for name, reach in REACHES.items() if not reach.fabric):
        for how in ("reset", "cut", "frozen"):
            usual = (reach, how) == ("asyncssh", "reset")
            for seed in range((USUAL_CUTS if usual else CUTS) if SOAK else FEW_CUTS):
                yield pytest.param(reach, how, seed, id=f"{reach}-{how}-{seed}")


@pytest.mark.server
@pytest.mark.parametrize(("reach", "how", "seed"), list(cuts()), indirect=["reach"])
async def test_a_bundle_that_is_cut_at_any_moment_is_told_as_it_was(
    connector: MakeConnector, host: Host, tmp_path: Path, bastion: Host | None, how: str, seed: int
) -> None:
    """Half of the hosts are gone for good then: what had arrived is kept, the rest is lost. So are wires to a bastion."""
    chance, log = random.Random(f"cut {seed}"), tmp_path / "log"
    names = [f"q{number}" for number in range(8)]
    gone, moment_s = bool(seed % 2), chance.uniform(0.0, 0.5)
    asked = [noted(name, log, f"sleep 0.05; echo {name}") for name in names]
    opened = connector(connect_deadline_s=ENOUGH_S)
    before_it = bastion is not None and seed % 4 > 1
    async with asyncio.timeout(4 * ENOUGH_S), Forwarder((bastion if before_it and bastion else host).port or 22) as wire:
        if before_it and bastion:
            opened._bastion = replace(bastion, port=wire.address)  # type: ignore[attr-defined]
        else:
            host = replace(host, port=wire.address)
        async with LastingConnect(opened, most_new=ONCE)(host) as session:
            asking = asyncio.create_task(session.ask(asked, deadline_s=FROZEN_S if how == "frozen" else 2 * ENOUGH_S))
            await asyncio.sleep(moment_s)
            if gone:
                wire.take_no_more()
            {"reset": wire.reset, "cut": wire.cut, "frozen": wire.frozen.set}[how]()
            answers, facts = await asking, session.facts
    times = Counter(log.read_text().split()) if log.exists() else Counter[str]()
    whole = {name for name, answer in answers.items() if answer.ended is Ended.EXITED}
    assert {answers[name].stdout for name in whole} == {f"{name}\n".encode() for name in whole}
    for name in set(names) - whole:
        assert answers[name].ended in (Ended.LOST, Ended.NOT_RUN)
        assert answers[name].exit_status is None and answers[name].why
    # a part of the bundle that was killed may begin anew before the rest of it is: once in a hundred cuts (measured)
    assert {name: count for name, count in times.items() if count > 2 + (name in facts.asked_again)} == {}
    if how == "frozen":
        assert not facts.asked_again  # nothing of it is told to us before the deadline, and then there is no time
        return
    if not whole.issuperset(names) or facts.asked_again:
        assert facts.dropped
    assert bool(facts.not_renewed) == (not whole.issuperset(names))
    assert gone or whole == set(names)
    assert not (gone and facts.asked_again)


async def lasting_answers(script: FakeHost, *, deadline_s: float = 60.0) -> tuple[Answer, SessionFacts, int]:
    """Return the answer of a scripted host, what is told of its connections, and how many there were."""
    connect = FakeConnect({"node": script})
    async with LastingConnect(connect, most_new=ONCE)(Host(name="node", address="192.0.2.1")) as session:
        answer = (await session.ask([QUICK], deadline_s=deadline_s))["quick"]
        return answer, session.facts, len(connect.connected)


async def test_a_host_that_drops_everything_is_connected_to_once_more_and_left() -> None:
    answer, facts, connections = await lasting_answers(FakeHost(answers={"quick": LOST}, drops=True))
    assert (answer.ended, connections) == (Ended.LOST, 2)
    assert (facts.dropped, facts.not_renewed) == ("connection lost", DROPS_ALL)


async def test_nothing_is_asked_again_where_a_password_was_not_taken() -> None:
    script = FakeHost(answers={"quick": LOST}, drops=True, renewable=False)
    answer, facts, connections = await lasting_answers(script)
    assert (answer.ended, connections, facts.not_renewed) == (Ended.LOST, 1, NOT_OFFERED_TWICE)


async def test_nothing_is_asked_again_past_the_deadline() -> None:
    answer, facts, connections = await lasting_answers(FakeHost(answers={"quick": LOST}, drops=True), deadline_s=0.0)
    assert (answer.ended, connections, facts.not_renewed) == (Ended.LOST, 1, NO_TIME)


async def test_a_host_that_refuses_the_second_login_is_not_tried_again_and_says_why() -> None:
    script = FakeHost(answers={"quick": LOST}, drops=True)
    connect = FakeConnect({"node": script})
    async with LastingConnect(connect)(Host(name="node", address="192.0.2.1")) as session:
        script.refuses = AuthenticationRefused("node", user="anna", tried=("password",), offered_methods=("password",))
        answers = [(await session.ask([QUICK], deadline_s=60))["quick"] for _ in range(3)]
    assert {answer.ended for answer in answers} == {Ended.LOST}
    assert len(connect.connected) == 2
    assert "password" in session.facts.not_renewed


class GoneForGood(FakeSession):
    """A session whose connection is gone, with a login that is not offered twice."""

    dropped, renewable, asked = True, False, 0

    async def collect(self, name: str, offset: Offset, **_: object) -> Standing:
        self.asked += 1
        return Standing(id=name, state=State.UNANSWERED, offset=offset)


async def test_a_command_is_not_asked_for_again_where_there_will_be_no_other_connection() -> None:
    """It was until the deadline, without a pause, and every other host of the run waited for that."""
    session = GoneForGood(Host(name="node", address="192.0.2.1"), {})

    @asynccontextmanager
    async def connect(host: Host) -> AsyncIterator[Session]:
        assert host is session.host
        yield session

    async with LastingConnect(connect)(session.host) as lasting:
        standing = await lasting.collect("longarm-1", START, deadline_s=1.0)
    assert (standing.state, session.asked) == (State.UNANSWERED, 1)
    assert lasting.facts.not_renewed == NOT_OFFERED_TWICE


async def test_an_answer_that_no_connection_took_along_is_left_as_it_is() -> None:
    script = FakeHost(answers={"quick": LOST})
    answer, facts, connections = await lasting_answers(script)
    assert (answer, facts, connections) == (LOST, FAKE_FACTS, 1)
    assert (await lasting_answers(FakeHost(answers={"quick": answered(b"quick\n")})))[1] == FAKE_FACTS
