"""The repairs of the library on real hosts that are really ill: what was broken is found, mended, and seen to be mended.

One host with systemd, whose sudo asks for a password, and one with init of System V, for all of them: each test breaks
something of its own.
"""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import SOAK
from tests.hosts import ills
from tests.hosts.hanging import hanging_share
from tests.hosts.mending import mended, repaired, states
from tests.hosts.realhosts import RealLab
from tests.hosts.support import SupportDesk, host

pytestmark = [pytest.mark.hosts, pytest.mark.xdist_group("repairs")]  # a lab of their own, beside the other hosts'
LEFT = "ls -d /run/longarm-rehearsal* /run/systemd/system/longarm-rehearsal* 2>/dev/null; stat -c %a /tmp"


def test_dpkg_goes_on_where_it_was_killed_once_nobody_else_holds_its_lock(lab: RealLab, ward: SupportDesk) -> None:
    for name in ("mend1", "old1"):
        lab.enter(name, ills.INTERRUPTED, check=False)
        assert lab.enter(name, "ls /var/lib/dpkg/updates"), "notes of a run that did not end"
    lab.enter("mend1", "systemd-run -q --unit=holder flock /var/lib/dpkg/lock-frontend sleep 600")
    document = ward.repair("repair-packages", "mend1,old1", exit_code=1)
    held, mended_there = host(document, "mend1"), host(document, "old1")
    assert (held["outcome"], held["repair"]["change"]) == ("failed", "unchanged")
    assert "another process holds /var/lib/dpkg/lock-frontend" in held["error"]["text"]
    assert mended_there["repair"]["change"] == "changed"
    assert [one["fix"] for one in mended_there["repair"]["verdicts"]] == ["fixed"]
    lab.enter("mend1", "systemctl stop holder")
    mended(ward, "repair-packages", "mend1", fixed="pkg-broken")
    for name in ("mend1", "old1"):
        told = "dpkg --audit; ls /var/lib/dpkg/updates; dpkg-query -W -f '${Status}' shop-api"
        assert lab.enter(name, told) == "install ok installed"


def test_what_is_half_unpacked_is_fetched_again_and_what_is_missing_installed(lab: RealLab, ward: SupportDesk) -> None:
    lab.enter("mend1", ills.HALF_INSTALLED, check=False)
    row = mended(ward, "repair-packages", "mend1", fixed="pkg-broken")
    assert set(states(row).values()) == {"ok", "changed"}
    assert lab.enter("mend1", "dpkg --audit; dpkg-query -W -f '${db:Status-Abbrev}' shop-till shop-web libshop1") == "ii ii ii "


def test_a_reboot_is_proved_by_another_boot_id(lab: RealLab, ward: SupportDesk) -> None:
    names = ("mend1", "old1")
    for name in names:
        lab.enter(name, "touch /run/reboot-required")
    before = {name: lab.enter(name, "cat /proc/sys/kernel/random/boot_id").strip() for name in names}
    words = ("--json", "repair", "reboot", ",".join(names))
    with subprocess.Popen(ward.command(*words), env=ward.env(), stdout=subprocess.PIPE, text=True) as running:
        for name in names:
            process = lab.hosts[name].process
            assert process is not None
            process.wait(90)
            lab.power_on(name)
        told, _ = running.communicate(timeout=90)
    document = json.loads(told)
    for name in names:
        after = lab.enter(name, "cat /proc/sys/kernel/random/boot_id").strip()
        row = host(document, name)
        _, step = row["repair"]["steps"]
        assert (step["state"], step["diff"]) == ("changed", [f"-boot {before[name]}", f"+boot {after}"]), row
        assert [(one["check"], one["fix"]) for one in row["repair"]["verdicts"]] == [("pkg-reboot", "fixed")]
        assert before[name] != after


def test_a_log_is_packed_and_emptied_under_its_writer(lab: RealLab, ward: SupportDesk) -> None:
    names, path = ("mend1", "old1", "box1"), "/var/log/shop/trace.log"
    for name in names:
        lab.enter(name, f"mkdir -p /var/log/shop; truncate -s 130M {path}; echo last words >>{path}")
    # how many old ones are kept, logrotate.conf says for all
    lab.enter("mend1", f"printf '%s {{\\n  missingok\\n}}\\n' {path} >/etc/logrotate.d/shop")
    document = repaired(ward, "rotate-log", ",".join(names), "-p", f"path={path}")
    assert states(host(document, "mend1"))["Let logrotate rotate it"] == "changed"
    for name in names:
        repair = host(document, name)["repair"]
        assert (repair["change"], [one["fix"] for one in repair["verdicts"]]) == ("changed", ["fixed"]), name
        assert lab.enter(name, f"stat -c %s {path}; zcat /var/log/shop/trace.log.*.gz | tail -c 11") == "0\nlast words\n"


def test_a_job_of_a_timer_is_run_again(lab: RealLab, ward: SupportDesk) -> None:
    lab.enter("mend1", ills.FAILED_JOB, check=False)
    again = host(ward.repair("rerun-job", "mend1", "-p", "unit=backup.service", exit_code=1), "mend1")
    assert (again["outcome"], states(again)["Run it"]) == ("failed", "failed")
    lab.enter("mend1", "mkdir /srv/target")
    mended(ward, "rerun-job", "mend1", "-p", "unit=backup.service", fixed="svc-failed unit=backup.service")
    assert lab.enter("mend1", "cat /srv/target/copy") == "the data\n"


def with_log_of_the_kernel(lab: RealLab, name: str) -> None:
    """Give a host what the machine's kernel has said so far: hosts of the lab may not read it themselves."""
    log = subprocess.run(["dmesg"], capture_output=True, text=True, check=True).stdout
    root = lab.hosts[name].folder / "root"
    (root / "srv/kernel.log").write_text(log)
    (root / "usr/local/bin/dmesg").write_text("#!/bin/sh\nexec cat /srv/kernel.log\n")
    (root / "usr/local/bin/dmesg").chmod(0o755)


def test_a_filesystem_that_gave_up_is_mended_and_mounted_as_before(lab: RealLab, ward: SupportDesk) -> None:
    device = lab.enter("mend1", ills.STOPPED_FILESYSTEM).strip()
    try:
        Path("/sys/fs/ext4", device, "trigger_fs_error").write_text("1")
        with_log_of_the_kernel(lab, "mend1")
        lab.enter("mend1", "cd /srv/data && exec setsid sleep 600 >/dev/null 2>&1 &")
        words = ("repair-filesystem", "mend1", "-p", "mount=/srv/data", "-p", "stop_users=true")
        assert states(mended(ward, *words, fixed="fs-readonly mount=/srv/data"))["End what uses it"] == "changed"
        assert lab.enter("mend1", "touch /srv/data/more && cat /srv/data/file") == "kept\n"
        assert "errors=remount-ro" in lab.enter("mend1", "grep /srv/data /proc/self/mounts")
    finally:
        gone = f"umount /srv/data; losetup -d /dev/{device}; rm /srv/disk /usr/local/bin/dmesg"
        lab.enter("mend1", gone, check=False)


def test_a_resolver_that_hangs_is_started_anew(lab: RealLab, ward: SupportDesk) -> None:
    lab.enter("mend1", ills.HUNG_RESOLVER)
    row = mended(ward, "reset-resolver", "mend1", fixed="dns-broken")
    assert states(row)["Reset it on Windows"] == "skipped"
    assert lab.enter("mend1", "getent hosts erp.nord.example").split()[0] == "10.77.0.1"


def test_a_way_out_that_was_lost_comes_from_dhcp_again(lab: RealLab, ward: SupportDesk) -> None:
    lab.enter("mend1", ills.LOST_ROUTE)
    mended(ward, "renew-dhcp", "mend1", "-p", "interface=uplink0", fixed="net-nogw")
    assert "default via 10.78.0.1 dev uplink0 proto dhcp" in lab.enter("mend1", "ip route")


def test_a_certificate_is_renewed_by_the_tool_that_made_it(lab: RealLab, ward: SupportDesk) -> None:
    lab.enter("mend1", ills.EXPIRING_CERTIFICATE)
    path = "/etc/ssl/certs/ssl-cert-snakeoil.pem"
    before = lab.enter("mend1", f"openssl x509 -noout -fingerprint -in {path}")
    mended(ward, "renew-certificate", "mend1", "-p", f"path={path}", fixed=f"cert-expiry path={path}")
    assert lab.enter("mend1", f"openssl x509 -noout -fingerprint -in {path}") != before


def test_a_clock_that_nobody_keeps_is_kept_again(lab: RealLab, ward: SupportDesk) -> None:
    lab.enter("mend1", ills.STOPPED_CLOCK)
    mended(ward, "resync-clock", "mend1", fixed="time-unsync")
    assert lab.enter("mend1", "chronyc -c -n tracking").split(",")[1] == "10.79.0.1"
    assert lab.enter("mend1", "systemctl is-enabled chrony") == "enabled\n"


def test_an_account_that_wrong_passwords_have_locked_is_open_again(lab: RealLab, ward: SupportDesk) -> None:
    lab.enter("mend1", ills.LOCKED_ACCOUNT, check=False)
    knock = "echo Right-one | setpriv --reuid ops --regid ops --clear-groups su clerk -c 'id -un' 2>&1"
    assert "clerk" not in lab.enter("mend1", knock, check=False).split()
    mended(ward, "unlock-account", "mend1", "-p", "user=clerk", fixed="acct-locked user=clerk")
    assert lab.enter("mend1", knock).split()[-1] == "clerk"


def test_an_account_that_has_ended_gets_another_last_day_and_a_leaver_does_not(lab: RealLab, ward: SupportDesk) -> None:
    lab.enter("old1", "useradd -s /bin/sh -e 2026-01-31 night-job; echo night-job:x1 | chpasswd; useradd leaver -s /bin/sh")
    words = ("unlock-account", "old1", "-p", "until=never", "-p")
    mended(ward, *words, "user=night-job", fixed="acct-expired user=night-job")
    assert lab.enter("old1", "grep ^night-job: /etc/shadow").strip().split(":")[7] == ""
    refused = host(ward.repair(*words, "user=leaver", "--force", "a ticket", exit_code=1), "old1")
    assert refused["repair"]["change"] == "unchanged" and "locked on purpose" in refused["error"]["text"]


def test_a_mode_with_which_others_can_do_harm_is_put_right(lab: RealLab, ward: SupportDesk) -> None:
    names = ("mend1", "old1", "box1")
    for name in names:
        lab.enter(name, "chmod 0777 /tmp")
    document = repaired(ward, "fix-permissions", ",".join(names), "-p", "path=/tmp")
    for name in names:
        repair = host(document, name)["repair"]
        assert (repair["change"], [one["fix"] for one in repair["verdicts"]]) == ("changed", ["fixed"]), name
        assert lab.enter(name, "stat -c %a /tmp") == "1777\n"


def test_a_share_that_hangs_is_taken_away_and_what_fstab_asks_for_is_mounted(lab: RealLab, ward: SupportDesk) -> None:
    lab.enter("mend1", ills.LATE_MOUNTS)
    with hanging_share(lab, "mend1", "/srv/share"):
        mended(ward, "remount", "mend1", "-p", "mount=/srv/share", fixed="fs-stale mount=/srv/share", others="fs-notmounted")
    mended(ward, "remount", "mend1", "-p", "mount=/srv/late", fixed="fs-notmounted mount=/srv/late")
    assert lab.enter("mend1", "stat -f -c %T /srv/share /srv/late").split() == ["tmpfs", "tmpfs"]


def test_a_process_that_only_counts_lets_others_come_first(lab: RealLab, ward: SupportDesk) -> None:
    pid = lab.enter("mend1", ills.SPINNER).strip()
    words = ("tame-process", "mend1", "-p", f"pid={pid}", "-p", "name=spinner")
    mended(ward, *words, fixed=f"proc-runaway name=spinner,pid={pid}")
    assert lab.enter("mend1", f"ps -o ni= -p {pid}").strip() == "19"
    lab.enter("mend1", "systemctl stop spinner")


def test_a_library_that_was_copied_by_hand_is_found_by_programs(lab: RealLab, ward: SupportDesk) -> None:
    lab.enter("mend1", ills.UNKNOWN_LIBRARY)
    mended(ward, "rebuild-caches", "mend1", fixed="cache-stale cache=libraries")
    assert "/opt/shop/lib/libshop.so.0" in lab.enter("mend1", "ldconfig -p")


def test_the_space_of_a_deleted_log_is_freed(lab: RealLab, ward: SupportDesk) -> None:
    lab.enter("mend1", ills.DELETED_LOG)
    words = ("release-deleted", "mend1", "-p", "path=/var/log/shop.log")
    mended(ward, *words, fixed="fs-deleted path=/var/log/shop.log")
    assert lab.enter("mend1", "systemctl is-active reader") == "active\n"
    lab.enter("old1", "dd if=/dev/zero of=/srv/held bs=1M count=3 2>/dev/null; setsid tail -f /srv/held >/dev/null 2>&1 &")
    lab.enter("old1", 'until [ -n "$(find /proc/[0-9]*/fd -lname /srv/held 2>/dev/null)" ]; do sleep 0.05; done; rm /srv/held')
    emptied = ("release-deleted", "old1", "-p", "path=/srv/held", "-p", "way=empty")
    assert states(mended(ward, *emptied, fixed="fs-deleted path=/srv/held"))["Empty it"] == "changed"


EVERYWHERE = ("fix-permissions", "free-disk-space")
DEBIAN = ("rebuild-caches", "remount", "repair-packages", "unlock-account")
SYSTEMD = ("release-deleted", "rerun-job", "restart-service")
SLOW = ("rotate-log",) if SOAK else ()
"""Scenarios of these can be played on hosts of that kind."""


def test_scenarios_of_shipped_repairs_are_played_on_real_hosts(lab: RealLab, ward: SupportDesk) -> None:
    played = [
        ("mend1", (*EVERYWHERE, *DEBIAN)),
        ("mend1", (*SYSTEMD, *SLOW)),
        ("old1", (*EVERYWHERE, *(DEBIAN if SOAK else ("unlock-account",)), *SLOW)),
        ("box1", (*EVERYWHERE, *SLOW)),
    ]
    for name, playbooks in played:
        rows = json.loads(ward.longarm("--yes", "--json", "playbook", "test", *playbooks, "--on", name))
        real = {row["playbook"]: row for row in rows if row["state"] != "scripted"}
        assert {book: row["problems"] for book, row in real.items()} == {book: [] for book in playbooks}, name
        for row in real.values():
            document = json.loads(ward.longarm("--json", "run", "show", row["run"], exit_code=0))
            assert {one["fix"] for one in host(document, name)["repair"]["verdicts"]} == {"fixed"}, row
        left = lab.enter(name, LEFT, check=False)
        assert left == "1777\n" and "rehearsal" not in lab.enter(name, "cat /proc/self/mountinfo /etc/passwd"), (
            "all is as it was"
        )


INSTALLING = """\
playbook: shop-tools
title: {en: Tools of the shop, ru: Инструменты магазина}
says: {en: Installs a package., ru: Устанавливает пакет.}
kind: patch
maintenance: adaptive
platforms: [linux]
tier: L2
risk: disruptive
params: {state: {type: string}}
steps:
  - name: Have it there
    package: {names: [shop-tools], state: present, refresh: true}
    privilege: root
    when: params.state == "present"
  - name: Have the newest
    package: {names: [shop-tools], state: latest}
    privilege: root
    when: params.state == "latest"
  - name: Have it gone
    package: {names: [shop-tools], state: absent}
    privilege: root
    when: params.state == "absent"
verify: [pkg-broken]
"""


def test_apt_really_installs_upgrades_and_removes(lab: RealLab, ward: SupportDesk) -> None:
    names = ("mend1", "old1")
    (ward.home / "shop-tools.yaml").write_text(INSTALLING)

    def done(state: str, *more: str) -> list[dict[str, Any]]:
        words = (str(ward.home / "shop-tools.yaml"), ",".join(names), "-p", f"state={state}", "--fail-on", "never", *more)
        document = ward.repair(*words)
        return [host(document, name)["repair"] for name in names]

    for name in names:
        lab.enter(name, ills.OFFERED)
    for planned in done("present", "--plan"):
        assert [(plan["changes"], plan["diff"]) for plan in planned["plans"] if not plan["skipped"]] == [
            (True, ["+shop-tools 1.0", "+libshop2 1.0"])
        ]
    for repair in done("present"):
        (step,) = [step for step in repair["steps"] if step["state"] != "skipped"]
        assert (step["state"], repair["change"]) == ("changed", "changed"), step
    version = "dpkg-query -W -f '${Version} ' shop-tools libshop2; cat /srv/configured"
    assert [lab.enter(name, version) for name in names] == ["1.0 1.0 configure\n"] * 2
    assert [repair["change"] for repair in done("present")] == ["unchanged"] * 2
    for name in names:
        lab.enter(name, ills.NEWER)
    assert [repair["change"] for repair in done("latest")] == ["changed"] * 2
    assert [lab.enter(name, version) for name in names] == ["1.0 1.1 configure\n"] * 2
    assert [repair["change"] for repair in done("absent")] == ["changed"] * 2
    left = "dpkg-query -W -f '${db:Status-Abbrev}' shop-tools"
    assert [lab.enter(name, left, check=False) for name in names] == [""] * 2


def test_kernels_go_but_for_the_newest_once_that_is_asked_for(lab: RealLab, ward: SupportDesk) -> None:
    lab.enter("mend1", ills.OLD_KERNELS)
    try:
        words = ("free-disk-space", "mend1", "-p", "mount=/boot", "-p", "kernels=true")
        row = mended(ward, *words, fixed="fs-space mount=/boot")
        (step,) = [step for step in row["repair"]["steps"] if step["state"] == "changed"]
        gone = [line.split()[0] for line in step["diff"]]
        assert gone == ["linux-image-5.10.0-1-lab", "linux-image-5.10.0-9-lab"], "they are listed before they go"
        assert lab.enter("mend1", "ls /boot") == "vmlinuz-6.1.0-2-lab\n"
    finally:
        lab.enter("mend1", "umount /boot; dpkg --purge linux-image-6.1.0-2-lab", check=False)


def test_a_service_whose_own_test_does_not_pass_is_left_alone(lab: RealLab, ward: SupportDesk) -> None:
    lab.enter("mend1", ills.BROKEN_SETTINGS, check=False)
    words = ("restart-service", "mend1", "-p", "unit=dnsmasq.service", "-p", "stable=1s")
    refused = host(ward.repair(*words, exit_code=1), "mend1")
    assert (
        refused["repair"]["change"] == "unchanged"
        and "its configuration does not pass: dnsmasq --test" in refused["error"]["text"]
    )
    lab.enter("mend1", "rm /etc/dnsmasq.d/broken.conf")
    mended(ward, *words, fixed="svc-failed unit=dnsmasq.service", untold=1)  # whether it would have to be stopped again


def test_a_service_that_keeps_dying_is_stopped_and_its_last_words_are_kept(lab: RealLab, ward: SupportDesk) -> None:
    lab.enter("mend1", ills.DYING_SERVICE)
    row = host(
        ward.repair("restart-service", "mend1", "-p", "unit=dying.service", "-p", "stable=3s", "--fail-on", "never"), "mend1"
    )
    found = states(row)
    assert (found["See that it stays up"], found["Stop it, since it keeps dying"]) == ("failed", "changed"), row
    (watched,) = [step for step in row["repair"]["steps"] if step["name"] == "See that it stays up"]
    assert "last words" in watched["stderr"] and "did not stay up for 3 s" in watched["stderr"]
    assert lab.enter("mend1", "systemctl is-active dying", check=False) == "inactive\n"
