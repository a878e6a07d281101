"""Thresholds that the inventory sets: every mistake once, at the place where it stands, with the nearest name."""

from __future__ import annotations

from pathlib import Path

import pytest

from diagnostics.library import load_library
from diagnostics.thresholds import host_problems
from inventory.errors import UsageError
from inventory.host import Host
from inventory.own import load_inventory

INVENTORY = """\
defaults: {vars: {thresholds: {fs-space: {warning: 85}}}}
groups:
  db:
    vars:
      thresholds:
        fs-space:
          critical: 97
    hosts: {db1: {}, db2: {vars: {role: primary}}}
"""


def problems(path: Path, was: str = "", becomes: str = "") -> list[str]:
    path.write_text(INVENTORY.replace(was, becomes) if was else INVENTORY)
    found = host_problems(load_inventory([path]).hosts.values(), load_library().checks, {})
    return [str(problem).removeprefix(f"{path}:") for problem in found]


def test_what_fits_is_no_problem(tmp_path: Path) -> None:
    assert problems(tmp_path / "i.yaml") == []


@pytest.mark.parametrize(
    ("was", "becomes", "told"),
    [
        ("fs-space:\n", "fs-spase:\n", "6:9: there is no check “fs-spase” (did you mean fs-space, "),
        ("critical: 97", "critcal: 97", "7:11: fs-space has no threshold “critcal” (it has warning, "),
        ("critical: 97", "critical: high", "7:11: the threshold fs-space.critical is a number"),
        (
            "critical: 97",
            "critical_clear: 99",
            "7:11: the threshold fs-space.critical_clear lies on the wrong side of its bound",
        ),
        ("critical: 97", "critical: 50", "1:43: the threshold fs-space.warning lies on the wrong side of its bound"),
        ("warning: 85", "warning: 79", "1:32: the threshold fs-space.warning_clear lies on the wrong side"),
        (
            "fs-space:\n          critical: 97",
            "log-big:\n          bytes: 50 MiB",
            "7:11: the threshold log-big.bytes is at least 104857600: the host tells of nothing below (longarm check show",
        ),
        (
            "fs-space:\n          critical: 97",
            "proc-pids:\n          warning: 40",
            "7:11: the threshold proc-pids.warning is at least 50: the host tells of nothing below",
        ),
        ("critical: 97", "critical_available: 5 MiBs", "7:11: the threshold fs-space.critical_available is a whole number"),
    ],
)
def test_each_mistake_is_told_once_at_its_place(tmp_path: Path, was: str, becomes: str, told: str) -> None:
    (problem,) = problems(tmp_path / "i.yaml", was, becomes)
    assert problem.startswith(told)


@pytest.mark.parametrize(
    "text", ["5", "[1]", "{'fs-space': 7}", "{'fs-space': {'warning': None}}", "{'fs-space': {'warning': [1]}}"]
)
def test_of_another_source_too_what_is_no_threshold_is_told_at_its_place(tmp_path: Path, text: str) -> None:
    (tmp_path / "hosts.ini").write_text(f'web1 thresholds="{text}"\n')
    (tmp_path / "inventory.yaml").write_text("sources: [{ansible: hosts.ini}]\n")
    (problem,) = host_problems(load_inventory([tmp_path / "inventory.yaml"]).hosts.values(), load_library().checks, {})
    assert str(problem).startswith(f"{tmp_path}/hosts.ini:1:") and "must be values by check and name" in str(problem)


def test_a_host_without_places_is_named() -> None:
    host = Host(name="h", address="h", vars={"thresholds": {"fs-space": {"warnin": 1}}})
    with pytest.raises(UsageError, match="the thresholds of host h: fs-space has no threshold “warnin”"):
        list(host_problems([host], load_library().checks, {}))
