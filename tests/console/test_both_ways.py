"""Every command, given to a desk in process and to one that a service keeps: the same stdout, the same exit code."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import click
import pytest

from console.framework import Command
from console.main import ROOT
from console.whereabouts import WHERE, Where
from runner.desk import ROLES_ADVISORY
from tests.console.conftest import Console, Done, serving
from tests.forked import Forked

pytestmark = [pytest.mark.xdist_group("both_ways"), pytest.mark.long]  # two homes and their services for the module

PROBES = """
- probe: own.date
  script: date -u +%Y
  deadline: 60s
  parse: none
"""
BAD_PROBES = "- probe: own.date\n  scrip: date\n"


@dataclass(frozen=True)
class Pair:
    """Two homes with the same history: one is opened in process, the other by a service."""

    alone: Console
    client: Console
    runs: Mapping[Console, Mapping[str, str]]

    def both(self, line: str) -> tuple[Done, Done]:
        """Return how a command line ended in process, and through the service; `{run}` is a run of that home."""
        ended = []
        for console in (self.alone, self.client):
            words = line.format(**self.runs[console]).split(" ")
            ended.append(console(*[word.replace("_", " ") if word.startswith("echo_") else word for word in words]))
        return ended[0], ended[1]


@contextmanager
def pair(folder: Path, forked: Forked, *, lab: bool) -> Iterator[Pair]:
    alone, client = (Console(folder / name / "home", forked) for name in ("alone", "client"))
    runs = {}
    for console in (alone, client):
        console.home.parent.mkdir()
        (console.home.parent / "probes.yaml").write_text(PROBES)
        (console.home.parent / "bad.yaml").write_text(BAD_PROBES)
        (console.home.parent / "known").write_text("")
        if lab:
            assert console("lab", "up", "--hosts", "2", "--shell", "answers").code == 0
            assert console("diagnose", "all", "--case", "EQUAL-1", "--fail-on", "never").code == 0
            assert console("diagnose", "lab-db-01", "--case", "EQUAL-2", "--fail-on", "never").code == 0
            assert console("store", "backup", "backup.tar").code == 0
            _, first = (row["run"] for row in console("run", "list", "--json").json())  # the other one is erased by a test
            runs[console] = {"run": first}
        else:
            runs[console] = {}
    try:
        with serving(client):
            yield Pair(alone, client, runs)
    finally:
        for console in (alone, client) if lab else ():
            assert console("lab", "down").code == 0


@pytest.fixture(scope="module")
def used(tmp_path_factory: pytest.TempPathFactory, forked: Forked) -> Iterator[Pair]:
    with pair(tmp_path_factory.mktemp("used"), forked, lab=True) as homes:
        yield homes


@pytest.fixture(scope="module")
def new(tmp_path_factory: pytest.TempPathFactory, forked: Forked) -> Iterator[Pair]:
    with pair(tmp_path_factory.mktemp("new"), forked, lab=False) as homes:
        yield homes


LINES: Mapping[str, tuple[str, ...]] = {
    "approve": ("approve {run}", "approve no-such-run"),
    "case deliver": ("case deliver",),
    "case list": ("case list", "case list --json", "case list -o csv"),
    "case show": ("case show EQUAL-1", "case show nobody"),
    "check list": ("check list",),
    "check show": ("check show fs-space",),
    "completion": ("completion bash",),
    "config show": ("config show", "config show --json"),
    "diagnose": (
        "diagnose all",
        "diagnose all --json",
        "diagnose lab-db-01 --check fs-space --fail-on critical --lang ru",
        "diagnose lab-web-01 --check fs-space -q --case EQUAL-3",
        "diagnose nowhere",
        "diagnose all --check fs-spice",
        "diagnose lab-web-01 --probes probes.yaml --answers answers.jsonl",
        "diagnose lab-web-01 --probes bad.yaml",
        "diagnose lab-web-01 --probes not-there.yaml",
        "diagnose all --answers no/such/folder/answers.jsonl",
    ),
    "doctor": ("doctor --host lab-web-01",),
    "freeze": ("freeze --list", "freeze --site berlin --reason both", "freeze"),
    "hold add": ("hold add lab-web-01 --reason both", "hold add lab-web-01"),
    "hold list": ("hold list",),
    "hold remove": ("hold remove lab-db-01",),
    "host enrol": ("host enrol lab-web-01", "host enrol lab-web-01 --from-known-hosts known", "host enrol all --ca not-a-key"),
    "host facts": ("host facts lab-web-01 --probe fs.stat", "host facts lab-web-01 --probe fs.stet"),
    "host get": ("host get lab-web-01 /etc/hostname --to got.txt", "host get lab-web-01 relative"),
    "host ping": ("host ping all",),
    "host run": ("host run echo_hi lab-web-01", "host run echo_hi all", "host run echo_hi all --yes"),
    "host shell": ("host shell lab-web-01",),
    "inventory check": ("inventory check",),
    "inventory graph": ("inventory graph", "inventory graph --svg graph.svg", "inventory graph --svg probes.yaml"),
    "inventory import": ("inventory import", "inventory import lab-web-01 --to imported.yaml"),
    "inventory list": ("inventory list", "inventory list nowhere -o jsonl", "inventory list -o name"),
    "inventory show": ("inventory show lab-web-01", "inventory show lab-web-01 --origin"),
    "lab list": ("lab list",),
    "lab status": ("lab status", "lab status --json"),
    "library sign": ("library sign . --key none",),
    "library verify": ("library verify .",),
    "playbook graph": ("playbook graph free-disk-space",),
    "playbook lint": ("playbook lint free-disk-space",),
    "playbook list": ("playbook list",),
    "playbook new": ("playbook new mine-too --dir made",),
    "playbook schema": ("playbook schema",),
    "playbook show": ("playbook show free-disk-space",),
    "playbook test": ("playbook test free-disk-space",),
    "probe list": ("probe list",),
    "probe show": ("probe show cpu.load",),
    "repair": ("repair free-disk-space lab-db-01 --plan", "repair no-such lab-db-01", "repair", "repair --finding {run}/none"),
    "report list": ("report list", "report list --json"),
    "report open": ("report open {run}", "report open no-such-run"),
    "report render": (
        "report render {run} --format text",
        "report render {run} --to page.html",
        "report render {run} --lang ru",
    ),
    "run export": ("run export {run} --format csv", "run export {run} --format answers --to exported.jsonl"),
    "run leases": ("run leases", "run leases --json"),
    "run list": ("run list --limit 2 --json",),
    "run resume": ("run resume {run}",),
    "run retry": ("run retry {run}",),
    "run show": ("run show {run}", "run show {run} --json", "run show no-such-run"),
    "run rollback": ("run rollback {run}", "run rollback {run} lab-web-01", "run rollback {run} lab-web-01 --plan"),
    "run start": ("run start {run}",),
    "run unmute": ("run unmute",),
    "run watch": ("run watch {run}", "run watch no-such-run"),
    "secret list": ("secret list",),
    "secret rekey": ("secret rekey",),
    "secret remove": ("secret remove nobodys --yes",),
    "secret set": ("secret set empty",),
    "secret test": ("secret test nobodys", "secret test strange:thing"),
    "serve": ("serve --unit --home /var/lib/longarm",),
    "store audit": ("store audit --run {run}", "store audit --export audit.jsonl"),
    "store backup": ("store backup again.tar", "store backup probes.yaml"),
    "store erase": ("store erase --case EQUAL-2 --yes", "store erase --case EQUAL-9 --yes", "store erase"),
    "store prune": ("store prune --older-than 90d --yes", "store prune"),
    "store restore": ("store restore backup.tar", "store restore not-there.tar"),
    "store verify": ("store verify", "store verify backup.tar", "store verify probes.yaml", "store verify not-there.tar"),
    "unfreeze": ("unfreeze --site nowhere",),
    "version": ("version", "version --json"),
}
IN_A_NEW_HOME = (
    "run list",
    "case list",
    "diagnose all",
    "inventory list",
    "lab up --hosts 1 --shell answers",
    "inventory list -o name",
    "lab down",
    "store verify",
    "secret list",
)


def commands(group: click.Group, path: tuple[str, ...] = ()) -> Iterator[str]:
    """Yield the words of every command below a group."""
    for name in group.list_commands(click.Context(group)):
        command = group.get_command(click.Context(group), name)
        if isinstance(command, click.Group):
            yield from commands(command, (*path, name))
        else:
            assert isinstance(command, Command)
            yield " ".join((*path, name))


def test_every_command_has_its_place_and_is_tried_both_ways() -> None:
    tried = {*LINES, *(line.partition(" --")[0] for line in IN_A_NEW_HOME if line.startswith("lab "))}
    assert sorted(tried) == sorted(WHERE) == sorted(commands(ROOT))


@pytest.mark.parametrize("line", [line for lines in LINES.values() for line in lines])
def test_a_command_says_the_same_both_ways(used: Pair, line: str) -> None:
    alone, client = used.both(line)
    assert client.code == alone.code, f"{alone}\n{client}"
    assert same(client.out, used.client) == same(alone.out, used.alone)
    assert sorted(same(client.err, used.client).splitlines()) == sorted(same(alone.err, used.alone).splitlines())


def test_a_new_home_is_served_from_its_first_command_on(new: Pair) -> None:
    for line in IN_A_NEW_HOME:
        alone, client = new.both(line)
        assert client.code == alone.code, f"{line}: {alone}\n{client}"
        assert same(client.out, new.client) == same(alone.out, new.alone), line


def test_files_of_the_caller_come_and_go(used: Pair) -> None:
    used.both("diagnose lab-web-01 --answers own.jsonl --probes probes.yaml")
    used.both("run export {run} --to {run}.json")
    for console in (used.alone, used.client):
        assert '"probe":"own.date"' in (console.home.parent / "own.jsonl").read_text()
        exported = console.home.parent / f"{used.runs[console]['run']}.json"
        assert exported.read_bytes() == console("run", "export", used.runs[console]["run"]).out.encode()
        assert (console.home.parent / "own.jsonl").stat().st_mode & 0o777 == 0o600
    assert not list((used.client.home / "service").iterdir())


def test_what_is_carried_out_here_asks_no_service() -> None:
    assert {name for name, where in WHERE.items() if where is Where.HERE} >= {"serve", "version", "completion"}


_VARYING = (
    (re.compile(r"SHA256:[\w+/=]+"), "SHA256"),
    (re.compile(r"\d{8}-\d{6}-[0-9a-f]{6}(-[0-9a-f]{8})?"), "RUN"),
    (re.compile(r"\b[0-9a-f]{8,64}\b"), "HEX"),
    (re.compile(r"\d+([.,  ]\d+)*"), "N"),
    (re.compile(r"N.(ms|s|min|мс|с|мин)\b"), "N s"),  # how long it took, in the unit that suits
    (re.compile(r"[ ─]{2,}"), "  "),
)


def same(text: str, console: Console) -> str:
    """Return what must be the same of what a command said: no ids, times, sizes or paths of a home."""
    text = text.replace(str(console.home.parent), "PLACE").replace(f"{ROLES_ADVISORY}\n", "")  # in process they are, there not
    for pattern, instead in _VARYING:
        text = pattern.sub(instead, text)
    return text
