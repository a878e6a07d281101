"""Dangerous commands in scripts for sh: told however they are called, at the place where they stand; near misses pass."""

from __future__ import annotations

import pytest

from inventory.errors import Place
from playbooks.dangers import dangers_in
from playbooks.issues import Grade
from playbooks.keys import Script
from playbooks.shell_dangers import dangers_of_sh

VALUES = frozenset(("x", "dir"))

EVAL = [
    'if eval "$x"; then :; fi',
    'while eval "$x"; do :; done',
    '! eval "$x"',
    'command eval "$x"',
    'builtin eval "$x"',
    '\\eval "$x"',
    '"eval" "$x"',
    'e""val "$x"',
    'y=`eval "$x"`',
    'y=$(eval "$x")',
    'time eval "$x"',
    'eval\t"$x"',
    "true && eval ls",
    "until ! eval ls; do :; done",
    "case a in *) eval ls ;; esac",
    "f() { eval ls; }; f",
    "( eval ls )",
    'trap "$x" EXIT',
    'alias q="$x"',
    "sh -c 'eval \"$1\"' sh ls",
    '"$x"',
    "$x",
    '"$x" -v',
    'timeout 5 "$x"',
    'sudo "$x"',
    'y="a $x"; $y',
    '"${x:?}" start',
    "read -r y </etc/z; $y",
    "y=$(cat z); $y",
    'env A=b "$x"',
    "find . -exec \"$x\" {} ';'",
    'for y in a "$x"; do $y; done',
    '"${y:=$x}"; "$y"',
]
SHELL_C = [
    'env sh -c "$x"',
    '/bin/sh -c "$x"',
    'sh -e -c "$x"',
    'sh -ec "$x"',
    'sh -c -- "$x"',
    'bash -o pipefail -c "$x"',
    'busybox sh -c "$x"',
    'su root -c "$x"',
    'su - root -c "ls $x"',
    'su --command="$x" root',
    'runuser -u root -- sh -c "$x"',
    'printf %s "$x" | sh',
    'echo "$x" | bash -s',
    "cat /srv/made | sh",
    "mysql -e x | sudo bash",
    "sh <<E\n$x\nE",
    '. "$x"',
    'source "$x/env"',
    'awk "$x"',
    'awk -F : "{print $x}" z',
    'awk "BEGIN{system(\\"$x\\")}"',
    'perl -e "$x"',
    'python3 -c "print($x)"',
    'sed "s/a/$x/e" z',
    'find . -exec sh -c "$x" {} +',
    "xargs sh -c <z",
    "xargs -I{} sh -c 'rm {}' <z",
    "find . -exec sh -c 'rm {}' ';'",
    "at now <<E\n$x\nE",
    'flock /run/lock sh -c "$x"',
    'if ! sh -c "ls $dir"; then :; fi',
]
RM = [
    '/bin/rm -rf "$x"',
    'if rm -rf "$x"; then :; fi',
    '! rm -rf "$x"',
    'command rm -rf "$x"',
    'timeout 5 rm -rf "$x"',
    '\\rm -rf "$x"',
    'rm --recursive "$x"',
    'rm -r -- "$x"',
    'rm "$x" -rf',
    "rm -fr ${x}",
    'env rm -rf "$x"',
    'nice -n 5 rm -rf "$x"',
    'printf %s "$x" | xargs rm -rf',
    "xargs -0 rm -r <z",
    "ls | xargs -n 1 sudo rm -rf",
    "sudo -u root rm -rf /etc",
    "rm -rf /",
    "rm -rf ~/x",
    "rm -rf ./*",
    'rm -rf "$(cat z)"',
    "sh -c 'rm -rf \"$1\"' sh z",
    'rm -rf "$y"; y=a',
    "trap 'rm -rf \"$y\"' EXIT",
    'find "$x" -delete',
    "find / -name core -delete",
    'find "$x" -exec rm -rf {} +',
    "find -L / -execdir /bin/rm {} +",
    "find -delete",
    'find "$x" -print0 | xargs -0 rm -rf',
    'while read -r y; do rm -rf "$y"; done <z',
    "su -c 'rm -rf /' root",
]
REBOOT = [
    "if reboot; then :; fi",
    "! reboot",
    "timeout 5 reboot",
    "sh -c reboot",
    "nohup sh -c reboot",
    "/sbin/reboot",
    "command reboot",
    "systemctl start reboot.target",
    "systemctl isolate poweroff.target",
    "systemctl --force --force reboot",
    "systemctl soft-reboot",
    "echo b >/proc/sysrq-trigger",
    "echo b | tee /proc/sysrq-trigger",
    "at now <<E\nreboot\nE",
    "echo reboot | at now",
    "(sleep 5; reboot) &",
    "loginctl reboot",
    "shutdown -r now",
    "init 6",
    "telinit 0",
    "sh <<'E'\nreboot\nE",
    "trap reboot EXIT",
    "exec reboot",
    "kexec -e",
    "systemd-run --on-active 5 reboot",
    "busybox reboot",
    "su root -c reboot",
    "nsenter -t 1 -m reboot",
    "halt -f",
    "eval 'reboot'",
    "f() { reboot; }",
    "x=$(reboot)",
    "cat <<E\n$(reboot)\nE",
    '"reboot"',
    "reb\\oot",
    "{ reboot; }",
    "a=b reboot",
    "[ -e x ] || reboot",
]
DISK = [
    "if mkfs.ext4 /dev/sdb; then :; fi",
    "tee /dev/sda </dev/zero",
    "cat z >/dev/sda",
    "cat z >>/dev/nvme0n1",
    "mkfs -t xfs /dev/vdb",
    "sudo dd if=z of=/dev/sda",
    "wipefs -a /dev/sdb",
    "cp z /dev/sda",
    "! blkdiscard /dev/sda",
    "{ cat z; } >/dev/mapper/a-b",
]
PERMISSIONS = [
    "chmod 666 /etc/shadow",
    "chmod -R 0777 /z",
    "chmod o+w /z",
    "chmod ugo+rwx /z",
    "chmod a=rwx /z",
    "if chmod 777 z; then :; fi",
    "sudo /bin/chmod 0002 z",
    "install -m 666 a b",
    "mkdir -m0777 z",
    "mkdir --mode=a+w z",
    "find z -exec chmod 777 {} +",
    "chmod u+x,o+w z",
]
OTHER = {
    "danger.pipe_to_shell": [
        "curl https://a | sh",
        "curl https://a | sudo -u root bash",
        "if wget -qO- https://a | sh; then :; fi",
        "curl a | tee b | sh",
        "curl -s a | env -i bash -s -- b",
    ],
    "danger.kill_all": ["kill -9 -1", "kill -TERM -- -1", "! killall5", ":(){ :|:& }; :", "pkill -9 -u root"],
    "danger.firewall": ["iptables -F", "iptables --flush", "sudo nft flush ruleset", "if ufw disable; then :; fi"],
}
TABLE = {
    "danger.eval": EVAL,
    "danger.shell_c": SHELL_C,
    "danger.rm": RM,
    "danger.reboot": REBOOT,
    "danger.disk": DISK,
    "danger.permissions": PERMISSIONS,
    **OTHER,
}

FINE = [
    # words that are only words
    "echo eval reboot rm -rf /",
    "printf 'reboot\\n' >z",
    "grep -r reboot /var/log",
    "cat <<E\nreboot\nrm -rf /\nE",
    "# eval; reboot",
    "command -v reboot",
    "command -v eval >/dev/null",
    "type mkfs.ext4",
    "which reboot",
    "man reboot",
    "case $x in reboot) ;; esac",
    "eval_count=1",
    "reboot=no",
    "x=eval",
    "last -x reboot",
    "journalctl -u reboot.target",
    "echo 'a; reboot'",
    "who -b | grep reboot",
    "systemctl status reboot.target",
    "systemctl list-jobs",
    "systemctl restart cron",
    "systemctl show -p Id reboot.target",
    "shutdown -c",
    # values as words
    'sh -c \'echo "$1"\' sh "$x"',
    'sh /usr/lib/thing "$x"',
    "su root -c 'ls /root'",
    'env A="$x" sh -c \'echo "$A"\'',
    "echo ls | sh",
    "printf 'ls\\n' | sh -s -- \"$x\"",
    "sh <<'E'\nls $HOME\nE",
    "sh </usr/lib/thing",
    'sh -n "$x"',
    'echo "$x" | cat',
    "awk -v y=\"$x\" '{print y}' z",
    "awk '{print $1}' \"$x\"",
    "awk -F \"$x\" '{print $1}'",
    'awk "{print $count}"',
    'awk -f z "$x"',
    'sed "s/a/$x/" z',
    'sed -n "/$x/,/e/p" z',
    ". /etc/os-release",
    'for y in /etc/a /etc/b; do . "$y"; done',
    "python3 -c 'print(1)' \"$x\"",
    "y=apt-get; $y update",
    'y=$(command -v dnf || command -v yum); "$y" list',
    '"$@"',
    'f() { "$1" -a; }; f ls',
    '/etc/init.d/"$x" restart',
    '"$y/bin/tool" a',
    "trap 'rm -f \"$x\"' EXIT",
    "trap - EXIT",
    "alias ll='ls -l'",
    'read -r y; echo "$y"',
    "find . -exec sh -c 'ls \"$1\"' sh {} ';'",
    # what is removed is known
    'rm -rf "${x:?}/cache"',
    'rm -f "$x"',
    "rm -r /var/lib/longarm-test/x",
    'rm -rf -- "${x:?}"',
    "git rm -r x",
    "rm -rf build",
    'find "${x:?}" -xdev -delete',
    "find /var/tmp -name z -exec rm -f -- {} +",
    "find / -name z",
    'find "$x" -exec ls {} +',
    "ls | xargs rm -f",
    'find "${x:?}" -print0 | xargs -0 rm -rf',
    "timeout 5 rm -rf /var/cache/longarm/z",
    'rmdir "$x"',
    "find /var/tmp -exec rm -rf {} +",
    # modes, disks and signals
    "chmod 1777 /z",
    "chmod 0644 z",
    "chmod 664 z",
    "chmod u+w z",
    "chmod o-w z",
    "chmod +x z",
    "chmod g+w z",
    "chmod a+rX z",
    "chmod a+rwxt z",
    "chmod --reference=a b",
    'chmod "$x" z',
    "mkdir -m 0755 z",
    "install -m 640 a b",
    "mkdir -p a",
    "chmod 4755 z",
    "test 777 = z",
    "dd if=/dev/sda of=/srv/copy",
    "dd if=z of=/dev/null",
    "cat </dev/sda",
    "ls /dev/sda >/dev/null",
    "echo z >/dev/stderr",
    "echo mkfs.ext4",
    "kill -1 123",
    "kill -HUP 1",
    'kill -9 "$x"',
    "pkill -u root cron",
    "iptables -A INPUT -j DROP",
    "nft list ruleset",
    "ufw status",
    "blkid",
    "curl a -o b",
    "curl a | tar x",
    "curl a | sha256sum",
    "wget a; sh b",
    'ionice -c 3 -p "$x"',
    'taskset -p "$x"',
    'nice -n "$x" ls',
    # a function of the script has a name of its own
    "reboot() { echo no; }\nreboot",
    'rm() { :; }; rm -rf "$x"',
    "if [ -e z ]; then exec ls; fi",
    "exec 3<z",
    "exec",
    "sudo -n -l reboot",
]


def told(script: str) -> list[str]:
    return [one.code for _, one in dangers_of_sh(script, VALUES)]


@pytest.mark.parametrize(("code", "script"), [(code, script) for code, scripts in TABLE.items() for script in scripts])
def test_what_is_dangerous_is_told_however_it_is_called(code: str, script: str) -> None:
    assert set(told(script)) == {code} or code in told(script), told(script)
    assert len(told(script)) == len(set(dangers_of_sh(script, VALUES)))


@pytest.mark.parametrize("script", FINE)
def test_what_only_looks_like_it_passes(script: str) -> None:
    assert told(script) == []


def test_a_danger_is_told_where_it_stands_and_once() -> None:
    text = "true\nif sudo -u root /sbin/reboot; then :; fi\nsh -c 'true; reboot'\nsh -c \"$x; reboot\"\n"
    script = Script(text=text, place=Place("p.yaml", 3, 8), body=Place("p.yaml", 4, 7))
    found = [(one.place.line, one.place.column, one.code) for one in dangers_in(script, "sh", VALUES)]
    assert sorted(found) == [
        (5, 23, "danger.reboot"),
        (6, 20, "danger.reboot"),
        (7, 7, "danger.shell_c"),
        (7, 18, "danger.reboot"),
    ]
    assert all(one.grade is Grade.ERROR and one.hint for one in dangers_in(script, "sh", VALUES))


def test_a_script_that_runs_nothing_but_wrappers_is_read_to_its_end() -> None:
    for word in ("sudo ", "env ", "sh -c ", "eval ", "timeout 5 ", "xargs ", "find . -exec "):
        told(word * 1000 + "reboot")
    nested = "reboot"
    for _ in range(60):
        nested = f'eval "$(sh -c "{nested}")"'
    assert "danger.eval" in told(nested)
