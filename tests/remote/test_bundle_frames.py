"""Our side of the bundle against bytes: whatever arrives, whole, in pieces, cut, forged or endless."""

from __future__ import annotations

import random
import string
import tracemalloc
from collections.abc import Callable
from typing import TypeAlias

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from remote.answer import Answer, Ended
from remote.bundle import BundleExchange
from remote.bundle.attempt import Attempt
from remote.bundle.exchange import GRACE_S, GREETING_LIMIT, MOST_ATTEMPTS, ROOT_GRACE_S
from remote.bundle.frames import FORMAT, FrameReader, Mark, Stream
from remote.bundle.kept import SLACK_BYTES, TAIL_BYTES, Kept
from remote.bundle.manifest import NotABundle, read_manifest, write_frames
from remote.question import Privilege, Question

NONCE = "0123456789abcdef0123456789abcdef"
MEBIBYTE = 2**20

lookalikes = st.sampled_from(
    [
        b"\n",
        b"\n" + NONCE.encode(),
        b"\n" + NONCE.encode() + b" ",
        b"\n" + NONCE.encode() + b" end 0 1.0 ok\n",
        b"\n" + NONCE.encode() + b" 1 2 begin\n",
        b"\n" + NONCE[:-1].encode() + b"0 1 3 end 0 1.00 ok\n",
        b"\r\n",
        b"\0",
    ]
)
payloads = st.lists(st.one_of(st.binary(max_size=60), lookalikes), max_size=6).map(b"".join)
hundredths = st.integers(min_value=0, max_value=500).map(lambda steps: steps * 10)
exited = st.builds(
    Answer,
    ended=st.just(Ended.EXITED),
    exit_status=st.integers(min_value=0, max_value=255),
    stdout=payloads,
    stderr=payloads,
    duration_ms=hundredths,
    as_root=st.booleans(),
)
late = st.builds(
    Answer,
    ended=st.just(Ended.TIMED_OUT),
    exit_status=st.none(),
    stdout=payloads,
    stderr=payloads,
    duration_ms=hundredths,
    as_root=st.booleans(),
    unkillable=st.lists(st.integers(min_value=1, max_value=2**22), max_size=3).map(tuple),
)
answers_of_a_host = st.lists(st.one_of(exited, late), min_size=1, max_size=5).map(
    lambda answers: {f"q{index}": answer for index, answer in enumerate(answers)}
)


def exchange_for(answers: dict[str, Answer], **options: object) -> BundleExchange:
    return BundleExchange([Question(id=name, script=":") for name in answers], nonce=NONCE, **options)  # type: ignore[arg-type]


def in_turn(exchange: BundleExchange, answers: dict[str, Answer]) -> tuple[bytes, bytes]:
    """Return both streams of a host where nothing was slow."""
    return write_frames(read_manifest(exchange.script), answers)


def aside(exchange: BundleExchange, answers: dict[str, Answer]) -> tuple[bytes, bytes]:
    """Return both streams of a host where each question was slow: its second half comes after all that follow it."""

    def stream(name: Stream) -> bytes:
        said = b""
        for index, answer in reversed(list(enumerate(answers.values()))):
            payload = answer.stdout if name == "stdout" else answer.stderr
            cut, part = len(payload) // 2, 1 + 100 * index
            how = ("late", *map(str, answer.unkillable)) if answer.ended is Ended.TIMED_OUT else ("ok",)
            frames: list[Mark | bytes] = [
                Mark(part, 1, "open", None, (FORMAT, "user")),
                Mark(part, 2, "begin", index, ("1000.00", "root" if answer.as_root else "user")),
                payload[:cut],
                said,
                *([Mark(part, 3, "more", index)] if said else []),
                payload[cut:],
                *([Mark(part, 2, "status", index, (str(answer.exit_status),))] if name == "stdout" and how == ("ok",) else []),
                Mark(part, 3 + bool(said), "end", index, (f"{1000 + answer.duration_ms / 1000:.2f}", *how)),
                Mark(part, 4 + bool(said), "close", None, (str(4 + bool(said)),)),
            ]
            said = b"".join(frame.encode(NONCE) if isinstance(frame, Mark) else frame for frame in frames)
        main: list[Mark | bytes] = [Mark(0, 1, "open", None, (FORMAT, "user")), said, Mark(0, 2, "done", None, ("2",))]
        return b"".join(frame.encode(NONCE) if isinstance(frame, Mark) else frame for frame in main)

    return stream("stdout"), stream("stderr")


def read_late(exchange: BundleExchange, answers: dict[str, Answer]) -> tuple[bytes, bytes]:
    """Return both streams of a host where each second question was slow, and the rest of the one before it was held with it."""

    def stream(name: Stream) -> bytes:
        said = b""
        for first in reversed(range(0, len(answers), 2)):
            part, sequence, frames = 1 + 50 * first, 1, [Mark(1 + 50 * first, 1, "open", None, (FORMAT, "user")).encode(NONCE)]
            for index, answer in list(enumerate(answers.values()))[first : first + 2]:
                payload = answer.stdout if name == "stdout" else answer.stderr
                cut, exits = len(payload) // 2, answer.ended is Ended.EXITED
                began = sequence = sequence + 1
                frames += [Mark(part, began, "begin", index, ("1000.00", "root" if answer.as_root else "user")).encode(NONCE)]
                frames += [payload[:cut]]
                if said and index == first:
                    frames += [said, Mark(part, 5, "more", first + 1).encode(NONCE)]
                elif said:
                    sequence += 1
                frames += [payload[cut:]]
                if name == "stdout" and exits:
                    frames += [Mark(part, began, "status", index, (str(answer.exit_status),)).encode(NONCE)]
                how = ("ok",) if exits else ("late", *map(str, answer.unkillable))
                sequence += 1
                fields = (f"{1000 + answer.duration_ms / 1000:.2f}", *how)
                frames += [Mark(part, sequence, "end", index, fields).encode(NONCE)]
            said = b"".join([*frames, Mark(part, sequence + 1, "close", None, (str(sequence + 1),)).encode(NONCE)])
        return Mark(0, 1, "open", None, (FORMAT, "user")).encode(NONCE) + said + Mark(0, 2, "done", None, ("2",)).encode(NONCE)

    return stream("stdout"), stream("stderr")


Host: TypeAlias = Callable[[BundleExchange, dict[str, Answer]], tuple[bytes, bytes]]
HOSTS: st.SearchStrategy[Host] = st.sampled_from((in_turn, aside, read_late))


def feed(exchange: BundleExchange, stdout: bytes, stderr: bytes, seed: int) -> None:
    """Feed both streams in pieces of random sizes, interleaved at random."""
    chance = random.Random(seed)
    while stdout or stderr:
        size = chance.choice((1, 2, 7, 33, 34, 35, 100, 5000))
        if stdout and (not stderr or chance.random() < 0.5):
            exchange.feed_stdout(stdout[:size])
            stdout = stdout[size:]
        else:
            exchange.feed_stderr(stderr[:size])
            stderr = stderr[size:]


@given(answers=answers_of_a_host, host=HOSTS, seed=st.integers(), greeting=payloads)
def test_what_a_host_sends_is_what_we_read_in_whatever_pieces(
    answers: dict[str, Answer], host: Host, seed: int, greeting: bytes
) -> None:
    exchange = exchange_for(answers)
    stdout, stderr = host(exchange, answers)
    feed(exchange, greeting + stdout, greeting + stderr, seed)
    assert exchange.complete
    assert exchange.finish("") == answers


@given(answers=answers_of_a_host, host=HOSTS, seed=st.integers(), data=st.data())
def test_a_cut_leaves_whole_answers_as_they_are_and_the_rest_unseen(
    answers: dict[str, Answer], host: Host, seed: int, data: st.DataObject
) -> None:
    exchange = exchange_for(answers)
    stdout, stderr = host(exchange, answers)
    cut_out = data.draw(st.integers(min_value=0, max_value=len(stdout)))
    cut_err = data.draw(st.integers(min_value=0, max_value=len(stderr)))
    feed(exchange, stdout[:cut_out], stderr[:cut_err], seed)
    assert exchange.complete == ((cut_out, cut_err) == (len(stdout), len(stderr)))
    told = exchange.finish("cut")
    assert told.keys() == answers.keys()
    for name, answer in told.items():
        assert answer == answers[name] or answer.ended in (Ended.LOST, Ended.NOT_RUN, Ended.TIMED_OUT), name
        if answer.ended in (Ended.LOST, Ended.NOT_RUN):
            assert answer.exit_status is None
            assert answer.why == "cut"


@given(answers=answers_of_a_host, host=HOSTS, data=st.data())
def test_a_mark_that_is_missing_or_doubled_makes_no_success_of_another_payload(
    answers: dict[str, Answer], host: Host, data: st.DataObject
) -> None:
    exchange = exchange_for(answers)
    assume(not any(NONCE.encode() in answer.stdout + answer.stderr for answer in answers.values()))
    streams = dict(zip(("stdout", "stderr"), host(exchange, answers), strict=True))
    damaged = data.draw(st.sampled_from(sorted(streams)))
    lines = streams[damaged].split(b"\n" + NONCE.encode() + b" ")
    at = data.draw(st.integers(min_value=1, max_value=len(lines) - 1))
    lines[at : at + 1] = [lines[at]] * data.draw(st.sampled_from((0, 2)))
    streams[damaged] = (b"\n" + NONCE.encode() + b" ").join(lines)
    exchange.feed_stdout(streams["stdout"])
    exchange.feed_stderr(streams["stderr"])
    for name, answer in exchange.finish("").items():
        assert answer.ended is not Ended.EXITED or (answer.stdout, answer.stderr) == (
            answers[name].stdout,
            answers[name].stderr,
        )


@given(st.binary(max_size=3000), st.binary(max_size=3000))
def test_any_bytes_give_one_answer_per_question_and_never_a_success(stdout: bytes, stderr: bytes) -> None:
    exchange = exchange_for({"a": None, "b": None})  # type: ignore[dict-item]  # only the names matter
    exchange.feed_stdout(stdout)
    exchange.feed_stderr(stderr)
    assert {name: answer.ended for name, answer in exchange.finish("x").items()} == {"a": Ended.NOT_RUN, "b": Ended.NOT_RUN}


def marks_of(data: bytes, pieces: int) -> list[bytes | Mark]:
    reader = FrameReader(NONCE)
    found: list[bytes | Mark] = []
    for at in range(0, len(data), pieces):
        for piece in reader.feed(data[at : at + pieces]):
            if isinstance(piece, bytes) and found and isinstance(found[-1], bytes):
                found[-1] += piece
            else:
                found.append(piece)
    if reader._held:
        found.append(reader._held)
    return found


@given(st.lists(st.one_of(payloads, st.just(Mark(1, 2, "more", 0))), max_size=8), st.integers(min_value=1, max_value=80))
def test_payload_is_exact_in_whatever_pieces_it_comes(pieces: list[bytes | Mark], size: int) -> None:
    data = b"".join(piece.encode(NONCE) if isinstance(piece, Mark) else piece for piece in pieces)
    assert marks_of(data, size) == marks_of(data, len(data) + 1)
    assert b"".join(piece.encode(NONCE) if isinstance(piece, Mark) else piece for piece in marks_of(data, size)) == data


def test_a_frame_with_another_nonce_is_payload() -> None:
    forged = Mark(1, 3, "end", 0, ("9.99", "ok")).encode("f" * 32)
    answers = {"q": Answer(ended=Ended.EXITED, exit_status=1, stdout=b"x" + forged + b"y")}
    exchange = exchange_for(answers)
    stdout, stderr = write_frames(read_manifest(exchange.script), answers)
    exchange.feed_stdout(stdout)
    exchange.feed_stderr(stderr)
    assert exchange.finish("") == answers


def test_a_status_alone_or_an_end_alone_is_lost() -> None:
    for kind, fields in (("status", ("0",)), ("end", ("1.00", "ok"))):
        exchange = exchange_for({"q": None})  # type: ignore[dict-item]
        for take in (exchange.feed_stdout, exchange.feed_stderr):
            take(Mark(1, 1, "open", None, (FORMAT, "user")).encode(NONCE))
            take(Mark(1, 2, "begin", 0, ("1.00", "user")).encode(NONCE))
        exchange.feed_stdout(b"text" + Mark(1, 2 if kind == "status" else 3, kind, 0, fields).encode(NONCE))
        exchange.feed_stderr(Mark(1, 3, "end", 0, ("1.00", "ok")).encode(NONCE))
        answer = exchange.finish("")["q"]
        assert (answer.ended, answer.exit_status, answer.stdout) == (Ended.LOST, None, b"text")
        assert answer.why


@pytest.mark.parametrize(
    ("part", "status", "ended"),
    [(1, 255, Ended.EXITED), (1, 256, Ended.LOST), (99, 0, Ended.EXITED), (700, 0, Ended.NOT_RUN)],
)
def test_statuses_and_parts_that_no_shell_of_ours_gives_prove_nothing(part: int, status: int, ended: Ended) -> None:
    exchange = BundleExchange([Question(id="q", script=":")], nonce=NONCE)
    start = f"\n{NONCE} {part}".encode()
    exchange.feed_stdout(b"%b 1 begin 0 1.00 user\n%b 1 status 0 %d\n%b 2 end 0 1.00 ok\n" % (start, start, status, start))
    exchange.feed_stderr(b"%b 1 begin 0 1.00 user\n%b 2 end 0 1.00 ok\n" % (start, start))
    assert exchange.finish("")["q"].ended is ended


def test_payload_may_go_on_between_the_frames_of_others() -> None:
    exchange = exchange_for({"a": None, "b": None})  # type: ignore[dict-item]
    frames: list[Mark | bytes] = [
        *(Mark(part, 1, "open", None, (FORMAT, "user")) for part in (1, 2)),
        *(Mark(1, 2, "begin", 0, ("1.00", "user")), b"a1", Mark(2, 2, "begin", 1, ("1.00", "user")), b"b1"),
        *(Mark(1, 3, "more", 0), b"a2", Mark(2, 3, "more", 1), b"b2", Mark(1, 4, "more", 0)),
    ]
    exchange.feed_stdout(b"".join(frame.encode(NONCE) if isinstance(frame, Mark) else frame for frame in frames))
    assert [answer.stdout for answer in exchange.finish("").values()] == [b"a1a2", b"b1b2"]


def test_what_two_wrote_at_once_proves_nothing() -> None:
    """A part beside a slow question that has not said that it is over may write on: measured where its shell was killed."""
    exchange = exchange_for({"before": None, "slow": None, "beside": None, "after": None})  # type: ignore[dict-item]
    begun = ("1.00", "user")
    early: list[Mark | bytes] = [
        *(Mark(1, 1, "open", None, (FORMAT, "user")), Mark(1, 2, "begin", 0, begun), Mark(1, 2, "status", 0, ("0",))),
        *(Mark(1, 3, "end", 0, ("1.00", "ok")), Mark(1, 4, "begin", 1, begun)),
        *(Mark(101, 1, "open", None, (FORMAT, "user")), Mark(101, 2, "begin", 2, begun), b"beside"),
    ]
    late: list[Mark | bytes] = [
        *(Mark(1, 5, "more", 1), b"slow, or beside", Mark(1, 4, "status", 1, ("0",)), Mark(1, 6, "end", 1, ("2.00", "ok"))),
        *(Mark(101, 2, "status", 2, ("0",)), Mark(101, 3, "end", 2, ("2.00", "ok")), Mark(101, 4, "begin", 3, begun)),
        *(Mark(101, 4, "status", 3, ("0",)), Mark(101, 5, "end", 3, ("2.00", "ok"))),
    ]
    for frame in early + late:
        data = frame.encode(NONCE) if isinstance(frame, Mark) else frame
        exchange.feed_stdout(data)
        if not (isinstance(frame, Mark) and frame.kind == "status"):
            exchange.feed_stderr(data)
    assert {name: answer.ended for name, answer in exchange.finish("").items()} == {
        "before": Ended.EXITED,
        "slow": Ended.LOST,
        "beside": Ended.LOST,
        "after": Ended.LOST,
    }


def test_a_part_that_opens_after_the_slow_question_went_on_proves_nothing() -> None:
    """Its shell was killed while its filter was held up with its first marks: 176 of 180 KB went to nobody, told as exited."""
    exchange = exchange_for({"slow": None, "beside": None})  # type: ignore[dict-item]
    begun = ("1.00", "user")
    frames: list[Mark | bytes] = [
        *(Mark(1, 1, "open", None, (FORMAT, "user")), Mark(1, 2, "begin", 0, begun), Mark(1, 3, "more", 0), b"slow"),
        *(Mark(101, 1, "open", None, (FORMAT, "user")), Mark(101, 2, "begin", 1, begun), b"slow, or beside"),
        *(Mark(101, 2, "status", 1, ("0",)), Mark(101, 3, "end", 1, ("2.00", "ok")), Mark(101, 4, "close", None, ("4",))),
        *(b"slow", Mark(1, 2, "status", 0, ("0",)), Mark(1, 4, "end", 0, ("3.00", "ok"))),
    ]
    for frame in frames:
        data = frame.encode(NONCE) if isinstance(frame, Mark) else frame
        exchange.feed_stdout(data)
        if not (isinstance(frame, Mark) and frame.kind == "status"):
            exchange.feed_stderr(data)
    assert {name: answer.ended for name, answer in exchange.finish("").items()} == {"slow": Ended.LOST, "beside": Ended.LOST}


# --- caps and memory -----------------------------------------------------------------------------------------------


@given(st.lists(st.binary(max_size=300), max_size=30), st.integers(min_value=1, max_value=600))
def test_kept_never_holds_more_than_its_limit_and_everything_within_it(pieces: list[bytes], limit: int) -> None:
    kept, everything = Kept(limit), b"".join(pieces)
    for piece in pieces:
        kept.add(piece)
    assert (kept.seen, kept.over) == (len(everything), max(0, len(everything) - limit))
    if len(everything) <= limit + SLACK_BYTES:
        assert kept.value() == everything[:limit]
    else:
        tail = min(TAIL_BYTES, limit // 2)
        assert kept.value() == everything[: limit - tail] + everything[len(everything) - tail :]


def test_a_host_that_ignores_its_cap_shows_head_and_tail() -> None:
    question = Question(id="q", script=":", max_bytes=MEBIBYTE)
    exchange = BundleExchange([question], nonce=NONCE)
    exchange.feed_stdout(Mark(1, 2, "begin", 0, ("1.00", "user")).encode(NONCE))
    for number in range(200):
        exchange.feed_stdout(bytes([number]) * 65536)
    answer = exchange.finish("")["q"]
    assert (answer.ended, len(answer.stdout)) == (Ended.CAPPED, MEBIBYTE)
    assert (answer.stdout[:65536], answer.stdout[-65536:]) == (bytes(65536), bytes([199]) * 65536)


def test_more_than_all_caps_together_is_noticed() -> None:
    exchange = exchange_for({"q": None})  # type: ignore[dict-item]
    exchange.feed_stdout(Mark(1, 1, "begin", 0, ("-", "user")).encode(NONCE))
    for _ in range(33):
        assert not exchange.overfull
        exchange.feed_stdout(bytes(MEBIBYTE // 2))
    exchange.feed_stdout(bytes(MEBIBYTE))
    assert exchange.overfull


def test_a_host_that_only_talks_is_left_far_earlier() -> None:
    exchange = exchange_for({"q": None})  # type: ignore[dict-item]
    exchange.feed_stderr(bytes(GREETING_LIMIT))
    assert not exchange.overfull
    exchange.feed_stderr(b"more" * 100)
    assert exchange.overfull


def test_a_host_that_sends_nothing_but_marks_is_left_as_early() -> None:
    exchange = exchange_for({"q": None})  # type: ignore[dict-item]
    marks = b"".join(Mark(part, 1, "begin", 0, ("-", "user")).encode(NONCE) for part in range(MOST_ATTEMPTS))
    for _ in range(4):  # what a host has to say that asks all it may, and again
        exchange.feed_stdout(marks)
    assert not exchange.overfull
    for _ in range(3 * MEBIBYTE // len(marks)):
        exchange.feed_stdout(marks)
    assert exchange.overfull


def test_what_is_said_between_answers_may_be_as_much_as_a_leftover_floods() -> None:
    exchange = exchange_for({"q": None})  # type: ignore[dict-item]
    exchange.feed_stderr(Mark(0, 1, "open", None, ("-", "user")).encode(NONCE))
    exchange.feed_stderr(bytes(2 * MEBIBYTE))
    assert not exchange.overfull
    exchange.feed_stderr(bytes(MEBIBYTE))
    assert exchange.overfull


@pytest.mark.parametrize("line", [b"\0", b"x", b"\n", b"\n" + NONCE.encode() + b" "], ids=["nul", "x", "newline", "nonce"])
def test_an_endless_line_is_not_held(line: bytes) -> None:
    exchange = exchange_for({"q": None})  # type: ignore[dict-item]
    exchange.feed_stdout(Mark(1, 2, "begin", 0, ("1.00", "user")).encode(NONCE))
    piece = (line * (32768 // len(line) + 1))[:32768]
    tracemalloc.start()
    for _ in range(40):  # 1.25 MiB, five times what may be kept
        exchange.feed_stdout(piece)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < MEBIBYTE
    assert exchange.finish("")["q"].ended is Ended.CAPPED


# --- time ----------------------------------------------------------------------------------------------------------


def test_a_question_that_the_host_does_not_end_is_given_up_alone() -> None:
    now = 100.0
    exchange = BundleExchange(
        [Question(id=name, script=":", deadline_s=7) for name in ("a", "b", "c")], nonce=NONCE, clock=lambda: now
    )
    for take in (exchange.feed_stdout, exchange.feed_stderr):
        take(Mark(1, 1, "open", None, (FORMAT, "user")).encode(NONCE))
        take(Mark(1, 2, "begin", 0, ("1.00", "user")).encode(NONCE) + b"a")
    exchange.feed_stdout(Mark(1, 2, "status", 0, ("0",)).encode(NONCE))
    for take in (exchange.feed_stdout, exchange.feed_stderr):
        take(Mark(1, 3, "end", 0, ("1.50", "ok")).encode(NONCE) + Mark(1, 4, "begin", 1, ("1.50", "user")).encode(NONCE))
    assert exchange.due == now + 7 + GRACE_S
    assert exchange.overdue(now + 7) is None
    assert exchange.overdue(now + 7 + GRACE_S) == "b"
    told = exchange.finish("given up")
    assert [answer.ended for answer in told.values()] == [Ended.EXITED, Ended.TIMED_OUT, Ended.NOT_RUN]
    assert (told["a"].duration_ms, told["a"].stdout) == (500, b"a")


def test_a_question_that_begins_again_and_again_is_given_up_all_the_same() -> None:
    now = [100.0]
    exchange = BundleExchange([Question(id="q", script=":", deadline_s=7)], nonce=NONCE, clock=lambda: now[0])
    while exchange.overdue(now[0]) is None and now[0] < 200:
        exchange.feed_stdout(Mark(1, 2, "begin", 0, ("1.00", "user")).encode(NONCE))
        now[0] += 1
    assert now[0] == 100 + 7 + GRACE_S


def test_durations_fall_back_to_our_own_clock() -> None:
    now = [10.0]
    exchange = BundleExchange([Question(id="q", script=":")], nonce=NONCE, clock=lambda: now[0])
    exchange.feed_stdout(Mark(1, 2, "begin", 0, ("-", "user")).encode(NONCE))
    now[0] = 10.25
    exchange.feed_stdout(Mark(1, 3, "end", 0, ("-", "ok")).encode(NONCE))
    assert exchange.finish("")["q"].duration_ms == 250


def test_sudo_that_does_not_come_back_is_overdue() -> None:
    exchange = BundleExchange([Question(id="q", script=":", privilege=Privilege.ROOT)], nonce=NONCE, clock=lambda: 50.0)
    exchange.feed_stdout(Mark(0, 2, "sudo", None).encode(NONCE))
    assert (exchange.due, exchange.overdue(50.0 + ROOT_GRACE_S)) == (50.0 + ROOT_GRACE_S, "sudo")
    exchange.feed_stdout(Mark(2, 2, "begin", 0, ("1.00", "root")).encode(NONCE))
    assert exchange.overdue(50.0 + ROOT_GRACE_S) == "q"
    exchange.feed_stdout(Mark(0, 3, "sudone", None, ("1",)).encode(NONCE))
    assert exchange.due == 50.0 + 10 + GRACE_S


# --- the script's head ---------------------------------------------------------------------------------------------


def test_a_script_says_what_it_asks() -> None:
    exchange = BundleExchange([Question(id=name, script=":") for name in ("cpu.load", "fs.stat")], nonce=NONCE)
    manifest = read_manifest(exchange.script)
    assert (manifest.nonce, manifest.questions) == (NONCE, ("cpu.load", "fs.stat"))


def test_a_script_that_did_not_arrive_whole_is_none() -> None:
    script = BundleExchange([Question(id="q", script="echo")], nonce=NONCE).script
    for at in range(len(script)):
        with pytest.raises(NotABundle):
            read_manifest(script[:at])


def test_each_exchange_has_a_nonce_of_128_bits() -> None:
    nonces = {BundleExchange([]).nonce for _ in range(20)}
    assert len(nonces) == 20
    assert all(len(nonce) == 32 and set(nonce) <= set(string.hexdigits.lower()) for nonce in nonces)


@pytest.mark.parametrize(("came", "ended"), [(b"", Ended.LOST), (b"x", Ended.CAPPED)])
def test_a_flood_of_which_nothing_came_is_a_reader_that_was_not_there(came: bytes, ended: Ended) -> None:
    attempt = Attempt(question=Question(id="one", script="one"), part=1)
    attempt.sides["stderr"].kept.add(came)
    attempt.how = "flood"
    answer = attempt.answer(given_up=False, why="")
    assert (answer.ended, answer.exit_status, bool(answer.why)) == (ended, None, ended is Ended.LOST)
