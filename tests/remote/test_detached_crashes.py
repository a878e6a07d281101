"""Whatever is killed at whichever command of our scripts: nothing runs twice, and nothing is claimed that did not happen."""

from __future__ import annotations

import asyncio
import random
import shutil
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from remote.detached import State, asking
from tests.conftest import SOAK
from tests.remote.detached import NEEDS, SHELLS, SIGNALLED, Bench, is_honest, settled, started

pytestmark = pytest.mark.skipif(bool(NEEDS), reason=NEEDS)

STEPPING = """
set -T
steps=@FILE@
step() {
	printf . >>"$steps"
	read -r taken <"$steps"
	[ "${#taken}" -ne @AT@ ] || @KILL@
}
trap 'case $BASH_COMMAND in trap*) ;; *) step ;; esac' DEBUG
"""
"""bash counts each simple command, of all its subshells together, and kills at the n-th."""
VICTIMS = {
    "connection": ("start", "kill -KILL 0"),
    "starter": ("start", 'kill -KILL "$BASHPID"'),
    "supervisor": ("supervise", "kill -KILL $$"),
    "one of the supervisor's": ("supervise", 'kill -KILL "$BASHPID"'),
    "all of the supervisor's": ("supervise", "kill -KILL 0"),
}
MOST_STEPS = {"start": 330, "supervise": 130}


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    bench = Bench(tmp_path, shell=("bash",))
    yield bench
    await bench.leave()


def stepping(file: Path, at: int, kill: str) -> str:
    return STEPPING.replace("@FILE@", str(file)).replace("@AT@", str(at)).replace("@KILL@", kill)


def cases() -> list[tuple[str, int]]:
    """Return who is killed at which command: at one of each quarter of the script, and at one more of all of it."""
    if SOAK:
        return [(victim, at) for victim, (part, _) in VICTIMS.items() for at in range(1, MOST_STEPS[part])]
    chance, chosen = random.Random(6), list[tuple[str, int]]()
    for victim, (part, _) in VICTIMS.items():
        steps = range(1, MOST_STEPS[part])
        quarters = [steps[len(steps) * number // 4 : len(steps) * (number + 1) // 4] for number in range(4)]
        ones = [chance.choice(quarter) for quarter in quarters]
        chosen += [(victim, at) for at in sorted([*ones, chance.choice([at for at in steps if at not in ones])])]
    return chosen


@pytest.mark.parametrize(("victim", "at"), cases())
async def test_killed_at_any_command_it_is_told_as_it_was(
    bench: Bench, victim: str, at: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    part, kill = VICTIMS[victim]
    prologue = stepping(tmp_path / "steps", at, kill)
    whole, supervising = asking.text("start"), asking._supervising()
    detached = bench.command("echo out; echo err >&2; exit 5")
    with monkeypatch.context() as patched:
        if part == "start":
            patched.setattr(asking, "text", lambda _: prologue + whole)
        else:
            patched.setattr(asking, "_supervising", lambda: supervising + prologue)
        first = await started(bench.session(), detached)
    standing = await settled(bench, detached.id)
    killed = (standing.exit_status or 0) > SIGNALLED
    assert is_honest(standing, bench.effects(detached.id), killed=killed), (
        first,
        standing,
        bench.effects(),
    )
    assert not first.final or (first.state, first.exit_status, first.reason) == (
        standing.state,
        standing.exit_status,
        standing.reason,
    )
    again = await started(bench.session(), detached)
    assert (again.state, again.exit_status) == (standing.state, standing.exit_status)
    after = bench.command("exit 3")
    end = time.monotonic() + 30
    while (last := await started(bench.session(), after)).state is not State.DONE:
        assert time.monotonic() < end, last
    assert last.exit_status == 3
    assert is_honest(standing, bench.effects(detached.id), killed=(standing.exit_status or 0) > SIGNALLED)
    names = [detached.id, after.id]
    assert await bench.session().forget(names, deadline_s=60) == frozenset(names)
    assert bench.remains() == ["lib/longarm", "lib/longarm/fence"]


SLOW_SETSID = """#!/bin/sh
: >"{folder}/leaving"
leader=$(cut -d " " -f 6 /proc/$$/stat)
while kill -0 "$leader"; do sleep 0.05; done
exec "{folder}/setsid" "$@"
"""


@pytest.mark.parametrize("shell", ["dash", "bash"])  # ash has its own setsid
async def test_a_connection_that_ends_while_the_supervisor_leaves_does_not_end_it(tmp_path: Path, shell: str) -> None:
    setsid = shutil.which("setsid")
    assert setsid is not None
    shutil.copy(setsid, tmp_path / "setsid")
    slow = tmp_path / "slow"
    slow.write_text(SLOW_SETSID.format(folder=tmp_path))
    slow.chmod(0o755)
    bench = Bench(tmp_path, shell=SHELLS[shell], before=f"mount --bind {slow} $(readlink -f $(command -v setsid))")
    detached, session = bench.command("exit 5"), bench.session()
    start = asyncio.create_task(started(session, detached))
    try:
        while not (tmp_path / "leaving").exists():
            await asyncio.sleep(0.01)
            assert not start.done(), await start
        await session.leave()
        assert not (await start).final
        standing = await settled(bench, detached.id)
        assert (standing.state, standing.exit_status, bench.effects(detached.id)) == (State.DONE, 5, ["begin", "end"]), standing
    finally:
        start.cancel()
        await bench.leave()
