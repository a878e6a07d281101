"""Whatever ends at any step on a practice Windows host: nothing runs twice, and nothing is claimed that did not happen."""

from __future__ import annotations

import asyncio
import random
import re
from pathlib import Path

import pytest

import remote.windows
from inventory.secret import Secret
from remote.command import Command
from remote.detached import DetachedCommand, State
from remote.lab.windows.works import Ran
from remote.windows import detached as asking
from tests.conftest import SOAK
from tests.remote.detached import is_honest
from tests.remote_windows.detached import FENCE, Bench, bench_beside

WHO = ("start", "supervise", "command", "reboot", "collect")
"""Whose processes are killed, each at its n-th step; `reboot`: all of them, at the n-th step of any."""
MOST_STEPS = {"start": 40, "supervise": 30, "command": 8, "reboot": 60, "collect": 12}
GRACE_S = 1


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asking, "GRACE_S", GRACE_S)


class Mishap:
    """Counts steps, and ends something at the n-th."""

    def __init__(self, bench: Bench, who: str, at: int) -> None:
        self.bench, self.who, self.at, self.steps = bench, who, at, 0
        self.names: list[str] = []

    def __call__(self, process: str, step: str) -> bool:
        if step.startswith("waits") or step == "the command runs" or self.who not in (process, "reboot"):
            return False
        self.steps += 1
        self.names.append(f"{process}: {step}")
        if self.steps != self.at:
            return False
        if self.who == "reboot":
            self.bench.machine.reboot()
        return self.who != "reboot"


def cases() -> list[tuple[str, int, bool]]:
    every = [(who, at, given) for who in WHO for at in range(1, MOST_STEPS[who]) for given in (False, True)]
    return every if SOAK else sorted(random.Random(32).sample(every, 60))


def commanded(bench: Bench, *, given: bool) -> DetachedCommand:
    """Return a command, with something that nobody may see where it is given something."""
    detached = bench.command(Ran(stdout="out\n", stderr="err\n", exit_status=5, seconds=0.05))
    variables = {"secret": Secret("canary")} if given else {}
    command = Command(script=detached.command.script, variables=variables, deadline_s=30)
    return DetachedCommand(id=detached.id, token=1, command=command)


@pytest.mark.parametrize(("who", "at", "given"), cases())
async def test_ended_at_any_step_it_is_told_as_it_was(who: str, at: int, given: bool) -> None:
    bench = bench_beside()
    before = bench.command()
    await bench.started(before)  # so that there is something to forget on the way
    mishap = bench.machine.mishap = Mishap(bench, who, at)
    detached = DetachedCommand(id=(one := commanded(bench, given=given)).id, token=2, command=one.command, forget=(before.id,))
    first = await bench.started(detached)
    second = await bench.collected(detached.id, wait_s=1)
    bench.machine.mishap = lambda _process, _step: False
    standing = await bench.settled(detached.id)
    told = (standing.state, standing.exit_status, standing.reason)
    killed = standing.exit_status == 1
    assert is_honest(standing, bench.effects(detached.id), killed=killed), (
        first,
        standing,
        bench.machine.effects,
        mishap.names,
    )
    for heard in (first, second):
        assert not heard.final or (heard.state, heard.exit_status, heard.reason) == told, (heard, standing)
    again = await bench.started(detached)
    assert (again.state, again.exit_status, again.reason) == told
    assert len([line for line in bench.machine.effects if line == f"begin {detached.id}"]) <= 1
    after = DetachedCommand(id=(last := bench.command(Ran(exit_status=3))).id, token=2, command=last.command)
    async with asyncio.timeout(30):
        while (end := await bench.started(after)).state is not State.DONE:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    assert end.exit_status == 3
    names = [detached.id, after.id, before.id]
    assert await bench.forgotten(*names) == frozenset(names)
    assert bench.machine.remains() == sorted(FENCE)
    assert not any(b"canary" in data for _, data in bench.machine.written)


async def test_all_steps_are_among_those_at_which_something_is_ended() -> None:
    for who in WHO:
        bench = bench_beside()
        mishap = bench.machine.mishap = Mishap(bench, who, 0)
        detached = commanded(bench, given=True)
        assert (await bench.started(detached)).state is State.DONE
        await bench.collected(detached.id)
        await bench.collected("not-known-here")
        assert 3 < mishap.steps < MOST_STEPS[who], (who, mishap.names)


async def test_drops_at_random_moments_lose_nothing() -> None:
    """A connection that drops ends the process that it started, wherever that is."""
    moments = random.Random(6)
    bench = bench_beside()
    for _ in range(300 if SOAK else 40):
        detached = commanded(bench, given=False)
        async with bench.open() as session:
            task = asyncio.create_task(session.start(detached, wait_s=5, deadline_s=30))
            await asyncio.sleep(moments.random() * 0.08)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        standing = await bench.settled(detached.id)
        ran = standing.state is State.DONE
        assert ran or standing.ran is False, standing
        assert not ran or (standing.exit_status, standing.stdout, standing.stderr) == (5, b"out\n", b"err\n")
        assert bench.effects(detached.id) == (["begin", "end"] if ran else [])
        await bench.forgotten(detached.id)
    assert bench.machine.remains() == sorted(FENCE)


def test_the_files_of_the_practice_host_are_those_of_our_scripts() -> None:
    folder = Path(remote.windows.__file__).parent
    scripts = "".join(path.read_text() for path in folder.glob("*.ps1"))
    played = "".join(
        (Path(__file__).parent.parent.parent / "remote/lab/windows" / name).read_text() for name in ("places.py", "detached.py")
    )
    names = set(re.findall(r'\\\\([a-z]+(?:\.[a-z]+)?)["}]', played)) - {"out", "err"}  # by a variable there
    assert {"fence", "begun", "live", "rc", "rc.new", "lock", "task", "void"} <= names
    assert [name for name in sorted(names) if f"\\{name}" not in scripts] == []
