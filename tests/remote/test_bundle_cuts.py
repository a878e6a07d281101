"""Bundles that are cut at any moment, in real shells: within 5 s nothing of them is alive on the host."""

from __future__ import annotations

import contextlib
import os
import random
import select
import subprocess
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import pytest

from remote.bundle import BundleExchange
from remote.bundle.script import mark_of
from remote.question import Question
from tests.conftest import SOAK
from tests.remote.shells import SHELLS

HUNG = (
    "sleep 1000",
    "(setsid sleep 1000 &); setsid sleep 1000",
    "trap '' TERM HUP INT PIPE; while :; do sleep 1000; done",
    "sleep 1000 & sleep 1000 | cat",
    "(sleep 1000 &); exec >/dev/null 2>&1; sleep 1000",
    "(setsid sh -c 'sleep 1000; :' </dev/null >/dev/null 2>&1 &); sleep 1000",
)
FLOODS = (
    "yes longarm",
    "yes longarm >&2",
    "cat /dev/zero",
    "yes out & yes err >&2",
    "trap '' PIPE; while :; do echo longarm 2>/dev/null; done",
)
QUICK = (
    "echo quick",
    "cat /proc/loadavg",
    "df -P",
    "(exit 3)",
    "sleep 0.7; echo later",
    "setsid sleep 1000 </dev/null >/dev/null 2>&1 & echo left",
)
GONE_S = 5.0
CUTS_OF_A_SHELL = 200 if SOAK else 6


@dataclass(frozen=True, slots=True, kw_only=True)
class Cut:
    """What a seed stands for."""

    questions: tuple[Question, ...]
    after_s: float
    how: str

    @classmethod
    def of(cls, seed: int) -> Cut:
        chance = random.Random(seed)
        chosen = [*chance.choices(HUNG, k=3), *chance.choices(FLOODS, k=2), *chance.choices(QUICK, k=5)]
        chance.shuffle(chosen)
        return cls(
            questions=tuple(
                Question(
                    id=f"q{number}",
                    script=script,
                    deadline_s=chance.choice((1, 2, 30)),
                    max_bytes=chance.choice((1000, 100_000, 500_000)),
                )
                for number, script in enumerate(chosen)
            ),
            after_s=chance.uniform(0, 4),
            how=chance.choice(("stdin first", "all at once", "stdin last", "main is killed")),
        )


def alive(leader: int, mark: str) -> Iterator[str]:
    """Yield each living process of the session of `leader`, or with `mark` in its environment."""
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError, PermissionError):
            state, _, _, session = (folder / "stat").read_text().rpartition(")")[2].split()[:4]
            if state not in "ZX" and (session == str(leader) or mark.encode() in (folder / "environ").read_bytes()):
                yield f"{folder.name} {state} {(folder / 'cmdline').read_bytes()!r}"


def read_until(end: float, streams: Iterable[IO[bytes]]) -> None:
    """Read and forget what comes until `end`, on the clock of `time.monotonic`."""
    open_streams = list(streams)
    while (rest := end - time.monotonic()) > 0:
        for stream in select.select(open_streams, [], [], rest)[0]:
            if not os.read(stream.fileno(), 65536):
                open_streams.remove(stream)


def what_a_cut_leaves(shell: tuple[str, ...], path: str, seed: int) -> list[str]:
    """Return what is still alive of a bundle so long after it was cut."""
    cut = Cut.of(seed)
    exchange = BundleExchange(cut.questions)
    mark = f"LONGARM_Q={mark_of(exchange.nonce)}."
    pipe = subprocess.PIPE
    process = subprocess.Popen(
        shell, stdin=pipe, stdout=pipe, stderr=pipe, env={"PATH": path}, start_new_session=True, bufsize=0
    )
    stdin, stdout, stderr = process.stdin, process.stdout, process.stderr
    assert stdin
    assert stdout
    assert stderr
    try:
        stdin.write(exchange.script)
        read_until(time.monotonic() + cut.after_s, (stdout, stderr))
        if cut.how == "main is killed":
            process.kill()
            process.wait()
        order = (stdout, stderr, stdin) if cut.how == "stdin last" else (stdin, stdout, stderr)
        for stream in order:
            stream.close()
            if cut.how.startswith("stdin"):
                time.sleep(0.2)
        end = time.monotonic() + GONE_S
        while (left := list(alive(process.pid, mark))) and time.monotonic() < end:
            process.poll()
            time.sleep(0.05)
        return left
    finally:
        process.kill()
        process.wait()


@pytest.mark.parametrize("shell", [name for name in SHELLS if name != "bash_posix"])
def test_nothing_stays_of_a_bundle_that_is_cut_at_any_moment(shell: str, applets: Path) -> None:
    """With 3 hung, 2 flooding and 5 quick questions: most of the time several lanes stand beside each other."""
    command, path = ((str(applets / "sh"),), str(applets)) if shell == "ash" else (SHELLS[shell], os.environ["PATH"])
    with ThreadPoolExecutor(4) as pool:
        left = pool.map(lambda seed: what_a_cut_leaves(command, path, seed), range(CUTS_OF_A_SHELL))
        assert {seed: those for seed, those in enumerate(left) if those} == {}
