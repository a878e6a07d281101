"""Quotes, sentences and ids: what a record is made of."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from diagnostics.finding import Citation
from inventory.errors import Text
from inventory.secret import MASKER, Secret
from remote.answer import answered
from runner.outcome import Outcome, RunState
from runner.quoting import MOST_CHARACTERS, MOST_LINES, quote
from runner.request import new_run_id
from runner.store.sentences import as_kept
from tests.diagnostics.library.answers import MARK, asked


def cite(first: int, last: int, stream: str = "stdout") -> Citation:
    return Citation(question="q", stream=stream, first=first, last=last)


@pytest.mark.parametrize(
    ("first", "last", "lines"),
    [(1, 1, ("one",)), (2, 3, ("two", "drei")), (3, 99, ("drei", "")), (99, 99, ()), (1, 0, ())],
)
def test_cited_lines_count_from_one(first: int, last: int, lines: tuple[str, ...]) -> None:
    assert quote(cite(first, last), answered(b"one\ntwo\r\ndrei\n")).lines == lines


def test_what_a_script_says_to_tell_its_sources_apart_is_not_quoted() -> None:
    answer = asked(tcp="0.0.0.0:22\n", udp=None, tcp6=f"@{MARK[::-1]} end 0\n\n")
    whole_answer = cite(1, answer.stdout.count(b"\n"))
    assert quote(whole_answer, answer).lines == ("0.0.0.0:22", f"@{MARK[::-1]} end 0", "")
    assert quote(cite(1, 1), answer).lines == (), "the first line names the mark, and says nothing of the host"
    assert quote(whole_answer, answered(answer.stdout.partition(b"\n")[2])).lines[0].startswith("@"), "no mark was named"
    rows = b'{"of":"tcp","it":{"Port":22}}\n{"count":1,"ended":"ok","of":"tcp"}\n{"of":"udp","ended":"failed","id":"x"}\n'
    assert [line[:13] for line in quote(cite(1, 3), answered(rows)).lines] == ['{"of":"tcp","', '{"of":"udp","']


def test_the_stream_is_the_cited_one() -> None:
    assert quote(cite(1, 1, "stderr"), answered(b"out\n", stderr=b"err\n")).lines == ("err",)


def test_a_quote_is_short_and_says_so() -> None:
    answer = answered(b"x" * 10_000 + b"\n" + b"y\n" * 100)
    long = quote(cite(1, 1), answer)
    assert (long.lines, long.cut) == (("x" * MOST_CHARACTERS,), True)
    many = quote(cite(2, 101), answer)
    assert (many.lines, many.cut) == (("y",) * MOST_LINES, True)
    assert not quote(cite(2, 21), answer).cut


@given(st.binary(max_size=3000), st.integers(1, 50), st.integers(0, 50))
def test_hostile_bytes_never_break_a_quote(data: bytes, first: int, more: int) -> None:
    quoted = quote(cite(first, first + more), answered(data))
    assert len(quoted.lines) <= min(MOST_LINES, more + 1)
    assert all(len(line) <= MOST_CHARACTERS and "\n" not in line for line in quoted.lines)


def test_a_sentence_comes_back_in_the_readers_reach() -> None:
    sentence = Text("{a} {b} {c}", a=1, b=Text("no {what}", what="file"), c=None)
    assert as_kept(sentence) == sentence
    assert as_kept(sentence).params == sentence.params  # type: ignore[union-attr]
    assert as_kept(None) is None


def test_a_sentence_is_masked_and_its_odd_parameters_become_text() -> None:
    MASKER.learn(Secret("Zeisig#4711"))
    kept = as_kept(Text("{words} {odd}", words="said Zeisig#4711", odd=ValueError("Zeisig#4711")))
    assert str(kept) == "said *** ***"


def test_a_run_id_sorts_by_time_in_utc_and_is_not_guessed() -> None:
    now = datetime(2026, 11, 22, 10, 47, 55, tzinfo=UTC)
    first, second = new_run_id(now), new_run_id(now.astimezone(timezone(timedelta(hours=5))))
    assert re.fullmatch(r"20261122-104755-[0-9a-f]{6}", first)
    assert first[:15] == second[:15]
    assert first != second
    assert new_run_id(now + timedelta(seconds=1)) > first


def test_outcomes_that_were_seen() -> None:
    assert {outcome for outcome in Outcome if outcome.seen} == {Outcome.OK, Outcome.FINDINGS}
    assert RunState.ENDED.value == "ended"
