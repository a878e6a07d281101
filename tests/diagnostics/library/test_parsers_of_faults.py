"""Parsers of faults, of the kernel, arrays and interfaces, and of logins, certificates, lists: in the words of many hosts."""

import pytest

from diagnostics.library.linux import certificates, interfaces, kernel_faults, logins, package_lists, raid, taint
from diagnostics.probe import Facts, NothingThere, ParseError, SourceFailed
from tests.diagnostics.library.answers import asked
from tests.diagnostics.library.test_parsers import real_answers


def faults(*messages: str) -> Facts:
    ring = "[    0.000000] Linux version 6.1.0\n" + "".join(f"[  100.000000] {message}\n" for message in messages)
    return kernel_faults.parse_kernel_faults(asked(uptime="400.5\n", ring=ring, journal=None, container=None))


@pytest.mark.parametrize(
    ("message", "device", "medium"),
    [
        ("blk_update_request: I/O error, dev sdb, sector 16 op 0x0:(READ) flags 0x0 phys_seg 1 prio class 0", "sdb", False),
        ("print_req_error: I/O error, dev nvme0n1, sector 2048", "nvme0n1", False),
        ("end_request: critical medium error, dev sdc, sector 9", "sdc", True),
        ("blk_update_request: critical target error, dev sda, sector 1 op 0x1:(WRITE)", "sda", False),
        ("Buffer I/O error on device sdb1, logical block 3", "sdb1", False),
        ("Buffer I/O error on dev dm-3, logical block 0, async page read", "dm-3", False),
    ],
)
def test_disk_errors_in_the_words_of_many_kernels(message: str, device: str, medium: bool) -> None:
    (fault,) = faults(message)["io"]
    assert (fault["device"], fault["medium"], fault["last_age_s"]) == (device, medium, 300)


@pytest.mark.parametrize(
    "message",
    [
        "operation not supported error, dev loop0, sector 0 op 0x9:(WRITE_ZEROES) flags 0x800 phys_seg 0 prio class 2",
        "reservation conflict error, dev sda, sector 0 op 0x0:(READ)",
    ],
)
def test_what_a_disk_merely_cannot_do_is_no_error(message: str) -> None:
    assert faults(message)["io"] == []


@pytest.mark.parametrize(
    ("message", "program"),
    [
        ("nginx[71]: segfault at 0 ip 0000 sp 0000 error 4 in nginx[400000+1000]", "nginx"),
        ("traps: a b[1][72] general protection fault ip:7f sp:7f error:0 in libc.so.6[7f+1]", "a b[1]"),
        ("traps: app[73] trap invalid opcode ip:401 sp:7f error:0 in app[401+1]", "app"),
        ("traps: app[74] trap divide error ip:401 sp:7f error:0 in app[401+1]", "app"),
        ("gdbed[75]: trap int3 ip:401 sp:7f", None),
    ],
)
def test_crashes_by_program(message: str, program: str | None) -> None:
    assert [one["program"] for one in faults(message)["crashes"]] == ([program] if program else [])


def test_tasks_that_hang_are_grouped_and_workers_lose_their_numbers() -> None:
    hung = faults(
        "INFO: task kworker/u8:2:71 blocked for more than 120 seconds.",
        "INFO: task kworker/3:1:72 blocked for more than 241 seconds.",
        "watchdog: BUG: soft lockup - CPU#1 stuck for 26s! [my task:9]",
        "NMI watchdog: Watchdog detected hard LOCKUP on cpu 3",
    )["hung"]
    assert [(one["task"], one["reports"], one["seconds"], one["locked_up"]) for one in hung] == [
        ("kworker", 2, 241, False),
        ("my task", 1, 26, False),
        ("CPU 3", 1, 0, True),
    ]


@pytest.mark.parametrize(
    ("message", "uncorrected"),
    [
        ("mce: [Hardware Error]: Machine check events logged", False),
        ("[Hardware Error]: Corrected error, no action required.", False),
        ("[Hardware Error]: Uncorrected, software restartable error.", True),
        ("{1}[Hardware Error]: event severity: corrected", False),
        ("{1}[Hardware Error]: event severity: fatal", True),
    ],
)
def test_hardware_errors_by_their_own_words(message: str, uncorrected: bool) -> None:
    assert [one["uncorrected"] for one in faults(message)["hardware"]] == [uncorrected]


def test_a_member_of_many_arrays_is_told_by_state() -> None:
    said = (
        "array=md0 level=raid1 raid_disks=3 degraded=1 sync_action=recover mismatch_cnt=128 array_state=active\n"
        "member=sda1 state=in_sync\nmember=sdb1 state=faulty\nmember=nvme0n1p3 state=spare\n"
        "array=md1 level=raid0 raid_disks=2 array_state=clean\nmember=sdc state=in_sync,write_error,want_replacement\n"
    )
    first, second = raid.parse_arrays(asked(arrays=said))["arrays"]
    assert (first["missing"], first["failed"], first["rebuilding"]) == (1, "sdb1", True)
    assert first["disks"] == ["sda", "sdb", "nvme0n1"]
    assert (second["missing"], second["failed"], second["ailing"]) == (0, "", "sdc")


HEAD = "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n"


@pytest.mark.parametrize(
    ("line", "down", "configured", "lost"),
    [
        ("interface=eth1 flags=0x1003 type=1 state=down ups=0 downs=1 hardware=yes", True, False, False),
        ("interface=eth1 flags=0x1003 type=1 state=down ups=1 downs=2 hardware=yes below=bond0", True, True, True),
        ("interface=eth1 flags=0x1003 type=1 state=up ups=2 downs=2 hardware=yes", False, False, False),
        ("interface=eth1 flags=0x1003 type=1 state=down hardware=yes", True, False, None),
    ],
)
def test_interfaces_by_what_is_set_up_on_them(line: str, down: bool, configured: bool, lost: bool | None) -> None:
    (one,) = interfaces.parse_interfaces(asked(interfaces=f"{line}\n", tables=HEAD))["interfaces"]
    assert (one["down"], one["configured"], one.get("lost")) == (down, configured, lost)


def test_interfaces_that_are_off_or_no_ethernet_are_not_there() -> None:
    off = "interface=eth1 flags=0x1002 type=1 state=down\ninterface=lo flags=0x9 type=772 state=unknown\n"
    with pytest.raises(NothingThere):
        interfaces.parse_interfaces(asked(interfaces=off, tables=HEAD))


V6 = "0" * 32 + " 00 " + "0" * 32 + " 00 {by} 00000400 00000001 00000000 {flags}     eth0\n"


@pytest.mark.parametrize(
    ("ways", "tables", "default", "elsewhere"),
    [
        ("eth0\t00000000\t0101A8C0\t0003\t0\t0\t100\t00000000\t0\t0\t0\n", None, True, False),
        ("tun0\t00000000\t00000000\t0001\t0\t0\t0\t00000080\t0\t0\t0\n", None, True, False),
        ("eth0\t00000000\t0101A8C0\t0002\t0\t0\t100\t00000000\t0\t0\t0\n", "[]", False, False),
        (V6.format(by="fe80" + "0" * 27 + "1", flags="00450003"), None, True, False),
        (V6.format(by="0" * 32, flags="00200201"), "[]", False, False),
        ("", '[{"dst": "default", "gateway": "10.0.0.1", "dev": "eth1", "table": "7"}]', False, True),
        ("", '[{"type": "unreachable", "dst": "default", "table": "7"}]', False, False),
        ("", (255, "ip: invalid option -- 'j'"), False, None),
    ],
)
def test_default_routes_of_every_kind(
    ways: str, tables: str | tuple[int, str] | None, default: bool, elsewhere: bool | None
) -> None:
    facts = interfaces.parse_routes(asked(ways=ways, tables=tables, interfaces="eth0\nlo\n"))
    assert (facts["default"], facts.get("elsewhere")) == (default, elsewhere)


def test_failed_logins_of_the_last_day_only_and_mapped_addresses_as_ipv4() -> None:
    said = (
        "     70 2026-11-25T11 ::ffff:203.0.113.7\n     60 2026-11-24T12 203.0.113.7\n"
        "     50 2026-11-24T10 203.0.113.7\n      2 2026-11-25T01 0.0.0.0\n"
    )
    facts = logins.parse_auth(asked(clock="1795608000\n", record=said, journal=None))  # 2026-11-25T12:00:00Z
    assert [(one["address"], one["failures"]) for one in facts["sources"]] == [("203.0.113.7", 130), ("", 2)]


def test_failed_logins_that_nobody_keeps_are_not_zero() -> None:
    with pytest.raises(NothingThere):
        logins.parse_auth(asked(record=None, journal=None))
    with pytest.raises(SourceFailed):
        logins.parse_auth(asked(record=None, journal=(1, "")))


@pytest.mark.parametrize(
    ("root", "password", "asks", "empty", "expected"),
    [
        ("prohibit-password", "yes", "kbdinteractiveauthentication no", "no", (False, False)),
        ("yes", "no", "kbdinteractiveauthentication yes", "no", (True, False)),
        ("yes", "no", "challengeresponseauthentication no", "yes", (False, False)),
        ("without-password", "yes", "kbdinteractiveauthentication no", "yes", (False, True)),
    ],
)
def test_what_sshd_lets_in(root: str, password: str, asks: str, empty: str, expected: tuple[bool, bool]) -> None:
    settings = f"permitrootlogin {root}\npasswordauthentication {password}\n{asks}\npermitemptypasswords {empty}\n"
    facts = logins.parse_sshd(asked(settings=settings, root_password=None))
    assert (facts["root_password_login"], facts["empty_passwords"]) == expected


def test_a_certificate_that_is_none_is_not_understood() -> None:
    said = "file /etc/nginx/x.pem\n-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"
    with pytest.raises(ParseError):
        certificates.parse_certificates(asked(configured=None, certificates=said))
    with pytest.raises(NothingThere):
        certificates.parse_certificates(asked(configured=None, certificates=""))


def test_a_certificate_in_two_files_is_one_and_goes_by_the_name_that_is_configured() -> None:
    ((answer,),) = real_answers("sec.certs")[:1]
    facts = certificates.parse_certificates(answer)
    assert len({one["path"] for one in facts["certificates"]}) == len(facts["certificates"])
    assert [one["path"] for one in facts["certificates"] if one["configured"]] == ["/etc/nginx/tls/shop.pem"]
    assert answer.stdout.count(b"BEGIN CERTIFICATE") > len(facts["certificates"])


def test_taint_bits_by_their_meaning() -> None:
    facts = taint.parse_taint(asked(tainted=f"{1 << 5 | 1 << 14 | 1}\n"))
    assert (facts["bad_page"], facts["locked_up"], facts["died"], facts["modules"]) == (True, True, False, "proprietary")


def test_package_lists_that_are_not_there_have_no_age() -> None:
    facts = package_lists.parse_lists(asked(lists="0\n", clock="1000\n", fetched="900\n"))
    assert (facts["lists"], facts.get("age_s")) == (0, None)
    facts = package_lists.parse_lists(asked(lists="1\n", clock="1000\n", fetched="700\n900\n"))
    assert facts["age_s"] == 100
    with pytest.raises(NothingThere):
        package_lists.parse_lists(asked(fetched=None))


def test_package_lists_are_as_old_by_the_clock_among_them_as_by_one_apart() -> None:
    facts = package_lists.parse_lists(asked(lists="1\n", fetched="1000\n700\n900\n"))
    apart = package_lists.parse_lists(asked(lists="1\n", clock="1000\n", fetched="700\n900\n"))
    assert facts == {**apart, "at": facts["at"]}
    assert (facts["age_s"], facts["at"]["last"] - facts["at"]["first"]) == (100, 2)
    assert "age_s" not in package_lists.parse_lists(asked(lists="0\n", fetched="1000\n900\n"))
    with pytest.raises(ParseError):
        package_lists.parse_lists(asked(lists="1\n", fetched=""))
