"""A second person: asked for, given, refused, void, gone round; all of it by the command line, by accounts of this machine."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.console.conftest import Console, Done
from tests.console.test_completion import offered

INVENTORY = "hosts:\n  me: {transport: local, customer: acme, address: localhost}\n"
PLAYBOOK = """\
playbook: touch-up
title: {en: Touch up, ru: Подправить}
says: {en: Leaves a mark., ru: Оставляет отметку.}
kind: patch
maintenance: corrective
platforms: [linux]
tier: L2
risk: disruptive
params:
  word: {type: string, default: done}
steps:
  - name: Leave it
    run: echo "$word" >>"%s"
    retry: never
"""
CONFIG = """\
roles:
  - {role: L2, users: [daemon, bin], customers: [acme]}
  - {role: L3, users: [games]}
  - {role: admin, users: [root]}
"""
ASKS, OTHER, APPROVES = ({"SUDO_UID": uid} for uid in ("1", "2", "5"))


@pytest.fixture
def desk(console: Console, tmp_path: Path) -> Console:
    """Return a longarm with this machine, a playbook that interrupts what runs, and three people."""
    console.inventory(INVENTORY)
    (console.home / "touch-up.yaml").write_text(PLAYBOOK % mark(console))
    (console.home / "config.yaml").write_text(CONFIG)
    return console


def mark(console: Console) -> Path:
    return console.home / "mark"


def repair(desk: Console, *more: str, who: dict[str, str] = ASKS) -> Done:
    return desk("repair", str(desk.home / "touch-up.yaml"), "me", "--force", "a test", *more, environ=who)


def asked(desk: Console, *more: str) -> str:
    """Return the run that waits for a second person."""
    done = repair(desk, "--json", *more)
    document = done.json()
    assert (done.code, document["kind"], document["repair"]["approval"]["state"]) == (5, "plan", "waiting"), done
    assert not mark(desk).exists()
    return str(document["run"])


def states(desk: Console) -> list[str]:
    return [row["approval"] or row["state"] for row in desk("run", "list", "--json").json()]


def audit(desk: Console) -> list[str]:
    return [row["action"] for row in desk("store", "audit", "--json").json()]


def test_a_disruptive_repair_waits_for_somebody_else_and_is_begun_once(desk: Console) -> None:
    run = asked(desk, "--beside", "olga is on the phone")
    assert "waiting" in desk("run", "list").out and "ждёт" in desk("run", "list", "--lang", "ru").out
    shown = desk("run", "show", run, environ=APPROVES).out
    assert "It needs a second person." in shown and f"longarm approve {run}" in shown
    assert (offered(desk, "longarm approve "), offered(desk, "longarm run start ")) == ([run], [])
    early = desk("run", "start", run, environ=ASKS)
    assert early.code == 5 and "its approval is waiting" in early.err and f"longarm approve {run}" in early.err

    own = desk("approve", run, environ=ASKS)
    assert own.code == 5 and "nobody approves what they asked for themselves" in own.err
    equal = desk("approve", run, environ=OTHER)
    assert equal.code == 5 and "“approve” is for L3" in equal.err
    said = desk("approve", run, "--reason", "seen it", "--json", environ=APPROVES)
    assert (said.code, said.json()["state"], said.json()["asked_by"], said.json()["decided_by"]) == (
        0,
        "approved",
        "daemon",
        "games",
    )
    assert (offered(desk, "longarm approve "), offered(desk, "longarm run start ")) == ([], [run])
    twice = desk("approve", run, environ=APPROVES)
    assert twice.code == 5 and "it is approved" in twice.err

    begun = desk("run", "start", run, "--json", environ=ASKS)
    document = begun.json()
    assert (begun.code, document["kind"], document["actor"], mark(desk).read_text()) == (0, "repair", "daemon", "done\n")
    assert document["beside"] == "olga is on the phone", "what it was asked for with goes along"
    agreed = document["repair"]["agreed"]
    assert (agreed["run"], agreed["asked_by"], agreed["approved_by"], agreed["reason"]) == (run, "daemon", "games", "seen it")
    page = (desk.home / "reports" / f"{document['run']}.html").read_text()
    assert "games approved it on" in page and "seen it" in page
    assert desk("run", "show", run, "--json").json()["repair"]["approval"]["begun_as"] == document["run"]
    again = desk("run", "start", run, environ=ASKS)
    assert again.code == 5 and "its approval is begun" in again.err and mark(desk).read_text() == "done\n"
    assert {"approval.asked", "approval.approved", "run.started"} <= {*audit(desk)}
    assert desk("store", "verify").code == 0


def test_it_can_be_refused_and_taken_back(desk: Console) -> None:
    run = asked(desk)
    assert desk("approve", run, "--refuse", "--reason", "not tonight", environ=APPROVES).code == 0
    assert states(desk) == ["declined"] and "games refused it" in (desk("run", "export", run, "--format", "html").out)
    told = desk("run", "show", run, environ=ASKS).out.splitlines()
    assert "Second person: games refused it; daemon asked for it" in told and "Why it was decided so: not tonight" in told
    done = desk("run", "start", run, environ=ASKS)
    assert done.code == 5 and "its approval is declined" in done.err
    mine = asked(desk)
    assert desk("approve", mine, "--refuse", environ=OTHER).code == 5
    assert desk("approve", mine, "--refuse", environ=ASKS).code == 0
    nothing = desk("approve", asked_plan(desk), environ=APPROVES)
    assert nothing.code == 5 and "waits for nobody's approval" in nothing.err


def asked_plan(desk: Console) -> str:
    done = repair(desk, "--plan", "--json")
    assert done.code == 0 and done.json()["repair"]["approval"] is None
    return str(done.json()["run"])


def approved(desk: Console) -> str:
    run = asked(desk)
    assert desk("approve", run, environ=APPROVES).code == 0
    return run


def another_playbook(desk: Console) -> None:
    (desk.home / "touch-up.yaml").write_text(PLAYBOOK.replace("Leave it", "Leave it here") % mark(desk))


def another_address(desk: Console) -> None:
    desk.inventory(INVENTORY.replace("localhost", "127.0.0.1"))


def in_the_store(statement: str) -> object:
    import sqlite3
    from contextlib import closing

    def change(desk: Console) -> None:
        with closing(sqlite3.connect(desk.home / "longarm.db")) as connection:
            connection.execute(statement)
            connection.commit()

    return change


def without(name: str) -> object:
    return lambda desk: (desk.home / "config.yaml").write_text(CONFIG.replace(name, "nobody"))


DRIFT = {
    "playbook": (another_playbook, "the playbook is not the one that was asked for"),
    "targets": (another_address, "the inventory says something else about its hosts"),
    "params": (
        in_the_store("""UPDATE run SET request = replace(request, '"word": "done"', '"word": "else"')"""),
        "the parameters are not those that were asked for",
    ),
    "evidence": (
        in_the_store("""UPDATE approval SET bound = replace(bound, '"evidence": "', '"evidence": "0')"""),
        "the evidence is not that on which it was asked for",
    ),
    "library": (
        in_the_store("""UPDATE approval SET bound = replace(bound, '"library": "', '"library": "0')"""),
        "the checks and probes are not those that were asked for",
    ),
    "requester": (without("daemon"), "daemon may not do this any more: “repair”"),
    "approver": (without("games"), "games may not do this any more: “approve”"),
}


@pytest.mark.parametrize("what", DRIFT)
def test_what_is_not_as_it_was_asked_for_voids_the_approval_and_says_what(desk: Console, what: str) -> None:
    change, said = DRIFT[what]
    run = approved(desk)
    change(desk)  # type: ignore[operator]
    by = {"SUDO_UID": "0"} if what == "requester" else ASKS
    done = desk("run", "start", run, environ=by)
    assert (done.code, said in done.err, mark(desk).exists()) == (5, True, False), done
    assert states(desk) == ["void"] and audit(desk)[-1] == "approval.void"
    document = desk("run", "show", run, "--json", environ={"SUDO_UID": "0"}).json()
    assert said in document["repair"]["approval"]["void"]
    assert f"longarm repair {desk.home / 'touch-up.yaml'} …" in done.err
    assert said in desk("run", "show", run, environ={"SUDO_UID": "0"}).out
    another = desk("run", "start", run, environ=by)
    assert another.code == 5 and "its approval is void" in another.err


def test_what_nobody_made_use_of_in_time_has_expired(desk: Console) -> None:
    run, late = approved(desk), asked(desk)
    in_the_store("UPDATE approval SET expires_at = '2026-01-01 00:00:00.000000'")(desk)  # type: ignore[operator]
    assert states(desk) == ["expired", "expired"]
    assert "its approval is expired" in desk("run", "start", run, environ=ASKS).err
    done = desk("approve", late, environ=APPROVES)
    assert done.code == 5 and "it is expired" in done.err and not mark(desk).exists()


def test_glass_is_broken_for_a_reason_that_stands_in_the_audit_and_every_report(desk: Console) -> None:
    for option in ("--break-glass", "--force"):
        empty = repair(desk, option, " ")
        assert empty.code == 2 and f"{option} needs a reason" in empty.err
    denied = repair(desk, "--break-glass", "fire", who={"SUDO_UID": "3"})
    assert denied.code == 5 and not mark(desk).exists()
    done = repair(desk, "--break-glass", "the shop is down", "--json")
    assert (done.code, done.json()["repair"]["break_glass"], mark(desk).read_text()) == (0, "the shop is down", "done\n")
    run = done.json()["run"]
    lines = [row for row in desk("store", "audit", "--json").json() if row["action"] == "approval.glass_broken"]
    assert [row["actor"] for row in lines] == ["daemon"] and "the shop is down" in lines[0]["detail"]
    for kind in ("html", "text", "json"):
        assert "the shop is down" in desk("run", "export", run, "--format", kind).out, kind
    assert "It began without the second person that it needs: the shop is down." in desk("run", "show", run).out
    assert "без второго человека" in desk("run", "show", run, "--lang", "ru").out


def test_alone_nobody_is_waited_for_unless_the_configuration_says_so(desk: Console) -> None:
    (desk.home / "config.yaml").unlink()
    assert repair(desk).code == 0
    (desk.home / "config.yaml").write_text("approvals: {from: never, playbooks: [touch-up], valid: 1h}\n")
    run = asked_of_two(desk)
    assert desk("approve", run, environ=ASKS).code == 5
    assert desk("approve", run, environ=OTHER).code == 0
    assert desk("run", "start", run, environ=OTHER).code == 0
    assert mark(desk).read_text() == "done\ndone\n"


def asked_of_two(desk: Console) -> str:
    done = repair(desk, "--json")
    assert done.code == 5
    return str(json.loads(done.out)["run"])


def test_to_try_again_needs_a_second_person_too(desk: Console) -> None:
    run = approved(desk)
    made = desk("run", "start", run, "--json", environ=ASKS).json()["run"]
    retried = desk("run", "retry", made, "--only", "findings,failed,incomplete", "--json", environ=ASKS)
    assert retried.code in (5, 6), retried


def test_both_languages_say_it(desk: Console) -> None:
    run = asked(desk)
    assert "нужен второй человек" in repair(desk, "--lang", "ru").err
    shown = desk("run", "show", run, "--lang", "ru").out
    assert "Нужен второй человек." in shown and "daemon" in shown
