"""A small library and a small fleet: two checks, three probes, hosts that answer from a script."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Literal

from diagnostics.check_files import load_checks
from diagnostics.library import Library
from diagnostics.parsing import whole
from diagnostics.probe import Facts, ParseError, Probe, Redaction
from inventory.host import Host, Selection
from inventory.inventory import Inventory
from playbooks.model import Playbook
from remote.answer import Answer, Ended, answered
from remote.question import Privilege, Question
from remote.session import Session
from remote.shell_session import ShellSession
from remote.testing import FAKE_FACTS, FakeConnect, FakeHost
from runner.request import DiagnoseRequest

CHECKS = {
    "disk-full": """
check: disk-full
title: {en: Disk nearly full, ru: Диск почти заполнен}
platforms: [linux]
needs: [disk]
subject: {mount: facts.disk.mount}
params: {used_percent: facts.disk.used_percent}
cite: facts.disk.at
thresholds: {warning: 90, critical: 98}
severity:
  critical: {raise: facts.disk.used_percent > thresholds.critical}
  warning: {raise: facts.disk.used_percent > thresholds.warning}
finding: {en: "{{ subject.mount }} is full", ru: "{{ subject.mount }} заполнен"}
tests: []
""",
    "clock-off": """
check: clock-off
title: {en: Clock is off, ru: Часы идут неверно}
platforms: [linux]
needs: [clock]
subject: {clock: "'system'"}
params: {offset_s: facts.clock.offset_s}
cite: facts.clock.at
severity:
  warning: {raise: facts.clock.offset_s > 5}
finding: {en: "off by {{ params.offset_s }} s", ru: "отклонение {{ params.offset_s }} с"}
tests: []
""",
}

_DISK = re.compile(rb"(?P<mount>/\S*) (?P<used>\d+)%\n")


def _parse_disk(answer: Answer) -> Facts:
    if not (match := _DISK.fullmatch(answer.stdout)):
        raise ParseError("disk", answer.stdout)
    return {"mount": match["mount"].decode(), "used_percent": int(match["used"]), "at": whole("disk", answer)}


def _parse_clock(answer: Answer) -> Facts:
    if not re.fullmatch(rb"\d{1,9}\n", answer.stdout):
        raise ParseError("clock", answer.stdout)
    return {"offset_s": int(answer.stdout), "at": whole("clock", answer)}


PROBES = (
    Probe(
        question=Question(id="disk", script="df"),
        parse=_parse_disk,
        shape={"mount": "str", "used_percent": "int percent", "at": "at"},
    ),
    Probe(
        question=Question(id="clock", script="clock", privilege=Privilege.ROOT),
        parse=_parse_clock,
        shape={"offset_s": "int s", "at": "at"},
        redact=(Redaction(pattern=re.compile(rb"key=(?P<secret>\S+)")),),
    ),
    Probe(question=Question(id="motd", script="cat /etc/motd"), parse=None),
)

OK: Mapping[str, Answer] = {"disk": answered(b"/ 12%\n"), "clock": answered(b"0\n"), "motd": answered(b"hello\n")}
FULL: Mapping[str, Answer] = {**OK, "disk": answered(b"/ 99%\n")}
LOST = Answer(ended=Ended.LOST, exit_status=None, why="gone")
DENIED = Answer(
    ended=Ended.NOT_RUN, exit_status=None, why="sudo: a password is required", denied="sudo: a password is required"
)


def small_library(folder: Path) -> Library:
    """Return a library of two checks and three probes; `folder` gets its files."""
    for name, text in CHECKS.items():
        (folder / f"{name}.yaml").write_text(text)
    probes = {probe.id: probe for probe in PROBES}
    return Library(probes=probes, checks=load_checks(sorted(folder.glob("*.yaml")), probes), digest="d" * 64)


def fleet(*names: str, **values: Any) -> Selection:
    """Return a selection of hosts with these names."""
    hosts = tuple(Host(name=name, address=f"{name}.example", customer="acme", site="berlin", **values) for name in names)
    return Selection(expression="all", hosts=hosts)


def inventory_of(selection: Selection) -> Inventory:
    """Return an inventory of exactly these hosts."""
    return Inventory(hosts={host.name: host for host in selection.hosts}, groups={})


def asking(library: Library, selection: Selection, **values: Any) -> DiagnoseRequest:
    """Return a request for all checks of the library on a selection."""
    playbook = Playbook(id="standard", title={"en": "Standard", "ru": "Обычная"}, digest="p" * 64)
    row: dict[str, Any] = {"checks": tuple(library.checks), "case": "DEMO-1", "actor": "anna"}
    return DiagnoseRequest(selection=selection, playbook=playbook, library=library, **{**row, **values})


class Raises(ShellSession):
    """A session whose `ask` raises."""

    def __init__(self, host: Host, error: Exception) -> None:
        self.host, self.facts, self._error = host, FAKE_FACTS, error

    async def ask(self, questions: Sequence[Question], *, deadline_s: float) -> Mapping[str, Answer]:
        raise self._error


class Forgets(ShellSession):
    """A session that breaks its promise: it answers less than it was asked."""

    def __init__(self, host: Host) -> None:
        self.host, self.facts = host, FAKE_FACTS

    async def ask(self, questions: Sequence[Question], *, deadline_s: float) -> Mapping[str, Answer]:
        return {}


@dataclass(frozen=True)
class Act:
    """What a host of a scripted fleet does: answers, or raises on connecting or on being asked, or hangs."""

    answers: Mapping[str, Answer] = field(default_factory=lambda: OK)
    refuses: Exception | None = None
    breaks: Exception | None = None
    hangs: bool = False
    silent: bool = False
    forgets: bool = False
    drops: bool = False
    """Each of its connections goes away with the first questions."""


class _Never(asyncio.Event):
    """What is waited for in vain; `begun` is called when somebody begins to."""

    def __init__(self, begun: Callable[[], None]) -> None:
        super().__init__()
        self._begun = begun

    async def wait(self) -> Literal[True]:
        self._begun()
        return await super().wait()


class ActingConnect:
    """A `Connect` over hosts that act; `connected` lists them in the order they were begun.

    `all_hang` is called whenever the hosts that are left hang and no other one is at work: the time for deadlines to pass.
    """

    def __init__(self, acts: Mapping[str, Act], *, all_hang: Callable[[], None] = lambda: None) -> None:
        self.acts, self.connected = acts, list[str]()
        self._at_work, self._hanging, self._all_hang = set[str](), set[str](), all_hang
        self._fake = FakeConnect({name: self._host(name, act) for name, act in acts.items()})

    def _host(self, name: str, act: Act) -> FakeHost:
        never = _Never(partial(self._hangs, name))
        return FakeHost(
            answers=act.answers,
            refuses=act.refuses,
            connects_after=never if act.hangs else None,
            answers_after=never if act.silent else None,
            drops=act.drops,
        )

    @asynccontextmanager
    async def __call__(self, host: Host) -> AsyncIterator[Session]:
        """Open a session to a host that does what its act says."""
        self.connected.append(host.name)
        self._at_work.add(host.name)
        act = self.acts[host.name]
        try:
            async with self._fake(host) as session:
                if act.breaks is not None:
                    yield Raises(host, act.breaks)
                elif act.forgets:
                    yield Forgets(host)
                else:
                    yield session
        finally:
            self._at_work.discard(host.name)
            self._hanging.discard(host.name)
            self._look()

    def _hangs(self, name: str) -> None:
        self._at_work.discard(name)
        self._hanging.add(name)
        self._look()

    def _look(self) -> None:
        if self._hanging and not self._at_work:
            self._all_hang()
