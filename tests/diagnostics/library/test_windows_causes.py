"""What explains what on Windows: on each host that was written down, and each rule where it holds and where it must not."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from diagnostics.diagnose import diagnose
from diagnostics.finding import Diagnosis
from diagnostics.library import Library
from inventory.host import Expectations
from tests.diagnostics.library.windows_hosts import (
    NO_EVENTS,
    STATUS,
    Answers,
    Item,
    WindowsHost,
    adapter,
    ago,
    channel,
    disk,
    drive,
    evidence_of,
    name,
    service,
    since,
    update,
)
from tests.diagnostics.library.windows_ills import HOSTS, merged, system

BY_NAME = {host.name: host for host in HOSTS}
Changed = Callable[..., Diagnosis]
Case = tuple[str, Answers, dict[str, Any]]


def case(host: str, change: Answers | None = None, **context: Any) -> Case:
    """Return a host, what is changed on it, and what of the circumstances."""
    return f"win-{host}", change or {}, context


@pytest.fixture
def changed(shipped: Library) -> Changed:
    """Return what is said of a host with some answers changed."""

    def of(host: str, change: Answers, context: dict[str, Any]) -> Diagnosis:
        known: WindowsHost = BY_NAME[host]
        evidence, stored = evidence_of(replace(known, change=merged(known.change, change)))
        return diagnose(evidence, replace(stored, library_digest=shipped.digest, **context), shipped)

    return of


def links_of(diagnosis: Diagnosis) -> set[tuple[str, str, str]]:
    """Return (rule, cause, effect) of each link, without the host's name."""
    return {(link.rule, link.cause.partition("/")[2], link.effect.partition("/")[2]) for link in diagnosis.links}


FULL_C = "win-disk/drive=C:"
FAILED_UPDATE = "win-wu-failed/title=KB5044277"
FIRST_DISK = "win-smart/disk=ATA ST1000NM0033 (Z1W4A1BC)"


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        (
            "2019-full-drive",
            {
                ("full-drive-stops-service", FULL_C, "win-svc/service=WSearch"),
                ("full-drive-stops-service", FULL_C, "win-svc-down/service=Spooler"),
                ("full-drive-stops-spooler", FULL_C, "win-spool/"),
                ("full-drive-stops-updates", FULL_C, FAILED_UPDATE),
                ("failing-updates-grow-old", FAILED_UPDATE, "win-wu/"),
                ("stopped-spooler-is-expected", "win-spool/", "win-svc-down/service=Spooler"),
            },
        ),
        (
            "2016-clock",
            {
                ("nothing-keeps-windows-clock", "win-time-unsync/", "win-time/"),
                ("wrong-clock-breaks-channel", "win-time/", "win-domain/"),
                ("wrong-clock-stops-policies", "win-time/", "win-gpo/"),
                ("wrong-clock-refuses-logons", "win-time/", "win-logon/address=10.77.0.51"),
                ("broken-channel-stops-policies", "win-domain/", "win-gpo/"),
            },
        ),
        (
            "2012r2-storage",
            {
                ("names-break-channel", "win-dns/", "win-domain/"),
                ("names-stop-policies", "win-dns/", "win-gpo/"),
                ("broken-channel-stops-policies", "win-domain/", "win-gpo/"),
                *(
                    ("failing-disk-logs-errors", FIRST_DISK, f"win-ioerr/device={device},means={means}")
                    for device, means in (
                        ("\\Device\\Harddisk0\\DR0", "bad_block"),
                        ("\\Device\\Harddisk0\\DR0", "retried"),
                        ("D:", "file_system_damaged"),
                    )
                ),
            },
        ),
        (
            "2025-ps7",
            {
                ("automatic-service-is-expected", "win-svc/service=W3SVC", "win-svc-down/service=W3SVC"),
                ("stopped-windows-service-closed-port", "win-svc-down/service=W3SVC", "win-port/port=tcp/80"),
                ("refused-logons-lock-account", "win-logon/address=10.77.0.66", "win-lockout/account=svc-backup"),
            },
        ),
        ("10-ru", {("stop-error-ended-windows", "win-bugcheck/", "win-shutdown/")}),
        (
            "11-home",
            {("no-address-no-gateway", "win-apipa/adapter=Realtek PCIe GbE Family Controller", "win-nogw/")},
        ),
        ("11-user", set()),
        ("2022-healthy", set()),
    ],
)
def test_links_on_each_host(host: str, expected: set[tuple[str, str, str]], changed: Changed) -> None:
    assert links_of(changed(*case(host))) == expected


ONLY_D_FULL: Answers = {
    "win.drives": {"drives": [drive("C:", 127_355_842_560, 60_000_000_000), drive("D:", 100_000_000, 1_000)]}
}
OTHER_SERVICE: Answers = {
    "win.services": {
        "expected": [{"Name": "LanmanServer"}],
        "services": [service("LanmanServer", "Server", Exit=1067)],
    }
}
LITTLE_COMMIT: Answers = system(LimitKB=9_699_000, LeftKB=100_000)
NAMES_DEAD: Answers = {"win.names": {"names": [name("nord.example", domain=True, error=11002)]}}
SOME_NAME_DEAD: Answers = {"win.names": {"names": [name("nord.example", domain=True), name("relay.nord.example", error=11001)]}}
NO_ADDRESS: Answers = {"win.network": {"adapters": [adapter("vmxnet3 Ethernet Adapter", "169.254.3.7", gateway=None)]}}
NO_ADAPTERS: Answers = {"win.network": {"adapters": []}}
NO_WAY_OUT: Answers = {"win.network": {"adapters": [adapter("vmxnet3 Ethernet Adapter", "10.77.0.21", gateway=None)]}}
ANOTHER_WAY: Answers = {
    "win.network": {
        "adapters": [
            adapter("vmxnet3 Ethernet Adapter #2", "169.254.3.7", gateway=None),
            adapter("vmxnet3 Ethernet Adapter", "10.77.0.21"),
        ]
    }
}
TIME_STOPPED: Answers = {
    "win.time": {"service": [{"State": "Stopped", "Start": "Auto"}], "status": [{"Exit": -2147023834, "Lines": []}]},
    "win.services": {"services": [service("W32Time", "Windows Time", Exit=1290)]},
}
TIME_WITHOUT_SOURCE: Answers = {
    "win.time": {"status": [{"Exit": 0, "Lines": ["3(not synchronized)", "0 (unspecified)", *STATUS[2:]]}]},
}
ACCOUNT_RESET: Answers = {"win.domain": {"channel": [{"Exit": 5, "Lines": channel(5, "ERROR_ACCESS_DENIED")}]}}
NO_SERVERS: Answers = {"win.domain": {"channel": [{"Exit": 1311, "Lines": channel(1311, "ERROR_NO_LOGON_SERVERS")}]}}
POLICY_FAILS: Answers = {
    "win.policy": {
        "events": [{"Id": 1054, "Count": 4, "Last": ago(hours=1), "Data": []}],
        "last": [since(days=3) | {"Status": 1}],
    }
}


def refused(code: str) -> Answers:
    """Return logons that were refused for one reason."""
    return {"win.logons": {"failures": [{"Key": f"10.77.0.51|3|{code}", "Count": 300, "Last": ago(hours=1)}]}}


def updates_fail(code: str) -> Answers:
    """Return an update that fails with one code."""
    return {"win.updates": {"events": [update(20, days, "KB5046616", code) for days in (1, 2, 3)]}}


def stopped_with(code: str, *more: Item) -> Answers:
    """Return a stop error with one code, and other events."""
    data = [f"{code} (0x1, 0x2, 0x3, 0x4)", "C:\\Windows\\MEMORY.DMP", "x"]
    stop = {"Id": 1001, "Provider": "Microsoft-Windows-WER-SystemErrorReporting", "Time": ago(days=1), "Data": data}
    return {"win.boots": {"events": [stop, *more]}}


POWER_CUT = {"Id": 41, "Provider": "Microsoft-Windows-Kernel-Power", "Time": ago(days=0.2), "Data": ["0"]}
WAITS: Answers = {"win.reboot": {"servicing": [{"Pending": True, "Running": False}]}}
RENAMED: Answers = {"win.reboot": {"name": [{"Active": "APP1", "Next": "APP2"}]}}
LOCKED: Answers = {"win.logons": {"lockouts": [{"User": "svc", "From": "X", "Time": ago(hours=1)}]}}
OTHER_DISK: Answers = {
    "win.disks": {
        "disks": [
            disk("ATA ST1000NM0033", "Z1W4A1BC", 1, Health=2, States=2),
            disk("ATA ST1000NM0033", "Z1W4A1BD", 2, States=2),
        ],
        "predictions": [],
    },
    "win.disk-events": {
        "events": [{"Key": "disk|7|\\Device\\Harddisk0\\DR0", "Count": 18, "First": ago(days=5), "Last": ago(hours=1)}]
    },
}

EACH_RULE: dict[str, tuple[Case, Case]] = {
    "full-drive-stops-spooler": (case("2019-full-drive"), case("2019-full-drive", ONLY_D_FULL)),
    "full-drive-stops-updates": (case("2019-full-drive"), case("2019-full-drive", ONLY_D_FULL)),
    "full-drive-stops-service": (case("2019-full-drive"), case("2019-full-drive", ONLY_D_FULL)),
    "full-drive-stops-page-file": (
        case("2019-full-drive", LITTLE_COMMIT),
        case("2019-full-drive", merged(LITTLE_COMMIT, ONLY_D_FULL)),
    ),
    "stopped-spooler-is-expected": (case("2019-full-drive"), case("2019-full-drive", OTHER_SERVICE)),
    "automatic-service-is-expected": (case("2025-ps7"), case("2019-full-drive")),
    "stopped-windows-service-closed-port": (case("2025-ps7"), case("2025-ps7", ports=("tcp/9090", "tcp/8080"))),
    "failing-updates-grow-old": (
        case("2019-full-drive"),
        case("2019-full-drive", {"win.updates": {"events": [update(20, 1, "KB5044277", "0x80070070")]}}),
    ),
    "waiting-reboot-blocks-updates": (
        case("2022-healthy", merged(WAITS, updates_fail("0x80240016"))),
        case("2022-healthy", merged(RENAMED, updates_fail("0x80240016"))),
    ),
    "nothing-keeps-windows-clock": (
        case("2016-clock"),
        case(
            "2016-clock",
            {
                "win.time": {
                    "service": [{"State": "Running", "Start": "Auto"}],
                    "status": [{"Exit": 0, "Lines": [*STATUS[:15], "99999.0s"]}],
                }
            },
        ),
    ),
    "stopped-windows-time-service": (
        case("2022-healthy", TIME_STOPPED),
        case(
            "2022-healthy",
            merged(TIME_STOPPED, TIME_WITHOUT_SOURCE, {"win.time": {"service": [{"State": "Running", "Start": "Auto"}]}}),
        ),
    ),
    "wrong-clock-breaks-channel": (case("2016-clock"), case("2016-clock", thresholds={"win-time": {"critical_s": 9000}})),
    "wrong-clock-stops-policies": (case("2016-clock"), case("2016-clock", thresholds={"win-time": {"critical_s": 9000}})),
    "wrong-clock-refuses-logons": (case("2016-clock"), case("2016-clock", refused("0xC000006A"))),
    "broken-channel-stops-policies": (case("2016-clock"), case("2019-full-drive", POLICY_FAILS)),
    "broken-channel-refuses-logons": (
        case("2022-healthy", merged(ACCOUNT_RESET, refused("0xC000018D"))),
        case("2022-healthy", merged(ACCOUNT_RESET, refused("0xC000006A"))),
    ),
    "names-break-channel": (
        case("2022-healthy", merged(NAMES_DEAD, NO_SERVERS)),
        case("2022-healthy", merged(NAMES_DEAD, ACCOUNT_RESET)),
    ),
    "names-stop-policies": (
        case("2022-healthy", merged(NAMES_DEAD, POLICY_FAILS)),
        case("2022-healthy", merged(SOME_NAME_DEAD, POLICY_FAILS)),
    ),
    "names-stop-updates": (
        case("2022-healthy", merged(NAMES_DEAD, updates_fail("0x80072EE7"))),
        case("2022-healthy", merged(NAMES_DEAD, updates_fail("0x80070005"))),
    ),
    "names-stop-windows-clock": (
        case("2022-healthy", merged(NAMES_DEAD, TIME_WITHOUT_SOURCE)),
        case("2022-healthy", merged(SOME_NAME_DEAD, TIME_WITHOUT_SOURCE)),
    ),
    "no-address-no-gateway": (case("11-home"), case("11-home", NO_WAY_OUT)),
    "no-address-no-names": (
        case("2022-healthy", merged(NO_ADDRESS, NAMES_DEAD)),
        case("2022-healthy", merged(ANOTHER_WAY, NAMES_DEAD)),
    ),
    "no-gateway-no-names": (
        case("2022-healthy", merged(NO_WAY_OUT, NAMES_DEAD)),
        case("2022-healthy", merged(NO_ADAPTERS, NAMES_DEAD)),
    ),
    "failing-disk-logs-errors": (case("2012r2-storage"), case("2012r2-storage", OTHER_DISK)),
    "disk-errors-stop-windows": (
        case("2012r2-storage", stopped_with("0x0000007a")),
        case("2012r2-storage", stopped_with("0x0000009f")),
    ),
    "stop-error-ended-windows": (case("10-ru"), case("10-ru", stopped_with("0x0000009f", POWER_CUT))),
    "refused-logons-lock-account": (
        case("2025-ps7"),
        case("2022-healthy", merged(refused("0xC0000064"), LOCKED)),
    ),
}


def test_each_rule_has_its_firing_case_and_its_decoy(shipped: Library) -> None:
    assert sorted(EACH_RULE) == sorted(rule.id for rule in shipped.causes if "windows" in shipped.checks[rule.cause].platforms)


@pytest.mark.parametrize("rule", sorted(EACH_RULE))
def test_a_rule_holds_where_it_should(rule: str, changed: Changed) -> None:
    assert rule in {link.rule for link in changed(*EACH_RULE[rule][0]).links}


@pytest.mark.parametrize("rule", sorted(EACH_RULE))
def test_a_rule_does_not_hold_where_it_should_not(rule: str, changed: Changed, shipped: Library) -> None:
    """The effect, or the cause, is there all the same: a decoy on which nothing is wrong would prove nothing."""
    diagnosis = changed(*EACH_RULE[rule][1])
    assert rule not in {link.rule for link in diagnosis.links}
    (known,) = [one for one in shipped.causes if one.id == rule]
    assert {finding.check for finding in diagnosis.findings} & {known.cause, *known.effect}


@pytest.mark.parametrize(
    ("rule", "plain", "proven"),
    [
        ("full-drive-stops-updates", updates_fail("0x80240016"), updates_fail("0x80070070")),
        ("wrong-clock-breaks-channel", NO_SERVERS, {}),
        ("wrong-clock-stops-policies", POLICY_FAILS, {}),
    ],
)
def test_a_telling_code_makes_a_link_stronger(rule: str, plain: Answers, proven: Answers, changed: Changed) -> None:
    host = "2019-full-drive" if rule.startswith("full") else "2016-clock"
    weights = [
        next(link.weight for link in changed(*case(host, change)).links if link.rule == rule) for change in (plain, proven)
    ]
    assert weights[0] < weights[1] == 0.95


def test_what_could_explain_and_was_not_seen_is_told(changed: Changed) -> None:
    """The channel is broken and nobody could ask what time it is there."""
    diagnosis = changed(*case("2016-clock", {"win.time": {"clock": NO_EVENTS}}))
    assert ("wrong-clock-breaks-channel", "win-time") in {(one.rule, one.check) for one in diagnosis.unchecked}


def test_expectations_decide_what_is_missed(changed: Changed) -> None:
    without = replace(BY_NAME["win-2025-ps7"], expect=Expectations())
    evidence, _ = evidence_of(without)
    assert evidence.platform == "windows"
    quiet = changed(*case("2025-ps7", services=(), ports=(), names=()))
    assert not {finding.check for finding in quiet.findings} & {"win-svc-down", "win-port"}
