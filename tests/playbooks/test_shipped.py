"""The shipped repairs: sound in themselves, tried with every fault at every command, and the ones that checks name."""

from __future__ import annotations

from pathlib import Path

import pytest

from diagnostics.library import Library, load_library
from inventory.host import Platform
from playbooks.lint import lint_playbook
from playbooks.load import SHIPPED, load_playbook
from playbooks.model import Kind, Playbook
from playbooks.results import HostChange
from playbooks.scenario_files import load_scenarios, scenarios_of
from playbooks.scenarios import run_scenario
from playbooks.testing import FAULTS

REPAIRS = sorted(path for path in SHIPPED.glob("*.yaml") if path.stem != "standard")


@pytest.fixture(scope="module")
def library() -> Library:
    return load_library()


@pytest.fixture(params=REPAIRS, ids=lambda path: path.stem)
def path(request: pytest.FixtureRequest) -> Path:
    found: Path = request.param
    return found


@pytest.fixture
def repair(path: Path, library: Library) -> Playbook:
    return load_playbook(path, library)


def test_lint_finds_nothing(path: Path, library: Library) -> None:
    found = lint_playbook(path, library)
    assert ([str(issue) for issue in found.issues], found.unseen) == ([], ())


def test_every_scenario_ends_as_it_says_whatever_goes_wrong(path: Path, repair: Playbook, library: Library) -> None:
    scenarios = load_scenarios(scenarios_of(path), repair, library)
    results = [run_scenario(one, repair, library) for one in scenarios]
    assert [str(problem) for result in results for problem in result.problems] == []
    assert {one.faults for one in scenarios} == {tuple(FAULTS)}
    assert any(one.expected.plan for one in scenarios), "its plan is told"
    changes = {one.expected.change for one in scenarios}
    assert HostChange.CHANGED.value in changes and len(changes) > 1, "what mends, and what does not"


UNPROVED = frozenset(
    {
        *("release-deleted", "renew-certificate", "reset-linux-resolver", "reset-resolver", "tame-process"),
        *("reset-windows-resolver", "reset-windows-update", "restart-spooler"),
    }
)
"""Of what these fix no capture shows a finding, or it is one of Windows: tests on real hosts prove them."""


def test_a_scenario_in_which_a_host_is_repaired_says_what_becomes_of_the_finding(
    path: Path, repair: Playbook, library: Library
) -> None:
    scenarios = [one for one in load_scenarios(scenarios_of(path), repair, library) if one.host.platform is Platform.LINUX]
    repaired = [one for one in scenarios if one.expected.change == HostChange.CHANGED]
    proved = [one for one in repaired if one.expected.verdicts]
    assert proved == ([] if path.stem in UNPROVED else repaired)
    assert all(
        set(one.expected.verdicts) <= {*repair.fixes, *(repair.verify.checks if repair.verify else ())} for one in proved
    )


def test_it_says_what_it_does_and_what_it_cannot_undo_and_is_bounded(repair: Playbook) -> None:
    assert repair.kind is Kind.REPAIR and set(repair.says) == set(repair.title) == {"en", "ru"}
    assert repair.durations.typical_s and repair.durations.at_most_s
    assert repair.verify is not None and set(repair.fixes) <= set(repair.verify.checks)
    for param in repair.params.values():
        assert set(param.says) == {"en", "ru"}, param.name
    for one in (one for step in repair.steps for one in (step, *step.rollback)):
        assert set(one.titles) == {"en", "ru"}, one.name
    undone = any(step.rollback for step in repair.steps)
    assert undone or any(word in repair.says["en"] for word in ("undone", "brought back", "put back")), repair.id


def test_every_check_that_it_fixes_is_of_its_platforms(repair: Playbook, library: Library) -> None:
    platforms = {platform for check in repair.fixes for platform in library.checks[check].platforms}
    assert platforms == {str(Platform(one)) for one in repair.platforms}


def test_what_checks_offer_is_there_with_these_parameters(library: Library) -> None:
    shipped = {path.stem: load_playbook(path, library) for path in REPAIRS}
    for check in library.checks.values():
        if check.remedy is not None and (repair := shipped.get(check.remedy.playbook)) is not None:
            assert check.id in repair.fixes, check.id
            assert set(check.remedy.params) <= set(repair.params), check.id
            needed = {name for name, param in repair.params.items() if param.default is None}
            assert needed <= set(check.remedy.params), check.id
