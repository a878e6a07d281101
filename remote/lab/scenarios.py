"""The scenarios that ship with longarm: what each practice host answers, and what one can learn on it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from functools import cache
from importlib import resources

from inventory.documents import parse_document
from inventory.errors import InvalidFile, Problem, Text
from inventory.fields import Fields
from inventory.host import Platform
from remote.answer import Answer
from remote.lab.captures import read_captures, taken_at
from remote.lab.moments import Moved
from remote.lab.play import Leftover, play
from remote.lab.world import World


class Behaviour(StrEnum):
    """What a practice host does when it is called."""

    ANSWERS = "answers"
    CLOSED = "closed"  # nobody listens on its port
    NEW_KEY = "new_key"  # it proves itself with another key than the one that was enrolled


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """One situation to practise on."""

    name: str
    title: Mapping[str, str] = field(hash=False)
    learn: Mapping[str, str] = field(hash=False)
    """What one can learn here, by language; never the solution."""
    role: str
    """The middle of the practice host's name: `db` gives `lab-db-01`."""
    order: int
    """Its turn when hosts are handed out."""
    behaviour: Behaviour = Behaviour.ANSWERS
    captures: tuple[str, ...] = ()
    """Files of captured answers beside it; a later one replaces answers of an earlier one."""
    root: bool = True
    """False: sudo is not to be had here, every answer was given to the login user."""
    platform: Platform = Platform.LINUX
    """Linux hosts are reached by SSH, Windows hosts by WinRM."""
    powershell: str = ""
    """Version of PowerShell on a Windows host."""
    language: str = ""
    """What a Windows host speaks, `ru-RU`; empty: English."""
    services: tuple[str, ...] = ()
    ports: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    leftovers: tuple[Leftover, ...] = ()
    """What a repair can remove where a real shell answers."""

    def answers(self) -> Mapping[str, Answer]:
        """Return what the host answers, by question id."""
        merged: dict[str, Answer] = {}
        for name in self.captures:
            merged |= read_captures(_file(name), name)
        if self.platform is Platform.WINDOWS:
            return Moved(merged, taken_at(_file(self.captures[-1]), self.captures[-1]))
        return merged if self.root else {name: replace(answer, as_root=False) for name, answer in merged.items()}

    def world(self) -> World:
        """Return what a real shell of the host sees."""
        return play(self.answers(), root=self.root, hostname=self.role, leftovers=self.leftovers)


def _file(name: str) -> bytes:
    return resources.files("remote.lab").joinpath("scenarios", name).read_bytes()


@cache
def scenarios() -> Mapping[str, Scenario]:
    """Return every scenario by name, in the order in which hosts are handed out."""
    folder = resources.files("remote.lab").joinpath("scenarios")
    read = [read_scenario(file.read_bytes(), file.name) for file in folder.iterdir() if file.name.endswith(".yaml")]
    return {scenario.name: scenario for scenario in sorted(read, key=lambda scenario: scenario.order)}


def read_scenario(data: bytes, file: str) -> Scenario:
    """Return the scenario that a file describes, or raise InvalidFile with every mistake."""
    problems: list[Problem] = []
    fields = Fields(parse_document(data, file), problems, Text("a scenario"))
    scenario = Scenario(
        name=fields.text("scenario", required=True),
        title=fields.languages("title"),
        learn=fields.languages("learn"),
        role=fields.text("role", required=True),
        order=fields.integer("order", required=True),
        behaviour=Behaviour(fields.one_of("behaviour", tuple(map(str, Behaviour))) or "answers"),
        captures=fields.texts("captures"),
        root=fields.boolean("root") is not False,
        platform=Platform(fields.one_of("platform", (Platform.LINUX, Platform.WINDOWS)) or "linux"),
        powershell=fields.text("powershell") or "",
        language=fields.text("language") or "",
        services=fields.texts("services"),
        ports=fields.texts("ports"),
        names=fields.texts("names"),
        leftovers=tuple(_leftover(Fields(node, problems, Text("a file"))) for node in fields.items("leftovers")),
    )
    fields.done()
    if problems:
        raise InvalidFile(problems)
    return scenario


def _leftover(fields: Fields) -> Leftover:
    left = Leftover(
        path=fields.text("path", required=True),
        size=fields.size("size", required=True),
        days=fields.integer("days", required=True),
    )
    fields.done()
    return left
