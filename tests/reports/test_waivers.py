"""Waived findings in reports: told in every format with who, why and until when; never counted, never first, never gone."""

from __future__ import annotations

import csv
import io
import json
import xml.etree.ElementTree as ET
from dataclasses import replace

import pytest

from console.progress import detail
from diagnostics.finding import Link
from diagnostics.verdict import Severity
from reports.explain import explain, problems
from reports.language import LANGUAGES
from reports.render import Audience, Format, render
from runner.outcome import FailOn, exit_code
from runner.record import RunRecord
from tests.reports.conftest import WAIVER, diagnosis, finding, full, run, seen
from tests.reports.test_formats import counts_agree

TOLD = "waived until 2027-01-31 by anna: Filled on purpose"


def made(record: RunRecord, kind: Format, language: str = "en") -> str:
    return render(record, audience=Audience.INTERNAL, language=language, format=kind).decode()


def test_the_counts_agree(accepted: RunRecord, partly: RunRecord) -> None:
    counts_agree(accepted)
    counts_agree(partly)


def test_what_is_waived_does_not_fail_a_run(accepted: RunRecord, partly: RunRecord) -> None:
    codes = [exit_code([h.outcome for h in run.hosts], run.worst, FailOn.WARNING) for run in (accepted, partly)]
    assert codes == [0, 1]


@pytest.mark.parametrize("kind", [Format.TEXT, Format.HTML, Format.CSV, Format.JUNIT])
def test_every_format_tells_who_accepted_it_why_and_until_when(accepted: RunRecord, kind: Format) -> None:
    assert TOLD in made(accepted, kind)


def test_the_document_tells_the_waiver(partly: RunRecord) -> None:
    found = {one["subject"]["mount"]: one for one in json.loads(made(partly, Format.JSON))["hosts"][0]["findings"]}
    waiver = {"reason": "Filled on purpose", "owner": "anna", "last_day": "2027-01-31", "targets": "tag=backup"}
    assert (found["/mnt/a"]["waived"], found["/mnt/a"]["waiver"]) == (True, waiver)
    assert (found["/mnt/b"]["waived"], found["/mnt/b"]["waiver"]) == (False, waiver)


def test_the_verdict_is_neither_green_nor_alarming(accepted: RunRecord) -> None:
    assert json.loads(made(accepted, Format.JSON))["verdict"] == {
        "tone": "info",
        "text": "All 2 hosts were seen completely: nothing else was found than what is waived. 1 finding is waived.",
    }


def test_an_expired_waiver_is_named(partly: RunRecord) -> None:
    assert "the waiver by anna expired after 2027-01-31: Filled on purpose" in made(partly, Format.TEXT)
    assert "Critical problems on 2 of 2 hosts. 1 finding is waived." in made(partly, Format.TEXT)


def test_what_is_waived_on_all_hosts_stands_last(accepted: RunRecord, partly: RunRecord) -> None:
    alone = replace(partly, hosts=(*accepted.hosts, *partly.hosts[1:]))
    assert [problem.waived for problem in problems(alone.hosts)] == [False]
    assert [problem.waived for problem in problems((*accepted.hosts, partly.hosts[0]))] == [False, True]
    only = problems(accepted.hosts)
    assert [(problem.waived, problem.worst.value) for problem in only] == [(True, "critical")]


def test_junit_skips_what_is_waived_and_fails_what_is_not(accepted: RunRecord, partly: RunRecord) -> None:
    (case,) = (
        one for one in ET.fromstring(made(accepted, Format.JUNIT)).iter("testcase") if one.find("system-out") is not None
    )
    assert [(part.tag, part.get("type")) for part in case if part.tag != "system-out"] == [("skipped", "waived")]
    failed = [one.get("type") for one in ET.fromstring(made(partly, Format.JUNIT)).iter("failure")]
    assert failed == ["critical", "critical"]


def test_the_table_tells_only_waivers_that_hold(partly: RunRecord) -> None:
    rows = list(csv.DictReader(io.StringIO(made(partly, Format.CSV))))
    assert {row["subject"]: bool(row["waived"]) for row in rows if row["host"] == "nas-01" and row["subject"]} == {
        "mount=/mnt/a": True,
        "mount=/mnt/b": False,
    }


@pytest.mark.parametrize("language", LANGUAGES)
def test_thresholds_that_were_set_stand_with_their_host(partly: RunRecord, language: str) -> None:
    assert made(partly, Format.HTML, language).count("fs-space.critical = 97.5") == 1
    assert [host["thresholds"] for host in json.loads(made(partly, Format.JSON))["hosts"]] == [
        {"fs-space": {"critical": 97.5}},
        {},
    ]


@pytest.fixture(scope="session")
def caused() -> RunRecord:
    """A run on three hosts whose filesystem is too full: on one that is waived, as is one of two that follow from it."""
    root = full("db-01", "/mnt/a", waiver=WAIVER, waived=True)
    service = finding("db-01", "svc-failed", Severity.CRITICAL, unit="db.service")
    clock = replace(finding("db-01", "time-unsync", Severity.WARNING), waiver=WAIVER, waived=True)
    links = [Link(cause=root.id, effect=one.id, rule="disk-full-explains-service", weight=0.9) for one in (service, clock)]
    lesser = [replace(full(host, "/mnt/a"), severity=Severity.WARNING) for host in ("app-01", "web-01")]
    others = [seen(one.host, diagnosis(one.host, (one,))) for one in lesser]
    return run(seen("db-01", diagnosis("db-01", (root, service, clock), links=links)), *others, case=None)


def test_the_counts_agree_where_what_is_waived_has_consequences(caused: RunRecord) -> None:
    counts_agree(caused)


def test_what_is_waived_leads_nothing_that_counts(caused: RunRecord) -> None:
    host = caused.hosts[0]
    assert host.diagnosis is not None
    service, disk = explain(host.diagnosis)
    assert [(root.finding.check, root.waived, [one.finding.check for one in root.effects]) for root in (service, disk)] == [
        ("svc-failed", False, []),
        ("fs-space", True, ["time-unsync"]),
    ]
    assert [link.cause for link in service.also] == [disk.finding.id]
    assert [(problem.check, problem.worst.value, len(problem.cases)) for problem in problems(caused.hosts)] == [
        ("svc-failed", "critical", 1),
        ("fs-space", "warning", 3),
    ]
    lines = made(caused, Format.TEXT).splitlines()
    assert [line.split("  ")[:2] for line in lines if line[:1] in "◆▲◇" and line] == [
        ["◆ critical", "db-01"],
        ["▲ warning", "3 hosts"],
    ]
    assert sum("◇ explained by what is waived: " in line for line in lines) == 1
    assert [line.strip()[:3] for line in lines if "└" in line] == ["└ ◇"]
    assert made(caused, Format.HTML).count("Explained by what is waived:") == 1


def test_progress_counts_what_counts(caused: RunRecord, accepted: RunRecord) -> None:
    assert [detail(host) for host in caused.hosts] == ["critical 1, waived 2", "warning 1", "warning 1"]
    assert [detail(host) for host in accepted.hosts] == ["", "waived 1"]
