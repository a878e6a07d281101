"""`longarm hold`, `freeze` and `unfreeze` on the command line: nothing that changes starts, and looking stays possible."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from runner.desk_base import login_name
from tests.console.conftest import Console

INVENTORY = """\
defaults: {transport: local, customer: acme}
hosts:
  one: {address: 127.0.0.1, site: berlin}
  two: {address: 127.0.0.1, site: bremen}
"""
PLAYBOOK = """\
playbook: touch-it
title: {en: Touch it, ru: Тронуть}
says: {en: Leaves a file., ru: Оставляет файл.}
kind: patch
maintenance: corrective
platforms: [linux]
tier: L2
risk: reversible
params:
  file: {type: path}
steps:
  - name: Touch
    run: awk -v file="$file" 'BEGIN { print "touched" >>file }'
    retry: read
"""

LOOK = """awk -v file="$file" 'BEGIN { print "touched" >>file }'"""
"""Leaves a trace all the same, in a language that lint does not read."""


@pytest.fixture
def here(console: Console) -> Console:
    """Return a longarm that knows this machine by two names, and a playbook that leaves its trace."""
    console.inventory(INVENTORY)
    (console.home / "touch-it.yaml").write_text(PLAYBOOK)
    return console


@pytest.fixture
def trace(tmp_path: Path) -> Path:
    """Return the file that the playbook writes to."""
    return tmp_path / "trace"


def repair(here: Console, trace: Path, targets: str) -> tuple[str, ...]:
    """One host after the other: these are one machine, and so is that of every other test: nothing is detached on it."""
    return ("repair", str(here.home / "touch-it.yaml"), targets, "-p", f"file={trace}", "--concurrency", "1", "--json")


def touched(trace: Path) -> int:
    return len(trace.read_text().splitlines()) if trace.exists() else 0


def test_a_held_host_is_refused_and_the_others_are_repaired(here: Console, trace: Path) -> None:
    held = here("hold", "add", "one", "--reason", "a demonstration", "--until", "2h", "--json")
    assert held.code == 0, held.err
    (row,) = held.json()
    assert (held.code, row["host"], row["owner"], row["reason"]) == (0, "one", login_name(), "a demonstration")
    left = datetime.fromisoformat(row["until"]) - datetime.now(UTC)
    assert timedelta(minutes=110) < left < timedelta(minutes=121)
    done = here(*repair(here, trace, "one, two"))
    one, two = done.json()["hosts"]
    assert (done.code, one["outcome"], one["repair"]["flags"], one["error"]["kind"]) == (5, "refused", ["held"], "HostHeld")
    said = one["error"]["text"]
    assert all(word in said for word in (login_name(), "a demonstration", row["until"][:10], "UTC")), said
    assert (two["outcome"], touched(trace)) == ("ok", 1)
    russian = here("run", "show", done.json()["run"], "--lang", "ru").out
    assert "удерживает" in russian
    again = here("run", "retry", done.json()["run"], "--only", "refused", "--json")
    assert (again.code, touched(trace)) == (5, 1), "asked again where it is tried again"
    assert here("diagnose", "one", "--check", "fs-space", "--fail-on", "never").code == 0, "looking is never refused"
    ran = here("host", "run", "true", "one")
    assert (ran.code, "a demonstration" in ran.out) == (5, True)
    assert here("hold", "remove", "one").code == 0
    assert here("run", "retry", done.json()["run"], "--only", "refused").code == 0
    assert touched(trace) == 2


def test_a_plan_changes_nothing_and_is_not_refused(here: Console, trace: Path) -> None:
    here("hold", "add", "one", "--reason", "a demonstration")
    here("freeze", "--reason", "the end of the year")
    done = here(*repair(here, trace, "one"), "--plan")
    assert (done.code, done.json()["hosts"][0]["outcome"]) == (0, "ok")


def test_everything_in_the_scope_of_a_freeze_is_refused_as_a_whole(here: Console, trace: Path) -> None:
    frozen = here("freeze", "--reason", "an audit", "--site", "berlin", "--until", "2999-12-24", "--json")
    assert frozen.json()[0] | {"since": None} == {
        "scope": "site",
        "name": "berlin",
        "owner": login_name(),
        "reason": "an audit",
        "since": None,
        "until": "2999-12-25T00:00:00Z",
        "removed_at": None,
        "removed_by": None,
    }
    whole = here(*repair(here, trace, "one, two"))
    assert (whole.code, whole.out, touched(trace)) == (5, "", 0)
    assert f"changes at site berlin are frozen by {login_name()} since " in whole.err
    assert "until 2999-12-25 00:00:00 UTC: an audit" in whole.err
    assert here("host", "run", f"touch {trace}", "one").code == 5
    assert not trace.exists()
    assert here("run", "list", "-o", "name").out == "", "what was refused is no run"
    assert here(*repair(here, trace, "two")).code == 0
    assert here("diagnose", "one", "--check", "fs-space", "--fail-on", "never").code == 0
    assert here("unfreeze").code == 6, "another scope"
    assert here("unfreeze", "--site", "BERLIN").code == 0
    assert here(*repair(here, trace, "one")).code == 0
    assert touched(trace) == 2


@pytest.mark.parametrize("scope", [(), ("--customer", "Acme")])
def test_a_freeze_of_the_desk_or_of_a_customer_covers_theirs(here: Console, trace: Path, scope: tuple[str, ...]) -> None:
    assert here("freeze", "--reason", "an audit", *scope).code == 0
    refused = here(*repair(here, trace, "two"), "--lang", "ru")
    assert (refused.code, "заморо" in refused.err, touched(trace)) == (5, True, 0)
    assert here("unfreeze", *scope).code == 0
    assert here(*repair(here, trace, "two")).code == 0


def test_what_was_held_and_frozen_stays_in_the_lists_of_the_past(here: Console) -> None:
    here("hold", "add", "all", "--reason", "a demonstration")
    here("freeze", "--reason", "an audit")
    here("hold", "remove", "one")
    here("unfreeze")
    assert here("hold", "list", "-o", "name").out == "two\n"
    assert here("freeze", "--list", "--json").json() == []
    past = here("hold", "list", "--past", "--json").json()
    assert [(row["host"], row["removed_by"]) for row in past] == [("one", login_name()), ("two", None)]
    (frozen,) = here("freeze", "--list", "--past", "--json").json()
    assert (frozen["removed_by"], frozen["removed_at"] >= frozen["since"]) == (login_name(), True)


def test_the_hold_of_somebody_else_is_removed_only_by_naming_them(here: Console) -> None:
    here("hold", "add", "one", "--reason", "a demonstration")
    wrong = here("hold", "remove", "one", "--owner", "boris")
    assert (wrong.code, f"longarm hold remove one --owner {login_name()}" in wrong.err) == (6, True)
    here.inventory(INVENTORY.replace("one:", "three:"))
    assert here("hold", "remove", "one").code == 0, "the inventory need not know it any more"
    assert here("hold", "remove", "one").code == 6


@pytest.mark.parametrize(
    ("given", "code", "expected"),
    [
        (("hold", "add", "one"), 2, "--reason is missing"),
        (("hold", "add", "one", "--reason", " "), 2, "a reason is needed"),
        (("hold", "add", "nowhere", "--reason", "x"), 6, "nowhere"),
        (("hold", "add", "one", "--reason", "x", "--until", "soon"), 2, "“soon” is no moment"),
        (("hold", "add", "one", "--reason", "x", "--until", "2020-01-01"), 2, "the end has passed already"),
        (("freeze",), 2, "a reason is needed"),
        (("freeze", "--reason", "x", "--site", "berln"), 2, "did you mean berlin?"),
        (("freeze", "--reason", "x", "--site", "berlin", "--customer", "acme"), 2, "a site or a customer, not both"),
        (("unfreeze",), 6, "nothing is frozen in this scope"),
    ],
)
def test_what_cannot_be_meant_is_told(here: Console, given: tuple[str, ...], code: int, expected: str) -> None:
    done = here(*given)
    assert (done.code, expected in done.err) == (code, True), done.err


def waited_for(found: Callable[[], object]) -> None:
    """Return once something is there; a run on a busy machine takes its time."""
    for _ in range(1200):
        if found():
            return
        time.sleep(0.05)
    raise AssertionError("it never came")


def test_who_changes_which_host_is_shown_and_a_freeze_beside_it_lets_no_other_begin(here: Console, trace: Path) -> None:
    """Three processes on one home: one repairs, one looks who does, one freezes; the first begins no further host."""
    waiting = f'until [ -e "{trace}.go" ]; do sleep 0.1; done; {LOOK}'
    (here.home / "touch-it.yaml").write_text(PLAYBOOK.replace(LOOK, waiting))
    repairing = here.start(*repair(here, trace, "one, two"))
    try:
        waited_for(lambda: here("run", "leases", "-o", "name").out)
        (leased,) = here("run", "leases", "--json").json()
        assert (leased["host"], leased["actor"], leased["reason"]) == ("one", login_name(), "touch-it")
        assert (leased["state"], leased["age_s"] >= 0) == ("running", True)
        assert "RUN" in here("run", "leases").out
        assert here("freeze", "--reason", "an alarm").code == 0
        assert here("hold", "add", "one", "--reason", "an alarm").code == 0
        Path(f"{trace}.go").touch()
        out, err = repairing.communicate(timeout=120)
    finally:
        repairing.kill()
        repairing.wait()
    one, two = json.loads(out)["hosts"]
    assert (repairing.returncode, one["outcome"], two["outcome"]) == (5, "ok", "not_started"), err
    assert (two["error"]["kind"], "an alarm" in two["error"]["text"], touched(trace)) == ("ChangesFrozen", True, 1)
    commands = [step["command"] for step in json.loads(out)["next"]]
    assert f"longarm run retry {json.loads(out)['run']} --only not_started" in commands
    assert here("run", "leases", "--json").json() == []
