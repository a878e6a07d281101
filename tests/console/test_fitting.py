"""Tables for people: on a terminal nothing is wider than it, and nothing of a cell is lost."""

import json
from collections.abc import Iterable
from datetime import UTC, datetime

import pytest

from console.fitting import fitted
from console.identifiers import WORDS
from console.listing import WRITERS
from console.settings import Output
from console.words import speak
from inventory.errors import Text
from playbooks.issues import Grade
from playbooks.model import Kind, Maintenance, Risk
from reports.language import language
from reports.render import Audience
from runner.outcome import Outcome, RunKind, RunState
from runner.store.rows import ApprovalState, MuteState, OutboxState, Scope

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


@pytest.mark.parametrize(
    ("column", "values"),
    [
        ("state", [*RunState, *ApprovalState, *MuteState, *OutboxState]),
        ("kind", [*RunKind, *Kind]),
        ("outcome", Outcome),
        ("maintenance", Maintenance),
        ("risk", Risk),
        ("scope", Scope),
        ("grade", Grade),
        ("audience", Audience),
    ],
)
def test_every_identifier_of_a_table_is_a_word_in_russian(column: str, values: Iterable[str]) -> None:
    for value in map(str, values):
        word = WORDS[column][value]
        assert str(word) in (value, value.replace("_", " ")), "in English it is the identifier"
        assert language("ru").say(word) != str(word)


def test_a_moment_is_told_to_people_in_one_way_and_to_programs_by_iso_8601() -> None:
    columns, rows = {"at": Text("time")}, [{"at": datetime(2026, 11, 22, 10, 47, 55, tzinfo=UTC)}]
    told = {output: WRITERS[output](columns, rows) for output in Output}
    assert told[Output.TABLE].splitlines()[1] == language("ru").date(rows[0]["at"]) == "2026-11-22 10:47:55 UTC"
    assert told[Output.CSV].splitlines()[1] == json.loads(told[Output.JSON])[0]["at"] == "2026-11-22T10:47:55Z"
