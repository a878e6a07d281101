"""What was typed before a question was asked is no answer to it: one that comes too late may be meant for another host."""

from __future__ import annotations

import asyncio
import io
import os
import pty
import select
import sys
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from console.near_end import NearEnd
from console.operating import AtTerminal
from console.terminal import agreed
from inventory.errors import Text
from playbooks.params import Param, ParamType
from playbooks.ports import Asked
from runner.service.call import Want


@dataclass(slots=True, kw_only=True)
class Seat:
    """A terminal at which somebody types."""

    ours: int
    theirs: int

    def type(self, words: bytes) -> None:
        """Type a line, and return once it can be read."""
        os.write(self.ours, words)
        assert select.select([self.theirs], [], [], 30)[0]


@pytest.fixture
def seat(monkeypatch: pytest.MonkeyPatch) -> Iterator[Seat]:
    ours, theirs = pty.openpty()
    with open(theirs, encoding="utf-8", closefd=False) as stdin:
        monkeypatch.setattr(sys, "stdin", stdin)
        yield Seat(ours=ours, theirs=theirs)
    os.close(ours)
    os.close(theirs)


class Answering(io.StringIO):
    """Somebody who types an answer as soon as something is asked."""

    def __init__(self, seat: Seat, answer: bytes) -> None:
        super().__init__()
        self._seat, self._answer = seat, answer

    def write(self, text: str) -> int:
        self._seat.type(self._answer)
        return len(text)


@pytest.mark.parametrize(("early", "answer", "said"), [(b"y\n", b"n\n", False), (b"n\n", b"y\n", True)])
def test_what_is_agreed_to_was_asked_before(
    seat: Seat, early: bytes, answer: bytes, said: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    seat.type(early)
    monkeypatch.setattr(sys, "stderr", Answering(seat, answer))
    assert agreed(Text("Undo it there now?")) is said


def test_the_late_answer_for_one_host_is_none_for_the_next(seat: Seat) -> None:
    asked = Asked(
        key="s1", host="db-2", question={"en": "Which disk?"}, answer=Param(name="answer", type=ParamType.STRING), wrong=None
    )
    seat.type(b"sda\n")
    assert asyncio.run(AtTerminal().answer(asked, deadline_s=0.05)) is None


def test_at_the_near_end_of_a_service_it_is_the_same(seat: Seat) -> None:
    seat.type(b"y\n")
    assert NearEnd(()).give(Want.LINE) == seat.theirs
    assert select.select([seat.theirs], [], [], 0)[0] == []
    seat.type(b"y\n")
    assert NearEnd(()).give(Want.ALL) == seat.theirs
    assert os.read(seat.theirs, 16) == b"y\n", "what is read to its end is no answer"
