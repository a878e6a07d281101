"""Questions beside a slow one, in real shells: they do not wait for it, and no frame gets into another.

A question here is slow until another has left a file: asked one after another they would all be late.
"""

from __future__ import annotations

import asyncio
import os
import random
import re
import time
from collections.abc import Mapping
from pathlib import Path

import pytest

from remote.answer import Answer, Ended
from remote.local import LocalSession
from remote.question import Question
from tests.remote.shells import FIRST, LAST, ask, ask_between, calm, marking


def waiting(name: str, file: Path, then: str = "echo met", deadline_s: int = 60) -> Question:
    script = f"echo before; while [ ! -e {file} ]; do sleep 0.1; done; {then}"
    return Question(id=name, script=script, deadline_s=deadline_s, max_bytes=2_000_000)


def whole(answer: Answer, said: bytes) -> None:
    assert (answer.ended, answer.exit_status, answer.stdout, answer.stderr) == (Ended.EXITED, 0, said, b"")


async def test_what_follows_a_slow_question_does_not_wait_for_it(session: LocalSession, tmp_path: Path) -> None:
    file = tmp_path / "made"
    answers = await ask(
        session, waiting("slow", file), Question(id="quick", script="echo quick"), Question(id="maker", script=f": >{file}")
    )
    whole(answers["slow"], b"before\nmet\n")
    whole(answers["quick"], b"quick\n")
    assert answers["slow"].duration_ms >= 500
    assert answers["maker"].duration_ms < answers["slow"].duration_ms


async def test_who_reads_late_is_told_every_byte_of_the_right_question(session: LocalSession, tmp_path: Path) -> None:
    """The filter is held with the rest of one question and the beginning of the next: 61,440 bytes of 100,000 had exited."""
    begun, busy, over = (tmp_path / name for name in ("begun", "busy", "over"))
    asking = asyncio.create_task(
        ask(
            session,
            Question(id="much", script=f": >{begun}; until [ -e {busy} ]; do :; done; head -c 100000 /dev/zero | tr '\\0' x"),
            Question(id="slow", script=f"sleep 1.7; : >{over}; echo slow"),
            Question(id="quick", script="echo quick"),
            LAST,
        )
    )
    while not begun.exists():  # noqa: ASYNC110 (the host is this machine, and its file is no event)
        await asyncio.sleep(0.01)
    busy.touch()
    await_here(over)
    time.sleep(1)  # noqa: ASYNC251  # the others are asked and answered
    answers = await asking
    whole(answers["much"], b"x" * 100_000)
    whole(answers["slow"], b"slow\n")
    whole(answers["quick"], b"quick\n")
    assert (answers["last"].stdout, answers["last"].stderr) == (b"last\n", b"to stderr\n")


def await_here(file: Path) -> None:
    """Return once there is a file; all of us are busy with that, and read nothing."""
    while not file.exists():
        time.sleep(0.05)


async def test_several_slow_questions_wait_beside_each_other(session: LocalSession, tmp_path: Path) -> None:
    files = [tmp_path / f"made{number}" for number in range(4)]
    makers = [Question(id=f"maker{number}", script=f": >{file}; echo {number}") for number, file in enumerate(files)]
    answers = await ask(session, *(waiting(f"slow{number}", file) for number, file in enumerate(files)), *makers)
    for number in range(4):
        whole(answers[f"slow{number}"], b"before\nmet\n")
        whole(answers[f"maker{number}"], f"{number}\n".encode())


async def test_no_frame_gets_into_another(session: LocalSession, tmp_path: Path) -> None:
    """All write far more than a pipe takes as one piece (4 KiB), on both streams, while the others do too."""
    chance = random.Random(3)
    said: dict[str, bytes] = {}
    for name in ("early", "late", "one", "two", "three"):
        said[name] = chance.randbytes(150_000).replace(b"\0", b"\n")
        (tmp_path / name).write_bytes(said[name])
    complaints = said["three"][:30_000]
    (tmp_path / "complaints").write_bytes(complaints)
    file = tmp_path / "made"
    others = [
        calm("one", f"cat {tmp_path}/one", 400_000),
        Question(id="two", script=f"(cat {tmp_path}/two; cat {tmp_path}/complaints >&2)", max_bytes=400_000),
        Question(id="three", script=f"(cat {tmp_path}/three)", max_bytes=400_000),
        Question(id="maker", script=f": >{file}"),
    ]
    slow = (
        f"cat {tmp_path}/early; sleep 2; cat {tmp_path}/complaints >&2; cat {tmp_path}/late; "
        f"while [ ! -e {file} ]; do sleep 0.1; done"
    )
    answers = await ask_between(session, Question(id="slow", script=slow, max_bytes=2_000_000, deadline_s=60), *others)
    assert {answer.ended for answer in answers.values()} == {Ended.EXITED}
    assert answers["slow"].stdout == said["early"] + said["late"]
    assert [answers[name].stdout for name in ("one", "two", "three")] == [said[name] for name in ("one", "two", "three")]
    assert [answers[name].stderr for name in ("slow", "one", "two", "three")] == [complaints, b"", complaints, b""]


async def test_a_hung_question_is_ended_after_the_others_were_asked(session: LocalSession, mark: str, tmp_path: Path) -> None:
    hung = [
        Question(id=f"hung{number}", script=marking(mark, f"echo {number}; (sleep 1000 &); sleep 1000"), deadline_s=2)
        for number in range(3)
    ]
    answers = await ask_between(session, *hung, Question(id="quick", script="echo quick"))
    for number in range(3):
        answer = answers[f"hung{number}"]
        assert (answer.ended, answer.stdout, answer.unkillable) == (Ended.TIMED_OUT, f"{number}\n".encode(), ())
    whole(answers["quick"], b"quick\n")


async def test_what_is_left_by_a_question_beside_a_slow_one_is_ended_and_the_slow_one_is_not(
    session: LocalSession, mark: str, tmp_path: Path
) -> None:
    """The slow one works through an orphan, which looks like what others leave behind."""
    file, done = tmp_path / "made", tmp_path / "done"
    orphan = (
        f"(setsid sh -c 'while [ ! -e {file} ]; do sleep 0.1; done; echo by an orphan; : >{done}' &); "
        f"while [ ! -e {done} ]; do sleep 0.1; done"
    )
    leftover = marking(mark, "setsid sleep 1000 </dev/null >/dev/null 2>&1 & echo left")
    hung = Question(id="hung", script=marking(mark, "setsid sleep 1000"), deadline_s=1)
    answers = await ask(
        session,
        Question(id="slow", script=orphan, deadline_s=60),
        Question(id="leaves", script=leftover),
        hung,
        Question(id="maker", script=f"sleep 1; : >{file}"),
    )
    whole(answers["slow"], b"by an orphan\n")
    whole(answers["leaves"], b"left\n")
    whole(answers["maker"], b"")
    assert answers["hung"].ended is Ended.TIMED_OUT


@pytest.mark.parametrize("where", ["stdout", "stderr"])
async def test_a_flood_beside_a_slow_question_and_one_of_the_slow_question_itself(
    session: LocalSession, mark: str, tmp_path: Path, where: str
) -> None:
    file = tmp_path / "made"
    flood = marking(mark, "yes longarm" if where == "stdout" else "echo out; yes longarm >&2")
    answers = await ask_between(
        session,
        Question(id="slow", script=f"while [ ! -e {file} ]; do sleep 0.1; done; {flood}", deadline_s=60, max_bytes=50_000),
        Question(id="flood", script=flood, deadline_s=60, max_bytes=50_000),
        calm("calm", "cat /dev/zero", 50_000),
        Question(id="maker", script=f": >{file}"),
    )
    assert [answers[name].ended for name in ("slow", "flood", "calm", "maker")] == [*[Ended.CAPPED] * 3, Ended.EXITED]


@pytest.mark.long
async def test_more_hung_questions_than_lanes_are_all_told(session: LocalSession, mark: str) -> None:
    hung = [Question(id=f"hung{number}", script=marking(mark, "sleep 1000"), deadline_s=1) for number in range(8)]
    answers = await ask_between(session, *hung)
    assert {answers[question.id].ended for question in hung} == {Ended.TIMED_OUT}


async def test_a_killed_lane_beside_a_slow_question_gives_no_answer_a_byte_of_another(
    session: LocalSession, mark: str, tmp_path: Path
) -> None:
    """What it had begun goes on without it, and so does the slow question: both write (measured: 4 KiB of one in the other)."""
    file = tmp_path / "made"
    says = "i=0; while [ $i -lt 60 ]; do printf '%03000d' {}; i=$((i + 1)); sleep 0.05; done"
    up = "read -r a b c p rest </proc/$p/stat; "
    kills = "p=self; " + up * 4 + f"kill -KILL $p; : >{file}; "  # asker, lane, middle, and what stands beside
    waits = f"while [ ! -e {file} ]; do sleep 0.1; done; "
    answers = await ask(
        session,
        FIRST,
        Question(id="slow", script=marking(mark, waits + says.format(1)), deadline_s=60, max_bytes=1_000_000),
        Question(id="beside", script=marking(mark, kills + says.format(2)), deadline_s=60, max_bytes=1_000_000),
        LAST,
    )
    whole(answers["first"], b"first\n")
    for name, said in (("slow", b"0*1"), ("beside", b"0*2")):
        assert answers[name].ended is Ended.LOST or re.fullmatch(b"(%b){60}" % said, answers[name].stdout)
    assert Ended.LOST in {answers["slow"].ended, answers["beside"].ended}


async def test_a_calm_question_that_is_slow_keeps_its_status(session: LocalSession, tmp_path: Path) -> None:
    os.mkfifo(fifo := tmp_path / "fifo")
    answers = await ask_between(
        session, calm("slow", f"cat {fifo}"), calm("missing", "cat /nowhere"), Question(id="maker", script=f"echo now >{fifo}")
    )
    whole(answers["slow"], b"now\n")
    assert (answers["missing"].ended, answers["missing"].exit_status) == (Ended.EXITED, 1)


@pytest.mark.parametrize("sleeps", [False, True])
async def test_a_question_that_ends_with_a_tick_has_its_own_status_or_none(session: LocalSession, sleeps: bool) -> None:
    """Ticks come each second: of these, some end in the very moment. Before, one in three hundred told another's.

    Those that are said to sleep tell their status themselves: none is without.
    """

    async def bundle(number: int) -> Mapping[str, Answer]:
        scripts = [f"sleep {0.93 + 0.004 * (number + at):.3f}; (exit 3)" for at in range(3)]
        asked = [Question(id=f"q{at}", script=script, calm=True, sleeps=sleeps) for at, script in enumerate(scripts)]
        return await ask(session, *asked)

    told = [answer for answers in await asyncio.gather(*map(bundle, range(16))) for answer in answers.values()]
    exited = [answer for answer in told if answer.ended is Ended.EXITED]
    assert {answer.exit_status for answer in exited} == {3}
    assert all(answer.ended is Ended.LOST and answer.why for answer in told if answer not in exited)
    assert len(exited) > 0.8 * len(told)
    assert exited == told or not sleeps
