"""The unit of the service under a real systemd, set up as docs/service.md says: who calls it, what its end leaves."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.hosts.installed import install
from tests.hosts.realhosts import RealLab

pytestmark = pytest.mark.hosts
DESK = "desk1"
HOME = Path("/var/lib/longarm")
SET_UP = """
useradd --system --home-dir /var/lib/longarm longarm
groupadd support
for name in olga anna eve; do useradd -m -s /bin/bash $name; done
usermod -aG support longarm && usermod -aG support olga && usermod -aG support anna
install -d -o longarm -g longarm -m 700 /var/lib/longarm
longarm serve --unit --group support > /etc/systemd/system/longarm.service
"""
START = f"""
chown -R longarm:longarm {HOME}
chmod 600 {HOME}/*
systemctl enable --now longarm 2>/dev/null && exit
journalctl --no-pager -n 40 -u longarm
cat {HOME}/crashes/*
exit 1
"""
ROLES = "roles:\n  - {role: L2, users: [olga]}\n  - {role: admin, users: [anna]}\n"


@dataclass(frozen=True, slots=True)
class Served:
    """The host on which the service runs, and its people."""

    lab: RealLab

    def shell(self, script: str) -> str:
        """Run a script there as root."""
        return self.lab.enter(DESK, script)

    def started(self, user: str, *words: str) -> subprocess.Popen[str]:
        """Start longarm as a user of that host."""
        login = ["runuser", "-u", user, "--", "env", "-C", f"/home/{user}", "LANG=C.UTF-8", "longarm", "--no-input", *words]
        entered = ["nsenter", "-t", str(self.lab.init_pid(DESK)), "-a", "-r", "-w", *login]
        return subprocess.Popen(entered, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def longarm(self, user: str, *words: str, exit_code: int = 0) -> str:
        """Run longarm as a user of that host, and return its stdout."""
        process = self.started(user, *words)
        out, err = process.communicate(timeout=120)
        assert process.returncode == exit_code, f"exit {process.returncode}\n{out}\n{err}"
        return out

    def runs(self) -> list[dict[str, Any]]:
        """Return the runs that the desk has, the newest first."""
        found: list[dict[str, Any]] = json.loads(self.longarm("anna", "--json", "run", "list"))
        return found

    def is_at_work(self) -> bool:
        """Tell whether a run is on its way."""
        return any(row["state"] == "running" for row in self.runs())

    def property(self, name: str) -> str:
        """Return what systemd says of the unit."""
        return self.shell(f"systemctl show --value -p {name} longarm").strip()


@pytest.fixture(scope="module")
def served(lab: RealLab) -> Iterator[Served]:
    """Boot a host, set the service up there word for word, and give it a host of the lab to look after."""
    host = lab.add(DESK, "systemd")
    install(host.folder / "root")
    lab.wait(DESK)
    lab.enter(DESK, SET_UP)
    home = host.folder / "root" / str(HOME).lstrip("/")
    shutil.copy(lab.key, home / "lab.key")
    inventory = lab.inventory(names=("web1",)).replace(str(lab.key), str(HOME / "lab.key"))
    (home / "inventory.yaml").write_text(inventory)
    (home / "config.yaml").write_text(ROLES)
    lab.enter(DESK, START)
    served = Served(lab)
    served.longarm("anna", "host", "enrol", "web1", "--fingerprint", f"web1={lab.fingerprint('web1')}")
    yield served
    lab.remove(DESK)


def test_people_are_who_the_kernel_says_and_get_the_work_done(served: Served) -> None:
    assert served.property("ActiveState") == "active"
    assert "a service of longarm; to it you are olga" in served.longarm("olga", "doctor", "--lang", "en")
    document = json.loads(served.longarm("olga", "--json", "diagnose", "web1", "--fail-on", "never"))
    assert [row["host"] for row in document["hosts"] if row["outcome"] in ("ok", "findings")] == ["web1"]
    assert "said on web1" in served.longarm("anna", "host", "run", "echo said on $(hostname)", "web1", "--json")
    served.longarm("olga", "secret", "list", exit_code=5)
    assert not json.loads(served.longarm("eve", "--json", "run", "list")), "who is not of the group has a home of their own"
    for folder in (HOME, "/run/longarm"):
        assert not served.shell(f"runuser -u olga -- touch {folder}/x 2>/dev/null && echo touched || true")


def test_nothing_but_the_home_can_be_written_and_no_right_gained(served: Served) -> None:
    main = served.property("MainPID")
    held = dict(line.split(":\t") for line in served.shell(f"cat /proc/{main}/status").splitlines() if ":\t" in line)
    assert (held["CapBnd"].strip("0"), held["NoNewPrivs"], held["Seccomp"]) == ("", "1", "2")
    inside = f"nsenter -t {main} -m -S $(id -u longarm) -G $(id -g longarm) --"
    assert (
        served.shell(f"for d in /etc /usr /opt/longarm /var/lib /home; do {inside} sh -c 'test -w '$d && echo $d; done; true")
        == ""
    )


def test_a_service_that_is_stopped_brings_what_is_on_its_way_to_a_safe_point(served: Served) -> None:
    with served.started("anna", "host", "run", "sleep 300", "web1") as begun:
        _until(served.is_at_work)
        served.shell("systemctl stop longarm")
        begun.communicate(timeout=60)
    assert (served.property("Result"), served.property("ActiveState")) == ("success", "inactive")
    assert served.shell("pgrep -u longarm; ls -A /run/longarm 2>/dev/null; true") == ""
    served.shell("systemctl start longarm")
    assert served.runs()[0]["state"] == "interrupted"


def test_a_service_that_is_killed_comes_again_and_knows_what_it_left(served: Served) -> None:
    before = int(served.property("NRestarts"))
    with served.started("anna", "host", "run", "sleep 300", "web1") as begun:
        _until(served.is_at_work)
        served.shell("systemctl kill --signal=KILL --kill-whom=main longarm")
        begun.communicate(timeout=60)
    _until(lambda: served.property("ActiveState") == "active" and int(served.property("NRestarts")) > before)
    assert served.runs()[0]["state"] == "interrupted"


def _until(true: Callable[[], bool]) -> None:
    end = time.monotonic() + 60
    while not true():
        assert time.monotonic() < end
        time.sleep(0.1)
