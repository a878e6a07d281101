"""kill -9 through the command line: whatever was finished stays, the rest is resumed, the case gets its report once."""

from __future__ import annotations

import random
import re
import signal
from collections.abc import Iterator

import pytest

from tests.conftest import SOAK
from tests.console.conftest import Console
from tests.forked import Forked

HOSTS = 24
MOMENTS = 100 if SOAK else 10

pytestmark = pytest.mark.xdist_group("console_kill")  # one lab for the module


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory, forked: Forked) -> Iterator[Console]:
    console = Console(tmp_path_factory.mktemp("kill") / "home", forked)
    assert console("lab", "up", "--hosts", str(HOSTS)).code == 0
    yield console
    assert console("lab", "down").code == 0


@pytest.mark.parametrize("seed", range(MOMENTS))
def test_a_killed_run_lists_what_it_finished_and_is_resumed(lab: Console, seed: int) -> None:
    case = f"KILL-{seed}"
    lines = random.Random(seed).randint(1, HOSTS + 3)
    told = killed_after(lab, lines, "diagnose", "all", "--case", case, "--concurrency", "2")
    run = told[0].split()[1].rstrip(":")
    listed = next(row for row in lab("run", "list", "--json").json() if row["run"] == run)
    document = lab("run", "show", run, "--json").json()
    outcomes = {host["host"]: host["outcome"] for host in document["hosts"]}
    assert len(outcomes) == HOSTS == document["coverage"]["targeted"]
    for line in told[1:]:
        if match := re.match(r"  (lab-\S+)  ", line):  # what was told to the user is on disk
            assert outcomes[match[1]] not in ("interrupted", "not_started")
    if listed["state"] == "interrupted":
        resumed = lab("run", "resume", run, "--fail-on", "never", "--json")
        assert resumed.code == 4, resumed.err
        finished = {name: outcome for name, outcome in outcomes.items() if outcome not in ("interrupted", "not_started")}
        assert finished.items() <= {host["host"]: host["outcome"] for host in resumed.json()["hosts"]}.items()
    else:
        assert lab("case", "deliver").code == 0
    assert lab("run", "show", run, "--json").json()["state"] == "ended"
    attached = lab("case", "show", case, "--json").json()
    assert [(row["run"], row["state"]) for row in attached] == [(run, "sent")]


def killed_after(lab: Console, lines: int, *arguments: str) -> list[str]:
    """Return what a command told on stderr until it was killed after so many lines, or ended before that."""
    process = lab.start(*arguments)
    assert process.stdout and process.stderr
    told = [line.decode() for _, line in zip(range(lines), process.stderr, strict=False)]
    process.send_signal(signal.SIGKILL)
    process.stdout.close()
    process.stderr.close()
    process.wait(60)
    return told
