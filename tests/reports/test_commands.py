"""Reports on what was no diagnosis: what hosts said, together where it is the same, hostile as it may be."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import jsonschema
import pytest

from inventory.errors import Text
from remote.answer import Ended
from reports.render import Audience, Format, render
from runner.outcome import Outcome, RunKind
from runner.output import Output
from runner.record import HostRecord, RunRecord
from tests.hostile import PAYLOADS
from tests.reports.test_hostile_text import Page

SCHEMA = Path(__file__).parent.parent.parent / "reports" / "run.schema.json"


def said(stdout: str = "", stderr: str = "", status: int | None = 0, **more: object) -> Output:
    return Output(ended=Ended.EXITED, exit_status=status, stdout=stdout, stderr=stderr, **more)  # type: ignore[arg-type]


@pytest.fixture
def record(small: RunRecord) -> RunRecord:
    """Return the record of a command on four hosts: two said the same, one failed, one was not reached."""
    base = replace(small.hosts[0], diagnosis=None, answers=(), quotes={}, error=None, hint=None, denied_root="")

    def host(name: str, outcome: Outcome, output: Output | None, error: Text | None = None) -> HostRecord:
        return replace(base, host=name, outcome=outcome, output=output, error=error)

    hosts = (
        host("web1", Outcome.OK, said("up 3 days\n")),
        host("web2", Outcome.OK, said("up 3 days\n")),
        host("db1", Outcome.FAILED, said("", "no such thing\n", 3), Text("it ended with status {status}", status=3)),
        host("db2", Outcome.UNREACHABLE, None, Text("no connection: {reason}", reason="no route")),
    )
    title = {"en": "Command", "ru": "Команда"}
    return replace(
        small, hosts=hosts, checks=(), kind=RunKind.COMMAND, subject="uptime; date", playbook="host-command", title=title
    )


def made(record: RunRecord, kind: Format, language: str = "en") -> str:
    return render(record, audience=Audience.INTERNAL, language=language, format=kind).decode()


def test_hosts_that_said_the_same_stand_together(record: RunRecord) -> None:
    text = made(record, Format.TEXT)
    assert "The command ended with status 0 on 2 of 4 hosts." in text
    assert "$ uptime; date" in text
    assert "✓ web1, web2 · exited with 0\n    up 3 days\n" in text
    assert "✘ db1 · exited with 3\n    ! no such thing\n" in text
    assert "db2  unreachable: no connection: no route" in text
    assert "resume" not in text


def test_the_page_says_what_was_run_and_does_not_claim_that_nothing_changed(record: RunRecord) -> None:
    page = Page(made(record, Format.HTML)).text
    for words in ("Report on a command", "uptime; date", "up 3 days", "no such thing", "Not well, or not known"):
        assert words in page
    assert "Nothing was changed" not in page
    assert "root cause" not in page


def test_the_document_holds_to_its_schema(record: RunRecord) -> None:
    document = json.loads(made(record, Format.JSON))
    jsonschema.validate(document, json.loads(SCHEMA.read_text()))
    assert (document["kind"], document["subject"]) == ("command", "uptime; date")
    assert document["hosts"][2]["output"]["exit_status"] == 3
    assert document["hosts"][3]["output"] is None


def test_a_diagnosis_has_no_output(small: RunRecord) -> None:
    document = json.loads(made(small, Format.JSON))
    assert (document["kind"], document["subject"]) == ("diagnose", None)
    assert all(host["output"] is None for host in document["hosts"])


@pytest.mark.parametrize("language", ["en", "ru"])
def test_all_well_is_green_only_if_every_host_was(record: RunRecord, language: str) -> None:
    well = replace(record, hosts=record.hosts[:2])
    assert 'class="verdict clear"' in made(well, Format.HTML, language)
    assert 'class="verdict warning"' in made(record, Format.HTML, language)
    unreached = replace(record, hosts=(record.hosts[0], record.hosts[3]))
    assert 'class="verdict unseen"' in made(unreached, Format.HTML, language)


def test_hostile_output_stays_data(record: RunRecord) -> None:
    def with_text(text: str) -> RunRecord:
        hosts = tuple(replace(host, output=said(f"{text}\n", text)) for host in record.hosts[:1])
        return replace(record, hosts=hosts, subject=text)

    harmless = Page(made(with_text("harmless"), Format.HTML)).seen
    for payload in PAYLOADS[::7]:
        line = " ".join(payload.text.splitlines())
        assert Page(made(with_text(line), Format.HTML)).seen == harmless, payload
        text = made(with_text(line), Format.TEXT)
        assert all(character.isprintable() or character == "\n" for character in text), payload


def test_what_was_cut_says_so(record: RunRecord) -> None:
    host = replace(record.hosts[0], output=said("head\n", cut=True))
    assert "there is more in the evidence" in made(replace(record, hosts=(host,)), Format.TEXT)
    many = replace(record.hosts[0], output=said("line\n" * 1000))
    assert "there is more in the evidence" in made(replace(record, hosts=(many,)), Format.TEXT)


def test_the_age_of_a_file_is_a_date_and_whatever_else_a_host_says_stays(record: RunRecord) -> None:
    output = said("x\n", origin=(("path", "/log"), ("modified", "1795942565"), ("size", "1795942565")))
    text = made(replace(record, hosts=(replace(record.hosts[0], output=output),)), Format.TEXT)
    assert re.search(r"    modified: .*2026", text) and "    size: 1795942565" in text
    for odd in ("²", "9" * 30, "never"):
        host = replace(record.hosts[0], output=said("x\n", origin=(("modified", odd),)))
        assert f"modified: {odd}" in made(replace(record, hosts=(host,)), Format.TEXT)
