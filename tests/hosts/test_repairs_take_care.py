"""What shipped repairs refuse to touch on a real host with systemd, by whatever name it is called."""

from __future__ import annotations

import shlex
from collections.abc import Iterator

import pytest

from tests.hosts.realhosts import RealLab
from tests.playbooks.mounted import script_of

pytestmark = pytest.mark.hosts

UNITS = """
cd /run/systemd/system
unit() { printf "$2" >"$1.service"; }
unit care-good '[Service]\\nType=oneshot\\nExecStart=/bin/true\\n'
unit care-calls '[Service]\\nType=oneshot\\nExecStart=/bin/sh -c "sync; systemctl --force reboot"\\n'
unit care-script '[Service]\\nType=oneshot\\nExecStart=-/sbin/shutdown -r now\\n'
unit care-after '[Unit]\\nSuccessAction=poweroff\\n[Service]\\nType=oneshot\\nExecStart=/bin/true\\n'
unit care-failing '[Unit]\\nFailureAction=reboot-force\\n[Service]\\nType=oneshot\\nExecStart=/bin/false\\n'
unit care-leads '[Unit]\\nOnSuccess=poweroff.target\\n[Service]\\nType=oneshot\\nExecStart=/bin/true\\n'
unit care-stops '[Unit]\\nConflicts=ssh.service\\n[Service]\\nType=oneshot\\nExecStart=/bin/true\\n'
for name in wg-quick@ ifup@ dhcpcd; do unit "$name" '[Service]\nExecStart=/bin/sleep 60\n'; done
ln -sf /lib/systemd/system/ssh.service care-alias.service
systemctl daemon-reload
"""
MADE = "wg-quick@.service ifup@.service dhcpcd.service"
CONNECTION = ("dbus.service", "systemd-networkd.service", "wg-quick@wg0.service", "ifup@eth0.service", "dhcpcd.service")


@pytest.fixture(scope="module")
def units(lab: RealLab) -> Iterator[None]:
    lab.enter("web1", UNITS)
    yield
    lab.enter("web1", f"cd /run/systemd/system && rm -f care-* {MADE}; systemctl daemon-reload")


def said(lab: RealLab, script: str, **variables: str) -> str:
    """Return what a step prints on web1, its complaints first, and how it ended."""
    given = "".join(f"{name}={shlex.quote(value)}; " for name, value in variables.items())
    return lab.enter("web1", f"{given}({script}) 2>&1; echo $?")


JOB = script_of("rerun-job", "See that it is a job that does not run")
SERVICE = script_of("restart-service", "See that nothing stands in the way")


def test_a_job_that_only_does_its_work_is_run(lab: RealLab, units: None) -> None:
    assert said(lab, JOB, unit="care-good.service") == "0\n"


@pytest.mark.parametrize("name", ["calls", "script", "after", "failing", "leads"])
def test_a_job_that_may_take_the_host_down_is_not_run(lab: RealLab, units: None, name: str) -> None:
    unit = f"care-{name}.service"
    why = "from here: it may start the host anew or take it down\n1\n"
    assert said(lab, JOB, unit=unit) == f"{unit} is not run {why}"
    assert said(lab, SERVICE, unit=unit) == f"{unit} is not restarted {why}"


@pytest.mark.parametrize("name", ["poweroff", "reboot", "halt", "kexec", "suspend"])
def test_systemd_s_own_ends_of_a_host_are_not_run(lab: RealLab, units: None, name: str) -> None:
    assert "it may start the host anew or take it down\n1\n" in said(lab, JOB, unit=f"systemd-{name}.service")


@pytest.mark.parametrize("unit", [*CONNECTION, "care-alias.service", "care-stops.service"])
def test_what_our_connection_may_go_through_is_not_restarted_under_any_name(lab: RealLab, units: None, unit: str) -> None:
    told = said(lab, SERVICE, unit=unit)
    assert told.startswith(f"{unit} is not restarted from here: our own connection may go through ") and told.endswith("\n1\n")


HOLDERS = """
echo x >/run/care-log; exec 7</run/care-log; rm /run/care-log
root=/sys/fs/cgroup; [ ! -d $root/systemd ] || root=$root/systemd
mkdir -p $root/lxc.payload.shop/system.slice/care-holder.service
sleep 600 >/dev/null 2>&1 & echo $! >$root/lxc.payload.shop/system.slice/care-holder.service/cgroup.procs
echo $!
"""
HOST_S_OWN = """
systemd-run -q --unit care-holder sh -c 'echo x >/run/care-held; exec 7</run/care-held; rm /run/care-held; exec sleep 600'
until [ -n "$(find /proc/[0-9]*/fd -lname '/run/care-held (deleted)' 2>/dev/null)" ]; do sleep 0.05; done
"""


def test_a_service_of_a_container_is_not_the_host_s_of_that_name(lab: RealLab, units: None) -> None:
    lab.enter("web1", HOST_S_OWN)
    inside = lab.enter("web1", HOLDERS).strip()
    try:
        see = script_of("release-deleted", "See who has it open")
        assert "unit=care-holder.service\n0\n" in said(lab, see, path="/run/care-held", way="restart")
        told = said(lab, see, path="/run/care-log", way="restart")
        assert told == "sleep runs in no service of the host that could be restarted\n1\n"
        limited = said(lab, script_of("tame-process", "See that it is still the one"), pid=inside, name="sleep", way="limit")
        assert limited == "sleep runs in no service that could be limited\n1\n"
    finally:
        lab.enter("web1", f"kill {inside}; systemctl stop care-holder")


SEE = script_of("tame-process", "See that it is still the one")
STANDS = """
for task in /proc/$pid/task/*; do ps -L -o ni= -p "${task##*/}" | head -n 1; ionice -p "${task##*/}"; done
systemctl show -p CPUQuotaPerSecUSec --value care-busy
"""


@pytest.mark.parametrize(
    ("quota", "told", "set_before"),
    [
        ("CPUQuota=150%", "150%", "renice -n 5; ionice -c 2 -n 6"),
        ("CPUQuota=33.33%", "33.33%", "renice -n 3; ionice -c 3"),
        ("", "", "true; true"),
    ],
    ids=["150", "33.33", "none"],
)
def test_a_process_that_was_tamed_gets_back_what_it_had(
    lab: RealLab, units: None, quota: str, told: str, set_before: str
) -> None:
    renice, ionice = set_before.split("; ")
    lab.enter(
        "web1",
        f"printf '[Service]\\nExecStart=/bin/sleep 600\\n{quota.replace('%', '%%')}\\n' >/run/systemd/system/care-busy.service",
    )
    pid = lab.enter(
        "web1", "systemctl daemon-reload; systemctl start care-busy; systemctl show -p MainPID --value care-busy"
    ).strip()
    lab.enter("web1", f"{renice} -p {pid} >/dev/null; {ionice} -p {pid}")
    before = lab.enter("web1", f"pid={pid}; {STANDS}")
    try:
        seen = dict(line.split("=", 1) for line in said(lab, SEE, pid=pid, name="sleep", way="limit").splitlines()[:-1])
        assert (seen["unit"], seen["quota"]) == ("care-busy.service", told)
        assert said(lab, script_of("tame-process", "Let others come first"), pid=pid, **seen) == "0\n"
        assert said(lab, script_of("tame-process", "Limit its service"), unit=seen["unit"], percent="7") == "0\n"
        tamed = lab.enter("web1", f"pid={pid}; {STANDS}").split()
        assert tamed == ["19", "idle", "70ms"]
        assert said(lab, script_of("tame-process", "Give it its limit back"), unit=seen["unit"], quota=seen["quota"]) == "0\n"
        assert said(lab, script_of("tame-process", "Give it its priority back"), pid=pid, **seen) == "0\n"
        assert lab.enter("web1", f"pid={pid}; {STANDS}") == before
    finally:
        lab.enter("web1", "systemctl stop care-busy; rm -rf /run/systemd/system.control/care-busy*; systemctl daemon-reload")


def test_neither_sessions_of_ssh_nor_what_asks_is_tamed(lab: RealLab, units: None) -> None:
    lab.enter("web1", "cp /bin/sleep /run/sshd-session; /run/sshd-session 600 >/dev/null 2>&1 &")
    pid = lab.enter("web1", "pgrep -x sshd-session").strip()
    assert said(lab, SEE, pid=pid, name="sshd-session", way="end") == "sshd-session is not for us to tame\n1\n"
    lab.enter("web1", f"kill {pid}; rm /run/sshd-session")
    asks = "pid=$$ name=sh; set -- ;" + SEE
    assert said(lab, asks, way="end") == "sh is what asks this: our own connection\n1\n"


def test_another_process_that_has_got_the_number_is_left_alone(lab: RealLab, units: None) -> None:
    pid = lab.enter("web1", "sleep 600 >/dev/null 2>&1 & echo $!").strip()
    words = {"pid": pid, "name": "sleep", "began": "1", "tasks": f"{pid}:5:3", "kill": "yes"}
    assert said(lab, script_of("tame-process", "Let others come first"), **words) == "sleep has ended\n1\n"
    assert said(lab, script_of("tame-process", "End it"), **words) == "0\n"
    assert said(lab, script_of("tame-process", "Give it its priority back"), **words) == "0\n"
    assert lab.enter("web1", f"ps -o ni=,comm= -p {pid}; kill {pid}").split() == ["0", "sleep"]


def test_a_reboot_waits_for_who_changes_packages(lab: RealLab, units: None) -> None:
    wait = script_of("reboot", "Wait until packages and arrays are left alone", "script")
    assert said(lab, wait) == "0\n"
    lab.enter("web1", "systemd-run -q --unit=care-apt flock /var/lib/dpkg/lock-frontend sleep 600")
    lab.enter("web1", 'until grep -q ":$(stat -c %i /var/lib/dpkg/lock-frontend) " /proc/locks; do sleep 0.05; done')
    assert said(lab, wait) == "another process holds /var/lib/dpkg/lock-frontend\n1\n"
    lab.enter("web1", "systemctl stop care-apt")
    assert said(lab, wait) == "0\n"
