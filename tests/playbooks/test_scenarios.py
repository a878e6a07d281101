"""Scenarios: what they script is what is asked, what they expect is compared, and every fault is tried."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from diagnostics.check_tests import load_capture
from diagnostics.context import Earlier
from diagnostics.library import Library, load_library
from diagnostics.verdict import Severity
from inventory.errors import InvalidFile
from inventory.host import Host, Waiver
from inventory.secret import MASKER, Secret
from playbooks.interpreter import play
from playbooks.load import load_playbook
from playbooks.model import Playbook
from playbooks.params import settled_params
from playbooks.ports import Hands, Ports
from playbooks.results import HostChange, Played
from playbooks.scenario_files import load_scenarios, scenarios_of
from playbooks.scenario_writing import Proof, RecordingHands, written_scenario
from playbooks.scenarios import ScenarioResult, run_scenario
from playbooks.skeletons import PLAYBOOK, SCENARIO
from playbooks.testing import FakeClock, FakeJournal, FakeOperator
from remote.local import LocalSession
from tests.playbooks.real_hands import HERE, RealHands

RESTARTED = '    Restart it:\n      look: {stdout: "service systemd yes no yes\\n"}\n'
DONE = "      change: done\n"
CAPTURES = Path(__file__).parent.parent / "data" / "captures"


@pytest.fixture(scope="module")
def library() -> Library:
    return load_library()


@pytest.fixture
def playbook(tmp_path: Path, library: Library) -> Playbook:
    path = tmp_path / "restart-it.yaml"
    path.write_text(PLAYBOOK.replace("NAME", "restart-it"))
    return load_playbook(path, library)


def run(tmp_path: Path, playbook: Playbook, library: Library, text: str) -> list[ScenarioResult]:
    file = scenarios_of(tmp_path / "restart-it.yaml")
    file.parent.mkdir(exist_ok=True)
    file.write_text(text)
    return [run_scenario(one, playbook, library) for one in load_scenarios(file, playbook, library)]


def test_what_new_writes_passes(tmp_path: Path, playbook: Playbook, library: Library) -> None:
    results = run(tmp_path, playbook, library, SCENARIO)
    assert [result.problems for result in results] == [(), ()]
    assert [result.faults for result in results] == [6, 6]


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("plan: {Restart it: change}", "plan: {Restart it: nothing}", "the plan of s1 says change, not nothing"),
        ("steps: {Restart it: changed, Wait until it runs: ok}", "steps: {s1: ok}", "s1 ended changed, not ok"),
        ("change: changed\n- scenario", "change: unchanged\n- scenario", "the host is changed, not unchanged"),
        (RESTARTED + DONE, RESTARTED, "does not script: s1, change"),
        (RESTARTED, "    Restart it:\n", "does not script: s1, look"),
        ("params: {unit: cron.service}", "params: {}", "the parameter “unit” has to be said"),
        ("params: {unit: cron.service}", "params: {unit: 'a b'}", "“unit” must match"),
        ("change: changed\n- scenario", "verdicts: {fs-space: fixed}\n- scenario", "verdicts need evidence"),
    ],
)
def test_what_is_not_as_expected_is_told(
    tmp_path: Path, playbook: Playbook, library: Library, old: str, new: str, expected: str
) -> None:
    assert old in SCENARIO
    first = run(tmp_path, playbook, library, SCENARIO.replace(old, new, 1))[0]
    assert expected in " ".join(map(str, first.problems))


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("unit: cron", "unti: cron", "there is no parameter “unti” (did you mean unit?)"),
        ("Restart it: changed", "Restart him: changed", "there is no step “Restart him” (did you mean Restart it?)"),
        ("change: done", "change: dome", "“dome” is nothing that becomes of a command (did you mean done?)"),
        ("{Restart it: change}", "{Restart it: changes}", "“Restart it” cannot be “changes” (did you mean change?)"),
        ("  expect:\n", "  expects:\n", "a scenario has no key “expects” (did you mean expect?)"),
        (
            "- scenario: The service comes back",
            "- scenario: x\n  faults: [lots]",
            "there is no fault “lots” (did you mean lost?)",
        ),
        (
            "- scenario: The service comes back",
            "- scenario: x\n  facts: {fs_stat: {}}",
            "the playbook needs no probe “fs_stat”",
        ),
    ],
)
def test_a_mistake_in_a_scenario_is_told_with_its_place(
    tmp_path: Path, playbook: Playbook, library: Library, old: str, new: str, expected: str
) -> None:
    assert old in SCENARIO
    with pytest.raises(InvalidFile) as caught:
        run(tmp_path, playbook, library, SCENARIO.replace(old, new))
    assert expected in str(caught.value)


def test_facts_must_have_the_shapes_of_their_probes(tmp_path: Path, library: Library) -> None:
    path = tmp_path / "restart-it.yaml"
    path.write_text(PLAYBOOK.replace("NAME", "restart-it").replace("params:", "needs: [log.size]\nparams:", 1))
    playbook = load_playbook(path, library)
    text = SCENARIO.replace("  params:", "  facts: {log_size: {files: [{path: 7}]}}\n  params:", 1)
    with pytest.raises(InvalidFile, match="str is declared, not int"):
        run(tmp_path, playbook, library, text)


def test_a_playbook_that_repeats_what_it_may_not_is_found_out(tmp_path: Path, library: Library) -> None:
    """The faults of a scenario hold for every playbook; a fault of the interpreter would show here."""
    path = tmp_path / "restart-it.yaml"
    steps = "steps:\n  - {run: a, on_failure: continue}\n  - {run: b, retry: idempotent, attempts: 3}\nverify: [svc-failed]\n"
    head = PLAYBOOK.replace("NAME", "restart-it").split("steps:")[0]
    path.write_text(head + steps)
    text = (
        "- scenario: x\n  params: {unit: a}\n  answers: {s1: {change: done}, s2: {change: done}}\n  expect: {change: changed}\n"
    )
    (result,) = run(tmp_path, load_playbook(path, library), library, text)
    assert result.problems == () and result.faults == 12


def test_verdicts_come_from_evidence_before_and_after(tmp_path: Path, library: Library) -> None:
    path = tmp_path / "restart-it.yaml"
    text = (
        PLAYBOOK.replace("NAME", "restart-it")
        .replace("svc-failed", "fs-space")
        .replace("params:", "needs: [fs.stat]\nparams:", 1)
    )
    path.write_text(text)
    for name in ("scenario-full-disk.evidence", "scenario-healthy.evidence"):
        (tmp_path / "scenarios").mkdir(exist_ok=True)
        (tmp_path / "scenarios" / name).write_bytes((CAPTURES / name).read_bytes())
    playbook = load_playbook(path, library)
    scenario = SCENARIO.split("- scenario: The service stays down")[0]
    both = "  before: scenario-full-disk.evidence\n  after: [scenario-healthy.evidence]\n  answers:"
    told = scenario.replace("  answers:", both).replace("    change: changed\n", "    verdicts: {fs-space: fixed}\n")
    (result,) = run(tmp_path, playbook, library, told)
    assert result.problems == ()
    same = told.replace("[scenario-healthy.evidence]", "[scenario-full-disk.evidence]")
    (result,) = run(tmp_path, playbook, library, same)
    assert "the verdict on fs-space is unchanged, not fixed" in str(result.problems[0])


def test_a_real_run_becomes_a_scenario_that_passes(tmp_path: Path, library: Library) -> None:
    steps = """steps:
  - {name: Make, file: {path: '%s/x', content: "a: b\\n"}}
  - {name: Say, run: 'echo "[$word]"; echo here is where; echo "$token" >&2; exit 3', on_failure: continue}
  - {name: Look, run: 'cat "$file"', vars: {file: "'%s/x'"}, retry: read}
verify: [svc-failed]
""".replace("%s", str(tmp_path))
    head = PLAYBOOK.replace("NAME", "restart-it").split("params:")[0]
    path = tmp_path / "restart-it.yaml"
    path.write_text(
        f"{head}params:\n  word: {{type: string}}\n  wait: {{type: duration, default: 90s}}\n  token: {{type: secret}}\n{steps}"
    )
    playbook = load_playbook(path, library)
    MASKER.learn(Secret("s3cr3t-canary"))
    params = settled_params(playbook.params, {"word": "it's: {a}", "token": Secret("s3cr3t-canary")})

    async def recorded() -> str:
        hands = RealHands(session=LocalSession(HERE))
        recording = RecordingHands(hands)
        ports = Ports(run="run-0001", hands=recording, journal=FakeJournal(), operator=FakeOperator(), clock=FakeClock())
        try:
            outcome = await play(playbook, params, {}, ports)
        finally:
            await hands.session.leave()
        return written_scenario("As it was", recording, outcome, params, {}).scenario

    text = asyncio.run(recorded())
    assert "s3cr3t-canary" not in text and "here" not in text.split("answers")[0]
    assert "db01 is where" in text, "a name at the beginning of a line too"
    assert "token: recorded" in text, "a secret is nowhere in it; some word stands for it"
    (result,) = run(tmp_path, playbook, library, text)
    assert result.problems == () and result.faults == 12


def test_evidence_of_a_recording_names_its_host_nowhere() -> None:
    name, address, now = "erp.nord.example", "10.20.30.40", datetime(2026, 11, 22, tzinfo=UTC)
    evidence, context = load_capture(CAPTURES / "certificates.evidence")
    earlier = Earlier(check="cert-expiry", key=f"address={address},name={name}", severity=Severity.WARNING, since=now)
    waiver = Waiver(check="cert-expiry", subject={"name": name}, targets=name, reason=name, owner=name)
    context = replace(
        context,
        services=("ssh", f"tunnel@{name}"),
        names=(name, "www.nord.example"),
        earlier=(earlier,),
        waivers=(waiver,),
        observations={"asked": address},
    )
    hands = RecordingHands(cast("Hands", SimpleNamespace(host=Host(name=name, address=address))))
    played = Played(steps=(), change=HostChange.UNCHANGED)
    proof = Proof(before=(evidence, context), after=[], verdicts=[])
    (written,) = written_scenario("As it was", hands, played, {}, {}, proof).evidence.values()
    assert name not in written.decode() and address not in written.decode()
    for kept in ("address=192.0.2.1,name=db01", "tunnel@db01", "www.nord.example"):
        assert kept in written.decode(), kept


CALLS = """\
playbook: call-it
title: {en: Call it, ru: Позвать}
says: {en: Cannot be undone., ru: Отменить нельзя.}
kind: patch
maintenance: corrective
platforms: [linux]
tier: L2
risk: reversible
needs: [log.size]
steps:
  - {name: Ask, ask: {question: {en: How many?, ru: Сколько?}, answer: {type: int, minimum: 1}}, register: many}
  - {name: Look, probe: log.size}
  - {name: Count, python: "f.py:count", vars: {times: results.many.answer}, register: {name: rows, shape: {rows: int}}}
  - {name: Bring up, ansible: {playbook: site.yml}, when: results.rows.value.rows > 2}
  - {name: Say, run: echo done}
"""
SCRIPTED = """\
- scenario: Enough rows
  probes:
    log.size: {stdout: LOGS}
  answers:
    Ask: {operator: [0, 3]}
    Count: {python: {returns: {rows: 3}, stdout: counting}}
    Bring up: {ansible: {ok: 2, changed_tasks: 1}}
    Say: {change: done}
  expect:
    plan: {Count: unpredictable}
    steps: {Ask: ok, Look: ok, Count: changed, Bring up: changed, Say: changed}
    change: changed
"""


LOGS = load_capture(CAPTURES / "scenario-full-disk.evidence")[0].answers["log.size"].stdout.decode()
SCRIPTED = SCRIPTED.replace("LOGS", json.dumps(LOGS))


@pytest.fixture
def calls(tmp_path: Path, library: Library) -> Playbook:
    (tmp_path / "f.py").write_text(f"open('{tmp_path}/loaded', 'w')\ndef count(connection, times): pass\n")
    (tmp_path / "site.yml").write_text("- hosts: all\n")
    path = tmp_path / "restart-it.yaml"
    path.write_text(CALLS)
    return load_playbook(path, library)


def test_functions_and_ansible_are_scripted_and_made_to_fail_as_they_can(
    tmp_path: Path, calls: Playbook, library: Library
) -> None:
    (result,) = run(tmp_path, calls, library, SCRIPTED)
    assert result.problems == ()
    assert result.faults == 2 + 2 + 6, "a call can be late or fail; a command in every way"
    assert not (tmp_path / "loaded").exists(), "nothing of the function's file was run"


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("Count: {python: {returns: {rows: 3}, stdout: counting}}", "Count: {}", "does not script: s3, function"),
        ("Bring up: {ansible: {ok: 2, changed_tasks: 1}}", "Bring up: {}", "does not script: s4, Ansible"),
        ("{returns: {rows: 3}, stdout: counting}", "{raises: no way}", "s3 ended failed, not changed: no way"),
        ("python: {returns: {rows: 3}, stdout: counting}", "python: timed_out", "s3 ended unknown, not changed"),
        ("{rows: 3}", "{rows: many}", "s3 ended failed, not changed: what it returned is not"),
        ("{ok: 2, changed_tasks: 1}", "{ok: 2, failures: 1}", "s4 ended failed, not changed"),
        ("operator: [0, 3]", "operator: [0]", "s1 ended refused, not ok"),
    ],
)
def test_what_a_call_comes_to_is_what_is_scripted(
    tmp_path: Path, calls: Playbook, library: Library, old: str, new: str, expected: str
) -> None:
    (result,) = run(tmp_path, calls, library, SCRIPTED.replace(old, new))
    assert any(expected in str(problem) for problem in result.problems), result.problems


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("python: {returns", "python: {return", "return"),
        ("python: {returns: {rows: 3}, stdout: counting}", "python: late", "“late” is nothing that becomes of “python”"),
        ("log.size: {stdout", "log.sizes: {stdout", "the playbook needs no probe that asks “log.sizes”"),
    ],
)
def test_a_misspelt_call_is_told_with_its_place(
    tmp_path: Path, calls: Playbook, library: Library, old: str, new: str, expected: str
) -> None:
    with pytest.raises(InvalidFile, match=expected):
        run(tmp_path, calls, library, SCRIPTED.replace(old, new))
