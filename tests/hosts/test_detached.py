"""Detached commands on real hosts: under systemd and sudo, on busybox with dropbear, through a reboot and a login's end."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.hosts.realhosts import RealLab

pytestmark = pytest.mark.hosts


def taken(lab: RealLab, name: str, *steps: tuple[str, str, str, str], user: str = "ops") -> list[dict[str, Any]]:
    """Return how commands stand on a host after each step, asked over one connection."""
    host = lab.hosts[name]
    public = host.folder / "root/etc/ssh/ssh_host_ed25519_key.pub"
    if public.exists():
        key = public.read_text()
    else:
        words = ("ip", "netns", "exec", lab.desk, "ssh-keyscan", "-t", "ed25519", host.address)
        key = subprocess.run(words, capture_output=True, text=True, check=True).stdout.split(" ", 1)[1]
    words = ("ip", "netns", "exec", lab.desk, sys.executable, "-m", "tests.hosts.detached", str(lab.key))
    done = subprocess.run(
        [*words, key.strip(), host.address, user, json.dumps(steps)],
        capture_output=True,
        text=True,
        check=False,
        timeout=150,
        cwd=Path(__file__).parents[2],
        env={"PATH": os.environ["PATH"], "HOME": "/nonexistent"},
    )
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_root_by_sudo_on_systemd_gets_a_scope_of_its_own(lab: RealLab) -> None:
    script = "cat /proc/self/cgroup; systemctl is-active longarm-systemd-scope.scope"
    done, forgotten = taken(lab, "web1", ("start", "systemd-scope", script, "root"), ("forget", "systemd-scope", "", "root"))
    assert (done["state"], done["exit_status"], done["place"]) == ("done", 0, "/var/lib/longarm")
    assert "longarm-systemd-scope.scope" in done["stdout"] and done["stdout"].endswith("active\n")
    assert (forgotten["state"], forgotten["exit_status"]) == ("done", 0)
    assert lab.enter("web1", "find /var/lib/longarm -mindepth 1; find /root /run -name 'longarm*'").split() == [
        "/var/lib/longarm/fence"
    ]


def test_what_hides_from_its_supervisor_ends_at_the_deadline_all_the_same(lab: RealLab) -> None:
    """Another session, no mark, no parent: but it is in the scope."""
    hidden = "env -i PATH=\"$PATH\" setsid -f sh -c 'echo $$ >/run/hidden; exec sleep 600'; sleep 60"
    told, _ = taken(lab, "web1", ("cut", "hides-from-it", hidden, "root"), ("forget", "hides-from-it", "", "root"))
    assert (told["state"], told["reason"]) == ("failed", "late")
    assert lab.enter("web1", "test -s /run/hidden && ! kill -0 $(cat /run/hidden) && echo ended; rm /run/hidden") == "ended\n"


def test_a_login_whose_processes_end_with_it_does_not_take_its_steps_along(lab: RealLab) -> None:
    lab.enter("db1", "mkdir -p /etc/systemd/logind.conf.d; printf '[Login]\\nKillUserProcesses=yes\\nKillExcludeUsers=\\n' "
              ">/etc/systemd/logind.conf.d/kill.conf; systemctl restart systemd-logind")  # fmt: skip
    (left,) = taken(lab, "db1", ("leave", "outlives-login", "sleep 4; echo through", "root"))
    assert left["state"] == "running"
    (told,) = taken(lab, "db1", ("collect", "outlives-login", "", "root"))
    assert (told["state"], told["exit_status"], told["stdout"]) == ("done", 0, "through\n")


@pytest.mark.parametrize(("name", "user"), [("app1", "ops"), ("box1", "root")])
def test_a_host_that_is_rebooted_in_the_midst_says_so(lab: RealLab, name: str, user: str) -> None:
    (left,) = taken(lab, name, ("leave", "rebooted-in-the-midst", "echo began; sleep 30", "user"), user=user)
    assert left["state"] == "running"
    lab.power_off(name)
    lab.power_on(name)
    lab.wait(name)
    told, again = taken(
        lab,
        name,
        ("collect", "rebooted-in-the-midst", "", "user"),
        ("start", "rebooted-in-the-midst", "echo twice", "user"),
        user=user,
    )
    assert (told["state"], told["reason"], told["stdout"]) == ("interrupted", "rebooted", "began\n")
    assert (again["state"], again["reason"], again["stdout"]) == ("interrupted", "rebooted", "began\n")


def test_a_connection_whose_sshd_is_killed_does_not_end_the_step(lab: RealLab) -> None:
    words = ("start", "sshd-is-killed", "sleep 1; pkill -KILL -u ops sshd; sleep 1; echo through", "root")
    with pytest.raises(AssertionError):
        (answer,) = taken(lab, "web1", words)
        assert answer["state"] == "done"
    end = time.monotonic() + 60
    while (told := taken(lab, "web1", ("collect", "sshd-is-killed", "", "root"))[0])["state"] != "done":
        assert time.monotonic() < end, told
    assert told["stdout"] == "through\n"
    taken(lab, "web1", ("forget", "sshd-is-killed", "", "root"))
