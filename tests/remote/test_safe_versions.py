"""The versions that are safe: the same here, in pyproject.toml, and in what refuses to run."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from remote.safe_versions import ASYNCSSH, CRYPTOGRAPHY, LIBRARIES, SafeVersion, installed, unsafe


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
