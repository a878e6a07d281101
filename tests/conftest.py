"""What every test shares: which machines can run what, an environment that is nobody's, and properties without a clock."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Generator, Iterator
from functools import partial
from pathlib import Path

import pytest
from hypothesis import settings

from console.words import call_with, speak
from inventory.secret import MASKER
from runner.called import PLAIN
from tests.hosts import realhosts

NO_SKIPS = bool(os.environ.get("LONGARM_NO_SKIPS"))
SOAK = bool(os.environ.get("LONGARM_SOAK"))
Measured = Callable[[str], None]
_MEASURED = "measured"

settings.register_profile("longarm", deadline=None, derandomize=not SOAK)  # the same examples in every run, new ones in a soak
settings.load_profile("longarm")


_PROGRAMS = {
    "server": ("sshd", "dropbear", "ssh-keygen", "busybox"),
    "browser": ("chromium",),
    "alertmanager": ("prometheus-alertmanager",),
}
"""What has to be installed, by the marker of the tests that need it."""


def _absent(marker: str) -> str:
    if marker == "hosts":
        return realhosts.missing()
    path = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
    names = [name for name in _PROGRAMS[marker] if not shutil.which(name, path=path)]
    return f"not installed: {', '.join(names)}" if names else ""


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """Return three for each core: most of the time of the tests is waiting, for a deadline or for a process they look at."""
    return 3 * len(os.sched_getaffinity(0))


CHANGE_THIS_MACHINE = frozenset(
    ("approve", "changes_both_ways", "config", "hold", "mute", "own_playbooks", "permits", "repair", "signing", "spread")
)
"""Of tests/console, without `test_`."""


@pytest.hookimpl(tryfirst=True)  # before xdist goes by the groups
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leave out what this machine cannot run, and begin with what takes long, so that no worker ends alone with it.

    Hosts share one worker, since they share one switch; so do tests with a browser, which takes a second to start, and those
    whose desks change this machine as root: its one fence keeps off who began before another of them did.
    """
    for marker in ("hosts", *_PROGRAMS):
        chosen = [item for item in items if item.get_closest_marker(marker)]
        reason = _absent(marker) if chosen else ""
        for item in chosen:
            if marker in ("hosts", "browser") and item.get_closest_marker("xdist_group") is None:
                item.add_marker(pytest.mark.xdist_group(marker))
            if reason:
                item.add_marker(pytest.mark.skip(reason=f"{marker}: {reason}"))
    for item in items:
        if item.path.parent.name == "console" and item.path.stem.removeprefix("test_") in CHANGE_THIS_MACHINE:
            item.add_marker(pytest.mark.xdist_group("this_machine"))
    items.sort(key=lambda item: item.get_closest_marker("long") is None)  # what is alike stays in its random order


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Turn a skip into a failure where everything could have run (LONGARM_NO_SKIPS, set by .ci/run)."""
    report = yield
    if NO_SKIPS and report.skipped and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"{item.nodeid} was left out, and here nothing may be: {report.longrepr}"
    return report


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say in one line what was left out, and why; in a soak, what was measured."""
    left_out: dict[str, int] = {}
    for report in terminalreporter.getreports("skipped"):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        left_out[reason] = left_out.get(reason, 0) + 1
    for reason, count in sorted(left_out.items()):
        terminalreporter.write_line(f"left out: {count} tests: {reason.removeprefix('Skipped: ')}")
    for report in terminalreporter.getreports("passed") if SOAK else ():
        for name, text in report.user_properties:
            if name == _MEASURED:
                terminalreporter.write_line(f"measured: {text}")


@pytest.fixture(autouse=True)
def nobodys_environment(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Give each test a home of its own and none of the developer's settings."""
    for name in list(os.environ):
        if name.startswith("LONGARM_") and name not in {"LONGARM_SOAK", "LONGARM_NO_SKIPS"}:
            monkeypatch.delenv(name)
    for name in ("SSH_AUTH_SOCK", "NO_COLOR", "LANGUAGE", "LC_ALL", "LC_MESSAGES"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path_factory.mktemp("home")))
    monkeypatch.setenv("LANG", "C.UTF-8")


@pytest.fixture(autouse=True)
def nobodys_secrets() -> Iterator[None]:
    """Forget what a test has taught to be masked: the password of one was a word in the message of another."""
    kept = MASKER._forms, MASKER._packed_forms
    yield
    MASKER._forms, MASKER._packed_forms = kept


@pytest.fixture(autouse=True)
def nobodys_words() -> None:
    """Speak English, with no options of a command line: some tests call ours in their own process."""
    speak("en")
    call_with(PLAIN)


@pytest.fixture
def measured(record_property: Callable[[str, object], None]) -> Measured:
    """Return what takes a figure that a soak prints in the end."""
    return partial(record_property, _MEASURED)


@pytest.fixture(scope="session")
def repository() -> Path:
    """Return the root of the work tree."""
    return Path(__file__).parent.parent
