"""What every test shares: which machines can run what, and an environment that is nobody's."""

from __future__ import annotations

import os
import shutil
from collections.abc import Generator
from pathlib import Path

import pytest

from tests.hosts import realhosts

NO_SKIPS = bool(os.environ.get("LONGARM_NO_SKIPS"))
SOAK = bool(os.environ.get("LONGARM_SOAK"))


def _absent(marker: str) -> str:
    path = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
    if marker == "hosts":
        return realhosts.missing()
    if marker == "server":
        names = [name for name in ("sshd", "dropbear", "ssh-keygen", "busybox") if not shutil.which(name, path=path)]
        return f"not installed: {', '.join(names)}" if names else ""
    return "" if shutil.which("chromium", path=path) else "not installed: chromium"


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """Return three for each core: most of the time of the tests is waiting, for a deadline or for a process they look at."""
    return 3 * len(os.sched_getaffinity(0))


@pytest.hookimpl(tryfirst=True)  # before xdist goes by the groups
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leave out what this machine cannot run, and begin with what takes long, so that no worker ends alone with it.

    Hosts share one worker, since they share one switch; so do tests with a browser, which takes a second to start.
    """
    for marker in ("hosts", "server", "browser"):
        chosen = [item for item in items if item.get_closest_marker(marker)]
        reason = _absent(marker) if chosen else ""
        for item in chosen:
            if marker != "server" and item.get_closest_marker("xdist_group") is None:
                item.add_marker(pytest.mark.xdist_group(marker))
            if reason:
                item.add_marker(pytest.mark.skip(reason=f"{marker}: {reason}"))
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
    """Say in one line what was left out, and why."""
    left_out: dict[str, int] = {}
    for report in terminalreporter.getreports("skipped"):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        left_out[reason] = left_out.get(reason, 0) + 1
    for reason, count in sorted(left_out.items()):
        terminalreporter.write_line(f"left out: {count} tests: {reason.removeprefix('Skipped: ')}")


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


@pytest.fixture(scope="session")
def repository() -> Path:
    """Return the root of the work tree."""
    return Path(__file__).parent.parent
