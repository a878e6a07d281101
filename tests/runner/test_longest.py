"""How long one host of a repair may take where nobody says it."""

from __future__ import annotations

import pytest

from runner.repair_planning import ASKING_S, LONGEST_S, longest_s
from tests.playbooks.playing import short

UNDOABLE = "  - {run: 'true', retry: never, deadline: 10s, rollback: [{run: 'true', retry: never, deadline: 1h}]}\n"
MINUTE = "durations: {typical: 10s, at_most: 1m}\n"
PROVED = "verify: {checks: [fs-space], settle: 10s, every: 0s, on_failure: roll_back}\n"
LOOP = UNDOABLE.replace("{run", "{loop: '[1, 2, 3]', at_most: 3, run", 1)
ASKED_S = 2 * ASKING_S
"""Before and after."""


@pytest.mark.parametrize(
    ("steps", "more", "forward_s", "undoing_s"),
    [
        (UNDOABLE, "", ASKED_S + 10 + 3600, ASKED_S + 10 + 3600 + 3600 + ASKING_S),
        (UNDOABLE, MINUTE, ASKED_S + 60, ASKED_S + 60 + 3600 + ASKING_S),
        (UNDOABLE, MINUTE + PROVED, ASKED_S + 60 + 10 + 3600 + ASKING_S, ASKED_S + 60 + 10 + 3600 + ASKING_S),
        (LOOP, MINUTE, ASKED_S + 60, ASKED_S + 60 + 3 * 3600 + ASKING_S),
        (9 * LOOP, MINUTE, ASKED_S + 60, LONGEST_S),
    ],
)
def test_undoing_has_a_time_of_its_own_beside_what_a_playbook_says_of_itself(
    steps: str, more: str, forward_s: float, undoing_s: float
) -> None:
    """It was cut off after the minute in which the steps are done: its rollback takes an hour."""
    playbook = short(steps, more)
    assert longest_s(playbook) == forward_s
    assert longest_s(playbook, undoes=True) == undoing_s
