"""`longarm repair` on the command line: what is asked for in words, what is refused with its place, what a plan shows."""

from __future__ import annotations

import json

import pytest

from tests.console.conftest import Console

INVENTORY = """\
hosts:
  here: {address: 127.0.0.1, transport: local}
  win1: {address: 192.0.2.1, transport: winrm, platform: windows}
"""
PLAYBOOK = """\
playbook: look-around
title: {en: Look around, ru: Осмотреться}
says: {en: Changes nothing., ru: Ничего не меняет.}
kind: repair
maintenance: corrective
platforms: [linux]
tier: L2
risk: read
params:
  size: {type: size, default: 2 MiB, says: {en: How much., ru: Сколько.}}
  mode: {type: enum, choices: [fast, slow], default: fast}
  token: {type: secret}
steps:
  - name: Say it
    run: printf '%s %s\\n' "$size" "$mode"; test -n "$token"
    retry: read
"""
TOKEN = {"TOKEN": "a-token-nobody-may-see"}


@pytest.fixture
def here(console: Console) -> Console:
    """Return a longarm that knows this machine, and a playbook that only reads."""
    console.inventory(INVENTORY)
    (console.home / "look-around.yaml").write_text(PLAYBOOK)
    return console


def words(here: Console, *more: str) -> tuple[str, ...]:
    return ("repair", str(here.home / "look-around.yaml"), "here", "-p", "token=env:TOKEN", *more)


def test_parameters_are_typed_and_a_secret_is_kept_by_its_reference(here: Console) -> None:
    done = here(*words(here, "-p", "size=5MiB", "--json"), environ=TOKEN)
    document = done.json()
    assert (done.code, document["kind"], document["repair"]["params"]) == (0, "repair", {"mode": "fast", "size": 5 * 1024**2})
    assert document["repair"]["secrets"] == {"token": "env:TOKEN"}
    (step,) = document["hosts"][0]["repair"]["steps"]
    assert (step["state"], step["stdout"], document["hosts"][0]["repair"]["change"]) == ("ok", "5242880 fast\n", "unchanged")
    assert not any(TOKEN["TOKEN"].encode() in path.read_bytes() for path in here.home.rglob("*") if path.is_file())


def test_a_plan_is_a_run_that_changes_nothing_and_says_what_comes_next(here: Console) -> None:
    done = here(*words(here, "--plan"), environ=TOKEN)
    assert done.code == 0
    assert "Nothing was changed: this is what would be done on 1 host." in done.out
    assert f"longarm repair {here.home / 'look-around.yaml'} here -p mode=fast -p size=2097152 -p token=env:TOKEN" in done.out


@pytest.mark.parametrize(
    ("given", "code", "expected"),
    [
        (("-p", "size=much"), 2, "“size” must be a size such as 200 MiB or 2 GB (declared in "),
        (("-p", "size=much"), 2, "look-around.yaml:10:"),
        (("-p", "mode=quick"), 2, "“mode” is one of fast, slow, not “quick”"),
        (("-p", "siz=1"), 2, "there is no parameter “siz”"),
        (("-p", "siz=1"), 2, "did you mean size?"),
        (("-p", "size"), 2, "-p size: a parameter is written name=value"),
        (("-p", "token=hunter2"), 2, "a secret is never typed here; say where it is kept"),
        (("--finding", "x/y"), 2, "a finding says itself which playbook repairs which host"),
    ],
)
def test_what_is_wrong_with_the_words_is_told_before_any_host_is_asked(
    here: Console, given: tuple[str, ...], code: int, expected: str
) -> None:
    done = here(*words(here, *given), environ=TOKEN)
    assert done.code == code
    assert expected in done.err
    assert "hunter2" not in done.err
    assert not (here.home / "longarm.db").exists()


@pytest.mark.parametrize(
    ("given", "code", "expected"),
    [
        (("repair",), 2, "longarm repair PLAYBOOK TARGETS"),
        (("repair", "restart-servise", "here"), 2, "did you mean restart-service?"),
        (("repair", "standard", "here"), 2, "“standard” asks and changes nothing"),
        (("repair", "restart-service", "win1", "-p", "unit=a.service"), 2, "“restart-service” is not for win1"),
        (("repair", "restart-service", "here", "-p", "unit=sshd.service"), 2, "“unit” must match"),
        (("repair", "restart-service", "nowhere", "-p", "unit=a.service"), 6, "nowhere"),
        (("repair", "--finding", "20200101-000000-abcdef/here/fs-space/mount=/"), 6, "there is no run"),
        (("run", "retry", "20200101-000000-abcdef", "--only", "unknown"), 2, "unknown is none of failed, unreachable"),
    ],
)
def test_what_cannot_be_is_refused(here: Console, given: tuple[str, ...], code: int, expected: str) -> None:
    done = here(*given)
    assert (done.code, expected in done.err) == (code, True), done.err


def test_only_some_of_a_repair_is_tried_again_and_what_has_ended_is_not_resumed(here: Console) -> None:
    run = json.loads(here(*words(here, "--json"), environ=TOKEN).out)["run"]
    nothing = here("run", "retry", run, environ=TOKEN)
    assert (nothing.code, "no host of run" in nothing.err) == (6, True)
    ended = here("run", "resume", run, environ=TOKEN)
    assert (ended.code, "has ended: there is nothing left to do" in ended.err) == (7, True)
    diagnosis = here("diagnose", "here", "--check", "fs-space", "--fail-on", "never", "--json").json()["run"]
    other = here("run", "retry", diagnosis)
    assert (other.code, f"run {diagnosis} was no repair" in other.err) == (2, True)


def test_playbooks_and_their_parameters_are_completed(here: Console) -> None:
    def completed(line: str) -> list[str]:
        environ = {"_LONGARM_COMPLETE": "bash_complete", "COMP_WORDS": line, "COMP_CWORD": str(len(line.split(" ")) - 1)}
        return [one.partition(",")[2] for one in here(environ=environ).out.splitlines()]

    assert completed("longarm repair rest") == ["restart-service"]
    assert completed("longarm repair restart-service here -p ") == ["unit="]
    assert completed(f"longarm repair {here.home}/look-around.yaml here -p mode=f") == ["mode=fast"]


def test_what_failed_is_repaired_again_as_it_was_asked_for(here: Console) -> None:
    ready = here.home / "ready"
    (here.home / "look-around.yaml").write_text(PLAYBOOK.replace('test -n "$token"', f'test -n "$token" && test -e {ready}'))
    failed = here(*words(here, "-p", "size=5MiB", "--case", "DEMO-1", "--json"), environ=TOKEN)
    assert (failed.code, failed.json()["hosts"][0]["outcome"]) == (1, "failed")
    assert f"longarm run retry {failed.json()['run']} --only failed" in [step["command"] for step in failed.json()["next"]]
    ready.touch()
    again = here("run", "retry", failed.json()["run"], "--json", environ=TOKEN)
    document = again.json()
    assert (again.code, document["hosts"][0]["outcome"], document["case"]) == (0, "ok", "DEMO-1")
    assert (document["repair"]["retries"], document["repair"]["params"]["size"]) == (failed.json()["run"], 5 * 1024**2)
