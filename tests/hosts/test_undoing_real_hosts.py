"""Repairs that are undone, and hosts that come back otherwise than they should, on real hosts over real OpenSSH."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.hosts.realhosts import RealLab, run
from tests.hosts.support import SupportDesk, host

pytestmark = pytest.mark.hosts
HEAD = """\
playbook: {name}
title: {{en: A test, ru: Проверка}}
kind: patch
maintenance: corrective
platforms: [linux]
tier: L2
risk: disruptive
"""
SET_TILL = (
    HEAD.format(name="set-till")
    + """\
fixes: [svc-failed]
steps:
  - {name: See it, run: cat /etc/till.conf, retry: read, register: {name: was, parse: text}}
  - name: Set it
    run: echo new >/etc/till.conf; echo set >>/var/lib/till.effects
    privilege: root
    rollback:
      - name: Set it back
        vars: {before: results.was.value}
        run: sleep 2.5; echo "$before" >/etc/till.conf; echo back >>/var/lib/till.effects
        privilege: root
verify: [svc-failed]
"""
)
REBOOT = HEAD.format(name="start-anew") + "steps:\n  - {reboot: {%s}, deadline: %ds, every: 1s}\n"


@pytest.fixture
def till(lab: RealLab) -> Iterator[str]:
    """Return a host on which a service fails whatever its file says."""
    lab.enter(
        "app1",
        """printf '[Service]\\nType=oneshot\\nExecStart=/bin/false\\n' >/etc/systemd/system/till.service
        echo old >/etc/till.conf; systemctl daemon-reload; systemctl start till || true""",
    )
    yield "app1"
    lab.enter(
        "app1", "systemctl reset-failed till; rm -f /etc/till.conf /var/lib/till.effects /etc/systemd/system/till.service"
    )


def test_what_was_not_proved_is_undone_as_root_once_although_the_desk_is_killed(
    lab: RealLab, desk: SupportDesk, till: str
) -> None:
    playbook = desk.home / "set-till.yaml"
    playbook.write_text(SET_TILL)
    first = desk.repair(str(playbook), till, exit_code=1)
    row = host(first, till)
    assert (row["outcome"], row["repair"]["change"], row["repair"]["undoable"]) == ("findings", "changed", ["Set it"])
    assert [one["fix"] for one in row["repair"]["verdicts"] if "till" in one["subject"]] == ["unchanged"]
    told = [one["command"] for one in first["next"] if " run rollback " in one["command"]]
    assert told == [f"longarm --home {desk.home} run rollback {first['run']} {till}"]
    words = ("--json", "run", "rollback", first["run"], till)
    kept = "cat /etc/till.conf /var/lib/till.effects /var/lib/longarm/fence"
    before = lab.enter(till, kept)
    planned = json.loads(desk.longarm(*words, "--plan", exit_code=1))
    (plan,) = host(planned, till)["repair"]["plans"]
    assert (planned["kind"], plan["key"], plan["undoes"], plan["variables"]) == ("plan", "s2.r1", "Set it", {"before": "old"})
    assert lab.enter(till, kept) == before and json.loads(desk.longarm("--json", "run", "leases")) == []
    with subprocess.Popen(desk.command(*words), env=desk.env(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as killed:
        while not lab.enter(till, "pgrep -f 'sleep 2[.]5' || true").strip():
            assert killed.poll() is None
            time.sleep(0.05)
        killed.kill()
    begun = json.loads(desk.longarm("--json", "run", "list"))[0]
    assert begun["state"] == "interrupted"
    document: dict[str, Any] = json.loads(desk.longarm("--json", "run", "resume", begun["run"], exit_code=1))
    row = host(document, till)
    assert document["repair"]["undoes"] == first["run"]
    assert (row["repair"]["change"], [one["state"] for one in row["repair"]["undone"]]) == ("rolled_back", ["changed"])
    assert lab.enter(till, "cat /etc/till.conf /var/lib/till.effects").split() == ["old", "set", "back"]
    again = host(json.loads(desk.longarm("--json", "run", "rollback", first["run"], till, exit_code=5)), till)
    assert "has worked on app1 since" in again["error"]["text"]


def rebooted(lab: RealLab, desk: SupportDesk, name: str, settle: str, deadline_s: int) -> subprocess.Popen[str]:
    """Begin a reboot, and return once the host is down."""
    playbook = desk.home / "start-anew.yaml"
    playbook.write_text(REBOOT % (settle, deadline_s))
    running = subprocess.Popen(
        desk.command("--json", "repair", str(playbook), name), env=desk.env(), stdout=subprocess.PIPE, text=True
    )
    process = lab.hosts[name].process
    assert process is not None
    process.wait(60)
    return running


def ended(running: subprocess.Popen[str], name: str) -> dict[str, Any]:
    """Return the host's row of a repair that nobody knows the end of."""
    with running:
        told, _ = running.communicate(timeout=200)
    assert running.returncode == 3
    row = host(json.loads(told), name)
    assert (row["outcome"], row["repair"]["change"]) == ("unknown", "unknown")
    return row


def test_a_host_that_comes_back_as_another_or_again_and_again_is_for_a_person(
    lab: RealLab, desk: SupportDesk, spare: str
) -> None:
    desk.add_to_inventory(lab.inventory(names=(spare,)).split("hosts:\n")[1])
    desk.enrol(spare)
    keys = lab.hosts[spare].folder / "root/etc/ssh"
    running = rebooted(lab, desk, spare, "", 20)
    for path in keys.glob("ssh_host_*_key*"):
        path.rename(path.with_name(f"old_{path.name}"))
    run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", keys / "ssh_host_ed25519_key")
    lab.power_on(spare)
    row = ended(running, spare)
    assert "did not come back before the deadline" in row["error"]["text"], row["error"]
    assert "the host key changed" in row["error"]["text"], "and why: it is another one"
    for path in keys.glob("old_*"):
        path.rename(path.with_name(path.name.removeprefix("old_")))
    lab.enter(spare, "systemctl restart ssh")
    root = lab.hosts[spare].folder / "root"
    tool, asked = root / "usr/local/bin/needs-restarting", root / "var/tmp/asked"
    tool.write_text("#!/bin/sh\n: >/var/tmp/asked\n")
    tool.chmod(0o755)
    running = rebooted(lab, desk, spare, "settle: 15s", 90)
    asked.unlink()
    lab.power_on(spare)
    while not asked.exists():  # the desk looks which boot this is
        assert running.poll() is None
        time.sleep(0.05)
    time.sleep(2)  # and hears it
    lab.power_off(spare)
    tool.unlink()
    lab.power_on(spare)
    assert "was started anew once more" in ended(running, spare)["error"]["text"]
