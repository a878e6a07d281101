"""The shipped checks against captures of real hosts, their words, and their figures."""

from pathlib import Path

import pytest

import diagnostics.library
from diagnostics.check_tests import run_check_tests
from diagnostics.library import Library
from diagnostics.verdict import Verdict

SHIPPED = sorted(path.stem for path in (Path(diagnostics.library.__file__).parent / "checks").glob("*.yaml"))


def test_every_file_is_a_check(shipped: Library) -> None:
    assert sorted(shipped.checks) == SHIPPED
    assert len(SHIPPED) >= 25


@pytest.mark.parametrize("name", SHIPPED)
def test_a_check_says_of_captures_what_it_should(name: str, shipped: Library, captures: Path) -> None:
    check = shipped.checks[name]
    results = run_check_tests(check, shipped, captures)
    assert [f"{one.place}: {one.evidence}: {one.problem}" for one in results if one.problem] == []


@pytest.mark.parametrize("name", SHIPPED)
def test_a_check_brings_a_firing_and_a_silent_capture(name: str, shipped: Library) -> None:
    verdicts = [test.verdict for test in shipped.checks[name].tests]
    assert Verdict.FINDING in verdicts and Verdict.CLEAR in verdicts


@pytest.mark.parametrize("name", SHIPPED)
def test_every_severity_that_a_check_can_reach_is_tried(name: str, shipped: Library) -> None:
    """Thresholds are moved where no host was that badly off: the rule is tried all the same."""
    check = shipped.checks[name]
    tried = {finding.severity for test in check.tests for finding in test.findings}
    assert {level.severity for level in check.levels} <= tried


@pytest.mark.parametrize("name", SHIPPED)
def test_a_check_speaks_both_languages(name: str, shipped: Library) -> None:
    content = shipped.checks[name].content
    for words in (content.title, content.finding, content.cause):
        assert set(words) == {"en", "ru"}
        assert any("а" <= letter <= "я" for letter in words["ru"].lower())
        assert not any("а" <= letter <= "я" for letter in words["en"].lower())


def test_severities_are_in_order(shipped: Library) -> None:
    for check in shipped.checks.values():
        ranks = [level.severity.rank for level in check.levels]
        assert ranks == sorted(ranks, reverse=True)
