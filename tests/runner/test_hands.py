"""A playbook over real sessions: real supervisors, real ends, a run that was cut off and goes on, a line that drops."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest

from inventory.host import Host, Transport
from playbooks.interpreter import play
from playbooks.ports import CallResult, Ports
from playbooks.results import HostChange, Played, StepState
from playbooks.testing import FakeClock, FakeJournal, FakeOperator
from remote.detached import DetachedCommand, Offset, Reason, Standing, State
from remote.errors import ConnectFailed
from remote.local import LocalSession
from remote.question import Privilege
from remote.session import Session
from runner.hands import SessionHands
from tests.playbooks.playing import short
from tests.remote.detached import NEEDS, Bench

pytestmark = [pytest.mark.hosts, pytest.mark.skipif(bool(NEEDS), reason=NEEDS)]


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    made = Bench(tmp_path)
    yield made
    await made.leave()


@pytest.fixture
async def stack() -> AsyncIterator[AsyncExitStack]:
    async with AsyncExitStack() as opened:
        yield opened


def hands_on(bench: Bench, stack: AsyncExitStack, token: int = 7) -> SessionHands:
    @asynccontextmanager
    async def connect(host: Host) -> AsyncIterator[Session]:
        yield bench.session()

    return SessionHands(bench.session(), connect, stack, token)


async def played(steps: str, hands: SessionHands, journal: FakeJournal, run: str = "run-0001") -> Played:
    journal.goes_on()
    ports = Ports(run=run, hands=hands, journal=journal, operator=FakeOperator(), clock=FakeClock())
    return await play(short(steps), {}, {}, ports)


async def test_steps_run_detached_and_nothing_but_the_fence_stays(bench: Bench, stack: AsyncExitStack) -> None:
    hands, journal = hands_on(bench, stack), FakeJournal()
    steps = f"  - run: echo one >>{bench.log}; echo said\n  - run: exit 3\n    on_failure: continue\n  - run: sleep 1\n"
    outcome = await played(steps, hands, journal)
    assert [step.state for step in outcome.steps] == [StepState.CHANGED, StepState.FAILED, StepState.CHANGED]
    assert (outcome.steps[0].stdout, outcome.steps[1].exit_status) == (b"said\n", 3)
    assert outcome.change is HostChange.PARTLY
    await hands.forget([], deadline_s=60)
    assert bench.log.read_text() == "one\n"
    assert [name for name in bench.remains() if not name.endswith("longarm")] == ["lib/longarm/fence"]


async def test_what_an_earlier_process_sent_is_not_sent_again(bench: Bench, stack: AsyncExitStack) -> None:
    journal, steps = FakeJournal(), f"  - run: echo x >>{bench.log}\n  - run: echo y >>{bench.log}\n"
    await played(steps, hands_on(bench, stack), journal)
    del journal.ends["s2"]  # the process died before it could write that down
    outcome = await played(steps, hands_on(bench, stack), journal)
    assert [step.state for step in outcome.steps] == [StepState.CHANGED, StepState.CHANGED]
    assert bench.log.read_text() == "x\ny\n", "each once"


class Drops:
    """A session whose connection goes away as soon as its first command is on its way."""

    def __init__(self, session: LocalSession) -> None:
        self.session, self.dropped = session, False

    def __getattr__(self, name: str) -> object:
        return getattr(self.session, name)

    async def start(self, detached: DetachedCommand, *, wait_s: int, deadline_s: float) -> Standing:
        standing = await self.session.start(detached, wait_s=min(wait_s, 0), deadline_s=deadline_s)
        await self.session.leave()
        self.dropped = True
        return standing


async def test_a_line_that_drops_loses_nothing_and_does_nothing_twice(bench: Bench, stack: AsyncExitStack) -> None:
    hands = hands_on(bench, stack)
    first = Drops(bench.session())
    hands._session = first  # type: ignore[assignment]
    outcome = await played(f"  - run: sleep 2; echo x >>{bench.log}; echo done\n", hands, FakeJournal())
    assert outcome.steps[0].state is StepState.CHANGED and outcome.steps[0].stdout == b"done\n"
    assert first.dropped and not isinstance(hands.session, Drops)
    assert bench.log.read_text() == "x\n"


class Swallows(Drops):
    """A session whose connection goes away with its second start on it, before that reaches the host."""

    starts = 0

    async def start(self, detached: DetachedCommand, *, wait_s: int, deadline_s: float) -> Standing:
        self.starts += 1
        if self.starts == 1:
            return await self.session.start(detached, wait_s=wait_s, deadline_s=deadline_s)
        self.dropped = True
        return Standing(id=detached.id, state=State.UNANSWERED)


async def test_what_never_arrived_is_sent_again_and_what_it_was_to_forget_is_forgotten(
    bench: Bench, stack: AsyncExitStack
) -> None:
    hands, journal = hands_on(bench, stack), FakeJournal()
    hands._session = Swallows(bench.session())  # type: ignore[assignment]
    outcome = await played(f"  - run: echo x >>{bench.log}\n  - run: echo y >>{bench.log}\n", hands, journal)
    assert [step.state for step in outcome.steps] == [StepState.CHANGED, StepState.CHANGED]
    assert [intent.ident for intent in journal.intents] == ["run-0001.s1.1", "run-0001.s2.1", "run-0001.s2.2"]
    await hands.forget([], deadline_s=60)
    assert bench.log.read_text() == "x\ny\n"
    assert [name for name in bench.remains() if not name.endswith("longarm")] == ["lib/longarm/fence"]


class Denies(Drops):
    """A session on which the answer to a start is lost, and whoever asks for it is not let become root."""

    async def start(self, detached: DetachedCommand, *, wait_s: int, deadline_s: float) -> Standing:
        await self.session.start(detached, wait_s=wait_s, deadline_s=deadline_s)
        return Standing(id=detached.id, state=State.UNANSWERED)

    async def collect(self, name: str, offset: Offset, **_: object) -> Standing:
        return Standing(id=name, state=State.FAILED, reason=Reason.DENIED, why="not in the sudoers file", whole=True)


async def test_whom_nobody_can_ask_for_may_have_begun(bench: Bench, stack: AsyncExitStack) -> None:
    hands = hands_on(bench, stack)
    hands._session = Denies(bench.session())  # type: ignore[assignment]
    outcome = await played(f"  - run: echo x >>{bench.log}\n", hands, FakeJournal())
    assert (outcome.steps[0].state, outcome.change) == (StepState.UNKNOWN, HostChange.UNKNOWN)
    assert bench.log.read_text() == "x\n"


class Leaves(Drops):
    """A session whose connection goes away when all is told of its command, or in the midst of forgetting it."""

    def __init__(self, session: LocalSession, at: str) -> None:
        super().__init__(session)
        self.at = at

    async def start(self, detached: DetachedCommand, *, wait_s: int, deadline_s: float) -> Standing:
        standing = await self.session.start(detached, wait_s=wait_s, deadline_s=deadline_s)
        assert standing.whole
        self.dropped = self.at == "start"
        return standing

    async def forget(self, names: Sequence[str], *, privilege: Privilege, deadline_s: float) -> frozenset[str]:
        assert not self.dropped
        self.dropped = True
        return frozenset()


@pytest.mark.parametrize("at", ["start", "forget"])
async def test_a_line_that_drops_after_the_last_step_leaves_no_record_of_it(
    bench: Bench, stack: AsyncExitStack, at: str
) -> None:
    hands = hands_on(bench, stack)
    hands._session = Leaves(bench.session(), at)  # type: ignore[assignment]
    outcome = await played(f"  - run: echo x >>{bench.log}\n", hands, FakeJournal())
    assert outcome.steps[0].state is StepState.CHANGED
    await hands.forget([], deadline_s=60)
    assert [name for name in bench.remains() if not name.endswith("longarm")] == ["lib/longarm/fence"]


async def test_a_newer_lease_fences_an_older_run(bench: Bench, stack: AsyncExitStack) -> None:
    steps = f"  - run: echo x >>{bench.log}\n"
    assert (await played(steps, hands_on(bench, stack, token=9), FakeJournal(), "run-0009")).change is HostChange.CHANGED
    outcome = await played(steps, hands_on(bench, stack, token=8), FakeJournal(), "run-0008")
    assert outcome.steps[0].state is StepState.FENCED and outcome.change is HostChange.UNCHANGED
    assert bench.log.read_text() == "x\n"


async def test_a_host_that_is_gone_is_said_to_be(stack: AsyncExitStack) -> None:
    @asynccontextmanager
    async def refuse(host: Host) -> AsyncIterator[Session]:
        raise ConnectFailed("here", "no route")
        yield  # makes it a generator

    session = LocalSession(Host(name="here", address="127.0.0.1", transport=Transport.LOCAL))
    hands = SessionHands(session, refuse, stack, 1)
    called = await hands.fabric("s1", lambda connection: CallResult(value=connection.host), deadline_s=20)
    assert called.value == "127.0.0.1"
    first = Drops(session)
    first.dropped = True
    hands._session = first  # type: ignore[assignment]
    assert not await hands.again(deadline_s=1)
    await session.leave()
