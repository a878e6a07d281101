"""Which checks a run has, by the platforms of its hosts; and that a host is changed only as what it is."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import pytest

from diagnostics.library import Library, load_library
from inventory.host import Host, Platform, Selection
from playbooks.load import find_playbook
from runner import untried
from runner.desk import Desk
from runner.observer import Silent
from runner.outcome import KEPT_OFF, Outcome
from runner.planning import plan_of
from runner.record import HostRecord
from runner.request import DiagnoseRequest
from runner.store.port import Store
from tests.runner.repairs import MEND, Bench, hosts_folder
from tests.runner.test_by_hand import SLOW
from tests.runner.test_taking_turns import going_on, stopped_in_mid_step
from tests.runner.test_undoing import put


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


@pytest.fixture
def bench() -> Iterator[Bench]:
    with hosts_folder() as folder:
        yield Bench(folder)


def changed(home: Path, bench: Bench, platform: Platform, **more: Any) -> HostRecord:
    """Return how a host of this machine, which has Linux, is repaired where the inventory says that it has this platform."""
    playbook = bench.playbook(MEND.replace("[linux]", f"[{platform.value}]"))
    (host,) = bench.selection("db-1").hosts
    selection = Selection(expression="db-1", hosts=(replace(host, platform=platform),))
    with Desk.open(home, write=True, actor="anna") as desk:
        (home / "config.yaml").write_text("changes: {macos: true}\n")
        request = bench.asking(playbook=playbook, forced="to see", selection=selection, **more)
        return asyncio.run(desk.repair(request, connect=bench.connect, observer=Silent())).hosts[0]


@pytest.mark.parametrize("only_plan", [False, True])
def test_what_is_for_a_mac_is_not_done_to_a_host_that_is_none(home: Path, bench: Bench, only_plan: bool) -> None:
    host = changed(home, bench, Platform.MACOS, only_plan=only_plan)
    assert (host.outcome, host.error_kind, host.error_kind in KEPT_OFF) == (Outcome.REFUSED, "OtherPlatform", True)
    assert str(host.error) == "the inventory says that db-1 has macos, and its kernel is Linux"
    assert str(host.hint) == "put its platform right in the inventory: longarm inventory show db-1"
    assert bench.effects("db-1") == []


def test_a_mac_that_the_inventory_takes_for_linux_is_not_changed(
    home: Path, bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(untried, "KERNEL", replace(untried.KERNEL, script="echo Darwin"))
    assert changed(home, bench, Platform.LINUX).error_kind == "OtherPlatform"
    assert bench.effects("db-1") == []


def test_a_host_that_has_become_another_one_is_not_gone_on_with(
    home: Path, bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was seen before is on disk and not asked again; what it has begun can go on once it is that host again."""
    put(bench, "db-1", "set", "old\n")
    with Desk.open(home, write=True, actor="anna") as desk:
        stopped = stopped_in_mid_step(desk, bench)
        put(bench, "db-1", "go", "")
        with monkeypatch.context() as other:
            other.setattr(untried, "KERNEL", replace(untried.KERNEL, script="echo Darwin"))
            (host,) = asyncio.run(going_on(desk, bench, stopped.run, SLOW)).hosts
        assert (host.outcome, host.error_kind) == (Outcome.INTERRUPTED, "OtherPlatform")
        (host,) = asyncio.run(going_on(desk, bench, stopped.run, SLOW)).hosts
    assert (host.outcome, bench.effects("db-1")) == (Outcome.FINDINGS, ["set"])


@pytest.mark.parametrize("script", ["uname -s", "exit 127", "true", "echo Darwin; exit 1"])
def test_a_host_that_says_nothing_else_is_what_the_inventory_says(
    home: Path, bench: Bench, monkeypatch: pytest.MonkeyPatch, script: str
) -> None:
    monkeypatch.setattr(untried, "KERNEL", replace(untried.KERNEL, script=script))
    host = changed(home, bench, Platform.LINUX)
    assert (host.outcome, host.error_kind, bench.effects("db-1")) == (Outcome.OK, "", ["one", "two"])
