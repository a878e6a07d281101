"""The whole path through the command line, against real machines: systemd, busybox, OpenSSH, dropbear, real faults."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.hosts.realhosts import RealLab
from tests.hosts.support import FIXED, SupportDesk, host

pytestmark = pytest.mark.hosts


def findings(row: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {finding["id"]: finding for finding in row["findings"]}


def verdicts(row: dict[str, Any]) -> dict[str, str]:
    return {check["check"]: check["verdict"] for check in row["checks"]}


def links(row: dict[str, Any]) -> set[tuple[str, str]]:
    """Return (cause, effect) as check names."""
    return {(link["cause"].split("/")[1], link["effect"].split("/")[1]) for link in row["links"]}


def answers(path: Path) -> dict[tuple[str, str], dict[str, Any]]:
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    return {(row["host"], row["probe"]): row for row in rows}


def test_every_kind_of_host_is_seen(desk: SupportDesk) -> None:
    document = desk.diagnose("all", "--case", "REAL-1", "--fail-on", "never", exit_code=3)
    assert [row["host"] for row in document["hosts"]] == list(FIXED)
    for name in ("web1", "db1", "app1"):
        assert host(document, name)["outcome"] in {"ok", "findings"}, host(document, name)
        assert verdicts(host(document, name))["svc-failed"] == "clear"
    busybox = verdicts(host(document, "box1"))
    assert {busybox[check] for check in ("svc-failed", "pkg-broken", "time-unsync")} == {"not_applicable"}
    assert (busybox["mem-low"], busybox["fs-space"]) == ("clear", "clear")
    assert busybox["mem-oom"] == "unknown", "the kernel log is forbidden there: no data is never green"
    assert host(document, "box1")["outcome"] == "incomplete"
    attached = json.loads(desk.longarm("--json", "case", "show", "REAL-1"))
    assert len(attached) == 1


def test_a_wrong_fingerprint_enrols_nobody(lab: RealLab, tmp_path: Path) -> None:
    desk = SupportDesk(lab, tmp_path / "home")
    desk.home.mkdir(mode=0o700)
    desk.add_to_inventory(lab.inventory())
    desk.longarm("host", "enrol", "web1", "--fingerprint", "web1=" + lab.fingerprint("db1"), exit_code=4)
    document = desk.diagnose("web1", exit_code=4)
    assert host(document, "web1")["outcome"] == "refused"
    assert host(document, "web1")["error"]["kind"] == "HostKeyRefused"


def test_a_full_disk_explains_the_service_it_broke(lab: RealLab, desk: SupportDesk, spare: str) -> None:
    lab.enter(
        spare,
        """mkdir -p /var/lib/journaler /srv/idle
        mount -t tmpfs -o size=1m journal /var/lib/journaler && mount -t tmpfs -o size=1m idle /srv/idle
        dd if=/dev/zero of=/var/lib/journaler/old bs=4k 2>/dev/null || true
        printf '[Service]\nType=oneshot\nStateDirectory=journaler\nExecStart=/bin/sh -c "echo >>/var/lib/journaler/new"\n' \
          >/etc/systemd/system/journaler.service
        printf '[Service]\nType=oneshot\nExecStart=/bin/false\n' >/etc/systemd/system/unrelated.service
        systemctl daemon-reload; systemctl start journaler unrelated || true""",
    )
    desk.add_to_inventory(lab.inventory(names=(spare,)).split("hosts:\n")[1].replace("}", ", expect: {services: [journaler]}}"))
    desk.enrol(spare)
    row = host(desk.diagnose(spare, exit_code=1), spare)
    found = findings(row)
    assert {f"{spare}/fs-space/mount=/var/lib/journaler"} <= found.keys()
    assert {f"{spare}/svc-failed/unit=journaler.service", f"{spare}/svc-failed/unit=unrelated.service"} <= found.keys()
    explained = {(link["cause"], link["effect"]) for link in row["links"]}
    assert (f"{spare}/fs-space/mount=/var/lib/journaler", f"{spare}/svc-failed/unit=journaler.service") in explained
    assert not any(effect.endswith("unit=unrelated.service") for _, effect in explained), "the decoy is not explained"


def test_every_writable_filesystem_full(lab: RealLab, desk: SupportDesk, spare: str, tmp_path: Path) -> None:
    lab.enter(
        spare,
        """for place in /tmp /var/tmp /home /root /run/lock; do
          cp -a $place /dev/shm/keep; mount -t tmpfs -o size=256k full $place
          cp -a /dev/shm/keep/. $place/; rm -r /dev/shm/keep
          dd if=/dev/zero of=$place/fill bs=1k 2>/dev/null || true
        done
        mount -o remount,ro,size=4k /dev/shm || true; mount --bind / / && mount -o remount,bind,ro / || true""",
        check=False,
    )
    desk.add_to_inventory(lab.inventory(names=(spare,)).split("hosts:\n")[1])
    desk.enrol(spare)
    document = desk.diagnose(spare, "--fail-on", "never", exit_code=3)
    row = host(document, spare)
    ended = {question["question"]: question["ended"] for question in row["questions"]}
    assert ended.pop("time.now") == "timed_out", "systemd cannot start timedated there: the bundle goes on without it"
    assert set(ended.values()) == {"exited"}
    assert {check for check, verdict in verdicts(row).items() if verdict == "unknown"} == {"time-unsync"}
    assert f"{spare}/fs-space/mount=/tmp" in findings(row)


def test_without_root_the_rest_is_seen_and_the_denial_said_once(lab: RealLab, tmp_path: Path) -> None:
    desk = SupportDesk(lab, tmp_path / "home")
    desk.home.mkdir(mode=0o700)
    desk.add_to_inventory(lab.inventory(user="plain", names=("web1",)))
    desk.enrol("web1")
    probes = tmp_path / "probes.yaml"
    probes.write_text("- {probe: shadow, script: cat /etc/shadow, privilege: root}\n- {probe: name, script: hostname}\n")
    out = tmp_path / "out.jsonl"
    document = desk.diagnose("web1", "--probes", str(probes), "--answers", str(out), exit_code=3)
    rows = answers(out)
    assert rows["web1", "shadow"]["rc"] is None and rows["web1", "shadow"]["stdout"] == ""
    assert rows["web1", "name"]["stdout"] == "web1\n"
    assert host(document, "web1")["outcome"] == "incomplete"
    assert "sudo" in host(document, "web1")["denied_root"]


def test_root_by_sudo_without_a_password(desk: SupportDesk, tmp_path: Path) -> None:
    probes, out = tmp_path / "probes.yaml", tmp_path / "out.jsonl"
    probes.write_text("- {probe: who, script: id -u, privilege: root}\n- {probe: me, script: id -un}\n")
    desk.diagnose("web1", "--probes", str(probes), "--answers", str(out), exit_code=0)
    rows = answers(out)
    assert (rows["web1", "who"]["stdout"], rows["web1", "me"]["stdout"]) == ("0\n", "ops\n")


@pytest.fixture
def asked_for_a_password(lab: RealLab, tmp_path: Path) -> Iterator[SupportDesk]:
    """Return a desk whose user `plain` sudo on web1 asks for a password, the one of the desk's environment."""
    lab.enter("web1", "echo plain:Right-Пароль | chpasswd; echo 'plain ALL=(ALL) ALL' >/etc/sudoers.d/plain")
    desk = SupportDesk(lab, tmp_path / "home", secrets={"SUDO_PASSWORD": "Right-Пароль"})
    desk.home.mkdir(mode=0o700)
    inventory = lab.inventory(user="plain", names=("web1",))
    desk.add_to_inventory(inventory.replace("user: plain,", "user: plain, become: {password: {env: SUDO_PASSWORD}},"))
    desk.enrol("web1")
    yield desk
    lab.enter("web1", "rm /etc/sudoers.d/plain; passwd -q -d plain; rm -rf /run/sudo/ts/plain")


def test_root_by_sudo_with_a_password(asked_for_a_password: SupportDesk, lab: RealLab, tmp_path: Path) -> None:
    desk, probes, out = asked_for_a_password, tmp_path / "probes.yaml", tmp_path / "out.jsonl"
    probes.write_text("- {probe: who, script: id -u, privilege: root}\n- {probe: me, script: id -un}\n")
    desk.diagnose("web1", "--probes", str(probes), "--answers", str(out), exit_code=0)
    rows = answers(out)
    assert (rows["web1", "who"]["stdout"], rows["web1", "me"]["stdout"]) == ("0\n", "plain\n")
    assert "Пароль" not in lab.enter("web1", "grep -raF Пароль /etc /home /root /run /tmp /var 2>/dev/null || true"), (
        "on the host"
    )
    kept = [path for path in desk.home.rglob("*") if path.is_file() and "Пароль".encode() in path.read_bytes()]
    assert kept == [], "at the desk"


def test_a_wrong_password_for_sudo_is_said_once_for_the_host(asked_for_a_password: SupportDesk, lab: RealLab) -> None:
    desk = asked_for_a_password
    desk.secrets["SUDO_PASSWORD"] = "wrong-canary"
    row = host(desk.diagnose("web1", "--fail-on", "never", exit_code=3), "web1")
    assert row["outcome"] == "incomplete"
    assert row["denied_root"].startswith("the password for sudo was rejected: ")
    log = lab.enter("web1", "journalctl -q -o cat _COMM=sudo _COMM=unix_chkpwd 2>/dev/null | tail -n 20")
    assert log.count("1 incorrect password attempt") == 1
    assert "wrong-canary" not in log
    text = desk.longarm("-o", "table", "diagnose", "web1", "--fail-on", "never", exit_code=3)
    assert text.count("the password for sudo was rejected") == 1


def test_a_hung_question_costs_only_itself(lab: RealLab, desk: SupportDesk, tmp_path: Path) -> None:
    probes, out = tmp_path / "probes.yaml", tmp_path / "out.jsonl"
    probes.write_text(
        "- {probe: before, script: echo before}\n"
        "- {probe: hung, script: 'sleep 4321 & sleep 4321', deadline: 2s}\n"
        "- {probe: hung-as-root, script: 'trap \"\" TERM; sleep 4321', deadline: 2s, privilege: root}\n"
        "- {probe: after, script: echo after}\n"
    )
    document = desk.diagnose("web1,box1", "--probes", str(probes), "--answers", str(out), exit_code=3)
    rows = answers(out)
    for name in ("web1", "box1"):
        assert rows[name, "before"]["stdout"] == "before\n" and rows[name, "after"]["stdout"] == "after\n"
        assert rows[name, "hung"]["rc"] is None
        assert host(document, name)["outcome"] == "incomplete"
        assert "4321" not in lab.enter(name, "ps w 2>/dev/null || ps; ps -ef 2>/dev/null || true", check=False).replace(
            "ps", ""
        )


@pytest.mark.parametrize("fault", ["power off", "cable", "session killed"])
def test_a_host_that_goes_away_is_accounted_for(
    lab: RealLab, desk: SupportDesk, spare: str, tmp_path: Path, fault: str
) -> None:
    probes, out = tmp_path / "probes.yaml", tmp_path / "out.jsonl"
    asked = f"/tmp/asked-{tmp_path.name}"  # no other test's: hosts stay
    probes.write_text(
        "- {probe: first, script: echo first}\n- {probe: slow, deadline: 60s, "
        f"script: '[ ! -e {asked} ] || exec echo again; touch {asked}; sleep 4322'}}\n"
    )
    desk.add_to_inventory(lab.inventory(names=(spare,)).split("hosts:\n")[1])
    desk.enrol(spare)
    deadline = "12" if fault == "session killed" else "8"
    words = ["--json", "diagnose", f"{spare},db1", "--probes", str(probes), "--answers", str(out), "--deadline", deadline]
    with subprocess.Popen(desk.command(*words), env=desk.env(), stdout=subprocess.PIPE, text=True) as running:
        lab.enter(spare, f"for i in $(seq 600); do [ -e {asked} ] && exit; sleep 0.05; done; exit 1")
        if fault == "power off":
            lab.power_off(spare)
        elif fault == "cable":
            lab.cut(spare)
        else:
            lab.enter(spare, "pkill -KILL -f '[s]shd: ops'")
        text, _ = running.communicate(timeout=90)
    document = json.loads(text)
    assert running.returncode == 3
    row = host(document, spare)
    assert answers(out)[spare, "first"]["stdout"] == "first\n", "what had arrived is kept"
    if fault != "session killed":
        assert row["outcome"] in {"incomplete", "timed_out"}, row
        assert answers(out)[spare, "slow"]["rc"] is None
        assert not row["session"].get("asked_again")
    else:
        assert row["outcome"] in {"ok", "findings"}, row
        assert row["session"]["dropped"] and "not_renewed" not in row["session"]
        asked_again = row["session"]["asked_again"].split()
        assert "slow" in asked_again and "first" not in asked_again, "over another connection, and only what was lost"
        assert answers(out)[spare, "slow"]["stdout"] == "again\n"
        gone = "for i in $(seq 100); do pgrep -f '[s]leep 4322' >/dev/null || exit 0; sleep 0.1; done; exit 1"
        lab.enter(spare, gone)


def test_a_host_that_is_off_is_unreachable(lab: RealLab, desk: SupportDesk, spare: str) -> None:
    desk.add_to_inventory(lab.inventory(names=(spare,)).split("hosts:\n")[1])
    desk.enrol(spare)
    lab.power_off(spare)
    document = desk.diagnose(f"web1,{spare}", exit_code=3)
    assert host(document, spare)["outcome"] == "unreachable"
    assert host(document, "web1")["outcome"] in {"ok", "findings"}


def test_a_changed_host_key_is_refused(lab: RealLab, desk: SupportDesk, spare: str) -> None:
    desk.add_to_inventory(lab.inventory(names=(spare,)).split("hosts:\n")[1])
    desk.enrol(spare)
    lab.enter(
        spare, "rm /etc/ssh/ssh_host_*; ssh-keygen -q -t ed25519 -N '' -f /etc/ssh/ssh_host_ed25519_key; systemctl restart ssh"
    )
    lab.wait(spare)
    document = desk.diagnose(spare, exit_code=4)
    assert host(document, spare)["outcome"] == "refused"
    assert "enrol" in json.dumps(host(document, spare)["error"])


def test_replay_of_real_evidence_is_byte_identical(desk: SupportDesk) -> None:
    run = desk.diagnose("web1,box1", "--fail-on", "never", exit_code=3)["run"]
    first = desk.longarm("run", "export", run, "--format", "json")
    assert first == desk.longarm("run", "export", run, "--format", "json")
    assert json.loads(first)["run"] == run


def test_a_host_behind_one_that_was_just_enrolled_is_the_next_to_enrol(lab: RealLab, tmp_path: Path) -> None:
    desk = SupportDesk(lab, tmp_path / "home")
    desk.home.mkdir(mode=0o700)
    desk.add_to_inventory(lab.inventory(names=("web1", "behind=db1"), ways={"behind": "via: web1"}))
    known = [f"web1={lab.fingerprint('web1')}", f"behind={lab.fingerprint('db1')}"]
    words = desk.command("host", "enrol", "web1,behind", "--fingerprint", known[0], "--fingerprint", known[1])
    done = subprocess.run(words, capture_output=True, text=True, env=desk.env(), timeout=60, check=False)
    assert (done.returncode, done.stderr.splitlines()[-1]) == (3, f"next: longarm --home {desk.home} host enrol behind")
    desk.longarm("host", "enrol", "behind", "--fingerprint", known[1])
    assert desk.diagnose("behind", "--check", "fs-space", exit_code=0)["hosts"][0]["outcome"] == "ok"
