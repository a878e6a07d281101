"""The versions that are safe: the same here, in pyproject.toml, and in what refuses to run."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from remote.safe_versions import ASYNCSSH, CRYPTOGRAPHY, LIBRARIES, PARAMIKO, SafeVersion, installed, unsafe


@pytest.mark.parametrize("library", [ASYNCSSH, CRYPTOGRAPHY], ids=lambda library: library.name)
def test_what_we_depend_on_is_declared_with_its_safe_version(repository: Path, library: SafeVersion) -> None:
    declared = tomllib.loads((repository / "pyproject.toml").read_text())["project"]["dependencies"]
    (own,) = (one for one in declared if re.match(rf"{library.name}\b", one))
    assert own.rpartition(">=")[2] == library.least


@pytest.mark.parametrize("library", LIBRARIES, ids=lambda library: library.name)
def test_each_minimum_names_its_advisories(library: SafeVersion) -> None:
    assert library.advisories
    assert all(re.fullmatch(r"CVE-20\d\d-\d{4,6}|GHSA(-[0-9a-z]{4}){3}", one) for one in library.advisories)


def test_what_is_installed_beside_us_is_safe() -> None:
    assert {"asyncssh", "cryptography"} <= set(installed())
    assert unsafe(installed()) == ()


@pytest.mark.parametrize(
    ("version", "safe"),
    [
        ("2.23.1", True),
        ("2.23.1.dev0", True),
        ("2.23.0", False),
        ("2.9.9", False),
        ("2.100", True),
        ("3", True),
        ("2.23", False),
    ],
)
def test_versions_are_compared_by_their_numbers(version: str, safe: bool) -> None:
    assert (unsafe({"asyncssh": version}) == ()) is safe


@pytest.mark.parametrize(
    ("library", "version", "module"),
    [
        (ASYNCSSH, "2.23.0", "remote.ssh"),
        (CRYPTOGRAPHY, "49.0.1", "remote.ssh"),
        (CRYPTOGRAPHY, "49.0.1", "remote.windows.winrm"),
        (CRYPTOGRAPHY, "49.0.1", "remote.enrol"),
        (CRYPTOGRAPHY, "49.0.1", "remote.threaded.library"),
        (PARAMIKO, "4.0.0", "remote.threaded.library"),
    ],
    ids=lambda one: one.name if isinstance(one, SafeVersion) else one,
)
def test_no_connection_is_made_with_a_library_that_has_known_holes(
    library: SafeVersion, version: str, module: str, repository: Path, tmp_path: Path
) -> None:
    """Whatever connects imports it first, and is refused then: there is nothing yet that could be sent."""
    (tmp_path / f"{library.name}.py").write_text(f"__version__ = '{version}'\n")
    path = os.pathsep.join([str(tmp_path), str(repository)])
    done = subprocess.run(
        [sys.executable, "-c", f"import {module}"],
        env={"PYTHONPATH": path}, cwd="/", capture_output=True, text=True, check=False,
    )  # fmt: skip
    told = f"LibraryTooOld: {library.name} {version} has known holes; at least {library.least} is needed"
    assert done.returncode == 1 and told in done.stderr


@pytest.mark.parametrize(
    ("library", "version"), [(ASYNCSSH, "2.23.0"), (CRYPTOGRAPHY, "49.0.1"), (PARAMIKO, "4.0.0")], ids=lambda one: str(one)[:9]
)
def test_whoever_asks_is_told_before_anything_is_asked(library: SafeVersion, version: str, tmp_path: Path) -> None:
    """By what is installed: no host is asked, no run begins, and no fault of ours is made of it."""
    info = tmp_path / "old" / f"{library.name}-{version}.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {library.name}\nVersion: {version}\n")
    (home := tmp_path / "home").mkdir(mode=0o700)
    (home / "inventory.yaml").write_text("hosts: {web1: {address: 127.0.0.1, port: 9}}\n")
    longarm, environ = Path(sys.executable).with_name("longarm"), {"PYTHONPATH": str(info.parent), "LONGARM_HOME": str(home)}
    done = subprocess.run([longarm, "diagnose", "web1"], env=environ, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (7, "")
    needed = f"{library.name} {version} has known holes; at least {library.least} is needed"
    assert done.stderr == f"error: {needed}\nnext: reinstall longarm: pipx reinstall longarm\n"
    assert not (home / "crashes").exists() and not list(home.glob("reports/*"))
