"""Three Debian hosts with systemd and one with busybox and dropbear, made once for all tests of this folder."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.hosts.realhosts import RealLab
from tests.hosts.support import FIXED, SupportDesk


@pytest.fixture(scope="session")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealLab]:
    """Boot web1, db1 and app1 (systemd) and box1 (busybox); a test that breaks a host mends it or adds its own."""
    folder: Path = tmp_path_factory.mktemp("hosts")
    with RealLab(folder) as lab:
        for name in ("web1", "db1", "app1"):
            lab.add(name, "systemd")
        lab.add("box1", "busybox")
        lab.wait()
        yield lab


@pytest.fixture
def desk(lab: RealLab, tmp_path: Path) -> SupportDesk:
    """Return a desk that has enrolled all hosts."""
    desk = SupportDesk(lab, tmp_path / "home")
    desk.home.mkdir(mode=0o700)
    desk.add_to_inventory(lab.inventory(names=FIXED))
    desk.enrol(*FIXED)
    return desk


@pytest.fixture
def spare(lab: RealLab) -> Iterator[str]:
    """Return the name of a fresh systemd host that a test may break; it is gone afterwards."""
    lab.add("spare1", "systemd")
    lab.wait("spare1")
    yield "spare1"
    lab.remove("spare1")
