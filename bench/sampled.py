"""`python -m bench.sampled`: what the second sample of a counter costs a bundle in wall time.

All questions of the standard playbook by this machine's own shells, with both samples and with neither, in turns: as they
are, and beside one that takes some seconds. Medians; prints how much longer the bundle with both is.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
import sys
import time
from collections.abc import Sequence

from bench.hung import HERE, SHELLS
from bench.questions import standard_questions
from remote.local import LocalSession
from remote.question import Question

SLOWEST_S = (0, 1, 3)


async def wall(shell: tuple[str, ...], questions: Sequence[Question]) -> float:
    """Return the seconds in which all questions are answered."""
    session = LocalSession(HERE, shell=shell)
    start = time.monotonic()
    answers = await session.ask(questions, deadline_s=60)
    took = time.monotonic() - start
    await session.leave()
    assert all(answer.exit_status is not None for answer in answers.values()), "a question was not answered"
    return took


async def show(turns: int) -> None:
    """Measure and print."""
    both = standard_questions()
    pairs = {question.id.removesuffix(".first") for question in both if question.id.endswith(".first")}
    neither = [question for question in both if question.id.removesuffix(".first") not in pairs]
    samples = len(both) - len(neither)
    print(f"{len(neither)} questions, and {samples} for samples of {', '.join(sorted(pairs))}; medians of {turns}")
    print(f"{'shell':12}{'slowest s':>10}{'without s':>11}{'with both s':>13}{'more s':>8}")
    for name, shell in SHELLS.items():
        for slowest in SLOWEST_S:
            slow = [Question(id="slow", script=f"sleep {slowest}", deadline_s=20)] if slowest else []
            took: tuple[list[float], list[float]] = ([], [])
            for _ in range(turns):
                for walls, questions in zip(took, (neither, both), strict=True):
                    walls.append(await wall(shell, [*questions[:-1], *slow, questions[-1]]))
            without, sampled = map(statistics.median, took)
            print(f"{name:12}{slowest or '-':>10}{without:11.2f}{sampled:13.2f}{sampled - without:8.2f}", flush=True)


def main() -> None:
    """Measure and print, as root."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--turns", type=int, default=9)
    asked = parser.parse_args()
    if os.geteuid() != 0:
        sys.exit("bench: needs root, as the questions that look at everything do")
    asyncio.run(show(asked.turns))


if __name__ == "__main__":
    main()
