"""What is said of a Windows host on which one thing is otherwise: what failed is told, and what could not be seen."""

from dataclasses import replace
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from diagnostics.diagnose import diagnose
from diagnostics.finding import CheckResult
from diagnostics.library import Library
from tests.diagnostics.library.windows_hosts import (
    NO_EVENTS,
    NO_NAMESPACE,
    Answers,
    Item,
    WindowsHost,
    adapter,
    ago,
    disk,
    event,
    evidence_of,
    licence,
    service,
    since,
)
from tests.diagnostics.library.windows_ills import merged, system

Said = str | set[tuple[str, str]]
"""A verdict, or findings: the severity and the first value of the subject of each."""


def judged(shipped: Library, check: str, change: Answers, **context: Any) -> CheckResult:
    """Return what one check says of a healthy server with some answers changed."""
    evidence, stored = evidence_of(WindowsHost(name="win-2022-other", change=change))
    (result,) = diagnose(evidence, replace(stored, checks=(check,), library_digest=shipped.digest, **context), shipped).results
    return result


def said(result: CheckResult) -> Said:
    """Return the findings of a result, or its verdict."""
    found = {(one.severity.value, str(next(iter(one.subject.values()), ""))) for one in result.findings}
    return found or result.verdict.value


def stopped(name: str, *, booted_days: float = 19, **more: Any) -> Answers:
    """Return one automatic service that does not run."""
    return merged(system(Booted=ago(days=booted_days)), {"win.services": {"services": [service(name, name, **more)]}})


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (stopped("Dnscache", Exit=1067, Trigger=True), {("warning", "Dnscache")}),
        (stopped("Dnscache", Exit=0, Trigger=True), "not_applicable"),
        (stopped("Dnscache", Exit=1077, Trigger=True), "not_applicable"),
        (stopped("gpsvc", Exit=1066, Own=5, Trigger=True), {("warning", "gpsvc")}),
        (stopped("BITS", Exit=1067), {("warning", "BITS")}),
        (stopped("BITS", State="Start Pending", Exit=0), "not_applicable"),
        (stopped("SomeAgent", State="Stop Pending", Exit=0, Trigger=True), "not_applicable"),
        (stopped("SomeAgent", State="Start Pending", Exit=0, Delayed=True), {("warning", "SomeAgent")}),
        (stopped("BITS", Exit=0), "not_applicable"),
        (stopped("OneSyncSvc_4f1a2", Exit=1067), "not_applicable"),
        (stopped("aspnet_state", Exit=0), {("info", "aspnet_state")}),
        (stopped("VeeamAgent", Exit=1077, Delayed=True), {("info", "VeeamAgent")}),
        (stopped("VeeamAgent", Exit=1077, Delayed=True, booted_days=0.015), "not_applicable"),
        (stopped("VeeamAgent", Exit=0, Delayed=True), "not_applicable"),
    ],
)
def test_a_service_is_innocent_only_where_it_ended_well(change: Answers, expected: Said, shipped: Library) -> None:
    assert said(judged(shipped, "win-svc", change)) == expected


def packages(**days: float) -> Answers:
    """Return packages that were installed so many days ago."""
    tail = "~31bf3856ad364e35~amd64~~20348.2227.1.7"
    return {
        "win.updates": {"packages": [{"Name": f"Package_for_{name}{tail}", **since(days=age)} for name, age in days.items()]}
    }


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (packages(ServicingStack_2840=5, RollupFix=200), {("critical", "")}),
        (packages(KB5012170=5, RollupFix=60), {("warning", "")}),
        (packages(ServicingStack_2840=5, KB5030287=10, KB5029301=300), "clear"),
        (packages(ServicingStack_2840=5), "not_applicable"),
        (packages(RollupFix=200, ServicingStack_1=1, ServicingStack_2=2, KB5012170=3, RollupFix_=4), {("critical", "")}),
    ],
)
def test_windows_is_as_old_as_its_cumulative_update(change: Answers, expected: Said, shipped: Library) -> None:
    assert said(judged(shipped, "win-wu", change)) == expected


OURS: Item = {"Name": "Windows Defender", "State": 393472}
THEIRS: Item = {"Name": "Kaspersky", "State": 266240}


def defender(mode: str | None, *products: Item, real_time: bool = False, service: bool = False) -> Answers:
    """Return how Defender stands; servers, and only these, have no list of products."""
    status = {"Service": service, "RealTime": real_time, "Mode": mode, "Age": 0, "Version": "1.421.20.0", "Tamper": False}
    listed = list(products) if products else NO_NAMESPACE
    return {"win.defender": {"status": [status | {"QuickAge": 1}], "threats": [], "products": listed}}


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (defender("Not running"), {("critical", "")}),
        (defender("Not running", OURS), {("critical", "")}),
        (defender("Not running", OURS, THEIRS), "not_applicable"),
        (defender(None), {("critical", "")}),
        (defender("Passive Mode", service=True), "not_applicable"),
        (defender("Passive Mode", OURS, service=True), {("critical", "")}),
        (defender("Passive Mode", OURS, THEIRS, service=True, real_time=True), "not_applicable"),
        (defender("SxS Passive Mode", OURS, THEIRS, service=True), "not_applicable"),
        (defender("EDR Block Mode", service=True), "not_applicable"),
        (defender("Normal", OURS, service=True, real_time=True), "clear"),
        (defender("Something new", service=True), {("critical", "")}),
    ],
)
def test_a_defender_that_does_not_protect_is_passive_only_beside_another(
    change: Answers, expected: Said, shipped: Library
) -> None:
    result = judged(shipped, "win-defender", change)
    assert said(result) == expected
    if change == defender("Not running"):
        assert [one.params["service"] for one in result.findings] == [False]


MANY: list[Item] = [{"Key": "10.77.0.66|3|0xC000006A", "Count": 2411, "Last": ago(hours=1)}]
FEW: list[Item] = [MANY[0] | {"Count": 3}]
YOUNG: list[Item] = [{"Time": ago(hours=3)}]


@pytest.mark.parametrize(
    ("logons", "logon", "lockout"),
    [
        ({"failures": FEW}, "clear", "clear"),
        ({"failures": NO_EVENTS}, "clear", "clear"),
        ({"failures": NO_EVENTS, "newest": NO_EVENTS}, "unknown", "clear"),
        ({"failures": FEW, "oldest": YOUNG}, "unknown", "unknown"),
        ({"failures": NO_EVENTS, "newest": NO_EVENTS, "oldest": NO_EVENTS}, "unknown", "unknown"),
        ({"failures": MANY, "oldest": YOUNG}, {("warning", "10.77.0.66")}, "unknown"),
    ],
)
def test_refused_logons_are_clear_only_where_they_would_be_in_the_log(
    logons: dict[str, Any], logon: Said, lockout: Said, shipped: Library
) -> None:
    result = judged(shipped, "win-logon", {"win.logons": logons})
    assert (said(result), said(judged(shipped, "win-lockout", {"win.logons": logons}))) == (logon, lockout)
    assert result.complete is (logon == "clear")


def one_disk(**more: Any) -> Answers:
    """Return a disk with what Windows says of it."""
    return {"win.disks": {"disks": [disk("X", "1", 0, **more)]}}


def volume(**more: Any) -> Answers:
    """Return a volume that BitLocker could protect, on a machine that stands."""
    return {"win.bitlocker": {"volumes": [{"Drive": "C:", "Protected": 0, "Converted": 0, "Kind": None} | more]}}


ADDON: Item = {"Name": "Windows(R), Client-ESU-Year1 add-on", "Status": 1, "Minutes": 0, "Channel": "Volume:MAK"}
ADDON |= {"Family": "Client-ESU-Year1", "Addon": True}
BEFORE: Item = ADDON | {"Name": "Windows(R), Core edition", "Family": "Core", "Addon": False}


def licences(*more: Item, status: int = 1) -> Answers:
    """Return the licence of the edition that runs, with others behind it."""
    runs = licence("Professional", "Retail", status=status)
    assert isinstance(runs["products"], list)
    return {"win.licence": runs | {"products": [*more, *runs["products"]]}}


@pytest.mark.parametrize(
    ("check", "change", "expected"),
    [
        ("win-smart", one_disk(Health=5, States=[2]), "unknown"),
        ("win-smart", one_disk(Health=5, States=[13]), {("warning", "X (1)")}),
        ("win-smart", one_disk(Health=0, States=[0xD002, 6]), {("warning", "X (1)")}),
        ("win-smart", one_disk(Health=5, States=[5]), {("critical", "X (1)")}),
        ("win-smart", one_disk(Health=0, States=[2]), "clear"),
        ("win-gpo", {"win.policy": {"last": []}}, "unknown"),
        (
            "win-gpo",
            {"win.policy": {"last": [], "events": [{"Id": 1054, "Count": 4, "Last": ago(hours=1), "Data": []}]}},
            {("warning", "")},
        ),
        ("win-bitlocker", volume(Converted=None), "unknown"),
        ("win-bitlocker", volume(Converted=None, Protected=1), "clear"),
        ("win-bitlocker", volume(), "clear"),
        ("win-bitlocker", volume(Converted=1), {("warning", "C:")}),
        ("win-licence", licences(ADDON, status=5), {("warning", "")}),
        ("win-licence", licences(BEFORE, status=5), {("warning", "")}),
        ("win-licence", licences(ADDON, BEFORE | {"Status": 5}), "clear"),
        ("win-licence", {"win.licence": {"edition": [{"Edition": "EnterpriseS"}]}}, "clear"),
    ],
)
def test_what_windows_does_not_say_is_not_well(check: str, change: Answers, expected: Said, shipped: Library) -> None:
    assert said(judged(shipped, check, change)) == expected


REFUSED_OFTEN: Item = {"Key": "disk|7|\\Device\\Harddisk0\\DR0", "Count": 3000, "First": ago(days=5), "Last": ago(hours=1)}
CRASHED: Item = {"Id": 41, "Provider": "Microsoft-Windows-Kernel-Power", "Time": ago(days=1), "Data": ["0"]}


@pytest.mark.parametrize(
    ("check", "change", "found"),
    [
        ("win-bugcheck", {"win.boots": {}}, ()),
        ("win-shutdown", {"win.boots": {"events": [CRASHED]}}, {("warning", "")}),
        ("win-ioerr", {"win.disk-events": {"events": [REFUSED_OFTEN]}}, {("critical", REFUSED_OFTEN["Key"][7:])}),
        ("win-ioerr", {"win.disk-events": {}}, ()),
        ("win-evt", {"win.events": {}}, ()),
        ("win-logon", {"win.logons": {}}, ()),
    ],
)
def test_what_is_more_than_is_sent_is_not_clear(check: str, change: Answers, found: Said, shipped: Library) -> None:
    (question,) = change
    whole, cut = (
        judged(shipped, check, {question: change[question] | {"full": full}}) for full in ([{"Full": False}], [{"Full": True}])
    )
    assert (said(whole), said(cut)) == (found or "clear", found or "unknown")
    assert whole.complete and not cut.complete


def test_what_healthy_machines_log_by_the_thousand_takes_the_place_of_nothing(shipped: Library) -> None:
    """Where it comes all the same, by a name that is written otherwise, it counts for nothing."""
    script = next(one.question.script for one in shipped.probes.values() if one.id == "win.events")
    query = ET.fromstring(script.partition("@'\n")[2].partition("\n'@")[0])
    suppressed = [one.text or "" for one in query.iter("Suppress") if one.get("Path") == "System"]
    assert any("@Name='Schannel'" in one and "EventID=36874]" in one for one in suppressed)
    assert [one.get("Path") for one in query.iter("Select")] == ["System", "Application"]
    flood: Answers = {"win.events": {"events": [event("System", "SChannel", 36874, 2000)]}}
    assert said(judged(shipped, "win-evt", flood)) == "not_applicable"


def test_restarts_that_somebody_planned_are_not_asked_for(shipped: Library) -> None:
    script = next(one.question.script for one in shipped.probes.values() if one.id == "win.boots")
    assert "1074" not in script and script.index("EventID=6008") < script.index("-MaxEvents")


def logged(provider: str, number: int, *, role: int = 3, level: int = 2) -> Answers:
    """Return five hundred errors of one kind on a machine with this role in its domain (3: a member, 5: a controller)."""
    return {"win.events": {"computer": [{"Role": role}], "events": [event("System", provider, number, 500, level=level)]}}


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (logged("Ntfs", 55), "not_applicable"),
        (logged("Ntfs", 137), {("warning", "Ntfs")}),
        (logged("Microsoft-Windows-Ntfs", 140, level=1), {("warning", "Microsoft-Windows-Ntfs")}),
        (logged("iaStorA", 129), "not_applicable"),
        (logged("disk", 1000), {("warning", "disk")}),
        (logged("Microsoft-Windows-Kernel-Power", 41, level=1), "not_applicable"),
        (logged("Microsoft-Windows-Kernel-Power", 137), {("warning", "Microsoft-Windows-Kernel-Power")}),
        (logged("NETLOGON", 5719), "not_applicable"),
        (logged("NETLOGON", 5722, role=5), {("warning", "NETLOGON")}),
        (logged("NETLOGON", 5722, role=2), {("warning", "NETLOGON")}),
        (logged("Microsoft-Windows-GroupPolicy", 1058, role=5), "not_applicable"),
        (logged("Microsoft-Windows-GroupPolicy", 1058, role=0), {("warning", "Microsoft-Windows-GroupPolicy")}),
    ],
)
def test_an_error_is_left_to_another_check_only_where_that_tells_it(change: Answers, expected: Said, shipped: Library) -> None:
    assert said(judged(shipped, "win-evt", change)) == expected


ALONE = adapter("vmxnet3 Ethernet Adapter #2", "169.254.3.7", "fe80::1", gateway=None)
CLUSTER: Item = ALONE | {"Name": "Microsoft Failover Cluster Virtual Adapter", "Service": "NetFT"}


@pytest.mark.parametrize(
    ("second", "expected"),
    [
        (ALONE, {("warning", "vmxnet3 Ethernet Adapter #2")}),
        (ALONE | {"Dhcp": False}, "clear"),
        (CLUSTER | {"Dhcp": False}, "clear"),
        (CLUSTER, "clear"),
    ],
)
def test_an_address_of_its_own_making_is_one_for_which_dhcp_was_asked(second: Item, expected: Said, shipped: Library) -> None:
    first = adapter("vmxnet3 Ethernet Adapter", "10.77.0.21")
    assert said(judged(shipped, "win-apipa", {"win.network": {"adapters": [first, second]}})) == expected
