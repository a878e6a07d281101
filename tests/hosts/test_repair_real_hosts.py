"""Shipped repairs on real hosts: a filesystem that is really full, a unit that systemd has given up, root by login."""

from __future__ import annotations

import pytest

from tests.hosts.realhosts import RealLab
from tests.hosts.support import SupportDesk, host

pytestmark = pytest.mark.hosts


def test_space_is_freed_straight_from_a_finding(lab: RealLab, desk: SupportDesk, spare: str) -> None:
    lab.enter(
        spare,
        """mount -t tmpfs -o size=2m logs /var/log
        dd if=/dev/zero of=/var/log/syslog.4.gz bs=4k count=480 2>/dev/null; touch -d '30 days ago' /var/log/syslog.4.gz
        dd if=/dev/zero of=/var/log/syslog.1.gz bs=4k 2>/dev/null || true
        printf '[Unit]\nRequiresMountsFor=/var/log\n[Service]\nType=oneshot\n' >/etc/systemd/system/shop.service
        printf 'ExecStart=/bin/sh -c "echo begun >>/var/log/shop"\n' >>/etc/systemd/system/shop.service
        systemctl daemon-reload; systemctl start shop || true""",
    )
    desk.add_to_inventory(lab.inventory(names=(spare,)).split("hosts:\n")[1])
    desk.enrol(spare)
    found = desk.diagnose(spare, "--check", "fs-space", exit_code=1)
    finding = f"{found['run']}/{spare}/fs-space/mount=/var/log"
    too_early = host(desk.repair("restart-service", spare, "-p", "unit=shop.service", exit_code=3), spare)
    assert (too_early["repair"]["change"], too_early["repair"]["steps"]) == ("unchanged", []), "its cause comes first"
    assert f"{spare}/fs-space/mount=/var/log, which comes first" in too_early["error"]["text"]
    planned = host(desk.repair("--finding", finding, "--plan", exit_code=1), spare)["repair"]
    would = {plan["name"]: plan["changes"] for plan in planned["plans"]}
    assert (would["Remove old rotated logs"], would["Shrink the journal"], planned["change"]) == (True, False, "unchanged")
    row = host(desk.repair("--finding", finding, exit_code=1), spare)
    assert (row["outcome"], row["repair"]["change"]) == ("findings", "changed")
    assert [(one["subject"], one["fix"]) for one in row["repair"]["verdicts"]] == [("mount=/var/log", "fixed")]
    follows = [(one["check"], one["subject"], one["fix"]) for one in row["repair"]["consequences"]]
    assert follows == [("svc-failed", "unit=shop.service", "unchanged")], "what it may have caused is asked again, and told"
    (step,) = [step for step in row["repair"]["steps"] if step["state"] == "changed"]
    assert any(line.endswith("/var/log/syslog.4.gz") for line in step["diff"]), "what goes is listed before it goes"
    assert lab.enter(spare, "ls /var/log/*.gz").split() == ["/var/log/syslog.1.gz"]
    again = host(desk.repair("--finding", finding, exit_code=1), spare)
    assert (again["outcome"], again["repair"]["change"], again["repair"]["steps"]) == ("findings", "unchanged", [])


def test_a_failed_service_is_restarted_and_stays_up(lab: RealLab, desk: SupportDesk, spare: str) -> None:
    lab.enter(
        spare,
        """printf '[Service]\nExecStart=/bin/sh -c "test -e /srv/ready && exec sleep 600"\n' >/etc/systemd/system/app.service
        systemctl daemon-reload; systemctl start app; sleep 1; touch /srv/ready""",
    )
    desk.add_to_inventory(lab.inventory(names=(spare,)).split("hosts:\n")[1])
    desk.enrol(spare)
    row = host(desk.repair("restart-service", spare, "-p", "unit=app.service", "-p", "stable=2s"), spare)
    assert (row["outcome"], row["repair"]["change"], row["repair"]["samples"]) == ("ok", "changed", 2)
    assert [one["fix"] for one in row["repair"]["verdicts"] if one["subject"] == "unit=app.service"] == ["fixed"]
    assert lab.enter(spare, "systemctl is-active app").strip() == "active"
    kept = lab.enter(spare, "find / -xdev -path '*longarm*' -type f 2>/dev/null").split()
    assert [path.rpartition("/")[2] for path in kept] == ["fence"], "nothing but the fence file stays on a host"


SITE = """\
- hosts: all
  gather_facts: false
  tasks:
    - ansible.builtin.raw: id -un >/root/who
    - ansible.builtin.raw: id -un >/tmp/who
      become: false
"""
TOUCH_UP = """\
playbook: touch-up
title: {en: Touch up, ru: Подправить}
says: {en: Cannot be undone., ru: Отменить нельзя.}
kind: patch
maintenance: corrective
platforms: [linux]
tier: L2
risk: reversible
steps:
  - {name: As people have it, ansible: {playbook: site.yml}, privilege: root}
"""


def test_ansible_works_over_our_login_and_our_sudo(lab: RealLab, desk: SupportDesk) -> None:
    """Nothing but our session leads to the host: Ansible has no key, no known_hosts, and the desk no ssh_config."""
    (desk.home / "site.yml").write_text(SITE)
    (desk.home / "touch-up.yaml").write_text(TOUCH_UP)
    row = host(desk.repair(str(desk.home / "touch-up.yaml"), "web1", "--force", "a test"), "web1")
    (step,) = row["repair"]["steps"]
    assert (step["state"], step["data"]["changed_tasks"], row["repair"]["change"]) == ("changed", 2, "changed")
    assert lab.enter("web1", "cat /root/who /tmp/who; rm /root/who /tmp/who").split() == ["root", "ops"]
    assert not (desk.home / ".ssh").exists()
