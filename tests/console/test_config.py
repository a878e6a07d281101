"""`longarm config show`, and roles on the command line: refused with exit code 5, before any host is asked."""

from __future__ import annotations

import re

import pytest

from tests.console.conftest import Console

LOCAL = "hosts:\n  me: {transport: local, customer: acme, address: localhost}\n"
CONFIG = """\
roles:
  - {role: L2, users: [daemon], customers: [acme]}
  - {role: L1, groups: [games]}
  - {role: admin, users: [root]}
"""
DAEMON, GAMES, BIN = ({"SUDO_UID": uid} for uid in ("1", "5", "2"))


@pytest.fixture
def named(console: Console) -> Console:
    """Return a longarm with this machine in its inventory and roles for three."""
    console.inventory(LOCAL)
    (console.home / "config.yaml").write_text(CONFIG)
    return console


def test_a_home_that_names_nobody_is_that_of_one_person(console: Console) -> None:
    done = console("config", "show")
    assert done.code == 0 and "nobody is named in" in done.out and "no repair needs a second person" in done.out
    assert "roles are advisory" in done.err
    document = console("config", "show", "--json").json()
    assert (document["exists"], document["roles"], document["caller"]["role"]) == (False, None, "admin")


def test_who_asks_and_what_they_may_is_shown(named: Console) -> None:
    shown = named("config", "show", environ=DAEMON)
    assert "you are daemon, for the whole desk: -" in shown.out and "a second person approves, for 1 d: disruptive" in shown.out
    assert [line.split() for line in shown.out.splitlines()[-3:]] == [
        ["L2", "daemon", "-", "acme", "*"],
        ["L1", "-", "games", "*", "*"],
        ["admin", "root", "-", "*", "*"],
    ]
    document = named("config", "show", "--json", environ=GAMES).json()
    assert (document["caller"]["name"], document["caller"]["role"], document["second_person"]["from"]) == (
        "games",
        "L1",
        "disruptive",
    )
    assert "для всей службы" in named("config", "show", "--lang", "ru", environ=DAEMON).out


@pytest.mark.parametrize(
    ("who", "words", "said"),
    [
        (BIN, ("diagnose", "me", "--check", "fs-space"), "bin has no role for acme"),
        (BIN, ("run", "list"), ""),
        (GAMES, ("host", "run", "true", "me"), "games is L1 for acme: “command” is for L2"),
        (GAMES, ("repair", "restart-service", "me", "-p", "unit=x.service"), "games is L1 for acme: “repair” is for L2"),
        (DAEMON, ("host", "run", "--root", "true", "me"), "daemon is L2 for acme: “command” is for L3"),
        (DAEMON, ("store", "prune", "--keep", "1"), "daemon has no role for the whole desk"),
        (BIN, ("host", "ping", "me"), "bin has no role for acme"),
        (BIN, ("host", "facts", "me"), "bin has no role for acme"),
        (BIN, ("doctor", "--host", "me"), "bin has no role for acme"),
        (BIN, ("inventory", "list"), "bin has no role for the whole desk"),
        (BIN, ("inventory", "show", "me"), "bin has no role for the whole desk"),
        (BIN, ("inventory", "graph"), "bin has no role for the whole desk"),
        (BIN, ("inventory", "import"), "bin has no role for the whole desk"),
        (GAMES, ("store", "audit"), "games is L1 for *: “audit” is for L3"),
    ],
    ids=str,
)
def test_what_a_role_does_not_allow_ends_with_exit_code_5(
    named: Console, who: dict[str, str], words: tuple[str, ...], said: str
) -> None:
    done = named(*words, environ=who)
    assert (done.code, said in done.err) == (5 if said else 0, True), done
    assert ("next: longarm config show" in done.err) == bool(said)
    assert named("run", "list", "--json").json() == []


def test_an_inventory_shows_whom_a_role_is_for(named: Console) -> None:
    named.inventory(LOCAL + "  other: {customer: zeta}\ngroups: {theirs: {hosts: [other]}, ours: {hosts: [me]}}\n")
    for words in (("list", "-o", "name"), ("show", "all"), ("graph",), ("import",)):
        mine, all_ = (named("inventory", *words, environ=who) for who in (DAEMON, GAMES))
        assert mine.code == 0 and "me" in mine.out and not {"other", "theirs"} & {*re.findall(r"\w+", mine.out)}, words
        assert "other" in all_.out, words
    assert named("host", "ping", "me", environ=DAEMON).code == 0
    done = named("host", "ping", "all", environ=DAEMON)
    assert (done.code, "daemon has no role for zeta" in done.err) == (5, True)


def test_what_a_role_allows_is_done_in_the_name_of_who_asks(named: Console) -> None:
    done = named("diagnose", "me", "--check", "fs-space", "--fail-on", "never", environ=GAMES)
    assert done.code in (0, 3)
    (run,) = named("run", "list", "--json").json()
    assert run["actor"] == "games"
    assert named("run", "show", run["run"], environ=BIN).code == 5
    assert named("run", "show", run["run"], environ=DAEMON).code == 0


def test_a_broken_configuration_stops_everything_that_it_is_about(named: Console) -> None:
    (named.home / "config.yaml").write_text("roles:\n  - {role: L9, users: [a]}\n")
    for words in (("config", "show"), ("diagnose", "me", "--check", "fs-space"), ("run", "list")):
        done = named(*words)
        assert done.code == 2 and "config.yaml:2:" in done.err, words
    (named.home / "config.yaml").chmod(0o666)
    assert "everyone on this machine may write this file" in named("run", "list").err
