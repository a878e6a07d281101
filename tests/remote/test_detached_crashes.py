"""Whatever is killed at whichever command of our scripts: nothing runs twice, and nothing is claimed that did not happen."""

from __future__ import annotations

import random
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from remote.detached import State, asking
from tests.conftest import SOAK
from tests.remote.detached import NEEDS, Bench, is_honest, settled, started

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
    all_of_them = [(victim, at) for victim, (part, _) in VICTIMS.items() for at in range(1, MOST_STEPS[part])]
    return all_of_them if SOAK else sorted(random.Random(6).sample(all_of_them, 24))


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
    assert is_honest(standing, bench.effects(detached.id)), (first, standing, bench.effects())
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
    assert is_honest(standing, bench.effects(detached.id))
    names = [detached.id, after.id]
    assert await bench.session().forget(names, deadline_s=60) == frozenset(names)
    assert bench.remains() == ["lib/longarm", "lib/longarm/fence"]
