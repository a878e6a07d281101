"""Sessions with this machine: what is left of them, whatever way they end; and answers from streams that were cut."""

from __future__ import annotations

import asyncio
import gc
import random
import secrets
from itertools import accumulate
from pathlib import Path
from typing import Any

import pytest

from inventory.host import Host, Transport
from remote.answer import Answer, Ended
from remote.bundle import BundleExchange, drive
from remote.bundle.frames import Stream
from remote.local import QUEUE_LIMIT, LocalSession, _PipeWire, open_local
from remote.question import Question

HERE = Host(name="here", address="127.0.0.1", transport=Transport.LOCAL)
DEADLINE_S = 60.0


def alive(mark: str) -> list[str]:
    """Return the pids of processes that hold `mark` in their environment or arguments."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if mark.encode() in (folder / "environ").read_bytes() + (folder / "cmdline").read_bytes():
                found.append(folder.name)
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            continue
    return found


async def begun(mark: str) -> None:
    """Return once a process with `mark` is there."""
    while not alive(mark):  # noqa: ASYNC110  # the start of a process somewhere is no event
        await asyncio.sleep(0.02)


def children() -> set[str]:
    """Return what this process started; servers of other tests in the same worker may be among it."""
    return {pid for task in Path("/proc/self/task").iterdir() for pid in (task / "children").read_text().split()}


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


@pytest.fixture
def mark() -> str:
    return secrets.token_hex(8)


def hung(mark: str, **options: int) -> Question:
    script = f"LONGARM_TEST={mark}; export LONGARM_TEST; echo before; setsid sleep 1000 & sleep 1000"
    return Question(id="hung", script=script, **options)  # type: ignore[arg-type]


async def test_a_session_says_who_we_are() -> None:
    async with open_local(HERE) as session:
        assert (session.host, session.facts.transport) == (HERE, "local")
        answers = await session.ask([Question(id="who", script="id -un")], deadline_s=DEADLINE_S)
    assert answers["who"].stdout.decode().strip() == session.facts.user


async def test_bundles_one_after_another_and_side_by_side() -> None:
    async with open_local(HERE) as session:
        questions = [[Question(id=f"q{number}", script=f"sleep 0.1; echo {number}")] for number in range(5)]
        told = await asyncio.gather(*(session.ask(one, deadline_s=DEADLINE_S) for one in questions))
    assert [answers[f"q{number}"].stdout for number, answers in enumerate(told)] == [b"%d\n" % n for n in range(5)]


async def test_our_environment_stays_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LONGARM_TEST_SECRET", "hunter2")
    async with open_local(HERE) as session:
        answers = await session.ask([Question(id="env", script="env; set")], deadline_s=DEADLINE_S)
    assert answers["env"].ended is Ended.EXITED
    assert b"hunter2" not in answers["env"].stdout


async def test_nothing_is_left_after_success() -> None:
    others = children()
    before = open_files()
    async with open_local(HERE) as session:
        for _ in range(3):
            await session.ask([Question(id="q", script="echo x")], deadline_s=DEADLINE_S)
    gc.collect()
    assert open_files() <= before + 2  # the child watcher of asyncio may keep a pair
    assert children() <= others


async def test_the_deadline_of_the_whole_call_ends_everything(mark: str) -> None:
    others = children()
    questions = [Question(id="first", script="echo first"), hung(mark, deadline_s=100), Question(id="last", script=":")]
    for deadline_s in (1.5, 9, 60):  # until this machine has begun by then
        async with open_local(HERE) as session:
            answers = await session.ask(questions, deadline_s=deadline_s)
        assert not alive(mark)
        if answers["first"].ended is Ended.EXITED:
            break
    assert [answers[name].ended for name in ("first", "hung")] == [Ended.EXITED, Ended.LOST]
    assert answers["last"].ended in (Ended.EXITED, Ended.NOT_RUN)  # whether it was asked beside the hung one in time
    assert answers["hung"].why == f"no end after {deadline_s:g} s"
    assert children() <= others


async def test_leaving_in_the_middle_ends_everything(mark: str) -> None:
    others = children()
    with pytest.raises(asyncio.CancelledError):
        async with open_local(HERE) as session:
            asking = asyncio.create_task(session.ask([hung(mark, deadline_s=100)], deadline_s=DEADLINE_S))
            await begun(mark)
            asking.cancel()
            await asking
    assert not alive(mark)
    assert children() <= others


async def test_a_session_that_is_left_while_it_asks_tells_what_it_has(mark: str, monkeypatch: pytest.MonkeyPatch) -> None:
    exchanges = list[BundleExchange]()

    class Shown(BundleExchange):
        def __init__(self, *arguments: Any, **options: Any) -> None:
            super().__init__(*arguments, **options)
            exchanges.append(self)

    monkeypatch.setattr("remote.local.BundleExchange", Shown)
    async with open_local(HERE) as session:
        questions = [Question(id="first", script="echo first"), hung(mark, deadline_s=100)]
        asking = asyncio.create_task(session.ask(questions, deadline_s=DEADLINE_S))
        await begun(mark)
        while exchanges[0].finish("")["first"].ended is not Ended.EXITED:  # noqa: ASYNC110  # its end is in a pipe
            await asyncio.sleep(0.01)
    answers = await asking
    assert [answer.ended for answer in answers.values()] == [Ended.EXITED, Ended.LOST]
    assert not alive(mark)


async def test_no_shell_is_an_answer_and_not_an_exception() -> None:
    session = LocalSession(HERE, shell=("/longarm/no/such/shell",))
    answers = await session.ask([Question(id="q", script=":")], deadline_s=DEADLINE_S)
    assert answers["q"].ended is Ended.NOT_RUN
    assert "no shell" in answers["q"].why


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("echo This account is closed.; exit 1", "This account is closed."),
        ("echo Go away >&2", "Go away"),
        ("cat >/dev/null; echo a shell that reads and does nothing", "no end after 1 s"),
        ("kill -9 $$", "killed by signal 9"),
        ("yes Welcome", "more than all caps together"),
        ("yes Welcome >&2", "more than all caps together"),
    ],
)
async def test_what_is_no_shell_says_so(script: str, words: str) -> None:
    session = LocalSession(HERE, shell=("/bin/sh", "-c", script))
    answers = await session.ask([Question(id="q", script=":")], deadline_s=1 if "no end" in words else DEADLINE_S)
    await session.leave()
    assert (answers["q"].ended, answers["q"].exit_status) == (Ended.NOT_RUN, None)
    assert words in answers["q"].why


async def test_a_shell_that_greets_does_no_harm() -> None:
    script = "printf 'Welcome!\\n\\033[1mLast login\\n'; echo motd >&2; exec /bin/sh"
    session = LocalSession(HERE, shell=("/bin/sh", "-c", script))
    answers = await session.ask([Question(id="q", script="echo x")], deadline_s=DEADLINE_S)
    await session.leave()
    assert (answers["q"].ended, answers["q"].stdout, answers["q"].stderr) == (Ended.EXITED, b"x\n", b"")


async def test_output_that_nobody_takes_waits_in_its_pipe() -> None:
    wire = await _PipeWire.open(("sh", "-c", "head -c 20000000 /dev/zero; head -c 20000000 /dev/zero >&2"))
    try:
        size = 0
        while (piece := await wire.read()) is not None:
            await asyncio.sleep(0)  # a reader that is slower than the writer
            size += len(piece[1])
            assert wire._queued <= QUEUE_LIMIT + 2 * 2**18
        assert size == 40_000_000
    finally:
        wire.close()
        await wire.ended()


# --- cuts of what a real shell sent --------------------------------------------------------------------------------

Pieces = list[tuple[Stream, bytes]]
CUT = (
    Question(id="text", script="echo text; echo problem >&2"),
    Question(id="binary", script="printf 'a\\000b\\r\\nc'; exit 4"),
    Question(id="hung", script="echo before; sleep 1000", deadline_s=1),
    Question(id="capped", script="yes", max_bytes=5000),
    Question(id="wrong", script="if ("),
    Question(id="none", script=":"),
    Question(id="big", script="head -c 100000 /dev/zero"),
)


class Replay:
    """A wire that plays pieces back, up to a number of bytes, and then is gone."""

    def __init__(self, pieces: Pieces, limit: int) -> None:
        self.why = "reset by peer"
        self._pieces, self._left = iter(pieces), limit

    def write(self, data: bytes) -> None: ...

    async def read(self) -> tuple[Stream, bytes] | None:
        if self._left <= 0 or (piece := next(self._pieces, None)) is None:
            return None
        stream, data = piece[0], piece[1][: self._left]
        self._left -= len(data)
        return stream, data

    def close(self) -> None: ...


async def capture(questions: tuple[Question, ...], nonce: str) -> Pieces:
    pieces: Pieces = []
    exchange = BundleExchange(questions, nonce=nonce)
    child = await asyncio.create_subprocess_exec("/bin/sh", stdin=-1, stdout=-1, stderr=-1, start_new_session=True, limit=2**20)
    assert child.stdin
    assert child.stdout
    assert child.stderr
    child.stdin.write(exchange.script)

    async def take(stream: Stream, reader: asyncio.StreamReader) -> None:
        while data := await reader.read(65536):
            pieces.append((stream, data))

    await asyncio.gather(take("stdout", child.stdout), take("stderr", child.stderr))
    child.stdin.close()
    await child.wait()
    return pieces


async def test_two_hundred_cuts_of_a_real_exchange() -> None:
    nonce = secrets.token_hex(16)
    pieces = await capture(CUT, nonce)
    size = sum(len(data) for _, data in pieces)

    async def replay(limit: int) -> dict[str, Answer]:
        exchange = BundleExchange(CUT, nonce=nonce)
        return await drive(exchange, Replay(pieces, limit), deadline_s=DEADLINE_S)

    whole = await replay(size)
    kinds = {name: answer.ended for name, answer in whole.items()}
    assert kinds == {question.id: Ended.EXITED for question in CUT} | {
        "hung": Ended.TIMED_OUT,
        "capped": Ended.CAPPED,
    }
    ends = list(accumulate(len(data) for _, data in pieces))  # near them are the marks
    chance = random.Random(size)
    near = [chance.choice(ends) - chance.randrange(60) for _ in range(140)]
    anywhere = [chance.randrange(size) for _ in range(60)]
    complete = []
    for limit in sorted([0, size, *(max(0, at) for at in near), *anywhere]):
        answers = await replay(limit)
        assert answers.keys() == whole.keys()
        for name, answer in answers.items():
            if answer.ended is Ended.EXITED:
                assert answer == whole[name]
            elif answer.ended in (Ended.LOST, Ended.NOT_RUN):
                assert (answer.exit_status, answer.why) == (None, "reset by peer")
        complete.append(sum(answer == whole[name] for name, answer in answers.items()))
    assert complete[0] == 0
    assert complete[-1] == len(CUT)
    assert complete == sorted(complete)  # what was whole stays whole, however much later the cut
