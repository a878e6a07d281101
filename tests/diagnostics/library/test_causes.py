"""What explains what, on captures of hosts where it really did, and on decoys where it did not."""

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from diagnostics.check_tests import load_capture
from diagnostics.context import Context
from diagnostics.diagnose import diagnose
from diagnostics.evidence import Evidence
from diagnostics.finding import Diagnosis
from diagnostics.library import Library
from remote.answer import Answer

Links = set[tuple[str, str, str]]


def links_of(diagnosis: Diagnosis) -> Links:
    """Return (rule, cause, effect) of each link, without the host's name."""
    return {(link.rule, link.cause.partition("/")[2], link.effect.partition("/")[2]) for link in diagnosis.links}


@pytest.mark.parametrize(
    ("capture", "expected"),
    [
        (
            "scenario-full-disk",
            {
                ("full-filesystem-broke-service", "fs-space/mount=/var", "svc-failed/unit=postgresql@15-main.service"),
                ("failed-service-closed-port", "svc-failed/unit=postgresql@15-main.service", "port-closed/port=tcp/5432"),
            },
        ),
        (
            "inodes-gone-and-readonly",
            {
                ("no-inodes-broke-service", "fs-inodes/mount=/var/spool/queue", "svc-failed/unit=queue-runner.service"),
                ("read-only-filesystem-broke-service", "fs-readonly/mount=/srv/archive", "svc-failed/unit=archiver.service"),
            },
        ),
        (
            "readonly-home",
            {("read-only-filesystem-broke-service", "fs-readonly/mount=/home", "svc-failed/unit=shop-export.service")},
        ),
        (
            "scenario-dead-dns",
            {
                ("names-broke-service", "dns-broken/", "svc-failed/unit=nginx.service"),
                ("time-servers-do-not-resolve", "dns-broken/", "time-unsync/"),
                ("failed-service-is-down", "svc-failed/unit=nginx.service", "svc-down/unit=nginx.service"),
                ("failed-service-closed-port", "svc-failed/unit=nginx.service", "port-closed/port=tcp/80"),
                ("stopped-service-closed-port", "svc-down/unit=nginx.service", "port-closed/port=tcp/80"),
            },
        ),
        (
            "scenario-clock-unsynchronized",
            {("stopped-time-service", "svc-down/unit=systemd-timesyncd.service", "time-unsync/")},
        ),
        (
            "scenario-broken-packages",
            {
                ("half-installed-package-broke-service", "pkg-broken/", "svc-failed/unit=shop-api.service"),
                ("failed-service-is-down", "svc-failed/unit=shop-api.service", "svc-down/unit=shop-api.service"),
            },
        ),
        (
            "scenario-oom-loop",
            {
                (
                    "kernel-killed-expected-service",
                    "mem-oom/victim=stock-import.service",
                    "svc-down/unit=stock-import.service",
                )
            },
        ),
        (
            "service-killed-for-memory",
            {("kernel-killed-service", "mem-oom/victim=stock-import.service", "svc-failed/unit=stock-import.service")},
        ),
        (
            "memory-low-and-killed",
            {("shortage-of-memory-killed", "mem-low/", "mem-oom/victim=report-builder@2.service")},
        ),
        # a full /home does not explain a database on /var, even one whose log once spoke of a lack of space
        (
            "full-home-service-elsewhere",
            {("failed-service-closed-port", "svc-failed/unit=postgresql@15-main.service", "port-closed/port=tcp/5432")},
        ),
        ("scenario-healthy", set()),
        ("busybox", set()),
    ],
)
def test_links_on_real_hosts(capture: str, expected: Links, diagnosed: Callable[[str], Diagnosis]) -> None:
    assert links_of(diagnosed(capture)) == expected


Changed = Callable[..., Diagnosis]


@pytest.fixture
def changed(shipped: Library, captures: Path) -> Changed:
    """Return what is said of a capture after texts in its answers were replaced, or answers taken from other captures."""

    def of(
        capture: str, *swaps: tuple[str, bytes, bytes], taken: tuple[tuple[str, str], ...] = (), **context: object
    ) -> Diagnosis:
        evidence, stored = load_capture(captures / capture)
        answers = dict(evidence.answers)
        for other, question in taken:
            answers[question] = load_capture(captures / other)[0].answers[question]
        for question, old, new in swaps:
            assert old in answers[question].stdout, (question, old)
            answers[question] = replace(answers[question], stdout=answers[question].stdout.replace(old, new))
        return _diagnosed(evidence, answers, replace(stored, **context), shipped)  # type: ignore[arg-type]

    return of


def _diagnosed(evidence: Evidence, answers: dict[str, Answer], context: Context, library: Library) -> Diagnosis:
    return diagnose(replace(evidence, answers=answers), replace(context, library_digest=library.digest), library)


def test_a_path_alone_is_a_weaker_link_than_a_complaint(changed: Changed) -> None:
    complaint = (("svc.units", b"No space left on device", b"Something else is wrong"),)
    (link,) = [one for one in changed("scenario-full-disk", *complaint).links if one.rule == "full-filesystem-broke-service"]
    assert link.weight == 0.5
    (link,) = [one for one in changed("scenario-full-disk").links if one.rule == "full-filesystem-broke-service"]
    assert link.weight == 0.9


def test_a_complaint_without_a_known_path_points_at_the_full_filesystem(changed: Changed) -> None:
    paths = (
        ("svc.units", b"/var/lib/postgresql/15/main", b"somewhere"),
        ("svc.units", b"/etc/postgresql/15/main", b"elsewhere"),
        ("svc.units", b'"postmaster.pid": No space', b"postmaster.pid: No space"),
    )
    assert "full-filesystem-and-no-space" in {link.rule for link in changed("scenario-full-disk", *paths).links}
    assert "full-filesystem-and-no-space" not in {link.rule for link in changed("scenario-full-disk").links}


def test_a_filesystem_that_is_only_nearly_full_broke_nothing(changed: Changed) -> None:
    thresholds = {"fs-space": {"critical": 101.0}}
    assert links_of(changed("scenario-full-disk", thresholds=thresholds)) == {
        ("failed-service-closed-port", "svc-failed/unit=postgresql@15-main.service", "port-closed/port=tcp/5432")
    }


def test_packages_and_full_or_read_only_filesystems(changed: Changed) -> None:
    """dpkg writes to /var and /usr: a filesystem that holds neither explains nothing."""
    full = {"taken": (("scenario-full-disk", "fs.stat"),)}
    assert ("full-filesystem-broke-packages", "fs-space/mount=/var", "pkg-broken/") in links_of(
        changed("scenario-broken-packages", **full)
    )
    elsewhere = {"taken": (("full-home-service-elsewhere", "fs.stat"),)}
    assert "full-filesystem-broke-packages" not in {
        one[0] for one in links_of(changed("scenario-broken-packages", **elsewhere))
    }
    read_only = {"taken": (("readonly-home", "fs.mounts"),)}
    assert "read-only-filesystem-broke-packages" not in {
        one[0] for one in links_of(changed("scenario-broken-packages", **read_only))
    }
    moved = changed("scenario-broken-packages", ("fs.mounts", b" / /home ", b" / /var "), **read_only)
    assert ("read-only-filesystem-broke-packages", "fs-readonly/mount=/var", "pkg-broken/") in links_of(moved)


def test_packages_and_inodes(changed: Changed) -> None:
    gone = {"taken": (("inodes-gone-and-readonly", "fs.stat"),)}
    assert "no-inodes-broke-packages" not in {one[0] for one in links_of(changed("scenario-broken-packages", **gone))}
    moved = changed("scenario-broken-packages", ("fs.stat", b"/var/spool/queue", b"/var"), **gone)
    assert ("no-inodes-broke-packages", "fs-inodes/mount=/var", "pkg-broken/") in links_of(moved)


def test_a_killed_process_explains_only_its_own_service(changed: Changed) -> None:
    assert links_of(changed("service-killed-for-memory", OTHER_VICTIM)) == set()
    assert links_of(changed("scenario-oom-loop", OTHER_VICTIM_OF_LATE)) == set()


def test_a_service_at_its_own_limit_says_nothing_of_the_host(changed: Changed) -> None:
    limited = (("log.kernel", b"Out of memory: Killed", b"Memory cgroup out of memory: Killed"),)
    assert links_of(changed("memory-low-and-killed", *limited)) == set()


def test_a_service_explains_only_its_own_port(changed: Changed) -> None:
    other = changed("scenario-full-disk", ports=("tcp/8443",))
    assert "failed-service-closed-port" not in {one[0] for one in links_of(other)}
    loopback = changed("readonly-home", taken=(("scenario-full-disk", "svc.units"),))
    assert "failed-service-closed-port" not in {one[0] for one in links_of(loopback)}  # it listens: only not for others


def test_a_service_that_is_down_explains_only_itself(changed: Changed) -> None:
    other = changed("scenario-broken-packages", ("svc.units", b"shop-api", b"shop-web"), services=("ssh", "nginx", "shop-web"))
    assert {one[0] for one in links_of(other)} == {"failed-service-is-down"}  # and the package brings another unit


def test_name_servers_explain_only_what_goes_by_names(changed: Changed) -> None:
    by_address = (("time.now", b"ntp.nord.example", b"10.77.0.1"),)
    assert "time-servers-do-not-resolve" not in {one[0] for one in links_of(changed("scenario-dead-dns", *by_address))}
    silent = (("svc.units", b"host not found in upstream", b"no live backend in group"),)
    assert "names-broke-service" not in {one[0] for one in links_of(changed("scenario-dead-dns", *silent))}


def test_a_failed_resolver_on_the_host_itself_explains_dead_names(changed: Changed) -> None:
    resolver = ("svc.units", b"nginx", b"dnsmasq")
    reason = ("svc.units", b"host not found in upstream", b"bad option in")
    here = ("dns.conf", b"nameserver 10.77.0.98", b"nameserver 127.0.0.1")
    context = {"services": ("ssh", "cron")}
    assert "failed-resolver" in {one[0] for one in links_of(changed("scenario-dead-dns", resolver, reason, here, **context))}
    assert "failed-resolver" not in {one[0] for one in links_of(changed("scenario-dead-dns", resolver, reason, **context))}


def test_a_failed_time_service_explains_the_clock(changed: Changed) -> None:
    failed = ("svc.units", b"nginx", b"chrony")
    assert "failed-time-service" in {one[0] for one in links_of(changed("scenario-dead-dns", failed, services=("ssh",)))}
    assert "failed-time-service" not in {one[0] for one in links_of(changed("scenario-dead-dns"))}


Case = tuple[tuple[Any, ...], dict[str, Any]]
"""What `changed` is called with."""


def case(*capture_and_swaps: Any, **more: Any) -> Case:
    return capture_and_swaps, more


UNKNOWN_PATHS = (
    ("svc.units", b"/var/lib/postgresql/15/main", b"somewhere"),
    ("svc.units", b"/etc/postgresql/15/main", b"elsewhere"),
    ("svc.units", b'"postmaster.pid": No space', b"postmaster.pid: No space"),
)
INODES_OF_VAR = ("fs.stat", b"/var/spool/queue", b"/var")
FEW_INODES = {"fs-inodes": {"critical": -1.0}}
STOPPED = ("svc.units", b"ActiveState=active\nSubState=running", b"ActiveState=inactive\nSubState=dead")
NOT_MEMORY_OF_HOST = ("log.kernel", b"Out of memory: Killed", b"Memory cgroup out of memory: Killed")
OTHER_VICTIM = ("log.kernel", b"stock-import.service", b"price-import.service")
OTHER_VICTIM_OF_LATE = ("kernel.messages", b"stock-import.service", b"price-import.service")
OTHER_UNIT = ("svc.units", b"shop-api", b"shop-web")
TIME_BY_ADDRESS = ("time.now", b"ntp.nord.example", b"10.77.0.1")
NO_NAME_IN_LOG = ("svc.units", b"host not found in upstream", b"no live backend in group")
RESOLVER_FAILED = ("svc.units", b"nginx", b"dnsmasq")
RESOLVER_HERE = ("dns.conf", b"nameserver 10.77.0.98", b"nameserver 127.0.0.1")
CHRONY_FAILED = ("svc.units", b"nginx", b"chrony")
FLAPPING = ("service-flapping", "svc.restarts")
NO_NAME_SAID = ("svc.restarts", b"No such file or directory", b"Temporary failure in name resolution")
OTHER_FLAPS = ("svc.restarts", b"price-sync", b"price-feed")
ANY_STEAL = {"cpu-steal": {"warning": 1.0, "warning_clear": 0.5}}
IDLE = ("sys.delta", b" 15/273 ", b" 1/273 ")
LITTLE_SWAPPED = ("sys.delta", b"pswpout 270081", b"pswpout 269748")
ANY_SWAPPING = {"mem-swapio": {"warning": 1.0, "warning_clear": 0.5}}
STALLED = ("mem.info", b"full avg10=0.00 avg60=0.00", b"full avg10=9.00 avg60=9.00")
ENOUGH_IS_LITTLE = {"mem-low": {"warning": 99.0, "warning_clear": 99.5}}
PARENT_SLEEPS = ("proc.stat", b"/proc/323/status:State:\tD (disk sleep)", b"/proc/323/status:State:\tS (sleeping)")
WEB_FLAPS = ("svc.restarts", b"price-sync", b"nginx")

SILENT = (("much-to-mend", "fs.net"),)
DELETED = (("deleted-and-open", "fs.deleted"),)
ON_VAR = ("fs.deleted", b" / / rw,relatime - overlay", b" / /var rw,relatime - overlay")
ANY_DELETED = {"fs-deleted": {"bytes": 1024**2}}
NO_WAY_OUT = (("no-way-out", "net.route"),)
DEAD_NAMES = (("scenario-dead-dns", "dns.conf"),)
NAMES = ("ntp.nord.example", "erp.nord.example")
DISK_ERRORS = (("disk-errors-raid-degraded", "log.faults"),)
DISK_OF_HOME = ("log.faults", b"dev vdb,", b"dev vdc,")
OTHER_DISK = ("log.faults", b"dev vdb,", b"dev vdd,")
NO_DISK = ("log.faults", b"dev vdb,", b"dev fd0,")
HUNG_AT_THE_BOOT = (
    ("log.faults", b"[  847.549401] INFO", b"[    1.549401] INFO"),
    ("log.faults", b"[  857.788692] INFO", b"[    1.788692] INFO"),
)
OTHER_PROGRAM = ("log.faults", b"stock-import[958]", b"price-import[958]")
NEVER_HAD_A_LINK = ("net.if", b" ups=2 downs=3 ", b" ups=0 downs=3 ")

OWN_CLOCK_AS_SOURCE = (  # what chrony says of `local stratum 10`: synchronised, with no source of time
    "time.now",
    b"absent chrony chronyc\n",
    b"""source chrony
7F7F0101,,10,1795349795.0,0.000000000,0.0,0.0,0.0,0.0,0.0,0.0,0.0,0.0,Normal

@e393f14f-380d-4999-acd2-f27538ca7768 end 0
""",
)

EACH_RULE: dict[str, tuple[Case, Case]] = {
    "full-filesystem-broke-service": (case("scenario-full-disk"), case("full-home-service-elsewhere")),
    "full-filesystem-and-no-space": (case("scenario-full-disk", *UNKNOWN_PATHS), case("scenario-full-disk")),
    "no-inodes-broke-service": (
        case("inodes-gone-and-readonly"),
        case("inodes-gone-and-readonly", thresholds=FEW_INODES),
    ),
    "full-filesystem-broke-packages": (
        case("scenario-broken-packages", taken=(("scenario-full-disk", "fs.stat"),)),
        case("scenario-broken-packages", taken=(("full-home-service-elsewhere", "fs.stat"),)),
    ),
    "no-inodes-broke-packages": (
        case("scenario-broken-packages", INODES_OF_VAR, taken=(("inodes-gone-and-readonly", "fs.stat"),)),
        case(
            "scenario-broken-packages",
            INODES_OF_VAR,
            taken=(("inodes-gone-and-readonly", "fs.stat"),),
            thresholds=FEW_INODES,
        ),
    ),
    "read-only-filesystem-broke-service": (
        case("readonly-home"),
        case("readonly-home", taken=(("scenario-full-disk", "svc.units"),)),
    ),
    "read-only-filesystem-broke-packages": (
        case("scenario-broken-packages", ("fs.mounts", b" / /home ", b" / /var "), taken=(("readonly-home", "fs.mounts"),)),
        case("scenario-broken-packages", taken=(("readonly-home", "fs.mounts"),)),
    ),
    "shortage-of-memory-killed": (case("memory-low-and-killed"), case("memory-low-and-killed", NOT_MEMORY_OF_HOST)),
    "kernel-killed-service": (case("service-killed-for-memory"), case("service-killed-for-memory", OTHER_VICTIM)),
    "kernel-killed-expected-service": (case("scenario-oom-loop"), case("scenario-oom-loop", OTHER_VICTIM_OF_LATE)),
    "failed-service-is-down": (case("scenario-dead-dns"), case("scenario-full-disk", STOPPED)),
    "failed-service-closed-port": (case("scenario-full-disk"), case("scenario-full-disk", ports=("tcp/8443",))),
    "stopped-service-closed-port": (case("scenario-dead-dns"), case("scenario-dead-dns", ports=("tcp/8443",))),
    "half-installed-package-broke-service": (
        case("scenario-broken-packages"),
        case("scenario-broken-packages", OTHER_UNIT, services=("ssh", "nginx", "shop-web")),
    ),
    "time-servers-do-not-resolve": (case("scenario-dead-dns"), case("scenario-dead-dns", TIME_BY_ADDRESS)),
    "names-broke-service": (case("scenario-dead-dns"), case("scenario-dead-dns", NO_NAME_IN_LOG)),
    "failed-time-service": (case("scenario-dead-dns", CHRONY_FAILED, services=("ssh",)), case("scenario-dead-dns")),
    "failed-resolver": (
        case("scenario-dead-dns", RESOLVER_FAILED, NO_NAME_IN_LOG, RESOLVER_HERE, services=("ssh", "cron")),
        case("scenario-dead-dns", RESOLVER_FAILED, NO_NAME_IN_LOG, services=("ssh", "cron")),
    ),
    "full-filesystem-restarts-service": (
        case("service-flapping"),
        case("service-flapping", thresholds={"fs-space": {"critical": 101.0}}, earlier=()),
    ),
    "names-restart-service": (
        case("scenario-dead-dns", NO_NAME_SAID, taken=(FLAPPING,), checks=("dns-broken", "svc-flapping")),
        case("scenario-dead-dns", taken=(FLAPPING,), checks=("dns-broken", "svc-flapping")),
    ),
    "kernel-killed-restarting-service": (
        case("service-killed-in-loop"),
        case("service-killed-in-loop", OTHER_VICTIM),
    ),
    "restarting-service-is-down": (case("service-flapping"), case("service-flapping", OTHER_FLAPS)),
    "restarting-service-closed-port": (case("service-flapping", WEB_FLAPS), case("service-flapping")),
    "task-limit-restarts-service": (
        case("limits-near", ("svc.restarts", b"price-sync", b"thumbnailer"), taken=(FLAPPING,)),
        case("limits-near", taken=(FLAPPING,)),
    ),
    "hanging-tasks-raise-load": (
        case("files-hang"),
        case("files-hang", ("sys.delta", b" 3/117 ", b" 29/117 ")),
    ),
    "hanging-parent-does-not-reap": (
        case("files-hang"),
        case("files-hang", PARENT_SLEEPS),
    ),
    "stolen-time-raises-load": (
        case("stolen-time", thresholds=ANY_STEAL),
        case("stolen-time", IDLE, thresholds=ANY_STEAL),
    ),
    "swapping-makes-disks-wait": (
        case("swap-thrash"),
        case("swap-thrash", LITTLE_SWAPPED, thresholds=ANY_SWAPPING),
    ),
    "shortage-of-memory-stalls": (
        case("swap-thrash"),
        case("limits-near", STALLED, thresholds=ENOUGH_IS_LITTLE),
    ),
    "stopped-time-service": (case("scenario-clock-unsynchronized"), case("scenario-dead-dns")),
    "disk-errors-degraded-array": (case("disk-errors-raid-degraded"), case("disk-errors-raid-degraded", OTHER_DISK)),
    "disk-errors-stopped-filesystem": (
        case("readonly-home", DISK_OF_HOME, taken=DISK_ERRORS, checks=("fs-readonly", "io-errors")),
        case("readonly-home", taken=DISK_ERRORS, checks=("fs-readonly", "io-errors")),
    ),
    "disk-errors-hang-tasks": (
        case("media-errors-hung-crashing"),
        case("media-errors-hung-crashing", NO_DISK, *HUNG_AT_THE_BOOT),
    ),
    "hardware-errors-crash-programs": (case("machine-check", OTHER_PROGRAM), case("machine-check")),
    "hardware-errors-tainted-kernel": (case("machine-check-uncorrected"), case("machine-check")),
    "lockup-tainted-kernel": (case("kernel-lockups"), case("media-errors-hung-crashing")),
    "link-down-no-way-out": (
        case("link-lost", taken=NO_WAY_OUT, checks=("net-linkdown", "net-nogw")),
        case("link-lost", NEVER_HAD_A_LINK, taken=NO_WAY_OUT, checks=("net-linkdown", "net-nogw")),
    ),
    "link-down-broke-names": (
        case("way-out-gone", taken=DEAD_NAMES, checks=("net-linkdown", "dns-broken"), names=NAMES),
        case("link-lost", taken=DEAD_NAMES, checks=("net-linkdown", "dns-broken"), names=NAMES),
    ),
    "no-way-out-broke-names": (
        case("no-way-out"),
        case("no-way-out", ("dns.conf", b"nameserver 10.77.0.3", b"nameserver 127.0.0.1")),
    ),
    "no-way-out-to-time-servers": (
        case("scenario-clock-unsynchronized", taken=NO_WAY_OUT),
        case("scenario-healthy", OWN_CLOCK_AS_SOURCE, taken=NO_WAY_OUT),
    ),
    "no-way-out-old-lists": (
        case("package-lists-old", taken=NO_WAY_OUT, checks=("net-nogw", "pkg-stale")),
        case("disk-errors-raid-degraded", taken=NO_WAY_OUT),
    ),
    "names-old-lists": (
        case("package-lists-old", taken=DEAD_NAMES, checks=("dns-broken", "pkg-stale"), names=NAMES),
        case("disk-errors-raid-degraded", taken=DEAD_NAMES, names=NAMES),
    ),
    "big-log-fills-filesystem": (
        case("log-fills-disk"),
        case("log-fills-disk", taken=(("scenario-full-disk", "fs.stat"),)),
    ),
    "silent-share-hangs-processes": (
        case("files-hang", taken=SILENT, checks=("proc-dstate", "fs-stale")),
        case("files-hang", ("fs.net", b"143 /srv/share", b"1 /srv/share"), taken=SILENT, checks=("proc-dstate", "fs-stale")),
    ),
    "deleted-file-holds-filesystem": (
        case("scenario-full-disk", ON_VAR, taken=DELETED, checks=("fs-space", "fs-deleted"), thresholds=ANY_DELETED),
        case("scenario-full-disk", taken=DELETED, checks=("fs-space", "fs-deleted"), thresholds=ANY_DELETED),
    ),
}
"""For each rule a host on which it holds, and a decoy: both findings are there, and this rule does not link them."""


def test_each_rule_has_its_firing_case_and_its_decoy(shipped: Library) -> None:
    assert sorted(EACH_RULE) == sorted(rule.id for rule in shipped.causes if "linux" in shipped.checks[rule.cause].platforms)


@pytest.mark.parametrize("rule", sorted(EACH_RULE))
def test_a_rule_holds_where_it_should(rule: str, changed: Changed) -> None:
    given, more = EACH_RULE[rule][0]
    assert rule in {one[0] for one in links_of(changed(*given, **more))}


@pytest.mark.parametrize("rule", sorted(EACH_RULE))
def test_a_rule_does_not_hold_for_its_decoy(rule: str, changed: Changed, shipped: Library) -> None:
    given, more = EACH_RULE[rule][1]
    diagnosis = changed(*given, **more)
    (decoyed,) = [one for one in shipped.causes if one.id == rule]
    found = {finding.check for finding in diagnosis.findings}
    assert decoyed.cause in found and found & set(decoyed.effect)
    assert rule not in {one[0] for one in links_of(diagnosis)}


def _without_log(units: Answer, unit: str, said: bytes) -> Answer:
    """Return what a host says where nobody may read the journal: a unit's log, which holds `said`, is empty."""
    head, start, rest = units.stdout.partition(f" source log {unit}\n".encode())
    log, end, tail = rest.partition(b"\n@")
    assert said in log
    return replace(units, stdout=head + start + end + tail)


def test_a_log_that_could_not_be_read_is_told_not_taken_for_silence(
    shipped: Library, captures: Path, diagnosed: Callable[[str], Diagnosis]
) -> None:
    evidence, context = load_capture(captures / "scenario-dead-dns")
    emptied = _without_log(evidence.answers["svc.units"], "nginx.service", b"host not found")
    diagnosis = _diagnosed(evidence, {**evidence.answers, "svc.units": emptied}, context, shipped)
    assert "names-broke-service" not in {one[0] for one in links_of(diagnosis)}
    told = {(one.rule, one.check) for one in diagnosis.unchecked if one.finding.endswith("svc-failed/unit=nginx.service")}
    assert ("names-broke-service", "dns-broken") in told
    assert "names-broke-service" not in {one.rule for one in diagnosed("scenario-dead-dns").unchecked}


@pytest.mark.parametrize(
    ("capture", "unit", "said", "rule", "cause"),
    [
        ("scenario-full-disk", "postgresql@15-main.service", b"No space", "full-filesystem-broke-service", "fs-space"),
        ("inodes-gone-and-readonly", "queue-runner.service", b"No space", "no-inodes-broke-service", "fs-inodes"),
        ("inodes-gone-and-readonly", "archiver.service", b"Read-only", "read-only-filesystem-broke-service", "fs-readonly"),
    ],
)
def test_a_mount_that_only_an_unread_log_could_have_named_is_not_a_no(
    shipped: Library, captures: Path, capture: str, unit: str, said: bytes, rule: str, cause: str
) -> None:
    """Only the log names a path on the mount: where it was read it decides either way, unread nobody knows."""
    evidence, context = load_capture(captures / capture)
    units = evidence.answers["svc.units"]
    nowhere = re.sub(rb"(?m)^RequiresMountsFor=.*$", b"RequiresMountsFor=/etc", units.stdout)
    unread = _without_log(replace(units, stdout=nowhere), unit, said)
    quiet = replace(units, stdout=re.sub(rb"(?<=[\s\"'=:(])/[\w/@.:+-]+", b"it", nowhere).replace(said, b"Nothing"))

    def told(answer: Answer) -> tuple[bool, bool]:
        """Return whether the rule links, and whether it says that it was not checked."""
        diagnosis = _diagnosed(evidence, {**evidence.answers, "svc.units": answer}, context, shipped)
        effect = f"{evidence.host}/svc-failed/unit={unit}"
        links = any((link.rule, link.effect) == (rule, effect) for link in diagnosis.links)
        return links, any((one.check, one.finding) == (cause, effect) for one in diagnosis.unchecked)

    assert (told(units), told(unread), told(quiet)) == ((True, False), (False, True), (False, False))


def test_packages_whose_files_could_not_be_listed_leave_a_service_unchecked(
    captures: Path, shipped: Library, diagnosed: Callable[[str], Diagnosis]
) -> None:
    evidence, context = load_capture(captures / "scenario-broken-packages.evidence")
    whole = evidence.answers["pkg.deb"]
    cut = re.sub(rb"(?s)(source units\n).*?\n(@\S+ end )0\n", rb"\1\n\g<2>141\n", whole.stdout)
    assert cut != whole.stdout
    unseen = replace(evidence, answers=dict(evidence.answers) | {"pkg.deb": replace(whole, stdout=cut)})
    rule, effect = "half-installed-package-broke-service", "svc-failed/unit=shop-api.service"
    for diagnosis, linked in ((diagnosed("scenario-broken-packages"), True), (diagnose(unseen, context, shipped), False)):
        assert ((rule, "pkg-broken/", effect) in links_of(diagnosis)) is linked
        told = {one.finding.partition("/")[2] for one in diagnosis.unchecked if one.rule == rule}
        assert (effect in told) is not linked


def test_causes_speak_both_languages(shipped: Library) -> None:
    for rule in shipped.causes:
        assert set(rule.text) == {"en", "ru"}, rule.id
        assert any("а" <= letter <= "я" for letter in rule.text["ru"].lower()), rule.id
