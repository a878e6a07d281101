"""What a repair makes of causes: what follows from what it fixed is asked again; what comes first is named, and waited for."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from console.repairing import tell_causes
from console.settings import Settings
from inventory.errors import InvalidFile
from playbooks.results import HostChange
from playbooks.verdicts import Fix
from reports.language import language
from reports.render import Audience, Format, render
from reports.summary import next_commands
from runner.desk import Desk
from runner.observer import Silent
from runner.outcome import Outcome
from runner.record import RunRecord
from tests.reports.test_formats import SCHEMA, whole
from tests.runner.repairs import FULL, MEND, Bench, hosts_folder

CLEAR = """
playbook: clear-shelf
title: {en: Clear the shelf, ru: Освободить полку}
kind: repair
maintenance: corrective
platforms: [linux]
tier: L2
risk: reversible
fixes: [shelf-full]
params:
  mark: {type: string, default: good}
steps:
  - name: Clear it
    run: echo free >"$HOME/shelf"; echo "$mark" >"$HOME/mark"
verify: [shelf-full]
"""
WAITS = MEND.replace("needs: [mark]", "needs: [mark]\nnot_while: [shelf-full]")


@pytest.fixture
def bench() -> Iterator[Bench]:
    with hosts_folder() as folder:
        yield Bench(folder).with_causes()


def shelved(bench: Bench, host: str, state: str = "full") -> None:
    bench.mark(host, "bad")
    path = bench.home(host) / "shelf"
    path.write_text(f"{state}\n")
    path.chmod(0o666)


def repaired(home: Path, bench: Bench, text: str, *hosts: str, **values: Any) -> RunRecord:
    with Desk.open(home, write=True, actor="anna") as desk:
        request = bench.asking(*hosts, playbook=bench.playbook(text), **values)
        return asyncio.run(desk.repair(request, connect=bench.connect, observer=Silent()))


@pytest.mark.parametrize(
    ("before", "mark", "fix"),
    [("bad", "good", Fix.FIXED), ("bad", "bad", Fix.UNCHANGED), ("good", "bad", Fix.NEW), ("bad", "?", Fix.VISIBILITY_LOST)],
)
def test_what_the_repaired_cause_may_have_caused_is_asked_again(
    home: Path, bench: Bench, before: str, mark: str, fix: Fix
) -> None:
    shelved(bench, "db-1")
    bench.mark("db-1", before)
    record = repaired(home, bench, CLEAR, "db-1", params={"mark": mark})
    (host,) = record.hosts
    assert host.repair is not None
    assert [(one.check, one.fix) for one in host.repair.verdicts] == [("shelf-full", Fix.FIXED)]
    assert [(one.check, one.fix) for one in host.repair.consequences] == [("mark-bad", fix)]
    assert host.repair.causes == ()


@pytest.mark.parametrize("only_plan", [True, False])
def test_while_its_cause_stands_a_repair_that_says_so_does_nothing_and_names_it(
    home: Path, bench: Bench, only_plan: bool
) -> None:
    shelved(bench, "db-1")
    shelved(bench, "db-2", "free")
    record = repaired(home, bench, WAITS, "db-1", "db-2", only_plan=only_plan)
    first, second = record.hosts
    assert first.repair is not None and second.repair is not None
    cause = "db-1/shelf-full/shelf=shelf"
    assert (first.outcome, first.repair.change, first.repair.plans) == (Outcome.FINDINGS, HostChange.UNCHANGED, ())
    assert str(first.error) == f"nothing was done: what is found follows from {cause}, which comes first"
    assert str(first.hint) == f"longarm repair --finding {record.run}/{cause}"
    assert bench.effects("db-1") == []
    assert bench.effects("db-2") == ([] if only_plan else ["one", "two"])
    assert len(second.repair.plans) == (2 if only_plan else 0)
    for code in ("en", "ru"):
        tongue = language(code)
        sentence = {"en": "the shelf is full", "ru": "полка: full"}[code]
        command = f"longarm repair --finding {record.run}/{cause}"
        told = tongue.say("it follows from: {cause}; the repair of that: {command}", cause=sentence, command=command)
        assert next_commands(record, tongue)[0].command == command
        for kind in (Format.TEXT, Format.HTML):
            assert told in render(record, audience=Audience.INTERNAL, language=code, format=kind).decode()
    document = json.loads(render(record, audience=Audience.INTERNAL, language="en", format=Format.JSON))
    Draft202012Validator(whole(SCHEMA)).validate(document)
    assert [one["finding"] for one in document["hosts"][0]["repair"]["causes"]] == [cause]


def test_where_nothing_repairs_the_cause_it_is_told_what_does_it_all_the_same(
    home: Path, bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the command that was called where that can; a retry takes no --force."""
    monkeypatch.setattr("tests.runner.repairs.FULL", "\n".join(line for line in FULL.split("\n") if "remedy:" not in line))
    bench.with_causes()
    shelved(bench, "db-1")
    first = repaired(home, bench, WAITS, "db-1")
    assert str(first.hosts[0].hint) == "--force REASON does it all the same"
    again = repaired(home, bench, WAITS, "db-1", retries=first.run, params={"word": "very good"}, case="DEMO-1")
    command = "longarm repair mend db-1 -p 'word=very good' --case DEMO-1 --force REASON"
    told = f"a repair of its own does it all the same: {command}"
    assert str(again.hosts[0].hint) == told


def test_who_repairs_by_a_finding_is_told_before_what_it_follows_from(
    home: Path, bench: Bench, capsys: pytest.CaptureFixture[str]
) -> None:
    shelved(bench, "db-1")
    record = repaired(home, bench, WAITS, "db-1", only_plan=True)
    diagnosis = record.hosts[0].diagnosis
    assert diagnosis is not None
    mark, shelf = "db-1/mark-bad/mark=mark", "db-1/shelf-full/shelf=shelf"
    tell_causes(Settings(home=home), record, next(one for one in diagnosis.findings if one.id == mark))
    told = f"{mark} follows from {shelf}\nnext: longarm repair --finding {record.run}/{shelf}\n"
    assert capsys.readouterr().err == told
    tell_causes(Settings(home=home), record, next(one for one in diagnosis.findings if one.id == shelf))
    assert capsys.readouterr().err == ""


def test_by_force_it_is_done_all_the_same_and_the_cause_is_named(home: Path, bench: Bench) -> None:
    shelved(bench, "db-1")
    record = repaired(home, bench, WAITS, "db-1", forced="the shop is down")
    (host,) = record.hosts
    assert host.repair is not None
    assert bench.effects("db-1") == ["one", "two"]
    assert [one.check for one in host.repair.causes] == ["shelf-full"]


def test_a_repair_that_does_not_say_so_is_done_and_its_cause_is_named(home: Path, bench: Bench) -> None:
    """Where the cause is asked for at all: here it is among what proves the repair."""
    text = MEND.replace("verify: [mark-bad]", "verify: [mark-bad, shelf-full]")
    shelved(bench, "db-1")
    record = repaired(home, bench, text, "db-1")
    (host,) = record.hosts
    assert host.repair is not None
    assert bench.effects("db-1") == ["one", "two"]
    assert [(one.check, one.fix) for one in host.repair.verdicts] == [("mark-bad", Fix.FIXED), ("shelf-full", Fix.UNCHANGED)]


def test_what_explains_nothing_that_is_fixed_is_no_cause_to_wait_for(bench: Bench) -> None:
    with pytest.raises(InvalidFile, match=r"playbook\.yaml:11:13: nothing says that “mark-bad” explains what this fixes"):
        bench.playbook(WAITS.replace("[shelf-full]", "[mark-bad]"))
