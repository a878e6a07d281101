"""Tables for people: on a terminal nothing is wider than it, and nothing of a cell is lost."""

import pytest

from console.fitting import fitted
from console.listing import WRITERS
from console.settings import Output
from console.words import speak
from inventory.errors import Text

HEAD = ["FILE", "STATE", "WHY"]
BODY = [
    ["longarm-run-20261125-123327-a96bcd.html", "sent", ""],
    ["x.html", "failed", "the case system said that it takes no attachments of this kind after the case was closed"],
]


@pytest.mark.parametrize("width", range(50, 160, 3))
def test_nothing_is_wider_than_the_terminal_and_nothing_is_lost(width: int) -> None:
    shown = fitted(HEAD, BODY, width)
    assert max(map(len, shown.splitlines())) <= width
    for word in " ".join(cell for line in BODY for cell in line).split():
        assert word in shown, "a word is never cut: it may be copied"


def test_what_fits_and_what_goes_to_a_program_is_one_line_for_each_row() -> None:
    assert fitted(HEAD, BODY, 160) == fitted(HEAD, BODY, None)
    assert len(fitted(HEAD, BODY, None).splitlines()) == 1 + len(BODY)


def test_a_row_that_cannot_be_folded_is_told_field_by_field_without_its_empty_fields() -> None:
    assert fitted(HEAD, BODY[:1], 48).splitlines() == ["FILE   " + BODY[0][0], "STATE  sent"]


def test_a_state_is_a_word_for_people_and_an_identifier_for_programs() -> None:
    columns, rows = {"run": Text("run"), "state": Text("state")}, [{"run": "1", "state": "ended"}]
    speak("ru")
    try:
        assert "завершён" in WRITERS[Output.TABLE](columns, rows)
        assert all("ended" in WRITERS[output](columns, rows) for output in (Output.JSON, Output.JSONL, Output.CSV))
    finally:
        speak("en")
