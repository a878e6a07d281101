"""Three Debian hosts with systemd and one with busybox and dropbear, made once for all tests of this folder."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.hosts.realhosts import RealLab


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
