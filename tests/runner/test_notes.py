"""Notes of answers are packed; what comes out is what went in, whatever that was."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from remote.answer import Answer, Ended
from runner.notes import AnswerNote, Notes

numbers = st.one_of(st.integers(min_value=0, max_value=70_000), st.sampled_from([2**32 - 1, 2**32, 2**40]))
noted = st.builds(
    AnswerNote,
    question=st.sampled_from(["a", "b.c", "d"]),
    ended=st.sampled_from(Ended),
    exit_status=st.one_of(st.none(), st.sampled_from([0, 1, 255, 256, -1, -1073741510])),
    duration_ms=numbers,
    stdout_bytes=numbers,
    stderr_bytes=numbers,
    as_root=st.booleans(),
    why=st.sampled_from(["", "", "", "lost"]),
    unkillable=st.sampled_from([(), (), (), (7, 8)]),
)


@given(st.lists(noted, max_size=12))
def test_what_was_noted_comes_back(notes: list[AnswerNote]) -> None:
    packed = Notes(notes)
    assert list(packed) == notes
    assert len(packed) == len(notes)
    assert [packed[at] for at in range(len(notes))] == notes
    assert packed == Notes(notes)
    assert hash(packed) == hash(Notes(notes))


@given(noted, noted)
def test_other_notes_are_not_equal(one: AnswerNote, other: AnswerNote) -> None:
    assert (Notes([one]) == Notes([other])) == (one == other)


def test_answers_are_noted_by_the_names_of_their_questions() -> None:
    answers = {
        "b": Answer(ended=Ended.EXITED, exit_status=3, stdout=b"12345", stderr=b"1", duration_ms=20, as_root=True),
        "a": Answer(ended=Ended.LOST, exit_status=None, why="gone"),
    }
    lost, exited = Notes.of(answers)
    assert (lost.question, lost.ended, lost.exit_status, lost.why) == ("a", Ended.LOST, None, "gone")
    assert exited == AnswerNote(
        question="b", ended=Ended.EXITED, exit_status=3, duration_ms=20, stdout_bytes=5, stderr_bytes=1, as_root=True
    )
