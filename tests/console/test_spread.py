"""How far a repair may spread, on the command line: all hosts by that word, many by their number, waves, and a limit."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest

from tests.console.conftest import Console
from tests.console.test_hold import LOOK, PLAYBOOK, repair, touched, trace  # noqa: F401 (trace: a fixture)
from tests.console.test_host_shell import Typist

INVENTORY = """\
defaults: {transport: local}
hosts:
  h[1:4]: {address: "127.0.0.[1:4]", tags: [all-of-them]}
"""


@pytest.fixture
def here(console: Console) -> Console:
    """Return a longarm that knows this machine by four names, of which more than two have to be counted."""
    console.inventory(INVENTORY)
    (console.home / "touch-it.yaml").write_text(PLAYBOOK)
    (console.home / "config.yaml").write_text("changes: {count_above: 2}\n")
    return console


def test_many_hosts_are_changed_only_by_who_gives_their_number(here: Console, trace: Path) -> None:  # noqa: F811
    few = repair(here, trace, "h1,h2")
    many = repair(here, trace, "all")
    assert here(*few).code == 0
    for more, said in (
        ((), "4 hosts are to be changed, more than 2: give their number"),
        (("--yes",), "--count 4"),
        (("--count", "3", "--yes"), "--count 3: these are 4 hosts"),
    ):
        done = here(*many, *more)
        assert (done.code, said in done.err, touched(trace)) == (2, True, 2), done.err
    assert (here(*few, "--count", "1").code, touched(trace)) == (2, 2), "a wrong number is wrong for few hosts too"
    done = here(*many, "--count", "4")
    assert (done.code, touched(trace)) == (0, 6)
    ran = here("host", "run", "true", "all", "--yes")
    assert (ran.code, "--count 4" in ran.err) == (2, True)
    assert here("host", "run", "true", "all", "--count", "4").code == 0
    retried = here("run", "retry", done.json()["run"], "--only", "findings,failed")
    assert retried.code == 6
    assert here(*many, "--plan").code == 0, "what changes nothing is not counted"


@pytest.mark.parametrize(("typed", "code"), [("4", 0), ("3", 5), ("yes", 5)])
def test_at_a_terminal_the_number_is_typed(here: Console, trace: Path, typed: str, code: int) -> None:  # noqa: F811
    with closing(Typist(here, *repair(here, trace, "all"), "--yes", "-q")) as typist:
        typist.waits_for("4 hosts are to be changed; type their number to go on:")
        typist.types(f"{typed}\r")
        assert typist.ends() == code
    assert touched(trace) == (4 if code == 0 else 0)


def test_every_host_is_chosen_by_all_and_not_by_chance(here: Console, trace: Path) -> None:  # noqa: F811
    for targets in ("h*", "tag=all-of-them", "not site=x or tag=all-of-them"):
        done = here(*repair(here, trace, targets), "--count", "4")
        assert (done.code in (2, 6), touched(trace)) == (True, 0), targets
    said = here(*repair(here, trace, "h*"), "--count", "4").err
    assert "“h*” chooses all 4 hosts that are known" in said
    assert "write all if that is meant" in said
    assert here("host", "run", "true", "h*", "--count", "4").code == 2
    assert here(*repair(here, trace, "h[1:4]"), "--count", "4").code == 0, "named one by one"
    assert here(*repair(here, trace, "h[1:3]"), "--count", "3").code == 0
    missing = here("repair", str(here.home / "touch-it.yaml"), "-p", f"file={trace}")
    assert (missing.code, "say which playbook is to repair which hosts" in missing.err) == (2, True)


def test_a_change_that_fails_on_its_first_host_is_done_on_no_other(here: Console, trace: Path) -> None:  # noqa: F811
    (here.home / "touch-it.yaml").write_text(PLAYBOOK.replace(LOOK, f"{LOOK}; exit 1"))
    spread = ("--count", "4", "--batch", "1,50%,rest", "--max-failed", "0")
    done = here(*repair(here, trace, "all"), *spread)
    document = done.json()
    assert (done.code, touched(trace)) == (3, 1)
    assert [host["outcome"] for host in document["hosts"]] == ["failed", *["not_started"] * 3]
    assert document["hosts"][1]["error"]["kind"] == "TooManyFailed"
    assert (document["repair"]["batch"], document["repair"]["max_failed"]) == (["1", "50%", "rest"], "0")
    shown = here("run", "show", document["run"], "--lang", "ru").out
    assert "не начато: плохо закончилось на хостах: 1, допускалось 0" in shown
    page = (here.home / "reports" / f"{document['run']}.html").read_text()
    assert "1, 50%, rest" in page
    again = here("run", "retry", document["run"], "--only", "failed,not_started", "--count", "4", "--json")
    assert (again.code, touched(trace)) == (3, 2), "it is tried again in the same waves, up to the same limit"
    assert again.json()["repair"]["batch"] == ["1", "50%", "rest"]


def test_a_plan_names_the_waves_in_the_command_that_does_it(here: Console, trace: Path) -> None:  # noqa: F811
    done = here(*repair(here, trace, "all"), "--plan", "--batch", "1,rest", "--max-failed", "5%")
    commands = [step["command"] for step in done.json()["next"]]
    assert any("--batch 1,rest --max-failed '5%'" in command or "--max-failed 5%" in command for command in commands)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (("--batch", "rest,1"), "“rest” is no size of a wave"),
        (("--max-failed", "few"), "“few” is neither a number of hosts nor a share"),
        (("--count", "0"), "--count"),
    ],
)
def test_what_cannot_be_meant_is_told(here: Console, trace: Path, given: tuple[str, ...], expected: str) -> None:  # noqa: F811
    done = here(*repair(here, trace, "h1"), *given)
    assert (done.code, expected in done.err, touched(trace)) == (2, True, 0), done.err


def test_a_limit_of_the_configuration_that_is_none_is_told_with_its_place(here: Console, trace: Path) -> None:  # noqa: F811
    (here.home / "config.yaml").write_text("changes: {count_above: many}\n")
    done = here(*repair(here, trace, "all"))
    assert (done.code, "config.yaml:1:24" in done.err) == (2, True), done.err
