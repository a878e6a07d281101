"""The customer's edition: what stands in it, what does not, and that it is not made rather than saying too much."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from html import unescape
from pathlib import Path
from typing import Any

import pytest

from diagnostics.check_tests import run_check_tests
from diagnostics.content import Content
from diagnostics.finding import CheckResult, Diagnosis, Finding, Param
from diagnostics.library import Library, load_library
from diagnostics.verdict import Severity, Verdict
from inventory.errors import Text
from playbooks.results import HostChange
from playbooks.verdicts import FindingVerdict, Fix
from reports import customer_edition
from reports.customer import QUOTATIONS, for_customer
from reports.customer_edition import NotForCustomers
from reports.language import LANGUAGES, language
from reports.pseudonyms import Names, pseudonyms
from reports.render import FORMATS, Audience, Format, render
from reports.sentences import compared, render_words
from reports.summary import verdict_sentences
from runner.outcome import Outcome, RunKind
from runner.record import HostRecord, RunRecord
from runner.repair_record import HostRepair, RunRepair
from tests.reports.conftest import diagnosis, finding, quote, run, seen, unseen

CAPTURES = Path(__file__).parents[1] / "data" / "captures"
KERNELS = {"running_kernel": "6.1.0-56-amd64", "newest_kernel": "6.1.0-57-amd64", "packages": "eve", "age_days": 0}
FOR_CUSTOMERS = [kind for kind, row in FORMATS.items() if row.for_customers]


def made(record: RunRecord, kind: Format = Format.TEXT, code: str = "en") -> str:
    return render(record, audience=Audience.CUSTOMER, language=code, format=kind).decode()


def told(page: str) -> str:
    return re.sub(r"<style>.*?</style>", "", page, flags=re.DOTALL)


@pytest.mark.parametrize("code", LANGUAGES)
@pytest.mark.parametrize("kind", FOR_CUSTOMERS)
def test_a_customer_reads_the_verdict_and_no_name(small: RunRecord, kind: Format, code: str) -> None:
    page = told(made(small, kind, code))
    for sentence in verdict_sentences(small, language(code)):
        assert sentence in page
    for host in small.hosts:
        assert host.host not in page
        assert host.address not in page
        assert pseudonyms(small.hosts)[host.host] in page or host.outcome is Outcome.OK
    for word in (small.actor, small.expression, "longarm run", "SHA256:", "No route to host"):
        assert word not in page
    assert "/var" in page


@pytest.mark.parametrize("code", LANGUAGES)
@pytest.mark.parametrize("kind", FOR_CUSTOMERS)
def test_a_customer_reads_of_which_run_why_and_what_marks_mean(small: RunRecord, kind: Format, code: str) -> None:
    page, tongue = unescape(told(made(small, kind, code))), language(code)
    found = [one for host in small.hosts if host.diagnosis for one in host.diagnosis.findings]
    causes = [tongue.pick(small.content.checks[one.check].cause) for one in found]
    rules = [
        tongue.pick(small.content.rules[link.rule])
        for host in small.hosts
        if host.diagnosis
        for link in host.diagnosis.links[:1]
    ]
    assert any(causes)
    assert rules
    for words in (small.run, *causes, *rules, tongue.say("All times in {zone}.", zone="UTC")):
        assert words in page
    for word in {"en": ("a number in brackets", "A host is called"), "ru": ("номер в скобках", "один и тот же хост")}[code]:
        assert word.casefold() in page.casefold()


@pytest.mark.parametrize("kind", [kind for kind in Format if kind not in FOR_CUSTOMERS])
def test_what_programs_read_is_not_made_for_customers(small: RunRecord, kind: Format) -> None:
    with pytest.raises(NotForCustomers, match="html, text"):
        made(small, kind)


@pytest.mark.parametrize("kind", [RunKind.COMMAND, RunKind.FILE, RunKind.TERMINAL])
def test_commands_files_and_terminals_are_for_no_customer(small: RunRecord, kind: RunKind) -> None:
    with pytest.raises(NotForCustomers):
        made(replace(small, kind=kind))


@pytest.mark.parametrize("other", ["zeta", None])
def test_a_run_over_several_customers_is_for_none_of_them(small: RunRecord, other: str | None) -> None:
    first, *rest = (replace(host, customer="acme") for host in small.hosts)
    made(replace(small, hosts=(first, *rest)))
    with pytest.raises(NotForCustomers):
        made(replace(small, hosts=(replace(first, customer=other), *rest)))


def test_a_host_is_called_the_same_in_every_run_and_no_two_alike() -> None:
    hosts = [unseen(f"web-{n}", Outcome.UNREACHABLE, "ConnectFailed", Text("-")) for n in range(3000)]
    names = pseudonyms(hosts)
    assert len(set(names.values())) == 3000
    assert pseudonyms(hosts[7:9]) == {host: names[host] for host in ("web-7", "web-8")}
    assert pseudonyms([replace(hosts[0], customer="zeta")]) != pseudonyms(hosts[:1])


def one(host: str = "db-01", **params: Any) -> HostRecord:
    found = finding(host, "fs-space", Severity.WARNING, mount="/var", params=params)
    return seen(host, diagnosis(host, (found,)), quotes={found.id: (quote("fs.stat", 1, *params.get("lines", ("x",))),)})


def test_text_of_a_host_is_told_only_where_it_is_on_the_list() -> None:
    found = finding(
        "db-01", "svc-failed", Severity.WARNING, unit="pg@db-01.service", params={"result": "exit-code", "owner": "eve"}
    )
    other = finding("db-01", "pkg-broken", Severity.WARNING, package="libc6", params={"state": "half", "note": "eve"})
    third = finding("db-01", "mem-oom", Severity.WARNING, process="/home/eve/x", params={"rss_bytes": 5})
    page = made(run(seen("db-01", diagnosis("db-01", (found, other, third)))))
    assert "failed: exit-code" in page
    assert "libc6 is half" in page
    assert "[1] was killed, 5 B resident" in page
    assert not re.search(r"\beve\b", page)
    assert "db-01" not in page


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        ("10.11.12.13 up", "[…] up"),
        ("fe80::1:2 up", "[…] up"),
        ("00:16:3e:aa:bb:cc up", "[…] up"),
        ("mail of ivan@acme.example", "mail of […]"),
        ("postgresql@15-main.service failed", "postgresql@15-main.service failed"),
        ("/home/ivan/x 5", "/home/[…]/x 5"),
        ("C:\\Users\\ivan\\x", "C:\\Users\\[…]\\x"),
        ("12:30:01 up 5 days", "12:30:01 up 5 days"),
        ("/dev/vda3 /var ext4 31526391808", "/dev/vda3 /var ext4 31526391808"),
        ("version 1.2.3", "version 1.2.3"),
    ],
)
def test_lines_lose_people_and_addresses_and_keep_figures(line: str, shown: str) -> None:
    assert Names(run(one())).text(line) == shown


@pytest.mark.parametrize("line", ["DB-01:/x", "old-db-01", "db-01.acme.example", "db-01_data", "(db-01)"])
def test_a_host_is_found_in_any_letters_and_within_longer_names(line: str) -> None:
    text = Names(run(one())).text(line)
    assert "db-01" not in text.casefold()
    assert pseudonyms([one()])["db-01"] in text


def test_lines_of_logs_are_not_quoted_and_those_of_figures_are() -> None:
    found = finding("db-01", "fs-space", Severity.WARNING, mount="/var", params={"used_percent": 91.0, "available_bytes": 1})
    quotes = (quote("fs.stat", 1, "/dev/vda3 /var db-01"), quote("log.kernel", 2, "sshd: password of eve"))
    cited = replace(found, citations=tuple(one.citation for one in quotes))
    page = made(run(seen("db-01", diagnosis("db-01", (cited,)), quotes={cited.id: quotes})), Format.HTML)
    assert f"/dev/vda3 /var {pseudonyms([one()])['db-01']}" in page
    assert "password of" not in page


@pytest.mark.parametrize("kind", FOR_CUSTOMERS)
def test_a_name_that_was_left_keeps_the_report_from_being_made(
    small: RunRecord, kind: Format, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last look does not trust the list: here the list lets everything through."""
    monkeypatch.setattr(customer_edition, "for_customer", lambda record, names: record)
    with pytest.raises(NotForCustomers, match="names that are not for customers"):
        made(small, kind)


@pytest.mark.parametrize("host", ["mail", "full", "host", "Filesystem", "page", "acme", "h1"])
def test_a_host_that_is_called_like_a_word_does_not_keep_it(host: str) -> None:
    assert pseudonyms([one(host)])[host] in made(run(one(host)), Format.HTML)


def homes() -> HostRecord:
    """Return a host with a mount for each of two people: without their names both are called alike."""
    found = [
        finding("db-01", "fs-space", mount=f"/home/{who}", params={"used_percent": used, "available_bytes": 1})
        for who, used in (("alice", 91.0), ("bob", 93.0))
    ]
    lines = {one.id: (quote("fs.stat", 1, f"/dev/vd{number} {one.severity}"),) for number, one in enumerate(found)}
    return seen("db-01", diagnosis("db-01", found), quotes=lines)


@pytest.mark.parametrize("kind", FOR_CUSTOMERS)
def test_findings_that_become_alike_without_names_stay_apart(kind: Format) -> None:
    page = told(made(run(homes()), kind))
    assert "/home/[…] is 91% full" in page
    assert "/home/[…] [1] is 93% full" in page
    if kind is Format.HTML:
        assert page.index("91% full") < page.index("/dev/vd0") < page.index("93% full") < page.index("/dev/vd1")


def a_repair(**more: Any) -> RunRepair:
    """Return what a repair of one host was begun with: nothing out of the ordinary."""
    fields: dict[str, Any] = {
        **{name: {} for name in ("params", "secrets", "says", "titles")},
        **dict.fromkeys(("file", "forced", "retries", "undoes", "break_glass"), ""),
        **dict.fromkeys(("batch", "mutes"), ()),
        **dict.fromkeys(("agreed", "approval", "max_failed")),
        "planned": False,
        "risk": "reversible",
        "tier": "L2",
        "settle_s": 0.0,
        "concurrency": 10,
        "claims": ("fs-space",),
        "changes": dict.fromkeys(HostChange, 0) | {HostChange.CHANGED: 1},
    }
    return RunRepair(**fields | more)


def test_findings_of_a_repair_that_become_alike_stay_apart() -> None:
    host = homes()
    assert host.diagnosis is not None
    alice, bob = host.diagnosis.findings
    repair = HostRepair(
        change=HostChange.CHANGED,
        verdicts=(
            FindingVerdict(check="fs-space", key=alice.key, fix=Fix.FIXED, before=alice),
            FindingVerdict(check="fs-space", key=bob.key, fix=Fix.UNCHANGED, before=bob, after=bob),
        ),
        before=host.diagnosis,
        before_quotes=host.quotes,
        samples=1,
    )
    after = replace(host, diagnosis=diagnosis("db-01", (bob,)), quotes={bob.id: host.quotes[bob.id]}, repair=repair)
    record = run(after, kind=RunKind.REPAIR, repair=a_repair())
    for code in LANGUAGES:
        made(record, Format.HTML, code)
    page = made(record)
    assert "/home/[…] [1] is 91% full" in page
    assert page.count("/home/[…] is 93% full") == 3


def examples(library: Library) -> Iterator[Finding]:
    """Yield what the shipped checks find in their own examples, and that with each word their sentences compare with."""
    for check in library.checks.values():
        words = frozenset().union(*map(compared, check.content.finding.values()))
        for test in run_check_tests(check, library, CAPTURES):
            for found in test.result.findings:
                yield found
                for name, word in words:
                    yield replace(
                        found,
                        subject={**found.subject} | ({name: word} if name in found.subject else {}),
                        params={**found.params} | ({name: word} if name in found.params else {}),
                    )


def branches(found: Finding, content: Content, code: str) -> str:
    """Return a finding's sentence without its values: what is left are the branches that were taken."""
    template = re.sub(r"\{\{.*?\}\}", "·", content.checks[found.check].finding[code], flags=re.DOTALL)
    return render_words(template, found.subject, found.params, code)


def test_no_sentence_of_a_shipped_check_says_something_else_to_customers() -> None:
    library = load_library()
    content = library.content(tuple(library.checks))
    tried = set()
    for found in examples(library):
        record = run(seen("db-01", diagnosis_of(found)), content=content, checks=(found.check,))
        (host,) = for_customer(record, Names(record)).hosts
        assert host.diagnosis is not None
        (shown,) = host.diagnosis.findings
        for code in LANGUAGES:
            assert branches(shown, content, code) == branches(without_quotations(found), content, code), found
        tried.add(found.check)
    assert tried == set(library.checks)


def without_quotations(found: Finding) -> Finding:
    return replace(found, params={name: "" if name in QUOTATIONS else value for name, value in found.params.items()})


@pytest.mark.parametrize("code", LANGUAGES)
def test_where_a_quotation_is_left_out_nothing_is_said_to_be_said(code: str) -> None:
    params: dict[str, Param] = {"result": "exit-code", "exit_status": 1, "signal": None, "last_words": "zeta-9: no such table"}
    content = load_library().content(("svc-failed",))
    found = Finding(check="svc-failed", host="db-01", subject={"unit": "pg.service"}, severity=Severity.WARNING, params=params)
    page = made(run(seen("db-01", diagnosis_of(found)), content=content, checks=("svc-failed",)), code=code)
    assert {"en": "pg.service failed: exit-code, exit status 1", "ru": "pg.service: сбой (exit-code, код завершения 1)"}[
        code
    ] in page
    assert not re.search(r"it said|последнее сообщение|\[1\]|zeta-9", page)


def diagnosis_of(found: Finding) -> Diagnosis:
    result = CheckResult(check=found.check, verdict=Verdict.FINDING, findings=(found,))
    return Diagnosis(host="db-01", results=(result,))


@pytest.mark.parametrize(
    ("check", "values", "said"),
    [
        ("win-reboot", {"why": "servicing, update", "up_days": 3}, "A reboot is due (servicing, update); up for 3 d"),
        ("win-reboot", {"why": "servicing, eve", "up_days": 3}, "A reboot is due ([1]); up for 3 d"),
        ("pkg-reboot", KERNELS, "A reboot is due: kernel 6.1.0-57-amd64 waits, 6.1.0-56-amd64 runs (asked for by [1])"),
    ],
)
def test_words_of_ours_are_told_and_others_in_their_place_are_not(check: str, values: dict[str, Param], said: str) -> None:
    library = load_library()
    content = library.content((check,))
    found = Finding(check=check, host="db-01", subject={}, severity=Severity.INFO, params=values)
    page = made(run(seen("db-01", diagnosis_of(found)), content=content, checks=(check,)))
    assert said in page


@pytest.mark.parametrize("kind", FOR_CUSTOMERS)
def test_a_host_or_a_login_that_is_a_number_keeps_no_figure(kind: Format) -> None:
    host = one("10", used_percent=91.0, available_bytes=10 * 1024**3)
    page = told(made(run(replace(host, session={"user": "1000"})), kind))
    assert "/var is 91% full, 10 GiB left" in page
    assert pseudonyms([host])["10"] in page
    assert Names(run(replace(host, session={"user": "1000"}))).text("uid=1000 10 GiB") == "uid=1000 10 GiB"
    assert Names(run(one("10.acme"))).text("10.acme has 10 GiB") == f"{pseudonyms([one('10.acme')])['10.acme']} has 10 GiB"


def test_no_payload_is_markup_for_customers(hostile: Callable[[str], RunRecord], payloads: tuple[str, ...]) -> None:
    tags = re.compile(r"<[a-zA-Z!/][^\s>]*")

    def found(payload: str) -> list[str]:
        record = hostile(payload)
        hosts = tuple(
            replace(host, host=f"h-{number}", address="192.0.2.1", customer=payload, session={})
            for number, host in enumerate(record.hosts)
        )
        told_to = replace(record, hosts=hosts, customers=(payload,), actor="anna")
        return sorted(tags.findall(told(made(told_to, Format.HTML))))

    harmless = found("harmless")
    for payload in payloads:
        assert found(payload) == harmless, payload
