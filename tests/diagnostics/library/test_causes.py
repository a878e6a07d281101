"""What explains what, on captures of hosts where it really did, and on decoys where it did not."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

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
    other = (("log.kernel", b"stock-import.service", b"price-import.service"),)
    assert links_of(changed("service-killed-for-memory", *other)) == set()
    assert links_of(changed("scenario-oom-loop", *other)) == set()


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


def test_each_rule_is_seen_to_hold(shipped: Library) -> None:
    """A rule that no test of this module names is one that nobody has seen to hold."""
    source = Path(__file__).read_text()
    assert [rule.id for rule in shipped.causes if json.dumps(rule.id) not in source] == []


def test_causes_speak_both_languages(shipped: Library) -> None:
    for rule in shipped.causes:
        assert set(rule.text) == {"en", "ru"}, rule.id
        assert any("а" <= letter <= "я" for letter in rule.text["ru"].lower()), rule.id
