"""Records to report on: a small run that tells a story, a fleet, one where every text is hostile."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from diagnostics.content import CheckContent, Content
from diagnostics.finding import CheckResult, Citation, Diagnosis, Finding, Link, Param, Unchecked
from diagnostics.verdict import Reason, Severity, Verdict, Why
from inventory.errors import Text
from inventory.host import Waiver
from remote.answer import Ended
from runner.notes import AnswerNote
from runner.outcome import Outcome, RunState
from runner.record import HostRecord, Quote, RunRecord
from tests.hostile import PAYLOADS

BEGAN = datetime(2026, 11, 22, 10, 47, 55, tzinfo=UTC)
GIB = 1024**3
CHECKS = (
    "fs-space",
    "fs-inodes",
    "fs-readonly",
    "mem-low",
    "mem-oom",
    "svc-failed",
    "svc-down",
    "port-closed",
    "time-unsync",
    "dns-broken",
    "pkg-broken",
    "pkg-reboot",
)
QUESTIONS = {
    "fs-space": "fs.stat",
    "fs-inodes": "fs.stat",
    "fs-readonly": "fs.mounts",
    "mem-low": "mem.info",
    "mem-oom": "log.kernel",
    "svc-failed": "svc.units",
    "svc-down": "svc.units",
    "port-closed": "net.listen",
    "time-unsync": "time.sync",
    "dns-broken": "dns.conf",
    "pkg-broken": "pkg.state",
    "pkg-reboot": "pkg.reboot",
}


def _words(en: str, ru: str) -> dict[str, str]:
    return {"en": en, "ru": ru}


CONTENT = Content(
    checks={
        "fs-space": CheckContent(
            title=_words("Filesystem nearly full", "Файловая система почти заполнена"),
            finding=_words(
                "{{ subject.mount }} is {{ params.used_percent | percent }} full, {{ params.available_bytes | bytes }} left",
                "{{ subject.mount }}: занято {{ params.used_percent | percent }}, есть {{ params.available_bytes | bytes }}",
            ),
            cause=_words(
                "Logs, caches, core dumps or deleted files that are still open.",
                "Журналы, кэши, дампы или удалённые файлы, которые ещё открыты.",
            ),
        ),
        "fs-inodes": CheckContent(
            title=_words("Inodes nearly used up", "Индексные дескрипторы почти закончились"),
            finding=_words(
                "{{ subject.mount }}: inodes {{ params.used_percent | percent }} used", "{{ subject.mount }}: занято"
            ),
        ),
        "fs-readonly": CheckContent(
            title=_words("Filesystem turned read-only", "Файловая система стала доступна только для чтения"),
            finding=_words("{{ subject.mount }} is mounted read-only", "{{ subject.mount }} только для чтения"),
        ),
        "mem-low": CheckContent(
            title=_words("Little memory left", "Мало свободной памяти"),
            finding=_words(
                "{{ params.available_percent | percent }} of memory available ({{ params.available_bytes | bytes }})",
                "Доступно {{ params.available_percent | percent }} памяти ({{ params.available_bytes | bytes }})",
            ),
        ),
        "mem-oom": CheckContent(
            title=_words("The kernel killed a process for lack of memory", "Ядро завершило процесс из-за нехватки памяти"),
            finding=_words(
                "{{ subject.process }} was killed, {{ params.rss_bytes | bytes }} resident",
                "Завершён {{ subject.process }}, в памяти {{ params.rss_bytes | bytes }}",
            ),
            cause=_words("A memory leak, or a limit that is too low.", "Утечка памяти или слишком низкий предел."),
        ),
        "svc-failed": CheckContent(
            title=_words("Service failed", "Сбой службы"),
            finding=_words("{{ subject.unit }} failed: {{ params.result }}", "{{ subject.unit }}: сбой ({{ params.result }})"),
        ),
        "svc-down": CheckContent(
            title=_words("Expected service is not running", "Ожидаемая служба не работает"),
            finding=_words("{{ subject.unit }} is {{ params.state }}", "{{ subject.unit }}: {{ params.state }}"),
        ),
        "port-closed": CheckContent(
            title=_words("Expected port does not listen", "Ожидаемый порт не прослушивается"),
            finding=_words("Nothing listens on {{ subject.port }}", "Порт {{ subject.port }} никто не слушает"),
        ),
        "time-unsync": CheckContent(
            title=_words("Clock is not synchronised", "Часы не синхронизированы"),
            finding=_words("The clock is not synchronised", "Часы не синхронизированы"),
        ),
        "dns-broken": CheckContent(
            title=_words("Names do not resolve", "Имена не разрешаются"),
            finding=_words("{{ params.failed }} of {{ params.asked }} names do not resolve", "Не разрешаются имена"),
        ),
        "pkg-broken": CheckContent(
            title=_words("Packages are broken", "Пакеты повреждены"),
            finding=_words("{{ subject.package }} is {{ params.state }}", "{{ subject.package }}: {{ params.state }}"),
        ),
        "pkg-reboot": CheckContent(
            title=_words("Reboot required", "Требуется перезагрузка"),
            finding=_words(
                "A reboot is required: running kernel {{ params.running }}, installed {{ params.installed }}",
                "Требуется перезагрузка: работает ядро {{ params.running }}, установлено {{ params.installed }}",
            ),
        ),
    },
    questions={
        "fs.stat": "Size and use of every mounted filesystem.",
        "svc.units": "Units that failed or should be active, with the end of their logs.",
    },
    rules={
        "disk-stops-service": _words(
            "The service writes to the full filesystem, and its log says “No space left on device”.",
            "Служба пишет на заполненную файловую систему, в её журнале: «No space left on device».",
        ),
        "failed-is-down": _words("A unit that failed is not running.", "Служба, завершившаяся сбоем, не работает."),
        "service-owns-port": _words("The service that should listen there is down.", "Служба этого порта не работает."),
        "dns-breaks-time": _words("The time servers are known by name only.", "Серверы времени заданы только именами."),
    },
)


def finding(
    host: str,
    check: str,
    severity: Severity = Severity.WARNING,
    *,
    lines: tuple[int, int] = (1, 1),
    since: datetime | None = None,
    params: dict[str, Param] | None = None,
    **subject: Param,
) -> Finding:
    """Return a finding that cites lines of the answer that its check needs."""
    citation = Citation(question=QUESTIONS[check], first=lines[0], last=lines[1])
    return Finding(
        check=check, host=host, subject=subject, severity=severity, params=params or {}, citations=(citation,), since=since
    )


def diagnosis(
    host: str,
    found: Sequence[Finding] = (),
    *,
    links: Sequence[Link] = (),
    unchecked: Sequence[Unchecked] = (),
    whys: dict[str, tuple[Verdict, Why]] | None = None,
) -> Diagnosis:
    """Return a diagnosis with a result for each of the 12 checks."""
    by_check = {check: tuple(one for one in found if one.check == check) for check in CHECKS}
    results = []
    for check in CHECKS:
        if by_check[check]:
            results.append(CheckResult(check=check, verdict=Verdict.FINDING, findings=by_check[check]))
        elif whys and check in whys:
            results.append(CheckResult(check=check, verdict=whys[check][0], why=whys[check][1]))
        else:
            results.append(CheckResult(check=check, verdict=Verdict.CLEAR))
    return Diagnosis(host=host, results=tuple(results), links=tuple(links), unchecked=tuple(unchecked))


def notes(seed: int = 0, **special: AnswerNote) -> tuple[AnswerNote, ...]:
    """Return a note for each question, `special` ones by name with `_` for the dot."""
    chance = random.Random(seed)
    return tuple(
        special.get(question.replace(".", "_"))
        or AnswerNote(
            question=question,
            ended=Ended.EXITED,
            exit_status=0,
            duration_ms=chance.randrange(2, 90),
            stdout_bytes=chance.randrange(80, 9000),
            stderr_bytes=0,
            as_root=question in ("log.kernel", "net.listen"),
        )
        for question in sorted(set(QUESTIONS.values()))
    )


def seen(host: str, what: Diagnosis, outcome: Outcome | None = None, *, at_s: float = 0.4, **more: object) -> HostRecord:
    """Return the record of a host that was reached."""
    fields: dict[str, object] = {
        "address": "10.20.0." + str(sum(map(ord, host)) % 250),
        "site": "berlin",
        "customer": "acme",
        "platform": "linux",
        "transport": "ssh",
        "started_at": BEGAN + timedelta(seconds=at_s),
        "ended_at": BEGAN + timedelta(seconds=at_s + 1.1),
        "evidence_digest": f"{hash_of(host):064x}",
        "answers": notes(hash_of(host)),
        "session": {
            "user": "support",
            "transport": "ssh",
            "host_key": "SHA256:3yTw0Vt8b1SvYx1oC8wG5wq5H4wZ3m1nS0vW2lqkZ9o",
            "credential": "support-key",
            "kex": "mlkem768x25519-sha256",
            "cipher": "chacha20-poly1305@openssh.com",
        },
    } | more
    return HostRecord(
        host=host,
        outcome=outcome or (Outcome.FINDINGS if what.findings else Outcome.OK),
        diagnosis=what,
        **fields,  # type: ignore[arg-type]
    )


def unseen(host: str, outcome: Outcome, kind: str, error: Text, hint: Text | None = None) -> HostRecord:
    """Return the record of a host that brought no evidence."""
    return HostRecord(
        host=host,
        address="10.20.9.7",
        site="berlin",
        customer="acme",
        platform="linux",
        transport="ssh",
        outcome=outcome,
        error=error,
        hint=hint,
        error_kind=kind,
        started_at=BEGAN,
        ended_at=BEGAN + timedelta(seconds=15),
    )


def hash_of(text: str) -> int:
    return int.from_bytes(text.encode(errors="surrogatepass").ljust(8, b"\0")[:8])


def run(*hosts: HostRecord, **more: object) -> RunRecord:
    """Return the record of a run over these hosts."""
    fields: dict[str, object] = {
        "run": "20261122-104755-7f3a9c",
        "playbook": "standard",
        "title": _words("Standard diagnostics", "Стандартная диагностика"),
        "maintenance": "preventive",
        "expression": "site=berlin and platform=linux",
        "actor": "l.weber",
        "case": "DEMO-1",
        "customers": ("acme",),
        "state": RunState.ENDED,
        "started_at": BEGAN,
        "ended_at": BEGAN + timedelta(seconds=16.2),
        "checks": CHECKS,
        "content": CONTENT,
        "versions": {"longarm": "0.1.0", "library": "9f2c" * 16, "playbook": "07ab" * 16, "bundle": "1", "python": "3.11.7"},
    } | more
    return RunRecord(hosts=hosts, **fields)  # type: ignore[arg-type]


def quote(question: str, first: int, *lines: str, cut: bool = False) -> Quote:
    return Quote(citation=Citation(question=question, first=first, last=first + len(lines) - 1), lines=lines, cut=cut)


def broken_database(host: str = "billing-03") -> HostRecord:
    """Return a host whose full disk stopped a database: one root, three consequences."""
    disk = finding(
        host,
        "fs-space",
        Severity.CRITICAL,
        lines=(4, 4),
        mount="/var/lib/postgresql",
        since=BEGAN - timedelta(hours=5),
        params={"used_percent": 99.97, "available_bytes": 13 * 1024**2},
    )
    failed = finding(
        host,
        "svc-failed",
        Severity.CRITICAL,
        lines=(12, 14),
        unit="postgresql@15-main.service",
        params={"result": "exit-code"},
        since=BEGAN - timedelta(hours=2),
    )
    down = finding(host, "svc-down", Severity.CRITICAL, unit="postgresql.service", params={"state": "inactive"})
    port = finding(host, "port-closed", Severity.CRITICAL, port="tcp/5432")
    reboot = finding(
        host,
        "pkg-reboot",
        Severity.INFO,
        lines=(1, 2),
        kernel="kernel",
        params={"running": "6.1.0-18-amd64", "installed": "6.1.0-27-amd64"},
    )
    links = (
        Link(
            cause=disk.id,
            effect=failed.id,
            rule="disk-stops-service",
            weight=0.9,
            cause_citations=disk.citations,
            effect_citations=failed.citations,
        ),
        Link(cause=failed.id, effect=down.id, rule="failed-is-down", weight=0.95),
        Link(cause=down.id, effect=port.id, rule="service-owns-port", weight=0.95),
        Link(cause=failed.id, effect=port.id, rule="service-owns-port", weight=0.6),
    )
    return seen(
        host,
        diagnosis(host, (disk, failed, down, port, reboot), links=links),
        quotes={
            disk.id: (quote("fs.stat", 4, "/dev/mapper/vg0-pgdata\t/var/lib/postgresql\text4\t53660876800\t13631488"),),
            failed.id: (
                quote(
                    "svc.units",
                    12,
                    "postgresql@15-main.service loaded failed failed exit-code",
                    "Nov 22 08:41:07 billing-03 postgresql@15-main[2211]: PANIC:  could not write to file "
                    '"pg_wal/xlogtemp.2211": No space left on device',
                    "Nov 22 08:41:07 billing-03 systemd[1]: postgresql@15-main.service: Main process exited, status=1/FAILURE",
                ),
            ),
            down.id: (quote("svc.units", 1, "postgresql.service inactive dead"),),
            port.id: (quote("net.listen", 1, "tcp LISTEN 0.0.0.0:22", cut=True),),
            reboot.id: (quote("pkg.reboot", 1, "running 6.1.0-18-amd64", "installed 6.1.0-27-amd64"),),
        },
    )


def killed_worker(host: str = "web-02") -> HostRecord:
    """Return a host with a warning, a remark and a question that hung."""
    oom = finding(host, "mem-oom", lines=(881, 882), process="php-fpm8.2", params={"rss_bytes": 3_481_239_552})
    hung = AnswerNote(
        question="dns.conf",
        ended=Ended.TIMED_OUT,
        exit_status=None,
        duration_ms=10_004,
        stdout_bytes=112,
        stderr_bytes=0,
        unkillable=(4711,),
    )
    return seen(
        host,
        diagnosis(
            host,
            (oom,),
            unchecked=(),
            whys={
                "dns-broken": (Verdict.UNKNOWN, Why(reason=Reason.TIMED_OUT, question="dns.conf")),
                "time-unsync": (
                    Verdict.UNKNOWN,
                    Why(
                        reason=Reason.SOURCE_FAILED,
                        question="time.sync",
                        detail="timedatectl: Failed to connect to bus: Host is down",
                    ),
                ),
                "svc-down": (Verdict.NOT_APPLICABLE, Why(reason=Reason.NOT_EXPECTED)),
            },
        ),
        Outcome.INCOMPLETE,
        answers=notes(3, dns_conf=hung),
        quotes={
            oom.id: (
                quote(
                    "log.kernel",
                    881,
                    "[1234567.890123] oom-kill:constraint=CONSTRAINT_NONE,global_oom,task=php-fpm8.2,pid=31337,uid=33",
                    "[1234567.890456] Out of memory: Killed process 31337 (php-fpm8.2) total-vm:5210880kB, anon-rss:3399648kB",
                ),
            )
        },
    )


def lost_clock(host: str = "mail-01") -> HostRecord:
    """Return a host whose clock is wrong, perhaps because of DNS, which could not be seen without root."""
    clock = finding(host, "time-unsync", lines=(3, 4), clock="system", since=BEGAN - timedelta(days=3))
    denied = "sudo: a password is required"
    return seen(
        host,
        diagnosis(
            host,
            (clock,),
            unchecked=(Unchecked(finding=clock.id, check="dns-broken", rule="dns-breaks-time"),),
            whys={
                "dns-broken": (Verdict.UNKNOWN, Why(reason=Reason.NOT_RUN, question="dns.conf", detail=denied)),
                "mem-oom": (Verdict.UNKNOWN, Why(reason=Reason.NOT_RUN, question="log.kernel", detail=denied)),
                "pkg-broken": (Verdict.NOT_APPLICABLE, Why(reason=Reason.NOTHING_THERE, question="pkg.state", detail="dpkg")),
            },
        ),
        Outcome.INCOMPLETE,
        denied_root=denied,
        quotes={clock.id: (quote("time.sync", 3, "NTPSynchronized=no", "LastSync=2026-11-19 10:02:11 UTC"),)},
    )


@pytest.fixture
def small() -> RunRecord:
    """A run over 8 hosts that tells a story: a database stopped by a full disk, hosts not seen for different reasons."""
    return run(
        broken_database(),
        killed_worker(),
        lost_clock(),
        seen("web-01", diagnosis("web-01")),
        seen(
            "web-03",
            diagnosis(
                "web-03",
                (
                    finding(
                        "web-03",
                        "fs-space",
                        lines=(2, 2),
                        mount="/var",
                        params={"used_percent": 93.1, "available_bytes": 2 * GIB},
                    ),
                ),
            ),
            quotes={
                "web-03/fs-space/mount=/var": (
                    quote("fs.stat", 2, "/dev/vda3\t/var\text4\t31526391808\t2147483648\t29378908160"),
                )
            },
        ),
        unseen("db-02", Outcome.UNREACHABLE, "ConnectFailed", Text("no connection: {reason}", reason="No route to host")),
        unseen(
            "cache-01",
            Outcome.REFUSED,
            "HostKeyRefused",
            Text("unknown host key {offered}", offered="SHA256:uN4mZpQyq1Ib0m3yC2pXqv1Jw9aGx0m7bQzLhT5sE0k"),
            Text("longarm host enrol {host}", host="cache-01"),
        ),
        unseen("nfs-01", Outcome.TIMED_OUT, "DeadlineExceeded", Text("no end after {deadline_s} s", deadline_s="120")),
    )


@pytest.fixture
def clean() -> RunRecord:
    """A run where everything was seen and nothing was found."""
    return run(*(seen(f"app-{n:02}", diagnosis(f"app-{n:02}")) for n in range(1, 5)), case=None)


WAIVER = Waiver(
    check="fs-space",
    subject={"mount": "/mnt/*"},
    targets="tag=backup",
    reason="Filled on purpose",
    owner="anna",
    expires_at=datetime(2027, 2, 1, tzinfo=UTC),
)


def full(host: str, mount: str, **more: Any) -> Finding:
    """Return the finding that a filesystem is full."""
    params: dict[str, Param] = {"used_percent": 99.1, "available_bytes": GIB}
    return replace(finding(host, "fs-space", Severity.CRITICAL, mount=mount, params=params), **more)


@pytest.fixture(scope="session")
def accepted() -> RunRecord:
    """A run where everything was seen and all that was found is waived."""
    waived = full("nas-01", "/mnt/a", waiver=WAIVER, waived=True)
    return run(seen("app-01", diagnosis("app-01")), seen("nas-01", diagnosis("nas-01", (waived,))), case=None)


@pytest.fixture(scope="session")
def partly() -> RunRecord:
    """A run where a waiver holds for one finding and has expired for another, on hosts with thresholds of their own."""
    found = (full("nas-01", "/mnt/a", waiver=WAIVER, waived=True), full("nas-01", "/mnt/b", waiver=WAIVER))
    host = seen("nas-01", diagnosis("nas-01", found), thresholds={"fs-space": {"critical": 97.5}})
    return run(host, seen("nas-02", diagnosis("nas-02", (full("nas-02", "/mnt/a"),))), case=None)


@pytest.fixture(scope="session")
def fleet() -> Callable[[int], RunRecord]:
    """Return a maker of big runs: most hosts healthy, some problems on many of them, some not seen."""
    return fleet_of


def fleet_of(size: int) -> RunRecord:
    chance, hosts = random.Random(size), []
    for n in range(size):
        name, dice = f"{chance.choice(('web', 'app', 'db', 'edge'))}-{n:03}.berlin", chance.random()
        if dice < 0.02:
            hosts.append(
                unseen(name, Outcome.UNREACHABLE, "ConnectFailed", Text("no connection: {reason}", reason="timed out"))
            )
        elif dice < 0.03:
            hosts.append(
                unseen(
                    name,
                    Outcome.REFUSED,
                    "AuthenticationRefused",
                    Text("{user} was refused; tried {tried}", user="support", tried="publickey"),
                )
            )
        elif dice < 0.05:
            hosts.append(broken_database(name))
        elif dice < 0.07:
            hosts.append(killed_worker(name))
        elif dice < 0.09:
            hosts.append(lost_clock(name))
        elif dice < 0.25:
            full = finding(
                name,
                "fs-space",
                chance.choice((Severity.WARNING, Severity.WARNING, Severity.CRITICAL)),
                mount="/var",
                lines=(3, 3),
                params={"used_percent": chance.uniform(91, 99.9), "available_bytes": chance.randrange(5 * GIB)},
            )
            hosts.append(
                seen(
                    name,
                    diagnosis(name, (full,)),
                    at_s=n / 20,
                    quotes={full.id: (quote("fs.stat", 3, "/dev/vda3\t/var\text4\t31526391808\t2147483648\t29378908160"),)},
                )
            )
        elif dice < 0.4:
            boot = finding(
                name, "pkg-reboot", Severity.INFO, kernel="kernel", params={"running": "6.1.0-18", "installed": "6.1.0-27"}
            )
            hosts.append(seen(name, diagnosis(name, (boot,)), at_s=n / 20))
        else:
            hosts.append(seen(name, diagnosis(name), at_s=n / 20))
    return run(*hosts, expression="all", started_at=BEGAN, ended_at=BEGAN + timedelta(seconds=size / 12))


@pytest.fixture(scope="session")
def broken_fleet() -> RunRecord:
    """A run of 500 hosts with 5 findings each: more is wrong than anybody can read."""
    return run(*(broken_database(f"db-{n:03}.berlin") for n in range(500)))


def hostile_run(payload: str) -> RunRecord:
    """Return a run in which every text that a host, an inventory or a person could have written is `payload`."""
    name = payload
    one = Finding(
        check="fs-space",
        host=name,
        subject={"mount": payload},
        severity=Severity.CRITICAL,
        params={"used_percent": 99.0, "available_bytes": 1, "text": payload},
        citations=(Citation(question="fs.stat", first=1, last=2),),
    )
    two = replace(one, check="svc-failed", subject={"unit": payload}, params={"result": payload})
    wordless = replace(one, check="no-such-check", params={payload or "x": payload})
    link = Link(cause=one.id, effect=two.id, rule="disk-stops-service", weight=0.9)
    results = (
        CheckResult(check="fs-space", verdict=Verdict.FINDING, findings=(one,)),
        CheckResult(check="svc-failed", verdict=Verdict.FINDING, findings=(two,)),
        CheckResult(check="no-such-check", verdict=Verdict.FINDING, findings=(wordless,)),
        CheckResult(
            check="mem-oom", verdict=Verdict.UNKNOWN, why=Why(reason=Reason.LOST, question="log.kernel", detail=payload)
        ),
        CheckResult(check="pkg-broken", verdict=Verdict.NOT_APPLICABLE, why=Why(reason=Reason.NOTHING_THERE, detail=payload)),
    )
    quotes = {one.id: (Quote(citation=one.citations[0], lines=(payload, payload), cut=True),)}
    note = AnswerNote(
        question="fs.stat", ended=Ended.NOT_RUN, exit_status=None, duration_ms=1, stdout_bytes=0, stderr_bytes=0, why=payload
    )
    texts: dict[str, Any] = {
        "address": payload,
        "site": payload,
        "customer": payload,
        "session": {"user": payload, payload: payload},
    }
    return run(
        seen(
            name,
            Diagnosis(
                host=name, results=results, links=(link,), unchecked=(Unchecked(finding=one.id, check="mem-oom", rule="x"),)
            ),
            Outcome.INCOMPLETE,
            quotes=quotes,
            answers=(note,),
            denied_root=payload,
            **texts,
        ),
        replace(
            unseen(
                "b" + name,
                Outcome.UNREACHABLE,
                "ConnectFailed",
                Text("no connection: {reason}", reason=payload),
                Text("{x}", x=payload),
            ),
            address=payload,
            site=payload,
        ),
        actor=payload,
        case=payload,
        expression=payload,
        customers=(payload,),
        versions={"longarm": payload, f"also {payload}": payload},
        checks=("fs-space", "svc-failed", "no-such-check", "mem-oom", "pkg-broken"),
    )


@pytest.fixture(scope="session")
def hostile() -> Callable[[str], RunRecord]:
    """Return a maker of runs whose every text is the payload given."""
    return hostile_run


@pytest.fixture(params=sorted({payload.kind for payload in PAYLOADS}))
def family(request: pytest.FixtureRequest) -> tuple[str, ...]:
    """One kind of hostile texts after another."""
    return tuple(payload.text for payload in PAYLOADS if payload.kind == request.param)


@pytest.fixture(scope="session")
def payloads() -> tuple[str, ...]:
    """All hostile texts."""
    return tuple(payload.text for payload in PAYLOADS)
