"""Repairs of the library that fail on a real host after they have changed it: what they did is undone, and all is as it was."""

from __future__ import annotations

from typing import Any

import pytest

from tests.hosts import ills
from tests.hosts.mending import states
from tests.hosts.realhosts import RealLab
from tests.hosts.support import SupportDesk, host

pytestmark = [pytest.mark.hosts, pytest.mark.xdist_group("repairs")]
QUOTA = "cd /sys/fs/cgroup; cat cpu*/system.slice/limited.service/cpu.*quota* system.slice/limited.service/cpu.max || :"
"""Of the kernel, where a host has it to give."""


def failed(ward: SupportDesk, playbook: str, *words: str) -> dict[str, Any]:
    """Return the row of mend1 after a repair that fails there."""
    row = host(ward.repair(playbook, "mend1", *words, "--force", "a test", exit_code=1), "mend1")
    assert row["outcome"] == "failed", row
    return row


def undone(row: dict[str, Any]) -> dict[str, str]:
    """Return how what undid the steps ended, by its name."""
    return {step["name"]: step["state"] for step in row["repair"]["undone"]}


def test_where_sshd_does_not_agree_the_old_mode_and_owner_are_back(lab: RealLab, ward: SupportDesk) -> None:
    lab.enter("mend1", ills.REFUSING_SSHD)
    try:
        look = "stat -c '%a %u:%g' /etc/ssh/ssh_host_rsa_key"
        before = lab.enter("mend1", look)
        row = failed(ward, "fix-permissions", "-p", "path=/etc/ssh/ssh_host_rsa_key")
        assert (row["repair"]["change"], undone(row)) == ("rolled_back", {"Put the old mode and owner back": "changed"})
        assert "NoSuchOption" in row["repair"]["steps"][-1]["stderr"]
        assert lab.enter("mend1", look) == before == "644 1000:0\n"
    finally:
        lab.enter("mend1", "rm /etc/ssh/sshd_config.d/refused.conf /etc/ssh/ssh_host_rsa_key*")


def test_a_limit_that_systemd_refuses_leaves_priorities_and_the_limit_that_was_there(lab: RealLab, ward: SupportDesk) -> None:
    pid = lab.enter("mend1", ills.LIMITED_SPINNER).strip()
    look = f"ps -o ni= -p {pid}; ionice -p {pid}; systemctl show -p CPUQuotaPerSecUSec limited; {QUOTA}"
    words = ("tame-process", "-p", f"pid={pid}", "-p", "name=limited", "-p", "way=limit", "-p", "percent=20")
    try:
        for earlier in ("", "systemctl set-property --runtime limited CPUQuota=25%"):
            lab.enter("mend1", earlier)
            before = lab.enter("mend1", look)
            row = failed(ward, *words)
            assert states(row)["Limit its service"] == "failed", row["repair"]["steps"]
            assert undone(row) == {"Give it its limit back": "changed", "Give it its priority back": "changed"}
            assert lab.enter("mend1", look) == before
    finally:
        lab.enter("mend1", "systemctl stop limited; rm /usr/local/bin/systemctl")


def test_where_wrong_passwords_cannot_be_forgotten_the_last_day_is_back(lab: RealLab, ward: SupportDesk) -> None:
    lab.enter("mend1", ills.FAILING_FAILLOCK)
    try:
        look = "cat /etc/shadow; stat -c '%a %u:%g' /etc/shadow"
        before = lab.enter("mend1", look)
        row = failed(ward, "unlock-account", "-p", "user=seasonal", "-p", "until=never")
        assert states(row)["Move its last day"] == "changed"
        assert undone(row) == {"Put its last day back": "changed"}
        assert lab.enter("mend1", look) == before
    finally:
        lab.enter("mend1", "rm /usr/local/sbin/faillock; userdel -r seasonal", check=False)


def test_where_dhcp_gives_nothing_addresses_and_routes_are_back(lab: RealLab, ward: SupportDesk) -> None:
    lab.enter("mend1", ills.SILENT_DHCP)
    try:
        look = "ip -4 -o addr show dev uplink2 | sed 's/ dynamic / /; s/ *valid_lft.*//'; ip -4 route show dev uplink2"
        before = lab.enter("mend1", look)
        row = failed(ward, "renew-dhcp", "-p", "interface=uplink2")
        assert "what was there is back" in row["repair"]["steps"][-1]["stderr"]
        assert lab.enter("mend1", look) == before, "but that nothing takes the address away after an hour"
    finally:
        lab.enter("mend1", "rm /usr/local/bin/sleep /etc/systemd/network/uplink2.network; ip link del uplink2", check=False)
