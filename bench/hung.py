"""`python -m bench.hung`: what questions that hang cost the others on their host (decision 10).

Some questions that never end, asked before the twelve of the benchmark, by this machine's own shells: the wall of the
whole bundle, beside what it takes to wait for one after another (their deadlines, and the tick that notices each).
"""

from __future__ import annotations

import asyncio
import time

from bench.run import PROBES
from diagnostics.probe_files import load_probes
from inventory.host import Host, Transport
from remote.answer import Ended
from remote.local import LocalSession
from remote.question import Question

HERE = Host(name="here", address="127.0.0.1", transport=Transport.LOCAL)
SHELLS = {"dash": ("dash",), "bash": ("bash",), "busybox ash": ("busybox", "sh")}
DEADLINE_S, COUNTS = 10, (0, 1, 2, 4, 6)


async def wall(shell: tuple[str, ...], count: int, others: list[Question]) -> float:
    """Return seconds for `count` questions that hang and the others; each other one must have been answered."""
    hung = [Question(id=f"hung{number}", script="sleep 1000", deadline_s=DEADLINE_S) for number in range(count)]
    session = LocalSession(HERE, shell=shell)
    start = time.monotonic()
    answers = await session.ask([*hung, *others], deadline_s=DEADLINE_S * (count + 10))
    took = time.monotonic() - start
    await session.leave()
    assert all(answers[question.id].ended is Ended.TIMED_OUT for question in hung)
    assert all(answers[question.id].ended is Ended.EXITED for question in others)
    return took


async def show() -> None:
    """Measure and print."""
    others = [probe.question for probe in load_probes(PROBES)]
    print(f"{len(others)} questions, and some before them that hang, with {DEADLINE_S} s each")
    print(f"{'shell':12}{'hung':>6}{'wall s':>8}{'in turn s':>11}{'ratio':>7}")
    for name, shell in SHELLS.items():
        alone = 0.0
        for count in COUNTS:
            took = await wall(shell, count, others)
            alone = alone or took
            in_turn = alone + count * (DEADLINE_S + 1)
            print(f"{name:12}{count:6}{took:8.2f}{in_turn:11.2f}{took / in_turn:7.2f}", flush=True)


if __name__ == "__main__":
    asyncio.run(show())
