"""All formats say the same, the same way every time, and refuse what they must."""

import csv
import hashlib
import html
import io
import json
import re
import shlex
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from jsonschema import Draft202012Validator

from diagnostics.finding import Citation, Diagnosis, Finding, Link, Remedy
from diagnostics.library import load_library
from diagnostics.verdict import Reason, Severity, Verdict
from remote.answer import Ended
from remote.errors import HostKeyRefused
from remote.lasting import DROPS_ALL
from reports import render as module
from reports import words
from reports.document import content_digest
from reports.language import LANGUAGES, language
from reports.page import BUDGET_BYTES
from reports.render import FORMATS, Audience, Format, render
from reports.summary import next_commands, tally
from reports.view import _short_digest
from reports.visible import json_escaped
from reports.words import connection_dropped
from runner.outcome import Outcome, RunState
from runner.record import Delivery, Quote, RunRecord
from tests.reports.conftest import broken_database, diagnosis, finding, run, seen, unseen

DATA = Path(__file__).parents[1] / "data"
SCHEMA = json.loads((Path(module.__file__).parent / "run.schema.json").read_text())


def made(record: RunRecord, kind: Format, code: str = "en") -> bytes:
    return render(record, audience=Audience.INTERNAL, language=code, format=kind)


@pytest.mark.parametrize("kind", Format)
@pytest.mark.parametrize("code", LANGUAGES)
def test_the_same_record_gives_the_same_bytes(small: RunRecord, kind: Format, code: str) -> None:
    assert made(small, kind, code) == made(small, kind, code)


def test_every_format_has_a_row() -> None:
    assert set(FORMATS) == set(Format)
    assert len({row.suffix for row in FORMATS.values()}) == len(FORMATS)


@pytest.mark.parametrize("make", ["small", "clean"])
def test_counts_agree_across_formats(make: str, request: pytest.FixtureRequest) -> None:
    counts_agree(request.getfixturevalue(make))


@pytest.mark.parametrize("size", [1, 13, 100])
def test_counts_agree_across_formats_for_fleets(fleet: Callable[[int], RunRecord], size: int) -> None:
    counts_agree(fleet(size))


def counts_agree(record: RunRecord) -> None:
    figures = tally(record)
    document = json.loads(made(record, Format.JSON))
    found = [finding for host in document["hosts"] for finding in host["findings"]]
    assert len(found) == figures.findings == document["counts"]["findings"]
    assert sum(finding["root"] for finding in found) == figures.roots == document["counts"]["roots"]
    counting = Counter(finding["severity"] for finding in found if not finding["waived"])
    assert counting == +Counter(document["counts"]["severities"])
    assert len(found) - counting.total() == figures.waived == document["counts"]["waived"]
    assert sum(document["coverage"]["outcomes"].values()) == document["coverage"]["targeted"] == len(document["hosts"])

    rows = list(csv.DictReader(io.StringIO(made(record, Format.CSV).decode())))
    assert Counter(row["severity"] for row in rows if row["severity"]) == Counter(finding["severity"] for finding in found)
    assert len({row["host"] for row in rows}) == figures.targeted

    suites = ET.fromstring(made(record, Format.JUNIT))
    assert len(suites) == figures.targeted
    assert int(suites.get("tests", "")) == figures.targeted + sum(figures.verdicts.values())
    only_waived = sum(case.find("skipped[@type='waived']") is not None for case in suites.iter("testcase"))
    assert int(suites.get("skipped", "")) == figures.verdicts[Verdict.NOT_APPLICABLE] + only_waived
    assert int(suites.get("errors", "")) == figures.unseen + figures.verdicts[Verdict.UNKNOWN]

    page = made(record, Format.HTML).decode()
    for told in found:
        assert page.count(f'id="{anchor(told["id"])}"') == 1, "a finding is told once, and none is hidden"
    shown = dict(
        re.findall(r'<b>(\d+)</b><span class="sign" aria-hidden="true">.</span> (\w+)', page)[i][::-1] for i in range(3)
    )
    assert {word: int(count) for word, count in shown.items()} == document["counts"]["severities"]
    assert page.count('<details class="host">') == figures.targeted

    lines = made(record, Format.TEXT).decode().splitlines()
    assert lines[2].startswith(f"{figures.targeted} targeted = {figures.seen} seen + ")
    assert sum(map(int, re.findall(r"\d+", lines[2].split("=")[1]))) == figures.targeted


def anchor(finding: str) -> str:
    return "f-" + _short_digest(finding)


@pytest.mark.parametrize("code", LANGUAGES)
@pytest.mark.parametrize("make", ["small", "clean"])
def test_the_document_is_as_the_schema_says(make: str, code: str, request: pytest.FixtureRequest) -> None:
    document = json.loads(made(request.getfixturevalue(make), Format.JSON, code))
    Draft202012Validator.check_schema(SCHEMA)
    Draft202012Validator(SCHEMA).validate(document)
    Draft202012Validator(whole(SCHEMA)).validate(document)


def whole(schema: Any) -> Any:
    """Return a schema that demands every field it tells of and allows no other: what this release writes."""
    if isinstance(schema, list):
        return [whole(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    parts = {name: whole(part) for name, part in schema.items()}
    if "properties" in schema and "type" in schema:
        parts |= {"additionalProperties": False, "required": list(schema["properties"])}
    return parts


OLD = json.loads((DATA / "documents" / "run-2026-11-22.json").read_text())
"""An export by the first release that wrote `longarm-run/1` (SOURCES.md)."""


def test_a_document_of_the_first_release_holds_to_the_schema_of_today() -> None:
    Draft202012Validator(SCHEMA).validate(OLD)
    assert not Draft202012Validator(whole(SCHEMA)).is_valid(OLD), "it lacks what came later"


def test_the_schema_requires_what_the_first_release_wrote_and_no_more(small: RunRecord) -> None:
    today = json.loads(made(small, Format.JSON))
    added = {"erased_hosts", "hosts.evidence_pruned_at", "hosts.thresholds", "counts.waived"}
    added |= {"hosts.findings.waived", "hosts.findings.waiver", "kind", "subject", "hosts.output", "repair", "hosts.repair"}
    added |= {"read_only", "beside"}
    assert fields_in(today) - fields_in(OLD) == added
    assert fields_in(OLD) - fields_in(today) == set(), "a field that went needs a new number"
    page = (Path(module.__file__).parent.parent / "docs" / "run-json.md").read_text()
    assert all(f"`{field.rpartition('.')[2]}`" in page or f"`{field}`" in page for field in added)


NAMED_BY_DATA = {"session", "subject", "params", "title", "versions", "thresholds", "remedy"}
"""Objects whose keys are not fields of the format."""


def fields_in(value: object, path: str = "") -> set[str]:
    """Return the paths of the fields that a document has."""
    if isinstance(value, list):
        return {field for one in value for field in fields_in(one, path)}
    if not isinstance(value, dict) or path.rpartition(".")[2] in NAMED_BY_DATA:
        return set()
    here = {name: f"{path}.{name}".removeprefix(".") for name in value}
    return {*here.values()} | {field for name, at in here.items() for field in fields_in(value[name], at)}


def test_a_reader_ignores_a_field_that_a_later_release_added(small: RunRecord) -> None:
    document = json.loads(made(small, Format.JSON))
    document["hosts"][0]["weather"] = document["weather"] = "rain"
    Draft202012Validator(SCHEMA).validate(document)
    del document["coverage"]
    assert not Draft202012Validator(SCHEMA).is_valid(document), "one that went is missed"


def test_the_schema_allows_no_field_that_is_not_documented(small: RunRecord) -> None:
    page = (Path(module.__file__).parent.parent / "docs" / "run-json.md").read_text()

    def fields(schema: dict[str, object]) -> set[str]:
        names: set[str] = set()
        for part in [schema, *schema.get("$defs", {}).values()]:  # type: ignore[attr-defined]
            properties = part.get("properties", {})
            names |= set(properties)
            for value in properties.values():
                names |= fields(value) if isinstance(value, dict) else set()
            assert set(part.get("required", ())) <= set(properties) and part.get("additionalProperties") is not False
        return names

    missing = sorted(name for name in fields(SCHEMA) if f"`{name}`" not in page)
    assert not missing, f"docs/run-json.md does not tell of {missing}"


def test_the_content_digest_ignores_where_reports_went(small: RunRecord) -> None:
    sent = replace(small, deliveries=(Delivery(case="DEMO-1", kind="run", audience="internal", language="en", state="sent"),))
    assert content_digest(sent) == content_digest(small)
    assert made(sent, Format.HTML) == made(small, Format.HTML), "the page does not change by being delivered"
    assert json.loads(made(small, Format.JSON, "ru"))["content_digest"] == content_digest(small)
    assert content_digest(replace(small, actor="someone else")) != content_digest(small)


def test_nothing_unseen_is_green(small: RunRecord) -> None:
    """A host that was not fully seen has no tag, bar or cell of its own that looks clear for what it did not show."""
    unreachable = next(host for host in small.hosts if host.outcome is Outcome.UNREACHABLE)
    only = replace(small, hosts=(unreachable,))
    page = made(only, Format.HTML).decode()
    body = page[page.index("<body>") :]
    assert 'class="verdict unseen"' in body
    assert not re.search(r'class="(f-)?clear\b', body)
    assert body.count('<i class="unseen"') == len(small.checks)
    assert "<failure" not in made(only, Format.JUNIT).decode() and "<error" in made(only, Format.JUNIT).decode()


def test_a_run_that_did_not_end_says_so(small: RunRecord) -> None:
    stopped = replace(small, state=RunState.INTERRUPTED, ended_at=None)
    for kind in (Format.HTML, Format.TEXT, Format.JSON):
        assert "The run did not end" in made(stopped, kind).decode()
        assert "longarm run resume" in made(stopped, kind).decode()


def test_a_run_without_checks_judges_nothing(clean: RunRecord) -> None:
    judged = [replace(host, diagnosis=Diagnosis(host=host.host, results=())) for host in clean.hosts]
    asked = replace(clean, checks=(), hosts=tuple(judged))
    for kind in Format:
        assert made(asked, kind)
    assert "nothing was judged" in made(asked, Format.TEXT).decode()
    assert 'class="verdict unseen"' in made(asked, Format.HTML).decode()


@pytest.mark.parametrize(
    ("code", "said"),
    [
        (
            "en",
            [
                "the connection dropped while it was asked (closed by the host)",
                "2 questions were asked once more, over another connection",
                "no other connection was made: it dropped the one before too",
            ],
        ),
        (
            "ru",
            [
                "соединение оборвалось во время опроса (соединение закрыл хост)",
                "2 вопроса заданы ещё раз по другому соединению",
                "другого соединения не было: предыдущее он тоже оборвал",
            ],
        ),
    ],
)
def test_a_host_whose_connection_dropped_says_so(small: RunRecord, code: str, said: list[str]) -> None:
    told = {"dropped": "closed by the host", "asked_again": "fs.stat kernel.messages", "not_renewed": DROPS_ALL}
    hosts = tuple(replace(host, session=told) for host in small.hosts)
    assert any(not host.outcome.seen for host in hosts)
    for kind in (Format.HTML, Format.TEXT):
        rendered = render(replace(small, hosts=hosts), audience=Audience.INTERNAL, language=code, format=kind)
        assert said[0] in rendered.decode()
    assert connection_dropped(told, language(code)) == "; ".join(said)
    assert connection_dropped({"user": "ops"}, language(code)) == ""


def test_both_sides_of_a_link_are_quoted(small: RunRecord) -> None:
    host = small.hosts[0]
    assert host.diagnosis
    disk, proof = host.diagnosis.findings[0], Citation(question="log.kernel", first=7, last=7)
    assert disk.check == "fs-space" and disk.severity is Severity.CRITICAL
    links = tuple(replace(link, cause_citations=(proof,)) if link.cause == disk.id else link for link in host.diagnosis.links)
    quotes = {**host.quotes, disk.id: (*host.quotes[disk.id], Quote(citation=proof, lines=("EXT4-fs: the disk's own words",)))}
    one = replace(host, diagnosis=replace(host.diagnosis, links=links), quotes=quotes)
    page = made(replace(small, hosts=(one,)), Format.HTML).decode()
    told = page[page.index('<details class="effects">') :]
    assert told.index("EXT4-fs: the disk&#39;s own words") < told.index("No space left on device\n"), (
        "the cause's side, the effect's side"
    )
    assert page.count("EXT4-fs") == 1 and page.count("/dev/mapper/vg0-pgdata") == 1, (
        "what stands with the cause is not repeated"
    )


@pytest.mark.parametrize("code", LANGUAGES)
def test_the_text_leads_on_to_what_it_does_not_show(small: RunRecord, code: str) -> None:
    """It is what `run show` writes: to name that once more leads in a circle."""
    text = made(small, Format.TEXT, code).decode()
    assert f"longarm run show {small.run}" not in text
    assert text.splitlines()[-1].startswith(f"  longarm report render {small.run} --to {small.run}.html  # ")
    assert f"longarm run show {small.run}" in made(small, Format.HTML, code).decode()


def test_the_reader_is_told_what_to_type(small: RunRecord) -> None:
    text = made(small, Format.TEXT).decode()
    assert "longarm host enrol cache-01" in text
    assert "longarm diagnose db-02,nfs-01 --case DEMO-1" in text


@pytest.mark.parametrize("code", LANGUAGES)
def test_a_changed_host_key_is_not_waved_through_by_the_page(code: str) -> None:
    """The command alone would accept whoever answers; what to find out first stands before it, everywhere."""
    changed = HostKeyRefused("db1", offered=("SHA256:new",), known=("SHA256:old",))
    page = made(run(unseen("db1", Outcome.REFUSED, "HostKeyRefused", changed.text, changed.hint)), Format.HTML, code).decode()
    told = re.findall(r"([^<>]+) <code class=\"command\">longarm host enrol --replace db1</code>", page)
    first = {"en": "find out who changed it, then:", "ru": "выясните, кто его сменил, затем:"}[code]
    assert [words.rpartition("· ")[2] for words in told] == [first, first], "in the table and beside the host"
    assert "longarm host enrol db1<" not in page


@pytest.mark.parametrize("code", LANGUAGES)
def test_what_a_question_asks_is_said_in_the_readers_language(code: str) -> None:
    record = run(seen("app-01", diagnosis("app-01")))
    library = load_library()
    known = {one.question for one in record.hosts[0].answers} & set(library.probes)
    questions = {one: library.probes[one].summary for one in known}
    page = made(replace(record, content=replace(record.content, questions=questions)), Format.HTML, code).decode()
    asked = dict(re.findall(r"<dt><code>([a-z.]+)</code></dt><dd>([^<]+)</dd>", page))
    assert set(asked) == known != set()
    assert all((said == html.escape(questions[one])) is (code == "en") for one, said in asked.items())


def test_the_columns_of_the_matrix_are_named(fleet: Callable[[int], RunRecord]) -> None:
    for size, named in ((12, 12), (60, 60), (61, 0)):
        record = fleet(size)
        page = made(record, Format.HTML).decode()
        assert f"from {record.hosts[0].host} on the left to {record.hosts[-1].host} on the right" in page
        above = page.partition('<ol class="across">')[2].partition("</ol>")[0]
        assert re.findall(r">([^<]+)</a>", above) == [host.host for host in record.hosts][:named]


def test_where_nothing_of_an_answer_can_be_quoted_the_page_says_so(small: RunRecord) -> None:
    host = small.hosts[0]
    nothing = {one: (replace(quotes[0], lines=(), cut=False),) for one, quotes in host.quotes.items()}
    page = made(replace(small, hosts=(replace(host, quotes=nothing),)), Format.HTML).decode()
    assert page.count("What was looked for is not in the answer of the host.") == len(nothing) and "<pre>" not in page


def test_a_big_fleet_stays_within_the_budget(fleet: Callable[[int], RunRecord]) -> None:
    assert len(made(fleet(500), Format.HTML)) <= BUDGET_BYTES


@pytest.mark.long
def test_a_fleet_where_everything_is_wrong_stays_within_the_budget_and_hides_nothing(broken_fleet: RunRecord) -> None:
    page = made(broken_fleet, Format.HTML)
    assert len(page) <= BUDGET_BYTES
    assert b"this page shows less" in page
    anchors = re.findall(rb'id="(f-[0-9a-f]+)"', page)
    assert len(anchors) == len(set(anchors)) == tally(broken_fleet).findings == 2500


def test_thousands_of_healthy_hosts_are_listed_by_name_within_the_budget() -> None:
    healthy = [seen(f"web-{number:05}", diagnosis(f"web-{number:05}")) for number in range(3000)]
    record = run(broken_database(), *healthy)
    page = made(record, Format.HTML)
    assert len(page) <= BUDGET_BYTES
    assert all(f'<span id="host-{host.host}">{host.host}</span>'.encode() in page for host in healthy)
    assert b'<details class="host"><summary><span class="turn"></span><b>billing-03</b>' in page
    assert b"this page shows less" in page


@pytest.mark.parametrize("code", LANGUAGES)
@pytest.mark.parametrize("make", ["small", "clean", "nobody"])
def test_a_document_written_host_by_host_is_one_document(make: str, code: str, request: pytest.FixtureRequest) -> None:
    record = run() if make == "nobody" else request.getfixturevalue(make)
    data = made(record, Format.JSON, code)
    document = json.loads(data)
    assert data.decode() == json_escaped(json.dumps(document, ensure_ascii=False, indent=2)) + "\n"
    english = json.loads(made(record, Format.JSON))
    said = {name: value for name, value in english.items() if name not in ("deliveries", "content_digest")}
    canonical = json.dumps(said, sort_keys=True, separators=(",", ":"))
    assert document["content_digest"] == hashlib.sha256(canonical.encode()).hexdigest() == content_digest(record)


def test_every_identifier_has_words() -> None:
    for kinds, table in (
        (Outcome, words.OUTCOMES),
        (Severity, words.SEVERITIES),
        (Verdict, words.VERDICTS),
        (Reason, words.REASONS),
        (Ended, words.ENDINGS),
        ({*Severity, *Verdict}, words.SIGNS),
    ):
        assert set(table) == set(kinds)


@pytest.mark.parametrize(
    ("fields", "options"),
    [
        ({"playbook": "standard"}, ""),
        ({"playbook": "night"}, " --playbook night"),
        (
            {"playbook": "standard", "checks": ("fs-space", "mem-oom"), "checks_chosen": True},
            " --check fs-space --check mem-oom",
        ),
    ],
)
def test_what_to_type_next_asks_the_same(small: RunRecord, fields: dict[str, Any], options: str) -> None:
    steps = next_commands(replace(small, case="C-1", **fields), language("en"))
    again = [step.command for step in steps if step.command.startswith("longarm diagnose")]
    assert again and all(command.endswith(f"{options} --case C-1") for command in again), again
    assert ("--" in again[0].removesuffix(" --case C-1")) == bool(options)


@pytest.mark.parametrize(("code", "why"), [("en", "repair on"), ("ru", "исправить на")])
def test_the_summary_names_the_repairs_of_what_was_found_roots_first(code: str, why: str) -> None:
    offered = {
        "fs-space": Remedy(playbook="free-disk-space", params={}),
        "svc-failed": Remedy(playbook="restart-service", params={}),
        "time-unsync": Remedy(playbook="of-somebody-else", params={}),
    }

    def found(host: str, check: str, **subject: str) -> Finding:
        return replace(finding(host, check), subject=subject, remedy=offered.get(check))

    full, failed = found("web01", "fs-space", mount="/srv/my data"), found("web01", "svc-failed", unit="nginx.service")
    first = [full, failed, found("web01", "time-unsync")]
    links = [Link(cause=full.id, effect=failed.id, rule="disk-stops-service", weight=0.9)]
    others = [
        (name, [found(name, "fs-space", mount="/srv/my data"), found(name, "svc-failed", unit="a")]) for name in ("a", "b")
    ]
    record = run(
        seen("web01", diagnosis("web01", first, links=links)), *(seen(name, diagnosis(name, them)) for name, them in others)
    )
    steps = next_commands(record, language(code))
    repairs = [step for step in steps if step.command.startswith("longarm repair")]
    assert all(step.why.startswith(why) for step in repairs)
    assert [shlex.split(step.command)[3].removeprefix(record.run + "/") for step in repairs] == [
        "web01/fs-space/mount=/srv/my data",
        "a/svc-failed/unit=a",
        "a/fs-space/mount=/srv/my data",
    ]
    text = made(record, Format.TEXT, code).decode()
    assert f"longarm repair --finding '{record.run}/web01/fs-space/mount=/srv/my data' --case DEMO-1  # {why}" in text
