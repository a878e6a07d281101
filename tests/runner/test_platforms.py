"""Which checks a run has: those of its playbook that concern a platform of its hosts, or those that somebody named."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, cast

import pytest

from diagnostics.library import Library, load_library
from inventory.host import Host, Platform, Selection
from playbooks.load import find_playbook
from runner.planning import plan_of
from runner.request import DiagnoseRequest
from runner.store.port import Store


class NoStates:
    """A store that knows of no earlier run."""

    def states(self, hosts: Sequence[str]) -> tuple[()]:
        return ()


@pytest.fixture(scope="module")
def library() -> Library:
    return load_library()


def planned(library: Library, *platforms: Platform, checks: tuple[str, ...] | None = None) -> Any:
    hosts = tuple(Host(name=f"h{place}", address="192.0.2.1", platform=one) for place, one in enumerate(platforms))
    playbook = find_playbook("standard")
    request = DiagnoseRequest(
        selection=Selection(expression="all", hosts=hosts),
        playbook=playbook,
        library=library,
        checks=checks or playbook.checks,
        case=None,
        actor="anna",
    )
    return plan_of(request, cast("Store", NoStates()), lambda: datetime(2026, 11, 29, tzinfo=UTC)).begin.run


def test_a_run_has_the_checks_of_its_hosts_platforms(library: Library) -> None:
    of = {name: set(check.platforms) for name, check in library.checks.items()}
    linux, windows = planned(library, Platform.LINUX).checks, planned(library, Platform.WINDOWS).checks
    assert {platform for name in linux for platform in of[name]} == {"linux"}
    assert {platform for name in windows for platform in of[name]} == {"windows"}
    assert sorted((*linux, *windows)) == sorted(planned(library, Platform.LINUX, Platform.WINDOWS).checks)
    assert len(windows) >= 24
    assert not planned(library, Platform.LINUX).request["checks_chosen"]


def test_checks_that_were_named_stay_and_a_platform_without_any_is_told_so(library: Library) -> None:
    named = planned(library, Platform.LINUX, checks=("win-disk",))
    assert (named.checks, named.request["checks_chosen"]) == (("win-disk",), True)
    assert planned(library, Platform.MACOS).checks == find_playbook("standard").checks
