"""Every parser for Linux: facts as declared, or one of three refusals, whatever a host sends."""

from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from diagnostics.check_tests import load_capture
from diagnostics.library import shipped_probes
from diagnostics.library.linux import clock, filesystems, kernel_log, memory, mounts, names, packages, services, sockets
from diagnostics.parsing import Source, numbered, read_sources
from diagnostics.probe import Facts, NothingThere, ParseError, Probe, SourceFailed
from diagnostics.shapes import misfits
from remote.answer import Answer, answered
from tests.diagnostics.library.answers import MARK, asked

CAPTURES = Path(__file__).parents[2] / "data" / "captures"
PROBES: dict[str, Probe] = {probe.id: probe for probe in shipped_probes() if "linux" in probe.platforms}


Answers = tuple[Answer, ...]
"""What a parser takes: one answer, or those to the first and to the second sample."""


@cache
def real_answers(question: str) -> list[Answers]:
    """Return what captured hosts answered; of a pair of samples both, and of a shared question also when it was not shared."""
    probe = PROBES[question]
    ids = [[one.id for one in probe.questions], *([[probe.id]] if probe.formerly else [])]
    found = []
    for path in sorted(CAPTURES.glob("*.evidence")):
        kept = load_capture(path)[0].answers
        for asked_as in ids:
            answers = tuple(kept[one] for one in asked_as if one in kept)
            if len(answers) == len(asked_as) and all(answer.exit_status == 0 for answer in answers):
                found.append(answers)
    return found


def samples(question: str) -> range:
    """Return the places of a probe's answers: one, or two."""
    return range(len(PROBES[question].questions))


def outcome(probe: Probe, *answers: Answer) -> Facts | None:
    """Return the facts, None where the parser refused in one of the three ways; any other exception passes."""
    assert probe.parse
    try:
        facts = probe.parse(*answers)
    except (ParseError, SourceFailed, NothingThere):
        return None
    assert misfits(facts, probe.shape) == ""
    return facts


@pytest.mark.parametrize("question", sorted(PROBES))
def test_real_answers_are_understood(question: str) -> None:
    answers = real_answers(question)
    assert len(answers) >= 3
    understood = [outcome(PROBES[question], *one) for one in answers]
    assert any(understood)


@pytest.mark.parametrize("question", sorted(PROBES))
@settings(max_examples=50)
@given(data=st.binary(max_size=400))
def test_any_bytes_end_in_one_of_the_outcomes(question: str, data: bytes) -> None:
    outcome(PROBES[question], *(answered(data) for _ in PROBES[question].questions))


@pytest.mark.parametrize("question", sorted(PROBES))
@settings(max_examples=50)
@given(data=st.data())
def test_any_sources_end_in_one_of_the_outcomes(question: str, data: st.DataObject) -> None:
    """The marks are right, and what stands between them is anything."""
    junk = st.one_of(st.none(), st.tuples(st.integers(0, 255), st.binary(max_size=60)), st.text(max_size=60))
    names_of = [sorted({name for one in real_answers(question) for name in _sources(one[at])}) for at in samples(question)]
    outcome(PROBES[question], *(asked(**{name: data.draw(junk) for name in of_one}) for of_one in names_of))


@pytest.mark.parametrize("question", sorted(PROBES))
@settings(max_examples=50)
@given(data=st.data())
def test_damaged_real_answers_end_in_one_of_the_outcomes(question: str, data: st.DataObject) -> None:
    answers = list(data.draw(st.sampled_from(real_answers(question))))
    damaged = data.draw(st.sampled_from(samples(question)))
    said = answers[damaged].stdout
    start = data.draw(st.integers(0, len(said)))
    length = data.draw(st.integers(0, 60))
    piece = data.draw(st.one_of(st.binary(max_size=20), st.sampled_from([b"\n", b"\0", b" ", b"-1", b"9" * 40, b"\xff"])))
    answers[damaged] = replace(answers[damaged], stdout=said[:start] + piece + said[start + length :])
    outcome(PROBES[question], *answers)


@pytest.mark.parametrize("question", sorted(PROBES))
@settings(max_examples=50)
@given(data=st.data())
def test_a_cut_answer_is_never_taken_for_a_whole_one(question: str, data: st.DataObject) -> None:
    answers = data.draw(st.sampled_from(real_answers(question)))
    facts = outcome(PROBES[question], *answers)
    which = data.draw(st.sampled_from(samples(question)))
    cut = data.draw(st.integers(0, max(0, len(answers[which].stdout) - 2)))
    short = [replace(one, stdout=one.stdout[:cut]) if index == which else one for index, one in enumerate(answers)]
    shorter = outcome(PROBES[question], *short)
    assert shorter is None or shorter == facts or _only_later_sources_are_gone(answers[which], cut)


def _sources(answer: Answer) -> Iterator[str]:
    for line in answer.stdout.decode("utf-8", "replace").splitlines():
        words = line.split(" ", 2)
        if len(words) == 3 and line.startswith("@") and words[1] in ("source", "absent"):
            yield words[2] if words[1] == "source" else words[2].partition(" ")[0]


def _only_later_sources_are_gone(answer: Answer, cut: int) -> bool:
    """A script that asks a source on condition cannot miss it: the bundle's own frames tell that the answer was cut."""
    rest = answer.stdout[cut:].lstrip(b"\n")
    return rest.startswith(b"@") or not rest


# What hosts really send, and its figures


def mountinfo(*rows: str) -> Source:
    return Source(question="fs.stat", name="mountinfo", status=0, lines=numbered("".join(f"{row}\n" for row in rows).encode()))


ROOT = "28 1 254:1 / / rw,relatime shared:1 - ext4 /dev/vda1 rw,errors=remount-ro"


@pytest.mark.parametrize(
    ("escaped", "point"),
    [
        (r"/mnt/two\040words", b"/mnt/two words"),
        (r"/mnt/a\0401", b"/mnt/a 1"),
        (r"/mnt/new\012line", b"/mnt/new\nline"),
        (r"/mnt/back\134slash", b"/mnt/back\\slash"),
        (r"/mnt/tab\011hash\043", b"/mnt/tab\thash#"),
        (r"/mnt/\134040", b"/mnt/\\040"),
    ],
)
def test_odd_mount_points_are_paired_with_their_figures(escaped: str, point: bytes) -> None:
    other = f"40 28 254:2 / {escaped} rw - ext4 /dev/vdb rw"
    space = b"4096 100 50 40 10 5 /\n1024 200 20 10 20 2 " + point + b"\n"
    facts = filesystems.parse_stat(asked(mountinfo=f"{ROOT}\n{other}\n", space=space))
    assert [item["used_percent"] for item in facts["mounts"]] == [55.56, 94.74]
    assert facts["mounts"][1]["mount"].encode() == point


def test_a_mount_that_could_not_be_asked_has_no_figures() -> None:
    other = "40 28 254:2 / /root/secret rw - xfs /dev/vdb rw"
    space = (1, "4096 100 50 40 10 5 /\n")
    facts = filesystems.parse_stat(asked(mountinfo=f"{ROOT}\n{other}\n", space=space))
    assert [("used_percent" in item, item["mount"]) for item in facts["mounts"]] == [(True, "/"), (False, "/root/secret")]
    with pytest.raises(ParseError):  # a silent gap is not the host's way
        filesystems.parse_stat(asked(mountinfo=f"{ROOT}\n{other}\n", space="4096 100 50 40 10 5 /\n"))


@pytest.mark.parametrize(
    "row",
    [
        "40 28 0:50 / /mnt/nfs rw - nfs4 server:/export rw",
        "40 28 7:1 / /snap/core/1 ro - squashfs /dev/loop1 ro",
        "40 28 0:51 / /var/lib/docker/overlay2/x/merged rw - overlay overlay rw,lowerdir=/l,upperdir=/u,workdir=/w",
        "40 28 254:1 /var/lib/kubelet /srv/bound rw - ext4 /dev/vda1 rw",
        "40 28 0:22 / /proc/fs/x rw - tmpfs none rw",
        "40 28 254:7 / /gone//deleted rw - ext4 /dev/vdc rw",
    ],
)
def test_what_is_not_asked_for_its_space(row: str) -> None:
    facts = filesystems.parse_stat(asked(mountinfo=f"{ROOT}\n{row}\n", space="4096 100 50 40 10 5 /\n"))
    assert [item["mount"] for item in facts["mounts"]] == ["/"]


def test_a_mount_under_another_is_out_of_sight() -> None:
    rows = f"{ROOT}\n40 28 0:50 / /data rw - ext4 /dev/vdb rw\n41 40 0:60 / /data rw - nfs4 server:/data rw\n"
    facts = filesystems.parse_stat(asked(mountinfo=rows, space="4096 100 50 40 10 5 /\n"))
    assert [item["mount"] for item in facts["mounts"]] == ["/"]


def test_no_limit_is_no_shortage() -> None:
    rows = f"{ROOT}\n40 28 0:50 / /pool rw - btrfs /dev/vdb rw\n41 28 0:60 / /tmp rw - tmpfs tmpfs rw,size=0\n"
    space = "4096 100 50 40 10 5 /\n4096 100 50 40 0 0 /pool\n4096 0 0 0 0 0 /tmp\n"
    facts = filesystems.parse_stat(asked(mountinfo=rows, space=space))
    assert [item["mount"] for item in facts["mounts"]] == ["/", "/pool"]
    assert [item["mount"] for item in facts["inodes"]] == ["/"]


@pytest.mark.parametrize(
    ("vfs", "own", "fstab", "errors", "found"),
    [
        ("rw", "rw,errors=remount-ro", "", "", (False, False, True)),
        ("rw", "ro,errors=remount-ro", "", "", (True, False, True)),  # remounted after an error, until Linux 6.x
        ("rw", "rw,errors=remount-ro,emergency_ro", "", "", (False, True, True)),
        ("rw", "rw,shutdown", "", "", (False, True, True)),
        ("rw", "rw,errors=remount-ro", "", "254:1 3 1795348610", (False, True, True)),
        ("rw", "rw,errors=remount-ro", "", "254:1 3 1700000000", (False, False, True)),  # an error before the boot
        ("rw", "rw", "", "254:1 3 1795348610", (False, False, True)),  # errors=continue
        ("ro", "ro", "/dev/vda1 / ext4 defaults 0 1", "", (True, False, True)),
        ("ro", "ro", "/dev/vda1 / ext4 ro,noatime 0 1", "", (True, False, False)),
        ("ro", "ro", "", "", (True, False, False)),
        ("ro", "ro", "/dev/vda1 /", None, None),
    ],
)
def test_read_only_and_meant_so(vfs: str, own: str, fstab: str, errors: str | None, found: tuple[bool, ...] | None) -> None:
    sources: dict[str, str | bytes | tuple[int, str | bytes] | None] = {
        "mountinfo": f"28 1 254:1 / / {vfs} - ext4 /dev/vda1 {own}\n",
        "fstab": f"# what is mounted\n{fstab}\n",
        "errors": f"{errors}\n" if errors else "",
        "uptime": "300.5\n",
        "clock": "1795348900\n",
    }
    if found is None:
        with pytest.raises(ParseError):
            mounts.parse_mounts(asked(**sources))
        return
    (item,) = mounts.parse_mounts(asked(**sources))["mounts"]
    assert (item["read_only"], item["stopped"], item["meant_writable"]) == found


def test_a_kernel_without_pressure_figures_and_one_without_available() -> None:
    meminfo = "MemTotal: 1000 kB\nMemAvailable: 40 kB\nSwapTotal: 0 kB\nSwapFree: 0 kB\n"
    refused = replace(asked(meminfo=meminfo, pressure=(1, ""), processes=None), stderr=f"@{MARK} source pressure\n".encode())
    with pytest.raises(SourceFailed):
        memory.parse_memory(refused)
    words = f"@{MARK} source pressure\ncat: /proc/pressure/memory: Operation not supported\n@{MARK} end 1\n".encode()
    assert memory.parse_memory(replace(refused, stderr=words))["pressure"] == []
    old = memory.parse_memory(asked(meminfo=meminfo.replace("MemAvailable", "MemFree"), pressure=None, processes=None))
    assert "available_percent" not in old


def test_processes_that_vanish_or_are_the_kernels() -> None:
    meminfo = "MemTotal: 1000 kB\nMemAvailable: 40 kB\nSwapTotal: 0 kB\nSwapFree: 0 kB\n"
    processes = "Name:\tkthreadd\nPid:\t2\nName:\tdb worker\nPid:\t12\nVmRSS:\t  512 kB\nName:\tgone\n"
    facts = memory.parse_memory(asked(meminfo=meminfo, pressure=None, processes=(2, processes)))
    assert [(item["process"], item["pid"], item["resident_bytes"]) for item in facts["largest"]] == [("db worker", 12, 524288)]


JOURNAL = (
    r'{"MESSAGE":"Linux version 5.14.0","__MONOTONIC_TIMESTAMP":"1"}'
    "\n"
    r'{"MESSAGE":"oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),cpuset=/,mems_allowed=0,oom_memcg=/system.slice/a.service,'
    r'task_memcg=/system.slice/a.service,task=worker,pid=77,uid=0","__MONOTONIC_TIMESTAMP":"50000000"}'
    "\n"
    r'{"MESSAGE":[77,101,109,111,114,121,32,99,103,114,111,117,112,32,111,117,116,32,111,102,32,109,101,109,111,114,121,58,32,75,'
    r"105,108,108,101,100,32,112,114,111,99,101,115,115,32,55,55,32,40,119,111,114,107,255,41,32,116,111,116,97,108,45,118,109,58,"
    r'49,107,66,44,32,97,110,111,110,45,114,115,115,58,50,107,66],"__MONOTONIC_TIMESTAMP":"50000001"}'
    "\n"
)


def test_the_journal_where_the_ring_forgot() -> None:
    ring = "[  900.1] something new\n"
    answer = asked(uptime="950.00\n", ring=ring, journal=JOURNAL, container=None)
    (kill,) = kernel_log.parse_kernel_log(answer)["kills"]
    assert (kill["victim"], kill["process"], kill["limit"], kill["age_s"]) == ("a.service", "work\\xff", True, 899)


@pytest.mark.parametrize(
    ("ring", "journal", "container", "expected"),
    [
        ("[  900.1] something new\n", "", None, SourceFailed),  # forgets after 50 s
        ("[  900.1] something new\n", None, None, SourceFailed),
        ((1, ""), "", None, SourceFailed),
        ((1, ""), (1, ""), None, SourceFailed),
        ("", "", None, SourceFailed),
        ((1, ""), "", "yes\n", NothingThere),
        (None, None, None, NothingThere),
        ("no time in front\n", None, None, ParseError),
        ((1, ""), "{not json\n", None, ParseError),
    ],
)
def test_a_kernel_log_that_shows_too_little(
    ring: str | tuple[int, str] | None, journal: str | tuple[int, str] | None, container: str | None, expected: type[Exception]
) -> None:
    with pytest.raises(expected):
        kernel_log.parse_kernel_log(asked(uptime="950.00\n", ring=ring, journal=journal, container=container))


def test_a_day_of_a_ring_that_forgot_is_enough() -> None:
    facts = kernel_log.parse_kernel_log(asked(uptime="100000.00\n", ring="[  900.1] old\n", journal=None, container=None))
    assert facts["victims"] == []


def test_kernels_before_the_control_group_had_its_line() -> None:
    ring = (
        "[    0.000000] Linux version 3.10.0\n"
        "[  100.000000] Task in /system.slice/app.service killed as a result of limit of /system.slice/app.service\n"
        "[  100.100000] Killed process 1234 (java), UID 1000, total-vm:10kB, anon-rss:8kB, file-rss:0kB\n"
    )
    (kill,) = kernel_log.parse_kernel_log(asked(uptime="950.00\n", ring=ring, journal=None, container=None))["kills"]
    assert (kill["victim"], kill["process"], kill["resident_bytes"]) == ("app.service", "java", 8192)


@pytest.mark.parametrize(
    ("said", "process", "kib"),
    [
        ("Killed process 3456, UID 501, (java) total-vm:3145728kB, anon-rss:1048576kB, file-rss:0kB", "java", 1048576),
        ("Killed process 3456 (mysqld) vsz:912384kB, anon-rss:771096kB, file-rss:4kB", "mysqld", 771096),
        ("Out of memory: Killed process 3456, UID 27, (mysqld).", None, 0),
        ("Killed process 3456 in words that no kernel uses", None, 0),
    ],
)
def test_every_kernel_has_its_own_words_for_a_kill(said: str, process: str | None, kib: int) -> None:
    ring = f"[    0.000000] Linux version 2.6.32\n[  100.100000] {said}\n"
    answer = asked(uptime="950.00\n", ring=ring, journal=None, container=None)
    if process is None:
        with pytest.raises(ParseError):  # a kill that cannot be read is not «nobody was killed»
            kernel_log.parse_kernel_log(answer)
        return
    (kill,) = kernel_log.parse_kernel_log(answer)["kills"]
    assert (kill["process"], kill["pid"], kill["resident_bytes"]) == (process, 3456, kib * 1024)


@pytest.mark.parametrize(
    ("ring", "journal"),
    [
        ("[    0.000000] Booting Linux on physical CPU 0x0000000000 [0x413fd0c1]\n", None),
        ("[    0.000000] Initializing cgroup subsys cpuset\n", None),
        (None, '{"MESSAGE":"Booting Linux on physical CPU 0x0","__MONOTONIC_TIMESTAMP":"2100000"}\n'),
    ],
)
def test_a_log_that_begins_with_the_boot_is_whole(ring: str | None, journal: str | None) -> None:
    answer = asked(uptime="950.00\n", ring=ring, journal=journal, container=None)
    assert kernel_log.parse_kernel_log(answer)["victims"] == []


def test_process_names_that_try_to_look_like_the_log() -> None:
    name = ") total-vm:1kB, anon-rss:1kB"
    ring = (
        "[    0.000000] Linux version 6.1.0\n"
        f"[  100.0] Out of memory: Killed process 5 ({name}) total-vm:10kB, anon-rss:8kB, file-rss:0kB\n"
    )
    (kill,) = kernel_log.parse_kernel_log(asked(uptime="950.00\n", ring=ring, journal=None, container=None))["kills"]
    assert (kill["process"], kill["resident_bytes"]) == (name, 8192)


def test_a_table_that_was_not_asked_for_is_not_understood() -> None:
    row = "   0: 00000000:0016 00000000:0000 0A 0:0 00:0 0 0 0 1 1 0 100 0\n"
    with pytest.raises(ParseError):
        sockets.parse_listeners(asked(tcp=row, raw=row))


def test_sockets_of_both_families_and_protocols() -> None:
    udp = (
        "   sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops\n"
        "  100: 00000000:007B 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 1 2 0 0\n"
        "  101: 0100007F:C350 0100007F:0035 01 00000000:00000000 00:00000000 00000000     0        0 1 2 0 0\n"
    )
    tcp6 = "   0: 00000000000000000000000001000000:0016 00000000000000000000000000000000:0000 0A 0:0 00:0 0 0 0 1 1 0 100 0\n"
    facts = sockets.parse_listeners(asked(tcp="", tcp6=tcp6, udp=udp))
    assert [(item["port"], item["addresses"], item["loopback_only"]) for item in facts["listeners"]] == [
        ("tcp/22", ["::1"], True),
        ("udp/123", ["0.0.0.0"], False),
    ]


CHRONY = "D5199AC1,213.25.154.193,2,{reference},0.000012,0.00001,0.00002,-9.1,0.0,0.02,0.01,0.001,64.4,{leap}\n"
NTPQ = (
    "     remote           refid      st t when poll reach   delay   offset  jitter\n"
    "==============================================================================\n"
    " 10.0.0.1        .INIT.          16 u    -   64    0    0.000    0.000   0.000\n"
    "*10.0.0.2        .GPS.            1 u    1   64  377    0.100    0.001   0.010\n"
)


@pytest.mark.parametrize(
    ("chrony", "ntp", "kernel", "expected"),
    [
        (CHRONY.format(reference="1795347000.5", leap="Normal"), None, None, ("chrony", True, 2, 670)),
        (CHRONY.format(reference="0.0", leap="Not synchronised"), None, None, ("chrony", False, 2, None)),
        ((1, ""), None, "NTP=no\nNTPSynchronized=no\n", ("kernel", False, None, None)),
        (None, NTPQ, None, ("ntpd", True, 1, None)),
    ],
)
def test_who_keeps_the_clock(
    chrony: str | tuple[int, str] | None, ntp: str | None, kernel: str | None, expected: tuple[object, ...]
) -> None:
    answer = asked(uptime="5400.1\n", clock="1795347671\n", chrony=chrony, ntp=ntp, kernel=kernel, servers=None)
    facts = outcome(PROBES["time.now"], answer)
    found = facts and (facts["by"], facts["synchronized"], facts.get("stratum"), facts.get("stale_s"))
    assert found == expected


@pytest.mark.parametrize(
    ("leap", "synchronized"),
    [("Normal", True), ("Insert second", True), ("Delete second", True), ("Not synchronised", False), ("Unknown", None)],
)
def test_what_chrony_says_of_the_leap_is_known_or_not_understood(leap: str, synchronized: bool | None) -> None:
    chrony = CHRONY.format(reference="1795347000.5", leap=leap)
    answer = asked(uptime="5400.1\n", clock="1795347671\n", chrony=chrony, ntp=None, kernel=None, servers=None)
    if synchronized is None:
        with pytest.raises(ParseError):
            clock.parse_clock(answer)
    else:
        assert clock.parse_clock(answer)["synchronized"] is synchronized


@pytest.mark.parametrize(
    ("status", "own", "resolved"),
    [
        (0, "web1", True),
        (2, "web1", False),
        (143, "web1", False),
        (137, "web1", False),
        (1, None, False),
        (1, "web1", None),
        (3, "web1", None),
        (127, "web1", None),
        (126, None, None),
        (127, None, None),
    ],
)
def test_a_lookup_fails_only_by_the_words_of_its_tool(status: int, own: str | None, resolved: bool | None) -> None:
    """getent is asked where the own name is looked up, else nslookup, whose 1 says that a name is not found."""
    lookups = f"{status} erp.nord.example\n" + (f"0 {own}\n" if own else "")
    answer = asked(resolv="", nsswitch=None, lookups=lookups, own=f"{own}\n" if own else None)
    if resolved is None:
        with pytest.raises(SourceFailed) as caught:
            names.parse_names(answer)
        assert f"status {status}" in caught.value.detail
    else:
        assert names.parse_names(answer)["failed"] == (not resolved)


def test_a_time_daemon_that_does_not_answer_is_a_failure_where_nothing_else_knows() -> None:
    with pytest.raises(SourceFailed):
        clock.parse_clock(asked(uptime="1.0\n", clock="1\n", chrony=(1, ""), ntp=None, kernel=None, servers=None))
    with pytest.raises(NothingThere):
        clock.parse_clock(asked(uptime="1.0\n", clock="1\n", chrony=None, ntp=None, kernel=None, servers=None))


def test_an_unfinished_dpkg_and_a_lock_that_is_held() -> None:
    sources: dict[str, str | bytes | tuple[int, str | bytes] | None] = {
        "count": "1\n",
        "updates": "2\n",
        "packages": "iHR\tlibc6:amd64\t2.36\nitR\tman-db\t2.11\n",
        "units": (1, ""),
        "locks": "1: POSIX  ADVISORY  WRITE 4711 fe:00:1234 0 EOF\n",
        "inodes": "1234\n",
        "mountinfo": f"{ROOT}\n",
        "words": None,
    }
    facts = packages.parse_deb(asked(**sources))
    assert [(item["package"], item["state"]) for item in facts["packages"]] == [
        ("libc6:amd64", "half-installed"),
        ("man-db", "triggers-pending"),
    ]
    assert (facts["interrupted"], facts["busy"], facts["mounts"]) == (True, True, ["/"])
    assert "no_space" not in facts and "read_only" not in facts  # nothing was read that could say so
    sources["inodes"] = "99\n"
    assert packages.parse_deb(asked(**sources))["busy"] is False
    sources["inodes"] = None
    assert packages.parse_deb(asked(**sources))["busy"] is False
    for unseen in ({"inodes": (1, "")}, {"inodes": "99\n", "locks": None}):
        assert "busy" not in packages.parse_deb(asked(**(sources | unseen)))


SAID = "dpkg-query: package 'gone' is not installed\n"


@pytest.mark.parametrize(
    ("units", "stderr", "brings"),
    [
        ("/lib/systemd/system/shop.service\n/lib/systemd/system/a.service\n", "", {"units": ["a.service", "shop.service"]}),
        ((1, ""), "", {"units": []}),
        ((1, ""), SAID, None),
        ((2, ""), SAID, None),
        ((127, ""), "sh: dpkg-query: not found\n", None),
        ((141, "/lib/systemd/system/shop.service\n"), "", None),
        (None, "", None),
    ],
)
def test_which_services_unfinished_packages_bring_is_a_fact_only_where_it_was_seen(
    units: str | tuple[int, str] | None, stderr: str, brings: dict[str, list[str]] | None
) -> None:
    given = {"count": "1\n", "updates": "0\n", "packages": "iHR\tlibc6:amd64\t2.36\n", "units": units, "locks": ""}
    answer = asked(**given, inodes="1\n", mountinfo=f"{ROOT}\n", words=None)
    found = read_sources("pkg.deb", answer)["units"]
    assert packages._brings(replace(found, stderr=stderr.encode())).get("brings") == brings
    if not stderr:
        assert packages.parse_deb(answer).get("brings") == brings


@pytest.mark.parametrize(
    ("words", "no_space"),
    [("tar: x: No space left on device\n", True), ((1, ""), False), ((2, ""), None), ((127, ""), None), (None, None)],
)
def test_what_apt_said_is_a_fact_only_where_its_log_was_read(
    words: str | tuple[int, str] | None, no_space: bool | None
) -> None:
    facts = packages.parse_deb(
        asked(
            count="1\n",
            updates="0\n",
            packages="iHR\tlibc6:amd64\t2.36\n",
            units=(1, ""),
            locks="",
            inodes="1\n",
            mountinfo=f"{ROOT}\n",
            words=words,
        )
    )
    assert (facts.get("no_space"), "read_only" in facts) == (no_space, no_space is not None)


RHEL_KERNELS = (
    "10 /boot/vmlinuz-5.14.0-362.8.1.el9_3.x86_64\n20 /boot/vmlinuz-5.14.0-427.13.1.el9_4.x86_64\n"
    "30 /boot/vmlinuz-0-rescue-5d41402abc4b2a76b9719d911017c592\n"
)


@pytest.mark.parametrize(
    ("kernels", "running", "newest"),
    [
        ("10 /boot/vmlinuz-6.1.0-9-amd64\n20 /boot/vmlinuz-6.1.0-10-amd64\n", "6.1.0-9-amd64", "6.1.0-10-amd64"),
        ("10 /boot/vmlinuz-6.1.0-9-amd64\n20 /boot/vmlinuz-6.9.0-1-rt-amd64\n", "6.1.0-9-amd64", None),  # another flavour
        ("20 /boot/vmlinuz-6.1.0-10-amd64\n", "6.18.44-fc", None),  # a kernel that is not from here
        (
            RHEL_KERNELS,
            "5.14.0-362.8.1.el9_3.x86_64",
            "5.14.0-427.13.1.el9_4.x86_64",
        ),
    ],
)
def test_kernels_that_wait_for_a_reboot(kernels: str, running: str, newest: str | None) -> None:
    answer = asked(running=f"{running}\n", clock="100\n", kernels=kernels, mark="none\n")
    facts = packages.parse_reboot(answer)
    assert (facts["wanted"], facts["newest_kernel"]) == (newest is not None, newest or running)
    among = asked(running=f"{running}\n", kernels=f"100 /proc/self/\n{kernels}", mark="none\n")
    again = dict(packages.parse_reboot(among))
    assert again == {**facts, "at": again["at"]}


def test_kernels_without_the_clock_are_not_understood() -> None:
    with pytest.raises(ParseError):
        packages.parse_reboot(asked(running="6.1.0\n", kernels="10 /boot/vmlinuz-6.1.0\n", mark="none\n"))


def test_names_of_units_that_a_socket_stands_in_for() -> None:
    def unit(name: str, state: str, load: str = "loaded", enabled: str = "enabled") -> str:
        return f"Id={name}\nNames={name}\nLoadState={load}\nActiveState={state}\nSubState=x\nUnitFileState={enabled}\n\n"

    shown = (
        unit("ssh.service", "inactive", enabled="disabled")
        + unit("ssh.socket", "active")
        + unit("x.service", "inactive", "not-found", "")
    )
    facts = services.parse_units(asked(uptime="9.0\n", expected="ssh\nx.service\n", units=shown))
    assert [(item["service"], item["running"], item["enabled"], item["installed"]) for item in facts["expected"]] == [
        ("ssh", True, True, True),
        ("x.service", False, True, False),
    ]


def test_secrets_in_the_last_words_of_a_service_are_not_kept() -> None:
    said = b'db password = "hunter2", dsn=postgres://app:s3cret@db/x token: abc123\nplain words\n'
    for redaction in PROBES["svc.units"].redact:
        said = redaction.pattern.sub(lambda match: match[0].replace(match["secret"], b"***"), said)
    assert b"hunter2" not in said and b"s3cret" not in said and b"abc123" not in said and b"plain words" in said
