"""The questions' scripts in real shells on this machine: they end, they say how each source ended, they are clean."""

import os
import re
import shutil
import struct
import subprocess
import tempfile
from contextlib import suppress
from pathlib import Path

import pytest

from diagnostics.library import shipped_probes
from diagnostics.library.linux import (
    filesystems,
    kernel_faults,
    kernel_log,
    kernel_messages,
    logins,
    packages,
)
from diagnostics.parsing import read_sources
from diagnostics.probe import NothingThere, Probe, SourceFailed
from diagnostics.shapes import misfits
from remote.answer import Answer, answered
from remote.question import Question

PROBES: dict[str, Probe] = {probe.id: probe for probe in shipped_probes() if "linux" in probe.platforms}
QUESTIONS = {question.id: question for probe in PROBES.values() for question in probe.questions}
SHELLS = {"dash": ["dash"], "bash": ["bash"], "bash-posix": ["bash", "--posix"], "ash": ["busybox", "ash"]}
GIVEN = {"services": "ssh no-such-service", "names": "localhost", "ports": "tcp/22"}


def text_of_script(question: Question) -> str:
    assignments = "".join(f"{name}='{GIVEN[name]}'\n" for name, _ in question.variables)
    return f"{assignments}{question.script}"


def run(shell: list[str], script: str, **more: str) -> Answer:
    environment = {"PATH": os.environ["PATH"] + ":/usr/sbin:/sbin", "LC_ALL": "C", **more}
    ended = subprocess.run(shell, input=script.encode(), capture_output=True, env=environment, check=False, timeout=60)
    return answered(ended.stdout, stderr=ended.stderr, exit_status=ended.returncode)


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize("question", sorted(PROBES))
def test_a_script_answers_in_every_shell(question: str, shell: str) -> None:
    if not shutil.which(SHELLS[shell][0]):
        pytest.skip(f"server: not installed: {SHELLS[shell][0]}")
    probe = PROBES[question]
    answers = [run(SHELLS[shell], text_of_script(one)) for one in probe.questions]
    for one, answer in zip(probe.questions, answers, strict=True):
        assert answer.exit_status == 0
        assert len(answer.stdout) < one.max_bytes
        said = [part for part in answer.stderr.split(b"\n") if not part.startswith(b"@")]  # a mark of ours may end with “bad”
        assert [part for part in said if b"syntax" in part or b"not found" in part or b"bad " in part] == []
        read_sources(one.id, answer)
    assert probe.parse
    with suppress(NothingThere, SourceFailed):  # a machine without systemd, dpkg or a readable kernel log: said, not guessed
        assert misfits(probe.parse(*answers), probe.shape) == ""


DEAR = (
    r"\b(apt-mark|apt-cache|aptitude|systemd-analyze|lsof|debsums|service +--status-all|"
    r"(apt|apt-get|yum|dnf|zypper) +[a-z-]|rpm +-V|du +-)"
)
"""What costs a host seconds, walks its disk or asks the network: no question of ours may."""


@pytest.mark.parametrize("question", sorted(QUESTIONS))
def test_a_script_runs_nothing_dear(question: str) -> None:
    lines = [line for line in QUESTIONS[question].script.splitlines() if not line.lstrip().startswith("#")]
    assert not re.findall(DEAR, "\n".join(lines))


@pytest.mark.parametrize("question", sorted(QUESTIONS))
def test_a_script_needs_no_tools_to_say_that_there_are_none(question: str, tmp_path: Path) -> None:
    """An empty PATH: whatever is asked is absent or fails by name, and the shell itself goes on to the end."""
    answer = run([str(shutil.which("dash"))], text_of_script(QUESTIONS[question]), PATH=str(tmp_path))
    assert answer.exit_status == 0
    sources = read_sources(question, answer)
    assert all(source.status in (None, 0, 1, 2, 127) for source in sources.values())


def test_kernels_that_may_not_be_seen_are_a_failure_not_an_absence() -> None:
    """A /boot of 0700, asked by another user; it is not looked for under a folder of root's."""
    with tempfile.TemporaryDirectory() as folder:
        boot = Path(folder) / "boot"
        boot.mkdir()
        (boot / "vmlinuz-1.0.0").touch()
        script = PROBES["pkg.reboot"].question.script.replace("/boot", str(boot))
        shell = [str(shutil.which("dash"))]
        if os.geteuid() == 0:
            if not shutil.which("setpriv"):
                pytest.skip("server: not installed: setpriv")
            shell = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", *shell]
        Path(folder).chmod(0o755)
        boot.chmod(0o755)
        assert read_sources("pkg.reboot", run(shell, script))["kernels"].status == 0
        boot.chmod(0o700 if os.geteuid() == 0 else 0)
        answer = run(shell, script)
        boot.chmod(0o700)
    assert read_sources("pkg.reboot", answer)["kernels"].status == 1
    with pytest.raises(SourceFailed, match="may not be read"):
        packages.parse_reboot(answer)


@pytest.mark.parametrize("journal", [True, False])
def test_the_journal_is_asked_for_kernel_messages_only_where_there_is_one(journal: bool, tmp_path: Path) -> None:
    """The ring has lost its beginning; what stands for journalctl tells that it was started."""
    entry = '{"__MONOTONIC_TIMESTAMP":"0","MESSAGE":"Linux version 6.1.0"}'
    for name, line in {"dmesg": "[  900.250000] late", "journalctl": entry}.items():
        (tmp_path / name).write_text(f"#!/bin/sh\necho '{line}'\n")
        (tmp_path / name).chmod(0o755)
    if journal:
        (tmp_path / "machine").mkdir()
        (tmp_path / "machine" / "system.journal").touch()
    script = kernel_messages.MESSAGES.script.replace("/var/log/journal", str(tmp_path)).replace("/run/log/journal", "/nowhere")
    answer = run([str(shutil.which("dash"))], script, PATH=f"{tmp_path}:{os.environ['PATH']}")
    source = read_sources("kernel.messages", answer)["journal"]
    assert [one.text for one in source.lines] == ([entry] if journal else [])
    assert (source.status is None) is not journal


KILL = (
    "oom-kill:constraint=CONSTRAINT_NONE,global_oom,task_memcg=/a.service,task=a,pid={0},uid=33",
    ("Out of memory: Killed process {0} (a) total-vm:9kB, anon-rss:7kB, file-rss:4kB, shmem-rss:0kB, UID:33 oom_score_adj:0"),
)
FLOODS = {
    "io": "I/O error, dev sda, sector {0} op 0x0:(READ) flags 0x0 phys_seg 1 prio class 2",
    "hung": "INFO: task a:{0} blocked for more than 120 seconds.",
    "crashes": "a[{0}]: segfault at 0 ip 00007f4e9d5c1a4d sp 00007ffd error 4 in libc.so.6[7f4e9d4]",
    "hardware": "mce: [Hardware Error]: Machine check events logged {0}",
}


@pytest.mark.parametrize("shell", ["dash", "ash"])
def test_a_flood_of_one_kind_hides_no_other_line_of_the_kernels_log(shell: str, tmp_path: Path) -> None:
    """What only fills the log stays on the host; of each disk, task, program and victim its last lines come."""
    if not shutil.which(SHELLS[shell][0]):
        pytest.skip(f"server: not installed: {SHELLS[shell][0]}")
    rows = ["Linux version 6.1.0", *(kill.format(1) for kill in KILL), *(text.format(1) for text in FLOODS.values())]
    rows += [f"EXT4-fs error (device sda1): ext4_find_entry:{at}: inode #2: reading directory lblock 0" for at in range(5000)]
    rows += [f"usb 1-1: new high-speed USB device number {at}" for at in range(2000)]
    rows += [FLOODS["io"].format(at) for at in range(5000)]
    log = tmp_path / "log"
    log.write_text("".join(f"[{at / 10:12.6f}] {row}\n" for at, row in enumerate(rows)))
    (tmp_path / "uptime").write_text("1300.00 1.00\n")
    script = kernel_messages.MESSAGES.script.replace("/proc/uptime", str(tmp_path / "uptime"))
    answer = run(SHELLS[shell], f"dmesg() {{ cat '{log}'; }}\n{script}")
    assert b"EXT4-fs error" in answer.stdout and b"usb" not in answer.stdout
    assert len(answer.stdout) < 16 * 1024
    assert [one["process"] for one in kernel_log.parse_kernel_log(answer)["kills"]] == ["a"]
    facts = kernel_faults.parse_kernel_faults(answer)
    assert {kind: len(facts[kind]) for kind in FLOODS} == dict.fromkeys(FLOODS, 1)
    assert (facts["io"][0]["errors"], facts["io"][0]["last_age_s"]) == (40, 99)


@pytest.mark.parametrize("shell", SHELLS)
def test_no_key_leaves_the_host_with_a_certificate(shell: str, tmp_path: Path) -> None:
    """Keys before, behind and inside what should be a certificate, and a certificate that never ends."""
    if not shutil.which(SHELLS[shell][0]):
        pytest.skip(f"server: not installed: {SHELLS[shell][0]}")
    key = "-----BEGIN PRIVATE KEY-----\nS0VZS0VZ\n-----END PRIVATE KEY-----\n"
    certificate = "-----BEGIN CERTIFICATE-----\nQ0VSVA==\n-----END CERTIFICATE-----\n"
    folder = tmp_path / "two words"
    folder.mkdir()
    for name, text in {
        "before.pem": key + certificate,
        "behind.pem": certificate + key,
        "inside.pem": "-----BEGIN CERTIFICATE-----\nQ0VS\n" + key,
        "only.pem": key,
        "also.crt": certificate + certificate,
    }.items():
        (folder / name).write_text(text)
    answer = run(SHELLS[shell], PROBES["sec.certs"].question.script.replace("/etc/ssl/private", f"'{folder}'"))
    assert b"S0VZ" not in answer.stdout and b"KEY" not in answer.stdout
    assert answer.stdout.count(b"Q0VSVA==") == 3
    assert read_sources("sec.certs", answer)["certificates"].status == 0


@pytest.mark.parametrize("shell", SHELLS)
def test_no_name_of_a_failed_login_leaves_the_host(shell: str, tmp_path: Path) -> None:
    if not shutil.which(SHELLS[shell][0]) or not shutil.which("utmpdump"):
        pytest.skip(f"server: not installed: {SHELLS[shell][0]} and utmpdump")
    address, at_noon = bytes([203, 0, 113, 7]), 1795608000
    names = (b"hunter2] [x", b"evil] [1")
    (tmp_path / "btmp").write_bytes(failed_login(*names, at_noon, address) * 3)
    answer = run(SHELLS[shell], PROBES["sec.auth"].question.script.replace("/var/log/btmp", str(tmp_path / "btmp")))
    assert b"hunter2" not in answer.stdout + answer.stderr
    kept = read_sources("sec.auth", answer)["record"]
    assert [line.data for line in kept.lines] == [b"3 2026-11-25T12 203.0.113.7"]


def failed_login(name: bytes, host: bytes, time_s: int, address: bytes) -> bytes:
    return struct.pack("=hxxi32s4s32s256shhiii16s20x", 6, 71, b"ssh:notty", b"", name, host, 0, 0, 0, time_s, 0, address)


@pytest.mark.parametrize("shell", SHELLS)
def test_all_who_failed_to_log_in_of_late_are_told(shell: str, tmp_path: Path) -> None:
    """A record of 2,100, of which the last 2,000 are looked at: 601 addresses, all in the last hour."""
    if not shutil.which(SHELLS[shell][0]) or not shutil.which("utmpdump"):
        pytest.skip(f"server: not installed: {SHELLS[shell][0]} and utmpdump")
    often, seldom = [[bytes([10, kind, at % 256, at // 256]) for at in range(300)] for kind in (1, 2)]
    addresses = [bytes([10, 0, 0, 1])] * 1200 + seldom + often * 2
    (tmp_path / "btmp").write_bytes(b"".join(failed_login(b"x", b"", 1795608000, address) for address in addresses))
    answer = run(SHELLS[shell], PROBES["sec.auth"].question.script.replace("/var/log/btmp", str(tmp_path / "btmp")))
    facts = logins.parse_auth(answered(re.sub(rb"(source clock\n)\d+", rb"\g<1>1795609000", answer.stdout)))
    told = {one["address"]: one["failures"] for one in facts["sources"] if "unseen" not in one}
    assert (len(told), told["10.0.0.1"], facts["cut"]) == (601, 1100, True)
    assert {f"10.1.{at % 256}.{at // 256}" for at in range(300)} == {one for one, count in told.items() if count == 2}


@pytest.mark.parametrize("shell", SHELLS)
def test_failed_logins_in_the_journal_are_told_by_address_alone(shell: str, tmp_path: Path) -> None:
    if not shutil.which(SHELLS[shell][0]):
        pytest.skip(f"server: not installed: {SHELLS[shell][0]}")
    said = [
        *["Failed password for invalid user hunter2 from 192.0.2.1 from 203.0.113.7 port 4711 ssh2"] * 2,
        "Failed none for invalid user x from 2001:db8::7 port 22 ssh2",
        "Failed password for root from 198.51.100.9 port 22 ssh2 and more",
    ]
    (tmp_path / "said").write_text("".join(f"{line}\n" for line in said))
    (tmp_path / "machine").mkdir()
    (tmp_path / "machine" / "system.journal").touch()
    script = PROBES["sec.auth"].question.script.replace("/var/log/btmp", "/nowhere").replace("/var/log/journal", str(tmp_path))
    answer = run(SHELLS[shell], f"journalctl() {{ cat '{tmp_path}/said'; }}\n{script}")
    assert b"hunter2" not in answer.stdout + answer.stderr
    assert {(one["address"], one["failures"]) for one in logins.parse_auth(answer)["sources"]} == {
        ("203.0.113.7", 2),
        ("2001:db8::7", 1),
    }


def test_shellcheck_finds_nothing(tmp_path: Path) -> None:
    if not shutil.which("shellcheck"):
        pytest.skip("server: not installed: shellcheck")
    files = []
    for question, asked in QUESTIONS.items():
        head = "".join(f"{name}=$1\n" for name, _ in asked.variables)
        file = tmp_path / f"{question}.sh"
        file.write_text(f"#!/bin/sh\n{head}{asked.script}")
        files.append(str(file))
    ended = subprocess.run(
        ["shellcheck", "--shell=sh", "--severity=style", *files], capture_output=True, text=True, check=False, timeout=120
    )
    assert ended.stdout == ""
    assert ended.returncode == 0


def test_scripts_have_no_silenced_fallback() -> None:
    """`2>/dev/null ||` turns a failure into silence; only our own watch may be ended twice."""
    for question, asked in QUESTIONS.items():
        silenced = [line for line in asked.script.splitlines() if "2>/dev/null" in line]
        assert all("kill" in line for line in silenced), question


def test_what_is_said_to_be_calm_starts_nothing_that_stays_and_does_not_end_its_shell() -> None:
    """Not those that look at names or shares at once; what sleeps by the second says so; `exit` in an awk program ends awk."""
    assert {question for question, asked in QUESTIONS.items() if not asked.calm} == {"dns.conf", "fs.net"}
    for question, asked in QUESTIONS.items():
        background = re.search(r"(?<![&>])&(?![&>\d])", asked.script)
        ending = [
            line for line in asked.script.splitlines() if re.search(r"(?:^|[;&|{])\s*exit\b", line) and "END {" not in line
        ]
        assert (background is None and not ending) is asked.calm, question
        assert (re.search(r"\bsleep [1-9]", asked.script) is not None) is (asked.sleeps or not asked.calm), question


@pytest.mark.hosts
def test_mount_points_with_every_odd_letter_are_asked_for_real(tmp_path: Path) -> None:
    """In a mount namespace of its own: blanks, tabs, newlines, backslashes, a digit behind an escape, one mounted over."""
    folders = ["two words", "tab\there", "new\nline", "back\\slash", "a 1", "hash#", "\\040", "über"]
    for folder in [*folders, "over"]:
        (tmp_path / folder).mkdir()
    mounting = "".join(
        f'mount -t tmpfs -o size=1m odd{number} "$1/$({_printed(folder)})"\n' for number, folder in enumerate(folders)
    )
    over = 'mount -t tmpfs -o size=1m under "$1/over"\nmount -t tmpfs -o size=2m above "$1/over"\n'
    script = tmp_path / "question.sh"
    script.write_text(PROBES["fs.stat"].question.script)
    for shell in (["dash"], ["busybox", "ash"], ["bash"]):
        command = f'set -e\n{mounting}{over}exec {" ".join(shell)} "$2"\n'
        ended = subprocess.run(
            ["unshare", "--mount", "dash", "-c", command, "odd", str(tmp_path), str(script)],
            capture_output=True,
            env={"PATH": os.environ["PATH"] + ":/usr/sbin:/sbin", "LC_ALL": "C"},
            check=True,
            timeout=60,
        )
        facts = filesystems.parse_stat(answered(ended.stdout, stderr=ended.stderr))
        found = {item["device"]: item for item in facts["mounts"] if item["mount"].startswith(str(tmp_path))}
        assert [found[f"odd{number}"]["mount"] for number in range(len(folders))] == [f"{tmp_path}/{name}" for name in folders]
        assert all(found[f"odd{number}"]["size_bytes"] == 1 << 20 for number in range(len(folders)))
        assert "under" not in found and found["above"]["size_bytes"] == 2 << 20


def _printed(folder: str) -> str:
    """Return a `printf` of a name by octal codes, with a guard against the newline that $() would take away."""
    return "printf '" + "".join(f"\\{byte:03o}" for byte in folder.encode()) + "'"
