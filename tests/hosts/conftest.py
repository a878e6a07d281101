"""Three Debian hosts with systemd and one with busybox and dropbear, made once for all tests of this folder."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.hosts import ills
from tests.hosts.realhosts import RealLab
from tests.hosts.support import FIXED, SupportDesk

PASSWORD = "Right-Пароль"
HOST = "  {name}: {{address: {address}, credential: {credential}, vars: {{thresholds: {thresholds}}}{more}}}\n"
THRESHOLDS = (
    "{log-big: {bytes: 120 MiB}, time-unsync: {grace_s: 0}, proc-runaway: {seconds: 0, percent: 5.0},"
    " fs-deleted: {bytes: 1 MiB}}"
)


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


@pytest.fixture(scope="session")
def ward(lab: RealLab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SupportDesk]:
    """Return a desk that has enrolled mend1 (systemd, sudo with a password), old1 (System V) and box1 (busybox, as root)."""
    lab.add("mend1", "systemd")
    lab.add("old1", "sysvinit")
    lab.wait("mend1", "old1")
    lab.enter("mend1", ills.LATER_PACKAGES)
    lab.enter("mend1", f"echo plain:{PASSWORD} | chpasswd; echo 'plain ALL=(ALL) ALL' >/etc/sudoers.d/plain")
    desk = SupportDesk(lab, tmp_path_factory.mktemp("ward") / "home", secrets={"SUDO_PASSWORD": PASSWORD})
    desk.home.mkdir(mode=0o700)
    key = f"key: {lab.key}"
    desk.add_to_inventory(
        f"credentials:\n  asked: {{user: plain, {key}, become: {{password: {{env: SUDO_PASSWORD}}}}}}\n"
        f"  free: {{user: ops, {key}}}\n  root: {{user: root, {key}}}\nhosts:\n"
    )
    known = {"mend1": ("asked", ", expect: {names: [erp.nord.example]}"), "old1": ("free", ""), "box1": ("root", "")}
    for name, (credential, more) in known.items():
        address = lab.hosts[name].address
        desk.add_to_inventory(HOST.format(name=name, address=address, credential=credential, thresholds=THRESHOLDS, more=more))
    desk.enrol("mend1", "old1", "box1")
    yield desk
    lab.remove("mend1")
    lab.remove("old1")
