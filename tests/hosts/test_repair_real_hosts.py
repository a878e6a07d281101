"""Shipped repairs on real hosts: a filesystem that is really full, a unit that systemd has given up, root by login."""

from __future__ import annotations

import json
from typing import Any

from tests.hosts.realhosts import RealLab
from tests.hosts.support import SupportDesk, host


def repaired(desk: SupportDesk, *words: str, exit_code: int = 0) -> dict[str, Any]:
    """Repair and return the one JSON document, with its sums checked."""
    document: dict[str, Any] = json.loads(desk.longarm("--json", "repair", *words, exit_code=exit_code))
    changes = document["repair"]["changes"]
    assert document["coverage"]["targeted"] == sum(changes.values()) == len(document["hosts"])
    return document


def test_space_is_freed_straight_from_a_finding(lab: RealLab, desk: SupportDesk, spare: str) -> None:
    lab.enter(
        spare,
        """mount -t tmpfs -o size=2m logs /var/log
        dd if=/dev/zero of=/var/log/syslog.4.gz bs=4k count=480 2>/dev/null; touch -d '30 days ago' /var/log/syslog.4.gz
        dd if=/dev/zero of=/var/log/syslog.1.gz bs=4k 2>/dev/null || true""",
    )
    desk.add_to_inventory(lab.inventory(names=(spare,)).split("hosts:\n")[1])
    desk.enrol(spare)
    found = desk.diagnose(spare, "--check", "fs-space", exit_code=1)
    finding = f"{found['run']}/{spare}/fs-space/mount=/var/log"
    planned = host(repaired(desk, "--finding", finding, "--plan", exit_code=1), spare)["repair"]
    would = {plan["name"]: plan["changes"] for plan in planned["plans"]}
    assert (would["Remove old rotated logs"], would["Shrink the journal"], planned["change"]) == (True, False, "unchanged")
    row = host(repaired(desk, "--finding", finding), spare)
    assert (row["outcome"], row["repair"]["change"]) == ("ok", "changed")
    assert [(one["subject"], one["fix"]) for one in row["repair"]["verdicts"]] == [("mount=/var/log", "fixed")]
    (step,) = [step for step in row["repair"]["steps"] if step["state"] == "changed"]
    assert any(line.endswith("/var/log/syslog.4.gz") for line in step["diff"]), "what goes is listed before it goes"
    assert lab.enter(spare, "ls /var/log/*.gz").split() == ["/var/log/syslog.1.gz"]
    again = host(repaired(desk, "--finding", finding), spare)
    assert (again["outcome"], again["repair"]["change"], again["repair"]["steps"]) == ("ok", "unchanged", [])


def test_a_failed_service_is_restarted_and_stays_up(lab: RealLab, desk: SupportDesk, spare: str) -> None:
    lab.enter(
        spare,
        """printf '[Service]\nExecStart=/bin/sh -c "test -e /srv/ready && exec sleep 600"\n' >/etc/systemd/system/app.service
        systemctl daemon-reload; systemctl start app; sleep 1; touch /srv/ready""",
    )
    desk.add_to_inventory(lab.inventory(names=(spare,)).split("hosts:\n")[1])
    desk.enrol(spare)
    row = host(repaired(desk, "restart-service", spare, "-p", "unit=app.service"), spare)
    assert (row["outcome"], row["repair"]["change"], row["repair"]["samples"]) == ("ok", "changed", 2)
    assert [one["fix"] for one in row["repair"]["verdicts"] if one["subject"] == "unit=app.service"] == ["fixed"]
    assert lab.enter(spare, "systemctl is-active app").strip() == "active"
    kept = lab.enter(spare, "find / -xdev -path '*longarm*' -type f 2>/dev/null").split()
    assert [path.rpartition("/")[2] for path in kept] == ["fence"], "nothing but the fence file stays on a host"
