"""What main asks by itself, without filters and a clock: what it costs the host less, and what a nudge makes of it."""

from __future__ import annotations

import asyncio
import os
import random
import time
from collections.abc import Mapping
from pathlib import Path

import pytest

from remote.answer import Answer, Ended
from remote.bundle.exchange import AGAIN_S, NUDGE, NUDGE_S, SLEEPER_S, BundleExchange
from remote.bundle.frames import FORMAT, Mark, Stream
from remote.bundle.wire import drive
from remote.local import LocalSession, _PipeWire
from remote.question import Privilege, Question
from tests.conftest import SOAK
from tests.remote.shells import FIRST, LAST, ask, calm, gone, marking

NONCE = "5" * 32
WILD = Question(id="wild", script="sh -c 'echo wild'")


class Moments:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def begun(question: Question, *, part: int = 1, index: int = 0) -> tuple[BundleExchange, Moments]:
    """Return an exchange whose host has begun to ask a question."""
    clock = Moments()
    exchange = BundleExchange((question, LAST), nonce=NONCE, clock=clock)
    for mark in (Mark(part, 1, "open", None, (FORMAT, "user")), Mark(part, 2, "begin", index, ("17.25", "user"))):
        exchange.feed_stdout(mark.encode(NONCE))
        exchange.feed_stderr(mark.encode(NONCE))
    return exchange, clock


def test_a_host_is_nudged_once_when_its_question_takes_long() -> None:
    exchange, clock = begun(calm("q", "uname"))
    assert exchange.due == clock.now + NUDGE_S
    assert exchange.nudge(clock.now + NUDGE_S - 0.1) == b""
    assert exchange.nudge(clock.now + NUDGE_S) == NUDGE
    assert exchange.nudge(clock.now + 3 * NUDGE_S) == b""
    assert exchange.due > clock.now + 3 * NUDGE_S


def test_a_short_deadline_is_when_it_is_nudged() -> None:
    exchange, clock = begun(Question(id="q", script="uname", deadline_s=1))
    assert exchange.nudge(clock.now + 1) == NUDGE


def test_it_is_nudged_too_where_the_user_asks_what_root_was_denied() -> None:
    exchange, clock = begun(Question(id="q", script="uname", privilege=Privilege.PREFER_ROOT), part=3)
    assert exchange.nudge(clock.now + NUDGE_S) == NUDGE


def test_one_that_sleeps_is_given_longer() -> None:
    exchange, clock = begun(Question(id="q", script="sleep 1", calm=True, sleeps=True))
    assert exchange.nudge(clock.now + NUDGE_S) == b""
    assert exchange.nudge(clock.now + SLEEPER_S) == NUDGE


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_a_host_is_nudged_at_once_when_its_question_floods(stream: str) -> None:
    exchange, clock = begun(calm("q", "uname", max_bytes=1000))
    feed = exchange.feed_stdout if stream == "stdout" else exchange.feed_stderr
    feed(b"x" * 2**20)
    assert exchange.nudge(clock.now) == b"", "what a filter on the host would let through"
    feed(b"x" * 2**17)
    assert exchange.nudge(clock.now) == NUDGE
    feed(b"x" * 2**20)
    assert exchange.nudge(clock.now) == b""


def test_a_nudge_that_was_missed_is_followed_by_another() -> None:
    exchange, clock = begun(calm("q", "uname", max_bytes=1000))
    assert exchange.nudge(clock.now + NUDGE_S) == NUDGE
    assert exchange.nudge(clock.now + NUDGE_S + AGAIN_S) == NUDGE
    flooded, clock = begun(calm("q", "uname", max_bytes=1000))
    flooded.feed_stdout(b"x" * (2**20 + 2**17))
    assert flooded.nudge(clock.now) == NUDGE
    flooded.feed_stdout(b"x" * 2**22)
    assert (flooded.nudge(clock.now), flooded.nudge(clock.now), flooded.overfull) == (NUDGE, b"", False)


class Starved:
    """A wire whose shell is nudged and gets no turn for 0.2 s, while what it started writes as fast as it is read."""

    why = ""

    def __init__(self, exchange: BundleExchange) -> None:
        marks = (Mark(1, 1, "open", None, (FORMAT, "user")), Mark(1, 2, "begin", 0, ("17.25", "user")))
        self._pieces: list[tuple[Stream, bytes]] = [
            (stream, mark.encode(exchange.nonce)) for mark in marks for stream in ("stdout", "stderr")
        ]
        self._until = float("inf")

    def write(self, data: bytes) -> None:
        if data == NUDGE:
            self._until = min(self._until, time.monotonic() + 0.2)

    async def read(self) -> tuple[Stream, bytes] | None:
        if self._pieces:
            return self._pieces.pop(0)
        return ("stdout", bytes(2**16)) if time.monotonic() < self._until else None

    def close(self) -> None:
        pass


async def test_a_flood_is_read_no_faster_than_the_host_can_be_told_to_end_it() -> None:
    """Read as fast as it comes it was more than all caps together, and the questions after it were not asked."""
    exchange = BundleExchange([calm("q", "cat /dev/zero"), LAST])
    answers = await drive(exchange, Starved(exchange), deadline_s=30)
    assert (exchange.overfull, answers[LAST.id].why) == (False, "the host closed the streams early")


def test_what_is_within_its_cap_is_read_as_fast_as_it_comes() -> None:
    exchange, _ = begun(calm("q", "cat big", max_bytes=10 * 2**20))
    for _ in range(160):
        exchange.feed_stdout(bytes(2**16))
        assert exchange.breath_s() == 0


@pytest.mark.parametrize(
    ("question", "part"),
    [
        (WILD, 1),
        (calm("q", "uname"), 5),
        (Question(id="q", script="uname", privilege=Privilege.ROOT), 2),
    ],
    ids=["with a filter of its own", "asked again", "of another user"],
)
def test_nobody_is_nudged_who_watches_by_himself(question: Question, part: int) -> None:
    exchange, clock = begun(question, part=part)
    exchange.feed_stdout(b"x" * 2**22)
    assert exchange.nudge(clock.now + 60) == b""


def whole(answer: Answer, said: bytes, err: bytes = b"") -> None:
    assert (answer.ended, answer.exit_status, answer.stdout, answer.stderr) == (Ended.EXITED, 0, said, err)


FAMILY = Question(
    id="family",
    calm=True,
    script='for one in $(cat /proc/$$/task/$$/children); do tr "\\0" " " <"/proc/$one/cmdline"; echo; done',
)


async def test_main_has_no_filters_beside_a_light_question(session: LocalSession) -> None:
    """Its children are the guard and the one that asks; else the guard, a filter, and the one that all the rest is below."""
    answers = await ask(session, FIRST, FAMILY)
    assert len(answers["family"].stdout.splitlines()) == 2


async def test_a_slow_one_is_asked_again_with_what_its_deadline_has_left(session: LocalSession, tmp_path: Path) -> None:
    log, mark = tmp_path / "log", f"brisk-{os.getpid()}-{tmp_path.name}"
    script = marking(mark, f"echo asked >>{log}; echo said; sleep 60; echo never")
    slow = Question(id="slow", script=script, calm=True, deadline_s=4)
    answers = await ask(session, FIRST, slow, calm("quick", "echo quick"), WILD, LAST)
    whole(answers["first"], b"first\n")
    assert (answers["slow"].ended, answers["slow"].exit_status) == (Ended.TIMED_OUT, None)
    assert answers["slow"].stdout == b"said\n"
    whole(answers["quick"], b"quick\n")
    whole(answers["wild"], b"wild\n")
    whole(answers["last"], b"last\n", b"to stderr\n")
    assert log.read_text() == "asked\n" * 2
    assert gone(mark)


async def test_a_slow_one_that_ends_after_all_exits(session: LocalSession, tmp_path: Path) -> None:
    made = tmp_path / "made"
    script = f"[ -e {made} ] || {{ : >{made}; sleep 60; }}; echo here"
    answers = await ask(session, Question(id="slow", script=script, calm=True, deadline_s=30), LAST)
    whole(answers["slow"], b"here\n")
    whole(answers["last"], b"last\n", b"to stderr\n")


@pytest.mark.parametrize("stream", [1, 2])
async def test_a_flood_loses_its_own_rest(session: LocalSession, stream: int) -> None:
    flood = Question(id="flood", script=f"cat /dev/zero >&{stream}", calm=True, max_bytes=5000, deadline_s=30)
    answers = await ask(session, FIRST, flood, calm("quick", "echo quick"), LAST)
    whole(answers["first"], b"first\n")
    assert answers["flood"].ended is Ended.CAPPED
    assert len(answers["flood"].stdout if stream == 1 else answers["flood"].stderr) == (5000 if stream == 1 else 65536)
    whole(answers["quick"], b"quick\n")
    whole(answers["last"], b"last\n", b"to stderr\n")


async def test_floods_one_after_another_lose_their_own_rest_each(session: LocalSession) -> None:
    floods = [Question(id=f"f{at}", script="cat /dev/zero", calm=True, max_bytes=5000, deadline_s=30) for at in range(4)]
    answers = await ask(session, *floods, LAST)
    assert [answers[flood.id].ended for flood in floods] == [Ended.CAPPED] * 4
    whole(answers["last"], b"last\n", b"to stderr\n")


@pytest.mark.parametrize("seed", range(200 if SOAK else 4))
async def test_nudges_at_any_moment_cost_no_answer(session: LocalSession, seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Late ones meet another question, or none, or what is asked with filters."""
    chance = random.Random(seed)
    wires: list[_PipeWire] = []
    opened = _PipeWire.open

    async def open_one(command: tuple[str, ...]) -> _PipeWire:
        wires.append(await opened(command))
        return wires[-1]

    monkeypatch.setattr(_PipeWire, "open", open_one)

    async def nudging() -> None:
        while True:
            await asyncio.sleep(chance.uniform(0.0, 0.05))
            for wire in wires:
                wire.write(NUDGE)

    questions = [Question(id=f"q{number}", script=f"echo {number}; echo {number} >&2", calm=True) for number in range(30)]
    questions.insert(20, WILD)
    task = asyncio.create_task(nudging())
    try:
        answers: Mapping[str, Answer] = await ask(session, *questions, LAST)
    finally:
        task.cancel()
    for number in range(30):
        whole(answers[f"q{number}"], f"{number}\n".encode(), f"{number}\n".encode())
    whole(answers["wild"], b"wild\n")
    whole(answers["last"], b"last\n", b"to stderr\n")
