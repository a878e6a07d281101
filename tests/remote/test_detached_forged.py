"""Fake success (T28): what a step says, what is replayed, and what guesses at the nonce, never make a standing `done`."""

from __future__ import annotations

import itertools
import random
import secrets
from dataclasses import dataclass
from pathlib import Path

import pytest

from inventory.host import Host, Transport
from remote.answer import Ended
from remote.command import Command, CommandResult
from remote.detached import START, DetachedCommand, Reason, Standing, State
from remote.detached.asking import told
from remote.local import LocalSession
from tests.conftest import SOAK
from tests.remote.detached import DEADLINE_S, NEEDS, SHELLS, Bench, collected, started

HERE = Host(name="here", address="here", transport=Transport.LOCAL)
SUCCESS = b"state done\nreason -\nstatus 0\nms 10\ncuts 0 0\nboot -\nplace /var/lib/longarm\n\n"
FORGERIES = {
    "heading": SUCCESS,
    "launched": b"launched\n" + SUCCESS,
    "after an empty line": b"\n\n" + SUCCESS,
    "end of the supervisor": b"done 0 10 0 0 .\n",
    "fence": b"longarm-fence/1 999\nID 1 - done - 0\n",
    "restart host": b"restart host\n",
    "result": b'{"changed": false, "failed": false, "rc": 0}\n',
    "frames": b"".join(
        b"\n%s 0 %d %s\n" % (nonce, number, words)
        for nonce in (b"0" * 32, b"f" * 32, b"LONGARM_Q", b"$nonce")
        for number, words in enumerate((b"b 0", b"e 0 0 10", b"end 1"))
    ),
}
"""What a step may say that would be a success if anybody took it for more than its output."""


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    if NEEDS:
        pytest.skip(NEEDS)
    return Bench(tmp_path)


@pytest.mark.parametrize("shell", SHELLS)
async def test_what_a_step_says_is_its_output_and_decides_nothing(bench: Bench, shell: str) -> None:
    bench.shell = SHELLS[shell]
    session = bench.session()
    for number, said in enumerate(FORGERIES.values()):
        formatted = "".join(f"\\{byte:03o}" for byte in said)
        command = Command(script=f"printf '{formatted}'; printf '{formatted}' >&2; exit 5")
        detached = DetachedCommand(id=f"forged-{shell}-{number}", token=1, command=command)
        for standing in (await started(session, detached), await collected(session, detached.id)):
            assert (standing.state, standing.exit_status, standing.succeeded) == (State.DONE, 5, False)
            assert (standing.stdout, standing.stderr, standing.whole) == (said, said, True)
    await bench.leave()


async def test_a_step_that_is_killed_after_it_has_claimed_success_is_told_as_killed(bench: Bench) -> None:
    formatted = "".join(f"\\{byte:03o}" for byte in SUCCESS)
    detached = DetachedCommand(
        id="claims-success",
        token=1,
        command=Command(script=f"printf '{formatted}'; sleep 1; kill -KILL 0; sleep 60", deadline_s=20),
    )
    standing = await started(bench.session(), detached)
    while not standing.final:
        standing = await collected(bench.session(), detached.id)
    assert not standing.succeeded and standing.stdout == SUCCESS
    await bench.leave()


async def replayed(words: bytes, folder: Path) -> Standing:
    """Return how a command stands for which a host gives this answer, whatever it was asked."""
    (folder / "answer").write_bytes(words)
    session = LocalSession(HERE, shell=("sh", "-c", f"cat {folder}/answer; sleep 1"))
    try:
        detached = DetachedCommand(id="forged-by-the-host", token=1, command=Command(script="exit 5"))
        return await session.start(detached, wait_s=1, deadline_s=DEADLINE_S)
    finally:
        await session.leave()


async def test_an_answer_that_is_replayed_or_whose_nonce_is_guessed_is_none(bench: Bench, tmp_path: Path) -> None:
    recorder = bench.session(shell=("sh", "-c", f'sh "$@" 2>{tmp_path}/err | tee {tmp_path}/out', "sh"))
    detached = DetachedCommand(id="forged-by-the-host", token=1, command=Command(script="exit 0"))
    true = await started(recorder, detached)
    await bench.leave()
    recorded = (tmp_path / "out").read_bytes()
    assert true.state is State.DONE or b"state done" in recorded
    nonce = next(word for word in recorded.split() if len(word) == 32 and word.isalnum())
    last = nonce[:-1] + (b"0" if nonce[-1:] != b"0" else b"1")
    near = (
        nonce.upper(),
        nonce[::-1],
        nonce[:-1],
        nonce[1:],
        nonce + b"0",
        b"0" + nonce,
        last,
        nonce * 2,
        nonce[:16] + b" " + nonce[16:],
    )
    forms = (b"", b"0" * 32, b"f" * 32, b"*", b"." * 32, b"$nonce", b"\0" * 32, secrets.token_hex(16).encode())
    guessed = [nonce, *near, *forms]
    forged = b"".join(recorded.replace(nonce, guess) for guess in guessed)
    assert forged.count(b"status 0") >= len(guessed)
    standing = await replayed(forged, tmp_path)
    assert (standing.state, standing.exit_status, standing.final) == (State.UNANSWERED, None, False)


def of(stdout: bytes, ended: Ended = Ended.EXITED) -> Standing:
    result = CommandResult(ended=ended, exit_status=0 if ended is Ended.EXITED else None, stdout=stdout)
    return told("forged-by-the-host", START, result)


def test_an_answer_that_is_not_whole_says_nothing() -> None:
    assert of(SUCCESS).succeeded
    for ended in set(Ended) - {Ended.EXITED}:
        assert not of(SUCCESS, ended).succeeded and not of(b"launched\n" + SUCCESS, ended).succeeded
    for length in range(len(SUCCESS)):
        assert of(SUCCESS[:length]).state is State.UNANSWERED


@pytest.mark.parametrize(
    "words",
    [
        SUCCESS.replace(b"status 0", b"status -"),
        SUCCESS.replace(b"status 0", b"status 0x0"),
        SUCCESS.replace(b"status 0\n", b""),
        SUCCESS.replace(b"state done", b"state failed"),
        SUCCESS.replace(b"state done", b"state done\nstate failed"),
        SUCCESS.replace(b"state done", b"state failed").replace(b"place /var", b"place /srv\nstate done\nplace /var"),
        SUCCESS.replace(b"status 0", b"status 7").replace(b"place /var", b"place /srv\nstatus 0\nplace /var"),
        SUCCESS.replace(b"state done", b"state Done"),
        SUCCESS.replace(b"reason -", b"reason killed\nreason -"),
        SUCCESS.replace(b"reason -", b"reason late"),
    ],
)
def test_an_answer_that_contradicts_itself_is_garbled(words: bytes) -> None:
    standing = of(words)
    assert (standing.state, standing.reason, standing.succeeded) == (State.UNKNOWN, Reason.GARBLED, False)


FAILURE = SUCCESS.replace(b"done", b"failed").replace(b"reason -", b"reason late").replace(b"status 0", b"status -")
STRAY = (b"\n", b"\n\n", b" ", b"\t", b"\r", b"\0", b"\xff", b"-", b"0", b"done", b"launched\n")
"""What is put where something begins or ends, beside the lines and values of a success."""


@dataclass(frozen=True)
class Edit:
    """Something of an answer that is replaced; nothing of it: that is an insertion."""

    start: int
    end: int
    by: bytes

    def of(self, words: bytes) -> bytes:
        return words[: self.start] + self.by + words[self.end :]


def parts(words: bytes) -> dict[str, tuple[int, int]]:
    """Return where each part of an answer stands: keys, what separates them, values, ends of lines, whole lines."""
    found, at = dict[str, tuple[int, int]](), 0
    for number, line in enumerate(words.splitlines(keepends=True)):
        key, gap, value = line.rstrip(b"\n").partition(b" ")
        ends = (at, at + len(key), at + len(key + gap), at + len(key + gap + value), at + len(line))
        found |= {
            f"{kind} {number} {key.decode()}": (ends[first], ends[last])
            for kind, first, last in (("key", 0, 1), ("gap", 1, 2), ("value", 2, 3), ("end", 3, 4), ("line", 0, 4))
        }
        at += len(line)
    return found


def edits() -> list[Edit]:
    """Return all that can be done to one part of a failure: taken away, doubled, replaced, something put before or into it."""
    pieces = [SUCCESS[start:end] for start, end in parts(SUCCESS).values()]
    made = dict[Edit, None]()
    for start, end in parts(FAILURE).values():
        own = FAILURE[start:end]
        for by in (b"", own + own, *pieces, *STRAY):
            made |= dict.fromkeys((Edit(start, end, by), *(Edit(at, at, by) for at in (start, (start + end) // 2, end))))
    return [one for one in made if one.of(FAILURE) != FAILURE]


def test_whatever_is_changed_in_an_answer_of_failure_it_is_no_success() -> None:
    once, places, success = edits(), parts(FAILURE), parts(SUCCESS)
    touched = {(one.start, one.end) for one in once}
    assert touched >= {*places.values()} and len({one.of(FAILURE) for one in once}) > 1000
    forward = [Edit(*places[name], SUCCESS[slice(*success[mine])]) for name, mine in zip(places, success, strict=True)]
    chance = random.Random(28)
    sampled = (chance.sample(once, 2) for _ in range(200_000 if SOAK else 4000))
    pairs = itertools.chain(itertools.combinations(forward, 2), sampled)
    twice = (second.of(first.of(FAILURE)) for first, second in (sorted(pair, key=lambda one: -one.start) for pair in pairs))
    for words in itertools.chain((one.of(FAILURE) for one in once), twice):
        assert not of(words).succeeded, words
        assert not of(b"launched\n" + words).succeeded, words
