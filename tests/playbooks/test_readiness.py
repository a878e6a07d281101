"""What has to be there before a playbook begins, or goes on: only what a host still comes to counts."""

from __future__ import annotations

from pathlib import Path

import pytest

from inventory.errors import UsageError
from playbooks.model import Playbook
from playbooks.readiness import Passed, refuse_unready, refuse_unready_undoing
from playbooks.testing import FakeOperator
from tests.playbooks.playing import HEAD, short

ASK = "{ask: {question: {en: Sure?, ru: Точно?}, answer: {type: string}}}"
STEPS = f"  - {{run: a, rollback: [{ASK}, {{run: not a}}]}}\n  - {ASK}\n  - {{run: b}}\n"


def refused(playbook: Playbook, *hosts: Passed, undoing: bool = False) -> bool:
    refuse = refuse_unready_undoing if undoing else refuse_unready
    try:
        refuse(playbook, FakeOperator(present=False), *([hosts] if hosts else []))
    except UsageError:
        return True
    return False


def passed(*ended: str, begun: tuple[str, ...] = ()) -> Passed:
    return Passed(begun=frozenset((*ended, *begun)), ended=frozenset(ended))


@pytest.mark.parametrize(
    ("hosts", "expected"),
    [
        ((), True),
        ((passed(),), True),
        ((passed("s1"),), True),
        ((passed("s1", "s2"),), False),
        ((passed("s1", begun=("s2",)),), True),
        ((passed("s1", begun=("s3",)),), False),
        ((passed("s1", "s2"), passed("s1")), True),
    ],
)
def test_a_question_counts_while_a_host_still_comes_to_it(hosts: tuple[Passed, ...], expected: bool) -> None:
    assert refused(short(f"  - {{run: a}}\n  - {ASK}\n  - {{run: b}}\n"), *hosts) is expected


def test_of_what_is_undone_only_the_questions_of_that_count() -> None:
    playbook = short(STEPS)
    assert refused(playbook, undoing=True) and refused(playbook, passed("s1.r2"), undoing=True)
    assert not refused(playbook, passed("s1.r1"), undoing=True)
    assert not refused(short(f"  - {ASK}\n  - {{run: a, rollback: [{{run: b}}]}}\n"), passed(), undoing=True)
    assert refused(playbook, passed("s1", "s2", "s3")), "it may have to be undone, and that asks"


@pytest.mark.parametrize(
    ("begun", "expected"), [(("s1.i1.s1", "s1.i1.s2"), True), (("s1.i1", "s1.i2.s1"), True), (("s1.i1", "s2"), False)]
)
def test_what_is_asked_for_each_item_is_passed_once_all_of_its_loop_is(
    tmp_path: Path, begun: tuple[str, ...], expected: bool
) -> None:
    (tmp_path / "inner.yaml").write_text(HEAD.replace("short", "inner") + f"steps:\n  - {ASK}\n  - {{run: a}}\n")
    playbook = short("  - {include: inner, loop: '[1, 2]'}\n  - {run: b}\n", folder=tmp_path)
    assert refused(playbook, passed(*begun)) is expected
