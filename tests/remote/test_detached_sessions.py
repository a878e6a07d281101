"""Detached commands over real connections, by both libraries and as other users: drops in the midst of a step lose nothing."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

import pytest

from inventory.host import CredentialReference, Host
from remote.command import Command
from remote.detached import START, DetachedCommand, Reason, Standing, State
from remote.detached.following import Following
from remote.lasting import LastingConnect
from remote.question import Privilege
from remote.session import Session
from remote.testing import FakeConnect, FakeHost, Fault
from tests.conftest import SOAK, Measured
from tests.remote.becoming import PASSWORD, WAYS, session_on
from tests.remote.detached import DEADLINE_S, NEEDS, Bench
from tests.remote.servers import Keys, MakeConnector, by_paramiko, serving, sshd_command
from tests.remote.test_sudo import Given

pytestmark = pytest.mark.skipif(bool(NEEDS), reason=NEEDS)
DROPS = 200 if SOAK else 25
"""By each library."""
STEP = 'i=0; while [ $i -lt 20 ]; do echo "line $i"; i=$((i + 1)); sleep 0.01; done; exit 7'
OUTPUT = b"".join(b"line %d\n" % number for number in range(20))
Open = Callable[[], AbstractAsyncContextManager[Session]]


class Exchange(Protocol):
    """What is asked over a session about a command: its start, or how it stands."""

    def __call__(self, session: Session, *, deadline_s: float) -> Coroutine[Any, Any, Standing]: ...


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


@pytest.fixture
def sshd_port(bench: Bench, tmp_path: Path, host_key: Keys, user_key: Keys) -> Iterator[int]:
    """Start an sshd whose host has its places among the bench's folders."""
    (folder := tmp_path / "sshd").mkdir()
    port, command = sshd_command(folder, host_key, user_key, MaxStartups="600")
    script = f'mount --make-rprivate / && mount --bind {bench.folder}/lib /var/lib && exec "$@" -e'
    with serving(["unshare", "-m", "sh", "-c", script, "sh", *command], b"Server listening", folder / "log"):
        yield port


@pytest.fixture(params=["asyncssh", "paramiko"])
def connection(
    request: pytest.FixtureRequest, sshd_port: int, reference: CredentialReference, connector: MakeConnector
) -> Open:
    """Return what opens a session to the sshd."""
    host = Host(name="node", address="127.0.0.1", port=sshd_port, credential=reference)
    made = connector()
    return lambda: made(by_paramiko(host) if request.param == "paramiko" else host)


async def test_a_step_over_ssh_is_told_by_its_start_and_by_whoever_asks_later(bench: Bench, connection: Open) -> None:
    detached = bench.command("echo out; echo err >&2; exit 4")
    async with connection() as session:
        standing = await session.start(detached, wait_s=20, deadline_s=DEADLINE_S)
    assert (standing.state, standing.exit_status, standing.stdout, standing.stderr) == (State.DONE, 4, b"out\n", b"err\n")
    async with connection() as session:
        assert await session.collect(detached.id, START, deadline_s=DEADLINE_S) == standing
        assert await session.forget([detached.id], deadline_s=DEADLINE_S) == {detached.id}
    assert bench.remains() == ["lib/longarm", "lib/longarm/fence"]


async def test_connections_that_drop_in_the_midst_of_steps_lose_nothing(
    bench: Bench, connection: Open, measured: Measured
) -> None:
    """Each step loses its connection at a random moment, and some of those that ask for it afterwards lose theirs too."""
    chance, drops, done, begun = random.Random(16), 0, 0, time.monotonic()
    await dropping(connection, Following(bench.command(STEP), time.time()).start, DEADLINE_S)
    whole_s = time.monotonic() - begun
    while drops < DROPS or done < DROPS // 5:
        assert len(bench.names) <= DROPS * 8, f"{drops} dropped, {done} done: most moments are before the step or after it"
        detached = bench.command(STEP)
        following = Following(detached, time.time())
        dropped, standing = await dropping(connection, following.start, chance.uniform(0.0, whole_s))
        drops += dropped
        while not (standing.final and standing.whole):
            after_s = chance.uniform(0.0, whole_s) if chance.random() < 0.5 else DEADLINE_S
            dropped, standing = await dropping(connection, following.follow, after_s)
            drops += dropped
        if standing.reason in (Reason.NOT_STARTED, Reason.NOT_BEGUN):
            assert bench.effects(detached.id) == []
            whole_s *= 1.1  # a machine that is busier now than at the first step gets to it later
            continue
        assert (standing.state, standing.exit_status, standing.stdout) == (State.DONE, 7, OUTPUT)
        assert bench.effects(detached.id) == ["begin", "end"]
        done += 1
    async with connection() as session:
        assert await session.forget(bench.names, deadline_s=DEADLINE_S) == {*bench.names}
    assert bench.remains() == ["lib/longarm", "lib/longarm/fence"]
    assert (bench.folder / "lib/longarm/fence").stat().st_size <= 4096
    measured(f"{drops} connections dropped in mid-step, {done} of {len(bench.names)} steps done once, output whole, none twice")


async def dropping(connection: Open, exchange: Exchange, after_s: float) -> tuple[bool, Standing]:
    """Return how a command stands after an exchange over a connection of its own that drops then, and whether it did."""
    async with connection() as session:
        task = asyncio.create_task(exchange(session, deadline_s=DEADLINE_S))
        done, _ = await asyncio.wait((task,), timeout=after_s)
        if not done:
            drop(session)
        return not done, await task


def drop(session: Session) -> None:
    """Let the connection go as a line does that is cut: without a word."""
    line = getattr(session, "_line", None)
    if line is not None:
        line.abort()
    else:
        session._connection.abort()  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", ["sudo", "doas", "su"])
async def test_a_step_as_root_is_started_and_collected_by_whatever_becomes_root(
    name: str, bench: Bench, everybodys: Path
) -> None:
    mount = f"mount --bind {bench.folder}/lib /var/lib"
    sessions = [session_on(everybodys, WAYS[name], Given(PASSWORD), before=mount) for _ in range(3)]
    command = Command(
        script='id -u; echo "$secret" | wc -c; sleep 3; exit 2', variables={"secret": PASSWORD}, privilege=Privilege.ROOT
    )
    detached = DetachedCommand(id=f"as-root-by-{name}", token=1, command=command)
    try:
        early = await sessions[0].start(detached, wait_s=1, deadline_s=DEADLINE_S)
        assert early.state in (State.RUNNING, State.DONE)
        await sessions[0].leave()
        late = await sessions[1].collect(detached.id, START, privilege=Privilege.ROOT, wait_s=20, deadline_s=DEADLINE_S)
        assert (late.state, late.exit_status, late.stdout.split()[0], late.as_root) == (State.DONE, 2, b"0", True)
        gone = await sessions[2].forget([detached.id], privilege=Privilege.ROOT, deadline_s=DEADLINE_S)
        assert gone == {detached.id}
    finally:
        await asyncio.gather(*(session.leave() for session in sessions))
    assert bench.remains() == ["lib/longarm", "lib/longarm/fence"]


async def test_where_root_cannot_be_had_nothing_runs(bench: Bench, everybodys: Path) -> None:
    session = session_on(everybodys, WAYS["sudo"], None, before=f"mount --bind {bench.folder}/lib /var/lib")
    command = Command(script="echo no", privilege=Privilege.ROOT)
    try:
        standing = await session.start(
            DetachedCommand(id="not-as-root", token=1, command=command), wait_s=9, deadline_s=DEADLINE_S
        )
    finally:
        await session.leave()
    assert (standing.state, standing.reason, standing.ran) == (State.FAILED, Reason.DENIED, False)
    assert "password" in standing.why and bench.remains() == []


# --- the fake, which playbooks are tested with -----------------------------------------------------------------------

SCRIPT = "change"
FAKE = DetachedCommand(id="fake-command", token=3, command=Command(script=SCRIPT))


@pytest.fixture
async def fake_host() -> FakeHost:
    from tests.remote.test_session_contract import ended

    return FakeHost(results={SCRIPT: ended(4, b"out")})


@pytest.fixture
async def fake(fake_host: FakeHost) -> AsyncIterator[Session]:
    async with LastingConnect(FakeConnect({"h": fake_host}))(Host(name="h", address="192.0.2.1")) as session:
        yield session


async def test_the_fake_runs_an_id_once_and_fences(fake: Session, fake_host: FakeHost) -> None:
    standing = await fake.start(FAKE, wait_s=1, deadline_s=1)
    assert (standing.state, standing.exit_status, standing.stdout, standing.whole) == (State.DONE, 4, b"out", True)
    assert await fake.start(FAKE, wait_s=1, deadline_s=1) == standing
    older = replace(FAKE, id="older-command", token=2)
    assert (await fake.start(older, wait_s=1, deadline_s=1)).state is State.FENCED
    assert len(fake_host.ran) == 1
    assert await fake.forget([FAKE.id], deadline_s=1) == {FAKE.id}
    assert (await fake.collect(FAKE.id, START, deadline_s=1)).exit_status == 4


@pytest.mark.parametrize(
    ("fault", "state", "reason", "ran"),
    [
        (Fault.NEVER_ARRIVED, State.FAILED, Reason.NOT_STARTED, 0),
        (Fault.ANSWER_LOST, State.DONE, None, 1),
        (Fault.GOES_ON, State.DONE, None, 1),
        (Fault.REBOOT, State.INTERRUPTED, Reason.REBOOTED, 1),
        (Fault.KILLED, State.INTERRUPTED, Reason.KILLED, 1),
        (Fault.FORGOTTEN, State.UNKNOWN, Reason.GONE, 1),
        (Fault.NO_PLACE, State.FAILED, Reason.NO_PLACE, 0),
    ],
)
async def test_the_fake_has_faults(
    fake: Session, fake_host: FakeHost, fault: Fault, state: State, reason: Reason | None, ran: int
) -> None:
    fake_host.faults[SCRIPT] = [fault]
    standing = await Following(FAKE, time.time()).start(fake, deadline_s=30)
    assert (standing.state, standing.reason, len(fake_host.ran)) == (state, reason, ran)


@pytest.mark.parametrize(
    ("set_s", "passed_s"),
    [pytest.param(-3600, 120, id="set-back"), pytest.param(3600, 0, id="asleep"), pytest.param(120, 120, id="as-it-was")],
)
async def test_no_clock_that_is_set_makes_a_command_younger_than_it_is(
    fake: Session, monkeypatch: pytest.MonkeyPatch, set_s: int, passed_s: int
) -> None:
    wall, steady, ages = [time.time()], [time.monotonic()], list[float]()

    class Clocks:
        time, monotonic = staticmethod(lambda: wall[0]), staticmethod(lambda: steady[0])

    async def collect(name: str, offset: object, *, sent_s_ago: float, **_: object) -> Standing:
        ages.append(sent_s_ago)
        return Standing(id=name, state=State.UNKNOWN, reason=Reason.NOT_KNOWN, whole=True)

    monkeypatch.setattr("remote.detached.following.time", Clocks)
    monkeypatch.setattr(fake, "collect", collect)
    following = Following(FAKE, wall[0] - 60)
    wall[0], steady[0] = wall[0] + set_s, steady[0] + passed_s
    await following.follow(fake, deadline_s=5)
    assert ages == pytest.approx([60 + max(set_s, passed_s)], abs=0.01)


async def test_a_fake_that_is_asked_what_was_not_scripted_refuses(fake: Session) -> None:
    from remote.testing import UnscriptedQuestion

    with pytest.raises(UnscriptedQuestion):
        await fake.start(replace(FAKE, command=Command(script="else")), wait_s=1, deadline_s=1)
