"""The host's side of the bundle, held against the asking side: what is captured comes back to the byte, the rest honestly."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remote.answer import Answer, Ended
from remote.bundle import BundleExchange
from remote.bundle.manifest import read_manifest, write_frames
from remote.lab.captures import NoCapture, read_captures
from remote.question import Privilege, Question


def asked(questions: list[Question], answers: Mapping[str, Answer]) -> dict[str, Answer]:
    """Return what the asking side makes of the practice host's frames."""
    exchange = BundleExchange(questions)
    out, err = write_frames(read_manifest(exchange.script), answers)
    exchange.feed_stdout(out)
    exchange.feed_stderr(err)
    return exchange.finish("" if exchange.complete else "cut")


def question(name: str, privilege: Privilege = Privilege.USER) -> Question:
    return Question(id=name, script="true", privilege=privilege)


@given(
    st.lists(
        st.tuples(st.binary(max_size=300), st.binary(max_size=300), st.integers(0, 255), st.booleans()), min_size=1, max_size=8
    )
)
def test_every_captured_answer_comes_back_to_the_byte(captured: list[tuple[bytes, bytes, int, bool]]) -> None:
    answers = {
        f"q{at}": Answer(ended=Ended.EXITED, exit_status=status, stdout=out, stderr=err, duration_ms=10 * at, as_root=root)
        for at, (out, err, status, root) in enumerate(captured)
    }
    questions = [
        question(name, Privilege.PREFER_ROOT if answer.as_root else Privilege.USER) for name, answer in answers.items()
    ]
    assert asked(questions, answers) == answers


def test_what_was_not_captured_is_not_run() -> None:
    answers = asked([question("known"), question("unknown")], {"known": Answer(ended=Ended.EXITED, exit_status=0, stdout=b"x")})
    assert answers["known"].ended is Ended.EXITED
    assert answers["unknown"].ended is Ended.NOT_RUN
    assert answers["unknown"].exit_status is None


OURS = "sudo asks for a password, and the credential names none: "


@pytest.mark.parametrize("why", ["sudo: a password is required", OURS + "sudo: a password is required"])
def test_denied_root_is_told_with_the_host_s_own_words_and_once(why: str) -> None:
    denied = Answer(ended=Ended.NOT_RUN, exit_status=None, why=why)
    answers = asked(
        [question("open"), question("closed", Privilege.ROOT)],
        {"open": Answer(ended=Ended.EXITED, exit_status=0), "closed": denied},
    )
    assert answers["open"].ended is Ended.EXITED
    assert (answers["closed"].ended, answers["closed"].why) == (Ended.NOT_RUN, OURS + "sudo: a password is required")


@pytest.mark.parametrize("ended", [Ended.TIMED_OUT, Ended.CAPPED, Ended.LOST])
def test_answers_that_did_not_exit_stay_so(ended: Ended) -> None:
    flood = {"exit_status": 0, "stderr": b"much", "stderr_cut": -1} if ended is Ended.CAPPED else {"exit_status": None}
    captured = {
        "bad": Answer(ended=ended, stdout=b"begun", **flood),
        "good": Answer(ended=Ended.EXITED, exit_status=0),
    }
    answers = asked([question("bad"), question("good")], captured)
    assert answers["bad"].ended is ended
    assert answers["bad"].stdout == b"begun"
    assert answers["good"].ended is Ended.EXITED


@pytest.mark.parametrize(
    "data", [b"", b"{}", b"[]", b"\x1f\x8bxx", b'{"format":"longarm-evidence/9"}', b'{"format":"longarm-evidence/1"}']
)
def test_files_that_hold_no_captures_are_refused(data: bytes, tmp_path: Path) -> None:
    with pytest.raises(NoCapture):
        read_captures(data, str(tmp_path / "x.evidence"))
