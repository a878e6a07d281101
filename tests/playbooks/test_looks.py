"""Scripts that only look: what obviously changes the host in them is an error, since a plan runs them."""

from __future__ import annotations

from pathlib import Path

import pytest

from diagnostics.library import Library, load_library
from inventory.host import Platform
from playbooks.lint import lint_playbook
from playbooks.load import SHIPPED
from playbooks.shell_looks import changes_in_look

CHANGES = [
    "rm -f /etc/passwd",
    "if ! rm -f z; then :; fi",
    "sudo /bin/rm z",
    "x=$(rm z)",
    "trap 'rm z' EXIT",
    "sh -c 'mv a b'",
    "echo x >/etc/motd",
    "echo x >>/etc/motd",
    "{ echo x; } >z",
    ": >z",
    "echo x 2>z",
    "echo x >|z",
    "cat <<E >z\nx\nE",
    "echo x | tee z",
    "echo x | sudo tee -a /etc/motd >/dev/null",
    "mkdir -p /run/sshd",
    "touch z",
    "ln -s a b",
    "cp a b",
    "chmod 0644 z",
    "chown root z",
    "kill 123",
    'kill "$pid"',
    "kill -HUP 1",
    "pkill cron",
    "mount /mnt",
    "mount -a",
    "umount /mnt",
    "systemctl stop ssh",
    "systemctl --no-ask-password restart nginx",
    "systemctl daemon-reload",
    "service cron restart",
    "apt-get install -y curl",
    "apt-get -q update",
    "dnf -y remove z",
    "apk add z",
    "dpkg -i z.deb",
    "rpm -Uvh z.rpm",
    "sed -i s/a/b/ z",
    "sed -ni.bak s/a/b/ z",
    "sed --in-place=.bak s/a/b/ z",
    "perl -pi -e s/a/b/ z",
    "sysctl -w a.b=1",
    "sysctl a.b=1",
    "ip addr add 10.0.0.1/8 dev eth0",
    "ip -4 route del default",
    "iptables -A INPUT -j DROP",
    "find /tmp -delete",
    "find /tmp -exec rm {} +",
    "ls | xargs rm",
    "dd if=a of=b",
    "date -s 12:00",
    "hwclock --systohc",
    "logrotate -f z",
    "journalctl --vacuum-size=1M",
    "crontab z",
    "modprobe z",
    "reboot",
    "x=$(mktemp)",
    'x=$(mktemp); rm "$x"; x=/etc/z; echo a >"$x"',
    "ls >$(mktemp)",
    'x=$(mktemp -d) && rm -r "${x:?}" && rm -r "$x/../y"',
]
LOOKS = [
    "ls >/dev/null 2>&1",
    "echo x >&2",
    "echo x 2>/dev/stderr",
    "exec 3<z",
    "exec 2>&1",
    "cat </etc/motd",
    "echo 'rm -f z >y'",
    "cat <<E\nrm z >y\nE",
    "# rm z",
    "command -v rm",
    "test a '>' b",
    'x=$(mktemp) || exit 1; trap \'rm -f "$x"\' EXIT; ls >"$x"; sort "$x" | tee "$x" >/dev/null; sed -i s/a/b/ "$x"',
    'x=$(mktemp -d /tmp/a.XXXXXX); mkdir "$x/y"; cp /etc/motd "$x/y"; chmod 600 "${x}/y"; rm -rf "${x:?}"',
    "mktemp -u",
    'sleep 5 & one=$!; (sleep 1; kill "$one") & wait "$one"; kill "$!"',
    "kill -0 1",
    "kill -s 0 1",
    "kill -l",
    "mount",
    "mount -l -t xfs",
    "systemctl status ssh",
    "systemctl is-enabled ssh",
    "systemctl show -p Id -- restart",
    "systemctl list-units --type service",
    "service cron status",
    "apt-get -s -q purge x",
    "apt-get --simulate install x",
    "apt-cache policy install",
    "dnf list --upgrades x",
    "apk info -e x",
    "apk add -s x",
    "dpkg -l x",
    "dpkg-query -W -f x",
    "rpm -qi x",
    "rpm -V x",
    "sed -n s/a/b/p z",
    "sed -e s/i/b/ z",
    "sysctl -n a.b",
    "ip -o addr show dev eth0",
    "ip route get 1.1.1.1",
    "iptables -S",
    "nft list ruleset",
    "find /tmp -name z -exec ls -ld {} +",
    "dd if=a of=/dev/null",
    "date -u -d @1 +%s",
    "hwclock --show",
    "logrotate -d z",
    "journalctl -q -n 50 -u x",
    "crontab -l",
    "tee </dev/null",
    "curl -fsS -o /dev/null https://a",
    "rm() { :; }; rm z",
    "awk '{print > \"/dev/stderr\"}' z",
    "[ 1 -lt 2 ] && x=1",
    "visudo -c -q",
    "sshd -t",
    "echo $((1 > 2))",
]


@pytest.fixture(scope="module")
def library() -> Library:
    return load_library()


@pytest.mark.parametrize("script", CHANGES)
def test_what_changes_the_host_is_told(script: str) -> None:
    assert [told.code for _, told in changes_in_look(script)][:1] == ["looks"]


@pytest.mark.parametrize("script", LOOKS)
def test_what_only_looks_passes(script: str) -> None:
    assert [str(told.text) for _, told in changes_in_look(script)] == []


HEAD = """\
playbook: p
title: {en: P, ru: П}
kind: repair
maintenance: corrective
tier: L1
risk: read
platforms: [%s]
fixes: [fs-space]
verify: [fs-space]
steps:
"""
PLACES = [
    ("linux", "  - run: rm -f /etc/passwd; systemctl stop ssh\n    retry: read\n", [(11, 10), (11, 29)]),
    ("linux", "  - run: 'true'\n    retry: read\n    unless: rm -f /etc/passwd\n", [(13, 13)]),
    ("linux", '  - wait_for: {script: "echo x >/etc/motd"}\n', [(11, 33)]),
    ("linux", "  - run: 'true'\n    plan: |\n      ls\n      touch /etc/z\n", [(14, 7)]),
    ("windows", "  - powershell: Stop-Service ssh\n    retry: read\n", [(11, 17)]),
    ("windows", "  - powershell: Get-Service ssh\n    plan: Set-Content a b\n", [(12, 11)]),
]


@pytest.mark.parametrize(("platform", "steps", "places"), PLACES)
def test_a_look_that_changes_is_an_error_at_its_place(
    tmp_path: Path, library: Library, platform: str, steps: str, places: list[tuple[int, int]]
) -> None:
    path = tmp_path / "p.yaml"
    path.write_text(HEAD % platform + steps)
    errors = [one for one in lint_playbook(path, library).errors if one.code == "looks"]
    assert [(one.place.line, one.place.column) for one in errors] == places
    assert all("is run by a plan too" in str(one.text) and "retry: guarded" in str(one.hint) for one in errors)


def test_a_step_that_changes_may_do_so(tmp_path: Path, library: Library) -> None:
    path = tmp_path / "p.yaml"
    steps = "  - run: rm -f /srv/z\n    unless: '[ ! -e /srv/z ]'\n    retry: guarded\n"
    path.write_text((HEAD % "linux").replace("risk: read", "risk: disruptive").replace("L1", "L2") + steps)
    assert not [str(one) for one in lint_playbook(path, library).errors]


def test_no_question_of_ours_changes_a_host(library: Library) -> None:
    for name, probe in library.probes.items():
        if Platform.WINDOWS not in probe.platforms:
            assert [str(told.text) for _, told in changes_in_look(probe.question.script)] == [], name


@pytest.mark.parametrize("path", sorted(SHIPPED.glob("*.yaml")), ids=lambda path: path.stem)
def test_no_look_of_what_ships_changes_a_host(library: Library, path: Path) -> None:
    assert not [str(one) for one in lint_playbook(path, library).errors if one.code == "looks"]
