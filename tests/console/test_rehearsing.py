"""`longarm playbook test --on HOST`: scenarios on a practice host with a real shell, which is made to be as they say."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from remote.lab.shell import why_not
from tests.console.conftest import Console

pytestmark = pytest.mark.skipif(bool(why_not()), reason=f"no real shell on this machine: {why_not()}")
PLAYBOOK = """\
playbook: tidy
title: {en: Tidy up, ru: Прибрать}
says: {en: Removes a file; it is not brought back., ru: "Удаляет файл; он не восстанавливается."}
kind: patch
maintenance: corrective
platforms: [linux]
tier: L2
risk: disruptive
params: {path: {type: path}}
steps:
  - name: Remove it
    plan: |
      [ ! -e "$path" ] || echo "$path"
    run: rm -- "$path"
    privilege: root
    retry: idempotent
"""
SCENARIO = """\
- scenario: It is there
  params: {path: /var/log/rehearsal}
  answers:
    Remove it: {look: {stdout: "/var/log/rehearsal\\n"}, change: done}
  real:
    ill: ': >"$path"; : >/var/log/was-ill'
    well: 'test -e /var/log/was-ill && rm -f "$path" /var/log/was-ill'
  expect:
    plan: {Remove it: change}
    steps: {Remove it: changed}
    change: changed
- scenario: It is not there
  params: {path: /var/log/rehearsal}
  answers:
    Remove it: {look: {stdout: ""}}
  expect:
    steps: {Remove it: ok}
    change: unchanged
"""


@pytest.fixture
def lab(practice: Callable[..., Console]) -> Console:
    """Return a longarm with the practice host that can be changed, and a playbook with its scenarios."""
    console = practice("--hosts", "2")
    (console.home / "scenarios").mkdir()
    write(console, PLAYBOOK, SCENARIO)
    return console


def write(console: Console, playbook: str, scenario: str) -> None:
    (console.home / "tidy.yaml").write_text(playbook)
    (console.home / "scenarios" / "tidy.yaml").write_text(scenario)


def played(console: Console, *words: str, code: int = 0) -> list[dict[str, Any]]:
    done = console("--json", "--yes", "playbook", "test", *words, "--on", "lab-db-01")
    assert done.code == code, done.err
    rows: list[dict[str, Any]] = done.json()
    return rows


def test_a_shipped_scenario_ends_on_a_practice_host_as_on_a_scripted_one(lab: Console) -> None:
    rows = played(lab, "free-disk-space", str(lab.home / "tidy.yaml"))
    assert {row["scenario"]: row["state"] for row in rows} == {
        "A full /var whose packages and logs can go": "scripted",
        "Nothing there can go": "scripted",
        "Old archives of logs fill /var": "ok",
        "Images without a name, and kernels of last year": "scripted",
        "It is there": "ok",
        "It is not there": "scripted",
    }
    run = lab("--json", "run", "show", next(row["run"] for row in rows if row["scenario"].startswith("Old"))).json()
    assert [one["fix"] for one in run["hosts"][0]["repair"]["verdicts"]] == ["fixed"]
    assert lab("--json", "playbook", "test", str(lab.home / "tidy.yaml")).code == 0, "and on scripted hosts as before"


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("steps: {Remove it: changed}", "steps: {Remove it: ok}", "s1 ended changed, not ok"),
        ("plan: {Remove it: change}", "plan: {Remove it: nothing}", "the plan of s1 says change, not nothing"),
        ("change: changed\n- s", "change: partly\n- s", "the host is changed, not partly"),
        ("ill: ': >", "ill: 'exit 7; : >", "the script that makes the host so did not work: it ended with status 7"),
        ("well: 'test -e", "well: 'exit 9; test -e", "the script that makes the host so did not work: it ended with status 9"),
    ],
)
def test_what_ends_otherwise_is_told_and_the_host_is_put_right(lab: Console, old: str, new: str, expected: str) -> None:
    assert old in SCENARIO
    write(lab, PLAYBOOK, SCENARIO.replace(old, new, 1))
    row, _ = played(lab, str(lab.home / "tidy.yaml"), code=1)
    assert row["state"] == "failed" and any(expected in problem for problem in row["problems"]), row
    if "exit" not in new:
        left = lab("--json", "host", "run", "ls /var/log", "lab-db-01").json()["hosts"][0]["output"]["stdout"]
        assert "rehearsal" not in left and "was-ill" not in left


def test_what_cannot_be_played_is_refused_before_the_host_is_touched(lab: Console) -> None:
    scripted = SCENARIO.split("- scenario: It is not there")[1]
    for words, scenario, expected in (
        (("--on", "nowhere", "--yes"), SCENARIO, "nowhere"),
        (("--on", "all", "--yes"), SCENARIO, "inventory list all"),
        (("--on", "lab-db-01"), SCENARIO, "make lab-db-01 ill on purpose and repair it"),
        (("--on", "lab-db-01", "--yes"), f"- scenario: It is not there{scripted}", "all are for scripted hosts"),
        (("--on", "lab-db-01", "--yes", "--force", "x"), SCENARIO, "--on plays the scenarios as they stand"),
    ):
        write(lab, PLAYBOOK, scenario)
        done = lab("playbook", "test", str(lab.home / "tidy.yaml"), *words)
        assert (done.code in (2, 6), expected in done.err) == (True, True), (words, done.err)
    write(lab, PLAYBOOK.replace('run: rm -- "$path"', "run: rm -rf $path"), SCENARIO)
    unsound = lab("playbook", "test", str(lab.home / "tidy.yaml"), "--on", "lab-db-01", "--yes")
    assert (unsound.code, "longarm playbook lint" in unsound.err) == (2, True), unsound.err
    assert lab("--json", "run", "list").json() == []


STOPPED = """\
- scenario: It takes long
  params: {path: PLACE/ill}
  answers: {Remove it: {look: {stdout: "x\\n"}, change: done}}
  real: {ill: ': >"$path"', well: 'rm -f "$path"; cp PLACE/log PLACE/put-right'}
  expect: {steps: {Remove it: changed}, change: changed}
- scenario: It is not begun
  params: {path: PLACE/ill}
  answers: {Remove it: {look: {stdout: "x\\n"}, change: done}}
  real: {ill: ': >PLACE/second'}
  expect: {change: changed}
"""
SLOW = """'echo begun >>PLACE/log; until test -e PLACE/go; do sleep 0.05; done; echo over >>PLACE/log'"""


@pytest.mark.xdist_group("this_machine")
@pytest.mark.skipif(os.geteuid() != 0, reason="what makes this machine ill runs as root")
@pytest.mark.parametrize("presses", [1, 2])
def test_what_ctrl_c_leaves_under_way_is_over_before_the_host_is_put_right(
    console: Console, tmp_path: Path, presses: int
) -> None:
    log, go = tmp_path / "log", tmp_path / "go"
    console.inventory("hosts: {here: {address: 127.0.0.1, transport: local}}\n")
    (console.home / "scenarios").mkdir()
    slow, stopped = (text.replace("PLACE", str(tmp_path)) for text in (SLOW, STOPPED))
    write(console, PLAYBOOK.replace('rm -- "$path"', slow), stopped)
    words = ("--yes", "playbook", "test", str(console.home / "tidy.yaml"), "--on", "here")
    with ExitStack() as at_last, console.start(*words) as running:
        at_last.callback(go.touch)  # whatever went wrong, the step does not wait for its deadline
        assert running.stderr is not None
        until = time.monotonic() + 60
        while not log.exists():
            assert time.monotonic() < until and running.poll() is None, running.communicate()
            time.sleep(0.05)
        running.send_signal(signal.SIGINT)
        while b"is put right when what is under way there is over" not in (line := running.stderr.readline()):
            assert line, "it ended at once"
        if presses == 1:
            go.touch()
        else:
            running.send_signal(signal.SIGINT)
        out, err = running.communicate(timeout=60)
    assert (running.returncode, out) == (130, b""), err.decode()
    assert not (tmp_path / "ill").exists() and not (tmp_path / "second").exists()
    assert (tmp_path / "put-right").read_text().split() == ["begun", "over"][: 3 - presses]
    runs = console("--json", "run", "list").json()
    ill, repair, well = runs[::-1]
    assert [ill["state"], well["state"]] == ["ended", "ended"] and repair["playbook"] == "tidy"
    assert repair["state"] == ("ended" if presses == 1 else "interrupted")
    report = json.loads((console.home / "reports" / f"{repair['run']}.json").read_text())
    assert report["state"] == repair["state"], "the report is of how it ended"
    if presses == 2:
        assert f"next: longarm run resume {repair['run']}" in err.decode().splitlines()
        go.touch()
        assert console("run", "resume", repair["run"]).code == 0
    assert log.read_text().split() == ["begun", "over"]
    assert [*Path("/var/lib/longarm").glob(f"c-{repair['run']}*")] == [], "what the host kept of the step is gone"
    assert console("--json", "run", "leases").json() == []


AT_WORK = """\
import sys
sys.path.insert(0, {root!r})
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from runner.outcome import RunKind
from runner.store.changes import BeginByHand
from runner.store.rows import HandRow
from runner.store.sql import open_store
from tests.runner.conftest import Rows
rows, now, run = Rows(), datetime.now(UTC), "20261130-000000-000000"
begin = rows.begin(hosts=1, run=run, actor="olga", started_at=now, customers=())
hand = HandRow(run=run, host="here", customer=None, actor="olga", kind=RunKind.COMMAND, what="host run: true", since=now,
               until=now + timedelta(hours=1), outcome=None, beside="")
with closing(open_store(Path({home!r}), write=True, alone=False)) as store:
    store.write(replace(begin, hosts=(replace(begin.hosts[0], host="here", customer=None, site=None),))).result()
    store.write(BeginByHand(hand=hand, position=0, beside=rows.audit("host.beside", run=run, detail="a test"))).result()
"""


@pytest.mark.xdist_group("this_machine")
@pytest.mark.skipif(os.geteuid() != 0, reason="what makes this machine ill runs as root")
def test_a_host_that_was_made_ill_is_put_right_also_where_somebody_works_by_hand_by_then(
    console: Console, tmp_path: Path
) -> None:
    at_work = tmp_path / "at_work.py"
    at_work.write_text(AT_WORK.format(root=str(Path(__file__).parents[2]), home=str(console.home)))
    console.inventory("hosts: {here: {address: 127.0.0.1, transport: local}}\n")
    (console.home / "scenarios").mkdir()
    ill = f"ill: ': >\"$path\"; {sys.executable} {at_work}'"
    first = (
        STOPPED.partition("- scenario: It is not begun")[0]
        .replace("ill: ': >\"$path\"'", ill)
        .replace("cp PLACE/log", "echo so >")
    )
    write(console, PLAYBOOK, first.replace("PLACE", str(tmp_path)))
    words = ("--json", "--yes", "playbook", "test", str(console.home / "tidy.yaml"), "--on", "here")
    done = console(*words)
    (row,) = done.json()
    assert (done.code, len(row["problems"])) == (1, 1), done.err
    assert row["problems"][0].startswith("nothing was done on here: nobody saw how this ended on here")
    assert not (tmp_path / "ill").exists() and (tmp_path / "put-right").exists()
    assert "; beside it: putting right after scenario “It takes long”" in console("store", "audit").out
    (tmp_path / "put-right").unlink()
    again = console(*words)
    (row,) = again.json()
    assert (again.code, len(row["problems"]), "next: longarm run leases" in again.err) == (1, 1, True), again.err
    assert row["problems"][0].startswith("the script that makes the host so did not work: nobody saw how this ended")
    assert not (tmp_path / "put-right").exists(), "where it was not made ill there is nothing to put right"
