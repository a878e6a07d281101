"""Another user races for a place of ours in a folder that all may write to (T16): no link is followed, nothing is read."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from remote.detached import State
from tests.conftest import SOAK, Measured
from tests.remote.detached import DEADLINE_S, NEEDS, SHELLS, USER, Bench, started, user_bench

pytestmark = pytest.mark.skipif(bool(NEEDS), reason=NEEDS)
STARTS = 334 if SOAK else 10
"""In each of three shells."""


@pytest.fixture(params=SHELLS)
async def bench(request: pytest.FixtureRequest) -> AsyncIterator[Bench]:
    """Return a host where somebody's first place, at home, cannot be made."""
    with user_bench(SHELLS[request.param]) as bench:
        (bench.folder / "home").chmod(0o555)
        os.chown(bench.folder / "home", 0, 0)
        yield bench
        await bench.leave()


@contextmanager
def swapping(path: Path, target: Path) -> Iterator[dict[str, object]]:
    """Have another user swap what lies at a path; say in the end what came of it."""
    words = [sys.executable, "-m", "tests.remote.swapping", str(USER + 1), str(path), str(target)]
    pipe, said = subprocess.PIPE, dict[str, object]()
    with subprocess.Popen(words, stdin=pipe, stdout=pipe, text=True, cwd=Path(__file__).parents[2]) as process:
        assert process.stdout is not None and process.stdin is not None
        assert process.stdout.readline() == "begun\n"
        try:
            yield said
        finally:
            process.stdin.close()
            said |= json.loads(process.stdout.readline())


def left_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


async def test_what_is_swapped_under_our_feet_is_neither_followed_nor_used(bench: Bench, measured: Measured) -> None:
    name, target, own = bench.folder / f"shared/longarm-{USER}", bench.folder / "target", Path(f"/tmp/longarm-{USER}")
    target.mkdir(mode=0o700)  # ours alone, as a place is: only that a link led there tells them apart
    os.chown(target, USER, USER)
    try:
        with swapping(name, target) as said:
            for _ in range(STARTS):
                standing = await started(bench.session(), bench.command("echo out"))
                assert left_in(target) == []
                assert (standing.state, standing.stdout, standing.place) == (State.DONE, b"out\n", str(own))
                assert await bench.session().forget([standing.id], deadline_s=DEADLINE_S) == {standing.id}
        assert said["came"] == [] and int(str(said["swapped"])) >= 1000
        assert left_in(own) == ["fence"]
    finally:
        shutil.rmtree(own, ignore_errors=True)
    measured(f"{STARTS} starts while another user swapped a folder and a link {said['swapped']} times: none followed")
